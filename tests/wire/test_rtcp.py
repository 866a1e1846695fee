from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.rtcp import (
    Application,
    Bye,
    DelaySinceLastReport,
    ExtendedReport,
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimate,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    middle32,
    ntp_from_seconds,
    pack_sender_report,
    parse_compound,
    seconds_from_ntp,
    serialize,
)
from rtc.wire.sequence import distance16

u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def some(
    strategy: st.SearchStrategy[object], most: int, least: int = 0
) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


blocks = some(st.builds(ReportBlock, u32, u8, st.integers(-(1 << 23), (1 << 23) - 1), u32, u32, u32, u32), 31)
exact_bitrates = st.builds(
    lambda mantissa, exponent: mantissa << exponent, st.integers(0, 0x3FFFF), st.integers(0, 45)
)
packets: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SenderReport, u32, u64, u32, u32, u32, blocks),
    st.builds(ReceiverReport, u32, blocks),
    st.builds(SourceDescription, some(st.tuples(u32, text), 31)),
    st.builds(Bye, some(u32, 31), text),
    st.builds(PictureLossIndication, u32, u32),
    st.builds(
        Application, u32, st.text(st.characters(codec="ascii"), min_size=4, max_size=4),
        st.binary(max_size=40).map(lambda data: data + bytes(-len(data) % 4)), st.integers(0, 31),
    ),
    st.builds(FullIntraRequest, u32, some(st.tuples(u32, u8), 8, 1)),
    st.builds(ReceiverEstimate, u32, exact_bitrates, some(u32, 255)),
    st.builds(ExtendedReport, u32, st.none() | u64, some(st.builds(DelaySinceLastReport, u32, u32, u32), 8)),
)


