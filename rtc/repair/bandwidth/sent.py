"""What was sent when, and what the other side says of it: transport-wide numbers and their feedback."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from rtc.wire.twcc import DELTA_TICK, REFERENCE_TICK, TransportFeedback

MEMORY = 4096
"""Packets remembered, a power of two: 2 s at 20 Mbit/s."""

MAX_CLOCK_ERROR = 2.0
"""Seconds by which the other side's clock may be off from where it was before; else it counts as another clock."""


class Arrival(NamedTuple):
    """A packet that arrived, or did not."""

    number: int
    size: int
    """Bytes."""
    sent: float
    arrived: float | None
    """By our clock, but for a constant; None when it was lost."""


class SentPackets:
    """Numbers packets of one transport and remembers them until feedback speaks of them."""

    def __init__(self) -> None:
        self.number = -1
        """That of the newest packet, extended; -1 before the first."""
        self.unknown = 0
        """Packets that feedback spoke of and that were never sent, long ago, or spoken of before."""
        self.skipped = 0
        """Bytes of packets that no feedback has spoken of though it spoke of later ones: that feedback was lost."""
        # They grow to MEMORY: most transports of a large room send little, and many none.
        self._sizes = array("I")
        self._times = array("d")
        self.spoken_of = -1
        """The newest number that feedback spoke of."""
        self._offset: float | None = None

    def sent(self, size: int, *, at: float) -> int:
        """A packet of `size` bytes leaves then; returns its number in 16 bits."""
        self.number = number = self.number + 1
        if number < MEMORY:
            self._sizes.append(size)
            self._times.append(at)
        else:
            place = number & MEMORY - 1
            self._sizes[place] = size
            self._times[place] = at
        return number & 0xFFFF

    def acknowledged(self, feedback: TransportFeedback, *, now: float) -> list[Arrival]:
        """What feedback that came now says, in order of numbers; each packet is lost once at most."""
        if self.number < 0:
            self.unknown += len(feedback.received)
            return []
        number = self.number - ((self.number - feedback.base_sequence) & 0xFFFF)
        moments = self._moments(feedback, now)
        arrivals = []
        oldest = max(0, self.number - MEMORY + 1)
        for place in range(max(self.spoken_of + 1, oldest), min(number, self.number + 1)):
            self.skipped += self._sizes[place & MEMORY - 1]
        for place, moment in enumerate(moments, number):
            size = self._sizes[place & MEMORY - 1] if oldest <= place <= self.number else 0
            if not size:
                self.unknown += 1
                continue
            if moment is None and place <= self.spoken_of:
                continue
            if moment is not None:
                self._sizes[place & MEMORY - 1] = 0
            arrivals.append(Arrival(place, size, self._times[place & MEMORY - 1], moment))
        self.spoken_of = max(self.spoken_of, min(number + len(moments) - 1, self.number))
        return arrivals

    def _moments(self, feedback: TransportFeedback, now: float) -> Sequence[float | None]:
        """When each packet arrived, by the other side's clock moved onto ours."""
        at = feedback.reference_time * REFERENCE_TICK
        moments: list[float | None] = []
        for _, delta in feedback.received:
            if delta is None:
                moments.append(None)
            else:
                at += delta * DELTA_TICK
                moments.append(at)
        # The feedback that was fastest shows best how the clocks stand to each other.
        offset = now - at
        if self._offset is None or abs(offset - self._offset) > MAX_CLOCK_ERROR:
            self._offset = offset
        self._offset = min(self._offset, offset)
        return [None if moment is None else moment + self._offset for moment in moments]
