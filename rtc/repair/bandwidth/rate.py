"""How many bits arrive per second."""

from __future__ import annotations

from collections import deque

MAX_PACKETS = 8192
"""Packets remembered at most: half a second at 100 Mbit/s and more."""


class RateMeter:
    """Bits per second over a sliding window that ends with the last packet.

    It ends there, not now, so that a network that stood still for a moment does not look slow: what it held
    arrives at once afterwards.
    """

    def __init__(self, *, window: float) -> None:
        self.window = window
        """Seconds."""
        self._packets: deque[tuple[float, int]] = deque()
        self._octets = 0

    def received(self, octets: int, *, now: float) -> None:
        """A packet of this many octets arrived."""
        packets = self._packets
        if packets and now < packets[-1][0]:
            now = packets[-1][0]
        packets.append((now, octets))
        self._octets += octets
        while packets[0][0] <= now - self.window or len(packets) > MAX_PACKETS:
            self._octets -= packets.popleft()[1]

    def bitrate(self, *, now: float) -> float:
        """bit/s lately; 0 when nothing came for a whole window."""
        if not self._packets or now - self._packets[-1][0] > self.window:
            return 0.0
        return self._octets * 8 / self.window

    def newest(self, window: float) -> float:
        """bit/s in the last part of the window, so many seconds long."""
        octets = 0
        begin = self._packets[-1][0] - window if self._packets else 0.0
        for moment, size in reversed(self._packets):
            if moment <= begin:
                break
            octets += size
        return octets * 8 / window
