"""How long packets are under way in the server, and how long the event loop stands still."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Seconds: upper bounds of the classes that forwarding times are counted in; 20 ms is one packet of audio."""

STALL_MEMORY = 60.0
"""Seconds for which the longest stall is remembered, at least."""


class LatencyHistogram:
    """Counts of times in the classes of BOUNDS; the last class has no bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        """Sum of all times."""

    def observe(self, seconds: float, packets: int) -> None:
        """So many packets took so long, or a little less."""
        self.counts[bisect_left(BOUNDS, seconds)] += packets
        self.seconds += seconds * packets


class LongestStall:
    """The longest time by which a timer was late, over the last minute or two."""

    def __init__(self) -> None:
        self._before = 0.0
        self._current = 0.0
        self._since = 0.0

    def late(self, seconds: float, *, now: float) -> None:
        """A timer ran so late."""
        if now - self._since >= STALL_MEMORY:
            self._before, self._current, self._since = self._current, 0.0, now
        self._current = max(self._current, seconds)

    @property
    def seconds(self) -> float:
        """How long it was; 0 when there was none."""
        return max(self._before, self._current)
