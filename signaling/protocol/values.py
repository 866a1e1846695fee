"""Values inside messages."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["audio", "video"]
Source = Literal["microphone", "camera", "screen", "screen-audio"]
ParticipantKind = Literal["web", "python", "whip"]
Role = Literal["host", "speaker", "listener"]
TransportState = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]


class Publication(msgspec.Struct, rename="camel", frozen=True):
    """A track that a participant offers to the room."""

    id: str
    kind: Kind
    source: Source
    muted: bool = False


class Participant(msgspec.Struct, rename="camel", frozen=True):
    """Somebody in the room, as the others see them."""

    id: str
    name: str
    kind: ParticipantKind = "web"
    connected: bool = True
    """False while the participant's connection is away and may yet come back."""
    publications: tuple[Publication, ...] = ()
    role: Role = "speaker"
    silenced: tuple[Kind, ...] = ()
    """What a host has muted: the participant cannot unmute it."""


class Permissions(msgspec.Struct, rename="camel", frozen=True):
    """What this session may do; named as in LiveKit's grants."""

    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    """Send messages and data."""
    room_admin: bool = False


class RoomSettings(msgspec.Struct, rename="camel", frozen=True):
    """How a room is governed."""

    locked: bool = False
    """Nobody comes in but hosts and who was inside already."""
    lobby: bool = False
    """Who comes waits until a host lets them in."""
    default_role: Literal["speaker", "listener"] = "speaker"
    """Of those who come."""
    max_participants: int = 0
    """0: as many as the server allows."""
    max_publications: int = 8
    """Of one participant; 0: no limit."""


class IceServer(msgspec.Struct, rename="camel", frozen=True):
    """An entry of RTCConfiguration.iceServers."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


class SlotAssignment(msgspec.Struct, rename="camel", frozen=True):
    """What the m-line `mid` of this session carries now; no publication: nothing."""

    mid: str
    publication: str | None = None
    participant: str | None = None


class SlotQuality(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """What the video slot on m-line `mid` shows of what it could at its size."""

    mid: str
    paused: bool = False
    """Nothing comes for now: the path of this session does not carry it."""
    limit: Literal["", "bandwidth", "source"] = ""
    """Why it is not better: this session's path, or the publisher does not send more. Empty: it is the best."""


class Speaker(msgspec.Struct, rename="camel", frozen=True):
    """Somebody heard in the last moment; `level` in dBov, 0 is loudest, -127 silence (RFC 6464)."""

    participant: str
    level: int
