"""What a publisher is told of its packets: those that arrived, each once, none of them late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.bandwidth.mask import MAX_PENDING, MaskedFeedback
from rtc.wire.twcc import DELTA_TICK, REFERENCE_TICK, TransportFeedback


def moments(feedback: TransportFeedback) -> list[float]:
    at = feedback.reference_time * REFERENCE_TICK
    out = []
    for _, delta in feedback.received:
        assert delta is not None
        at += delta * DELTA_TICK
        out.append(at)
    return out


def test_of_the_lost_nothing_is_said_so_that_they_can_still_be_sent_again() -> None:
    """A browser forgets what is said to have arrived, and takes for congestion what is said not to have."""
    mask = MaskedFeedback()
    for number, moment in ((65534, 10.0), (65535, 10.01), (2, 10.04), (3, 10.05)):
        mask.received(number, moment=moment)
    before, after = mask.feedback(1, 2)
    assert [number for number, _ in before.received] == [65534, 65535]
    assert [number for number, _ in after.received] == [2, 3]
    assert [round(moment, 2) for moment in moments(before) + moments(after)] == [10.0, 10.01, 10.04, 10.05]
    assert after.feedback_count == before.feedback_count + 1


def test_what_comes_after_the_feedback_has_passed_it_is_not_spoken_of() -> None:
    mask = MaskedFeedback()
    mask.received(7, moment=1.0)
    assert len(mask.feedback(1, 2)) == 1
    mask.received(9, moment=1.1)
    (second,) = mask.feedback(1, 2)
    assert [number for number, _ in second.received] == [9]
    mask.received(8, moment=1.2)
    assert mask.feedback(1, 2) == []


def test_a_leap_in_the_numbers_is_another_stream() -> None:
    mask = MaskedFeedback()
    mask.received(1, moment=1.0)
    mask.received(1 + MAX_PENDING + 1, moment=1.0)
    (feedback,) = mask.feedback(1, 2)
    assert len(feedback.received) == 1


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(-1e6, 1e6), st.booleans()), min_size=1, max_size=60))
def test_whatever_numbers_and_times_come_the_feedback_can_be_written(packets: list[tuple[int, float, bool]]) -> None:
    mask = MaskedFeedback()
    for number, moment, flush in packets:
        mask.received(number, moment=moment)
        for feedback in mask.feedback(1, 2) if flush else ():
            _, _, body = feedback.encode()
            assert TransportFeedback.parse(body).received == feedback.received
            assert len(feedback.received) <= 2 * MAX_PENDING
