from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.path import MIN_RUNS, WINDOW_PACKETS, ReportedPath
from rtc.repair.redundancy import ASSUMED_BURST
from rtc.wire.rtcp import ReportBlock


def block(highest: int, lost: int) -> ReportBlock:
    return ReportBlock(1, 0, lost, highest, 0, 0, 0)


def test_loss_is_that_of_the_last_seconds() -> None:
    path = ReportedPath()
    lost = 0
    for second in range(10):
        lost += 25 if second >= 5 else 0
        said = path.reported(block(1000 + 50 * second, lost), now=float(second))
    assert said == 0.5


def test_lost_reports_hide_no_loss() -> None:
    path = ReportedPath()
    path.reported(block(1000, 0), now=0.0)
    assert path.reported(block(1400, 100), now=8.0) == 0.25


def test_what_the_publisher_lost_is_not_lost_on_the_way_to_the_listener() -> None:
    path = ReportedPath()
    path.reported(block(1000, 0), now=0.0, never_sent=7)
    assert path.reported(block(1100, 30), now=1.0, never_sent=37) == 0
    assert path.reported(block(1200, 65), now=2.0, never_sent=47) == pytest.approx((65 - 40) / (200 - 40))


def test_a_receiver_that_starts_anew_is_not_taken_for_a_perfect_one() -> None:
    path = ReportedPath()
    path.reported(block(50_000, 0), now=0.0)
    assert path.reported(block(100, 90), now=1.0) is None
    assert path.reported(block(150, 115), now=2.0) == 0.5


@given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(-(1 << 23), (1 << 23) - 1))))
def test_reports_with_impossible_figures_give_a_share_or_nothing(reports: list[tuple[int, int]]) -> None:
    path = ReportedPath()
    for second, (highest, lost) in enumerate(reports):
        said = path.reported(block(highest, lost), now=float(second))
        assert said is None or 0 <= said <= 1


def test_bursts_show_in_what_is_asked_for() -> None:
    path = ReportedPath()
    assert path.burst == ASSUMED_BURST
    for start in range(0, 40 * MIN_RUNS, 20):
        path.nacked([start, start + 1, start + 2])
        path.nacked([start + 1, start + 2])  # asked for again
    assert path.burst == pytest.approx(3)


def test_what_was_asked_for_and_arrived_after_all_was_lost_nevertheless() -> None:
    path = ReportedPath()
    path.reported(block(1000, 0), now=0.0)
    for second in range(1, 5):
        numbers = range(950 + 50 * second, 1000 + 50 * second)
        path.nacked([number for number in numbers if number % 2])
        path.reported(block(numbers[-1], 3 * second), now=float(second))  # nearly all came when sent again
    assert path.loss(numbers[-1]) == 0.5
    assert path.loss(numbers[-1] + WINDOW_PACKETS // 2) == 0.25, "the path has got better, and no report says so"
    assert path.loss(numbers[-1] + WINDOW_PACKETS) == pytest.approx(0.06)


@given(st.lists(st.tuples(st.lists(st.integers(-70_000, 1 << 33)), st.integers(0, 1 << 33))))
def test_nonsensical_requests_give_a_share(asked: list[tuple[list[int], int]]) -> None:
    path = ReportedPath()
    for numbers, highest in asked:
        path.nacked(numbers)
        assert 0 <= path.loss(highest) <= 1


@pytest.mark.parametrize(
    ("loss", "never_sent", "path"),
    [(0.3, 0.0, 0.3), (0.0, 0.0, 0.0), (0.12, 0.12, 0.0), (0.16, 0.12, 0.0), (0.55, 0.1, 0.5), (1.0, 1.0, 0.0)],
)
def test_a_receiver_that_tells_its_loss_is_believed_but_for_what_it_was_never_sent(
    loss: float, never_sent: float, path: float
) -> None:
    reported = ReportedPath()
    assert not reported.tells
    reported.told(loss, 2.0, never_sent=never_sent)
    assert reported.tells
    assert reported.loss(1000) == pytest.approx(path)


def test_a_few_requests_at_the_start_are_a_large_share() -> None:
    path = ReportedPath()
    path.nacked([1000, 1002, 1004, 1006, 1008])
    assert path.loss(1009) == 0.25
    assert path.loss(1049) == 0.1
