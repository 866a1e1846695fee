"""Places in the count: a table of what senders and networks do, and that no place is ever given twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.repair.clock import SenderClock
from rtc.sfu.numbering import MAX_JUMP, MAX_LATE, Numbering
from rtc.sfu.source import Source
from rtc.wire.rtp import RtpHeader

FIRST = 1 << 16
SKIP, LEAP = "skip", "leap"  # the packet before carried nothing; the next one is of another sender

TABLE: dict[str, tuple[list[int | str], list[int | None]]] = {
    "in order": ([1, 2, 3], [0, 1, 2]),
    "wraps": ([65534, 65535, 0, 1], [0, 1, 2, 3]),
    "wraps with a hole": ([65534, 1, 2], [0, 3, 4]),
    "late across the wrap": ([65534, 0, 65535], [0, 2, 1]),
    "starts at zero": ([0, 1], [0, 1]),
    "reordered": ([10, 12, 11, 13], [0, 2, 1, 3]),
    "a copy has the same place": ([10, 11, 11, 10], [0, 1, 1, 0]),
    "before the first": ([10, 9], [0, None]),
    "before the first, twice in a row": ([10, 8, 9, 11], [0, None, None, 1]),
    "the widest hole": ([0, MAX_JUMP], [0, MAX_JUMP]),
    "a stray far ahead": ([0, MAX_JUMP + 1, 1, 2], [0, None, 1, 2]),
    "a stray far behind": ([5000, 1, 5001], [0, None, 1]),
    "a leap ahead, confirmed": ([0, 20000, 20001, 20002], [0, None, 1, 2]),
    "a leap back, confirmed": ([20000, 20001, 5, 6, 7], [0, 1, None, 2, 3]),
    "a leap by half the circle": ([0, 32768, 32769], [0, None, 1]),
    "strays do not confirm each other": ([0, 20000, 30000, 40000, 1], [0, None, None, None, 1]),
    "a stray, a good one, its successor": ([0, 20000, 1, 20001, 2], [0, None, 1, None, 2]),
    "after a leap the old numbers are gone": ([100, 20000, 20001, 99, 20002], [0, None, 1, None, 2]),
    "reordered right after a leap": ([0, 20000, 20001, 20003, 20002], [0, None, 1, 3, 2]),
    "padding in the middle": ([1, 2, SKIP, 3, 4], [0, 1, 1, 2]),
    "padding first": ([1, SKIP, 2, 3], [0, 0, 1]),
    "padding only": ([1, SKIP, 2, SKIP, 3, SKIP, 4], [0, 0, 0, 0]),
    "padding at the wrap": ([65534, 65535, SKIP, 0, 1], [0, 1, 1, 2]),
    "padding before a hole": ([1, 2, SKIP, 5, 4], [0, 1, 3, 2]),
    "late, from before padding": ([1, 3, 4, SKIP, 2, 5], [0, 2, 3, None, 3]),
    "a copy of padding": ([1, 2, SKIP, 2, 3], [0, 1, None, 1]),
    "a new sender anywhere": ([7, LEAP, 50000, 50001], [0, 1, 2]),
    "a new sender with the same numbers": ([7, 8, LEAP, 8, 9], [0, 1, 2, 3]),
    "a new sender, late packets of its own": ([7, LEAP, 50, 49, 51], [0, 1, None, 2]),
    "new senders before any packet": ([LEAP, 50, 51], [0, 1]),
    "two new senders": ([7, LEAP, LEAP, 50, LEAP, 7], [0, 1, 2]),
    "padding of a new sender": ([7, LEAP, 50, SKIP, 51], [0, 1, 1]),
}


@pytest.mark.parametrize("case", TABLE)
def test_each_packet_gets_its_place(case: str) -> None:
    wire, expected = TABLE[case]
    numbering = Numbering()
    found: list[int | None] = []
    for step in wire:
        if step == SKIP:
            numbering.skip()
        elif step == LEAP:
            numbering.leap()
        else:
            assert isinstance(step, int)
            place = numbering.place(step)
            found.append(None if place is None else place - FIRST)
            if place is not None:
                assert numbering.sequence_number(place) == step, "as the sender is asked for it"
    assert found == expected


def test_a_packet_may_be_so_late_and_no_later() -> None:
    numbering = Numbering()
    for number in range(2000):
        numbering.place(number)
    assert numbering.place(1999 - MAX_LATE) == FIRST + 1999 - MAX_LATE
    assert numbering.place(1999 - MAX_LATE - 1) is None


def test_a_repair_never_moves_the_count() -> None:
    numbering = Numbering()
    assert numbering.place_repair(5) is None
    numbering.place(5)
    assert numbering.place_repair(9) == FIRST + 4
    assert numbering.highest == FIRST
    numbering.leap()
    assert numbering.place_repair(5) is None, "it is of the sender before"


STEPS = st.one_of(
    st.tuples(st.just("next"), st.integers(1, 4)),
    st.tuples(st.just("next"), st.just(1)),
    st.tuples(st.just("late"), st.integers(0, 1200)),
    st.tuples(st.just("repair"), st.integers(-5, 1200)),
    st.tuples(st.just("padding"), st.integers(1, 2)),
    st.tuples(st.just("jump"), st.integers(0, 65535)),
    st.tuples(st.just("sender"), st.integers(0, 65535)),
    st.tuples(st.just("give up"), st.just(0)),
)


@given(st.integers(0, 65535), st.lists(STEPS, max_size=150))
def test_whatever_the_wire_does_no_place_is_given_to_two_payloads(
    start: int, steps: list[tuple[str, int]]
) -> None:
    """The places are sequence numbers under which payloads are encrypted: one used twice breaks the cipher."""
    source = Source("video", "0", SenderClock(), copies=False)
    wire, ssrc, now = start, 1, 0.0
    places: set[int] = set()
    for number, (step, value) in enumerate(steps):
        now += 0.01
        payload = number.to_bytes(4, "big")
        sequence = wire
        if step in {"next", "padding"}:
            wire = sequence = (wire + value) & 0xFFFF
            payload = payload if step == "next" else b""
        elif step in {"late", "repair"}:
            sequence = (wire - value) & 0xFFFF
        elif step == "jump":
            wire = sequence = (wire + value) & 0xFFFF
        elif step == "sender":
            ssrc, wire = ssrc + 1, value
            sequence = value
        else:
            now += 2.0
            source.missing(now=now, rtt=0.05)
            continue
        header = RtpHeader(False, 96, sequence, 0, ssrc, (), 0, 0, 0, 12, len(payload), 0)
        if step == "repair":
            packet = source.receive_repair(header, sequence, "VP8", payload, (), now=now)
            accepted = [] if packet is None else [packet]
        else:
            assert source.use_ssrc(ssrc, now=now)
            accepted = source.receive(header, "VP8", payload, (), now=now)
        for packet in accepted:
            assert packet.sequence not in places
            places.add(packet.sequence)
        assert len(source.nack) <= 512


@given(
    st.integers(0, 65535),
    st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=200),
)
def test_reordering_loss_and_padding_keep_the_order(start: int, sent: list[tuple[bool, int]]) -> None:
    """Each packet is padding or not and is overtaken by some; what is placed stands in the sender's order."""
    source = Source("video", "0", SenderClock(), copies=False)
    source.use_ssrc(1, now=0.0)
    arrivals = sorted(range(len(sent)), key=lambda place: place + sent[place][1])
    placed: dict[int, int] = {}
    for place in arrivals:
        padding = sent[place][0]
        payload = b"" if padding else b"x"
        header = RtpHeader(False, 96, (start + place) & 0xFFFF, 0, 1, (), 0, 0, 0, 12, len(payload), 0)
        for packet in source.receive(header, "VP8", payload, (), now=place / 100):
            placed[place] = packet.sequence
    in_order = [placed[place] for place in sorted(placed)]
    assert in_order == sorted(in_order)
