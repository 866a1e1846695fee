"""What a listener of some layers is sent: one continuous stream, whatever is left out of it or takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from test_fanout import VIDEO, Wire, listener, pass_on, source_of, vp8

from rtc.repair.clock import SenderClock
from rtc.sfu.group import SCALAR_LEGS
from rtc.sfu.slot import Slot
from rtc.sfu.source import Source
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.payload import Vp8Descriptor
from rtc.wire.rtp import RtpHeader, RtpPacket
from rtc.wire.sdp import Codec

TIMES = 90_000 // 30
VP9 = 98
AV1 = 45
AV1_KEY = bytes.fromhex(
    "c00001800514853aaaa8018004004002a02a0060010015d34514174d144c700874321651118543276809f8077813f80ef8"
)
"""Dependency descriptor of a key frame in L2T3_KEY, as Chromium writes it."""
AV1_TEMPLATES = ((1, 6), (3, 8), (2, 7), (4, 9))
"""Templates of the lower and the upper layer in pictures of temporal layers 0, 2, 1, 2."""


class Camera:
    """An encoding with three temporal layers, as libvpx makes it: frames of 0, 2, 1, 2, each of two packets."""

    def __init__(self, source: Source, wire: Wire, *, first: int = 1000, picture: int = 77, timestamp: int = 0) -> None:
        self.source, self.wire = source, wire
        self.sequence, self.picture, self.timestamp = first, picture, timestamp
        self.tl0 = 200
        self.place = 0
        self.frames: list[int] = []
        """Layer of each frame so far."""
        self.said: dict[bytes, Vp8Descriptor] = {}
        """What each packet said of itself, by what it ends with."""

    def frame(self, *, key: bool = False, lose: Sequence[int] = (), now: float = 0.0) -> list[RtpPacket]:
        """The next frame; returns the packets `lose` (by place) that do not arrive, to be sent again."""
        layer = 0 if key else (0, 2, 1, 2)[self.place % 4]
        sync = self.place % 8 in (1, 2, 3)
        self.place = 0 if key else self.place
        self.tl0 += layer == 0
        lost = []
        for part in range(2):
            head = bytearray(vp8(layer, self.picture, sync=sync, key=key, tl0=self.tl0))
            if part:
                head[0] &= ~0x10
            self.said[self.sequence.to_bytes(4, "big")] = Vp8Descriptor.parse(head)
            packet = RtpPacket(
                96, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.source.ssrc or 0, part == 1,
                bytes(head) + self.sequence.to_bytes(4, "big"),
            )
            self.sequence += 1
            if part in lose:
                lost.append(packet)
            else:
                self.deliver(packet, now=now)
        self.frames.append(layer)
        self.place += 1
        self.picture = self.picture + 1 & 0x7FFF
        self.timestamp += TIMES
        return lost

    def deliver(self, packet: RtpPacket, *, now: float = 0.0) -> None:
        header = RtpHeader(
            packet.marker, 96, packet.sequence_number, packet.timestamp, packet.ssrc, (), 0, 0, 0, 12, 1, 0
        )
        pass_on(self.source, self.source.receive(header, "VP8", packet.payload, (), now=now), self.wire, now)


    def described(self, packets: Sequence[RtpPacket]) -> list[Vp8Descriptor]:
        """What the camera had said of what was sent on."""
        return [self.said[packet.payload[-4:]] for packet in packets if packet.payload]


def assert_continuous(packets: Sequence[RtpPacket]) -> None:
    """Numbers without a hole, and nothing said of layers: a receiver is to ask for all that it does not get."""
    assert {(b.sequence_number - a.sequence_number) & 0xFFFF for a, b in pairwise(packets)} <= {1}
    assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)} <= {0, *range(1, 9 * TIMES)}
    assert {packet.payload[0] for packet in packets if packet.payload} <= {0x00, 0x10}


@pytest.fixture(params=[1, 4, SCALAR_LEGS])
def slots(request: pytest.FixtureRequest) -> list[Slot]:
    """Listeners of one camera: so few that they are written one by one, and so many that they are together."""
    return [listener("video", destination) for destination in range(request.param)]


def follow(source: Source, slots: Sequence[Slot]) -> None:
    for slot in slots:
        slot.listen_to(source)


def take(wire: Wire, slots: Sequence[Slot]) -> list[RtpPacket]:
    """What the first of them got; all got the same."""
    wire.flush()
    got = [[RtpPacket.parse(data) for to, data in wire.plain if to == place] for place in range(len(slots))]
    wire.plain.clear()
    assert len({tuple(packet.payload for packet in one) for one in got}) == 1
    return got[0]


@pytest.mark.parametrize(("temporal", "expected"), [(0, {0}), (1, {0, 1}), (2, {0, 1, 2})])
def test_frames_of_upper_layers_are_left_out_without_a_trace(
    slots: list[Slot], temporal: int, expected: set[int]
) -> None:
    wire = Wire()
    camera = Camera(source_of("video"), wire, picture=0x7FFE)
    follow(camera.source, slots)
    for slot in slots:
        slot.show(camera.source, Level(255, temporal))
    camera.frame(key=True)
    for _ in range(16):
        camera.frame()
    packets = take(wire, slots)
    assert_continuous(packets)
    assert {one.temporal_id for one in camera.described(packets)} == expected
    assert len(packets) == 2 * sum(layer in expected for layer in camera.frames)
    sent, octets = slots[0].sent()
    assert (sent, octets) == (len(packets), sum(len(packet.payload) for packet in packets))


def test_layers_go_at_once_and_come_back_where_the_decoder_can_follow(slots: list[Slot]) -> None:
    wire = Wire()
    camera = Camera(source_of("video"), wire)
    follow(camera.source, slots)
    camera.frame(key=True)
    heights = []
    for place in range(80):
        if place in (10, 42):
            for slot in slots:
                slot.show(camera.source, Level(255, 0) if place == 10 else EVERYTHING)
        camera.frame()
        heights.append(camera.frames[-1])
    packets = take(wire, slots)
    assert_continuous(packets)
    got = [one.temporal_id for one in camera.described(packets) if one.start_of_frame]
    assert got[1:11] == heights[:10]
    assert set(got[11:19]) == {0}, "eight base frames in 32"
    assert got[-20:] == heights[-20:]
    # Up again, one layer at a time, each with a frame that needs none of that layer before it.
    first = {layer: next(one for one in camera.described(packets)[40:] if one.temporal_id == layer) for layer in (1, 2)}
    assert first[1].layer_sync and first[2].layer_sync


@pytest.mark.parametrize("part", [0, 1])
def test_what_was_lost_on_the_way_here_fills_its_number_even_if_it_is_above_the_level(
    slots: list[Slot], part: int
) -> None:
    wire = Wire()
    camera = Camera(source_of("video"), wire)
    follow(camera.source, slots)
    for slot in slots:
        slot.show(camera.source, Level(255, 1))
    camera.frame(key=True)
    lost: list[RtpPacket] = []
    for _ in range(16):
        lost += camera.frame(lose=[part])
    before = take(wire, slots)
    for packet in lost:
        camera.deliver(packet, now=0.1)
    repaired = take(wire, slots)
    everything = sorted([*before, *repaired], key=lambda packet: packet.sequence_number)
    assert_continuous(everything)
    assert {one.temporal_id for one in camera.described(everything)} == {0, 1}
    assert any(not packet.payload for packet in repaired), "nobody knew what it was when others went out"


def test_a_listener_may_ask_again_for_whatever_layers_it_had(slots: list[Slot]) -> None:
    wire = Wire()
    camera = Camera(source_of("video"), wire)
    source = camera.source
    follow(source, slots)
    camera.frame(key=True)
    for place in range(40):
        if place % 12 == 6:
            for slot in slots:
                slot.show(source, Level(255, place % 3))
        camera.frame(lose=[0] if place % 7 == 0 else [])
    got = {packet.sequence_number: packet for packet in take(wire, slots)}
    leg = source.fanout.leg(slots[0])
    assert leg is not None
    for number, packet in got.items():
        sequence = source.fanout.source_sequence(leg, number)
        stored = source.history.get(sequence)
        assert stored is not None
        source.fanout.resend(leg, stored, wire.sender, now=5.0)
        (again,) = wire.take()
        assert again.payload == number.to_bytes(2, "big") + packet.payload
        assert (again.marker, again.timestamp) == (packet.marker, packet.timestamp)


def encodings(wire: Wire) -> list[Camera]:
    """Two encodings of one camera, whose RTP clocks started at different times."""
    clock = SenderClock()
    made = []
    for place in range(2):
        source = Source("video", "0", clock, copies=False, rid="qf"[place])
        source.use_ssrc(7 + place, now=0.0)
        made.append(Camera(source, wire, first=100 + 40_000 * place, picture=9 * place, timestamp=5_000_000 * place))
    return made


@pytest.mark.parametrize("reported", [True, False])
def test_an_encoding_takes_over_with_its_key_frame_and_nothing_jumps(slots: list[Slot], reported: bool) -> None:
    wire = Wire()
    low, high = encodings(wire)
    if reported:
        for camera in (low, high):
            camera.source.clock.sender_report(1000.0, camera.timestamp, now=0.02)
    follow(low.source, slots)
    packets = []
    for place in range(90):
        now = 0.02 + place / 30
        if place in (20, 60):
            for slot in slots:
                slot.move_to((high if place == 20 else low).source)
        # The larger one takes longer to come.
        low.frame(key=place in (0, 70), now=now)
        high.frame(key=place in (0, 30), now=now + 0.015)
        packets += take(wire, slots)
    assert_continuous(packets)
    # The picture of which both sizes were sent is 1 tick later than it was; all others keep the time of their capture.
    first = packets[0].timestamp
    late = [(packet.timestamp - first) % TIMES for packet in packets]
    if reported:
        assert set(late) <= {0, 1}
    else:
        assert max(min(ticks, TIMES - ticks) for ticks in late) <= 0.016 * 90_000
    assert [slot.source for slot in slots] == [low.source] * len(slots)
    assert len(low.source.fanout) == len(slots) and len(high.source.fanout) == 0


def test_what_waits_for_an_encoding_that_never_comes_keeps_what_it_has() -> None:
    wire, slot = Wire(), listener("video")
    low, high = encodings(wire)
    slot.listen_to(low.source)
    low.frame(key=True)
    slot.move_to(high.source)
    for _ in range(10):
        low.frame()
        high.frame()
    assert len(wire.take()) == 22
    slot.move_to(low.source)
    high.frame(key=True)
    assert wire.take() == [] and len(high.source.fanout) == 0
    slot.move_to(high.source)
    slot.listen_to(None)
    assert len(low.source.fanout) == len(high.source.fanout) == 0


def vp9_packet(spatial: int, temporal: int, *, first: bool, key: bool, switching: bool = False) -> bytes:
    """One packet that is a whole layer frame, in non-flexible mode (RFC 9628 4.2)."""
    head = 0x20 | 0x0C | (0 if key else 0x40)
    return bytes([head, temporal << 5 | switching << 4 | spatial << 1 | (not first), 0, 0xAA])


def test_a_smaller_picture_of_vp9_ends_where_the_larger_would_go_on() -> None:
    wire, slot = Wire(), listener("video")
    slot.configure((*VIDEO[:1], Codec("VP9", VP9, 90_000)), {})
    source = source_of("video")
    slot.listen_to(source)
    slot.show(source, Level(1, 255))
    sequence = 10
    for picture in range(6):
        if picture == 4:
            slot.show(source, EVERYTHING)
        for spatial in range(3):
            payload = vp9_packet(spatial, 0, first=spatial == 0, key=picture in (0, 5))
            header = RtpHeader(spatial == 2, VP9, sequence, picture * TIMES, 7, (), 0, 0, 0, 12, 1, 0)
            pass_on(source, source.receive(header, "VP9/0", payload, (), now=0.0), wire, 0.0)
            sequence += 1
    packets = wire.take()
    assert {(b.sequence_number - a.sequence_number) & 0xFFFF for a, b in pairwise(packets)} == {1}
    assert [packet.payload[1] >> 1 & 7 for packet in packets] == [0, 1] * 5 + [0, 1, 2]
    assert [packet.marker for packet in packets] == [False, True] * 5 + [False, False, True]


@pytest.mark.parametrize(("temporal", "kept"), [(0, 1), (1, 2), (255, 4)])
def test_of_av1_a_browser_gets_the_lowest_picture_and_as_many_frames_as_it_can(temporal: int, kept: int) -> None:
    """It tells the frames of one picture apart by the dependency descriptor alone, which it does not ask for."""
    wire, slot = Wire(), listener("video")
    slot.configure((*VIDEO[:1], Codec("AV1", AV1, 90_000)), {})
    source = source_of("video")
    slot.listen_to(source)
    slot.show(source, Level(255, temporal))
    sequence, frame = 10, 0
    for picture in range(9):
        for spatial in range(2):
            template = AV1_TEMPLATES[(picture + 3) % 4][spatial]
            descriptor = AV1_KEY if frame == 0 else bytes([0xC0 | template, 0, frame])
            if picture == 0 and spatial:
                descriptor = bytes([0xC5, 0, frame])
            header = RtpHeader(spatial == 1, AV1, sequence, picture * TIMES, 7, (), 0, 0, 0, 12, 1, 0)
            payload = bytes([0x18 if frame == 0 else 0x10, 0x0A, spatial, picture])
            received = source.receive(header, "AV1", payload, (), descriptor=descriptor, now=0.0)
            pass_on(source, received, wire, 0.0)
            sequence, frame = sequence + 1, frame + 1
    packets = wire.take()
    assert {(b.sequence_number - a.sequence_number) & 0xFFFF for a, b in pairwise(packets)} == {1}
    assert all(packet.marker and packet.payload[2] == 0 for packet in packets)
    assert len(packets) == 1 + 2 * kept


def test_a_descriptor_that_cannot_be_read_is_counted_and_its_packet_passed_on() -> None:
    wire, slot = Wire(), listener("video")
    slot.configure((*VIDEO[:1], Codec("AV1", AV1, 90_000)), {})
    source = source_of("video")
    slot.listen_to(source)
    malformed = (AV1_KEY[:-5], b"\xc0", bytes([0xFF, 0, 9]), AV1_KEY + bytes(200))
    for sequence, descriptor in enumerate((*malformed, AV1_KEY + bytes(100))):
        header = RtpHeader(True, AV1, sequence, sequence * TIMES, 7, (), 0, 0, 0, 12, 1, 0)
        received = source.receive(header, "AV1", b"\x18\x0a\x00", (), descriptor=descriptor, now=0.0)
        pass_on(source, received, wire, 0.0)
    assert source.strays == len(malformed) and len(wire.take()) == len(malformed) + 1
