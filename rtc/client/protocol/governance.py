"""Who may do what in a room; see the server's module of the same name."""

from __future__ import annotations

import msgspec

from rtc.client.protocol.base import Command, Event, Permissions, RoomSettings


class Waiter(msgspec.Struct, rename="camel", frozen=True):
    """Somebody in the lobby, as hosts see them."""

    id: str
    name: str


class Ban(msgspec.Struct, rename="camel", frozen=True):
    """Somebody who may not come in."""

    identity: str
    """Claim `sub` of the token; on a server without tokens the name, in small letters."""
    name: str
    until: float | None = None
    """Unix time in seconds; None: for ever."""
    removal: bool = False
    """Only until the room ends: what `remove` does."""
    reason: str = ""
    by: str = ""
    """Who did it: an identity."""


class SetRoom(Command, tag="set-room"):
    """Change what is given of the room's settings."""

    locked: bool | None = None
    lobby: bool | None = None
    default_role: str | None = None
    max_participants: int | None = None
    max_publications: int | None = None


class SetRole(Command, tag="set-role"):
    """Make somebody a host, a speaker or a listener; effective on media at once."""

    participant: str
    role: str


class Silence(Command, tag="silence"):
    """Mute somebody's sound or pictures so that only a host can end it; None: of everybody who is no host."""

    participant: str | None
    kind: str
    silenced: bool = True


class AskUnmute(Command, tag="ask-unmute"):
    """Ask somebody to unmute; what a host had silenced may be unmuted from now on."""

    participant: str
    kind: str


class Admit(Command, tag="admit"):
    """Let somebody in from the lobby, or send them away; None: all who wait."""

    waiter: str | None
    admitted: bool = True


class Remove(Command, tag="remove"):
    """Put somebody out, who cannot come back until the room ends or a host lifts it with `unban`."""

    participant: str


class BanPerson(Command, tag="ban"):
    """Put somebody out for so many seconds, or for ever. It outlives the room and the server."""

    participant: str
    seconds: float | None = None
    reason: str = ""


class Unban(Command, tag="unban"):
    """Let somebody come back, by identity."""

    identity: str


class ListBans(Command, tag="list-bans"):
    """Who may not come in. Reply: `bans`."""


class EndRoom(Command, tag="end-room"):
    """End the room for everybody."""


class Report(Command, tag="report"):
    """Report somebody to the people responsible for the server. Anybody may; nobody in the room is told."""

    participant: str
    reason: str = ""


class Waiting(Event, tag="waiting"):
    """You are in the lobby: `joined` follows when a host lets you in, or a last `error` when not. `seq` is 0.

    Whoever loses the connection joins again, and keeps no place.
    """


class LobbyChanged(Event, tag="lobby"):
    """To hosts: all who wait, those first who came first."""

    waiters: tuple[Waiter, ...]


class RoomChanged(Event, tag="room-changed"):
    """The room has other settings."""

    settings: RoomSettings


class PermissionsChanged(Event, tag="permissions"):
    """You may do more or less than before. What you may no longer publish has been withdrawn."""

    permissions: Permissions


class RoleChanged(Event, tag="role"):
    """Somebody, maybe you, has another role, or is silenced or no longer."""

    participant: str
    role: str
    silenced: tuple[str, ...] = ()


class UnmuteAsked(Event, tag="unmute-asked"):
    """A host asks you to unmute."""

    by: str
    """The name of the host."""
    kind: str


GovernanceEvent = Waiting | LobbyChanged | RoomChanged | PermissionsChanged | RoleChanged | UnmuteAsked
