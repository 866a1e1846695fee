from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.rtcp import TransportFeedback, parse_compound, serialize
from rtc.wire.twcc import MAX_STATUSES

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
deltas = st.none() | u8 | st.integers(-0x8000, 0x7FFF)
runs = st.lists(st.tuples(deltas, st.integers(1, 40)), min_size=1, max_size=12).map(
    lambda pairs: [delta for delta, times in pairs for _ in range(times)]
)


def feedback(base: int, statuses: list[int | None], reference: int = 5, count: int = 6) -> TransportFeedback:
    received = [((base + place) & 0xFFFF, delta) for place, delta in enumerate(statuses)]
    return TransportFeedback(1, 2, base, reference, count, received)


def on_the_wire(status_count: int, rest: bytes) -> bytes:
    body = struct.pack("!IIHHI", 1, 2, 10, status_count, 0x000005_06) + rest
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x8F, 205, len(body) // 4) + body


@given(u16, st.lists(deltas, min_size=1, max_size=80) | runs, st.integers(-(1 << 23), (1 << 23) - 1), u8)
def test_feedback_survives_the_wire(
    base: int, statuses: list[int | None], reference: int, count: int
) -> None:
    packet = feedback(base, statuses, reference, count)
    assert parse_compound(serialize([packet])) == [packet]


def test_each_kind_of_chunk_reads_as_the_draft_has_it() -> None:
    chunks = bytes.fromhex(
        "2002 a002 d900 0003"
    )  # a run of 2, 14 one-bit symbols, 7 two-bit symbols, a run of 3
    statuses = [1, 2, 3, *[None] * 11, 4, None, 5, -0x8000, 6, *[None] * 4, *[None] * 3]
    (packet,) = parse_compound(on_the_wire(len(statuses), chunks + bytes.fromhex("01 02 03 04 05 8000 06")))
    assert packet == feedback(10, statuses)


def test_a_steady_stream_costs_one_chunk() -> None:
    assert len(serialize([feedback(0, [4] * 200)])) == 20 + 2 + 200 + 2


def test_a_mixed_stream_costs_one_chunk_for_seven_packets() -> None:
    assert len(serialize([feedback(0, [1, None, 300] * 7)])) == 20 + 2 * 3 + 7 + 2 * 7 + 1


def test_a_run_longer_than_the_count_is_cut_to_it() -> None:
    (packet,) = parse_compound(on_the_wire(2, bytes.fromhex("3fff 0708")))
    assert packet == TransportFeedback(1, 2, 10, 5, 6, [(10, 7), (11, 8)])


@pytest.mark.parametrize(
    "data",
    [
        on_the_wire(0, b""),
        on_the_wire(1, b""),
        on_the_wire(20, bytes.fromhex("bfff")),
        on_the_wire(4, bytes.fromhex("2004 0102")),
        on_the_wire(2, bytes.fromhex("4002 0102")),
        on_the_wire(2, bytes.fromhex("6002 0102")),
        on_the_wire(2, bytes.fromhex("f000 0102")),
        on_the_wire(MAX_STATUSES + 1, bytes.fromhex("1001") * 8),
        on_the_wire(MAX_STATUSES, bytes.fromhex("1000")) * 2,
    ],
    ids=[
        "no-packets",
        "no-chunks",
        "chunks-cut",
        "small-deltas-cut",
        "large-deltas-cut",
        "reserved-run",
        "reserved-symbol",
        "too-many",
        "too-many-together",
    ],
)
def test_malformed_feedback_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_compound(data)


@given(st.integers(0, 200), st.binary(max_size=60))
def test_any_chunks_parse_or_are_refused(count: int, rest: bytes) -> None:
    with contextlib.suppress(WireError):
        (packet,) = parse_compound(on_the_wire(count, rest))
        assert isinstance(packet, TransportFeedback)
        assert len(packet.received) == count
        assert parse_compound(serialize([packet])) == [packet]


@pytest.mark.parametrize(
    "wrong",
    [
        TransportFeedback(1, 2, 3, 4, 5, [(3, 1), (5, 1)]),
        TransportFeedback(1, 2, 3, 4, 5, [(4, 1)]),
        feedback(0, [None] * (MAX_STATUSES + 1)),
        feedback(0, [0x8000]),
        feedback(0, [1], reference=1 << 23),
        feedback(0, [1], count=256),
    ],
)
def test_feedback_that_cannot_be_said_is_a_value_error(wrong: TransportFeedback) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        serialize([wrong])
