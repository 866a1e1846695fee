"""When key frames are asked for: once for all listeners, again when the request was lost, never in a storm."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.keyframes import (
    MIN_INTERVAL_SECONDS,
    MIN_REPEAT_SECONDS,
    REPEAT_RTTS,
    KeyframeCadence,
    KeyframeRequester,
)


def test_nobody_wants_none_is_asked_for() -> None:
    requester = KeyframeRequester()
    assert not requester.due(now=0.0, rtt=0.05)
    requester.want()
    requester.arrived()
    assert not requester.due(now=100.0, rtt=0.05) and not requester.pending


def test_the_first_wish_is_sent_at_once_and_the_next_after_the_throttle() -> None:
    requester = KeyframeRequester()
    requester.want()
    assert requester.due(now=10.0, rtt=0.05)
    assert not requester.may_ask(now=10.9) and requester.may_ask(now=10 + MIN_INTERVAL_SECONDS)
    requester.arrived()
    requester.want()
    times = [10 + step / 100 for step in range(1, 200) if requester.due(now=10 + step / 100, rtt=5.0)]
    assert times[0] == 10 + MIN_INTERVAL_SECONDS
    assert requester.requests == 2


def test_a_lost_request_is_repeated_after_a_round_trip_and_a_half() -> None:
    for rtt in (0.0, 0.04, 0.1, 0.3):
        requester = KeyframeRequester()
        requester.want()
        times = [step / 1000 for step in range(1000) if requester.due(now=step / 1000, rtt=rtt)]
        expected = max(MIN_REPEAT_SECONDS, REPEAT_RTTS * rtt)
        assert all(expected <= later - earlier < expected + 0.0015 for earlier, later in pairwise(times))
        assert requester.requests == 1, "repeats ask for the same key frame"


@given(st.lists(st.tuples(st.floats(0, 0.2), st.sampled_from(["want", "arrived", "due"])), max_size=200))
def test_a_storm_of_wishes_asks_for_one_key_frame_a_second(events: list[tuple[float, str]]) -> None:
    requester = KeyframeRequester()
    now, asked, answered = 0.0, list[float](), True
    for wait, event in events:
        now += wait
        if event == "want":
            requester.want()
        elif event == "arrived":
            requester.arrived()
            answered = True
        elif requester.due(now=now, rtt=0.02):
            if answered:
                asked.append(now)
            answered = False
    assert all(later - earlier >= MIN_INTERVAL_SECONDS - 1e-9 for earlier, later in pairwise(asked))


def test_the_encodings_of_a_track_are_asked_for_one_key_frame_a_second_together() -> None:
    cadence = KeyframeCadence()
    low, high = KeyframeRequester(cadence), KeyframeRequester(cadence)
    low.want()
    high.want()
    assert low.due(now=10.0, rtt=5.0) and not high.due(now=10.0, rtt=5.0)
    low.arrived()
    assert not low.pending and high.pending
    assert not high.due(now=10.9, rtt=5.0)
    assert high.due(now=10.0 + MIN_INTERVAL_SECONDS, rtt=5.0)
