"""RTP packets (RFC 3550 section 5.1): a parser for forwarding, a packet value for clients and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, error

import msgspec

from rtc.wire import extensions
from rtc.wire.errors import WireError

VERSION = 2
FIXED_HEADER_LENGTH = 12  # bytes before the CSRC list
MAX_CSRCS = 15  # the CC field has 4 bits

_FIXED = Struct("!BBHII")
_EXTENSION = Struct("!HH")
_U32 = Struct("!I")


class RtpHeader(msgspec.Struct, gc=False):
    """Where things are in an RTP packet. Offsets and lengths are bytes in the packet.

    `extension_profile` is 0 without a header extension; `extension_offset` is that of the first element,
    after the profile and length. `payload_length` excludes the `padding` bytes at the end of the packet.
    """

    marker: bool
    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    csrcs: tuple[int, ...]
    extension_profile: int
    extension_offset: int
    extension_length: int
    payload_offset: int
    payload_length: int
    padding: int


def is_rtcp(data: bytes | bytearray | memoryview) -> bool:
    """Tell RTCP from RTP on a shared port: the second byte is 192 to 223 (RFC 5761 section 4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def parse_rtp(data: bytes | bytearray | memoryview) -> RtpHeader:
    """Parse and validate the header of an RTP packet, copying none of it. Raises WireError."""
    size = len(data)
    if size < FIXED_HEADER_LENGTH:
        raise WireError("RTP packet is shorter than its fixed header")
    first, second, sequence_number, timestamp, ssrc = _FIXED.unpack_from(data)
    if first >> 6 != VERSION:
        raise WireError("RTP version is not 2")

    offset = FIXED_HEADER_LENGTH
    csrcs: tuple[int, ...] = ()
    count = first & 0x0F
    if count:
        end = offset + 4 * count
        if end > size:
            raise WireError("RTP packet ends inside its CSRC list")
        csrcs = tuple(_U32.unpack_from(data, at)[0] for at in range(offset, end, 4))
        offset = end

    profile = extension_offset = extension_length = 0
    if first & 0x10:
        if offset + 4 > size:
            raise WireError("RTP packet ends inside its extension header")
        profile, words = _EXTENSION.unpack_from(data, offset)
        extension_offset = offset + 4
        extension_length = 4 * words
        offset = extension_offset + extension_length
        if offset > size:
            raise WireError("RTP header extension is longer than the packet")

    padding = 0
    if first & 0x20:
        padding = data[size - 1] if size > offset else 0
        if padding == 0 or padding > size - offset:
            raise WireError("RTP padding is zero or longer than the payload")

    return RtpHeader(
        second >= 0x80,
        second & 0x7F,
        sequence_number,
        timestamp,
        ssrc,
        csrcs,
        profile,
        extension_offset,
        extension_length,
        offset,
        size - offset - padding,
        padding,
    )


@dataclass(slots=True)
class RtpPacket:
    """An RTP packet as a value. `extensions` maps the negotiated id of a header extension to its bytes."""

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    marker: bool = False
    payload: bytes = b""
    extensions: dict[int, bytes] = field(default_factory=dict)
    csrcs: tuple[int, ...] = ()

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> RtpPacket:
        """Parse a packet; padding and extensions outside RFC 8285 are dropped. Raises WireError."""
        header = parse_rtp(data)
        start, end = header.extension_offset, header.extension_offset + header.extension_length
        return cls(
            header.payload_type,
            header.sequence_number,
            header.timestamp,
            header.ssrc,
            header.marker,
            bytes(data[header.payload_offset : header.payload_offset + header.payload_length]),
            dict(extensions.iterate(header.extension_profile, data[start:end])),
            header.csrcs,
        )

    def serialize(self) -> bytes:
        """Return the packet without padding. Raises ValueError for a field that does not fit the format."""
        if not 0 <= self.payload_type < 0x80:
            raise ValueError("RTP payload type does not fit 7 bits")
        if len(self.csrcs) > MAX_CSRCS:
            raise ValueError("more than 15 CSRCs")
        profile, extension = extensions.pack(self.extensions.items())
        first = VERSION << 6 | (0x10 if extension else 0) | len(self.csrcs)
        second = self.payload_type | (0x80 if self.marker else 0)
        try:
            parts = [_FIXED.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)]
            parts += [_U32.pack(csrc) for csrc in self.csrcs]
            if extension:
                parts.append(_EXTENSION.pack(profile, len(extension) // 4))
        except error as problem:
            raise ValueError(f"RTP header field out of range: {problem}") from None
        return b"".join((*parts, extension, self.payload))
