"""What a publisher says of its frames beside the payload, read and put in order; and how that continues on a slot."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rtc.wire.dependency_descriptor import TEMPLATE_IDS, DependencyDescriptor, Structure, parse, write
from rtc.wire.errors import WireError
from rtc.wire.level import Level
from rtc.wire.sequence import distance16

MAX_JUMP = 4096
"""Frames by which a number may be away from the newest: more than what is still repaired, less than what a receiver
could take for a step back."""

FRAME_STEP = 0x4000
"""Frame numbers of a slot are those of its source or moved by a multiple of this, so that most listeners can be written
the same: a step forward of up to so many is no more to a receiver than frames that it did not get."""

TEMPLATE_STEPS = (0, 32, 16, 48)
"""Template ids are moved likewise."""


class Description:
    """Reads the dependency descriptors of one source: what they refer to, and frame numbers that never leap."""

    def __init__(self) -> None:
        self._structure: Structure | None = None
        self._former: Structure | None = None
        self._active: int | None = None
        """Bitmask of the decode targets that are sent, where it was ever said."""
        self._highest: int | None = None
        """Number of the newest frame as it was passed on."""
        self._moved = 0

    def read(self, value: bytes) -> DependencyDescriptor:
        """Read the descriptor of any packet. Raises WireError for what cannot be or refers to nothing known."""
        found = parse(value, self._structure, self._former)
        number = found.frame_number + self._moved & 0xFFFF
        ahead = 1 if self._highest is None else distance16(self._highest, number)
        if self._highest is not None and not -MAX_JUMP <= ahead <= MAX_JUMP:
            if not found.begins:
                raise WireError("frame number of a dependency descriptor leaps")
            # Another encoder: it goes on from here.
            number, ahead = self._highest + 1 & 0xFFFF, 1
            self._moved = number - found.frame_number
        if found.begins and ahead >= 0 and found.structure != self._structure:
            self._structure, self._former = found.structure, self._structure
        if ahead >= 0:
            self._highest = number
            if found.begins or found.active is not None:
                self._active = found.active
        if (number, self._active) == (found.frame_number, found.active):
            return found
        return msgspec.structs.replace(found, frame_number=number, active=self._active)


class Moved(NamedTuple):
    """How far numbers of a source are moved on a slot."""

    frames: int
    templates: int

    def apply(self, last: DependencyDescriptor) -> Described:
        """What a slot was told that got this last."""
        return Described(last.frame_number + self.frames & 0xFFFF, last.structure, self.templates)

    def write(self, descriptor: DependencyDescriptor, level: Level) -> bytes:
        """A descriptor for who gets so much of its source: each frame says anew what is sent."""
        active = None
        if descriptor.start_of_frame:
            active = descriptor.structure.active(level)
            if descriptor.active is not None:
                active &= descriptor.active
        return write(descriptor, frames=self.frames, templates=self.templates, active=active)


class Described(msgspec.Struct, frozen=True, gc=False):
    """What a slot was last told."""

    frame_number: int
    structure: Structure
    """As its source sent it."""
    templates: int
    """How far its ids were moved."""


def latest(one: DependencyDescriptor, other: DependencyDescriptor | None) -> DependencyDescriptor:
    """That of the later frame."""
    return one if other is None or distance16(other.frame_number, one.frame_number) >= 0 else other


def continue_with(first: DependencyDescriptor, last: Described | None) -> Moved:
    """How to move a source's numbers on a slot, so that frames come after the last and templates are not mistaken."""
    if last is None:
        return Moved(0, 0)
    ahead = (first.frame_number - last.frame_number - 1) % FRAME_STEP + 1
    frames = last.frame_number + ahead - first.frame_number & 0xFFFF
    if first.structure == last.structure:
        return Moved(frames, last.templates)
    begin, used = last.structure.first_id + last.templates, len(last.structure.templates)
    after = begin + used - first.structure.first_id
    for templates in (*TEMPLATE_STEPS, after):
        start = (first.structure.first_id + templates - begin) % TEMPLATE_IDS
        if used <= start <= TEMPLATE_IDS - len(first.structure.templates):
            return Moved(frames, templates)
    return Moved(frames, after % TEMPLATE_IDS)
