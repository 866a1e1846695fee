from __future__ import annotations

import pytest

from rtc.repair.clock import SenderClock
from rtc.sfu.source import BURST_SECONDS, MAX_PACKETS_PER_SECOND, Source
from rtc.wire.rtp import RtpHeader


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


def test_a_path_is_not_better_for_what_was_sent_again() -> None:
    source = Source("audio", "0", SenderClock(), copies=False)
    source.use_ssrc(1, now=0.0)

    def receive(number: int, now: float) -> None:
        header = RtpHeader(False, 111, number, 960 * number, 1, (), 0, 0, 0, 12, 1, 0)
        assert len(source.receive(header, "opus", b"x", (), now=now)) == 1

    for number in range(0, 200, 2):
        receive(number, number * 0.02)
        for again in source.missing(now=number * 0.02 + 0.006, rtt=0.02):
            receive(again, number * 0.02 + 0.01)
    assert source.meter.measure()[0] == pytest.approx(0.5, abs=0.01)
    assert not len(source.nack), "all came in the end"
