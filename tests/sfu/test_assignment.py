"""Which publications the slots carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.sfu.assignment import assign


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        ([], ["a"], []),
        ([None, None], [], [None, None]),
        ([None, None], ["a"], ["a", None]),
        ([None, "a"], ["a"], [None, "a"]),  # who is shown stays where he is
        (["a", "b"], ["b", "a"], ["a", "b"]),
        (["a", "b"], ["c", "b", "a"], ["c", "b"]),  # the least wanted goes
        (["a", "b"], ["b"], [None, "b"]),
        (["a", None], ["b", "c"], ["b", "c"]),
        ([None, None], ["a", "a", "b"], ["a", "b"]),
    ],
)
def test_slots_are_filled_with_the_most_wanted(
    current: list[str | None], wanted: list[str], expected: list[str | None]
) -> None:
    assert assign(current, wanted) == expected


names = st.sampled_from("abcdef")


@given(st.lists(names, unique=True, max_size=5), st.integers(0, 3), st.lists(names, max_size=8))
def test_the_wanted_get_slots_nobody_moves_and_nobody_is_shown_twice(
    held: list[str], empty: int, wanted: list[str]
) -> None:
    current: list[str | None] = [*held, *[None] * empty]
    after = assign(current, wanted)
    chosen = list(dict.fromkeys(wanted))[: len(current)]
    assert sorted(one for one in after if one is not None) == sorted(chosen)
    for before, now in zip(current, after, strict=True):
        if before in chosen:
            assert now == before
    assert assign(after, wanted) == after
