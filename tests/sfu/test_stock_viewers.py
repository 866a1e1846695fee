"""Viewers on stock aiortc, whose jitter buffer waits without end: their numbers leap where something never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise

import pytest
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket as StockPacket
from test_fanout import VIDEO, VP8_RTX, Wire, listener, numbers, send, source_of

from bench.video.stock import CAMERA, FPS, VIEWER, Screen, watching
from bench.virtual import Address, VirtualLoop, clocks, run
from rtc.netem import Link, LinkProfile
from rtc.repair.holes import LEAP
from rtc.sfu import Peer
from rtc.sfu.slot import Slot
from rtc.sfu.source import Source
from rtc.wire.extensions import TRANSPORT_CC

KEY, OTHER = b"\x10\x00key", b"\x10\x01other"
RTT = 0.04


def watched(slot: Slot) -> tuple[Source, Wire]:
    """A source that somebody watches, after its first two packets."""
    source, wire = source_of("video"), Wire()
    slot.listen_to(source)
    send(source, wire, 1, KEY)
    send(source, wire, 2, OTHER)
    return source, wire


def ask_for_keyframe(source: Source) -> None:
    source.keyframes.want()


def test_at_the_key_frame_after_what_is_given_up_the_numbers_leap_and_nothing_older_follows() -> None:
    slot = listener("video")
    source, wire = watched(slot)
    _, second = wire.take()
    send(source, wire, 4, OTHER)
    assert slot.holes is not None
    slot.holes.given_up = True
    send(source, wire, 5, OTHER)
    before = wire.take()
    assert numbers(before) == [second.sequence_number + 2, second.sequence_number + 3], "not without a key frame"
    ask_for_keyframe(source)
    send(source, wire, 6, KEY)
    send(source, wire, 7, OTHER)
    *copies, key, after = wire.take()
    assert numbers([key, after]) == [(before[-1].sequence_number + 1 + LEAP + n) & 0xFFFF for n in range(2)]
    assert key.timestamp - before[-1].timestamp == 960, "time goes on"
    assert [packet.payload_type for packet in copies] == [VP8_RTX] * 2, "its first packet is the one that must arrive"
    assert {packet.payload[:2] for packet in copies} == {key.sequence_number.to_bytes(2, "big")}
    send(source, wire, 3, OTHER, now=0.5)
    assert wire.take() == [], "what comes late would take the buffer back"
    ask_for_keyframe(source)
    send(source, wire, 8, KEY)
    assert numbers(wire.take()) == [after.sequence_number + 1], "once"


def test_what_is_missing_before_a_key_frame_that_others_asked_for_is_still_sent_again() -> None:
    slot = listener("video")
    source, wire = watched(slot)
    missing = wire.take()[-1].sequence_number
    ask_for_keyframe(source)
    send(source, wire, 3, KEY)
    assert numbers(wire.take()) == [missing + 1]
    assert slot.holes is not None
    assert slot.holes.nacked([missing], lost=(), made=(), now=0.1, rtt=RTT) == [missing]


def test_who_gives_transport_wide_feedback_or_listens_never_leaps() -> None:
    slot = listener("video")
    slot.configure(VIDEO, {TRANSPORT_CC: 5})
    assert slot.holes is None
    assert listener("audio").holes is None


def test_what_the_publisher_cannot_bring_any_more_makes_numbers_leap_and_asks_for_one_key_frame() -> None:
    slot = listener("video")
    source, wire = watched(slot)
    send(source, wire, 4, OTHER)
    assert source.missing(now=0.1, rtt=RTT) == [3]
    assert not source.wants_keyframe(now=0.2, rtt=RTT)
    source.missing(now=1.2, rtt=RTT)
    send(source, wire, 5, OTHER, now=1.2)
    assert source.wants_keyframe(now=1.2, rtt=RTT)
    assert not source.wants_keyframe(now=1.25, rtt=RTT)
    wire.take()
    send(source, wire, 6, KEY, now=1.3)
    assert len(wire.take()) == 3
    assert slot.holes is not None and not slot.holes.given_up


def test_a_leap_empties_the_buffer_of_stock_aiortc_whatever_waits_in_it_also_over_the_wrap() -> None:
    for waiting in (1, 2, 100, 500):
        for start in (100, 0xFFFF - waiting - LEAP // 2, 0xFFFE - waiting):
            buffer = JitterBuffer(capacity=512, is_video=True)
            frames = [*range(start, start + waiting)]
            for number in (start - 2, *frames):  # behind start - 2 one is missing
                buffer.add(stock_packet(number, number))
            key = start + waiting + LEAP
            buffer.add(stock_packet(key, key))
            _, frame = buffer.add(stock_packet(key + 1, key + 1))
            assert frame is not None and frame.timestamp == key


def stock_packet(number: int, timestamp: int) -> StockPacket:
    packet = StockPacket(sequence_number=number & 0xFFFF, timestamp=timestamp)
    packet._data = b"data"  # type: ignore[attr-defined]  # as aiortc's receiver does
    return packet


# --- whole calls: aiortc's own peer connections, real DTLS and SRTP, links of rtc.netem


def simulate(scenario: Callable[[Screen, Callable[..., None], Peer], Coroutine[None, None, None]]) -> None:
    """Run a scenario with a screen that shows a film, what sets the loss of the hops, and the peer of the camera."""

    async def main() -> None:
        loop, screen = asyncio.get_running_loop(), Screen()
        assert isinstance(loop, VirtualLoop)

        def lose(*, up: float = 0.0, down: float = 0.0, back: float = 0.0) -> None:
            for (source, target), link in links.items():
                loss = up if source == CAMERA else back if source == VIEWER else down if target == VIEWER else 0.0
                link.profile = LinkProfile(loss=loss, delay=RTT / 2)

        with clocks():
            async with watching(screen, grain=False) as camera:
                await asyncio.sleep(2)
                await scenario(screen, lose, camera)

    links: dict[tuple[str, str], Link] = {}

    def between(source: Address, target: Address) -> Link:
        seed = f"3 {source[0]} {target[0]}"
        return links.setdefault((source[0], target[0]), Link(LinkProfile(delay=RTT / 2), seed=seed))

    run(main(), link_between=between)


def longest(screen: Screen, since: float) -> float:
    """The longest time for which a picture was shown."""
    shown = [since, *(moment for moment in screen.shown if moment >= since), asyncio.get_running_loop().time()]
    return max(after - before for before, after in pairwise(shown))


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_after_the_network_was_away_the_picture_comes_back_at_once(seconds: float) -> None:
    """Longer than what aiortc can ask for, its buffer would stand until it is full: half a minute at this rate."""

    async def scenario(screen: Screen, lose: Callable[..., None], camera: Peer) -> None:
        lose(down=1.0, back=1.0)
        await asyncio.sleep(seconds)
        lose()
        since = asyncio.get_running_loop().time()
        await asyncio.sleep(6)
        assert longest(screen, since) <= 1.5
        assert len([moment for moment in screen.shown if moment > since + 1.5]) > 0.95 * 4.5 * FPS

    simulate(scenario)


def test_what_the_publisher_lost_for_good_is_not_waited_for() -> None:
    async def scenario(screen: Screen, lose: Callable[..., None], camera: Peer) -> None:
        lose(up=0.95)
        await asyncio.sleep(2)
        lose()
        since = asyncio.get_running_loop().time()
        await asyncio.sleep(6)
        assert longest(screen, since) <= 1.5

    simulate(scenario)


def test_a_request_that_is_lost_is_made_again() -> None:
    """All that the viewer says is lost when it misses packets: it would only speak again at the next gap."""

    async def scenario(screen: Screen, lose: Callable[..., None], camera: Peer) -> None:
        lose(down=0.1)
        await asyncio.sleep(2)  # the server knows that something is lost
        lose()
        await asyncio.sleep(1)  # and nothing has been missing for long
        since = asyncio.get_running_loop().time()
        lose(down=0.5, back=1.0)
        await asyncio.sleep(0.2)
        lose(back=1.0)
        await asyncio.sleep(0.2)
        lose()
        asked = camera.counts().feedback.plis_out
        await asyncio.sleep(5)
        assert longest(screen, since) <= 1.0
        assert camera.counts().feedback.plis_out == asked, "it was repaired, without a key frame"

    simulate(scenario)
