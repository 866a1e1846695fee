"""Which sizes a camera sends over an uplink that cannot carry all: tables, second by second."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rtc.repair.sizes import Sending, Size, Sizes

SMALL, LARGE = 220_000, 1_500_000
GONE = Size(wanted=True, chosen=True, live=False, bitrate=LARGE, fps=30.0)
IDLE = Size(wanted=False, chosen=False, live=False, bitrate=SMALL, fps=30.0)


def size(bitrate: int, *, wanted: bool = True, chosen: bool = True, live: bool = True, fps: float = 30.0) -> Size:
    return Size(wanted, chosen, live, bitrate, fps)


def sent(sizes: Sizes, small: Size, large: Size, *, uplink: int | None, begin: float, end: float) -> list[bool]:
    """What is sent at the end of so many seconds of the same."""
    chosen: list[bool] = []
    for step in range(round((end - begin) * 20) + 1):
        chosen = sizes.choose([small, large], uplink=uplink, now=begin + step / 20)
    return chosen


@pytest.mark.parametrize(
    ("small", "large", "uplink", "expected"),
    [
        (size(SMALL, chosen=False), size(LARGE), None, [True, True]),
        (size(SMALL, chosen=False), size(LARGE), 2_000_000, [True, True]),
        (size(SMALL, wanted=False, chosen=False), size(LARGE), 2_000_000, [False, True]),
        (size(SMALL), size(LARGE, wanted=False, chosen=False), 2_000_000, [True, False]),
        # Too little for it: the smallest at once, wanted or not.
        (size(SMALL, wanted=False, chosen=False, live=False), size(LARGE), 300_000, [True, False]),
        # Two frames a second of the large one: alone it would be made smaller.
        (size(SMALL, chosen=False), size(400_000, fps=3.0), 700_000, [False, True]),
        # But somebody's link carries the small one only.
        (size(SMALL), size(400_000, fps=3.0), 700_000, [True, True]),
        # A camera in the dark gives few frames of any size.
        (size(SMALL, chosen=False, fps=5.0), size(400_000, fps=2.0), 700_000, [True, True]),
    ],
)
def test_what_is_sent(small: Size, large: Size, uplink: int | None, expected: list[bool]) -> None:
    assert sent(Sizes(), small, large, uplink=uplink, begin=0, end=2) == expected


def test_over_a_link_that_narrows_and_widens_it_goes_through_the_smallest_and_the_largest_alone() -> None:
    sizes = Sizes()
    assert sent(sizes, size(SMALL, chosen=False), size(LARGE), uplink=2_500_000, begin=0, end=3) == [True, True]
    assert sent(sizes, IDLE, size(LARGE), uplink=250_000, begin=3, end=3) == [True, False]
    gone = size(LARGE, live=False)
    assert sent(sizes, size(SMALL, chosen=False), gone, uplink=280_000, begin=3, end=8) == [True, False]
    assert sizes.sending is Sending.SMALLEST and sizes.instead
    # Twice what the small one takes, and no more: the large one is made to fit.
    assert sent(sizes, size(450_000, chosen=False), gone, uplink=500_000, begin=8, end=9.9) == [True, False]
    assert sent(sizes, size(450_000, chosen=False), gone, uplink=500_000, begin=9.9, end=10) == [False, True]
    assert sent(sizes, IDLE, size(450_000), uplink=500_000, begin=10, end=15) == [False, True]
    assert sizes.instead
    # Somebody comes who can have the small one only.
    assert sent(sizes, size(SMALL, live=False), size(LARGE), uplink=2_500_000, begin=16, end=18) == [True, True]
    assert not sizes.instead


def test_the_large_one_comes_back_at_once_where_the_link_widens_far() -> None:
    sizes = narrowed()
    assert sent(sizes, size(300_000, chosen=False), GONE, uplink=350_000, begin=3, end=8) == [True, False]
    assert sent(sizes, size(600_000, chosen=False), GONE, uplink=850_000, begin=8, end=9) == [True, False]
    assert sent(sizes, size(700_000, chosen=False), GONE, uplink=950_000, begin=9, end=9) == [False, True]


def test_a_large_one_that_comes_now_and_then_is_no_picture() -> None:
    sizes, small = Sizes(), size(150_000, chosen=False)
    assert sent(sizes, small, size(80_000, fps=2.0), uplink=250_000, begin=0, end=0) == [True, True]
    assert sent(sizes, small, size(80_000, live=False, fps=2.0), uplink=250_000, begin=0.05, end=1) == [False, True]


def test_a_large_one_that_is_not_sent_at_all_is_not_waited_for() -> None:
    sizes, small = Sizes(), size(150_000, chosen=False)
    assert sent(sizes, small, size(LARGE), uplink=2_500_000, begin=0, end=3) == [True, True]
    assert sent(sizes, small, size(LARGE, live=False), uplink=2_500_000, begin=3, end=9) == [True, True]


@pytest.mark.parametrize("bitrate", [100_000, SMALL, 320_000])
def test_what_is_sent_alone_over_a_narrow_link_does_not_change_what_is_usual(bitrate: int) -> None:
    sizes = narrowed()
    # Twice as much as comes is no reason, be it little since it has just begun, or more since it stands in for all.
    assert sent(sizes, size(bitrate, chosen=False), GONE, uplink=400_000, begin=3, end=15) == [True, False]
    assert sent(sizes, size(bitrate, chosen=False), GONE, uplink=1_000_000, begin=15, end=15) == [False, True]
    # Nor does the large one, made to fit, become so little that both of them would have room.
    assert sent(sizes, IDLE, size(450_000), uplink=700_000, begin=16, end=26) == [False, True]


def test_what_takes_less_although_there_is_room_is_usual_from_then_on() -> None:
    sizes = Sizes()
    small = size(SMALL, chosen=False)
    assert sent(sizes, small, size(LARGE), uplink=2_500_000, begin=0, end=3) == [True, True]
    assert sent(sizes, small, size(600_000), uplink=2_500_000, begin=3, end=6) == [True, True]  # a still picture
    assert sent(sizes, small, size(600_000), uplink=200_000, begin=6, end=6) == [True, False]
    assert sent(sizes, small, GONE, uplink=400_000, begin=7, end=8) == [False, True]


def test_where_somebody_can_have_the_small_one_only_both_are_tried_ever_more_rarely() -> None:
    sizes = narrowed()
    tries = []
    for step in range(20 * 60):
        now, trying = 3 + step / 20, sizes.sending is Sending.ALL
        large = size(250_000, fps=3.0) if trying else GONE
        sizes.choose([size(SMALL), large], uplink=320_000, now=now)
        if sizes.sending is Sending.ALL and not trying:
            tries.append(now)
        assert not sizes.instead
    assert len(tries) == 3
    assert all(later - earlier > 5 for earlier, later in pairwise(tries))


def narrowed() -> Sizes:
    """After a link has narrowed at second 3, over which both had come before."""
    sizes = Sizes()
    assert sent(sizes, size(SMALL, chosen=False), size(LARGE), uplink=2_500_000, begin=0, end=3) == [True, True]
    assert sent(sizes, size(SMALL, chosen=False), size(LARGE), uplink=250_000, begin=3, end=3) == [True, False]
    return sizes
