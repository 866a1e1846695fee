"""How long packets wait in a queue on their way, told from when they were sent and when they arrived.

The two clocks need not agree: only how much longer than at best a packet took is of interest. Congestion control by
queueing delay is that of LEDBAT (RFC 6817) and SCReAM (RFC 8298); the threshold that adapts to a jittery path that of
Google's (draft-ietf-rmcat-gcc-02, section 5.4).
"""

from __future__ import annotations

from collections import deque

STEP_SECONDS = 0.1
"""The shortest way within this long counts: what delays some packets only is jitter, or their own frame's burst."""

FRESH_SECONDS = 0.25
"""An older packet tells nothing of the queue now."""

BASE_STEPS = 100
"""Steps, 10 s, over which the shortest way is the path itself: by then a standing queue was drained once."""

MAX_LEAP_SECONDS = 5.0
"""A delay that changes by more from one packet to the next means another clock, not a queue."""

NOISE_WEIGHT = 0.05
"""Weight of a new step in the mean of how much the shortest way wavers."""

MAX_NOISE_SECONDS = 0.05
"""A path may waver by this much at most before it counts as congestion: audio would suffer from more."""


class QueueDelay:
    """The wait in the queue, and how far that figure can be trusted."""

    def __init__(self) -> None:
        self.noise = 0.0
        """Mean change of the shortest way from step to step while nothing is congested, seconds."""
        self._recent: deque[tuple[float, float]] = deque()
        """(time, delay), delays rising: the first is the least of those within STEP_SECONDS."""
        self._steps: deque[float] = deque(maxlen=BASE_STEPS)
        self._step_ends: float | None = None
        self._step_least = 0.0
        self._last: float | None = None

    def packet(self, *, sent: float, arrived: float) -> None:
        """A packet sent at `sent` of its sender's clock arrived at `arrived` of ours; seconds."""
        delay = arrived - sent
        if self._last is not None and abs(delay - self._last) > MAX_LEAP_SECONDS:
            self.reset()
        self._last = delay
        recent = self._recent
        while recent and recent[-1][1] >= delay:
            recent.pop()
        recent.append((arrived, delay))
        while recent[0][0] < arrived - STEP_SECONDS:
            recent.popleft()
        if self._step_ends is None:
            self._step_ends, self._step_least = arrived + STEP_SECONDS, delay
        elif arrived >= self._step_ends:
            self._steps.append(self._step_least)
            self._step_ends, self._step_least = arrived + STEP_SECONDS, delay
        else:
            self._step_least = min(self._step_least, delay)

    def seconds(self, *, now: float) -> float | None:
        """How long packets wait in a queue now, by the clock of arrivals; None while nothing tells."""
        if not self._recent or now - self._recent[-1][0] > FRESH_SECONDS:
            return None
        least = self._recent[0][1]
        return least - min(least, min(self._steps, default=least))

    def calm(self) -> None:
        """Nothing is congested: learn how much this path wavers by itself. To be called once a step."""
        if len(self._steps) >= 2:
            change = min(abs(self._steps[-1] - self._steps[-2]), MAX_NOISE_SECONDS)
            self.noise += NOISE_WEIGHT * (change - self.noise)

    def rebase(self) -> None:
        """The present delay is not a queue of ours: the path has become longer."""
        self._steps.clear()

    def reset(self) -> None:
        """The clocks mean something else from now on."""
        self._recent.clear()
        self._steps.clear()
        self._step_ends = self._last = None
