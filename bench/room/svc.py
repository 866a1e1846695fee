"""A camera in several spatial layers, described as Chromium does it, and what a browser makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from bench.room.media import BODY, VP8, Heard, Track
from bench.room.participant import FRAME_SECONDS, Participant
from rtc.wire import rtcp
from rtc.wire.dependency_descriptor import (
    DISCARDABLE,
    NOT_PRESENT,
    REQUIRED,
    SWITCH,
    DependencyDescriptor,
    Structure,
    Template,
    parse,
    write,
)
from rtc.wire.errors import WireError
from rtc.wire.extensions import DEPENDENCY_DESCRIPTOR
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper

DESCRIPTOR_ID = 8
PATTERNS = {1: (0,), 2: (0, 1), 3: (0, 2, 1, 2)}
BACK = {1: (1,), 2: (2, 1), 3: (4, 1, 2, 1)}
"""How many pictures back that is which one in this place of the pattern needs."""
LAYER_BYTES = (500, 2000, 5000)
"""Of a frame of this layer: some 120, 480 and 1,200 kbit/s at 30 pictures a second."""
PACKET = 1000
PATIENCE = 3.0  # seconds


class Svc:
    """Pictures in which each spatial layer needs the one below (L1T1 to L3T3 of Chromium)."""

    def __init__(self, spatial: int, temporal: int, *, first_id: int = 0, frame: int = 0) -> None:
        self.layers = spatial
        self.frame = frame
        self._pattern = pattern = PATTERNS[temporal]
        self._order = sorted(range(len(pattern)), key=lambda place: pattern[place])
        """Places of the pattern as their templates stand after that of the key frame."""
        self._place = 0
        targets = [(s, t) for s in range(spatial) for t in range(temporal)]

        def indication(target: tuple[int, int], s: int, t: int, key: bool) -> int:
            if target[0] < s or target[1] < t:
                return NOT_PRESENT
            if target[0] > s:
                return SWITCH if key else REQUIRED
            return DISCARDABLE if target[1] == t > 0 else SWITCH

        templates = []
        for s in range(spatial):
            below = (1,) if s else ()
            templates.append(Template(s, 0, tuple(indication(one, s, 0, True) for one in targets), below))
            templates += [
                Template(
                    s, pattern[place], tuple(indication(one, s, pattern[place], False) for one in targets),
                    (spatial * BACK[temporal][place], *below),
                )
                for place in self._order
            ]
        self.structure = Structure.of(
            first_id, tuple(templates), resolutions=tuple((320 << s, 180 << s) for s in range(spatial))
        )

    def picture(self, *, key: bool) -> list[DependencyDescriptor]:
        """Its frames, each as if it were one packet."""
        if key:
            self._place = 0
        per_layer = 1 + len(self._pattern)
        place = 0 if key else 1 + self._order.index(self._place % len(self._pattern))
        self._place += 1
        frames = []
        for s in range(self.layers):
            frames.append(DependencyDescriptor(
                True, True, self.frame & 0xFFFF, s * per_layer + place, self.structure, key and s == 0
            ))
            self.frame += 1
        return frames


def packets_of(frame: DependencyDescriptor, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Descriptor and AV1 payload of each packet of a frame."""
    count = -(-size // PACKET)
    for part in range(count):
        first = part == 0
        one = DependencyDescriptor(
            first, part == count - 1, frame.frame_number, frame.place, frame.structure, frame.begins and first
        )
        head = b"\x18\x0a" if frame.begins and first else b"\x10\x32"  # a sequence header begins a key frame
        yield write(one), head + bytes(min(PACKET, size - part * PACKET))


@dataclass(slots=True, frozen=True)
class Shown:
    """A picture as a browser could show it."""

    time: float
    track: int
    spatial: int
    """Its highest layer."""
    temporal: int
    began: bool
    """Whether it was a key frame."""
    active: int | None
    """Decode targets that were said to be sent."""


@dataclass(slots=True)
class Picture:
    """What came of all layers of one picture."""

    frames: dict[int, DependencyDescriptor] = field(default_factory=dict)
    """Whole ones by their numbers."""
    ends: int | None = None
    """Number of the frame whose last packet has the marker."""
    track: int = 0


class Screen:
    """What libwebrtc does: it reads packets by their descriptors, and shows pictures of which all layers are there.

    A picture that lacks a layer is not shown at all, nor what needs anything of it. What comes late is waited for.
    """

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.unreadable = 0
        """Packets whose descriptor refers to what it does not have: they are dropped."""
        self._structure: Structure | None = None
        self._numbers = Unwrapper()
        self._pictures: dict[int, Picture] = {}
        self._sequences: dict[int, DependencyDescriptor] = {}
        self._decoded: set[int] = set()

    @property
    def left(self) -> int:
        """Pictures that were not shown."""
        return len(self._pictures)

    def watch(self, packets: Iterable[Heard]) -> None:
        """Take what came, in that order."""
        for packet in packets:
            if packet.payload and packet.sequence not in self._sequences:
                self.take(packet)

    def take(self, packet: Heard) -> None:
        """Take one packet."""
        try:
            said = parse(packet.extensions.get(DESCRIPTOR_ID, b""), self._structure)
        except WireError:
            self.unreadable += 1
            return
        if said.begins:
            self._structure = said.structure
        number = self._numbers.unwrap(said.frame_number)
        self._sequences[packet.sequence] = said
        if number in self._decoded:
            return
        picture = self._pictures.setdefault(packet.timestamp, Picture())
        if packet.marker:
            picture.ends = number
        if len(packet.payload) > BODY.size:  # not what only stands for a packet
            picture.track = packet.track
        first = last = packet.sequence
        while not self._sequences[first].start_of_frame:
            first -= 1
            if first not in self._sequences:
                return
        while not self._sequences[last].end_of_frame:
            last += 1
            if last not in self._sequences:
                return
        picture.frames[number] = self._sequences[first]
        self._show(packet)

    def _show(self, packet: Heard) -> None:
        for timestamp, picture in sorted(self._pictures.items(), key=lambda one: max(one[1].frames, default=0)):
            if picture.ends not in picture.frames:
                continue
            needs = {number - back for number, one in picture.frames.items() for back in one.template.references}
            if not needs <= self._decoded | picture.frames.keys():
                continue
            del self._pictures[timestamp]
            self._decoded |= picture.frames.keys()
            frames = [one for _, one in sorted(picture.frames.items())]
            top = frames[-1].template
            self.shown.append(
                Shown(packet.time, picture.track, top.spatial, top.temporal, frames[0].begins, frames[0].active)
            )


class SvcParticipant(Participant):
    """Sends and receives AV1 with dependency descriptors; one that does not `describe` only receives it without."""

    describe = True

    @cached_property
    def screen(self) -> Screen:
        """What it shows of its first slot of video."""
        return Screen()

    def _take_rtp(self, packet: RtpPacket) -> None:
        super()._take_rtp(packet)
        heard = self.heard[next((mid for mid, kind in self.slot_kinds.items() if kind == "video"), "")]
        if self.describe and heard:
            self.screen.watch(heard[-1:])

    async def look(self) -> None:
        """Ask for a key frame when nothing was shown for long, as libwebrtc does."""
        seen, since = 0, self.now
        while True:
            await asyncio.sleep(0.5)
            if len(self.screen.shown) > seen:
                seen, since = len(self.screen.shown), self.now
            elif self.now - since >= PATIENCE:
                (ssrc,) = self._ssrcs
                self.send_rtcp([rtcp.ReceiverReport(self.ssrc), rtcp.PictureLossIndication(self.ssrc, ssrc)])

    def offer(self) -> str:
        """For AV1, described or not."""
        lines = super().offer().replace(f"a=rtpmap:{VP8} VP8/90000", f"a=rtpmap:{VP8} AV1/90000").split("\r\n")
        if self.describe:
            video = [place for place, line in enumerate(lines) if line.startswith("m=video")]
            for place in reversed(video):
                lines[place + 3 : place + 3] = [f"a=extmap:{DESCRIPTOR_ID} {DEPENDENCY_DESCRIPTOR}"]
        return "\r\n".join(lines)

    async def film_layers(self, seconds: float, svc: Svc) -> None:
        """Send 30 pictures a second; a key frame first, and whenever one is asked for."""
        (one,) = (track for track in self.tracks if track.kind == "video")
        for _ in range(round(seconds * 30)):
            self.send_picture(one, svc)
            await asyncio.sleep(FRAME_SECONDS)

    def send_picture(self, one: Track, svc: Svc) -> None:
        """The next one."""
        self._resent_bits *= 1 - FRAME_SECONDS
        key, one.wants_keyframe = one.wants_keyframe, False
        if key:
            one.keyframes.append(self.now)
        for frame in svc.picture(key=key):
            spatial = frame.template.spatial
            for descriptor, payload in packets_of(frame, LAYER_BYTES[spatial]):
                last = spatial == svc.layers - 1 and descriptor[0] & 0x40
                self.publish_packet(one, payload, marker=bool(last), extensions={DESCRIPTOR_ID: descriptor})
        one.timestamp += 3000
