"""Transport-wide feedback for a publisher whose own control must not act: nothing is lost, and nothing had to wait.

Libwebrtc's control takes any loss for congestion, and needs half a minute from 300 kbit/s to 2 Mbit/s. What the path
carries is judged here instead, and said in a REMB, which it obeys at once as long as its own estimate is higher.

That rises no further than to 1.5 times what it is told has arrived. So a packet that was lost is told as arrived too,
but only once nobody will ask for it any more: what is told to have arrived leaves the publisher's history, and cannot
be sent again when a NACK asks for it. Until then nothing is said of it, as reported as lost it would count as
congestion, nor of what came after it: of several messages in one compound packet libwebrtc reads the last, so that a
message for each run of what arrived would take a datagram each.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rtc.wire.sequence import Unwrapper
from rtc.wire.twcc import DELTA_TICK, MAX_STATUSES, REFERENCE_TICK, TransportFeedback

MAX_PENDING = 1024
"""Packets that one feedback speaks of at most; a larger jump in the numbers is another stream."""

MAX_LOST = 64
"""So many in a row are lost by chance, or in bursts; of more nothing is said: the path was away."""

MAX_AGE_SECONDS = 0.8
"""What was lost longer ago is not spoken of any more: libwebrtc measures what arrives over 1 s, and begins anew when it
is told of anything older than that."""

HOLD_SECONDS = 0.25
"""When it is not known for so long what has come of something lost, the last run is told beside it: what libwebrtc
hears nothing of for 0.35 s it takes for a queue, and leaves out frames."""

REPEAT_SECONDS = 0.25
"""So long it is told again that what was lost has arrived, since feedback is lost as well: in five messages or six, of
which a fiftieth are all lost where half of them are."""

TICKS = round(REFERENCE_TICK / DELTA_TICK)
"""Ticks of a delta in one of the reference time."""

MAX_DELTA = 0x7FFF
"""Ticks between two packets that feedback can say: 8 s."""

assert MAX_PENDING <= MAX_STATUSES  # noqa: S101


class _Packet(NamedTuple):
    """One since the first that was lost."""

    moment: float
    """When it would have come without any queue."""
    noticed: float
    """When it came, or the first after it."""
    lost: bool


class MaskedFeedback:
    """Writes feedback on the packets of one transport that never says that one was lost."""

    def __init__(self) -> None:
        self._sequences = Unwrapper()
        self._arrived: dict[int, float] = {}
        """Moments of what is to be told of next, whatever comes of the rest."""
        self._next: int | None = None
        self._last_moment = 0.0
        self._count = 0
        self._recent: dict[int, _Packet] = {}
        """By number, from the first on that was lost and of which there is still something to say."""
        self._told: deque[tuple[float, int]] = deque()
        """(time, number): then all before this number was told, in the last REPEAT_SECONDS."""

    def received(self, sequence_number: int, *, moment: float, now: float) -> None:
        """A packet with this transport-wide number came; `moment` is when it would have without any queue, in s."""
        number = self._sequences.unwrap(sequence_number)
        if self._next is None or abs(number - self._next) > MAX_PENDING:
            self._arrived.clear()
            self._recent.clear()
            self._told.clear()
            self._next = number
        if number >= self._next:
            if 0 < number - self._next <= MAX_LOST:
                self._note_lost(self._next, number, moment, now)
            self._next, self._last_moment = number + 1, moment
            if self._recent:
                self._recent[number] = _Packet(moment, now, lost=False)
                return
        elif moment < self._last_moment - MAX_AGE_SECONDS:
            return
        elif number in self._recent:
            self._recent[number] = _Packet(moment, self._recent[number].noticed, lost=False)
            return
        if len(self._arrived) >= MAX_PENDING:
            del self._arrived[next(iter(self._arrived))]
        self._arrived[number] = moment

    def feedback(self, sender_ssrc: int, media_ssrc: int, *, settled: float, now: float) -> list[TransportFeedback]:
        """What is to be told now: a message, to be sent apart from the others, for each run of numbers.

        Nobody asks any more for anything that was sent before the moment `settled`, by the clock of `now`.
        """
        if self._recent:
            self._settle(settled, now)
        told, self._arrived = self._arrived, {}
        numbers = sorted(told)
        messages = []
        first = 0
        for end in range(1, len(numbers) + 1):
            if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
                messages.append(self._run(numbers[first:end], told, sender_ssrc, media_ssrc))
                first = end
        return messages

    def _note_lost(self, first: int, end: int, moment: float, now: float) -> None:
        """Nothing has come between the last packet and this one."""
        step = (moment - self._last_moment) / (end - first + 1)
        for place, number in enumerate(range(first, end), 1):
            self._recent[number] = _Packet(self._last_moment + place * step, now, lost=True)
        while len(self._recent) > MAX_PENDING:
            del self._recent[next(iter(self._recent))]

    def _settle(self, settled: float, now: float) -> None:
        """Have all told that is settled, again what became so in the last REPEAT_SECONDS; forget what was before."""
        recent, marks = self._recent, self._told
        told_before = marks[-1][1] if marks else 0
        end, since = next(
            ((number, packet.noticed) for number, packet in recent.items() if packet.noticed >= settled),
            (self._next or 0, now),
        )
        marks.append((now, end))
        told_enough = 0
        while marks[0][0] < now - REPEAT_SECONDS:
            told_enough = marks.popleft()[1]
        for number, packet in list(recent.items()):
            too_old = packet.noticed < now - MAX_AGE_SECONDS
            if packet.lost and not too_old and number >= told_enough:
                break
            del recent[number]
            if not packet.lost and not too_old and number >= told_before:
                self._arrived[number] = packet.moment
        for number, packet in recent.items():
            if number >= end:
                break
            self._arrived[number] = packet.moment
        if now - since >= HOLD_SECONDS:
            for number in reversed(recent):
                if recent[number].lost:
                    break
                self._arrived[number] = recent[number].moment

    def _run(
        self, numbers: list[int], moments: dict[int, float], sender_ssrc: int, media_ssrc: int
    ) -> TransportFeedback:
        reference = int(moments[numbers[0]] / REFERENCE_TICK)
        received: list[tuple[int, int | None]] = []
        at = reference * TICKS
        for number in numbers:
            delta = min(max(round(moments[number] / DELTA_TICK) - at, -MAX_DELTA), MAX_DELTA)
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
