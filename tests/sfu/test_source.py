from __future__ import annotations

import pytest

from rtc.repair.clock import SenderClock
from rtc.sfu.source import BURST_SECONDS, MAX_PACKETS_PER_SECOND, Source


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_publisher_that_floods_is_held_to_a_rate(kind: str) -> None:
    source = Source(kind, "0", SenderClock(), copies=False)
    seconds, per_second = 10, 10_000
    taken = sum(source.may_take(now=number / per_second) for number in range(seconds * per_second))
    most = MAX_PACKETS_PER_SECOND[kind] * (seconds + BURST_SECONDS)
    assert 0.95 * most < taken <= most


def test_ordinary_audio_never_meets_the_limit_nor_does_what_a_stalled_network_held_back() -> None:
    source = Source("audio", "0", SenderClock(), copies=False)
    assert all(source.may_take(now=number / 100) for number in range(6000))
    assert all(source.may_take(now=70.0) for _ in range(1000))
