"""Rooms and the people in them, for administrators."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from signaling.api.operation import Call, Operation
from signaling.governance import acts
from signaling.governance.policy import role_of
from signaling.keys import CHAT, DIRECTORY
from signaling.members import Member, RefusedError
from signaling.names import MAX_ROOM_LENGTH, InvalidNameError, room_name
from signaling.protocol import Ban, Kind, Permissions, Publication, Role, RoomSettings, Text, Waiter
from signaling.protocol.governance import BanSeconds, Limit, Reason
from signaling.rooms import SignallingRoom
from signaling.store.interface import MemberKind

RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=4 * MAX_ROOM_LENGTH)]
Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Struct(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Base of what comes in."""


class RoomChange(Struct, omit_defaults=True):
    """Settings of a room; what is left out stays."""

    locked: bool | None = None
    """Nobody comes in but hosts and who was inside already."""
    lobby: bool | None = None
    """Who comes waits until a host lets them in."""
    default_role: Literal["speaker", "listener"] | None = None
    """Of those who come."""
    max_participants: Limit | None = None
    """0: as many as the server allows."""
    max_publications: Limit | None = None
    """Of one participant; 0: no limit."""


class NewRoom(RoomChange, omit_defaults=True, kw_only=True):
    """A room that stays until it is deleted."""

    name: RoomName


class ParticipantChange(Struct, omit_defaults=True):
    """What somebody may do; what is left out stays."""

    role: Role | None = None
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None


class SilenceBody(Struct):
    """What to mute so that only a host can end it."""

    kind: Kind = "audio"
    silenced: bool = True


class KindBody(Struct):
    """Sound or pictures."""

    kind: Kind = "audio"


class NewBan(Struct, omit_defaults=True):
    """Somebody who may not come in, present or not."""

    identity: Identity
    seconds: BanSeconds | None = None
    """None: for ever."""
    reason: Reason = ""


