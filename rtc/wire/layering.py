"""Where a packet of video stands among the layers of its stream, and which of its numbers a forwarder rewrites."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rtc.wire.dependency_descriptor import DependencyDescriptor
from rtc.wire.errors import WireError
from rtc.wire.payload import Vp8Descriptor, Vp9Descriptor


class Level(NamedTuple):
    """The highest spatial and temporal layer that somebody receives."""

    spatial: int
    temporal: int


EVERYTHING = Level(255, 255)

INSEPARABLE = frozenset({"AV1"})
"""Codecs of which a receiver tells the frames of one picture apart by the dependency descriptor alone. No browser asks
for that on what it only receives: with more than the lowest spatial layer its picture would stand still."""


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
    picture_id: int = 0
    picture_id_bits: int = 0
    """7 or 15; 0 where nothing is to be rewritten."""
    picture_id_offset: int = 0
    """Bytes into the payload."""
    tl0picidx: int = 0
    tl0picidx_offset: int = 0
    """Bytes into the payload; 0 where there is none."""
    height: int = 0
    """Pixels, where this packet says so."""

    def within(self, level: Level) -> bool:
        """Whether somebody at `level` receives this packet."""
        return self.temporal <= level.temporal and self.spatial <= level.spatial

    def step(self, level: Level, target: Level) -> Level:
        """Where somebody at `level` who is to be at `target` can be from this packet on: down at any picture."""
        if not self.begins or self.spatial:
            return level
        if self.key:
            return target
        spatial, temporal = min(level.spatial, target.spatial), min(level.temporal, target.temporal)
        if temporal < target.temporal:
            if self.opens and self.temporal <= temporal:
                temporal = target.temporal
            elif self.sync and self.temporal == temporal + 1:
                temporal += 1
        return Level(spatial, temporal)


def read_layering(codec: str, payload: bytes | memoryview) -> Layering | None:
    """What the descriptor of a VP8 or VP9 payload says; None for other codecs. Raises WireError.

    VP9 picture ids are not for rewriting: references are counted by them, and decoders expect gaps (RFC 9628 4.2).
    """
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
            picture_id=vp8.picture_id or 0,
            picture_id_bits=vp8.picture_id_bits,
            picture_id_offset=vp8.picture_id_offset,
            tl0picidx=vp8.tl0picidx or 0,
            tl0picidx_offset=vp8.tl0picidx_offset,
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
    structure = descriptor.structure
    return Layering(
        spatial=descriptor.spatial,
        temporal=descriptor.temporal,
        begins=descriptor.start_of_frame,
        ends=descriptor.end_of_frame,
        key=structure is not None,
        opens=descriptor.opens,
        height=0 if structure is None else max(structure.heights, default=0),
    )


def decodable(codec: str, level: Level) -> Level:
    """How much of `level` any receiver of this codec can decode."""
    return level._replace(spatial=0) if codec in INSEPARABLE else level


def _vp8_height(payload: bytes | memoryview, start: int) -> int:
    """From the header of a key frame (RFC 6386 9.1); 0 when it is not there."""
    if bytes(payload[start + 3 : start + 6]) != b"\x9d\x01\x2a" or len(payload) < start + 10:
        return 0
    return int.from_bytes(payload[start + 8 : start + 10], "little") & 0x3FFF


def rewrite(payload: bytes, layering: Layering, *, pictures: int, tl0: int) -> bytes:
    """The payload with its picture id and TL0PICIDX moved by so many, each modulo its size."""
    if not layering.picture_id_bits:
        return payload
    changed = bytearray(payload)
    at = layering.picture_id_offset
    if layering.picture_id_bits == 15:
        changed[at : at + 2] = (0x8000 | (layering.picture_id + pictures) & 0x7FFF).to_bytes(2, "big")
    else:
        changed[at] = (layering.picture_id + pictures) & 0x7F
    if layering.tl0picidx_offset:
        changed[layering.tl0picidx_offset] = (layering.tl0picidx + tl0) & 0xFF
    return bytes(changed)
