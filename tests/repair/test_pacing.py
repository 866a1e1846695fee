"""Key frames are spread, small frames are not, order is kept and nothing waits for long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.pacing import BURST_SECONDS, FACTOR, FULL_FACTOR, MAX_WAIT_SECONDS, PATIENT_SECONDS, Pacer


def test_a_frame_of_a_few_packets_leaves_at_once() -> None:
    pacer = Pacer(2_000_000)
    assert [pacer.departs(1200, now=1.0) for _ in range(5)] == [1.0] * 5


def test_a_key_frame_is_spread_over_what_it_takes() -> None:
    pacer = Pacer(1_000_000)
    departures = [pacer.departs(1200, now=1.0) for _ in range(40)]
    assert abs(departures[-1] - 1.0 - (39 * 1200 * 8 / (FACTOR * 1_000_000) - BURST_SECONDS)) < 1e-6


def test_on_a_full_link_a_key_frame_is_spread_more_and_nothing_overtakes_a_probe() -> None:
    pacer = Pacer(1_000_000)
    pacer.factor = FULL_FACTOR
    departures = [pacer.departs(1200, now=1.0) for _ in range(20)]
    assert abs(departures[-1] - 1.0 - (19 * 1200 * 8 / (FULL_FACTOR * 1_000_000) - BURST_SECONDS)) < 1e-6
    pacer.occupy(1.5)
    assert pacer.free_at == pacer.departs(1200, now=1.2) == 1.5


@given(st.lists(st.tuples(st.floats(0, 0.1), st.integers(1, 1500)), max_size=200), st.floats(1e4, 1e8))
def test_order_is_kept_and_nobody_waits_for_ever(packets: list[tuple[float, int]], bitrate: float) -> None:
    pacer, now, before = Pacer(bitrate), 1.0, 0.0
    for passed, size in packets:
        now += passed
        departs = pacer.departs(size, now=now)
        assert departs >= max(now, before)
        assert departs <= now + MAX_WAIT_SECONDS
        before = departs


def test_what_may_wait_for_long_leaves_no_faster_than_the_path_carries_it() -> None:
    pacer = Pacer(100_000)
    pacer.factor = FULL_FACTOR
    departures = [pacer.departs(1250, now=1.0, most=PATIENT_SECONDS) for _ in range(61)]
    assert 7.0 - MAX_WAIT_SECONDS <= departures[-1] <= 7.0
    assert max(b - a for a, b in pairwise(departures)) == pytest.approx(0.1)
    assert pacer.departs(1250, now=1.1) >= departures[-1], "nothing overtakes it"
