"""Where a packet stands among the layers, and its payload without them: exact, bounded, and never a crash."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.layering import Layering, bare, read_layering
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.payload import Vp8Descriptor


@given(st.sampled_from(["VP8", "VP9", "AV1", "H264", "x"]), st.binary(max_size=40))
def test_garbage_is_an_error_or_a_value_and_what_is_read_can_be_passed_on(codec: str, payload: bytes) -> None:
    with contextlib.suppress(WireError):
        layering = read_layering(codec, payload)
        if layering is not None:
            assert 0 < len(bare(payload, layering)) <= len(payload)


@pytest.mark.parametrize(
    "payload", [b"", b"\x90", b"\x90\xe0\x80", b"\x90\xe0\x80\x01\x02", b"\x90\xe0\x80\x01\x02\x00", b"\x10"]
)
def test_a_vp8_payload_that_ends_in_its_descriptor_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        read_layering("VP8", payload)


@given(
    wide=st.booleans(), picture=st.integers(0, 0x7FFF), tl0=st.integers(0, 255), temporal=st.integers(0, 3),
    first=st.sampled_from([0x90, 0x80, 0xB0, 0x81]), rest=st.binary(min_size=1, max_size=20),
)  # fmt: skip
def test_of_vp8_nothing_is_left_but_where_frames_begin_and_the_frame_itself(
    *, wide: bool, picture: int, tl0: int, temporal: int, first: int, rest: bytes
) -> None:
    name = (0x8000 | picture).to_bytes(2, "big") if wide else bytes([picture & 0x7F])
    payload = bytes([first, 0xE0]) + name + bytes([tl0, temporal << 6 | 0x20]) + rest
    layering = read_layering("VP8", payload)
    assert layering is not None
    assert (layering.temporal, layering.sync, layering.begins) == (temporal, True, first & 0x17 == 0x10)
    assert layering.key == (layering.begins and rest[0] & 1 == 0)
    before, after = Vp8Descriptor.parse(payload), Vp8Descriptor.parse(bare(payload, layering))
    assert bare(payload, layering)[1:] == rest and after.payload_offset == 1
    assert (after.start_of_frame, after.non_reference) == (before.start_of_frame, before.non_reference)
    again = read_layering("VP8", bare(payload, layering))
    assert again is not None and bare(bare(payload, layering), again) == bare(payload, layering)


KEY = Layering(begins=True, key=True)
BASE = Layering(begins=True)


@pytest.mark.parametrize(
    ("layering", "level", "target", "expected"),
    [
        (BASE, EVERYTHING, Level(1, 0), Level(1, 0)),  # down at any picture
        (Layering(begins=True, temporal=2), EVERYTHING, Level(255, 1), Level(255, 1)),
        (Layering(), EVERYTHING, Level(0, 0), EVERYTHING),  # not inside one
        (Layering(begins=True, spatial=1), EVERYTHING, Level(0, 0), EVERYTHING),  # nor between its layers
        (KEY, Level(0, 0), EVERYTHING, EVERYTHING),  # up with a key picture
        (BASE, Level(0, 0), EVERYTHING, Level(0, 0)),
        (Layering(begins=True, temporal=1, sync=True), Level(255, 0), Level(255, 2), Level(255, 1)),
        (Layering(begins=True, temporal=2, sync=True), Level(255, 0), Level(255, 2), Level(255, 0)),
        (Layering(begins=True, temporal=2, sync=True), Level(255, 1), Level(255, 2), Level(255, 2)),
        (Layering(begins=True, temporal=1, sync=False), Level(255, 0), Level(255, 2), Level(255, 0)),
        (Layering(begins=True, temporal=0, opens=True), Level(255, 0), Level(255, 2), Level(255, 2)),  # VP9
        (Layering(begins=True, temporal=1, opens=True), Level(255, 0), Level(255, 2), Level(255, 0)),
        (Layering(begins=True, opens=True), Level(2, 0), Level(0, 2), Level(0, 2)),  # one down, the other up
        (Layering(begins=True, opens=True), Level(0, 2), Level(2, 0), Level(0, 0)),
    ],
)  # fmt: skip
def test_where_a_listener_can_go(layering: Layering, level: Level, target: Level, expected: Level) -> None:
    assert layering.step(level, target) == expected


FULL = tuple(Level(spatial, temporal) for spatial in range(2) for temporal in range(2))


def frame(spatial: int, temporal: int, *switches: Level, key: bool = False) -> Layering:
    """The first packet of a frame of L2T2 as a dependency descriptor tells of it."""
    return Layering(spatial, temporal, begins=True, key=key, switches=switches, peak=Level(1, 1))


@pytest.mark.parametrize(
    ("packet", "level", "target", "after"),
    [
        (frame(0, 0, *FULL, key=True), Level(0, 0), EVERYTHING, EVERYTHING),
        (frame(0, 0, *FULL[:2]), Level(0, 0), EVERYTHING, Level(0, 255)),
        (frame(0, 0, *FULL[:2]), Level(0, 255), EVERYTHING, Level(0, 255)),  # a larger picture needs a key frame
        (frame(1, 0, *FULL[2:]), Level(0, 0), EVERYTHING, Level(0, 0)),  # its receiver does not have this frame
        (frame(1, 0, *FULL[2:]), Level(255, 0), EVERYTHING, EVERYTHING),
        (frame(1, 0, *FULL[2:]), Level(1, 0), Level(1, 255), Level(1, 255)),
        (frame(0, 1, FULL[1]), Level(0, 0), Level(0, 255), Level(0, 0)),
        (frame(0, 1), EVERYTHING, Level(0, 0), Level(0, 0)),  # down at any picture,
        (frame(1, 0, *FULL[2:]), EVERYTHING, Level(0, 0), EVERYTHING),  # and not within one
        (frame(0, 0, *FULL[:2]), EVERYTHING, Level(0, 255), Level(0, 255)),
    ],
)
def test_more_of_a_described_stream_begins_where_it_says_so(
    packet: Layering, level: Level, target: Level, after: Level
) -> None:
    assert packet.step(level, target) == after
