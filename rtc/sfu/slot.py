"""What a listener receives on: one m-line with one SSRC for life, whatever source fills it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rtc.bucket import TokenBucket
from rtc.repair.copies import CopiesController
from rtc.repair.holes import LEAP, Holes
from rtc.repair.path import ReportedPath
from rtc.repair.playout import PlayoutDelay
from rtc.repair.redundancy import MAX_DEPTH, NONE, ProtectionController
from rtc.wire.extensions import DEPENDENCY_DESCRIPTOR, TRANSPORT_CC
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.sdp import Codec

from .description import Described
from .outlet import Outlet
from .packet import codec_key, find_payload_type

if TYPE_CHECKING:
    from .fanout import Fanout
    from .leg import Leg
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
