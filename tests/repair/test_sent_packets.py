"""Feedback finds what was sent, once; what was never sent is counted and changes nothing."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.bandwidth.sent import MEMORY, SentPackets
from rtc.wire.twcc import TransportFeedback


def feedback(base: int, deltas: list[int | None], *, reference: int = 0) -> TransportFeedback:
    return TransportFeedback(1, 2, base, reference, 0, [(base + i & 0xFFFF, delta) for i, delta in enumerate(deltas)])


def test_each_packet_is_found_with_what_was_sent() -> None:
    sent = SentPackets()
    numbers = [sent.sent(100 + i, at=i / 100) for i in range(3)]
    assert numbers == [0, 1, 2]
    arrivals = sent.acknowledged(feedback(0, [0, None, 80]), now=1.0)
    assert [(one.number, one.size, one.sent) for one in arrivals] == [(0, 100, 0.0), (1, 101, 0.01), (2, 102, 0.02)]
    assert arrivals[1].arrived is None
    first, last = arrivals[0].arrived, arrivals[2].arrived
    assert first is not None and last == pytest.approx(1.0) and last - first == pytest.approx(0.02)


def test_a_loss_is_told_once_and_taken_back_by_a_late_arrival() -> None:
    sent = SentPackets()
    for i in range(3):
        sent.sent(100, at=i / 100)
    assert len(sent.acknowledged(feedback(0, [0, None, 0]), now=1.0)) == 3
    assert sent.acknowledged(feedback(1, [None]), now=1.1) == []
    late = sent.acknowledged(feedback(1, [4], reference=1), now=1.2)
    assert [one.number for one in late] == [1]
    assert sent.acknowledged(feedback(0, [0, 0, 0]), now=1.3) == []
    assert sent.unknown == 3


def test_those_who_send_nothing_take_no_memory() -> None:
    tracemalloc.start()
    try:
        idle = [SentPackets() for _ in range(100)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1000 * len(idle)


def test_numbers_wrap() -> None:
    sent = SentPackets()
    for i in range(0x10002):
        sent.sent(100, at=i / 1000)
    assert [one.number for one in sent.acknowledged(feedback(0xFFFF, [0, 0, 0]), now=70.0)] == [65535, 65536, 65537]


@given(st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.lists(st.none() | st.integers(-0x8000, 0x7FFF), min_size=1, max_size=50),
              st.integers(-0x800000, 0x7FFFFF)), max_size=20,
))
def test_feedback_that_lies_is_counted_and_finds_nothing_twice(
    messages: list[tuple[int, list[int | None], int]]
) -> None:
    sent = SentPackets()
    for i in range(100):
        sent.sent(1000, at=i / 100)
    seen: set[int] = set()
    for base, deltas, reference in messages:
        before = sent.unknown
        arrivals = sent.acknowledged(feedback(base, deltas, reference=reference), now=2.0)
        assert all(0 <= one.number < 100 and one.number > 99 - MEMORY for one in arrivals)
        arrived = [one.number for one in arrivals if one.arrived is not None]
        assert not seen & set(arrived)
        seen |= set(arrived)
        assert sent.unknown - before + len(arrivals) <= len(deltas)
