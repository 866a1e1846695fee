"""RTCP compound packets: reports, SDES, BYE (RFC 3550 section 6), XR receiver times (RFC 3611), feedback."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct, error

import msgspec

from rtc.wire.errors import WireError
from rtc.wire.feedback import (
    APPLICATION_FORMAT,
    FIR_FORMAT,
    NACK_FORMAT,
    PLI_FORMAT,
    PSFB,
    RTPFB,
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimate,
)
from rtc.wire.twcc import MAX_STATUSES, TWCC_FORMAT, TransportFeedback

__all__ = [
    "DELAY_UNIT",
    "Application",
    "Bye",
    "DelaySinceLastReport",
    "ExtendedReport",
    "FullIntraRequest",
    "GenericNack",
    "PictureLossIndication",
    "ReceiverEstimate",
    "ReceiverReport",
    "ReportBlock",
    "RtcpPacket",
    "SenderReport",
    "SourceDescription",
    "TransportFeedback",
    "middle32",
    "ntp_from_seconds",
    "pack_sender_report",
    "parse_compound",
    "seconds_from_ntp",
    "serialize",
]

SR, RR, SDES, BYE, APP, XR = 200, 201, 202, 203, 204, 207  # packet types
VERSION = 2
MAX_COUNT = 31  # of report blocks, chunks or sources in one packet: the count field has 5 bits
NTP_UNIX_OFFSET = 2_208_988_800  # seconds from 1900, where NTP starts, to 1970
DELAY_UNIT = 1 / 65536  # seconds: the unit of `middle32` and of the delays in report blocks and DLRR

_END, _CNAME = 0, 1  # item types of SDES
_RRTR, _DLRR = 4, 5  # block types of XR

_HEADER = Struct("!BBH")
_SENDER_INFO = Struct("!IQIII")
_SENDER_REPORT = Struct("!BBHIQIII")
_REPORT = Struct("!IIIIII")
_U32 = Struct("!I")
_U64 = Struct("!Q")
_XR_BLOCK = Struct("!BxH")
_XR_DELAY = Struct("!III")


def ntp_from_seconds(seconds: float) -> int:
    """Return the 64-bit NTP timestamp (32.32 fixed point) of a time in Unix seconds (RFC 3550 section 4)."""
    return int(seconds * (1 << 32)) + (NTP_UNIX_OFFSET << 32) & 0xFFFFFFFFFFFFFFFF


def seconds_from_ntp(ntp: int) -> float:
    """Return the Unix seconds of a 64-bit NTP timestamp of the era that ends in 2036."""
    return (ntp - (NTP_UNIX_OFFSET << 32)) / (1 << 32)


def middle32(ntp: int) -> int:
    """Return the middle 32 bits of a 64-bit NTP timestamp: 1/65536 s, as report blocks quote it."""
    return ntp >> 16 & 0xFFFFFFFF


class ReportBlock(msgspec.Struct, gc=False):
    """What a receiver reports of one source (RFC 3550 section 6.4.1).

    `fraction_lost` is in 1/256, `packets_lost` signed 24 bits, `highest_sequence` extended by its cycles,
    `jitter` in timestamp units, `last_sender_report` the `middle32` of its NTP time, the delay in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_sender_report: int
    delay_since_last_sender_report: int


class SenderReport(msgspec.Struct):
    """SR: `ntp` is the 64-bit wall clock at `rtp_timestamp`; octets are of payload (RFC 3550, 6.4.1)."""

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()

    @classmethod
    def parse(cls, count: int, body: bytes) -> SenderReport:
        """Parse what follows the RTCP header, dropping profile extensions. Raises WireError."""
        _require(body, _SENDER_INFO.size)
        ssrc, ntp, rtp_timestamp, packets, octets = _SENDER_INFO.unpack_from(body)
        reports = _parse_blocks(count, body, _SENDER_INFO.size)
        return cls(ssrc, ntp, rtp_timestamp, packets, octets, reports)

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, count, body)."""
        info = (self.ssrc, self.ntp, self.rtp_timestamp, self.packet_count, self.octet_count)
        return SR, len(self.reports), _SENDER_INFO.pack(*info) + _encode_blocks(self.reports)


class ReceiverReport(msgspec.Struct):
    """RR: what `ssrc`, which sends nothing, received (RFC 3550 section 6.4.2)."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()

    @classmethod
    def parse(cls, count: int, body: bytes) -> ReceiverReport:
        """Parse what follows the RTCP header, dropping profile extensions. Raises WireError."""
        _require(body, _U32.size)
        return cls(_U32.unpack_from(body)[0], _parse_blocks(count, body, _U32.size))

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, count, body)."""
        return RR, len(self.reports), _U32.pack(self.ssrc) + _encode_blocks(self.reports)


@dataclass(slots=True)
class SourceDescription:
    """SDES: (SSRC, CNAME) of each chunk, "" without a CNAME; other items are dropped (RFC 3550, 6.5)."""

    chunks: tuple[tuple[int, str], ...]

    @classmethod
    def parse(cls, count: int, body: bytes) -> SourceDescription:
        """Parse what follows the RTCP header. Raises WireError for a chunk or item that overruns."""
        chunks: list[tuple[int, str]] = []
        at = 0
        for _ in range(count):
            _require(body, at + _U32.size)
            (ssrc,) = _U32.unpack_from(body, at)
            at += _U32.size
            cname = ""
            while True:
                _require(body, at + 1)
                item = body[at]
                if item == _END:
                    at += 4 - at % 4  # the zero bytes go on to the next 32-bit boundary
                    break
                _require(body, at + 2)
                start, at = at + 2, at + 2 + body[at + 1]
                _require(body, at)
                if item == _CNAME:
                    cname = body[start:at].decode(errors="replace")
            chunks.append((ssrc, cname))
        return cls(tuple(chunks))

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, count, body). Raises ValueError for a CNAME over 255 bytes."""
        out = bytearray()
        for ssrc, cname in self.chunks:
            text = cname.encode()
            out += _U32.pack(ssrc) + bytes((_CNAME, len(text))) + text
            out += bytes(4 - len(out) % 4)
        return SDES, len(self.chunks), bytes(out)


