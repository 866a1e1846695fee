"""One source on one slot: under which numbers its packets go out, and which of them can be sent again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtc.wire.extensions import DEPENDENCY_DESCRIPTOR, MAX_PLAYOUT_DELAY, PLAYOUT_DELAY, pack_playout_delay
from rtc.wire.level import EVERYTHING, Level

from .description import Moved
from .thinning import Thinning

if TYPE_CHECKING:
    from .slot import Slot

MIN_RESEND_SECONDS = 0.01
"""A packet asked for twice within this time, or within a round trip, is sent once."""

SHORT_TRIP = 0.35
"""Seconds: what comes twice, a longer round trip apart, may be 100 packets old; that takes stock aiortc back to it."""

MEMORY_OF_RESENDS = 512
"""Resent packets remembered for that."""

MAX_SEGMENTS = 8
"""Changes of level remembered, for what is sent again: they are a quarter of a second apart, mostly much more."""

MAX_DEPTHS = 8
"""Changes of RED depth remembered; they are seconds apart, and packets older than 5 s are not sent again."""

OwnExtensions = tuple[tuple[int, bytes], ...]
"""Ids and values of header extensions that the server itself has something to say in."""


@dataclass(slots=True, frozen=True)
class Segment:
    """A part of a leg in which numbers are moved in one way."""

    first: int
    """The source's number from which on this holds."""
    first_outgoing: int
    """The number of that packet at the listener."""
    sequence_delta: int
    thinning: Thinning | None
    """What it leaves out; None for nothing."""

    def outgoing(self, sequence: int) -> int:
        """The extended number under which a packet of the source goes out."""
        shift = 0 if self.thinning is None else self.thinning.before(sequence)
        return sequence + self.sequence_delta - shift


@dataclass(slots=True, eq=False)
class Leg:
    """One source on one slot, from the packet it starts with until it is taken off."""

    slot: Slot
    first: int
    """The source's sequence number that this leg started with: nothing earlier may be sent on it."""
    timestamp_delta: int
    payload_type: int
    target: Level
    """Up to which layers it is to receive."""
    segments: list[Segment]
    """How it numbers; the last MAX_SEGMENTS changes, the present one last."""
    depths: list[tuple[int, int]]
    """From which packet on (the source's number) it had which RED depth; the last MAX_DEPTHS changes."""
    base_packets: int
    base_octets: int
    moved: Moved | None = None
    """How what its source says of frames is moved; None where the listener is not told."""
    base_left_out: tuple[int, int] = (0, 0)
    """What its thinning had left out, packets and octets, when this leg came to it."""
    resent: dict[int, float] = field(default_factory=dict)

    @property
    def own_extensions(self) -> OwnExtensions:
        """What the server adds to each packet.

        Only where what is sent again has a number of its own (RTX): else it had to be the same to the bit.
        """
        slot = self.slot
        number = slot.extensions.get(PLAYOUT_DELAY)
        if slot.playout_delay is None or number is None or self.payload_type not in slot.rtx_payload_types:
            return ()
        return ((number, pack_playout_delay(slot.playout_delay, MAX_PLAYOUT_DELAY)),)

    @property
    def description(self) -> tuple[int, Moved] | None:
        """Id of the header extension in which it is told of frames, and how its numbers are moved; None without."""
        return None if self.moved is None else (self.slot.extensions[DEPENDENCY_DESCRIPTOR], self.moved)

    @property
    def segment(self) -> Segment:
        """How it numbers what comes next."""
        return self.segments[-1]

    @property
    def level(self) -> Level:
        """Up to which layers it receives now."""
        return EVERYTHING if self.segment.thinning is None else self.segment.thinning.level

    def last_outgoing(self, highest: int) -> int:
        """The number last used, `highest` being the source's newest."""
        segment = self.segment
        return highest + segment.sequence_delta - (0 if segment.thinning is None else segment.thinning.shift)

    def at(self, sequence: int) -> Segment | None:
        """How it numbered this packet of the source; None when that is forgotten."""
        segment = self.segments[-1]
        if sequence >= segment.first:
            return segment
        return next((segment for segment in reversed(self.segments) if sequence >= segment.first), None)

    def outgoing_timestamp(self, timestamp: int) -> int:
        """A timestamp of the source as its listener sees it."""
        return (timestamp + self.timestamp_delta) & 0xFFFFFFFF

    def outgoing(self, sequence: int) -> int:
        """The extended number under which the listener knows this recent packet of the source."""
        return (self.at(sequence) or self.segments[0]).outgoing(sequence)

    def incoming(self, outgoing: int) -> int:
        """The number of the source that went out under this extended number; -1 when that is forgotten."""
        for segment in reversed(self.segments):
            if outgoing >= segment.first_outgoing:
                shifted = outgoing - segment.sequence_delta
                return shifted if segment.thinning is None else segment.thinning.find(shifted)
        return -1

    def carries(self, sequence: int) -> bool:
        """Whether this packet of the source went out when it came, so that it can be sent again."""
        segment = self.at(sequence)
        return segment is not None and (segment.thinning is None or segment.thinning.keeps(sequence))

    def leap(self, sequence: int, *, now: float) -> bool:
        """Begin anew with the key frame at packet `sequence` of the source, much higher; False if nothing waits."""
        before = self.segment
        first = before.outgoing(sequence)
        leapt = self.slot.leap(first, now=now)
        if leapt == first:
            return False
        self.first = sequence
        delta = before.sequence_delta + leapt - first
        self.segments = [Segment(sequence, leapt, delta, before.thinning)]
        return True

    def change_level(self, sequence: int, thinning: Thinning | None) -> None:
        """From packet `sequence` of the source on, which both thinnings have taken, it receives another level."""
        before = self.segment
        shift = 0 if before.thinning is None else before.thinning.before(sequence)
        new_shift = 0 if thinning is None else thinning.before(sequence)
        self.segments.append(Segment(
            sequence, before.outgoing(sequence), before.sequence_delta - shift + new_shift, thinning,
        ))
        del self.segments[:-MAX_SEGMENTS]

    def change_depth(self, sequence: int, depth: int) -> None:
        """Packets from `sequence` on are sent with this RED depth."""
        if self.depths[-1][1] != depth:
            self.depths.append((sequence, depth))
            del self.depths[:-MAX_DEPTHS]

    def depth_at(self, sequence: int) -> int | None:
        """RED depth that this packet was sent with; None when that is forgotten."""
        return next((depth for since, depth in reversed(self.depths) if sequence >= since), None)

    def may_resend(self, sequence: int, *, now: float, rtt: float) -> bool:
        """Whether a packet asked for goes out again now: not twice in a round trip, nor with the budget overdrawn."""
        sent = self.resent.get(sequence)
        certain = self.slot.holes is not None and rtt > SHORT_TRIP
        if sent is not None and now - sent < max(MIN_RESEND_SECONDS, rtt * (1.1 if certain else 0.9)):
            return False
        return self.slot.resend_budget.take(0.0, now=now)

    def was_resent(self, sequence: int, octets: int, *, leaves: float, now: float) -> None:
        """A packet goes out again, which takes so many bytes with all headers and copies; it `leaves` then or sooner.

        They are counted when they are known: how much was sent at first depends on what the path needed then.
        """
        self.slot.resend_budget.charge(octets, now=now)
        self.resent[sequence] = leaves
        if len(self.resent) > MEMORY_OF_RESENDS:
            del self.resent[next(iter(self.resent))]
