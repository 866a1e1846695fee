"""One continuous count of a source's packets, whatever its sequence numbers do."""

from __future__ import annotations

from rtc.wire.sequence import distance16

MAX_JUMP = 3000
"""Packets that may be missing at once before the stream counts as restarted: MAX_DROPOUT of RFC 3550 A.1."""

MAX_MISORDER = 100
"""Packets that the first of a stream may have overtaken: RFC 3550 A.1."""

MAX_LATE = 1000
"""Packets that one may be late; older ones cannot be told from replays, since the history is this long."""


class Numbering:
    """Places each packet of a source in a count without restarts.

    A stream whose sequence numbers leap (a new sender behind the same m-line, a rebooted encoder) goes on at the
    next number once two packets in a row confirm the leap (RFC 3550 A.1), so that no listener sees it.
    """

    __slots__ = ("_expected_leap", "_leaping", "_wire", "floor", "highest", "next", "restarts")

    def __init__(self) -> None:
        self.highest = -1
        """Number of the newest packet, -1 before the first."""
        self.restarts = 0
        self.floor = 0
        """Lowest number that a packet may still have: that of the first since the last restart or skip."""
        self.next = -1
        """The 16-bit number of the packet that follows the newest one; -1 while that is not known."""
        self._wire = 0
        self._expected_leap: int | None = None
        self._leaping = False

    def place(self, sequence_number: int) -> int | None:
        """Number of the packet with this 16-bit sequence number; None when it is a stray and to be dropped."""
        if self.highest < 0:
            self.highest = self.floor = 1 << 16
            self._newest(sequence_number)
            return self.highest
        number = None if self._leaping else self.place_repair(sequence_number)
        if number is not None:
            self._expected_leap = None
            if number > self.highest:
                self.highest = number
                self._newest(sequence_number)
            return number
        if not self._leaping:
            if -MAX_MISORDER <= distance16(self._wire, sequence_number) <= 0:
                return None  # reordered at the start of the stream: no leap
            if self._expected_leap != sequence_number:
                self._expected_leap = (sequence_number + 1) & 0xFFFF
                return None
        self.restarts += 1
        self.highest += 1
        self.floor = self.highest
        self._newest(sequence_number)
        self._expected_leap = None
        self._leaping = False
        return self.highest

    def follow(self) -> int:
        """Number of the packet with the number `next`, which has come."""
        self.highest += 1
        self._expected_leap = None
        self._wire = self.next
        self.next = (self.next + 1) & 0xFFFF
        return self.highest

    def place_repair(self, sequence_number: int) -> int | None:
        """The same for a retransmission, which never moves or restarts the count."""
        if self.highest < 0 or self._leaping:
            return None
        gap = distance16(self._wire, sequence_number)
        number = self.highest + gap
        if gap > MAX_JUMP or gap < -MAX_LATE or number < self.floor:
            return None
        return number

    def sequence_number(self, number: int) -> int:
        """The 16-bit sequence number under which the sender knows a recent number."""
        return (self._wire + number - self.highest) & 0xFFFF

    def skip(self) -> None:
        """Leave the newest packet out of the count: it carries nothing, and the next takes its number.

        What came before it can no longer be placed: sequence numbers and places have moved against each other.
        """
        self.floor = self.highest
        self.highest -= 1

    def leap(self) -> None:
        """The next packet comes from a new sender: it goes on at the next number whatever it says."""
        self._leaping = self.highest >= 0
        self.next = -1

    def _newest(self, sequence_number: int) -> None:
        self._wire = sequence_number
        self.next = (sequence_number + 1) & 0xFFFF
