"""What a publisher is told of its packets: none was late, and none is told that may still be asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.bandwidth.mask import (
    HOLD_SECONDS,
    MAX_AGE_SECONDS,
    MAX_LOST,
    MAX_PENDING,
    REPEAT_SECONDS,
    MaskedFeedback,
)
from rtc.wire.twcc import DELTA_TICK, REFERENCE_TICK, TransportFeedback

NEVER = float("-inf")


def moments(feedback: TransportFeedback) -> list[float]:
    at = feedback.reference_time * REFERENCE_TICK
    out = []
    for _, delta in feedback.received:
        assert delta is not None
        at += delta * DELTA_TICK
        out.append(at)
    return out


def told(messages: list[TransportFeedback]) -> dict[int, float]:
    return {
        number: round(moment, 3)
        for one in messages
        for (number, _), moment in zip(one.received, moments(one), strict=True)
    }


def receive(mask: MaskedFeedback, *numbers: int) -> None:
    """Each came 10 ms after the number before it was sent, and 20 ms after that."""
    for number in numbers:
        mask.received(number & 0xFFFF, moment=10 + number / 100, now=10.02 + number / 100)


def test_of_the_lost_nothing_is_said_so_that_they_can_still_be_sent_again() -> None:
    """A browser forgets what is said to have arrived, and takes for congestion what is said not to have."""
    mask = MaskedFeedback()
    receive(mask, 65534, 65535, 65538, 65539)
    (one,) = mask.feedback(1, 2, settled=NEVER, now=665.5)
    assert [number for number, _ in one.received] == [65534, 65535]
    assert [round(moment, 2) for moment in moments(one)] == [665.34, 665.35]


def test_what_nobody_asks_for_any_more_is_told_as_arrived_between_its_neighbours() -> None:
    """Else a browser that loses half thinks that its path carries no more than half of what it sends."""
    mask = MaskedFeedback()
    receive(mask, 0, 1, 4, 5, 7)
    assert set(told(mask.feedback(1, 2, settled=10.02, now=10.1))) == {0, 1}
    receive(mask, 8)
    # 2 and 3 were noticed with 4, 6 with 7
    assert told(mask.feedback(1, 2, settled=10.08, now=10.11)) == {2: 10.02, 3: 10.03, 4: 10.04, 5: 10.05}
    assert list(told(mask.feedback(1, 2, settled=10.11, now=10.12))) == [2, 3, 4, 5, 6, 7, 8]


def test_all_that_is_told_at_once_goes_in_one_message_as_browsers_read_one_of_each_packet() -> None:
    mask = MaskedFeedback()
    receive(mask, *range(0, 60, 2))
    assert len(mask.feedback(1, 2, settled=10.5, now=10.62)) == 1


def test_where_it_takes_long_to_know_what_comes_of_something_lost_the_newest_are_told_beside_it() -> None:
    """A browser that hears nothing for long leaves out frames."""
    mask = MaskedFeedback()
    receive(mask, 0, 2, 3, 5, 6, 7)
    before, after = 10.04 + HOLD_SECONDS - 0.01, 10.04 + HOLD_SECONDS + 0.01
    assert list(told(mask.feedback(1, 2, settled=10.03, now=before))) == [0]
    assert list(told(mask.feedback(1, 2, settled=10.03, now=after))) == [5, 6, 7]  # 4 is not known yet
    assert list(told(mask.feedback(1, 2, settled=10.2, now=after))) == [1, 2, 3, 4, 5, 6, 7]


def test_it_is_told_several_times_as_feedback_gets_lost_as_well_and_then_no_more() -> None:
    mask = MaskedFeedback()
    receive(mask, 0, 2)
    heard = [bool(mask.feedback(1, 2, settled=11.0, now=10.1 + tick * 0.05)) for tick in range(10)]
    assert heard == [tick * 0.05 <= REPEAT_SECONDS for tick in range(10)]


def test_where_nothing_is_lost_nothing_is_told_twice() -> None:
    mask = MaskedFeedback()
    receive(mask, *range(10))
    (one,) = mask.feedback(1, 2, settled=11.0, now=11.0)
    assert len(one.received) == 10
    assert mask.feedback(1, 2, settled=11.0, now=11.05) == []


def test_what_was_lost_so_long_ago_that_a_browser_would_begin_to_measure_anew_is_not_told() -> None:
    mask = MaskedFeedback()
    receive(mask, 0, 2)
    mask.feedback(1, 2, settled=10.0, now=10.05)
    assert mask.feedback(1, 2, settled=11.0, now=10.05 + MAX_AGE_SECONDS) == []


def test_of_many_lost_in_a_row_nothing_is_said_as_the_path_was_away() -> None:
    mask = MaskedFeedback()
    receive(mask, 0, MAX_LOST + 2)
    assert list(told(mask.feedback(1, 2, settled=12.0, now=10.7))) == [0, MAX_LOST + 2]


def test_what_comes_late_is_told_unless_it_comes_too_late() -> None:
    mask = MaskedFeedback()
    mask.received(7, moment=1.0, now=1.0)
    mask.received(10, moment=1.3, now=1.3)
    mask.received(8, moment=1.05, now=1.35)
    mask.received(9, moment=1.3 - 2 * MAX_AGE_SECONDS, now=1.36)
    assert told(mask.feedback(1, 2, settled=1.4, now=1.4)) == {7: 1.0, 8: 1.05, 9: 1.2, 10: 1.3}
    mask.received(11, moment=3.0, now=3.0)
    mask.feedback(1, 2, settled=3.0, now=3.0)
    mask.received(6, moment=0.9, now=3.1)
    assert 6 not in told(mask.feedback(1, 2, settled=3.1, now=3.1))


def test_a_leap_in_the_numbers_is_another_stream() -> None:
    mask = MaskedFeedback()
    mask.received(1, moment=1.0, now=1.0)
    mask.received(1 + MAX_PENDING + 2, moment=1.0, now=1.0)
    (feedback,) = mask.feedback(1, 2, settled=2.0, now=1.0)
    assert len(feedback.received) == 1


@given(st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.floats(-1e6, 1e6), st.floats(-1, 2), st.booleans()), min_size=1, max_size=60
))  # fmt: skip
def test_whatever_numbers_and_times_come_the_feedback_can_be_written(
    packets: list[tuple[int, float, float, bool]],
) -> None:
    mask = MaskedFeedback()
    for now, (number, moment, settled, flush) in enumerate(packets):
        mask.received(number, moment=moment, now=now / 10)
        for feedback in mask.feedback(1, 2, settled=now / 10 - settled, now=now / 10) if flush else ():
            _, _, body = feedback.encode()
            assert TransportFeedback.parse(body).received == feedback.received
            assert len(feedback.received) <= 2 * MAX_PENDING
