"""What a receiver misses that waits for it without end, from its NACKs, and when to give it up.

That is stock aiortc (1.16): it shows nothing behind a hole until 512 packets are waiting, up to 17 s. It asks for all
that is missing of the last 128 packets at once, but only when it notices another gap: so each NACK says what has come,
too, and who makes a gap makes it speak. A number that is `LEAP` higher empties its buffer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

LEAP = 512
"""Numbers left out at a key frame: as many packets as its buffer holds."""

ASKED_WINDOW = 128
"""Packets before its newest that it asks for; what it has lost beyond them it has lost for good."""

MIN_WAIT_SECONDS = 0.5
"""The least time in which a packet is to be repaired; it may have been lost on its way here, too."""

MAX_WAIT_SECONDS = 1.0
"""The most: a key frame is quicker than more rounds."""

WAIT_RTTS = 6.0
"""Round trips for the same, between these bounds: three requests on each of two paths."""

TROUBLE_SECONDS = 10.0
"""After the last loss a path is watched for so long."""

ANSWERED_SECONDS = 1.0
"""A leap is answered with a request for a key frame, within this time: that key frame has come before it."""


class Holes:
    """Missing packets of one stream, by extended number."""

    def __init__(self) -> None:
        self.given_up = False
        """Whether the receiver waits for something that will not come, so that its numbers have to leap."""
        self._floor = 0
        self._asked: dict[int, float] = {}
        self._newest = self._excused = -1
        self._trouble_at = float("-inf")
        self._leapt_at = float("-inf")

    def starts(self, number: int) -> None:
        """The stream begins with this number."""
        self._floor = number

    def leapt(self, number: int, *, now: float) -> None:
        """The stream goes on with this number, the first of a key frame, and nothing before it is of use."""
        self._floor = number
        self._asked.clear()
        self._newest = -1
        self._leapt_at = now
        self.given_up = False

    def nacked(
        self, numbers: Sequence[int], *, lost: Collection[int], made: Collection[int], now: float, rtt: float
    ) -> list[int]:
        """Take what it asks for, in order; returns what of that to send again.

        `lost` are those that nobody can send any more, `made` those whose turn was left out so that it speaks.
        """
        numbers = [number for number in numbers if number >= self._floor]
        if not numbers:
            return []
        highest = numbers[-1]
        if highest in made and highest > self._excused:
            self._excused = highest  # it is on its way; who asks for it again has lost it
            numbers.pop()
        if highest >= self._newest:
            self._newest = highest
            self._judge(numbers, highest - ASKED_WINDOW + 1)
        if numbers:
            self._trouble_at = now
        wait = min(MAX_WAIT_SECONDS, max(MIN_WAIT_SECONDS, WAIT_RTTS * rtt))
        for number in numbers:
            if number in lost or now - self._asked.setdefault(number, now) > wait:
                self.given_up = True
        return [] if self.given_up else numbers

    def wants_keyframe(self, *, now: float) -> bool:
        """It asks for a key frame; False where that is only how it answers a leap."""
        if now - self._leapt_at < ANSWERED_SECONDS:
            self._leapt_at = float("-inf")
            return False
        self.given_up = True
        return True

    def in_trouble(self, *, now: float) -> bool:
        """Whether it has lost something lately, so that it is to be made to say what."""
        return now - self._trouble_at < TROUBLE_SECONDS

    def _judge(self, numbers: Sequence[int], lowest: int) -> None:
        """See what has arrived, and what it cannot ask for any more: it asks for nothing below `lowest`."""
        missing = set(numbers)
        for number in [number for number in self._asked if number not in missing]:
            del self._asked[number]
            if number < lowest:
                self.given_up = True
        if lowest >= self._floor and numbers[:2] == [lowest, lowest + 1] and lowest not in self._asked:
            self.given_up = True  # the gap began before what it asks for
