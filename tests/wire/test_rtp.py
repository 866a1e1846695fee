from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.rtp import RtpPacket, is_rtcp, parse_rtp

FIXED = bytes.fromhex("80e0 1234 00010203 deadbeef")

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=u16,
    timestamp=u32,
    ssrc=u32,
    marker=st.booleans(),
    payload=st.binary(max_size=60),
    extensions=st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=4)
    | st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=4),
    csrcs=st.lists(u32, max_size=15).map(tuple),
)


def with_bits(bits: int, rest: bytes = b"") -> bytes:
    return bytes((FIXED[0] | bits,)) + FIXED[1:] + rest


def test_the_fields_and_offsets_of_a_packet_with_everything() -> None:
    csrcs = bytes.fromhex("00000001 00000002")
    extension = bytes.fromhex("bede 0001 10ff0000")
    header = parse_rtp(with_bits(0x32, csrcs + extension + b"media" + b"\0\0\3"))
    assert header.marker is True
    assert header.payload_type == 0x60
    assert (header.sequence_number, header.timestamp, header.ssrc) == (0x1234, 0x00010203, 0xDEADBEEF)
    assert header.csrcs == (1, 2)
    assert (header.extension_profile, header.extension_offset, header.extension_length) == (0xBEDE, 24, 4)
    assert (header.payload_offset, header.payload_length, header.padding) == (28, 5, 3)


def test_a_packet_without_extension_says_so() -> None:
    header = parse_rtp(memoryview(FIXED))
    assert (header.extension_profile, header.extension_length) == (0, 0)
    assert (header.payload_offset, header.payload_length, header.padding) == (12, 0, 0)


def test_an_empty_extension_at_the_end_of_the_packet_is_valid() -> None:
    header = parse_rtp(with_bits(0x10, b"\xbe\xde\0\0"))
    assert (header.extension_profile, header.extension_length, header.payload_offset) == (0xBEDE, 0, 16)


def test_a_probe_made_of_padding_alone_is_valid() -> None:
    header = parse_rtp(bytearray(with_bits(0x20, bytes(254) + b"\xff")))
    assert (header.payload_length, header.padding) == (0, 255)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FIXED[:11],
        b"\x00" + FIXED[1:],
        b"\x40" + FIXED[1:],
        b"\xc0" + FIXED[1:],
        with_bits(0x01, b"\0\0\0"),
        with_bits(0x0F, bytes(59)),
        with_bits(0x10, b"\xbe\xde\0"),
        with_bits(0x10, b"\xbe\xde\0\1"),
        with_bits(0x10, b"\xbe\xde\xff\xff" + bytes(400)),
        with_bits(0x20),
        with_bits(0x20, b"media\0"),
        with_bits(0x20, b"media\7"),
        with_bits(0x30, b"\xbe\xde\0\0"),
    ],
    ids=[
        "empty",
        "short",
        "version-0",
        "version-1",
        "version-3",
        "csrc-cut",
        "csrcs-cut",
        "extension-header-cut",
        "extension-cut",
        "extension-lies",
        "padding-nowhere",
        "padding-0",
        "padding-too-long",
        "padding-in-extension",
    ],
)
def test_a_malformed_packet_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_rtp(data)


@given(packets)
def test_a_packet_survives_the_wire(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.serialize()) == packet


@given(packets, st.integers(1, 255))
def test_padding_is_no_part_of_the_payload(packet: RtpPacket, padding: int) -> None:
    data = bytearray(packet.serialize())
    data[0] |= 0x20
    data += bytes(padding - 1) + bytes((padding,))
    assert parse_rtp(data).padding == padding
    assert RtpPacket.parse(data) == packet


@given(st.binary(max_size=120), st.integers(0x80, 0xBF))
def test_any_bytes_parse_or_are_refused(data: bytes, first: int) -> None:
    for candidate in (data, bytes((first,)) + data):
        with contextlib.suppress(WireError):
            header = parse_rtp(candidate)
            assert header.payload_offset + header.payload_length + header.padding == len(candidate)
            RtpPacket.parse(candidate)


@given(packets, st.data())
def test_a_packet_cut_anywhere_is_refused_or_shorter(packet: RtpPacket, data: st.DataObject) -> None:
    whole = packet.serialize()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with contextlib.suppress(WireError):
        assert len(RtpPacket.parse(whole[:cut]).payload) < len(packet.payload)


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0),
        RtpPacket(-1, 0, 0, 0),
        RtpPacket(0, 65536, 0, 0),
        RtpPacket(0, 0, -1, 0),
        RtpPacket(0, 0, 0, 1 << 32),
        RtpPacket(0, 0, 0, 0, csrcs=tuple(range(16))),
        RtpPacket(0, 0, 0, 0, csrcs=(-1,)),
        RtpPacket(0, 0, 0, 0, extensions={256: b""}),
    ],
)
def test_fields_out_of_range_are_a_value_error(packet: RtpPacket) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        packet.serialize()


@pytest.mark.parametrize(
    ("second", "expected"),
    [(111, False), (191, False), (192, True), (200, True), (207, True), (223, True), (224, False)],
)
def test_rtcp_is_told_from_rtp_by_its_second_byte(second: int, expected: bool) -> None:
    assert is_rtcp(bytes((0x80, second))) is expected


def test_a_datagram_of_one_byte_or_none_is_not_rtcp() -> None:
    assert not is_rtcp(b"")
    assert not is_rtcp(b"\x80")
