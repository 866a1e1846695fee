"""Which sizes a camera sends over an uplink that cannot carry all: tables, second by second."""

from __future__ import annotations

import pytest

from rtc.repair.sizes import Sending, Size, Sizes

SMALL, LARGE = 220_000, 1_500_000


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
    idle = size(SMALL, wanted=False, chosen=False, live=False)
    assert sent(sizes, size(SMALL, chosen=False), size(LARGE), uplink=2_500_000, begin=0, end=3) == [True, True]
    assert sent(sizes, idle, size(LARGE), uplink=250_000, begin=3, end=3) == [True, False]
    gone = size(LARGE, live=False)
    assert sent(sizes, size(SMALL, chosen=False), gone, uplink=280_000, begin=3, end=8) == [True, False]
    assert sizes.sending is Sending.SMALLEST
    assert sent(sizes, size(SMALL, chosen=False), gone, uplink=400_000, begin=8, end=8) == [False, True]
    assert sent(sizes, idle, size(350_000), uplink=400_000, begin=8, end=12) == [False, True]
    # Somebody comes who can have the small one only.
    assert sent(sizes, size(SMALL, live=False), size(LARGE), uplink=2_500_000, begin=16, end=18) == [True, True]
