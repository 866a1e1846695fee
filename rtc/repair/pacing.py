"""When packets leave: key frames are spread, so that no queue on the way has to hold them. Audio does not wait."""

from __future__ import annotations

FACTOR = 2.5
"""Packets leave this many times as fast as the path is thought to carry them: what libwebrtc does too."""

FULL_FACTOR = 1.25
"""The same where the path is known to be full: what it cannot carry would only wait, or be dropped, further on."""

BURST_SECONDS = 0.01
"""So much may leave at once: a frame of a few packets."""

MAX_WAIT_SECONDS = 0.25
"""No packet waits longer: rather all go faster, since what comes late is of no use."""

LONG_FACTOR = 1.0
"""The same for what waits for longer than that: so long no queue on the way could take what is too much."""

PATIENT_SECONDS = 15.0
"""The same for a screen: a page of text is of use whenever it comes, and in a burst it would not arrive at all. In VP8
it is 75 kB at the coarsest, which takes so long on 50 kbit/s."""


class Pacer:
    """A leaky bucket. `bitrate` is what the path carries, bit/s; packets leave `factor` times as fast."""

    __slots__ = ("_free", "bitrate", "factor")

    def __init__(self, bitrate: float) -> None:
        self.bitrate = bitrate
        self.factor = FACTOR
        self._free = 0.0

    def departs(self, size: int, *, now: float, most: float = MAX_WAIT_SECONDS) -> float:
        """When a packet of `size` bytes leaves: `now` or later, and never before the one before it.

        It need not wait longer than `most` seconds unless what was given before it does.
        """
        begins = max(self._free, now - BURST_SECONDS)
        factor = self.factor if begins - now < MAX_WAIT_SECONDS else LONG_FACTOR
        self._free = max(min(begins + size * 8 / (factor * self.bitrate), now + most), begins)
        return max(begins, now)

    @property
    def free_at(self) -> float:
        """When all that was given to it so far has left."""
        return self._free

    def occupy(self, until: float) -> None:
        """Something else leaves until then: nothing may overtake it."""
        self._free = max(self._free, until)
