"""What a listener is told of the clocks of its slots, so that it can play together what was captured together.

Sender reports say it too (RFC 3550 6.4.1), but a browser makes use of them only where sound and picture are of one
MediaStream for life, and tells a page nothing of them.
"""

from __future__ import annotations

from collections.abc import Collection

from .slot import Slot

LOOK_SECONDS = 1.0
"""Between two looks, which cost a microsecond a slot: what has begun on one is not left apart for long."""

TOLERANCE_SECONDS = 0.005
"""A clock is told again when it is off by more: a tenth of what anybody notices, and seconds to hours of drift."""


class SlotClocks:
    """Of one peer, while it receives video."""

    __slots__ = ("_next_look", "_told")

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}
        self._next_look = 0.0

    def look(self, slots: Collection[Slot], *, now: float) -> dict[str, int]:
        """RTP timestamps of this moment on all slots that play, by MID; empty while nothing new is to be told."""
        if now < self._next_look:
            return {}
        self._next_look = now + LOOK_SECONDS
        if not any(slot.kind == "video" and slot.source is not None for slot in slots):
            return {}
        playing = {slot: timestamp for slot in slots if (timestamp := slot.timestamp_at(now)) is not None}
        seen = any(slot.kind == "video" for slot in playing)
        if not seen or not any(self._is_off(slot, timestamp, now) for slot, timestamp in playing.items()):
            return {}
        timestamps = {slot.mid: timestamp for slot, timestamp in playing.items()}
        self._told = {mid: (now, timestamp) for mid, timestamp in timestamps.items()}
        return timestamps

    def _is_off(self, slot: Slot, timestamp: int, now: float) -> bool:
        told = self._told.get(slot.mid)
        if told is None or slot.source is None:
            return True
        rate = slot.source.clock.rate
        expected = told[1] + round((now - told[0]) * rate)
        error = ((timestamp - expected + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        return abs(error) > TOLERANCE_SECONDS * rate
