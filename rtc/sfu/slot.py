"""What a listener receives on: one m-line with one SSRC for life, whatever source fills it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtc.bucket import TokenBucket
from rtc.repair.copies import CopiesController
from rtc.repair.holes import LEAP, Holes
from rtc.repair.path import ReportedPath
from rtc.repair.playout import PlayoutDelay
from rtc.repair.redundancy import MAX_DEPTH, NONE, ProtectionController
from rtc.transport.srtp import SrtpSession
from rtc.wire.extensions import (
    DEPENDENCY_DESCRIPTOR,
    MAX_PLAYOUT_DELAY,
    PLAYOUT_DELAY,
    TRANSPORT_CC,
    pack_playout_delay,
)
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.sdp import Codec

from .description import Described, Moved
from .downlink import Downlink
from .packet import codec_key, find_payload_type
from .thinning import Thinning

if TYPE_CHECKING:
    from .fanout import Fanout
    from .source import Source

RESEND_BITRATE = {"audio": 150_000, "video": 4_000_000}
"""Bit/s that one listener may have sent again of one stream in the long run, headers counted: a sixth of what protects
audio at most, 1.6 times the bit rate of video. A NACK costs its sender little, and must not cost the server more."""

RESEND_BURST_BYTES = {"audio": 20_000, "video": 192_000}
"""So much may be sent again at once: some packets of audio at high loss, a key frame of video with room to spare."""

KEYFRAME_SECONDS = 5.0
"""One listener's decoder may cause a key frame this often in the long run: all others pay for it with their picture."""

KEYFRAME_BURST = 3
"""Key frames that it may cause at once: on a bad path one may not arrive whole."""

MIN_RESEND_SECONDS = 0.01
"""A packet asked for twice within this time, or within a round trip, is sent once."""

SHORT_TRIP = 0.35
"""Seconds: what comes twice, a longer round trip apart, may be 100 packets old; that takes stock aiortc back to it."""

MEMORY_OF_RESENDS = 512
"""Resent packets remembered for that."""


MAX_SEGMENTS = 8
"""Changes of level remembered, for what is sent again: they are a quarter of a second apart, mostly much more."""

OwnExtensions = tuple[tuple[int, bytes], ...]
"""Ids and values of header extensions that the server itself has something to say in."""

MAX_DEPTHS = 8
"""Changes of RED depth remembered; they are seconds apart, and packets older than 5 s are not sent again."""


@dataclass(slots=True)
class Outlet:
    """Where the packets of one listener go: kept up to date by its peer, read on the hot path."""

    destination: int = -1
    """Row of the address table; -1 while the path is not known."""
    session: SrtpSession | None = None
    """What protects packets to this listener; None until the handshake is done."""

    downlink: Downlink | None = None
    """Numbers and paces video for receivers with transport-wide feedback."""
    held: int = 0
    """Packets that leave later: what comes after them must not overtake them."""
    hurry: Callable[[], None] = field(default=lambda: None)
    """Lets its peer be looked after at once."""
    discard: Callable[[Outlet, Collection[int]], None] = field(default=lambda outlet, ssrcs: None)
    """Takes back what waits to be sent here of these SSRCs."""

    @property
    def open(self) -> bool:
        """True when packets can be sent."""
        return self.session is not None and self.destination >= 0


