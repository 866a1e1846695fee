"""How long to wait for the frames of a stream: the delay at which waiting longer costs more than it saves."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOWS_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Arrivals are looked at over each of these times. The longest sees what happens once in 400 frames; the shorter
ones know earlier that a bad spell is over."""

MAX_ARRIVALS = 1024
"""Arrivals remembered at most: 8 s of 10 ms frames."""

UNSEEN = 3
"""Of n arrivals none was late: then at most 3 / n are, with 95 % certainty. A shorter window is trusted less."""

PRICE = 0.08
"""Share of the frames that a second of delay is worth: 20 ms more are waited if they save 0.16 % of the frames."""

RELUCTANCE = 0.002
"""Share of the frames that another delay must save: each change is heard, since sound is played faster or slower."""

FEW_ARRIVALS = 50
"""Until so many have been seen, the delay is at least START_SECONDS: too little is known."""

START_SECONDS = 0.04
"""Delay of a stream that begins: enough for a gap that the next two packets fill."""

UPDATE_SECONDS = 0.1
"""The delay is worked out anew this often, or at once when a frame comes clearly later than it allows."""

CLEARLY_SECONDS = 0.005
"""Less than this is covered by the margin that every jitter buffer adds."""


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
        self.base = min(self.base, transit)
        if now - self._updated >= UPDATE_SECONDS or transit - self.base > self.wait + CLEARLY_SECONDS:
            self._update(now)

    def reset(self) -> None:
        """Forget the stream."""
        self._arrivals.clear()
        self._updated = float("-inf")

    def forget(self) -> None:
        """Frames will come otherwise than until now; the shortest transit is that of the path, and stays."""
        if self._arrivals:
            shortest = min(self._arrivals, key=lambda arrival: arrival[1])
            self._arrivals.clear()
            self._arrivals.append(shortest)
            self._updated = float("-inf")

    def _update(self, now: float) -> None:
        self._updated = now
        arrivals = self._arrivals
        while arrivals[0][0] < now - WINDOWS_SECONDS[-1]:
            arrivals.popleft()
        times, transits = np.array(arrivals).T
        self.base = float(transits.min())
        count = len(transits)
        waits = np.append(transits - self.base, self.wait)
        late = np.ones(count + 1)
        for window in WINDOWS_SECONDS:
            recent = np.sort(transits[times >= now - window]) - self.base
            later = len(recent) - np.searchsorted(recent, waits, side="right")
            late = np.minimum(late, (later + UNSEEN) / max(1, len(recent)))
        cost = late + PRICE * waits
        best = int(np.argmin(cost))
        if cost[best] < cost[-1] - RELUCTANCE:
            self.wait = float(waits[best])
        if count < FEW_ARRIVALS:
            self.wait = max(self.wait, START_SECONDS)
