"""How often who only listens is told of what it hears, whatever it reports itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from bench.room.client import Client
from bench.room.network import network, simulate
from rtc.wire import rtcp

SECONDS = 20


@pytest.mark.parametrize("pauses", [(), (1.0,), (0.1,), (0.7, 1.2, 0.9), (5.0,)], ids=lambda p: f"every {p} s")
def test_reports_come_about_once_a_second(pauses: Sequence[float]) -> None:
    times: list[float] = []

    async def report(listener: Client) -> None:
        while pauses:
            for pause in pauses:
                await asyncio.sleep(pause)
                listener.send_rtcp([rtcp.ReceiverReport(listener.ssrc)])

    async def scenario() -> None:
        async with network() as net:
            speaker = await net.join("speaker", audio_slots=0)
            listener = await net.join("listener", publish=(), audio_slots=1, nack=False)
            reporting = asyncio.create_task(report(listener))
            await speaker.speak(2)
            begun = listener.now
            await speaker.speak(SECONDS)
            reporting.cancel()
            (reported,) = listener.reported.values()
            times.extend(time for time, _ in reported if time >= begun)

    simulate(scenario)
    gaps = [after - before for before, after in pairwise(times)]
    # RFC 3550 6.3.1: at random between half the interval and one and a half times it.
    assert min(gaps) >= 0.5
    assert max(gaps) <= 1.5
    assert SECONDS / 1.3 <= len(times) <= SECONDS / 0.7


def test_reports_of_a_listener_that_reports_go_with_what_came_in() -> None:
    late: list[float] = []

    async def scenario() -> None:
        async with network() as net:
            speaker = await net.join("speaker", audio_slots=0)
            listener = await net.join("listener", publish=(), audio_slots=1, nack=False)
            sent: list[float] = []
            send = listener.send_rtcp

            def note(packets: Sequence[rtcp.RtcpPacket]) -> None:
                sent.append(listener.now)
                send(packets)

            listener.send_rtcp = note  # type: ignore[method-assign]
            await speaker.speak(SECONDS)
            (reported,) = listener.reported.values()
            late.extend(min(abs(time - at - net.rtt) for at in sent) for time, _ in reported[-10:])

    simulate(scenario)
    assert max(late) < 0.001
