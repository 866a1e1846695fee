"""What is said of frames beside the payload: in order whatever a publisher says, and continuous on every slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_fanout import Wire, listener, pass_on, source_of

from bench.room.media import Heard
from bench.room.svc import DESCRIPTOR_ID, Screen, Svc, packets_of
from rtc.sfu.description import MAX_JUMP, Described, Description, Moved, continue_with
from rtc.sfu.group import SCALAR_LEGS
from rtc.sfu.slot import Slot
from rtc.sfu.source import Source
from rtc.wire.dependency_descriptor import DependencyDescriptor, write
from rtc.wire.errors import WireError
from rtc.wire.extensions import DEPENDENCY_DESCRIPTOR
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.rtp import RtpHeader, RtpPacket
from rtc.wire.sdp import Codec

AV1, AV1_RTX = 45, 46


def key_frame(number: int, svc: Svc) -> DependencyDescriptor:
    return DependencyDescriptor(True, True, number, 0, svc.structure, begins=True)


def delta_frame(number: int, svc: Svc, active: int | None = None) -> DependencyDescriptor:
    return DependencyDescriptor(True, True, number, 1, svc.structure, active=active)


@pytest.mark.parametrize("leap", [MAX_JUMP + 1, -MAX_JUMP - 1, 0x8000])
def test_frame_numbers_that_leap_go_on_with_a_key_frame_and_are_refused_without(leap: int) -> None:
    reader, svc = Description(), Svc(1, 1)
    assert reader.read(write(key_frame(100, svc))).frame_number == 100
    leapt = 100 + leap & 0xFFFF
    with pytest.raises(WireError):
        reader.read(write(delta_frame(leapt, svc)))
    assert reader.read(write(key_frame(leapt, svc))).frame_number == 101
    assert reader.read(write(delta_frame(leapt + 3, svc))).frame_number == 104
    assert reader.read(write(delta_frame(leapt + 1, svc))).frame_number == 102, "out of order"


def test_a_packet_that_comes_late_is_read_by_the_structure_of_its_time_and_changes_nothing() -> None:
    reader, before, after = Description(), Svc(2, 2), Svc(1, 3, first_id=30)
    reader.read(write(key_frame(1, before)))
    reader.read(write(key_frame(5, after)))
    assert reader.read(write(delta_frame(4, before, active=1))).structure == before.structure
    newest = reader.read(write(delta_frame(6, after)))
    assert (newest.structure, newest.active) == (after.structure, None)
    with pytest.raises(WireError):
        reader.read(write(delta_frame(7, Svc(1, 1, first_id=50))))


def test_what_is_sent_stands_until_something_else_is_said() -> None:
    reader, svc = Description(), Svc(2, 1)
    told = [
        reader.read(write(one)).active
        for one in (key_frame(1, svc), delta_frame(2, svc, active=1), delta_frame(3, svc), key_frame(4, svc))
    ]
    assert told == [None, 1, 1, None]


SVCS = st.builds(Svc, st.integers(1, 3), st.integers(1, 3), first_id=st.integers(0, 63))


@given(SVCS, st.integers(0, 0xFFFF), SVCS, st.integers(0, 0xFFFF), st.integers(0, 63))
def test_frames_go_on_after_the_last_and_no_template_is_taken_for_another(
    before: Svc, last: int, after: Svc, first: int, templates: int
) -> None:
    moved = continue_with(key_frame(first, after), Described(last, before.structure, templates))
    assert 1 <= (first + moved.frames - last) & 0xFFFF <= 0x4000
    assert moved.frames % 0x4000 == 0, "few ways to write the same"

    def ids(svc: Svc, by: int) -> set[int]:
        return {(svc.structure.first_id + by + place) % 64 for place in range(len(svc.structure.templates))}

    if before.structure == after.structure:
        assert moved.templates == templates
    else:
        assert not ids(before, templates) & ids(after, moved.templates)


def test_what_a_slot_begins_with_is_not_moved() -> None:
    assert continue_with(key_frame(9, Svc(1, 1)), None) == Moved(0, 0)


class Publisher:
    """Sends pictures to listeners by hand."""

    def __init__(self, wire: Wire, svc: Svc) -> None:
        self.source: Source = source_of("video")
        self._wire, self._svc = wire, svc
        self._sequence, self._timestamp = 10, 0

    def picture(self, *, key: bool = False) -> None:
        for frame in self._svc.picture(key=key):
            spatial = frame.template.spatial
            for descriptor, payload in packets_of(frame, 1500):
                marker = spatial == self._svc.layers - 1 and descriptor[0] & 0x40 > 0
                header = RtpHeader(marker, AV1, self._sequence, self._timestamp, 7, (), 0, 0, 0, 12, 1, 0)
                received = self.source.receive(header, "AV1", payload, (), descriptor=descriptor, now=0.0)
                pass_on(self.source, received, self._wire, 0.0)
                self._sequence += 1
        self._timestamp += 3000


def viewer(destination: int) -> Slot:
    slot = listener("video", destination)
    slot.configure((Codec("AV1", AV1, 90_000, rtx_payload_type=AV1_RTX),), {DEPENDENCY_DESCRIPTOR: DESCRIPTOR_ID})
    return slot


def heard(packet: RtpPacket) -> Heard:
    return Heard(
        0.0, packet.sequence_number, packet.timestamp, packet.payload, packet.payload_type, packet.marker, False,
        packet.extensions,
    )


@pytest.mark.parametrize("count", [1, 4, SCALAR_LEGS])
def test_listeners_of_two_cameras_are_each_told_of_what_they_get(count: int) -> None:
    wire = Wire()
    first, second = Publisher(wire, Svc(2, 2, frame=7)), Publisher(wire, Svc(3, 1, frame=60_000))
    slots = [viewer(place) for place in range(2 * count)]
    for place, slot in enumerate(slots):
        slot.listen_to(first.source)
        slot.show(first.source, EVERYTHING if place % 2 else Level(0, 255))
    for turn in range(9):
        first.picture(key=turn == 0)
    for slot in slots[:count]:
        slot.listen_to(second.source)
    for turn in range(9):
        second.picture(key=turn == 0)
        first.picture()
    wire.flush()
    for place in range(len(slots)):
        screen = Screen()
        screen.watch(heard(RtpPacket.parse(data)) for to, data in wire.plain if to == place)
        assert (screen.unreadable, screen.left) == (0, 0)
        layers = [2 * one.spatial for one in screen.shown]
        assert len(layers) == 18
        assert set(layers[:9]) == {2 if place % 2 else 0}
        assert set(layers[9:]) == ({2 if place % 2 else 0} if place >= count else {4 if place % 2 else 0})


@given(st.lists(st.tuples(st.binary(max_size=255), st.booleans()), max_size=12))
def test_whatever_is_said_of_frames_listeners_are_sent_packets_that_can_be_read(
    said: list[tuple[bytes, bool]]
) -> None:
    wire, source = Wire(), source_of("video")
    slots = [viewer(0), viewer(1)]
    for place, slot in enumerate(slots):
        slot.listen_to(source)
        slot.show(source, EVERYTHING if place else Level(0, 0))
    (frame,) = Svc(1, 1).picture(key=True)
    ((good, payload),) = packets_of(frame, 500)
    for sequence, (value, as_key) in enumerate([(good, True), *said], 10):
        header = RtpHeader(True, AV1, sequence, sequence * 3000, 7, (), 0, 0, 0, 12, 1, 0)
        received = source.receive(
            header, "AV1", payload if as_key else b"\x10\x32\x00", (), descriptor=value, now=0.0
        )
        pass_on(source, received, wire, 0.0)
    wire.flush()
    assert {to for to, _ in wire.plain} == {0, 1}
    assert all(len(RtpPacket.parse(data).extensions.get(DESCRIPTOR_ID, b"")) <= 255 for _, data in wire.plain)
