"""From a publisher's clocks to ours: what lip-sync rests on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.clock import DRIFT, SenderClock, StreamClock


def test_nothing_is_known_before_anything_arrived() -> None:
    assert StreamClock(SenderClock(), 48000).timestamp_at(1.0) is None


def test_until_the_first_report_the_packets_tell_the_time() -> None:
    clock = StreamClock(SenderClock(), 48000)
    clock.received(0xFFFFFF00, now=10.0)
    assert clock.timestamp_at(10.02) == (0xFFFFFF00 + 960) & 0xFFFFFFFF


def test_two_streams_of_one_sender_stay_in_step_whatever_their_reports_suffer() -> None:
    """Audio's report is 80 ms late on the path, video's is not: both must map the same moment to the same time."""
    sender = SenderClock()
    audio, video = StreamClock(sender, 48000), StreamClock(sender, 90000)
    video.sender_report(1000.0, 0, now=50.01)
    audio.sender_report(1000.5, 24_000, now=50.59)
    moment = 51.01
    heard, seen = audio.timestamp_at(moment), video.timestamp_at(moment)
    assert heard is not None and seen is not None
    assert heard / 48_000 == pytest.approx(1.0, abs=0.001)  # 1001.0 of the sender, for both
    assert seen / 90_000 == pytest.approx(1.0, abs=0.001)
    assert heard / 48_000 == pytest.approx(seen / 90_000, abs=1e-4)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_the_offset_is_the_shortest_delay_seen_and_forgets_it_slowly(delays: list[float]) -> None:
    sender, now = SenderClock(), 0.0
    for number, delay in enumerate(delays):
        now = max(now, number + delay)
        sender.sender_report(float(number), now=now)
    assert sender.offset is not None
    shortest = min(max(delay, 0) for delay in delays)
    assert shortest - 1e-9 <= sender.offset <= shortest + DRIFT * (len(delays) + 1) + 1e-9


def test_a_clock_that_was_set_forward_is_followed_at_once_and_one_set_back_by_and_by() -> None:
    sender = SenderClock()
    sender.sender_report(100.0, now=1.0)
    sender.sender_report(105.0, now=2.0)
    assert sender.offset == -103.0
    sender.sender_report(101.0, now=3.0)
    assert sender.offset == pytest.approx(-103.0 + DRIFT)


def test_a_new_stream_forgets_the_timestamps_of_the_old_one() -> None:
    clock = StreamClock(SenderClock(), 48000)
    clock.sender_report(1.0, 1, now=1.0)
    clock.reset()
    assert clock.timestamp_at(2.0) is None
    clock.received(777, now=2.0)
    assert clock.timestamp_at(2.0) == 777


@given(st.floats(-1e12, 1e12), st.integers(0, 0xFFFFFFFF))
def test_a_lying_report_gives_some_timestamp_of_32_bits(seconds: float, timestamp: int) -> None:
    clock = StreamClock(SenderClock(), 90000)
    clock.sender_report(seconds, timestamp, now=5.0)
    found = clock.timestamp_at(6.0)
    assert found is not None and 0 <= found <= 0xFFFFFFFF
