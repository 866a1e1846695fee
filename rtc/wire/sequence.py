"""Numbers that wrap: RTP sequence numbers (16 bits) and timestamps (32 bits). RFC 3550 section 5.1."""

from __future__ import annotations


def distance16(a: int, b: int) -> int:
    """Return the shortest way from a to b modulo 2^16, in [-32768, 32767]: positive when b is newer."""
    return ((b - a + 0x8000) & 0xFFFF) - 0x8000


class Unwrapper:
    """Extends wrapping numbers to plain integers that can be compared and subtracted.

    Each number goes to the candidate nearest to the highest so far (as the packet index of RFC 3711, 3.3.1),
    so a re-ordered one gets a smaller integer and does not move the reference. The first number n becomes
    n + 2^bits: what follows is never negative.
    """

    __slots__ = ("_half", "_highest", "_mask")

    def __init__(self, bits: int = 16) -> None:
        self._half = 1 << (bits - 1)
        self._mask = (1 << bits) - 1
        self._highest = -1

    def unwrap(self, value: int) -> int:
        """Return the plain integer for a number of the stream, itself taken modulo 2^bits."""
        highest = self._highest
        if highest < 0:
            self._highest = extended = (value & self._mask) + self._mask + 1
            return extended
        half = self._half
        extended = highest + ((value - highest + half) & self._mask) - half
        if extended > highest:
            self._highest = extended
        return extended
