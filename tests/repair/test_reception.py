"""Receiver reports against a plain model of what arrived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.reception import MAX_LOST, Reception
from rtc.wire.rtcp import ReceiverReport, ntp_from_seconds, parse_compound, serialize


def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    assert Reception(7, 48000).report(now=1.0) is None


@given(st.integers(0, 0xFFFF), st.lists(st.lists(st.integers(0, 99), unique=True), min_size=1, max_size=8))
def test_reports_what_a_plain_count_says(start: int, batches: list[list[int]]) -> None:
    """Each batch is the arrivals of a hundred packets, in any order, between two reports."""
    reception = Reception(7, 48000)
    base = highest = -1
    arrived = before_expected = before_arrived = 0
    for batch, places in enumerate(batches):
        for place in places:
            number = start + 100 * batch + place
            reception.received(number & 0xFFFF, 960 * number & 0xFFFFFFFF, now=number * 0.02)
            base = number if base < 0 else base
            highest = max(highest, number)
            arrived += 1
        block = reception.report(now=100.0)
        if base < 0:
            assert block is None
            continue
        assert block is not None
        expected = highest - base + 1
        new_expected = expected - before_expected
        lost = new_expected - (arrived - before_arrived)
        before_expected, before_arrived = expected, arrived
        assert block.packets_lost == expected - arrived == reception.lost
        share = min(max(lost / new_expected, 0), 1) if new_expected else 0
        assert block.fraction_lost == min(int(share * 256), 255)
        assert block.highest_sequence - block.highest_sequence % 65536 >= 0
        assert block.highest_sequence & 0xFFFF == highest & 0xFFFF


def test_a_repaired_packet_counts_as_lost() -> None:
    reception = Reception(7, 48000)
    for number in (1, 3):
        reception.received(number, 960 * number, now=0.02 * number)
    reception.received(2, 1920, now=0.5, repaired=True)
    assert reception.lost == 1 and reception.packets == 2
    assert reception.jitter < 1, "nor does its lateness count as jitter"


def test_no_report_owns_up_to_more_than_the_ceiling() -> None:
    reception = Reception(7, 48000)
    for number in range(401):
        if number % 2 == 0:
            reception.received(number, 960 * number, now=0.02 * number)
        if number % 100 == 0:
            block = reception.report(now=0.02 * number, ceiling=0.1)
    assert block is not None and (block.packets_lost, block.fraction_lost) == (40, 25)
    assert reception.lost == 200 and reception.fraction_lost == 0.5


def test_jitter_is_that_of_rfc_3550_a_8() -> None:
    reception = Reception(7, 8000)
    transit = [0.0, 0.01, 0.0, 0.03]
    expected, last = 0.0, None
    for number, late in enumerate(transit):
        reception.received(number, 160 * number, now=0.02 * number + late)
        if last is not None:
            expected += (abs((late - last) * 8000) - expected) / 16
        last = late
    assert reception.jitter == pytest.approx(expected, abs=0.01)


def test_jitter_does_not_jump_when_the_timestamp_wraps() -> None:
    reception = Reception(7, 48000)
    for number in range(10):
        reception.received(number, (0xFFFFF000 + 960 * number) & 0xFFFFFFFF, now=0.02 * number)
    assert reception.jitter < 1


def test_the_delay_since_the_sender_report_is_quoted() -> None:
    reception = Reception(7, 48000)
    reception.received(1, 0, now=0.0)
    ntp = ntp_from_seconds(1_700_000_000.25)
    reception.sender_report(ntp, now=10.0)
    block = reception.report(now=10.5)
    assert block is not None
    assert block.last_sender_report == ntp >> 16 & 0xFFFFFFFF
    assert block.delay_since_last_sender_report == 32768


def test_extreme_figures_fit_into_the_block() -> None:
    reception = Reception(7, 48000)
    reception.received(0, 0, now=0.0)
    number = 0
    while reception.lost <= MAX_LOST:
        number += 30_000
        reception.received(number & 0xFFFF, 0, now=1e9 * (number % 7))
    reception.sender_report(0, now=0.0)
    block = reception.report(now=1e12)
    assert block is not None and block.packets_lost == MAX_LOST
    (parsed,) = parse_compound(serialize([ReceiverReport(1, (block,))]))
    assert isinstance(parsed, ReceiverReport) and parsed.reports == (block,)
