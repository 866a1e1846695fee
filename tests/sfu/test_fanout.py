"""What each listener of a source is sent: continuous, the same by both ways of writing, no number used twice."""

from __future__ import annotations

import secrets
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.repair.clock import SenderClock
from rtc.repair.redundancy import Protection
from rtc.sfu.group import SCALAR_LEGS
from rtc.sfu.outlet import Outlet
from rtc.sfu.packet import SourcePacket
from rtc.sfu.sender import Sender
from rtc.sfu.slot import Slot
from rtc.sfu.source import Source
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.srtp import SrtpSession
from rtc.wire.extensions import AUDIO_LEVEL, VIDEO_ORIENTATION
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.red import RedBlock
from rtc.wire.rtp import RtpHeader, RtpPacket, parse_rtp
from rtc.wire.sdp import Codec

PROFILE = "SRTP_AEAD_AES_128_GCM"
KEY = secrets.token_bytes(28)
OPUS, RED, VP8, VP8_RTX, H264 = 111, 63, 96, 97, 98
AUDIO = (Codec("opus", OPUS, 48000, 2), Codec("red", RED, 48000, 2))
VIDEO = (Codec("VP8", VP8, 90000, rtx_payload_type=VP8_RTX), Codec("VP9", H264, 90000))
EXTENSIONS = {AUDIO_LEVEL: 1, VIDEO_ORIENTATION: 2}


