"""What a receiver that waits without end misses, and when it is given up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rtc.repair.holes import (
    ANSWERED_SECONDS,
    ASKED_WINDOW,
    MAX_WAIT_SECONDS,
    MIN_WAIT_SECONDS,
    TROUBLE_SECONDS,
    WAIT_RTTS,
    Holes,
)

FIRST = 1000


def holes() -> Holes:
    one = Holes()
    one.starts(FIRST)
    return one


def ask(
    one: Holes, numbers: Sequence[int], now: float, *, lost: Sequence[int] = (), made: Sequence[int] = (),
    rtt: float = 0.04,
) -> list[int]:
    return one.nacked(numbers, lost=lost, made=made, now=now, rtt=rtt)


def test_what_is_asked_for_is_sent_again_and_nothing_is_given_up() -> None:
    one = holes()
    assert ask(one, [1010, 1011], 0.0) == [1010, 1011]
    assert ask(one, [1011, 1020], 0.1) == [1011, 1020]
    assert not one.given_up


@pytest.mark.parametrize(
    ("rtt", "wait"), [(0.0, MIN_WAIT_SECONDS), (0.1, 0.1 * WAIT_RTTS), (1.0, MAX_WAIT_SECONDS)]
)
def test_what_is_missing_for_too_long_is_given_up(rtt: float, wait: float) -> None:
    one = holes()
    ask(one, [1010], 0.0, rtt=rtt)
    assert ask(one, [1010, 1020], wait - 0.001, rtt=rtt) == [1010, 1020]
    assert not one.given_up
    assert ask(one, [1010, 1020, 1030], wait + 0.001, rtt=rtt) == [], "it would come when it is not waited for any more"
    assert one.given_up


def test_what_is_not_asked_for_again_has_come() -> None:
    one = holes()
    ask(one, [1010], 0.0)
    ask(one, [1020], 0.3)
    ask(one, [1010, 1030], 0.7)  # only a liar
    assert not one.given_up


def test_an_older_message_that_comes_late_says_nothing_of_what_has_come() -> None:
    one = holes()
    ask(one, [1010, 1020], 0.0)
    ask(one, [1010], 0.1)
    ask(one, [1020, 1030], MIN_WAIT_SECONDS + 0.1)
    assert one.given_up


def test_what_nobody_can_send_any_more_is_given_up_at_once() -> None:
    one = holes()
    assert ask(one, [1010, 1011], 0.0, lost=[1010]) == []
    assert one.given_up


def test_more_than_it_can_ask_for_is_given_up_at_once() -> None:
    one = holes()
    ask(one, list(range(2000 - ASKED_WINDOW, 2000)), 0.0)
    assert one.given_up


def test_a_long_gap_that_it_can_ask_for_is_not_given_up() -> None:
    one = holes()
    assert len(ask(one, list(range(2001 - ASKED_WINDOW, 2000)), 0.0)) == ASKED_WINDOW - 1
    assert not one.given_up


def test_what_was_missing_when_it_could_be_asked_for_the_last_time_is_given_up() -> None:
    one = holes()
    ask(one, [1010], 0.0)
    ask(one, [1010 + ASKED_WINDOW], 0.1)
    assert one.given_up


def test_a_gap_that_was_made_is_not_sent_again_and_is_no_trouble() -> None:
    one = holes()
    assert ask(one, [1010], 1.0, made=[1010]) == []
    assert not one.in_trouble(now=1.0)
    assert ask(one, [1010], 1.5, made=[1010]) == [1010], "it was lost all the same"
    assert ask(one, [1010, 1015, 1020], 2.0, made=[1010, 1020]) == [1010, 1015], "that one is really missing"
    assert one.in_trouble(now=2.0 + TROUBLE_SECONDS - 0.1)
    assert not one.in_trouble(now=2.0 + TROUBLE_SECONDS)


def test_after_a_leap_nothing_before_it_counts() -> None:
    one = holes()
    ask(one, [1010], 0.0, lost=[1010])
    one.leapt(1600, now=1.0)
    assert not one.given_up
    assert ask(one, list(range(1480, 1600)), 1.1) == [], "the numbers that were left out"
    assert not one.given_up
    assert ask(one, [1590, 1605], 1.2) == [1605]


def test_how_it_answers_a_leap_is_no_wish_but_the_next_is() -> None:
    one = holes()
    one.leapt(1600, now=1.0)
    assert not one.wants_keyframe(now=1.1)
    assert not one.given_up
    assert one.wants_keyframe(now=1.2) and one.given_up
    one.leapt(2200, now=3.0)
    assert one.wants_keyframe(now=3.0 + ANSWERED_SECONDS), "the answer never came"
