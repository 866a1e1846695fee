"""How often who only listens is told of what it hears, whatever it reports itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from bench.room.client import Client
from bench.room.network import network, simulate
from rtc.wire import rtcp

SECONDS = 40
FIRST_SECONDS = 6


@pytest.mark.parametrize("pauses", [(), (1.0,), (0.1,), (0.7, 1.2, 0.9), (5.0,)], ids=lambda p: f"every {p} s")
def test_reports_come_about_once_a_second_and_later_every_five(pauses: Sequence[float]) -> None:
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
            begun = listener.now
            await speaker.speak(SECONDS)
            reporting.cancel()
            (reported,) = listener.reported.values()
            times.extend(time - begun for time, _ in reported)

    simulate(scenario)
    at_first = [time for time in times if time <= FIRST_SECONDS]
    # At once, a little later as the round trip is to be measured, and then so often that a lost one does not matter.
    assert at_first[1] < 0.5
    assert max(after - before for before, after in pairwise(at_first)) <= 1.5
    later = [time for time in times if time > FIRST_SECONDS + 1]
    gaps = [after - before for before, after in pairwise(later)]
    # RFC 3550 6.3.1: at random between half the interval and one and a half times it.
    assert min(gaps) >= 2.5
    assert max(gaps) <= 7.5
    assert later[0] <= FIRST_SECONDS + 7.5


def test_reports_come_often_again_once_something_is_lost() -> None:
    """They tell how fast to ask again, and go with the judgement of the path."""
    times: list[float] = []

    async def scenario() -> None:
        async with network() as net:
            speaker = await net.join("speaker", audio_slots=0)
            listener = await net.join("listener", publish=(), audio_slots=1)
            await speaker.speak(12)
            begun = listener.now
            net.shape(down=0.2, clients=[listener])
            await speaker.speak(4)
            (reported,) = listener.reported.values()
            times.extend(time - begun for time, _ in reported if time >= begun)

    simulate(scenario)
    assert times[0] <= 1
    assert len(times) >= 4


def test_reports_come_often_again_once_somebody_else_is_heard() -> None:
    times: list[float] = []

    async def scenario() -> None:
        async with network() as net:
            first = await net.join("first", audio_slots=0)
            listener = await net.join("listener", publish=(), audio_slots=1, nack=False)
            await first.speak(12)
            second = await net.join("second", audio_slots=0)
            first.peer.unpublish(next(view.publication for view in listener.slots if view.publication))
            begun = listener.now
            await second.speak(4)
            (reported,) = listener.reported.values()
            times.extend(time - begun for time, _ in reported if time >= begun)

    simulate(scenario)
    assert times[0] <= 0.1
    assert len(times) >= 4


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
