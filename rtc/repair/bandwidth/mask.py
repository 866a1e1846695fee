"""Transport-wide feedback for a publisher whose own control must not act: nothing is lost, and nothing had to wait.

Libwebrtc's control takes any loss for congestion, and needs half a minute from 300 kbit/s to 2 Mbit/s. What the path
carries is judged here instead, and said in a REMB, which it obeys at once as long as its own estimate is higher.

Of a packet that was lost nothing is said at all. Reported as lost it would count as congestion; reported as arrived it
would leave the publisher's history, and could not be sent again when a NACK asks for it.
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
    """Writes feedback on the packets of one transport that does not speak of those that were lost."""

    def __init__(self) -> None:
        self._sequences = Unwrapper()
        self._arrived: dict[int, float] = {}
        self._next: int | None = None
        self._count = 0

    def received(self, sequence_number: int, *, moment: float) -> None:
        """A packet with this transport-wide number came; `moment` is when it would have without any queue, in s."""
        number = self._sequences.unwrap(sequence_number)
        if self._next is None or abs(number - self._next) > MAX_PENDING:
            self._arrived.clear()
            self._next = number
        if number >= self._next:
            self._arrived[number] = moment

    def feedback(self, sender_ssrc: int, media_ssrc: int) -> list[TransportFeedback]:
        """All that came since the last time, in a message for each run of numbers without a loss."""
        numbers = sorted(self._arrived)
        messages = []
        first = 0
        for end in range(1, len(numbers) + 1):
            if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
                messages.append(self._run(numbers[first:end], sender_ssrc, media_ssrc))
                first = end
        if numbers:
            self._next = numbers[-1] + 1
            self._arrived.clear()
        return messages

    def _run(self, numbers: list[int], sender_ssrc: int, media_ssrc: int) -> TransportFeedback:
        reference = int(self._arrived[numbers[0]] / REFERENCE_TICK)
        received: list[tuple[int, int | None]] = []
        at = reference * TICKS
        for number in numbers:
            delta = min(max(round(self._arrived[number] / DELTA_TICK) - at, -MAX_DELTA), MAX_DELTA)
            at += delta
            received.append((number & 0xFFFF, delta))
        feedback = TransportFeedback(
            sender_ssrc, media_ssrc, numbers[0] & 0xFFFF, signed24(reference), self._count, received
        )
        self._count = (self._count + 1) & 0xFF
        return feedback


def signed24(value: int) -> int:
    """A reference time as its 24 bits with a sign say it."""
    return ((value + 0x800000) & 0xFFFFFF) - 0x800000
