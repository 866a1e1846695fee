"""Which packets are asked for, when, how often, and for how long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.nack import (
    DEFAULT_RTT_SECONDS,
    INTERVAL_RTTS,
    MAX_MISSING,
    MIN_INTERVAL_SECONDS,
    REORDERING_SECONDS,
    NackGenerator,
    requests_a_round_trip,
)


def gap(first: int = 100, end: int = 103, *, deadline: float = 1.0) -> NackGenerator:
    """A stream that jumped from `first` to `end` at time 0."""
    nack = NackGenerator(deadline=deadline)
    nack.received(first, now=0.0)
    nack.received(end, now=0.0)
    return nack


def test_packets_that_overtake_each_other_are_not_asked_for() -> None:
    nack = gap()
    assert nack.due(now=REORDERING_SECONDS / 2, rtt=0.05) == []
    assert not nack.received(101, now=0.003)
    assert not nack.received(102, now=0.004)
    assert nack.due(now=1.0, rtt=0.05) == [] and not len(nack)
    assert nack.recovered == nack.given_up == 0


@pytest.mark.parametrize(
    ("rtt", "interval"),
    [
        (0.0, MIN_INTERVAL_SECONDS),
        (0.05, 0.05 * INTERVAL_RTTS),
        (0.2, 0.2 * INTERVAL_RTTS),
        (None, DEFAULT_RTT_SECONDS * INTERVAL_RTTS),
    ],
)
def test_a_request_is_repeated_when_its_answer_is_overdue(rtt: float | None, interval: float) -> None:
    nack = gap()
    asked = [step / 1000 for step in range(1000) if nack.due(now=step / 1000, rtt=rtt)]
    assert asked[0] == pytest.approx(REORDERING_SECONDS, abs=0.001)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits and all(interval - 1e-9 <= wait < interval + 0.0011 for wait in waits)


@pytest.mark.parametrize(("loss", "requests"), [(0.0, 1), (0.02, 1), (0.1, 2), (0.3, 3), (0.5, 6), (1.0, 6)])
def test_where_requests_are_lost_as_well_they_are_repeated_before_an_answer_is_due(loss: float, requests: int) -> None:
    assert requests_a_round_trip(loss) == requests
    nack = gap()
    steps = [step / 1000 for step in range(1000)]
    asked = [now for now in steps if nack.due(now=now, rtt=0.1, requests=requests)]
    assert abs(len(asked) - requests / (0.1 * INTERVAL_RTTS)) <= 0.1 * len(asked) + 1


def test_without_a_round_trip_the_answers_to_requests_tell_it() -> None:
    """A publisher that hears nobody sends no report from which a round trip could be measured."""
    nack = NackGenerator(deadline=1.0)
    nack.received(0, now=0.0)
    for number in range(2, 40, 2):
        nack.received(number, now=number)
        assert nack.due(now=number + 0.01, rtt=None) == [number - 1]
        assert nack.received(number - 1, now=number + 0.05)
    nack.received(41, now=50.0)
    assert nack.due(now=50.01, rtt=None) == [39, 40]
    assert nack.due(now=50.04, rtt=None) == []
    assert nack.due(now=50.06, rtt=None) == [39, 40]


def test_a_repair_is_told_from_a_packet_that_was_only_late() -> None:
    nack = gap()
    assert nack.due(now=0.01, rtt=0.05) == [101, 102]
    assert nack.received(101, now=0.06)
    assert not nack.received(101, now=0.07), "a second copy repairs nothing"
    assert nack.recovered == 1 and 101 not in nack and 102 in nack


def test_what_comes_too_late_is_given_up() -> None:
    nack = gap(deadline=0.4)
    assert nack.due(now=0.4, rtt=0.05) == [101, 102]
    assert nack.due(now=0.41, rtt=0.05) == []
    assert nack.given_up == 2 and not len(nack) and nack.next_time() is None


def test_a_jump_in_the_sequence_costs_bounded_memory_and_gives_up_the_oldest() -> None:
    nack = gap(0, 100_000)
    assert len(nack) == MAX_MISSING
    assert nack.given_up == 99_999 - MAX_MISSING
    assert min(nack.due(now=0.01, rtt=0.05)) == 100_000 - MAX_MISSING
    nack.received(100_010, now=0.02)
    assert len(nack) == MAX_MISSING and nack.given_up == 100_008 - MAX_MISSING


def test_what_was_under_way_before_a_gap_is_settled_and_what_came_after_it_once_the_gap_is_closed() -> None:
    """A publisher may be told that all has arrived which nobody asks for any more, and nothing else."""
    nack = NackGenerator(deadline=1.0)
    assert nack.settled == float("-inf")
    for number, now in ((1, 1.0), (2, 1.1), (5, 1.2), (6, 1.3), (8, 1.4), (9, 1.5)):
        nack.received(number, now=now)
    assert nack.settled == 1.1
    nack.received(3, now=1.6)
    assert nack.settled == 1.1
    nack.received(4, now=1.6)
    assert nack.settled == 1.3
    assert nack.due(now=2.5, rtt=0.1) == []  # 7 is given up
    assert nack.settled == 1.5


def test_next_time_is_the_request_or_the_deadline() -> None:
    nack = gap(deadline=0.03)
    assert nack.next_time() == REORDERING_SECONDS
    nack.due(now=REORDERING_SECONDS, rtt=0.1)
    assert nack.next_time() == 0.03


def test_a_number_taken_back_is_no_gap() -> None:
    nack = NackGenerator(deadline=1.0)
    for number in (5, 6):
        nack.received(number, now=0.0)
    nack.retract(6)
    nack.received(6, now=0.0)
    assert not len(nack)


def test_a_restarted_stream_misses_nothing() -> None:
    nack = gap()
    nack.reset()
    nack.received(5000, now=0.1)
    assert not len(nack) and nack.due(now=1.0, rtt=0.01) == []


@given(st.lists(st.tuples(st.integers(0, 80), st.floats(0, 0.02)), max_size=120), st.floats(0, 0.3))
def test_asks_only_for_what_is_missing_and_counts_everything_once(
    arrivals: list[tuple[int, float]], rtt: float
) -> None:
    nack = NackGenerator(deadline=0.2)
    now, seen = 0.0, set[int]()
    for number, wait in arrivals:
        now += wait
        nack.received(number, now=now)
        seen.add(number)
        for asked in nack.due(now=now, rtt=rtt):
            assert asked not in seen and min(seen) < asked < max(seen)
    if seen:
        holes = set(range(arrivals[0][0], max(seen))) - seen
        assert len([n for n in range(81) if n in nack]) == len(nack) <= len(holes)
        assert all(n in holes for n in range(81) if n in nack)
        nack.due(now=now + 1, rtt=rtt)
        assert not len(nack) and nack.given_up >= len(holes)
