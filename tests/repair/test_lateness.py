from __future__ import annotations

import random

import pytest

from rtc.repair.lateness import PRICE, START_SECONDS, Lateness

FRAME = 0.02


def after(lates: list[float], *, transit: float = 0.05) -> Lateness:
    """Frames of 20 ms, each late by so many seconds."""
    lateness = Lateness()
    for number, late in enumerate(lates):
        lateness.arrived(transit + late, now=number * FRAME + transit + late)
    return lateness


def test_on_a_clean_path_nothing_is_waited_for() -> None:
    lateness = after([0.0] * 100)
    assert lateness.wait == 0.0
    assert lateness.base == pytest.approx(0.05)


def test_a_stream_that_begins_gets_a_little_time() -> None:
    assert after([0.0] * 3).wait == START_SECONDS


@pytest.mark.parametrize(("share", "late", "waited"), [
    (0.20, 0.10, True),      # one in five comes on request: 100 ms are worth it
    (0.02, 0.06, True),
    (0.002, 0.40, False),    # one in 500: half a second for all the others is too much
    (0.01, 0.30, False),
])
def test_waiting_is_worth_what_it_saves(share: float, late: float, waited: bool) -> None:
    every = round(1 / share)
    lateness = after([late if number % every == every // 2 else 0.0 for number in range(800)])
    assert (lateness.wait >= late - 1e-9) == waited
    assert waited == (share > PRICE * late)


def test_a_burst_of_late_frames_is_answered_at_once_and_forgotten_within_seconds() -> None:
    quiet = [0.0] * 300
    burst = [0.2 - FRAME * number for number in range(10)] * 2
    assert after(quiet + burst).wait >= 0.15
    assert after(quiet + burst + [0.0] * 420).wait == 0.0


def test_a_bad_start_is_forgotten_sooner_than_the_longest_window() -> None:
    generator = random.Random(1)
    bad = [generator.uniform(0, 0.5) for _ in range(100)]
    good = [0.02 * generator.choice([0, 0, 0, 1, 2]) for _ in range(150)]
    assert after(bad).wait > 0.3
    assert after(bad + good).wait < 0.1


def test_a_path_that_grows_longer_is_no_lateness_in_the_end() -> None:
    lateness = Lateness()
    for number in range(1000):
        transit = 0.05 if number < 300 else 0.15
        lateness.arrived(transit, now=number * FRAME + transit)
    assert lateness.base == pytest.approx(0.15)
    assert lateness.wait == pytest.approx(0.0)


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_clocks_that_drift_apart_cost_a_millisecond(drift: float) -> None:
    lateness = Lateness()
    for number in range(3000):
        now = number * FRAME
        lateness.arrived(0.05 + drift * now, now=now)
    assert lateness.wait <= 0.0011
