"""The estimate on simulated paths: full links are left room, chance is not taken for a full link."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from bench.narrow_path import Flow, simulate_path
from rtc.netem import LinkProfile
from rtc.repair.bandwidth.estimator import BandwidthEstimator
from rtc.repair.bandwidth.loss import AWAY_PACKETS, ChanceLoss, GapCounter, Trial


def flow(*, begin: float = 0.0) -> Flow:
    return Flow(BandwidthEstimator(start=500_000, least=50_000, most=2_500_000), begin=begin)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_settles_at_what_the_link_carries_with_a_short_queue(seed: int) -> None:
    one = flow()
    link = LinkProfile(bandwidth=500_000, queue=0.2, delay=0.02)
    outcome = simulate_path([one], lambda now: link, seconds=30, seed=seed)
    assert one.used(2, 10) == pytest.approx(500_000, rel=0.15)
    assert one.used(10, 30) == pytest.approx(500_000, rel=0.15)
    assert outcome.queue_p95(2, 30) <= 0.1
    assert outcome.audio_lost <= 0.01


@pytest.mark.parametrize(("loss", "share"), [(0.1, 0.8), (0.3, 0.7)])
def test_a_full_link_that_also_loses_by_chance_is_used(loss: float, share: float) -> None:
    one = flow()
    link = LinkProfile(bandwidth=600_000, queue=0.2, delay=0.02, loss=loss)
    outcome = simulate_path([one], lambda now: link, seconds=40)
    assert one.used(10, 40) >= share * 600_000
    assert outcome.queue_p95(10, 40) <= 0.12


@pytest.mark.parametrize(("loss", "burst"), [(0.1, 1.0), (0.3, 1.0), (0.3, 3.0), (0.5, 1.0)])
def test_chance_alone_does_not_hold_it_down(loss: float, burst: float) -> None:
    one = flow()
    simulate_path([one], lambda now: LinkProfile(delay=0.02, loss=loss, burst=burst), seconds=30)
    assert one.used(15, 30) >= 0.7 * one.most


@pytest.mark.parametrize(
    "profile",
    [LinkProfile(delay=0.02, jitter=0.02), LinkProfile(delay=0.02, reorder=0.05)],
)
def test_a_restless_path_is_no_full_link(profile: LinkProfile) -> None:
    one = flow()
    simulate_path([one], lambda now: profile, seconds=20)
    assert one.used(10, 20) >= 0.9 * one.most


@pytest.mark.parametrize("most", [1_000_000, 2_000_000])
def test_a_machine_that_is_late_now_and_then_is_no_full_link(most: int) -> None:
    """Each second everything is 20 to 40 ms late for a while: a computer with too much to do."""
    one = flow()
    one.most = most
    late = [(0.1 * (second % 7), 0.05 + 0.03 * (second % 9), 0.02 + 0.004 * (second % 6)) for second in range(40)]

    def path(now: float) -> LinkProfile:
        begins, lasts, by = late[int(now) % len(late)]
        return LinkProfile(delay=0.02 + (by if begins <= now % 1 < begins + lasts else 0.0))

    simulate_path([one], path, seconds=40)
    assert one.used(10, 40) >= 0.85 * most
    estimates = sorted(bitrate for when, bitrate in one.estimates if when >= 10)
    assert estimates[len(estimates) // 2] >= 0.9 * most


def stands_still(seed: str, *, longest: float, until: float = 40.0) -> Callable[[float], bool]:
    """A computer that has too much to do: about each half second it does nothing for a while."""
    dice, times, end = Random(seed), [], 0.0
    while end < until:
        begin = end + dice.expovariate(2)
        end = begin + dice.uniform(0.05, longest)
        times.append((begin, end))
    return lambda now: any(begin <= now < end for begin, end in times)


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("longest", [0.1, 0.2, 0.3])
def test_what_comes_in_a_clump_because_a_computer_stood_still_was_in_no_queue(longest: float, loss: float) -> None:
    """Two of them, since one alone lets all go that waited, and the last of that came at once."""
    one = flow()
    computers = [stands_still(f"{which} {longest}", longest=longest) for which in ("browser", "server")]
    simulate_path([one], lambda now: LinkProfile(delay=0.02, loss=loss), seconds=25, computers=computers)
    assert one.used(10, 25) >= 0.95 * one.most
    estimates = sorted(bitrate for when, bitrate in one.estimates if when >= 10)
    assert estimates[len(estimates) // 20] >= 0.9 * one.most


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_full_link_is_found_full_though_computers_stand_still(loss: float) -> None:
    one = flow()
    computers = [stands_still(which, longest=0.2) for which in ("browser", "server")]
    wide, narrow = (LinkProfile(bandwidth=rate, queue=0.3, delay=0.02, loss=loss) for rate in (2_000_000, 300_000))
    simulate_path([one], lambda now: narrow if 10 <= now < 25 else wide, seconds=40, computers=computers)
    assert one.used(11.5, 25) <= 1.15 * 300_000
    assert one.used(30, 40) >= 0.85 * one.most


def test_loss_that_chance_brings_suddenly_is_recognised() -> None:
    one = flow()
    simulate_path([one], lambda now: LinkProfile(delay=0.02, loss=0.0 if now < 10 else 0.3), seconds=30)
    assert one.used(11, 16) >= 0.6 * one.most
    assert one.used(16, 30) >= 0.9 * one.most


@pytest.mark.parametrize("queue", [0.02, 0.05])
def test_a_link_that_only_drops_is_found_full_by_sending_less(queue: float) -> None:
    """A policer or a tiny buffer: there is no delay to see."""
    one = flow()
    link = LinkProfile(bandwidth=800_000, queue=queue, delay=0.02)
    outcome = simulate_path([one], lambda now: link, seconds=40)
    assert one.used(20, 40) <= 1.1 * 800_000
    assert outcome.audio_lost <= 0.1


def test_when_the_link_narrows_it_makes_way_at_once_and_comes_back_within_seconds() -> None:
    one = flow()
    wide, narrow = (LinkProfile(bandwidth=rate, queue=0.2, delay=0.02) for rate in (2_000_000, 300_000))
    outcome = simulate_path([one], lambda now: narrow if 15 <= now < 30 else wide, seconds=45)
    assert one.used(15.3, 16) <= 300_000
    assert outcome.queue_p95(17, 30) <= 0.12, "a packet alone takes 0.03"
    assert one.used(18, 30) == pytest.approx(300_000, rel=0.2)
    assert one.used(35, 37) >= 1_500_000


def test_two_flows_share_a_link_fairly_whoever_came_first() -> None:
    flows = [flow(), flow(begin=15.0)]
    link = LinkProfile(bandwidth=1_500_000, queue=0.2, delay=0.02)
    outcome = simulate_path(flows, lambda now: link, seconds=60)
    shares = [one.used(30, 60) for one in flows]
    assert sum(shares) ** 2 / (2 * sum(share**2 for share in shares)) >= 0.9
    assert sum(shares) >= 0.8 * 1_500_000
    assert outcome.queue_p95(20, 60) <= 0.1


def test_a_longer_path_is_not_taken_for_a_queue_for_ever() -> None:
    one = flow()
    simulate_path([one], lambda now: LinkProfile(delay=0.02 if now < 10 else 0.12), seconds=30)
    assert one.used(24, 30) >= 0.9 * one.most


def test_clocks_that_leap_and_times_that_lie_leave_an_estimate_within_its_bounds() -> None:
    one = BandwidthEstimator(start=500_000, least=50_000, most=2_500_000)
    for step in range(3000):
        now = 100 + step / 100
        one.arrived(1200, sent=(step * 7919) % 1000 - 500.0, arrived=now)
        assert 50_000 <= one.update(now=now) <= 2_500_000


def test_what_nobody_uses_is_not_promised() -> None:
    """Audio alone, or a still picture, says nothing of how much more would fit."""
    one = flow()
    one.most = 100_000
    simulate_path([one], lambda now: LinkProfile(delay=0.02), seconds=20)
    assert one.estimate(19) <= 500_000


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("loss", [0.3, 0.5])
def test_a_slow_stream_that_loses_much_by_chance_is_not_thought_to_fill_its_link(loss: float, seed: int) -> None:
    """Few packets tell little: what a trial finds by accident made the next begin lower, down to nothing."""
    one = flow()
    one.most = 250_000
    profile = LinkProfile(delay=0.02, loss=loss)
    simulate_path([one], lambda now: profile if now >= 5 else LinkProfile(delay=0.02), seconds=60, seed=seed)
    assert one.used(15, 60) >= 0.9 * one.most
    assert min(bitrate for when, bitrate in one.estimates if when >= 5) >= 0.4 * one.most


def test_a_trial_in_which_next_to_nothing_is_sent_ends() -> None:
    loss = ChanceLoss()
    for step in range(40):
        loss.counted(expected=10, lost=0 if step < 20 else 6, runs=3, now=step / 10)
        loss.delivered(5000)
        loss.advance(now=step / 10)
    assert loss.trial is Trial.LEVEL
    states = set()
    for step in range(40, 400):
        loss.counted(expected=step % 20 == 0, lost=0, runs=0, now=step / 10)
        states.add(loss.advance(now=step / 10))
    assert Trial.FULL not in states and loss.trial is Trial.NONE


@pytest.mark.parametrize(
    ("missing", "after_silence", "counted"),
    [
        (0, False, (1, 0, 0)),
        (3, False, (4, 3, 1)),
        (3, True, (4, 3, 1)),  # of a slow stream each packet comes after a silence
        (100, False, (101, 100, 1)),
        (AWAY_PACKETS - 1, True, (AWAY_PACKETS, AWAY_PACKETS - 1, 1)),
        (AWAY_PACKETS, True, (1, 0, 0)),
        (100, True, (1, 0, 0)),
    ],
)
def test_what_is_missing_of_a_silence_was_lost_to_no_full_link(
    missing: int, after_silence: bool, counted: tuple[int, int, int]
) -> None:
    gaps = GapCounter()
    gaps.received(65530)
    gaps.take()
    gaps.received(65531 + missing & 0xFFFF, after_silence=after_silence)
    assert gaps.take() == counted
