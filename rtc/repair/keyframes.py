"""When to ask a source for a key frame (PLI, RFC 4585 6.3.1)."""

from __future__ import annotations

MIN_INTERVAL_SECONDS = 1.0
"""Shortest time between two key frames asked for: each costs ten ordinary frames, and all listeners pay for it."""

REPEAT_RTTS = 1.5
"""An unanswered request is repeated after this many round trips: it was probably lost."""

MIN_REPEAT_SECONDS = 0.1
"""Shortest time between repeats: an encoder answers with its next frame, up to 66 ms later at 15 frames/s."""

DEFAULT_RTT_SECONDS = 0.2
"""Assumed until a round trip was measured: generous, since a needless repeat costs a key frame."""


class KeyframeCadence:
    """When one publisher's encoder was last asked: the simulcast encodings of a track share it."""

    __slots__ = ("asked_at",)

    def __init__(self) -> None:
        self.asked_at: float | None = None


class KeyframeRequester:
    """Merges the wishes of all listeners of one source into as few requests as possible."""

    __slots__ = ("_cadence", "_unanswered_since", "_wanted", "requests")

    def __init__(self, cadence: KeyframeCadence | None = None) -> None:
        self.requests = 0
        """Key frames asked for since the start, repeats of a lost request not counted."""
        self._wanted = False
        self._cadence = cadence or KeyframeCadence()
        self._unanswered_since: float | None = None

    @property
    def pending(self) -> bool:
        """True while a key frame is wanted and has not come."""
        return self._wanted

    def may_ask(self, *, now: float) -> bool:
        """Whether one that is wanted now would be asked for now, not only when MIN_INTERVAL_SECONDS have passed."""
        asked_at = self._cadence.asked_at
        return asked_at is None or now - asked_at >= MIN_INTERVAL_SECONDS

    def want(self) -> None:
        """Some listener cannot go on without a key frame."""
        self._wanted = True

    def arrived(self) -> None:
        """A key frame came: every wish is fulfilled."""
        self._wanted = False
        self._unanswered_since = None

    def due(self, *, now: float, rtt: float | None) -> bool:
        """True when a request is to be sent now."""
        if not self._wanted:
            return False
        if self.may_ask(now=now):
            self._cadence.asked_at = self._unanswered_since = now
            self.requests += 1
            return True
        repeat = max(MIN_REPEAT_SECONDS, REPEAT_RTTS * (DEFAULT_RTT_SECONDS if rtt is None else rtt))
        if self._unanswered_since is not None and now - self._unanswered_since >= repeat:
            self._unanswered_since = now
            return True
        return False
