"""What each layer takes, of a camera and of a screen that is silent between its pages."""

from __future__ import annotations

import pytest

from rtc.repair.rates import PATIENT_WINDOW_SECONDS, LayerRates

PAGE = 75_000 - 70


def share(rates: LayerRates, *, seconds: float, every: float) -> float:
    """A page `every` so many seconds; the worst bit/s measured once some have come."""
    worst, next_page = 0.0, 0.0
    for tick in range(round(seconds / 0.25)):
        now = tick * 0.25
        if now >= next_page:
            rates.add(0, 0, PAGE)
            next_page += every
        rates.measure(now=now)
        if now >= 2 * every and rates.layers:
            worst = max(worst, rates.layers[0][2])
    return worst


def test_a_screen_is_measured_over_its_pages_and_the_silence_between_them() -> None:
    rates = LayerRates()
    rates.window, rates.silence = PATIENT_WINDOW_SECONDS, 5.0
    assert share(rates, seconds=60, every=4) <= 1.5 * 8 * (PAGE + 70) / 4
    assert share(LayerRates(), seconds=60, every=4) >= 8 * PAGE, "as if a page came all the time"


def test_what_was_measured_stands_when_nothing_comes_any_more() -> None:
    rates = LayerRates()
    rates.window, rates.silence = PATIENT_WINDOW_SECONDS, 5.0
    share(rates, seconds=20, every=4)
    before = rates.layers
    for tick in range(200):
        rates.measure(now=20 + tick * 0.25)
    assert rates.layers and rates.layers[0][2] <= before[0][2]
    assert rates.layers[0][2] == pytest.approx(before[0][2], rel=0.7)