class Slot:
    """The sending half of one m-line.

    Sequence numbers and timestamps of what is sent continue over every change of source, and no (SSRC, sequence)
    pair is ever used for two payloads, which would break the cipher (RFC 3711 9.1).
    """

    __slots__ = (
        "begun", "controller", "copies", "cut", "extensions", "fitted_at", "holes", "keyframe_budget", "kind",
        "last_described", "last_sequence", "last_time", "last_timestamp", "mid", "next_request", "octets", "outlet",
        "packets", "path", "paused", "payload_types", "playout", "playout_delay", "protection", "red_payload_type",
        "resend_budget", "resent", "rtx_payload_types", "rtx_sequence", "rtx_ssrc", "shows_gaps", "source", "ssrc",
        "target", "upcoming",
    )

    def __init__(self, mid: str, kind: str, outlet: Outlet) -> None:
        self.mid = mid
        self.kind = kind
        self.outlet = outlet
        self.ssrc = secrets.randbits(32)
        self.rtx_ssrc = secrets.randbits(32)
        self.payload_types: dict[str, int] = {}
        self.rtx_payload_types: dict[int, int] = {}
        self.red_payload_type: int | None = None
        self.protection = NONE
        self.controller = ProtectionController()
        """Of audio."""
        self.copies = CopiesController()
        """Of video."""
        self.playout = PlayoutDelay()
        self.playout_delay: int | None = None
        """What the receiver is asked to wait at least, in steps of 10 ms; None: nothing was ever said of it."""
        self.path = ReportedPath()
        self.holes: Holes | None = None
        """Of video for a receiver without transport-wide feedback, which may wait without end for what is missing."""
        self.shows_gaps = False
        """Whether some of its packets come out of turn, so that its receiver says what it misses."""
        self.resend_budget = TokenBucket(RESEND_BITRATE[kind] / 8, RESEND_BURST_BYTES[kind])
        """Bytes that may be sent again."""
        self.keyframe_budget = TokenBucket(1 / KEYFRAME_SECONDS, KEYFRAME_BURST)
        """Key frames that its receiver may ask for."""
        self.extensions: dict[str, int] = {}
        self.target = EVERYTHING
        """Up to which layers it is to receive of what it starts with next."""
        self.begun = False
        """Whether something has started on it of which no sender report was sent yet."""
        self.paused = False
        """Whether it receives nothing for now, though somebody is on it."""
        self.fitted_at = float("-inf")
        """When the listener's path last carried something of what is on it."""
        self.source: Source | None = None
        """What it receives, or waits for."""
        self.upcoming: Source | None = None
        """Another encoding of the same track that takes over with its next key frame."""
        self.cut = False
        """Whether it waits for an encoding as all else was too much: with that it goes on, whatever may fit by then."""
        self.next_request = 0.0
        """When a key frame of that is to be asked for, again if need be."""
        self.packets = 0
        self.octets = 0
        self.resent = 0
        self.rtx_sequence = secrets.randbits(15)
        self.last_sequence = secrets.randbelow(0x7FFF)
        """Extended number last sent; starts below 2^15: SRTP cannot tell an early wrap (RFC 3711 3.3.1)."""
        self.last_timestamp = secrets.randbits(32)
        self.last_time: float | None = None
        """When `last_timestamp` was sampled, by our clock; None before the first packet."""
        self.last_described: Described | None = None
        """What it was last told of frames beside the payload, if ever."""

    def configure(self, codecs: tuple[Codec, ...], extensions: Mapping[str, int]) -> None:
        """Take over what the answer agreed on. A leg ends where that differs, or a packet sent again would too."""
        before = (self.payload_types, self.rtx_payload_types, self.red_payload_type, self.extensions)
        self.payload_types = {
            codec_key(codec): codec.payload_type for codec in reversed(codecs) if codec.name != "red"
        }
        self.red_payload_type = next((codec.payload_type for codec in codecs if codec.name == "red"), None)
        self.controller.max_depth = MAX_DEPTH if self.red_payload_type is not None else 0
        self.rtx_payload_types = {
            codec.payload_type: codec.rtx_payload_type
            for codec in codecs
            if codec.rtx_payload_type is not None
        }
        self.extensions = dict(extensions)
        waits = self.kind == "video" and TRANSPORT_CC not in self.extensions
        self.holes = (self.holes or Holes()) if waits else None
        if self.source is not None and before != (
            self.payload_types, self.rtx_payload_types, self.red_payload_type, self.extensions,
        ):
            self.source.fanout.suspend_one(self)

    def listen_to(self, source: Source | None) -> None:
        """From now on this and nothing else, as soon as it can start."""
        for before in (self.source, self.upcoming):
            if before is not None:
                before.fanout.detach(self)
        self.source, self.upcoming, self.paused, self.cut = source, None, False, False
        if source is not None:
            source.fanout.attach(self)

    def pause(self) -> None:
        """Receive nothing until `show`."""
        source = self.source
        self.listen_to(None)
        self.source, self.paused = source, True

    def show(self, source: Source, level: Level) -> None:
        """Receive these layers of this encoding, what comes now until they can start."""
        self.target = level
        if self.paused:
            self.listen_to(source)
        else:
            self.move_to(source)
        if self.source is source:
            source.fanout.aim(self, level)

    def move_to(self, source: Source) -> None:
        """Another encoding of the same track: what comes now goes on until that one can start."""
        if source is self.upcoming:
            return
        if self.leg is None:
            if source is not self.source:
                self.listen_to(source)
            return
        if self.upcoming is not None:
            self.upcoming.fanout.detach(self)
            self.upcoming = None
        if source is not self.source:
            self.upcoming, self.next_request = source, 0.0
            source.fanout.attach(self)

    def leap(self, first: int, *, now: float) -> int:
        """The number that a key frame gets where `first` comes next: much higher if its receiver waits in vain."""
        holes = self.holes
        if holes is not None and holes.given_up:
            # What waits to be sent a second time would take the buffer of the receiver back to where it was.
            self.outlet.discard(self.outlet, (self.ssrc, self.rtx_ssrc))
            first += LEAP
            holes.leapt(first, now=now)
        return first

    def is_numbered(self, payload_type: int) -> bool:
        """Whether packets of this payload type bear transport-wide numbers.

        Only where what is sent again has a number of its own (RTX): else it had to be the same to the bit.
        """
        return (
            TRANSPORT_CC in self.extensions and payload_type in self.rtx_payload_types
            and self.outlet.downlink is not None
        )

    @property
    def leg(self) -> Leg | None:
        """What it receives now; None while nothing has started."""
        return None if self.source is None else self.source.fanout.leg(self)

    @property
    def takes_descriptors(self) -> bool:
        """Whether what it receives bears dependency descriptors where their publisher sends them, as far as it has RTX.

        That is because each packet sent again says anew what is sent, as with transport-wide numbers.
        """
        return DEPENDENCY_DESCRIPTOR in self.extensions and bool(self.rtx_payload_types)

    @property
    def awaited(self) -> Source | None:
        """Whose key frame it waits for while it receives something less: another encoding, or a larger picture."""
        if self.upcoming is not None:
            return self.upcoming
        leg = self.leg
        if self.source is None or leg is None or leg.level.spatial >= leg.target.spatial:
            return None
        larger = any(leg.level.spatial < spatial <= leg.target.spatial for spatial, *_ in self.source.rates.layers)
        return self.source if larger else None

    def cut_to(self, source: Source) -> None:
        """Another encoding of the same track instead of what comes now, of which nothing more is sent at all."""
        self.listen_to(source)
        self.cut = True
        self.outlet.discard(self.outlet, (self.ssrc, self.rtx_ssrc))

    def start_on(self, fanout: Fanout) -> None:
        """What it has waited for starts (the fan-out calls this): what it has received until now ends."""
        if self.upcoming is not None and self.upcoming.fanout is fanout:
            before, self.source, self.upcoming = self.source, self.upcoming, None
            if before is not None:
                before.fanout.detach(self)

    @property
    def depth(self) -> int:
        """Redundant frames in each packet that this listener gets now."""
        return 0 if self.red_payload_type is None else self.protection.depth

    def sent(self) -> tuple[int, int]:
        """Packets and payload octets sent on this slot so far."""
        leg = self.leg
        if self.source is None or leg is None:
            return self.packets, self.octets
        return self.source.fanout.sent(leg)

    def timestamp_at(self, now: float) -> int | None:
        """The RTP timestamp of this moment on what it receives; None while that is nothing, or not known."""
        leg = self.leg
        timestamp = None if self.source is None or leg is None else self.source.clock.timestamp_at(now)
        return None if leg is None or timestamp is None else leg.outgoing_timestamp(timestamp)

    @property
    def never_sent(self) -> int:
        """Numbers used up without a packet, since the publisher's never arrived; counted from some point."""
        leg = self.leg
        if self.source is None or leg is None:
            return self.last_sequence - self.packets
        fanout = self.source.fanout
        return leg.last_outgoing(fanout.highest) - fanout.sent(leg)[0]

    def payload_type(self, codec: str) -> int | None:
        """Payload type for a codec key, None when this listener cannot decode it."""
        return find_payload_type(codec, self.payload_types)


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
