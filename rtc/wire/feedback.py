"""RTCP feedback messages: NACK and PLI (RFC 4585), FIR (RFC 5104), REMB (draft-alvestrand-rmcat-remb-03)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from rtc.wire.errors import WireError
from rtc.wire.sequence import distance16

RTPFB, PSFB = 205, 206  # packet types: transport layer and payload specific feedback
NACK_FORMAT = 1  # of RTPFB
PLI_FORMAT, FIR_FORMAT, APPLICATION_FORMAT = 1, 4, 15  # of PSFB

_REMB = b"REMB"
_MAX_BITRATE = (1 << 63) - 1  # bit/s: more is nonsense, and would not fit another implementation's integer

_U32 = Struct("!I")
_SSRCS = Struct("!II")  # packet sender, media source
_FCI_NACK = Struct("!HH")
_FCI_FIR = Struct("!IB3x")


@dataclass(slots=True)
class GenericNack:
    """NACK: the sequence numbers of `media_ssrc` that are asked for again (RFC 4585 section 6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    lost: tuple[int, ...]

    @classmethod
    def parse(cls, body: bytes) -> GenericNack:
        """Parse what follows the RTCP header. Raises WireError."""
        sender, media = _ssrcs(body)
        if len(body) % _FCI_NACK.size or len(body) == _SSRCS.size:
            raise WireError("NACK has no entry, or half of one")
        lost: list[int] = []
        for first, bits in _FCI_NACK.iter_unpack(body[_SSRCS.size :]):
            lost.append(first)
            if bits:
                lost += [first + 1 + place & 0xFFFF for place in range(16) if bits >> place & 1]
        return cls(sender, media, tuple(lost))

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, format, body) with the fewest entries. Raises ValueError when none is lost."""
        if not self.lost:
            raise ValueError("a NACK must name a packet")
        origin = self.lost[0]
        entries: list[list[int]] = []  # [distance from origin, bits]
        for distance in sorted({distance16(origin, number) for number in self.lost}):
            if entries and distance - entries[-1][0] <= 16:
                entries[-1][1] |= 1 << (distance - entries[-1][0] - 1)
            else:
                entries.append([distance, 0])
        fci = b"".join(_FCI_NACK.pack(origin + distance & 0xFFFF, bits) for distance, bits in entries)
        return RTPFB, NACK_FORMAT, _SSRCS.pack(self.sender_ssrc, self.media_ssrc) + fci


@dataclass(slots=True)
class PictureLossIndication:
    """PLI: `media_ssrc` is asked for a key frame (RFC 4585 section 6.3.1)."""

    sender_ssrc: int
    media_ssrc: int

    @classmethod
    def parse(cls, body: bytes) -> PictureLossIndication:
        """Parse what follows the RTCP header. Raises WireError."""
        return cls(*_ssrcs(body))

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, format, body)."""
        return PSFB, PLI_FORMAT, _SSRCS.pack(self.sender_ssrc, self.media_ssrc)


@dataclass(slots=True)
class FullIntraRequest:
    """FIR: (SSRC, command number modulo 256) of each source asked for a key frame (RFC 5104, 4.3.1)."""

    sender_ssrc: int
    entries: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, body: bytes) -> FullIntraRequest:
        """Parse what follows the RTCP header. Raises WireError."""
        sender, _ = _ssrcs(body)
        if len(body) % _FCI_FIR.size or len(body) == _SSRCS.size:
            raise WireError("FIR has no entry, or part of one")
        return cls(sender, tuple(_FCI_FIR.iter_unpack(body[_SSRCS.size :])))

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, format, body). Raises ValueError when no source is named."""
        if not self.entries:
            raise ValueError("a FIR must name a source")
        fci = b"".join(_FCI_FIR.pack(ssrc, number) for ssrc, number in self.entries)
        return PSFB, FIR_FORMAT, _SSRCS.pack(self.sender_ssrc, 0) + fci


@dataclass(slots=True)
class ReceiverEstimate:
    """REMB: the bit/s that a receiver thinks its link carries for `ssrcs` together."""

    sender_ssrc: int
    bitrate: int
    ssrcs: tuple[int, ...]

    @classmethod
    def parse(cls, body: bytes) -> ReceiverEstimate | None:
        """Parse what follows the RTCP header; None for other application feedback. Raises WireError."""
        sender, _ = _ssrcs(body)
        if body[8:12] != _REMB:
            return None
        if len(body) < 16:
            raise WireError("REMB ends before its bit rate")
        (value,) = _U32.unpack_from(body, 12)
        count = value >> 24
        if 16 + 4 * count > len(body):
            raise WireError("REMB counts more SSRCs than it has")
        bitrate = (value & 0x3FFFF) << (value >> 18 & 0x3F)
        if bitrate > _MAX_BITRATE:
            raise WireError("REMB bit rate does not fit 63 bits")
        return cls(sender, bitrate, tuple(ssrc for (ssrc,) in _U32.iter_unpack(body[16 : 16 + 4 * count])))

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, format, body); bits of the rate below its 18 highest are lost."""
        if not 0 <= self.bitrate <= _MAX_BITRATE or len(self.ssrcs) > 0xFF:
            raise ValueError("REMB bit rate or number of SSRCs is out of range")
        exponent = max(self.bitrate.bit_length() - 18, 0)
        value = len(self.ssrcs) << 24 | exponent << 18 | self.bitrate >> exponent
        ssrcs = b"".join(_U32.pack(ssrc) for ssrc in self.ssrcs)
        return PSFB, APPLICATION_FORMAT, _SSRCS.pack(self.sender_ssrc, 0) + _REMB + _U32.pack(value) + ssrcs


def _ssrcs(body: bytes) -> tuple[int, int]:
    if len(body) < _SSRCS.size:
        raise WireError("feedback message ends before its SSRCs")
    sender, media = _SSRCS.unpack_from(body)
    return sender, media
