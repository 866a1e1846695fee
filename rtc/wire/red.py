"""RED, redundant audio data (RFC 2198): earlier payloads sent again in front of the newest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtc.wire.errors import WireError

MAX_TIMESTAMP_OFFSET = 0x3FFF  # RTP timestamp units: 14 bits, 341 ms at 48 kHz
MAX_BLOCK_LENGTH = 0x3FF  # bytes of a redundant block: 10 bits

_HEADER_LENGTH = 4  # bytes before a redundant block's data; the primary's header has one


@dataclass(slots=True)
class RedBlock:
    """One encoding in a RED payload; its timestamp is that of the packet less `timestamp_offset`."""

    payload_type: int
    timestamp_offset: int
    payload: bytes


def unpack(payload: bytes | memoryview) -> tuple[list[RedBlock], RedBlock]:
    """Return (redundant blocks in the order sent, oldest first; the primary). Raises WireError."""
    payload = bytes(payload)
    announced: list[tuple[int, int, int]] = []  # payload type, timestamp offset, length
    at = 0
    while True:
        if at >= len(payload):
            raise WireError("RED payload ends inside its block headers")
        head = payload[at]
        if head < 0x80:
            break
        word = int.from_bytes(payload[at : at + _HEADER_LENGTH], "big")
        announced.append((head & 0x7F, word >> 10 & MAX_TIMESTAMP_OFFSET, word & MAX_BLOCK_LENGTH))
        at += _HEADER_LENGTH
    at += 1
    redundant: list[RedBlock] = []
    for payload_type, offset, length in announced:
        if at + length > len(payload):
            raise WireError("RED block is longer than the payload")
        redundant.append(RedBlock(payload_type, offset, payload[at : at + length]))
        at += length
    return redundant, RedBlock(head, 0, payload[at:])


def pack(primary_payload_type: int, primary: bytes, redundant: Sequence[RedBlock] = ()) -> bytes:
    """Return a RED payload with the redundant blocks, oldest first, before the primary.

    Raises ValueError for a payload type over 7 bits, an offset over 14 bits or a length over 10 bits.
    """
    if not 0 <= primary_payload_type < 0x80:
        raise ValueError("RED payload type does not fit 7 bits")
    headers = bytearray()
    for block in redundant:
        if not 0 <= block.payload_type < 0x80:
            raise ValueError("RED payload type does not fit 7 bits")
        if not 0 <= block.timestamp_offset <= MAX_TIMESTAMP_OFFSET:
            raise ValueError("RED timestamp offset does not fit 14 bits")
        if len(block.payload) > MAX_BLOCK_LENGTH:
            raise ValueError("RED block length does not fit 10 bits")
        word = (0x80 | block.payload_type) << 24 | block.timestamp_offset << 10 | len(block.payload)
        headers += word.to_bytes(_HEADER_LENGTH, "big")
    headers.append(primary_payload_type)
    return b"".join((headers, *(block.payload for block in redundant), primary))
