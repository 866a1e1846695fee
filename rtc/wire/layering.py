"""Where a packet of video stands among the layers of its stream."""

from __future__ import annotations

import msgspec

from rtc.wire.dependency_descriptor import DependencyDescriptor
from rtc.wire.errors import WireError
from rtc.wire.level import Level
from rtc.wire.payload import Vp8Descriptor, Vp9Descriptor

INSEPARABLE = frozenset({"AV1"})
"""Codecs of which a receiver tells the frames of one picture apart by the dependency descriptor alone. To one that did
not ask for that only the lowest spatial layer can go: with more its picture would stand still."""

AV1_PADDING = b"\x10\x78\x80"
"""One whole OBU of padding, which decoders skip: aggregation header, OBU header, trailing bit."""

VP9_WHOLE_FRAME = 0x0C
"""B and E of the VP9 payload descriptor (RFC 9628 4.2): first and last packet of its layer's frame."""


class Layering(msgspec.Struct, gc=False):
    """What a payload descriptor says of layers. Ids are 0 where the stream has no such layers."""

    spatial: int = 0
    temporal: int = 0
    begins: bool = False
    """The first packet of its layer's frame."""
    ends: bool = False
    """The last packet of its layer's frame, where the codec says so; of VP8 the marker does."""
    key: bool = False
    """Its picture needs none before it."""
    sync: bool = False
    """Who has the temporal layers below can take its own from here on."""
    opens: bool = False
    """Who has its temporal layer can take all above from here on."""
    descriptor: int = 0
    """Bytes of the payload descriptor, where a receiver can do with its first (`bare`)."""
    height: int = 0
    """Pixels, where this packet says so."""
    switches: tuple[Level, ...] = ()
    """Who has this frame can take these levels from here on, where a dependency descriptor says so."""
    peak: Level | None = None
    """The highest level of its stream, where a dependency descriptor says so; then nothing else tells where to rise."""

    def within(self, level: Level) -> bool:
        """Whether somebody at `level` receives this packet."""
        return self.temporal <= level.temporal and self.spatial <= level.spatial

    def step(self, level: Level, target: Level) -> Level:
        """Where somebody at `level` who is to be at `target` can be from this packet on: down at any picture."""
        if not self.begins:
            return level
        if not self.spatial:
            if self.key:
                return target
            level = Level(min(level.spatial, target.spatial), min(level.temporal, target.temporal))
        if self.peak is not None:
            return self._rise(level, target, self.peak)
        if not self.spatial and level.temporal < target.temporal:
            if self.opens and self.temporal <= level.temporal:
                return Level(level.spatial, target.temporal)
            if self.sync and self.temporal == level.temporal + 1:
                return Level(level.spatial, level.temporal + 1)
        return level

    def _rise(self, level: Level, target: Level, peak: Level) -> Level:
        """The best level up to `target` that who has this frame of a described stream can take."""
        if not self.within(level):
            return level
        least = Level(min(level.spatial, peak.spatial), min(level.temporal, peak.temporal))
        most = Level(min(target.spatial, peak.spatial), min(target.temporal, peak.temporal))
        best = max((
            one for one in self.switches
            if least.spatial <= one.spatial <= most.spatial and least.temporal <= one.temporal <= most.temporal
        ), default=least)
        if best == least:
            return level
        return Level(
            target.spatial if best.spatial == most.spatial else best.spatial,
            target.temporal if best.temporal == most.temporal else best.temporal,
        )


def read_layering(codec: str, payload: bytes | memoryview) -> Layering | None:
    """What the descriptor of a VP8 or VP9 payload says; None for other codecs. Raises WireError."""
    if codec == "VP8":
        vp8 = Vp8Descriptor.parse(payload)
        start = vp8.payload_offset
        if start >= len(payload):
            raise WireError("VP8 payload ends after its descriptor")
        key = vp8.start_of_frame and not payload[start] & 1
        return Layering(
            temporal=vp8.temporal_id or 0,
            begins=vp8.start_of_frame,
            key=key,
            sync=vp8.layer_sync,
            descriptor=start,
            height=_vp8_height(payload, start) if key else 0,
        )
    if codec == "VP9":
        vp9 = Vp9Descriptor.parse(payload)
        return Layering(
            spatial=vp9.spatial_id or 0,
            temporal=vp9.temporal_id or 0,
            begins=vp9.start_of_frame,
            ends=vp9.end_of_frame,
            key=vp9.start_of_frame and not vp9.inter_predicted,
            opens=vp9.switching_up,
        )
    return None


def described(descriptor: DependencyDescriptor) -> Layering:
    """The same from a dependency descriptor, of any codec."""
    structure, template, begins = descriptor.structure, descriptor.template, descriptor.start_of_frame
    return Layering(
        spatial=template.spatial,
        temporal=template.temporal,
        begins=begins,
        ends=descriptor.end_of_frame,
        key=descriptor.begins,
        height=max((height for _, height in structure.resolutions), default=0) if descriptor.begins else 0,
        switches=descriptor.switches if begins else (),
        peak=structure.peak,
    )


def decodable(codec: str, level: Level, *, described: bool) -> Level:
    """How much of `level` a receiver of this codec can decode; `described` where it gets dependency descriptors."""
    return level._replace(spatial=0) if codec in INSEPARABLE and not described else level


def _vp8_height(payload: bytes | memoryview, start: int) -> int:
    """From the header of a key frame (RFC 6386 9.1); 0 when it is not there."""
    if bytes(payload[start + 3 : start + 6]) != b"\x9d\x01\x2a" or len(payload) < start + 10:
        return 0
    return int.from_bytes(payload[start + 8 : start + 10], "little") & 0x3FFF


def bare(payload: bytes, layering: Layering) -> bytes:
    """A payload of VP8 without picture id, layers and key frame index (RFC 7741 4.2); of other codecs as it is.

    Libwebrtc asks no more for what is missing of an upper layer once it has a later frame that can do without, and then
    leaves out all of the upper layers up to the next frame that begins them anew. Told nothing of layers it asks for
    every packet until the frame is due.
    """
    if layering.descriptor <= 1:
        return payload
    return bytes([payload[0] & 0x7F]) + payload[layering.descriptor :]


def empty_frame(codec: str, payload: bytes) -> bytes | None:
    """The payload of a frame of one packet with nothing in it, of the same picture and layer as this packet.

    It has its picture end without that layer; None for codecs without spatial layers. Raises WireError.
    """
    if codec == "AV1":
        return AV1_PADDING
    if codec == "VP9":
        start = Vp9Descriptor.parse(payload).payload_offset
        # Decoders skip bytes of zero between frames.
        return bytes([payload[0] | VP9_WHOLE_FRAME]) + payload[1:start] + b"\0"
    return None
