"""Which encodings of a publication anybody needs, and which of them come."""

from __future__ import annotations

from collections.abc import Sequence

from .source import Source

STALLED_SECONDS = 0.6
"""An encoding that has sent nothing for this long has stopped: three frames at 5 frames/s."""

PATIENCE_SECONDS = 4.0
"""An encoding that is asked for and does not come within this time is one that the publisher's uplink cannot carry."""

UNUSED_SECONDS = 5.0
"""The publisher goes on with an encoding that nobody receives for so long: listeners come and go.

That goes for the lowest too while a larger one is received: Chromium makes a picture smaller that does not fit its
rate, rather than leave out frames, only as long as it sends it in one size.
"""

UNUSED_LOWEST_SECONDS = 30.0
"""The lowest goes on for this long when nobody receives any: with it a newcomer begins."""


class Demand:
    """Which encodings of one publication are needed, so that its publisher can leave out the others."""

    def __init__(self, encodings: Sequence[Source], *, now: float) -> None:
        self._needed = dict.fromkeys(encodings, now)
        self._asked: dict[Source, float] = dict.fromkeys(encodings, now)

    def need(self, source: Source, *, now: float) -> None:
        """Somebody is to receive it now."""
        self._needed[source] = now

    def wanted(self, *, now: float) -> tuple[str, ...]:
        """RIDs of what is to be sent, in the order of the offer."""
        found = []
        idle = all(now - needed >= UNUSED_SECONDS for needed in self._needed.values())
        for place, (source, needed) in enumerate(self._needed.items()):
            if now - needed < (UNUSED_LOWEST_SECONDS if idle and not place else UNUSED_SECONDS):
                found.append(source.rid)
                self._asked.setdefault(source, now)
            else:
                self._asked.pop(source, None)
        return tuple(found)

    def can_come(self, source: Source, *, now: float) -> bool:
        """Whether an encoding comes, or may still come when asked for."""
        if is_live(source, now=now):
            return True
        asked = self._asked.get(source)
        return asked is None or now - asked < PATIENCE_SECONDS


def is_live(source: Source, *, now: float) -> bool:
    """Whether packets of an encoding are coming."""
    return now - source.last_time < STALLED_SECONDS
