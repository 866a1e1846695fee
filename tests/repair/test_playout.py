"""How long a receiver of video is asked to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.playout import (
    FALL_SECONDS,
    HITCH_SECONDS,
    HOLD_SECONDS,
    LEAST_LOSS,
    MAX_SECONDS,
    PlayoutDelay,
    downlink_seconds,
    uplink_seconds,
)

shares = st.floats(0, 1)
rtts = st.floats(0, 2)


@pytest.mark.parametrize("loss", [0.0, LEAST_LOSS - 0.001])
def test_hardly_any_loss_needs_no_delay(loss: float) -> None:
    assert uplink_seconds(loss, 0.05) == downlink_seconds(loss, 0.05, copies=1) == 0


def test_more_loss_more_delay_and_more_tries_less() -> None:
    ways = [uplink_seconds(loss, 0.04) for loss in (0.05, 0.1, 0.3, 0.5, 0.9)]
    assert ways == sorted(ways) and ways[0] > 0.04
    assert uplink_seconds(0.3, 0.04, answers=2) < ways[2]
    assert downlink_seconds(0.3, 0.04, copies=2) < downlink_seconds(0.3, 0.04, copies=1)


@given(shares, rtts, shares, rtts, st.integers(1, 3))
def test_the_delay_stays_in_its_bounds_whatever_is_measured(
    up: float, up_rtt: float, down: float, down_rtt: float, copies: int
) -> None:
    delay = PlayoutDelay()
    delay.update(uplink_seconds(up, up_rtt), downlink_seconds(down, down_rtt, copies=copies), now=0.0)
    assert 0 <= delay.seconds <= MAX_SECONDS


def test_a_picture_that_stands_for_a_moment_is_not_waited_for_but_one_that_freezes_is() -> None:
    delay = PlayoutDelay()
    assert not delay.update(HITCH_SECONDS, 0.0, now=0.0) and delay.seconds == 0
    assert delay.update(HITCH_SECONDS + 0.04, 0.0, now=1.0) and delay.seconds == pytest.approx(0.05)


def test_the_delay_rises_at_once_and_falls_when_less_was_enough_for_a_while() -> None:
    delay = PlayoutDelay()
    assert delay.update(HITCH_SECONDS + 0.19, 0.0, now=0.0) and delay.seconds == pytest.approx(0.2)
    assert not delay.update(0.0, 0.0, now=1.0)
    assert not delay.update(HITCH_SECONDS + 0.12, 0.0, now=2.0)
    assert delay.update(0.0, 0.0, now=HOLD_SECONDS) and delay.seconds == pytest.approx(0.15)
    assert not delay.update(0.0, 0.0, now=HOLD_SECONDS + FALL_SECONDS)  # that was needed


def test_a_picture_comes_back_from_a_delay_no_faster_than_the_sound_that_goes_with_it_can_follow() -> None:
    delay = PlayoutDelay()
    delay.update(HITCH_SECONDS + 0.2, 0.0, now=0.0)
    seconds = []
    for tick in range(1, 200):
        delay.update(0.0, 0.0, now=tick / 4)
        seconds.append(delay.seconds)
    falls = [before - after for before, after in zip(seconds, seconds[8:], strict=False)]  # in 2 s
    assert max(falls) == pytest.approx(0.05)
    assert seconds[int(4 * HOLD_SECONDS) - 2] == pytest.approx(0.2)
    assert seconds[int(4 * (HOLD_SECONDS + 3 * FALL_SECONDS))] == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 4)), max_size=80))
def test_the_delay_is_never_shorter_than_what_was_needed_a_moment_ago(needs: list[tuple[float, float]]) -> None:
    delay, now, lately = PlayoutDelay(), 0.0, [(0.0, 0.0)]
    for late, passed in needs:
        now += passed
        delay.update(late, 0.0, now=now)
        lately = [(when, needed) for when, needed in [*lately, (now, late)] if when > now - FALL_SECONDS]
        assert delay.seconds >= min(MAX_SECONDS, max(needed for _, needed in lately) - HITCH_SECONDS) - 1e-9
