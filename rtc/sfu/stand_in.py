"""How a picture ends early for a listener who gets its upper layers no more and has lost a part of them.

Libwebrtc shows no picture that lacks a layer which it began with, nor any after it that needs one of that. What is
missing need not be sent for that: something else in its place that is a whole frame of that layer does as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rtc.repair.history import History
from rtc.wire.errors import WireError
from rtc.wire.layering import empty_frame

from .leg import Leg
from .packet import SourcePacket

MAX_PICTURE = 256
"""Packets of a picture that are looked at: 2 Mbit."""


def stand_in(packet: SourcePacket, *, ends: bool) -> SourcePacket | None:
    """What can be sent in place of this packet as all of its layer's frame; `ends` if that is its picture's last.

    None where there is no such thing in its codec.
    """
    try:
        payload = empty_frame(packet.codec.partition("/")[0], packet.payload)
    except WireError:
        return None
    if payload is None:
        return None
    descriptor = packet.descriptor
    if descriptor is not None:
        descriptor = msgspec.structs.replace(descriptor, start_of_frame=True, end_of_frame=True)
    return msgspec.structs.replace(packet, payload=payload, descriptor=descriptor, marker=ends)


def ending(lost: Sequence[SourcePacket], leg: Leg, history: History[SourcePacket]) -> list[SourcePacket]:
    """What to send to a leg that has lost these packets of layers above its own, in order, so that it can do without.

    A layer is left out only with all above it: a decoder would take those for what they were made with. So where
    nothing of one above is lost as well, those below it are sent as they are.
    """
    first: dict[tuple[int, int], SourcePacket] = {}
    highest: dict[int, int] = {}
    for packet in lost:
        if packet.layering is not None:
            first.setdefault((packet.timestamp, packet.layering.spatial), packet)
            if packet.timestamp not in highest:  # once a picture, whatever a listener claims to have lost
                highest[packet.timestamp] = _highest(packet, leg, history)
    found = []
    for packet in lost:
        if packet.layering is None:
            continue
        spatial, last = packet.layering.spatial, highest[packet.timestamp]
        instead: SourcePacket | None = packet
        if all((packet.timestamp, above) in first for above in range(spatial + 1, last + 1)):
            is_first = first[packet.timestamp, spatial] is packet
            instead = stand_in(packet, ends=spatial >= last) if is_first else None
        if instead is not None:
            found.append(instead)
    return found


def _highest(packet: SourcePacket, leg: Leg, history: History[SourcePacket]) -> int:
    """The highest layer of its picture that was sent on a leg."""
    highest = 0 if packet.layering is None else packet.layering.spatial
    for sequence in range(packet.sequence + 1, packet.sequence + MAX_PICTURE):
        later = history.get(sequence)
        if later is None:
            continue  # nothing came
        if later.timestamp != packet.timestamp:
            break
        if later.layering is not None and leg.carries(sequence):
            highest = max(highest, later.layering.spatial)
    return highest
