from __future__ import annotations

import pytest

from rtc.sfu.latency import BOUNDS, STALL_MEMORY, LatencyHistogram, LongestStall


@pytest.mark.parametrize(("seconds", "place"), [(0.0, 0), (0.0002, 0), (0.00021, 1), (0.02, 6), (9.0, len(BOUNDS))])
def test_a_time_is_counted_in_its_class(seconds: float, place: int) -> None:
    histogram = LatencyHistogram()
    histogram.observe(seconds, 3)
    assert [i for i, count in enumerate(histogram.counts) if count] == [place]
    assert histogram.counts[place] == 3
    assert histogram.seconds == pytest.approx(3 * seconds)


def test_a_stall_is_remembered_for_a_minute_and_then_forgotten() -> None:
    longest = LongestStall()
    longest.late(0.3, now=100.0)
    longest.late(0.1, now=101.0)
    assert longest.seconds == 0.3
    longest.late(0.0, now=101.0 + STALL_MEMORY)
    assert longest.seconds == 0.3
    longest.late(0.0, now=101.0 + 2 * STALL_MEMORY)
    assert longest.seconds == 0.0
