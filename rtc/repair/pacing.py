"""When packets leave: key frames are spread, so that no queue on the way has to hold them. Audio does not wait."""

from __future__ import annotations

FACTOR = 2.5
"""Packets leave this many times as fast as the path is thought to carry them: what libwebrtc does too."""

BURST_SECONDS = 0.01
"""So much may leave at once: a frame of a few packets."""

MAX_WAIT_SECONDS = 0.25
"""No packet waits longer: rather all go faster, since what comes late is of no use."""


class Pacer:
    """A leaky bucket. `bitrate` is what the path carries, bit/s."""

    def __init__(self, bitrate: float) -> None:
        self.bitrate = bitrate
        self._free = 0.0

    def departs(self, size: int, *, now: float) -> float:
        """When a packet of `size` bytes leaves: `now` or later, and never before the one before it."""
        begins = max(self._free, now - BURST_SECONDS)
        self._free = min(begins + size * 8 / (FACTOR * self.bitrate), now + MAX_WAIT_SECONDS)
        return max(begins, now)
