"""When libwebrtc thinks that what it sends arrives, by the checks of its that were answered.

Read in its connection.cc and basic_ice_controller.cc: while it does not, it throws away what it has to send.
"""

from __future__ import annotations

LOOKS_EVERY = 0.48
"""Seconds between two looks at whether a check is due, while it thinks that it does."""
LOOKS_OFTEN = 0.048
"""The same while it does not: then one is sent each time."""
STABLE_SECONDS = 2.5
"""From one check to the next."""
UNSTABLE_SECONDS = 0.9
"""The same once an answer is overdue."""
OVERDUE_RTTS = 2
FEWEST = 5
PATIENCE_SECONDS = 5.0
"""So many checks, the first of them so long ago, and none was answered: then nothing arrives."""


class Checks:
    """Of one pair of addresses; `rtt` in seconds."""

    def __init__(self, rtt: float) -> None:
        self.silent = 0.0
        """Seconds in which nothing was sent."""
        self._rtt = rtt
        self._unanswered: dict[bytes, float] = {}
        self._sent_at = float("-inf")
        self._silent_since: float | None = None
        self._begun = False

    @property
    def writable(self) -> bool:
        """Whether it is heard, so far as it knows."""
        return self._silent_since is None

    def look(self, *, now: float) -> bool:
        """Whether to send a check now; to be asked again after `pause`."""
        times = list(self._unanswered.values())
        if (
            self.writable and len(times) >= FEWEST
            and now > times[FEWEST - 1] + self._rtt and now - times[0] > PATIENCE_SECONDS
        ):
            self._silent_since = now
        overdue = bool(times) and now - times[0] > OVERDUE_RTTS * self._rtt
        interval = UNSTABLE_SECONDS if overdue else STABLE_SECONDS
        return not self._begun or not self.writable or now - self._sent_at >= interval

    @property
    def pause(self) -> float:
        """Seconds until then."""
        return LOOKS_EVERY if self._begun and self.writable else LOOKS_OFTEN

    def sent(self, check: bytes, *, now: float) -> None:
        """One of this transaction id was."""
        self._sent_at = now
        self._unanswered[check] = now

    def answered(self, check: bytes, *, now: float) -> None:
        """Its answer came, the first or another."""
        if check not in self._unanswered:
            return
        self._unanswered.clear()
        self._begun = True
        if self._silent_since is not None:
            self.silent += now - self._silent_since
            self._silent_since = None
