"""Which layers a listener gets: least for everybody first, frames given up before sharpness, no flapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.allocation import Layer, Wanted, allocate, is_enough

# Two simulcast streams of three temporal layers each.
SMALL = tuple(Layer(0, t, rate) for t, rate in enumerate((60_000, 90_000, 150_000)))
LARGE = tuple(Layer(1, t, rate) for t, rate in enumerate((400_000, 600_000, 1_000_000)))
CAMERA = (*SMALL, *LARGE)


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        (2_000_000, LARGE[2]),
        (1_149_999, LARGE[1]),  # frames go before sharpness
        (500_000, LARGE[0]),
        (455_000, SMALL[2]),
        (110_000, SMALL[1]),
        (70_000, SMALL[0]),
        (59_000, None),
    ],
)
def test_one_picture_gets_the_best_layer_that_it_can_pay(budget: int, chosen: Layer | None) -> None:
    assert allocate(budget, [Wanted(CAMERA)]) == [chosen]


def test_everybody_gets_the_least_before_anybody_gets_more() -> None:
    assert allocate(250_000, [Wanted(CAMERA)] * 3) == [SMALL[1], SMALL[0], SMALL[0]]


def test_who_comes_first_is_seen_when_not_all_can_be() -> None:
    assert allocate(150_000, [Wanted(CAMERA)] * 3) == [SMALL[0], SMALL[0], None]


def test_equals_are_raised_in_turn() -> None:
    assert allocate(1_000_000, [Wanted(CAMERA)] * 2) == [LARGE[0], LARGE[0]]


def test_the_speaker_is_raised_to_his_best_before_the_others() -> None:
    chosen = allocate(1_300_000, [Wanted(CAMERA, priority=1), Wanted(CAMERA, priority=0), Wanted(CAMERA, priority=1)])
    assert chosen == [SMALL[2], LARGE[2], SMALL[1]]


@pytest.mark.parametrize(
    ("current", "budget", "chosen"),
    [
        (SMALL[2], 420_000, SMALL[2]),  # a step up wants a margin
        (LARGE[0], 420_000, LARGE[0]),  # what is there stays until it cannot be paid
        (LARGE[0], 399_999, SMALL[2]),
        (None, 65_000, None),
        (SMALL[0], 65_000, SMALL[0]),
    ],
)
def test_a_wavering_budget_does_not_make_the_picture_flap(
    current: Layer | None, budget: int, chosen: Layer | None
) -> None:
    assert allocate(budget, [Wanted(CAMERA, current)]) == [chosen]


def test_a_layer_that_costs_less_than_a_worse_one_is_taken() -> None:
    """Measured rates do not always rise with the layers: the large picture may be the calmer one."""
    cheap = Layer(1, 0, 100_000)
    assert allocate(130_000, [Wanted((Layer(0, 0, 90_000), Layer(0, 1, 150_000), cheap))]) == [cheap]


def test_a_source_that_sends_nothing_yet_gets_nothing() -> None:
    assert allocate(1_000_000, [Wanted(()), Wanted(CAMERA)]) == [None, LARGE[1]]


layers = st.builds(Layer, st.integers(0, 2), st.integers(0, 2), st.integers(0, 3_000_000))
slots = st.builds(
    Wanted, st.lists(layers, max_size=9).map(tuple), st.none() | layers, st.integers(0, 2)
)


@given(st.integers(0, 10_000_000), st.lists(slots, max_size=8))
def test_the_budget_is_never_exceeded(budget: int, wanted: list[Wanted]) -> None:
    chosen = allocate(budget, wanted)
    assert len(chosen) == len(wanted)
    assert sum(layer.bitrate for layer in chosen if layer is not None) <= budget
    assert all(layer is None or layer in one.layers for layer, one in zip(chosen, wanted, strict=True))


@given(st.integers(0, 30_000_000), st.lists(slots.filter(lambda one: one.layers), max_size=8))
def test_where_there_is_enough_everybody_gets_the_best(budget: int, wanted: list[Wanted]) -> None:
    if is_enough(budget, [max(layer.bitrate for layer in one.layers) for one in wanted]):
        best = [max((layer.spatial, layer.temporal) for layer in one.layers) for one in wanted]
        assert [(c.spatial, c.temporal) for c in allocate(budget, wanted) if c is not None] == best
