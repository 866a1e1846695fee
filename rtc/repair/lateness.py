"""How long to wait for the frames of a stream: the delay at which waiting longer costs more than it saves."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_SECONDS = 8.0
"""Arrivals that count. Long enough to see what happens once in 400 frames; a bad spell is forgotten after it."""

MAX_ARRIVALS = 1024
"""Arrivals remembered at most: 8 s of 10 ms frames."""

PRICE = 0.1
"""Share of the frames that a second of delay is worth: 20 ms more are waited if they save 0.2 % of the frames."""

FEW_ARRIVALS = 50
"""Until so many have been seen, the delay is at least START_SECONDS: too little is known."""

START_SECONDS = 0.04
"""Delay of a stream that begins: enough for a gap that the next two packets fill."""

UPDATE_SECONDS = 0.1
"""The delay is worked out anew at most this often, or at once when a frame comes later than it allows."""


class Lateness:
    """Transit times (arrival less media time, seconds from any origin) of the frames of one stream.

    A frame counts once, when it first arrives by whatever way: by itself, as redundancy or on request. So the
    delay grows as far as waiting for repairs pays. What never comes does not count: no delay would bring it.
    """

    def __init__(self) -> None:
        self.base = 0.0
        """The shortest transit of the window."""
        self.wait = 0.0
        """Seconds beyond `base` that are worth waiting."""
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=MAX_ARRIVALS)
        self._updated = float("-inf")

    def __len__(self) -> int:
        return len(self._arrivals)

    def arrived(self, transit: float, *, now: float) -> None:
        """A frame has arrived."""
        if not self._arrivals:
            self.base = transit
        self._arrivals.append((now, transit))
        if now - self._updated >= UPDATE_SECONDS or not 0 <= transit - self.base <= self.wait:
            self._update(now)

    def reset(self) -> None:
        """Forget the stream."""
        self._arrivals.clear()
        self._updated = float("-inf")

    def _update(self, now: float) -> None:
        self._updated = now
        arrivals = self._arrivals
        while arrivals[0][0] < now - WINDOW_SECONDS:
            arrivals.popleft()
        transits = np.sort(np.fromiter((transit for _, transit in arrivals), dtype=np.float64))
        count = len(transits)
        self.base = float(transits[0])
        waits = transits - self.base
        late = np.arange(count - 1, -1, -1) / count  # share that comes later than each
        self.wait = float(waits[np.argmin(late + PRICE * waits)])
        if count < FEW_ARRIVALS:
            self.wait = max(self.wait, START_SECONDS)
