"""The bench of listeners on unequal links judges what they really get."""

from __future__ import annotations

import pytest

from bench.video.listeners import CAMERAS, RIGHT, RIGHT_SECONDS, listen


@pytest.mark.parametrize(("right", "found"), [((0, 27), True), ((1, 27), False), ((0, 60), False)])
def test_only_the_right_picture_at_its_rate_is_right(
    right: tuple[int, int], found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RIGHT[CAMERAS[1]], 250_000, right)
    (got,) = listen(CAMERAS[1], [250_000])
    assert (got.right_after <= RIGHT_SECONDS) == found
    assert got.fps >= 29 and got.kbits <= 250 and got.longest <= 0.3
