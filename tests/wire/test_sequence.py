from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.sequence import Unwrapper, distance16


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        (0, 0, 0),
        (5, 6, 1),
        (6, 5, -1),
        (65535, 0, 1),
        (0, 65535, -1),
        (65530, 10, 16),
        (0, 32767, 32767),
        (0, 32768, -32768),
        (32768, 0, -32768),
    ],
)
def test_distance_takes_the_short_way_round(a: int, b: int, distance: int) -> None:
    assert distance16(a, b) == distance


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_distance_is_the_step_that_was_taken(a: int, step: int) -> None:
    assert distance16(a, (a + step) & 0xFFFF) == step


@pytest.mark.parametrize("bits", [16, 32])
@given(data=st.data())
def test_unwrapping_gives_back_plain_integers(bits: int, data: st.DataObject) -> None:
    half = 1 << (bits - 1)
    first = data.draw(st.integers(0, 2 * half - 1))
    behind = data.draw(st.lists(st.integers(-half, half - 1), max_size=40))
    unwrapper = Unwrapper(bits)
    start = first + 2 * half
    assert unwrapper.unwrap(first) == start
    highest = start
    for step in behind:
        plain = highest + step  # anything within half a turn of the newest is unambiguous
        assert unwrapper.unwrap(plain % (2 * half)) == plain
        highest = max(highest, plain)


def test_a_late_packet_before_the_first_one_gets_a_smaller_number() -> None:
    unwrapper = Unwrapper()
    first = unwrapper.unwrap(2)
    assert first == 65538
    assert unwrapper.unwrap(65535) == first - 3
    assert unwrapper.unwrap(3) == first + 1


def test_late_packets_do_not_drag_the_reference_backwards() -> None:
    unwrapper = Unwrapper()
    newest = unwrapper.unwrap(30000)
    assert unwrapper.unwrap(0) == newest - 30000
    assert unwrapper.unwrap(33000) == newest + 3000


@given(st.lists(st.integers(0, 0xFFFF), min_size=1))
def test_no_sequence_of_numbers_makes_a_negative_one(values: list[int]) -> None:
    unwrapper = Unwrapper()
    assert all(unwrapper.unwrap(value) >= 0x8000 for value in values)
