"""Which encodings of a publication anybody needs, and which of them come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rtc.repair.sizes import Sending, Size, Sizes

from .source import Source

PATIENCE_SECONDS = 4.0
"""An encoding that is asked for and does not come within this time is one that the publisher's uplink cannot carry."""

WIDER = 1.5
"""One that never came is not asked for again until the path carries so many times what it did then, or others come."""

UNUSED_SECONDS = 5.0
"""The publisher goes on with an encoding that nobody receives for so long: listeners come and go.

That goes for the lowest too while a larger one is received: Chromium makes a picture smaller that does not fit its
rate, rather than leave out frames, only as long as it sends it in one size.
"""

CHOSEN_SECONDS = 0.6
"""For so long it counts that somebody could have an encoding at best: layers are chosen every quarter of a second."""

UNUSED_LOWEST_SECONDS = 30.0
"""The lowest goes on for this long when nobody receives any: with it a newcomer begins."""


class _Circumstances(NamedTuple):
    """What decides which encodings a publisher can send."""

    heights: tuple[int, ...]
    """Of those that came."""
    uplink: int
    """bit/s; 0 while not known."""


class Demand:
    """Which encodings of one publication are needed, so that its publisher can leave out the others."""

    def __init__(self, encodings: Sequence[Source], *, now: float) -> None:
        self._needed = dict.fromkeys(encodings, now)
        self._asked: dict[Source, float] = dict.fromkeys(encodings, now)
        self._chosen: dict[Source, float] = {}
        self._missed: dict[Source, _Circumstances] = {}
        """What was asked for and never came, and how it was then."""
        self._sizes = Sizes()
        self.sent = set(encodings)
        """What the publisher was last asked to send."""

    @property
    def instead(self) -> bool:
        """Whether that is sent in place of all that is wanted, which its path does not carry now."""
        return self._sizes.instead

    def need(self, source: Source, *, now: float) -> None:
        """Somebody is to receive it now."""
        self._needed[source] = now

    def choose(self, source: Source, *, now: float) -> None:
        """It is the best that somebody can have now, whether it comes or not."""
        self._chosen[source] = now
        self.need(source, now=now)

    def wanted(self, *, uplink: int | None, now: float) -> tuple[str, ...]:
        """RIDs of what is to be sent, in the order of the offer; `uplink` is what the publisher may send, bit/s."""
        needed = self._unused_apart(now)
        came = sorted((source for source in self._needed if source.height), key=lambda source: source.height)
        sizes = [self._size(source, source in needed, now) for source in came]
        sent = self._sizes.choose(sizes, uplink=uplink, now=now)
        # What never came may still be for a larger picture, but not where there is no room.
        others = needed - set(came) if self._sizes.sending is Sending.ALL else set()
        needed = others | {source for source, is_sent in zip(came, sent, strict=True) if is_sent}
        for source in self._needed:
            if source in needed:
                self._asked.setdefault(source, now)
            else:
                self._asked.pop(source, None)
        self._note_missing(uplink, now)
        self.sent = needed
        return tuple(source.rid for source in self._needed if source in needed)

    def _size(self, source: Source, wanted: bool, now: float) -> Size:
        source.rates.measure(now=now)
        bitrate = max((each for *_, each in source.rates.layers), default=0)
        chosen = now - self._chosen.get(source, float("-inf")) < CHOSEN_SECONDS
        return Size(wanted, chosen, is_live(source, now=now), bitrate, source.rates.fps)

    def _unused_apart(self, now: float) -> set[Source]:
        """All but what nobody has received for long."""
        found = set()
        idle = all(now - needed >= UNUSED_SECONDS for needed in self._needed.values())
        for place, (source, needed) in enumerate(self._needed.items()):
            if now - needed < (UNUSED_LOWEST_SECONDS if idle and not place else UNUSED_SECONDS):
                found.add(source)
        return found

    def _note_missing(self, uplink: int | None, now: float) -> None:
        """See what never came though it was asked for: a camera may give no picture for so many sizes."""
        present = _Circumstances(
            tuple(source.height for source in self._needed if source.packets), 0 if uplink is None else uplink
        )
        for source, asked in list(self._asked.items()):
            if source not in self._missed and not source.packets and now - asked >= PATIENCE_SECONDS:
                self._missed[source] = present
        if self._sizes.sending is not Sending.ALL:
            return  # heights change as a picture is made to fit
        for source, then in list(self._missed.items()):
            if source.packets or present.heights != then.heights or present.uplink > WIDER * then.uplink:
                del self._missed[source]
                self._asked.pop(source, None)

    def can_come(self, source: Source, *, now: float) -> bool:
        """Whether an encoding comes, or may still come when asked for."""
        if is_live(source, now=now):
            return True
        if source in self._missed:
            return False
        asked = self._asked.get(source)
        return asked is None or now - asked < PATIENCE_SECONDS


def is_live(source: Source, *, now: float) -> bool:
    """Whether packets of an encoding are coming."""
    return now - source.last_time < source.stalls_after