@dataclass(slots=True)
class Bye:
    """BYE: the sources that leave, and why in words (RFC 3550 section 6.6)."""

    ssrcs: tuple[int, ...]
    reason: str = ""

    @classmethod
    def parse(cls, count: int, body: bytes) -> Bye:
        """Parse what follows the RTCP header. Raises WireError."""
        at = 4 * count
        _require(body, at)
        reason = ""
        if len(body) > at:
            end = at + 1 + body[at]
            _require(body, end)
            reason = body[at + 1 : end].decode(errors="replace")
        return cls(tuple(ssrc for (ssrc,) in _U32.iter_unpack(body[:at])), reason)

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, count, body). Raises ValueError for a reason over 255 bytes."""
        body = b"".join(_U32.pack(ssrc) for ssrc in self.ssrcs)
        if text := self.reason.encode():
            body += bytes((len(text),)) + text
        return BYE, len(self.ssrcs), body + bytes(-len(body) % 4)


@dataclass(slots=True)
class DelaySinceLastReport:
    """A DLRR sub-block: `middle32` of the last receiver time of `ssrc`, and the delay since in 1/65536 s."""

    ssrc: int
    last_receiver_report: int
    delay: int


@dataclass(slots=True)
class ExtendedReport:
    """XR: what a mere receiver needs to measure its round trip (RFC 3611 sections 4.4 and 4.5).

    `ntp` is the 64-bit receiver reference time, or None without that block; other blocks are dropped.
    """

    ssrc: int
    ntp: int | None = None
    delays: tuple[DelaySinceLastReport, ...] = ()

    @classmethod
    def parse(cls, _count: int, body: bytes) -> ExtendedReport:
        """Parse what follows the RTCP header. Raises WireError for a block that overruns."""
        _require(body, _U32.size)
        report = cls(_U32.unpack_from(body)[0])
        at = _U32.size
        while at < len(body):
            _require(body, at + _XR_BLOCK.size)
            kind, words = _XR_BLOCK.unpack_from(body, at)
            start, at = at + _XR_BLOCK.size, at + _XR_BLOCK.size + 4 * words
            _require(body, at)
            if kind == _RRTR:
                if words != 2:
                    raise WireError("XR receiver reference time has a wrong length")
                (report.ntp,) = _U64.unpack_from(body, start)
            elif kind == _DLRR:
                if words % 3:
                    raise WireError("XR DLRR has part of a sub-block")
                items = _XR_DELAY.iter_unpack(body[start:at])
                report.delays += tuple(DelaySinceLastReport(*item) for item in items)
        return report

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, count, body)."""
        body = _U32.pack(self.ssrc)
        if self.ntp is not None:
            body += _XR_BLOCK.pack(_RRTR, 2) + _U64.pack(self.ntp)
        if self.delays:
            body += _XR_BLOCK.pack(_DLRR, 3 * len(self.delays))
            for item in self.delays:
                body += _XR_DELAY.pack(item.ssrc, item.last_receiver_report, item.delay)
        return XR, 0, body


