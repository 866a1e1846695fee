"""The ring of past packets, against a plain dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.history import History


def test_a_capacity_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="1000"):
        History[str](1000)


@given(st.lists(st.integers(0, 100), max_size=200))
def test_holds_the_last_item_of_each_place_and_no_other(numbers: list[int]) -> None:
    history = History[int](16)
    places: dict[int, tuple[int, int]] = {}
    for item, number in enumerate(numbers):
        history.put(number, item)
        places[number % 16] = (number, item)
    for number in range(101):
        held = places.get(number % 16)
        expected = held[1] if held is not None and held[0] == number else None
        assert history.get(number) == expected
        assert (number in history) == (expected is not None)


def test_a_cleared_history_holds_nothing() -> None:
    history = History[str](4)
    history.put(0, "a")
    assert 0 in history
    history.clear()
    assert 0 not in history and history.get(0) is None