class Wire:
    """The outbox of a node, and what the listeners decrypt of it."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.sender = Sender(self.outbox, self._transmit)
        self.plain: list[tuple[int, bytes]] = []
        """Destination and plaintext, in order."""
        self._inbox = Inbox(capacity=1)

    def flush(self) -> None:
        while self.sender.settle():
            pass
        self._transmit()

    def _transmit(self) -> None:
        for data, destination in self.outbox.datagrams():
            inbox = self._inbox
            inbox.rows[0][: len(data)] = data
            inbox.lengths[0] = len(data)
            # A fresh receiver each time, lest it refuses what is sent again.
            receiver = SrtpSession.from_key(PROFILE, KEY, inbound=True)
            assert receiver.unprotect(inbox.pointers[0], inbox.length_pointers[0]), "plaintext, or another's key"
            self.plain.append((destination, bytes(inbox.rows[0][: inbox.lengths[0]])))
        self.outbox.clear()

    def take(self, destination: int = 0) -> list[RtpPacket]:
        """What has gone to one destination since the last time; the rest is forgotten."""
        self.flush()
        found = [RtpPacket.parse(data) for to, data in self.plain if to == destination]
        self.plain.clear()
        return found


def listener(kind: str = "audio", destination: int = 0) -> Slot:
    slot = Slot("0", kind, Outlet(destination, SrtpSession.from_key(PROFILE, KEY, inbound=False)))
    slot.configure(AUDIO if kind == "audio" else VIDEO, EXTENSIONS)
    return slot


def source_of(kind: str = "audio") -> Source:
    source = Source(kind, "0", SenderClock(), copies=False)
    source.use_ssrc(7, now=0.0)
    return source


def pass_on(source: Source, packets: list[SourcePacket], wire: Wire, now: float) -> None:
    """As a room does."""
    for packet in packets:
        if packet.sequence > source.fanout.highest:
            source.fanout.forward(packet, wire.sender, starts=source.starts_here(packet), now=now)
        else:
            source.fanout.forward_late(packet, wire.sender, now=now)


def send(
    source: Source, wire: Wire, sequence: int, payload: bytes = b"opus", *, now: float = 0.0, codec: str = "",
    timestamp: int | None = None, marker: bool = False, level: int | None = None,
) -> None:
    """A packet of the publisher arrives."""
    codec = codec or ("opus" if source.kind == "audio" else "VP8")
    stamp = sequence * 960 if timestamp is None else timestamp
    header = RtpHeader(marker, 100, sequence & 0xFFFF, stamp & 0xFFFFFFFF, source.ssrc or 0, (), 0, 0, 0, 12, 1, 0)
    carried = () if level is None else ((AUDIO_LEVEL, bytes([level])),)
    pass_on(source, source.receive(header, codec, payload, carried, now=now), wire, now)


def numbers(packets: list[RtpPacket]) -> list[int]:
    return [packet.sequence_number for packet in packets]


def test_a_listener_hears_from_the_next_packet_on_with_numbers_of_its_own() -> None:
    source, wire, slot = source_of(), Wire(), listener()
    send(source, wire, 1)
    source.fanout.attach(slot)
    for sequence in (2, 3, 5):
        send(source, wire, sequence, bytes([sequence]), level=sequence, marker=sequence == 3)
    packets = wire.take()
    first = slot.last_sequence + 1
    assert numbers(packets) == [first, first + 1, first + 3]
    assert [p.payload for p in packets] == [b"\x02", b"\x03", b"\x05"]
    assert [p.marker for p in packets] == [False, True, False]
    assert {p.ssrc for p in packets} == {slot.ssrc} and {p.payload_type for p in packets} == {OPUS}
    assert [p.extensions for p in packets] == [{1: b"\x02"}, {1: b"\x03"}, {1: b"\x05"}]
    assert [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)] == [960, 1920]


def test_a_late_packet_goes_only_to_who_had_started_before_it() -> None:
    source, wire = source_of(), Wire()
    early, late = listener(destination=0), listener(destination=1)
    source.fanout.attach(early)
    send(source, wire, 1)
    send(source, wire, 3)
    source.fanout.attach(late)
    send(source, wire, 4)
    wire.flush()
    wire.plain.clear()
    send(source, wire, 2, b"late")
    wire.flush()
    assert [to for to, _ in wire.plain] == [0]
    assert RtpPacket.parse(wire.plain[0][1]).payload == b"late"


@pytest.mark.parametrize("event", ["mute", "switch", "restart", "new ssrc", "new path"])
def test_numbers_and_time_go_on_over(event: str) -> None:
    source, wire, slot = source_of(), Wire(), listener()
    source.fanout.attach(slot)
    for place in range(3):
        send(source, wire, 100 + place, now=place * 0.02)
    if event == "mute":
        source.fanout.suspend()
        send_from, now = 103, 2.0
    elif event == "switch":
        source.fanout.detach(slot)
        source = source_of()
        send(source, wire, 4000, now=0.5)
        source.fanout.attach(slot)
        send_from, now = 4001, 2.0
    elif event == "restart":
        send(source, wire, 50_000, now=1.98)
        send_from, now = 50_001, 2.0
    elif event == "new ssrc":
        source.use_ssrc(8, now=2.0)
        send_from, now = 9, 2.0
    else:
        source.fanout.suspend_one(slot)
        send_from, now = 103, 2.0
    for place in range(3):
        send(source, wire, send_from + place, now=now + place * 0.02)
    packets = wire.take()
    assert numbers(packets) == list(range(packets[0].sequence_number, packets[0].sequence_number + 6))
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)]
    assert steps[:2] == steps[3:] == [960, 960]
    assert steps[2] == pytest.approx((2.0 - 0.04) * 48000, abs=1)


def test_a_mute_ends_on_silence_and_what_comes_after_it_is_not_swallowed() -> None:
    """The silence takes numbers that the source goes on to use itself."""
    for protection in (Protection(), Protection(depth=2)):
        source, wire, slot = source_of(), Wire(), listener()
        source.fanout.attach(slot)
        source.fanout.protect(slot, protection)
        send(source, wire, 1, b"before")
        source.fanout.hush(wire.sender, now=0.02)
        source.fanout.suspend()
        for sequence in (2, 3):
            send(source, wire, sequence, bytes([sequence]) * 5, now=5.0 + sequence / 50)
        packets = wire.take()
        assert numbers(packets) == list(range(packets[0].sequence_number, packets[0].sequence_number + 6))
        assert [p.payload[-5:] for p in packets[4:]] == [b"\x02" * 5, b"\x03" * 5]


def test_a_listener_that_cannot_decode_waits_and_gets_nothing() -> None:
    source, wire = source_of("video"), Wire()
    able, unable = listener("video", 0), listener("video", 1)
    unable.configure(VIDEO[1:], EXTENSIONS)
    for slot in (able, unable):
        source.fanout.attach(slot)
    send(source, wire, 1, b"\x10\x00key")
    assert not source.fanout.has_newcomers, "no key frame would help"
    wire.flush()
    assert [to for to, _ in wire.plain] == [0]


def test_video_starts_with_a_key_frame() -> None:
    source, wire, slot = source_of("video"), Wire(), listener("video")
    source.fanout.attach(slot)
    send(source, wire, 1, b"\x10\x01delta")
    assert source.needs_start and source.wants_keyframe(now=0.0, rtt=0.05)
    send(source, wire, 2, b"\x10\x00key")
    send(source, wire, 3, b"\x00rest")
    assert not source.needs_start
    assert [p.payload for p in wire.take()] == [b"\x10\x00key", b"\x00rest"]


def test_a_packet_too_long_to_protect_is_counted_and_hurts_nobody() -> None:
    for count in (1, SCALAR_LEGS):
        source, wire = source_of(), Wire()
        for destination in range(count):
            source.fanout.attach(listener(destination=destination))
        send(source, wire, 1, bytes(1600))
        send(source, wire, 2)
        wire.flush()
        assert wire.sender.failures == count
        assert len(wire.take()) == 1


def test_who_has_no_path_is_sent_nothing_and_holds_up_nobody() -> None:
    source, wire = source_of(), Wire()
    slots = [listener(destination=i) for i in range(SCALAR_LEGS + 1)]
    slots[0].outlet.session = None
    slots[1].outlet.destination = -1
    for slot in slots:
        source.fanout.attach(slot)
    send(source, wire, 1)
    wire.flush()
    assert sorted(to for to, _ in wire.plain) == list(range(2, SCALAR_LEGS + 1))


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40), st.integers(0, 255)), max_size=30), st.data())
@settings(max_examples=40, deadline=None)
def test_both_ways_of_writing_make_the_same_packets(steps: list[tuple[int, bytes, int]], data: st.DataObject) -> None:
    """Many listeners are written with numpy, few one by one: nobody can tell which."""
    count = SCALAR_LEGS + 2
    many, few = source_of(), [source_of() for _ in range(count)]
    wires = Wire(), Wire()
    for place in range(count):
        one, twin = listener(destination=place), listener(destination=place)
        twin.ssrc, twin.last_sequence, twin.last_timestamp = one.ssrc, one.last_sequence, one.last_timestamp
        if data.draw(st.booleans()):
            for slot in (one, twin):
                slot.configure(AUDIO, {})
        many.fanout.attach(one)
        few[place].fanout.attach(twin)
    sequence = 65_530
    for gap, payload, level in steps:
        sequence += gap - 1 or 1
        for source, wire in [(many, wires[0]), *((one, wires[1]) for one in few)]:
            send(source, wire, sequence, payload or b"x", level=level, marker=level > 128, now=sequence * 0.02)
    for wire in wires:
        wire.flush()
    assert sorted(wires[0].plain) == sorted(wires[1].plain)


def vp8(layer: int, picture: int, *, sync: bool = False, key: bool = False, tl0: int = 0) -> bytes:
    """The start of a frame with picture id, TL0PICIDX and temporal layer (RFC 7741 4.2)."""
    return bytes([0x90, 0xE0, 0x80 | picture >> 8 & 0x7F, picture & 0xFF, tl0 & 0xFF, layer << 6 | sync << 5, not key])


def which_layer(number: int) -> tuple[int, bool]:
    """Layer and sync bit of the frames of a stream with three temporal layers, as libvpx makes it."""
    return (0, 2, 1, 2)[number % 4], number % 8 in (1, 2, 3)


OPS = st.one_of(
    st.tuples(st.just("next"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("next"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("late"), st.integers(0, 30), st.integers(0, 1)),
    st.tuples(st.just("jump"), st.integers(0, 65535), st.integers(0, 1)),
    st.tuples(st.just("sender"), st.integers(0, 65535), st.integers(0, 1)),
    st.tuples(st.just("red"), st.integers(0, 16000), st.integers(0, 1)),
    st.tuples(st.just("mute"), st.just(0), st.integers(0, 1)),
    st.tuples(st.just("slot"), st.integers(0, 6), st.integers(0, 1)),
    st.tuples(st.just("detach"), st.integers(0, 6), st.just(0)),
    st.tuples(st.just("aim"), st.integers(0, 6), st.integers(0, 3)),
    st.tuples(st.just("move"), st.integers(0, 6), st.integers(0, 1)),
    st.tuples(st.just("path"), st.integers(0, 6), st.just(0)),
    st.tuples(st.just("protect"), st.integers(0, 6), st.integers(0, 3)),
    st.tuples(st.just("configure"), st.integers(0, 6), st.integers(0, 2)),
    st.tuples(st.just("resend"), st.integers(0, 6), st.integers(0, 40)),
    st.tuples(st.just("resend"), st.integers(0, 6), st.integers(0, 4)),
    st.tuples(st.just("resend"), st.integers(0, 6), st.integers(0, 4)),
)


@given(st.sampled_from(["audio", "video"]), st.lists(OPS, max_size=120))
@settings(max_examples=150, deadline=None)
def test_no_number_of_an_ssrc_is_ever_used_for_two_plaintexts(kind: str, ops: list[tuple[str, int, int]]) -> None:
    """GCM fails outright when a nonce encrypts two texts; a nonce is made of SSRC and sequence number."""
    wire = Wire()
    sources = [source_of(kind), source_of(kind)]
    slots = [listener(kind, destination) for destination in range(7)]
    for place in range(6):
        slots[place].listen_to(sources[place % 2])
    at = [1000, 60_000]
    now = 0.0
    for number, (op, value, which) in enumerate(ops):
        now += 0.02
        # Each is like no other; of video each starts a frame of some layer, mostly a key frame.
        layer, sync = which_layer(number)
        payload = vp8(layer, number // 2, sync=sync, key=layer == 0) + number.to_bytes(4, "big")
        home = {place: source for place, slot in enumerate(slots) if (source := slot.source) is not None}
        if op in {"next", "jump", "late"}:
            sequence = at[which] - value if op == "late" else at[which] + value
            at[which] = at[which] if op == "late" else sequence
            codec = "VP9/0" if kind == "video" and value == 3 else ""
            send(sources[which], wire, sequence, payload, now=now, codec=codec, level=number % 256)
        elif op == "sender":
            sources[which].use_ssrc(number + 100, now=now)
            at[which] = value
            send(sources[which], wire, value, payload, now=now)
        elif op == "red" and kind == "audio":
            at[which] += 2
            header = RtpHeader(
                False, 63, at[which] & 0xFFFF, at[which] * 960 & 0xFFFFFFFF, sources[which].ssrc or 0,
                (), 0, 0, 0, 12, 1, 0,
            )
            blocks = [RedBlock(OPUS, value, payload + b"r"), RedBlock(OPUS, 960, payload + b"s")]
            pass_on(sources[which], sources[which].receive(header, "opus", payload, (), blocks, now=now), wire, now)
        elif op == "mute":
            sources[which].fanout.hush(wire.sender, now=now)
            sources[which].fanout.suspend()
        elif op in {"slot", "detach"}:
            slots[value].listen_to(sources[which] if op == "slot" else None)
        elif op == "aim" and value in home:
            slots[value].show(home[value], EVERYTHING if which == 3 else Level(255, which))
        elif op == "move" and value in home:
            slots[value].move_to(sources[which])
        elif op == "path" and value in home:
            home[value].fanout.suspend_one(slots[value])
        elif op == "protect" and value in home and kind == "audio":
            home[value].fanout.protect(slots[value], Protection(depth=which))
        elif op == "configure":
            slots[value].configure(AUDIO if kind == "audio" else VIDEO[:which], dict(list(EXTENSIONS.items())[:which]))
        elif op == "resend" and value in home:
            source, leg = home[value], home[value].fanout.leg(slots[value])
            if leg is not None:
                wanted = leg.outgoing(source.fanout.highest - which) & 0xFFFF
                sequence = source.fanout.source_sequence(leg, wanted)
                if sequence != -1:
                    assert leg.outgoing(sequence) & 0xFFFF == wanted
                stored = source.history.get(sequence) if sequence >= leg.first else None
                if stored is not None:
                    source.fanout.resend(leg, stored, wire.sender, now=now)
    wire.flush()
    used: dict[tuple[int, int], bytes] = {}
    for _, plain in wire.plain:
        header = parse_rtp(plain)
        assert used.setdefault((header.ssrc, header.sequence_number), plain) == plain


def test_redundancy_from_before_all_memory_is_not_taken_for_lost_packets() -> None:
    """A publisher that says so could have numbers used twice: nobody remembers that they were."""
    source, wire = source_of(), Wire()
    for sequence in range(1500):
        send(source, wire, sequence, timestamp=sequence)
    header = RtpHeader(False, RED, 1500, 1500, 7, (), 0, 0, 0, 12, 1, 0)
    blocks = [RedBlock(OPUS, ago, b"forged") for ago in (1400, 1100, 1024, 1001, 1000, 5)]
    (packet,) = source.receive(header, "opus", b"x", (), blocks, now=1.0)
    assert packet.payload == b"x" and source.recovered == 0
    assert all(number in source.history for number in range(packet.sequence - 1023, packet.sequence))


def test_what_is_lost_or_comes_late_upstream_is_not_held_against_a_listener() -> None:
    """Of the last hundred numbers, one never came and one came late; a hundred later both are forgotten."""
    source, wire, slot = source_of(), Wire(), listener()
    source.fanout.attach(slot)
    first = 1000
    for number in (*range(first, first + 150), *range(first + 151, first + 160)):
        send(source, wire, number)
    assert source.fanout.out_of_turn(100) == pytest.approx(0.01)
    for number in (first + 161, first + 160, *range(first + 162, first + 200)):
        send(source, wire, number)
    assert source.fanout.out_of_turn(100) == pytest.approx(0.02)
    for number in range(first + 200, first + 270):
        send(source, wire, number)
    assert source.fanout.out_of_turn(100) == 0.0
