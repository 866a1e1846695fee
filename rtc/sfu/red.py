"""Redundancy of one depth for those listeners of a source that want it (RFC 2198)."""

from __future__ import annotations

from rtc.repair.history import History
from rtc.repair.redundancy import MAX_PAYLOAD_BYTES
from rtc.wire.red import MAX_BLOCK_LENGTH, MAX_TIMESTAMP_OFFSET, RedBlock, pack

from .packet import SourcePacket

SENT_PACKETS = 256
"""Payloads kept, since a packet sent again must be the same to the bit: 5 s of audio."""

Variant = tuple[int, int]
"""Depth, and the payload type of Opus at the listener."""


class Redundancy:
    """Makes the RED payload of each packet once, from the source's history, and remembers it."""

    def __init__(self, depth: int, payload_type: int, history: History[SourcePacket]) -> None:
        self.sent: History[bytes] = History(SENT_PACKETS)
        self._depth = depth
        self._payload_type = payload_type
        self._history = history

    def pack(self, packet: SourcePacket) -> bytes:
        """The payload for `packet`: its frame, and those of the packets before it that are there and fit."""
        made = self.sent.get(packet.sequence)
        if made is not None:
            return made
        blocks: list[RedBlock] = []
        size = 1 + len(packet.payload)
        for ago in range(1, self._depth + 1):
            before = self._history.get(packet.sequence - ago)
            if before is None or before.codec != packet.codec or not before.payload:
                continue
            offset = (packet.timestamp - before.timestamp) & 0xFFFFFFFF
            size += 4 + len(before.payload)
            if not 0 < offset <= MAX_TIMESTAMP_OFFSET or size > MAX_PAYLOAD_BYTES:
                break
            if len(before.payload) <= MAX_BLOCK_LENGTH:
                blocks.append(RedBlock(self._payload_type, offset, before.payload))
        blocks.reverse()
        made = pack(self._payload_type, packet.payload, blocks)
        self.sent.put(packet.sequence, made)
        return made