@dataclass(slots=True)
class Application:
    """APP: something that only its own application understands (RFC 3550 section 6.7).

    `name` is four characters, ASCII unless the sender errs, `subtype` 0 to 31, `data` a multiple of four bytes.
    """

    ssrc: int
    name: str
    data: bytes
    subtype: int = 0

    @classmethod
    def parse(cls, count: int, body: bytes) -> Application:
        """Parse what follows the RTCP header. Raises WireError."""
        _require(body, 8)
        return cls(_U32.unpack_from(body)[0], body[4:8].decode("latin-1"), body[8:], count)

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, subtype, body). Raises ValueError for a name or data of the wrong length."""
        name = self.name.encode("latin-1")
        if len(name) != 4 or len(self.data) % 4:
            raise ValueError("APP wants a name of four characters and data in words")
        return APP, self.subtype, _U32.pack(self.ssrc) + name + self.data


RtcpPacket = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Bye
    | Application
    | ExtendedReport
    | GenericNack
    | PictureLossIndication
    | FullIntraRequest
    | ReceiverEstimate
    | TransportFeedback
)


_PARSERS: dict[int, Callable[[int, bytes], RtcpPacket]] = {
    SR: SenderReport.parse,
    RR: ReceiverReport.parse,
    SDES: SourceDescription.parse,
    BYE: Bye.parse,
    APP: Application.parse,
    XR: ExtendedReport.parse,
}
_FEEDBACK_PARSERS: dict[tuple[int, int], Callable[[bytes], RtcpPacket | None]] = {
    (RTPFB, NACK_FORMAT): GenericNack.parse,
    (RTPFB, TWCC_FORMAT): TransportFeedback.parse,
    (PSFB, PLI_FORMAT): PictureLossIndication.parse,
    (PSFB, FIR_FORMAT): FullIntraRequest.parse,
    (PSFB, APPLICATION_FORMAT): ReceiverEstimate.parse,
}


def parse_compound(data: bytes | bytearray | memoryview) -> list[RtcpPacket]:
    """Parse a compound or reduced-size (RFC 5506) RTCP packet; packets of other types are skipped.

    Raises WireError for a length or count that lies, anywhere in it.
    """
    data = bytes(data)
    packets: list[RtcpPacket] = []
    statuses = 0
    at = 0
    while True:
        if at + _HEADER.size > len(data):
            raise WireError("RTCP packet is shorter than its header")
        first, packet_type, words = _HEADER.unpack_from(data, at)
        start, at = at + _HEADER.size, at + _HEADER.size + 4 * words
        if first >> 6 != VERSION:
            raise WireError("RTCP version is not 2")
        if at > len(data):
            raise WireError("RTCP packet is longer than its datagram")
        end = at
        if first & 0x20:
            padding = data[at - 1]
            if padding == 0 or padding > at - start:
                raise WireError("RTCP padding is zero or longer than the packet")
            end -= padding
        packet = _parse_packet(packet_type, first & 0x1F, data[start:end])
        if packet is not None:
            packets.append(packet)
            if isinstance(packet, TransportFeedback):
                statuses += len(packet.received)
                if statuses > MAX_STATUSES:
                    raise WireError("RTCP packet has too much transport feedback")
        if at == len(data):
            return packets


def serialize(packets: Iterable[RtcpPacket]) -> bytes:
    """Return one compound packet. Raises ValueError for a field that does not fit its format."""
    out = bytearray()
    try:
        for packet in packets:
            packet_type, count, body = packet.encode()
            if count > MAX_COUNT:
                raise ValueError("an RTCP packet counts at most 31 blocks, chunks or sources")
            out += _HEADER.pack(VERSION << 6 | count, packet_type, len(body) // 4) + body
    except error as problem:
        raise ValueError(f"RTCP field out of range: {problem}") from None
    return bytes(out)


def pack_sender_report(ssrc: int, ntp: int, rtp_timestamp: int, packet_count: int, octet_count: int) -> bytes:
    """Return an SR without report blocks, as `SenderReport` serializes, but several times as fast: listeners are many.

    Raises struct.error for a field that does not fit its format.
    """
    return _SENDER_REPORT.pack(
        VERSION << 6, SR, _SENDER_REPORT.size // 4 - 1, ssrc, ntp, rtp_timestamp, packet_count, octet_count
    )


def _parse_packet(packet_type: int, count: int, body: bytes) -> RtcpPacket | None:
    if packet_type in _PARSERS:
        return _PARSERS[packet_type](count, body)
    feedback = _FEEDBACK_PARSERS.get((packet_type, count))
    return feedback(body) if feedback else None


def _require(body: bytes, length: int) -> None:
    if len(body) < length:
        raise WireError("RTCP packet ends before what it announces")


def _parse_blocks(count: int, body: bytes, at: int) -> tuple[ReportBlock, ...]:
    end = at + _REPORT.size * count
    _require(body, end)
    blocks = []
    for ssrc, loss, highest, jitter, last, delay in _REPORT.iter_unpack(body[at:end]):
        lost = loss & 0xFFFFFF
        lost -= (lost & 0x800000) << 1
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last, delay))
    return tuple(blocks)


def _encode_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    out = bytearray()
    for block in blocks:
        if not 0 <= block.fraction_lost <= 0xFF or not -0x800000 <= block.packets_lost <= 0x7FFFFF:
            raise ValueError("RTCP field out of range: fraction or number of lost packets")
        out += _REPORT.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.packets_lost & 0xFFFFFF,
            block.highest_sequence,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        )
    return bytes(out)
