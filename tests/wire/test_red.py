from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire import red
from rtc.wire.errors import WireError
from rtc.wire.red import RedBlock

payload_types = st.integers(0, 127)
redundant_blocks = st.lists(
    st.builds(RedBlock, payload_types, st.integers(0, red.MAX_TIMESTAMP_OFFSET), st.binary(max_size=40)),
    max_size=5,
)


@given(payload_types, st.binary(max_size=40), redundant_blocks)
def test_blocks_survive_the_wire(payload_type: int, primary: bytes, redundant: list[RedBlock]) -> None:
    data = red.pack(payload_type, primary, redundant)
    assert red.unpack(data) == (redundant, RedBlock(payload_type, 0, primary))
    assert red.unpack(memoryview(data)) == red.unpack(data)


def test_the_bytes_are_those_of_the_rfc() -> None:
    data = red.pack(111, b"new", [RedBlock(111, 1920, b"oldest"), RedBlock(111, 960, b"old")])
    assert data == bytes.fromhex("ef1e0006 ef0f0003 6f") + b"oldest" + b"old" + b"new"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xef",
        b"\xef\x0f\x00",
        b"\xef\x0f\x00\x03",
        b"\xef\x0f\x00\x03\x6fab",
        b"\xef\xff\xff\xff\x6f" + bytes(1022),
    ],
    ids=["empty", "header-cut", "header-cut-later", "no-primary", "block-overruns", "longest-block-overruns"],
)
def test_a_lying_payload_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        red.unpack(data)


@given(st.binary(max_size=60))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        redundant, primary = red.unpack(data)
        assert red.pack(primary.payload_type, primary.payload, redundant) == data


@pytest.mark.parametrize(
    "block",
    [
        RedBlock(128, 0, b""),
        RedBlock(-1, 0, b""),
        RedBlock(111, 1 << 14, b""),
        RedBlock(111, -1, b""),
        RedBlock(111, 0, bytes(1024)),
    ],
)
def test_a_block_that_does_not_fit_is_a_value_error(block: RedBlock) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        red.pack(111, b"new", [block])


def test_a_primary_of_8_bits_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        red.pack(128, b"new")


def test_a_primary_may_be_longer_than_any_redundant_block() -> None:
    assert red.unpack(red.pack(111, bytes(1200))) == ([], RedBlock(111, 0, bytes(1200)))
