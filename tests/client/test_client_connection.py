"""Two ends of the client's media connection against each other, over loopback."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from aioice import Candidate
from aiortc.rtcdtlstransport import RTCDtlsFingerprint

from rtc.client import ice
from rtc.client.connection import Connection, ConnectionCounters
from rtc.client.offer import Answer, LocalTransport
from rtc.wire.rtcp import ReceiverReport, serialize
from rtc.wire.rtp import RtpPacket


class End:
    def __init__(self) -> None:
        self.counters = ConnectionCounters()
        self.received: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        self.failed = asyncio.Event()
        self.connection = Connection(
            loopback=True,
            received=lambda data, rtcp: self.received.put_nowait((data, rtcp)),
            failed=self.failed.set,
            counters=self.counters,
        )


def answer(far: LocalTransport, role: Literal["client", "server"]) -> Answer:
    return Answer(
        ufrag=far.ufrag,
        pwd=far.pwd,
        fingerprints=tuple(RTCDtlsFingerprint(algorithm=a, value=v) for a, v in far.fingerprints),
        dtls_role=role,
        candidates=tuple(map(Candidate.from_sdp, far.candidates)),
        lines={},
    )


async def connect(near: End, far: End) -> None:
    here, there = await asyncio.gather(near.connection.gather(), far.connection.gather())
    async with asyncio.timeout(10):
        await asyncio.gather(
            near.connection.connect(answer(there, "server")), far.connection.connect(answer(here, "client"))
        )


def packet(number: int) -> bytes:
    return RtpPacket(96, number, 0, 1, payload=b"hello").serialize()


async def test_packets_arrive_in_the_clear_and_an_ice_restart_keeps_the_keys() -> None:
    near, far = End(), End()
    await connect(near, far)
    near.connection.send_rtp(packet(1))
    assert await asyncio.wait_for(far.received.get(), 5) == (packet(1), False)
    report = serialize([ReceiverReport(7)])
    far.connection.send_rtcp(report)
    assert await asyncio.wait_for(near.received.get(), 5) == (report, True)
    await connect(near, far)
    near.connection.send_rtp(packet(2))
    assert await asyncio.wait_for(far.received.get(), 5) == (packet(2), False)
    assert not near.failed.is_set()
    await near.connection.close()
    await asyncio.wait_for(far.failed.wait(), 5)
    await far.connection.close()


async def test_a_packet_that_srtp_refuses_is_counted_and_the_connection_lives() -> None:
    near, far = End(), End()
    await connect(near, far)
    near.connection.send_rtp(packet(5000))
    near.connection.send_rtp(packet(1))  # older than the window of 1024
    near.connection.send_rtp(b"\x80" * 3000)
    near.connection.send_rtp(packet(5001))
    received = [(await asyncio.wait_for(far.received.get(), 5))[0] for _ in range(2)]
    assert received == [packet(5000), packet(5001)]
    assert near.counters.unsendable == 2
    await near.connection.close()
    await far.connection.close()


async def test_a_path_that_dies_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "CONSENT_SECONDS", 0.05)
    monkeypatch.setattr(ice, "CONSENT_FAILURES", 1)
    lost = asyncio.Event()
    near = ice.ClientIce(loopback=True, received=lambda data: None, lost=lost.set)
    far = ice.ClientIce(loopback=True, received=lambda data: None, lost=lambda: None)
    await asyncio.gather(near.gather_candidates(), far.gather_candidates())
    for here, there in ((near, far), (far, near)):
        here.remote_username, here.remote_password = there.local_username, there.local_password
        for candidate in there.local_candidates:
            await here.add_remote_candidate(candidate)
        await here.add_remote_candidate(None)
    async with asyncio.timeout(10):
        await asyncio.gather(near.connect(), far.connect())
        while near.rtt is None:  # noqa: ASYNC110 - a plain value, without an event
            await asyncio.sleep(0.01)
        assert near.rtt < 0.5
        assert not lost.is_set()
        await far.close()
        await lost.wait()
    await near.close()


async def test_a_wrong_fingerprint_is_refused() -> None:
    near, far = End(), End()
    here, there = await asyncio.gather(near.connection.gather(), far.connection.gather())
    forged = LocalTransport(there.ufrag, there.pwd, (("sha-256", ":".join(["00"] * 32)),), there.candidates)
    outcomes = await asyncio.wait_for(
        asyncio.gather(
            near.connection.connect(answer(forged, "server")),
            far.connection.connect(answer(here, "client")),
            return_exceptions=True,
        ),
        10,
    )
    assert isinstance(outcomes[0], ConnectionError)
    with pytest.raises(asyncio.QueueEmpty):
        far.received.get_nowait()
    await near.connection.close()
    await far.connection.close()


@pytest.mark.parametrize("turns", range(5))
async def test_a_call_that_is_left_twice_closes_though_the_first_was_cancelled(turns: int) -> None:
    agent = ice.ClientIce(loopback=True, received=lambda data: None, lost=lambda: None)
    await agent.gather_candidates()
    first = asyncio.create_task(agent.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await agent.close()
    assert agent.local_candidates == []
