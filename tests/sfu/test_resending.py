"""What is sent again to a listener that asks for it: the same to the bit or as RTX, within a budget."""

from __future__ import annotations

import pytest
from test_fanout import AUDIO, OPUS, VIDEO, VP8_RTX, Wire, listener, numbers, send, source_of

from rtc.repair.redundancy import Protection
from rtc.sfu.downlink import Downlink
from rtc.sfu.leg import Leg
from rtc.sfu.outlet import Outlet
from rtc.sfu.slot import RESEND_BITRATE, RESEND_BURST_BYTES, Slot
from rtc.sfu.source import Source
from rtc.wire.extensions import AUDIO_LEVEL, TRANSPORT_CC
from rtc.wire.level import EVERYTHING
from rtc.wire.rtp import parse_rtp


def resend(source: Source, slot: Slot, wire: Wire, back: int) -> None:
    """The listener asks for what it got `back` packets before the newest."""
    leg = source.fanout.leg(slot)
    assert leg is not None
    stored = source.history.get(source.fanout.highest - back)
    assert stored is not None
    source.fanout.resend(leg, stored, wire.sender, now=9.0)


def test_a_packet_sent_again_is_the_same_to_the_bit_whatever_has_changed_since() -> None:
    source, wire, slot, other = source_of(), Wire(), listener(), listener(destination=1)
    slot.source = source
    source.fanout.attach(slot)
    source.fanout.protect(slot, Protection(depth=1))
    for sequence in (1, 2, 4):
        send(source, wire, sequence, bytes([sequence]) * 3, level=sequence)
    send(source, wire, 3, b"late")
    source.fanout.protect(slot, Protection(depth=3))
    send(source, wire, 5, b"five")
    source.fanout.attach(other)
    send(source, wire, 6, b"six")
    wire.flush()
    first = {parse_rtp(plain).sequence_number: plain for to, plain in wire.plain if to == 0}
    wire.plain.clear()
    for back in range(6):
        resend(source, slot, wire, back)
    wire.flush()
    assert len(wire.plain) == 6
    for _, plain in wire.plain:
        assert first[parse_rtp(plain).sequence_number] == plain


def test_rtx_takes_a_number_of_its_own_each_time() -> None:
    source, wire, slot = source_of("video"), Wire(), listener("video")
    source.fanout.attach(slot)
    send(source, wire, 1, b"\x10\x00key", marker=True)
    (original,) = wire.take()
    resend(source, slot, wire, 0)
    resend(source, slot, wire, 0)
    again = wire.take()
    assert numbers(again) == [again[0].sequence_number, again[0].sequence_number + 1]
    for packet in again:
        assert (packet.ssrc, packet.payload_type) == (slot.rtx_ssrc, VP8_RTX)
        assert packet.payload == original.sequence_number.to_bytes(2, "big") + original.payload
        assert (packet.timestamp, packet.marker) == (original.timestamp, original.marker)


class SlowPath(Downlink):
    """One packet in 20 ms."""

    def departs(self, size: int, *, now: float, most: float = 0.25) -> tuple[int, float]:
        number, _ = super().departs(size, now=now, most=most)
        return number, now + 0.02 * number


def test_a_copy_leaves_after_the_packet_it_is_a_copy_of_and_what_probes_the_path_has_none() -> None:
    """One that left before, where packets are paced, would make the path seem shorter than it is."""
    source, wire, slot = source_of("video"), Wire(), listener("video")
    slot.configure(VIDEO, {TRANSPORT_CC: 3})
    slot.outlet.downlink = SlowPath()
    source.fanout.attach(slot)
    source.fanout.protect(slot, Protection(copies=2, spacing=0.012))
    for sequence in range(4):
        send(source, wire, sequence, b"\x10\x00key" + bytes(1000), now=1.0)
    left: dict[int, list[float]] = {}
    for step in range(1000):
        wire.sender.send_due(now=1.0 + step / 1000)
        for packet in wire.take():
            left.setdefault(packet.sequence_number, []).append(step / 1000)
    assert [len(times) for times in left.values()] == [2] * 4
    assert [round(copy - first, 3) for first, copy in left.values()] == [0.012] * 4
    assert max(first for first, _ in left.values()) >= 0.05, "they were paced"
    leg = source.fanout.leg(slot)
    stored = source.history.get(source.fanout.highest)
    assert leg is not None and stored is not None
    source.fanout.resend(leg, stored, wire.sender, now=3.0, copied=False)
    wire.sender.send_due(now=9.0)
    assert len(wire.take()) == 1


def test_nothing_is_sent_again_under_terms_that_were_not_those_of_then() -> None:
    source, wire, slot, other = source_of(), Wire(), listener(), listener(destination=1)
    slot.source = source
    source.fanout.attach(slot)
    send(source, wire, 1, level=1)
    slot.configure(AUDIO, {AUDIO_LEVEL: 9})
    source.fanout.attach(other)
    send(source, wire, 2, level=2)
    wire.take()
    leg = source.fanout.leg(slot)
    assert leg is not None and leg.first == source.fanout.highest


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_listener_gets_so_much_again_and_no_more(kind: str) -> None:
    leg = Leg(Slot("0", kind, Outlet()), 0, 0, 0, OPUS, EVERYTHING, [], [(0, 0)], 0, 0)

    def again(packets: int, interval: float) -> int:
        """Packets of 1000 bytes that go out when each is asked for once."""
        sent = 0
        for number in range(packets):
            if leg.may_resend(number, now=interval * number, rtt=0.0):
                leg.was_resent(number, 1000, leaves=interval * number, now=interval * number)
                sent += 1
        return sent

    assert again(1000, 0.0) == pytest.approx(RESEND_BURST_BYTES[kind] / 1000, abs=1)
    assert again(10_000, 0.001) == pytest.approx(10 * RESEND_BITRATE[kind] / 8000, abs=2)


def test_what_is_sent_again_counts_by_its_bytes_on_the_wire_not_by_those_of_the_frame_asked_for() -> None:
    """Who asked for the short ones among long frames was sent 1.5 times the budget: their redundancy is long."""
    source, wire, slot = source_of(), Wire(), listener()
    slot.source = source
    source.fanout.attach(slot)
    source.fanout.protect(slot, Protection(depth=3, copies=2))
    for sequence in range(8):
        send(source, wire, sequence, bytes(200 if sequence % 4 else 3))
    leg = source.fanout.leg(slot)
    assert leg is not None
    for back in range(8):
        wire.take()
        stored = source.history.get(source.fanout.highest - back)
        assert stored is not None
        octets = source.fanout.resend(leg, stored, wire.sender, now=9.0)
        (packet,) = wire.take()
        assert octets == 2 * (len(packet.serialize()) + 16 + 28)
    source.fanout.suspend()
    assert source.fanout.resend(leg, stored, wire.sender, now=9.0) == 0, "nothing was sent"


def test_a_packet_asked_for_twice_within_a_round_trip_goes_out_once() -> None:
    leg = Leg(listener(), 0, 0, 0, OPUS, EVERYTHING, [], [(0, 0)], 0, 0)
    for moment, sent in ((1.0, True), (1.08, False), (1.1, True)):
        assert leg.may_resend(5, now=moment, rtt=0.1) is sent
        if sent:
            leg.was_resent(5, 200, leaves=moment, now=moment)
