"""How much a sender of video may send again, and what that leaves for its pictures. Sans-IO."""

from __future__ import annotations

from rtc.repair.bandwidth.rate import RateMeter

MOST_SHARE = 0.5
"""Of all that may be sent; browsers do so too, and the server reckons with it."""

WINDOW_SECONDS = 0.5
"""What is sent again is measured over this long."""


class Repairs:
    """Shared by all sizes of a picture. Sizes in bytes, rates in bit/s."""

    def __init__(self, available: int) -> None:
        self.available = available
        """What may be sent in all."""
        self._sent = RateMeter(window=WINDOW_SECONDS)

    def take(self, size: int, *, now: float) -> bool:
        """Whether a packet may be sent again, which is then taken for done."""
        if self._sent.bitrate(now=now) + size * 8 / WINDOW_SECONDS > MOST_SHARE * self.available:
            return False
        self._sent.received(size, now=now)
        return True

    def left(self, *, now: float) -> int:
        """What is left for the pictures."""
        return int(self.available - self._sent.bitrate(now=now))