def packet(packet_type: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body


@given(st.lists(packets, min_size=1, max_size=4))
def test_a_compound_packet_survives_the_wire(compound: list[RtcpPacket]) -> None:
    data = serialize(compound)
    assert parse_compound(data) == compound
    assert parse_compound(memoryview(data)) == compound


@given(u32, u32, st.sets(u16, min_size=1, max_size=60), st.randoms())
def test_a_nack_asks_for_exactly_what_was_lost(
    sender: int, media: int, lost: set[int], random: object
) -> None:
    (nack,) = parse_compound(serialize([GenericNack(sender, media, tuple(lost))]))
    assert isinstance(nack, GenericNack)
    assert (nack.sender_ssrc, nack.media_ssrc) == (sender, media)
    assert len(nack.lost) == len(lost)
    assert set(nack.lost) == lost


@given(u16, st.sets(st.integers(0, 300), min_size=1))
def test_a_nack_takes_no_more_entries_than_it_must(base: int, offsets: set[int]) -> None:
    lost = tuple((base + offset) & 0xFFFF for offset in sorted(offsets))
    entries, covered = 0, -1
    for offset in sorted(offsets):  # each entry holds a packet and the 16 after it
        if offset > covered:
            entries, covered = entries + 1, offset + 16
    data = serialize([GenericNack(1, 2, lost)])
    assert len(data) == 12 + 4 * entries
    (nack,) = parse_compound(data)
    assert isinstance(nack, GenericNack)
    assert nack.lost == lost
    assert all(distance16(a, b) > 0 for a, b in zip(nack.lost, nack.lost[1:], strict=False))


def test_a_nack_over_the_wrap_is_one_entry() -> None:
    assert serialize([GenericNack(1, 2, (65535, 0, 15))])[12:] == bytes.fromhex("ffff 8001")


def test_the_bytes_of_a_sender_report_are_those_of_the_rfc() -> None:
    report = SenderReport(1, 0x0102030405060708, 9, 10, 11, (ReportBlock(2, 255, -1, 0x10001, 3, 4, 5),))
    assert serialize([report]).hex(" ", 4) == (
        "81c8000c 00000001 01020304 05060708 00000009 0000000a 0000000b "
        "00000002 ffffffff 00010001 00000003 00000004 00000005"
    )


def test_the_bytes_of_a_remb_are_those_of_the_draft() -> None:
    estimate = ReceiverEstimate(1, 1_000_000, (0xAABBCCDD,))
    assert serialize([estimate]).hex(" ", 4) == "8fce0005 00000001 00000000 52454d42 010bd090 aabbccdd"


def test_a_remb_keeps_the_18_highest_bits_of_its_rate() -> None:
    (estimate,) = parse_compound(serialize([ReceiverEstimate(1, 123_456_789, ())]))
    assert isinstance(estimate, ReceiverEstimate)
    assert 0 <= 123_456_789 - estimate.bitrate < 123_456_789 / (1 << 17)


def test_profile_extensions_of_reports_are_dropped() -> None:
    assert parse_compound(packet(201, 0, struct.pack("!IIII", 7, 1, 2, 3))) == [ReceiverReport(7)]


def test_other_items_and_blocks_are_dropped() -> None:
    sdes = struct.pack("!I", 7) + b"\x02\x03Ann" + b"\x01\x02cn" + b"\x00\x00\x00"
    assert parse_compound(packet(202, 1, sdes)) == [SourceDescription(((7, "cn"),))]
    blocks = struct.pack("!I", 7) + bytes.fromhex("0600000100000000 0400000200000001 00000002")
    assert parse_compound(packet(207, 0, blocks)) == [ExtendedReport(7, 1 << 32 | 2)]


@pytest.mark.parametrize("end", range(9, 13))
def test_a_chunk_ends_at_a_word_however_long_its_cname(end: int) -> None:
    both = SourceDescription(((1, "c" * end), (2, "d")))
    assert parse_compound(serialize([both])) == [both]


def test_a_cname_that_is_not_utf_8_does_not_lose_the_report_beside_it() -> None:
    sdes = packet(202, 1, struct.pack("!I", 7) + b"\x01\x01\xff\x00")
    assert parse_compound(serialize([ReceiverReport(7)]) + sdes) == [
        ReceiverReport(7),
        SourceDescription(((7, "\ufffd"),)),
    ]


@pytest.mark.parametrize(
    "unknown",
    [
        packet(205, 3, bytes(8)),  # TMMBR
        packet(206, 9, bytes(8)),
        packet(206, 15, bytes(8) + b"goog" + bytes(4)),  # other application feedback
        packet(195, 0, b""),
    ],
)
def test_unknown_packets_are_skipped(unknown: bytes) -> None:
    known: list[RtcpPacket] = [PictureLossIndication(1, 2)]
    assert parse_compound(unknown + serialize(known) + unknown) == known


def test_ssrcs_after_those_that_a_remb_counts_are_dropped() -> None:
    body = bytes(8) + b"REMB" + struct.pack("!IIII", 1 << 24 | 5, 7, 8, 9)
    assert parse_compound(packet(206, 15, body)) == [ReceiverEstimate(0, 5, (7,))]


def test_the_most_and_the_least_that_fits_is_said() -> None:
    extremes: list[RtcpPacket] = [
        ReceiverReport(1, (ReportBlock(1, 255, -(1 << 23), 0, 0, 0, 0),) * 31),
        Bye(tuple(range(31)), "c" * 255),
        SourceDescription(((1, "c" * 255),)),
        ReceiverEstimate(1, 0, tuple(range(255))),
        ReceiverEstimate(1, 0x3FFFF << 45, ()),
        ExtendedReport(1),
    ]
    assert parse_compound(serialize(extremes)) == extremes


def test_padding_is_no_part_of_the_packet() -> None:
    data = bytearray(serialize([ReceiverReport(1), Bye((2,))]) + b"\0\0\0\4")
    data[8] |= 0x20
    data[11] += 1
    assert parse_compound(data) == [ReceiverReport(1), Bye((2,))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc9\x00",
        b"\x40\xc9\x00\x01\x00\x00\x00\x01",
        b"\x80\xc9\x00\x02\x00\x00\x00\x01",
        b"\x80\xc9\x00\x01\x00\x00\x00\x01\x80",
        b"\xa0\xc9\x00\x01\x00\x00\x00\x00",
        b"\xa0\xc9\x00\x01\x00\x00\x00\x05",
        b"\xa0\xc9\x00\x00",
        b"\xa0\xcb\x00\x01\x00\x00\x00\x05",
        packet(200, 0, bytes(20)),
        packet(200, 1, bytes(44)),
        packet(201, 0, b""),
        packet(201, 31, bytes(700)),
        packet(202, 1, b""),
        packet(202, 2, bytes(8)),
        packet(202, 1, bytes(4) + b"\x01\xff\x61\x61"),
        packet(202, 1, bytes(4) + b"\x01\x02\x61\x61"),
        packet(202, 1, bytes(4) + b"\x01\x01\x61\x01"),
        packet(203, 2, bytes(4)),
        packet(203, 0, b"\x04\x61\x61\x61"),
        packet(205, 1, bytes(4)),
        packet(205, 1, bytes(8)),
        packet(206, 1, bytes(4)),
        packet(206, 4, bytes(8)),
        packet(206, 4, bytes(12)),
        packet(206, 15, bytes(4)),
        packet(206, 15, bytes(8) + b"REMB"),
        packet(206, 15, bytes(8) + b"REMB\xff\x00\x00\x00" + bytes(4)),
        packet(206, 15, bytes(8) + b"REMB\x00\xff\xff\xff"),
        packet(207, 0, b""),
        packet(207, 0, bytes(4) + b"\x04\x00\x00\x02" + bytes(4)),
        packet(207, 0, bytes(4) + b"\x04\x00\x00\x01" + bytes(4)),
        packet(207, 0, bytes(4) + b"\x05\x00\x00\x02" + bytes(8)),
        packet(205, 15, bytes(12)),
    ],
    ids=[
        "empty",
        "header-cut",
        "version-1",
        "length-lies",
        "trailing-byte",
        "padding-0",
        "padding-too-long",
        "padding-nowhere",
        "padding-into-the-header",
        "sr-cut",
        "sr-block-cut",
        "rr-cut",
        "rr-count-lies",
        "sdes-cut",
        "sdes-count-lies",
        "sdes-item-overruns",
        "sdes-without-end",
        "sdes-item-without-length",
        "bye-count-lies",
        "bye-reason-overruns",
        "nack-cut",
        "nack-empty",
        "pli-cut",
        "fir-empty",
        "fir-entry-cut",
        "afb-cut",
        "remb-cut",
        "remb-ssrc-count-lies",
        "remb-of-2-to-the-81",
        "xr-cut",
        "xr-block-overruns",
        "xr-time-of-4-bytes",
        "xr-sub-block-cut",
        "twcc-cut",
    ],
)
def test_a_malformed_packet_is_refused_not_crashing(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_compound(data)
    if data:
        with pytest.raises(WireError):  # wherever it stands in a compound
            parse_compound(serialize([ReceiverReport(1)]) + data)


@given(st.binary(max_size=100))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_compound(data)


@given(st.integers(192, 215), st.integers(0, 31), st.booleans(), st.binary(max_size=80))
@example(204, 0, False, b"\x00\x00\x00\x01\xff\xfe\x80\x7f")  # APP with a name that is not ASCII
def test_any_body_of_any_type_parses_or_is_refused(kind: int, count: int, padded: bool, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    if kind == 206 and count == 15:
        body = body[:8] + b"REMB" + body[8:]
    data = bytearray(packet(kind, count, body))
    data[0] |= 0x20 if padded else 0
    with contextlib.suppress(WireError):
        for parsed in parse_compound(data):
            serialize([parsed])


@given(st.lists(packets, min_size=1, max_size=3), st.data())
def test_a_damaged_compound_parses_or_is_refused(compound: list[RtcpPacket], data: st.DataObject) -> None:
    damaged = bytearray(serialize(compound))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(u8)
    with contextlib.suppress(WireError):
        parse_compound(damaged[: data.draw(st.integers(0, len(damaged)))])


@pytest.mark.parametrize(
    "wrong",
    [
        ReceiverReport(-1),
        ReceiverReport(1, (ReportBlock(1, 256, 0, 0, 0, 0, 0),)),
        ReceiverReport(1, (ReportBlock(1, 0, 1 << 23, 0, 0, 0, 0),)),
        ReceiverReport(1, (ReportBlock(1, 0, 0, 0, 0, 0, 0),) * 32),
        SenderReport(1, 1 << 64, 0, 0, 0),
        SourceDescription(((1, "c" * 256),)),
        SourceDescription(((1, "c"),) * 32),
        Bye((1,), "c" * 256),
        GenericNack(1, 2, ()),
        FullIntraRequest(1, ()),
        FullIntraRequest(1, ((1, 256),)),
        ReceiverEstimate(1, -1, ()),
        ReceiverEstimate(1, 1 << 63, ()),
        ReceiverEstimate(1, 1, (1,) * 256),
        TransportFeedback(1, 2, 3, 4, 5, []),
    ],
)
def test_fields_out_of_range_are_a_value_error(wrong: RtcpPacket) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        serialize([wrong])


def test_ntp_time_of_a_known_moment() -> None:
    assert ntp_from_seconds(0.5) == (2_208_988_800 << 32) | 0x80000000
    assert middle32(0x0102030405060708) == 0x03040506


@given(st.floats(0, 2_085_978_495))
def test_ntp_time_goes_there_and_back(seconds: float) -> None:
    assert seconds_from_ntp(ntp_from_seconds(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(u32, u64, u32, u32, u32)
def test_the_quick_way_to_a_sender_report_writes_the_same_bytes(
    ssrc: int, ntp: int, timestamp: int, packets: int, octets: int
) -> None:
    slow = serialize([SenderReport(ssrc, ntp, timestamp, packets, octets)])
    assert pack_sender_report(ssrc, ntp, timestamp, packets, octets) == slow


def test_the_quick_way_to_a_sender_report_refuses_what_does_not_fit() -> None:
    with pytest.raises(struct.error):
        pack_sender_report(1, 1 << 64, 0, 0, 0)
