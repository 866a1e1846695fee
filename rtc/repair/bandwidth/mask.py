"""Transport-wide feedback for a publisher whose own control must not act: all arrived, and nothing had to wait.

Libwebrtc's control takes any loss for congestion, and needs half a minute from 300 kbit/s to 2 Mbit/s. What the path
carries is judged here instead, and said in a REMB, which it obeys at once as long as its own estimate is higher.
"""

from __future__ import annotations

from rtc.wire.sequence import Unwrapper
from rtc.wire.twcc import DELTA_TICK, MAX_STATUSES, REFERENCE_TICK, TransportFeedback

MAX_PENDING = 1024
"""Packets that one feedback speaks of at most; a larger jump in the numbers is another stream."""

TICKS = round(REFERENCE_TICK / DELTA_TICK)
"""Ticks of a delta in one of the reference time."""

MAX_DELTA = 0x7FFF
"""Ticks between two packets that feedback can say: 8 s."""

assert MAX_PENDING <= MAX_STATUSES  # noqa: S101


class MaskedFeedback:
    """Writes feedback on the packets of one transport in which the lost ones arrived between their neighbours."""

    def __init__(self) -> None:
        self._sequences = Unwrapper()
        self._arrived: dict[int, float] = {}
        self._next: int | None = None
        self._last_time = 0.0
        self._count = 0

    def received(self, sequence_number: int, *, moment: float) -> None:
        """A packet with this transport-wide number came; `moment` is when it would have without any queue, in s."""
        number = self._sequences.unwrap(sequence_number)
        if self._next is None or abs(number - self._next) > MAX_PENDING:
            self._arrived.clear()
            self._next = number
            self._last_time = moment
        if number >= self._next:
            self._arrived[number] = moment

    def feedback(self, sender_ssrc: int, media_ssrc: int) -> TransportFeedback | None:
        """All up to the newest packet, each spoken of once; None when nothing new came."""
        if not self._arrived or self._next is None:
            return None
        first, last = self._next, max(self._arrived)
        moments = self._moments(first, last)
        reference = int(moments[0] / REFERENCE_TICK)
        received: list[tuple[int, int | None]] = []
        at = reference * TICKS
        for number, moment in enumerate(moments, first):
            delta = min(max(round(moment / DELTA_TICK) - at, -MAX_DELTA), MAX_DELTA)
            at += delta
            received.append((number & 0xFFFF, delta))
        self._last_time = moments[-1]
        self._next = last + 1
        self._arrived.clear()
        feedback = TransportFeedback(
            sender_ssrc, media_ssrc, first & 0xFFFF, _signed24(reference), self._count, received
        )
        self._count = (self._count + 1) & 0xFF
        return feedback

    def _moments(self, first: int, last: int) -> list[float]:
        """When each packet came; those that did not, at even distances between their neighbours."""
        moments: list[float] = []
        missing = 0
        before = self._last_time
        for number in range(first, last + 1):
            moment = self._arrived.get(number)
            if moment is None:
                missing += 1
                continue
            step = (moment - before) / (missing + 1)
            moments += [before + step * place for place in range(1, missing + 1)]
            moments.append(moment)
            before, missing = moment, 0
        return moments


def _signed24(value: int) -> int:
    return ((value + 0x800000) & 0xFFFFFF) - 0x800000
