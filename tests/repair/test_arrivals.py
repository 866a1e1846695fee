"""What a receiver tells of packets: each number once, the lost as lost, the late after all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.bandwidth.arrivals import ArrivalFeedback
from rtc.repair.bandwidth.mask import MAX_PENDING
from rtc.wire.twcc import REFERENCE_TICK, TransportFeedback


def told(feedback: TransportFeedback | None) -> dict[int, bool]:
    assert feedback is not None
    return {number: delta is not None for number, delta in feedback.received}


def test_the_lost_are_told_as_lost_and_taken_back_when_they_come_late() -> None:
    arrivals = ArrivalFeedback()
    for number, moment in ((65535, 10.0), (1, 10.02)):
        arrivals.received(number, now=moment)
    assert told(arrivals.feedback(1, 2)) == {65535: True, 0: False, 1: True}
    assert arrivals.feedback(1, 2) is None
    arrivals.received(3, now=10.03)
    second = arrivals.feedback(1, 2)
    assert told(second) == {2: False, 3: True}
    assert second is not None and second.reference_time == int(10.03 / REFERENCE_TICK)
    arrivals.received(0, now=10.04)
    assert told(arrivals.feedback(1, 2)) == {0: True}
    arrivals.received(4, now=10.05)
    assert told(arrivals.feedback(1, 2)) == {4: True}


def test_what_was_told_is_told_again_with_what_came_late_since_nobody_may_have_heard_of_it() -> None:
    arrivals = ArrivalFeedback()
    for number, moment in ((1, 10.0), (3, 10.02), (4, 10.03)):
        arrivals.received(number, now=moment)
    assert told(arrivals.feedback(1, 2)) == {1: True, 2: False, 3: True, 4: True}
    arrivals.received(2, now=10.04)
    arrivals.received(6, now=10.05)
    assert told(arrivals.feedback(1, 2)) == {2: True, 3: True, 4: True, 5: False, 6: True}
    arrivals.received(7, now=11)
    arrivals.feedback(1, 2)
    arrivals.received(5, now=11.01)
    arrivals.received(8, now=11.02)
    assert told(arrivals.feedback(1, 2)) == {5: True, 6: False, 7: True, 8: True}, "that long ago it is forgotten"


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(-1e6, 1e6), st.booleans()), min_size=1, max_size=60))
def test_whatever_numbers_and_times_come_the_feedback_can_be_written(packets: list[tuple[int, float, bool]]) -> None:
    arrivals = ArrivalFeedback()
    for number, moment, flush in packets:
        arrivals.received(number, now=moment)
        feedback = arrivals.feedback(1, 2) if flush else None
        if feedback is not None:
            _, _, body = feedback.encode()
            assert TransportFeedback.parse(body).received == feedback.received
            assert len(feedback.received) <= 2 * MAX_PENDING + 1
