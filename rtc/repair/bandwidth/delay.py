"""How long packets wait in a queue on their way, told from when they were sent and when they arrived.

The two clocks need not agree: only how much longer than at best a packet took is of interest. Congestion control by
queueing delay is that of LEDBAT (RFC 6817) and SCReAM (RFC 8298); the threshold that adapts to a jittery path that of
Google's (draft-ietf-rmcat-gcc-02, section 5.4).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

STEP_SECONDS = 0.1
"""The shortest way within this long counts: what delays some packets only is jitter, or their own frame's burst."""

FRESH_SECONDS = 0.25
"""An older packet tells nothing of the queue now."""

BASE_STEPS = 100
"""Steps, 10 s, over which the shortest way is the path itself: by then a standing queue was drained once."""

STILL_SECONDS = 0.04
"""Nothing came for longer than this, more than a frame, and what comes then is late: the link took so long for one
packet, or a computer on the way stood still."""

CLUMP_SHARE = 0.1
"""A link that took so long for one packet takes as long for the next. Where that follows within this share of the time
it was a computer, and what was sent meanwhile waited for it, not in a queue."""

NONE_SHARE = 0.5
"""Where none has come within this share it was the last for now, and may as well have waited for the link."""

LATE_SECONDS = 0.015
"""What is later than the shortest way by no more has not waited for anything."""

MAX_LEAP_SECONDS = 5.0
"""A delay that changes by more from one packet to the next means another clock, not a queue."""

NOISE_WEIGHT = 0.05
"""Weight of a new step in the mean of how much the shortest way wavers."""

MAX_NOISE_SECONDS = 0.05
"""A path may waver by this much at most before it counts as congestion: audio would suffer from more."""


class _First(NamedTuple):
    """The first packet after nothing came for long."""

    size: int
    """Bytes."""
    since: float
    """When the last one before it arrived."""
    arrived: float
    delay: float

    @property
    def waited(self) -> float:
        """For so long nothing came."""
        return self.arrived - self.since


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
        self._arrived = 0.0
        self._shortest = float("inf")
        """The shortest way of all steps."""
        self._first: _First | None = None
        """Not judged before the next."""
        self.still = float("inf"), float("-inf")
        """From when to when a computer stood still, the last time."""

    def packet(self, size: int, *, sent: float, arrived: float) -> None:
        """A packet of `size` bytes sent at `sent` of its sender's clock arrived at `arrived` of ours; seconds."""
        delay = arrived - sent
        if self._last is not None and abs(delay - self._last) > MAX_LEAP_SECONDS:
            self.reset()
        before, self._arrived = self._arrived, arrived
        stood_still = self._last is not None and arrived - before > STILL_SECONDS
        self._last = delay
        if self._first is not None:
            self._judge_first(self._first, (arrived - self._first.arrived) * self._first.size / size)
        if stood_still and delay - self._shortest > LATE_SECONDS:
            self._first = _First(size, before, arrived, delay)
            return
        self._note(arrived, delay, tells=not self._waited_for_a_computer(arrived, delay))

    def _waited_for_a_computer(self, arrived: float, delay: float) -> bool:
        """Whether it would have come while one stood still."""
        since, until = self.still
        late = delay - self._shortest
        return late > LATE_SECONDS and since - LATE_SECONDS <= arrived - late <= until

    def _judge_first(self, first: _First, after: float) -> None:
        """See whether the link or a computer kept it waiting: the next came so long after it, or has not come yet.

        `after` is what it would be for a packet as large as the first.
        """
        self._first = None
        waited = self._waited_for_a_computer(first.arrived, first.delay)
        if after > CLUMP_SHARE * first.waited:
            self._note(first.arrived, first.delay, tells=not waited)
        else:
            # It may stand still again before all has come that waited.
            self.still = self.still[0] if waited else first.since, first.arrived

    def _note(self, arrived: float, delay: float, *, tells: bool = True) -> None:
        """A packet took so long; `tells` whether by a queue, else a queue is no longer than that at least."""
        recent = self._recent
        while recent and recent[-1][1] >= delay:
            recent.pop()
        if tells:
            recent.append((arrived, delay))
            while recent[0][0] < arrived - STEP_SECONDS:
                recent.popleft()
        if self._step_ends is None:
            self._step_ends, self._step_least = arrived + STEP_SECONDS, delay
        elif arrived >= self._step_ends:
            self._steps.append(self._step_least)
            self._shortest = min(self._steps)
            self._step_ends, self._step_least = arrived + STEP_SECONDS, delay
        else:
            self._step_least = min(self._step_least, delay)

    def seconds(self, *, now: float) -> float | None:
        """How long packets wait in a queue now, by the clock of arrivals; None while nothing tells."""
        if self._first is not None and now - self._first.arrived > NONE_SHARE * self._first.waited:
            self._judge_first(self._first, now - self._first.arrived)
        if not self._recent or now - self._recent[-1][0] > FRESH_SECONDS:
            return None
        least = self._recent[0][1]
        return least - min(least, min(self._steps, default=least))

    @property
    def undecided(self) -> bool:
        """Whether the newest packet waited, and it is not known yet for what."""
        return self._first is not None

    def calm(self) -> None:
        """Nothing is congested: learn how much this path wavers by itself. To be called once a step."""
        if len(self._steps) >= 2:
            change = min(abs(self._steps[-1] - self._steps[-2]), MAX_NOISE_SECONDS)
            self.noise += NOISE_WEIGHT * (change - self.noise)

    def rebase(self) -> None:
        """The present delay is not a queue of ours: the path has become longer."""
        self._steps.clear()
        self._shortest = float("inf")

    def reset(self) -> None:
        """The clocks mean something else from now on."""
        self._recent.clear()
        self._steps.clear()
        self._step_ends = self._last = self._first = None
        self._shortest = float("inf")
        self.still = float("inf"), float("-inf")