class NewMessage(Struct, omit_defaults=True):
    """A message of the administrator to everybody in the room."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=16_000)]


class Room(msgspec.Struct, rename="camel"):
    """A room."""

    name: str
    sid: str
    """Of this meeting: the next one in a room of the same name has another. "" while nobody is there."""
    started_at: float
    """Unix time in seconds; 0 while nobody is there."""
    participants: int
    waiting: int
    """In the lobby."""
    kept: bool
    """Made through the API: stays when nobody is there."""
    settings: RoomSettings


class Rooms(msgspec.Struct):
    """All rooms."""

    rooms: list[Room]


class RoomParticipant(msgspec.Struct, rename="camel"):
    """Somebody in a room, as administrators see them."""

    id: str
    identity: str
    name: str
    kind: MemberKind
    role: Role
    hidden: bool
    connected: bool
    joined_at: float
    """Unix time in seconds."""
    permissions: Permissions
    silenced: tuple[Kind, ...]
    publications: tuple[Publication, ...]


class RoomParticipants(msgspec.Struct):
    """Everybody in a room."""

    participants: list[RoomParticipant]


class Lobby(msgspec.Struct):
    """Everybody in the lobby, those first who came first."""

    waiters: tuple[Waiter, ...]


class Bans(msgspec.Struct):
    """Who may not come into a room."""

    bans: tuple[Ban, ...]


class Sent(msgspec.Struct):
    """A message that was stored."""

    number: int
    at: float
    """Unix time in seconds."""


def _view(room: SignallingRoom) -> Room:
    charter = room.policy.charter
    return Room(
        name=room.name, sid=charter.meeting, started_at=charter.started_at,
        participants=len(room.members), waiting=len(room.lobby), kept=charter.kept,
        settings=room.policy.settings,
    )


def _member(member: Member) -> RoomParticipant:
    return RoomParticipant(
        id=member.id, identity=member.identity, name=member.name, kind=member.kind, role=role_of(member.grants),
        hidden=member.hidden, connected=member.connected, joined_at=member.since, permissions=member.permissions,
        silenced=member.silenced, publications=tuple(member.publications.values()),
    )


def _room(call: Call) -> SignallingRoom:
    """The room of the path. Raises RefusedError."""
    directory = call.app[DIRECTORY]
    room = directory.rooms.get(call.room)
    if room is None:
        if not directory.charters.get(call.room).kept:
            raise RefusedError("not-found", "There is no such room.")
        room = directory.create(call.room)
    return room


def _whom(call: Call) -> tuple[SignallingRoom, Member]:
    room = _room(call)
    return room, acts.find(room, call.path["participant"])


def list_rooms(call: Call) -> Rooms:
    """Those that are open, and those that are kept."""
    directory = call.app[DIRECTORY]
    rooms = [_view(room) for room in directory.rooms.values()]
    rooms += [
        Room(
            name=name, sid="", started_at=0.0, participants=0, waiting=0, kept=True,
            settings=directory.charters.get(name).settings,
        )
        for name in directory.charters.kept() if name not in directory.rooms
    ]
    return Rooms(sorted(rooms, key=lambda room: room.name))


def create_room(call: Call) -> Room:
    """Make a room, or keep one that is open; its settings are changed as given."""
    body: NewRoom = call.body
    try:
        name = room_name(body.name)
    except InvalidNameError as error:
        raise RefusedError("bad-message", str(error)) from error
    room = call.app[DIRECTORY].create(name)
    acts.keep(room, call.by)
    _change(room, call, body)
    return _view(room)


def change_room(call: Call) -> Room:
    """Change settings."""
    room = _room(call)
    _change(room, call, call.body)
    return _view(room)


def _change(room: SignallingRoom, call: Call, change: RoomChange) -> None:
    acts.set_room(
        room, call.by, locked=change.locked, lobby=change.lobby, default_role=change.default_role,
        max_participants=change.max_participants, max_publications=change.max_publications,
    )


def end_room(call: Call) -> None:
    """End it for everybody, and keep it no longer."""
    acts.delete(_room(call), call.by)


def change_participant(call: Call) -> RoomParticipant:
    """Change the role, or single permissions."""
    room, whom = _whom(call)
    body: ParticipantChange = call.body
    if body.role is not None:
        acts.set_role(room, call.by, whom, body.role)
    acts.permit(
        room, call.by, whom, can_publish=body.can_publish, can_subscribe=body.can_subscribe,
        can_publish_data=body.can_publish_data,
    )
    return _member(whom)


def remove(call: Call) -> None:
    """Put somebody out until the room ends."""
    room, whom = _whom(call)
    acts.remove(room, call.by, whom)


def silence(call: Call) -> RoomParticipant:
    """Mute somebody."""
    room, whom = _whom(call)
    acts.silence(room, call.by, whom, call.body.kind, call.body.silenced)
    return _member(whom)


def silence_all(call: Call) -> None:
    """Mute all who are no hosts."""
    acts.silence(_room(call), call.by, None, call.body.kind, call.body.silenced)


def ask_unmute(call: Call) -> None:
    """Ask somebody to unmute."""
    room, whom = _whom(call)
    acts.ask_unmute(room, call.by, whom, call.body.kind)


def ban(call: Call) -> Ban:
    """Ban by identity."""
    room = call.app[DIRECTORY].create(call.room)
    body: NewBan = call.body
    names = [member.name for member in room.members.values() if member.identity == body.identity]
    return acts.ban(
        room, call.by, body.identity, names[0] if names else "", seconds=body.seconds, reason=body.reason
    )


def unban(call: Call) -> None:
    """Lift a ban or a removal."""
    acts.unban(call.app[DIRECTORY].create(call.room), call.by, call.path["identity"])


async def send_message(call: Call) -> Sent:
    """Store a message and tell everybody in the room."""
    room = _room(call)
    message = await call.app[CHAT].announce(room.name, call.by.identity, Text(text=call.body.text))
    acts.note_message(room, call.by, message.number)
    return Sent(number=message.number, at=message.at)


_ROOM, _PERSON = "/rooms/{room}", "/rooms/{room}/participants/{participant}"

OPERATIONS = (
    Operation("listRooms", "GET", "/rooms", "All rooms", list_rooms, answer=Rooms, scope="server"),
    Operation(
        "createRoom", "POST", "/rooms", "Make a room that stays until it is deleted", create_room,
        body=NewRoom, answer=Room, status=201, scope="server",
    ),
    Operation("getRoom", "GET", _ROOM, "One room", lambda call: _view(_room(call)), answer=Room),
    Operation(
        "changeRoom", "PATCH", _ROOM, "Change settings: lock, lobby, limits", change_room, body=RoomChange, answer=Room
    ),
    Operation("endRoom", "DELETE", _ROOM, "End a room for everybody", end_room),
    Operation(
        "listParticipants", "GET", f"{_ROOM}/participants", "Everybody in a room",
        lambda call: RoomParticipants([_member(member) for member in _room(call).members.values()]),
        answer=RoomParticipants,
    ),
    Operation(
        "getParticipant", "GET", _PERSON, "One participant", lambda call: _member(_whom(call)[1]),
        answer=RoomParticipant,
    ),
    Operation(
        "changeParticipant", "PATCH", _PERSON, "Change what somebody may do; effective at once", change_participant,
        body=ParticipantChange, answer=RoomParticipant,
    ),
    Operation("removeParticipant", "DELETE", _PERSON, "Put somebody out until the room ends", remove),
    Operation(
        "silenceParticipant", "POST", f"{_PERSON}/silence", "Mute somebody, who cannot unmute", silence,
        body=SilenceBody, answer=RoomParticipant,
    ),
    Operation(
        "askUnmute", "POST", f"{_PERSON}/ask-unmute", "Ask somebody to unmute, and allow it", ask_unmute, body=KindBody
    ),
    Operation(
        "silenceAll", "POST", f"{_ROOM}/silence", "Mute all who are no hosts, who cannot unmute", silence_all,
        body=SilenceBody,
    ),
    Operation(
        "listLobby", "GET", f"{_ROOM}/lobby", "Who waits to be let in", lambda call: Lobby(_room(call).lobby.view()),
        answer=Lobby,
    ),
    Operation(
        "admit", "POST", f"{_ROOM}/lobby/{{waiter}}/admit", "Let somebody in",
        lambda call: acts.admit(_room(call), call.by, call.path["waiter"], True),
    ),
    Operation(
        "deny", "POST", f"{_ROOM}/lobby/{{waiter}}/deny", "Send somebody away",
        lambda call: acts.admit(_room(call), call.by, call.path["waiter"], False),
    ),
    Operation(
        "listBans", "GET", f"{_ROOM}/bans", "Who may not come in",
        lambda call: Bans(call.app[DIRECTORY].bans(call.room)), answer=Bans,
    ),
    Operation(
        "ban", "POST", f"{_ROOM}/bans", "Ban somebody, present or not", ban, body=NewBan, answer=Ban, status=201
    ),
    Operation("unban", "DELETE", f"{_ROOM}/bans/{{identity}}", "Lift a ban or a removal", unban),
    Operation(
        "sendMessage", "POST", f"{_ROOM}/messages", "Send a message to everybody in a room", send_message,
        body=NewMessage, answer=Sent, status=201,
    ),
)
