"""Transport-wide feedback as a receiver writes it: which packets came when, and which did not."""

from __future__ import annotations

from rtc.wire.sequence import Unwrapper
from rtc.wire.twcc import DELTA_TICK, REFERENCE_TICK, TransportFeedback

from .mask import MAX_DELTA, MAX_PENDING, TICKS, signed24

REMEMBERED_SECONDS = 0.5
"""What arrived is told again with what came late for so long: libwebrtc does the same."""


class ArrivalFeedback:
    """Notes the packets of one transport and tells their sender of each number; see `MaskedFeedback` for the other.

    A packet that comes after it was said to be lost is told as well, and with it all after it that are remembered: what
    told of those may be lost, and would their sender now hear nothing of them, it would take them for lost.
    """

    def __init__(self) -> None:
        self._sequences = Unwrapper()
        self._arrived: dict[int, float] = {}
        self._untold: list[int] = []
        self._next: int | None = None
        self._count = 0

    def received(self, sequence_number: int, *, now: float) -> None:
        """A packet with this transport-wide number came."""
        number = self._sequences.unwrap(sequence_number)
        if self._next is None or abs(number - self._next) > MAX_PENDING:
            self._arrived.clear()
            self._untold.clear()
            self._next = number
        if number not in self._arrived:
            self._arrived[number] = now
            self._untold.append(number)

    def feedback(self, sender_ssrc: int, media_ssrc: int) -> TransportFeedback | None:
        """All up to the newest packet that has not been spoken of; None when nothing came."""
        if not self._untold or self._next is None:
            return None
        first, last = min(self._next, *self._untold), max(self._untold)
        moments = [self._arrived.get(number) for number in range(first, last + 1)]
        reference = int(next(moment for moment in moments if moment is not None) / REFERENCE_TICK)
        at = reference * TICKS
        received: list[tuple[int, int | None]] = []
        for number, moment in enumerate(moments, first):
            delta = None
            if moment is not None:
                delta = min(max(round(moment / DELTA_TICK) - at, -MAX_DELTA), MAX_DELTA)
                at += delta
            received.append((number & 0xFFFF, delta))
        self._next = max(self._next, last + 1)
        forgotten = self._arrived[self._untold[-1]] - REMEMBERED_SECONDS
        self._untold.clear()
        self._arrived = {
            number: moment for number, moment in self._arrived.items()
            if moment > forgotten and self._next - number <= MAX_PENDING
        }
        feedback = TransportFeedback(
            sender_ssrc, media_ssrc, first & 0xFFFF, signed24(reference), self._count, received
        )
        self._count = (self._count + 1) & 0xFF
        return feedback
