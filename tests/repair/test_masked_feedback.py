"""What a publisher is told of its packets: each number once, all of them arrived, none of them late."""

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


def test_the_lost_are_said_to_have_come_between_their_neighbours() -> None:
    mask = MaskedFeedback()
    for number, moment in ((65534, 10.0), (65535, 10.01), (2, 10.04), (3, 10.05)):
        mask.received(number, moment=moment)
    feedback = mask.feedback(1, 2)
    assert feedback is not None
    assert [number for number, _ in feedback.received] == [65534, 65535, 0, 1, 2, 3]
    assert [round(moment, 2) for moment in moments(feedback)] == [10.0, 10.01, 10.02, 10.03, 10.04, 10.05]


def test_losses_at_the_edge_of_two_messages_are_spoken_of_once() -> None:
    mask = MaskedFeedback()
    mask.received(7, moment=1.0)
    first = mask.feedback(1, 2)
    mask.received(9, moment=1.1)
    second = mask.feedback(1, 2)
    assert first is not None and second is not None
    assert [number for number, _ in first.received + second.received] == [7, 8, 9]
    assert second.feedback_count == first.feedback_count + 1
    mask.received(8, moment=1.2)
    assert mask.feedback(1, 2) is None, "it has been spoken of"


def test_a_leap_in_the_numbers_is_another_stream_and_not_a_thousand_losses() -> None:
    mask = MaskedFeedback()
    mask.received(1, moment=1.0)
    mask.received(1 + MAX_PENDING + 1, moment=1.0)
    feedback = mask.feedback(1, 2)
    assert feedback is not None and len(feedback.received) == 1


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(-1e6, 1e6), st.booleans()), min_size=1, max_size=60))
def test_whatever_numbers_and_times_come_the_feedback_can_be_written(packets: list[tuple[int, float, bool]]) -> None:
    mask = MaskedFeedback()
    for number, moment, flush in packets:
        mask.received(number, moment=moment)
        feedback = mask.feedback(1, 2) if flush else None
        if feedback is not None:
            _, _, body = feedback.encode()
            assert TransportFeedback.parse(body).received == feedback.received
            assert len(feedback.received) <= 2 * MAX_PENDING
