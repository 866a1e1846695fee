"""The token bucket, which knows no clock."""

from __future__ import annotations

import pytest

from rtc.bucket import TokenBucket


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(now=100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(now=100.5) for _ in range(2)] == [True, False]
    assert [bucket.take(now=1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_gives_no_tokens() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(now=10.0)
    assert not bucket.take(now=5.0)


def test_a_bucket_says_how_long_to_wait_and_what_is_refused_costs_nothing() -> None:
    bucket = TokenBucket(rate=2, burst=10)
    assert bucket.is_full(now=0.0)
    assert bucket.take(8, now=0.0)
    assert not bucket.take(4, now=0.0)
    assert bucket.wait(4, now=0.0) == pytest.approx(1.0)
    assert bucket.take(4, now=1.0)
    assert not bucket.is_full(now=5.9)
    assert bucket.is_full(now=6.0)


def test_what_is_owed_has_to_flow_in_first() -> None:
    bucket = TokenBucket(rate=10, burst=10)
    bucket.charge(25, now=0.0)
    assert not bucket.take(now=1.5)
    assert bucket.take(now=1.6)
