"""The dependency descriptor of the AV1 RTP specification: as Chromium writes it, as the syntax says, and malformed."""

from __future__ import annotations

import contextlib

import pytest
from descriptors import descriptors
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.dependency_descriptor import MAX_BYTES, DependencyDescriptor, Structure, Template, parse, write
from rtc.wire.errors import WireError
from rtc.wire.layering import Layering, described
from rtc.wire.level import EVERYTHING, Level

KEY = bytes.fromhex(
    "c00001800514853aaaa8018004004002a02a0060010015d34514174d144c700874321651118543276809f8077813f80ef8"
)
"""Of Chromium 156, AV1 in L2T3_KEY, 640x480."""
TEMPLATES = (
    (0, 0, (2, 2, 2, 2, 2, 2), (), (0, 0)),
    (0, 0, (2, 2, 2, 0, 0, 0), (8,), (8, 7)),
    (0, 1, (0, 1, 2, 0, 0, 0), (4,), (4, 3)),
    (0, 2, (0, 0, 1, 0, 0, 0), (2,), (2, 1)),
    (0, 2, (0, 0, 1, 0, 0, 0), (2,), (6, 5)),
    (1, 0, (0, 0, 0, 2, 2, 2), (1,), (1, 1)),
    (1, 0, (0, 0, 0, 2, 2, 2), (8,), (1, 8)),
    (1, 1, (0, 0, 0, 0, 1, 2), (4,), (5, 4)),
    (1, 2, (0, 0, 0, 0, 0, 1), (2,), (3, 2)),
    (1, 2, (0, 0, 0, 0, 0, 1), (2,), (7, 6)),
)
PEAK = Level(1, 2)
LOWER, UPPER = (tuple(Level(spatial, temporal) for temporal in range(3)) for spatial in range(2))


def structure() -> Structure:
    return parse(KEY, None).structure


def test_a_key_frame_of_chromium_brings_the_templates() -> None:
    found = structure()
    assert found == Structure.of(
        0, tuple(Template(*one) for one in TEMPLATES), (0, 0, 0, 1, 1, 1), ((320, 240), (640, 480))
    )
    assert (found.targets, found.peak) == ((*LOWER, *UPPER), PEAK)
    assert described(parse(KEY, None)) == Layering(
        begins=True, ends=True, key=True, height=480, switches=(*LOWER, *UPPER), peak=PEAK
    )


@pytest.mark.parametrize(
    ("value", "number", "layering"),
    [
        ("c50002", 2, Layering(spatial=1, begins=True, ends=True, switches=UPPER, peak=PEAK)),
        ("830003", 3, Layering(temporal=2, begins=True, peak=PEAK)),
        ("48ffff", 0xFFFF, Layering(spatial=1, temporal=2, ends=True, peak=PEAK)),
        ("c200281a201000", 40, Layering(temporal=1, begins=True, ends=True, switches=LOWER[2:], peak=PEAK)),
        ("c10005" + "40e0", 5, Layering(begins=True, ends=True, switches=LOWER, peak=PEAK)),
        ("c10005" + "24c000", 5, Layering(begins=True, ends=True, switches=(LOWER[0], LOWER[2]), peak=PEAK)),
    ],
    ids=["upper", "temporal", "end", "own references and chains", "active targets", "own indications"],
)
def test_later_packets_refer_to_them(value: str, number: int, layering: Layering) -> None:
    found = parse(bytes.fromhex(value), structure())
    assert (found.frame_number, found.begins) == (number, False)
    assert described(found).switches == layering.switches
    assert described(found) == layering


@pytest.mark.parametrize(
    "value",
    ["", "c000", "cb0001", "ff0001", "c00001ff", KEY[:-5].hex(), "c2000521", (KEY + bytes(MAX_BYTES)).hex()],
)
def test_what_is_short_long_or_refers_to_nothing_is_refused(value: str) -> None:
    with pytest.raises(WireError):
        parse(bytes.fromhex(value), structure())


def test_without_its_structure_a_packet_cannot_be_read() -> None:
    with pytest.raises(WireError):
        parse(bytes.fromhex("c50002"), None)


def test_a_packet_that_comes_late_refers_to_the_structure_before() -> None:
    former, newer = structure(), Structure.of(10, (Template(0, 0, (2,)),))
    assert parse(bytes.fromhex("c50002"), newer, former).structure is former
    assert parse(bytes.fromhex("ca0002"), newer, former).structure is newer


def test_what_is_active_within_a_level() -> None:
    found = structure()
    expected = ((EVERYTHING, 0b111111), (Level(0, 255), 0b111), (Level(1, 0), 0b001001), (Level(0, 0), 1))
    assert [(level, found.active(level)) for level, _ in expected] == list(expected)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"\xc0\x00\x01\x80" + rest)))
def test_any_bytes_are_read_or_refused_and_what_was_read_can_be_written(value: bytes) -> None:
    with contextlib.suppress(WireError):
        found = parse(value, structure())
        assert 0 <= found.template.spatial <= 3 and 0 <= found.template.temporal <= 7
        assert len(found.indications) <= 32
        everything = (1 << len(found.structure.targets)) - 1
        again = write(found, frames=7, templates=9, active=everything)
        assert len(again) <= len(value) + 6
        assert parse(again, None if found.begins else structure_moved(found.structure, 9)).active == everything


def structure_moved(one: Structure, templates: int) -> Structure:
    return Structure.of((one.first_id + templates) % 64, one.templates, one.protected_by, one.resolutions)


def test_a_key_frame_is_written_as_chromium_does() -> None:
    assert write(parse(KEY, None)) == KEY


@given(descriptors(), st.integers(0, 0xFFFF), st.integers(0, 63), st.none() | st.integers(0, 1))
def test_whatever_is_written_is_read(
    descriptor: DependencyDescriptor, frames: int, templates: int, active: int | None
) -> None:
    moved = structure_moved(descriptor.structure, templates)
    found = parse(write(descriptor, frames=frames, templates=templates, active=active), moved)
    assert found.frame_number == (descriptor.frame_number + frames) & 0xFFFF
    assert found.active == (descriptor.active if active is None else active)
    assert (found.structure, found.place, found.begins) == (moved, descriptor.place, descriptor.begins)
    assert (found.start_of_frame, found.end_of_frame) == (descriptor.start_of_frame, descriptor.end_of_frame)
    assert (found.own_indications, found.own_references, found.own_chains) == (
        descriptor.own_indications, descriptor.own_references, descriptor.own_chains,
    )
