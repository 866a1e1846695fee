"""Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from struct import Struct

from rtc.wire.errors import WireError
from rtc.wire.feedback import RTPFB

DELTA_TICK = 250e-6  # seconds: the unit of a receive delta
REFERENCE_TICK = 64e-3  # seconds: the unit of the reference time
TWCC_FORMAT = 15  # of RTPFB
MAX_STATUSES = 4096  # packets one feedback may speak of: a run of 8191 costs its sender only two bytes

_HEADER = Struct("!IIHHI")  # sender, media source, base sequence, status count, reference time and count
_U16 = Struct("!H")
_I16 = Struct("!h")
_NOT_RECEIVED, _SMALL, _LARGE = range(3)  # the status symbols; 3 is reserved
_ONE_BIT_SYMBOLS, _TWO_BIT_SYMBOLS = 14, 7  # in one status vector chunk
_MAX_RUN = 0x1FFF


@dataclass(slots=True)
class TransportFeedback:
    """When the packets of one transport arrived at the other side.

    `received` has (sequence number modulo 2^16, delta) for each packet from `base_sequence` on, without a
    gap. The delta is in ticks of 250 us after the last that arrived, for the first after `reference_time`
    (ticks of 64 ms, signed 24 bits); None when the packet has not arrived.
    """

    sender_ssrc: int
    media_ssrc: int
    base_sequence: int
    reference_time: int
    feedback_count: int
    received: list[tuple[int, int | None]]

    @classmethod
    def parse(cls, body: bytes) -> TransportFeedback:
        """Parse what follows the RTCP header, padding removed. Raises WireError."""
        if len(body) < _HEADER.size:
            raise WireError("transport feedback is shorter than its header")
        sender, media, base, count, last = _HEADER.unpack_from(body)
        if not 0 < count <= MAX_STATUSES:
            raise WireError("transport feedback speaks of no packet or of too many")
        symbols, at = _read_symbols(body, _HEADER.size, count)
        reference = last >> 8
        received = _read_deltas(body, at, base, symbols)
        return cls(sender, media, base, reference - ((reference & 0x800000) << 1), last & 0xFF, received)

    def encode(self) -> tuple[int, int, bytes]:
        """Return (packet type, format, body). Raises ValueError for a gap or a number out of range."""
        count = len(self.received)
        if not 0 < count <= MAX_STATUSES:
            raise ValueError("transport feedback must speak of 1 to 4096 packets")
        if not -0x800000 <= self.reference_time <= 0x7FFFFF or not 0 <= self.feedback_count <= 0xFF:
            raise ValueError("transport feedback reference time or count is out of range")
        symbols = bytearray()
        deltas = bytearray()
        for expected, (sequence, delta) in enumerate(self.received, self.base_sequence):
            if sequence != expected & 0xFFFF:
                raise ValueError("transport feedback has a gap in its sequence numbers")
            if delta is None:
                symbols.append(_NOT_RECEIVED)
            elif 0 <= delta <= 0xFF:
                symbols.append(_SMALL)
                deltas.append(delta)
            else:
                symbols.append(_LARGE)
                deltas += _I16.pack(delta)
        reference = (self.reference_time & 0xFFFFFF) << 8 | self.feedback_count
        head = _HEADER.pack(self.sender_ssrc, self.media_ssrc, self.base_sequence, count, reference)
        body = head + _write_chunks(bytes(symbols)) + deltas
        return RTPFB, TWCC_FORMAT, body + bytes(-len(body) % 4)


def _read_symbols(body: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Return `count` status symbols and the offset after their chunks."""
    symbols: list[int] = []
    while len(symbols) < count:
        if at + 2 > len(body):
            raise WireError("transport feedback ends inside its status chunks")
        (chunk,) = _U16.unpack_from(body, at)
        at += 2
        if chunk < 0x8000:
            run = min(chunk & _MAX_RUN, count - len(symbols))
            symbols += [chunk >> 13] * run
        elif chunk < 0xC000:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
        else:
            symbols += [chunk >> shift & 3 for shift in range(12, -2, -2)]
    return symbols[:count], at


def _read_deltas(body: bytes, at: int, base: int, symbols: list[int]) -> list[tuple[int, int | None]]:
    if at + symbols.count(_SMALL) + 2 * symbols.count(_LARGE) > len(body):
        raise WireError("transport feedback ends inside its receive deltas")
    received: list[tuple[int, int | None]] = []
    delta: int | None
    for sequence, symbol in enumerate(symbols, base):
        if symbol == _NOT_RECEIVED:
            delta = None
        elif symbol == _SMALL:
            delta = body[at]
            at += 1
        elif symbol == _LARGE:
            (delta,) = _I16.unpack_from(body, at)
            at += 2
        else:
            raise WireError("transport feedback has a reserved status symbol")
        received.append((sequence & 0xFFFF, delta))
    return received


def _write_chunks(symbols: bytes) -> bytes:
    """Return the status chunks for the symbols: at each step the kind of chunk that covers most of them."""
    out = bytearray()
    at = 0
    while at < len(symbols):
        run = _run_length(symbols, at)
        ones = symbols[at : at + _ONE_BIT_SYMBOLS]
        if run < len(ones) and _LARGE not in ones:
            bits = sum(symbol << 13 - place for place, symbol in enumerate(ones))
            out += _U16.pack(0x8000 | bits)
            at += len(ones)
        elif run < min(_TWO_BIT_SYMBOLS, len(symbols) - at):
            twos = symbols[at : at + _TWO_BIT_SYMBOLS]
            bits = sum(symbol << 12 - 2 * place for place, symbol in enumerate(twos))
            out += _U16.pack(0xC000 | bits)
            at += len(twos)
        else:
            out += _U16.pack(symbols[at] << 13 | run)
            at += run
    return bytes(out)


def _run_length(symbols: bytes, at: int) -> int:
    run = 1
    for symbol in islice(symbols, at + 1, at + _MAX_RUN):
        if symbol != symbols[at]:
            break
        run += 1
    return run
