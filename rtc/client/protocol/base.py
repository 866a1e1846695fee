"""What all messages have in common, and the values inside them."""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Longest message accepted from the server, bytes: the list of a very large room."""


class Message(msgspec.Struct, rename="camel", tag_field="type", omit_defaults=True):
    """Base of all messages."""


class Command(Message):
    """A message that the server answers; `id` numbers it."""

    id: int


class Event(Message, kw_only=True):
    """Base of what the server sends; `seq` 0 is of the moment and not repeated."""

    seq: int = 0


class Publication(msgspec.Struct, rename="camel", frozen=True):
    """A track that a participant offers to the room."""

    id: str
    kind: Literal["audio", "video"]
    source: str
    muted: bool = False


class Participant(msgspec.Struct, rename="camel", frozen=True):
    """Somebody in the room."""

    id: str
    name: str
    kind: str = "web"
    connected: bool = True
    publications: tuple[Publication, ...] = ()
    role: str = "speaker"
    silenced: tuple[str, ...] = ()


class Permissions(msgspec.Struct, rename="camel", frozen=True):
    """What this session may do."""

    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    room_admin: bool = False


class RoomSettings(msgspec.Struct, rename="camel", frozen=True):
    """How a room is governed."""

    locked: bool = False
    lobby: bool = False
    default_role: str = "speaker"
    max_participants: int = 0
    max_publications: int = 8


class SlotAssignment(msgspec.Struct, rename="camel", frozen=True):
    """What the m-line `mid` carries now."""

    mid: str
    publication: str | None = None
    participant: str | None = None


class Speaker(msgspec.Struct, rename="camel", frozen=True):
    """Somebody heard in the last moment; `level` in dBov."""

    participant: str
    level: int
