"""A source without its upper layers: which packets are left out, and how that moves the numbers of the others."""

from __future__ import annotations

from rtc.repair.history import History
from rtc.wire.level import Level

from .packet import SourcePacket

PLACES = 1024
"""Packets whose fate is remembered: as long as they may be sent again."""

_KEPT, _LEFT_OUT, _MISSING = range(3)
_Place = tuple[int, int]
"""Fate, and numbers closed up before."""


class Thinning:
    """What legs at one level receive of a source; each packet is looked at once for all of them.

    A number that was missing when later packets went out is kept free: what fills it comes late, or is empty.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.shift = 0
        """Numbers closed up so far; with the others below, since this level is in use."""
        self.packets = 0
        """Packets left out."""
        self.octets = 0
        self._highest = -1
        self._places: History[_Place] = History(PLACES)
        self._timestamp = -1

    def take(self, packet: SourcePacket) -> None:
        """Decide on the newest packet of the source."""
        leaves = self.leaves_out(packet)
        missing = packet.sequence - self._highest - 1
        if 0 < missing < PLACES and self._highest >= 0:
            # What is missing inside a picture that is left out would be left out too.
            gone = leaves and packet.timestamp == self._timestamp
            for sequence in range(self._highest + 1, packet.sequence):
                self._places.put(sequence, (_LEFT_OUT if gone else _MISSING, self.shift))
                self.shift += gone
        self._places.put(packet.sequence, (_LEFT_OUT if leaves else _KEPT, self.shift))
        self._highest = packet.sequence
        if leaves:
            self.shift += 1
            self.packets += 1
            self.octets += len(packet.payload)
            self._timestamp = packet.timestamp
        else:
            self._timestamp = -1

    def leaves_out(self, packet: SourcePacket) -> bool:
        """Whether a packet is above the level."""
        return packet.layering is not None and not packet.layering.within(self.level)

    def marks(self, packet: SourcePacket) -> bool:
        """Whether a packet ends a picture as far as the level goes."""
        layering = packet.layering
        return packet.marker or (
            layering is not None and layering.ends and layering.spatial == self.level.spatial
        )

    def keeps(self, sequence: int) -> bool:
        """Whether the packet with this number of the source went out when it came."""
        place = self._places.get(sequence)
        return place is not None and place[0] == _KEPT

    def has_number(self, sequence: int) -> bool:
        """Whether a number was kept for this packet of the source, whatever it brings."""
        place = self._places.get(sequence)
        return place is not None and place[0] != _LEFT_OUT

    def before(self, sequence: int) -> int:
        """Numbers closed up before this packet of the source; all, if it is yet to come."""
        place = self._places.get(sequence)
        return self.shift if place is None else place[1]

    def find(self, shifted: int) -> int:
        """The number of the source that became `shifted` (its own less what was left out before); -1 if forgotten."""
        low, high = max(shifted, self._highest - PLACES + 1), min(shifted + self.shift, self._highest)
        while low <= high:
            middle = (low + high) // 2
            place = self._places.get(middle)
            if place is None or middle - place[1] < shifted:
                low = middle + 1
            elif middle - place[1] > shifted:
                high = middle - 1
            elif place[0] == _LEFT_OUT:
                low = middle + 1
            else:
                return middle
        return -1
