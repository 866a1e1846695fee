"""When video is sent twice, and when no longer."""

from __future__ import annotations

import pytest

from rtc.repair.copies import COPY_FROM_LOSS, HOLD_SECONDS, THIRD_FROM_LOSS, CopiesController


def test_a_path_that_loses_little_is_left_to_nack() -> None:
    controller = CopiesController()
    assert not controller.reported(COPY_FROM_LOSS - 0.01, now=0.0)
    assert controller.protection.copies == 1


@pytest.mark.parametrize(
    ("loss", "copies"), [(COPY_FROM_LOSS, 2), (0.3, 2), (THIRD_FROM_LOSS, 3), (0.5, 3), (1.0, 3)]
)
def test_a_lossy_path_gets_everything_twice_or_three_times_at_once(loss: float, copies: int) -> None:
    controller = CopiesController()
    assert controller.reported(loss, now=0.0)
    assert controller.protection.copies == copies


def test_a_path_that_gets_worse_gets_a_third_copy_and_gives_it_up_before_the_second() -> None:
    controller = CopiesController()
    controller.reported(0.2, now=0.0)
    assert controller.reported(0.5**2, now=1.0) and controller.protection.copies == 3
    assert not any(controller.reported(0.45**3, now=float(second)) for second in range(2, 30))
    better = range(30, 200)
    changes = sum(controller.reported(0.2**controller.protection.copies, now=float(second)) for second in better)
    assert changes == 1 and controller.protection.copies == 2


def test_that_few_are_lost_with_both_copies_does_not_mean_that_the_path_is_good() -> None:
    controller = CopiesController()
    controller.reported(0.3, now=0.0)
    for second in range(60):
        assert not controller.reported(0.3**2, now=float(second))


def test_copies_end_when_the_path_has_been_good_for_a_while() -> None:
    controller = CopiesController()
    controller.reported(0.3, now=0.0)
    changes = [step / 2 for step in range(1, 60) if controller.reported(0.0, now=step / 2)]
    assert len(changes) == 1 and HOLD_SECONDS < changes[0] < 4 * HOLD_SECONDS
    assert controller.protection.copies == 1
