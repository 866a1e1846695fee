"""The acts of governance: what a host or an administrator does, with its effect on people, media and records.

Every act raises RefusedError when it cannot be done, and then nothing has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import assert_never

import structlog

from signaling import protocol
from signaling.governance.facts import Act, Fact, Person
from signaling.governance.policy import role_of, with_role
from signaling.members import Member, RefusedError
from signaling.protocol import Ban, Kind, Role
from signaling.rooms import SignallingRoom
from signaling.store.interface import StoreError

log = structlog.get_logger()


def carry_out(member: Member, command: protocol.GovernanceCommand) -> protocol.Reply | Awaitable[protocol.Reply]:
    """Do what a participant asks for, or begin to: what takes time is awaited by the caller. Raises RefusedError."""
    room, by = member.room, member.person
    reply = protocol.Reply(re=command.id)
    if isinstance(command, protocol.Report):
        return _report(room, by, find(room, command.participant), command)
    if not member.grants.room_admin:
        raise RefusedError("not-permitted", "Only a host of this room can do that.")
    match command:
        case protocol.SetRoom():
            set_room(
                room, by, locked=command.locked, lobby=command.lobby, default_role=command.default_role,
                max_participants=command.max_participants, max_publications=command.max_publications,
            )
        case protocol.SetRole():
            set_role(room, by, find(room, command.participant), command.role)
        case protocol.Silence():
            whom = None if command.participant is None else find(room, command.participant)
            silence(room, by, whom, command.kind, command.silenced)
        case protocol.AskUnmute():
            ask_unmute(room, by, find(room, command.participant), command.kind)
        case protocol.Admit():
            admit(room, by, command.waiter, command.admitted)
        case protocol.Remove():
            remove(room, by, find(room, command.participant))
        case protocol.BanPerson():
            whom = find(room, command.participant)
            ban(room, by, whom.identity, whom.name, seconds=command.seconds, reason=command.reason)
        case protocol.Unban():
            unban(room, by, command.identity)
        case protocol.ListBans():
            return protocol.Reply(re=command.id, bans=room.directory.bans(room.name))
        case protocol.EndRoom():
            end(room, by)
            return reply
        case _:
            assert_never(command)
    return _once_stored(room, reply)


async def _once_stored(room: SignallingRoom, reply: protocol.Reply) -> protocol.Reply:
    """Answer when a server that is killed now would come back with what was decided."""
    try:
        await room.directory.charters.written()
    except StoreError as error:
        raise RefusedError("unavailable", "It is done, but could not be stored: a restart undoes it.") from error
    return reply


async def _report(room: SignallingRoom, by: Person, whom: Member, command: protocol.Report) -> protocol.Reply:
    await report(room, by, whom, command.reason)
    return protocol.Reply(re=command.id)


def find(room: SignallingRoom, participant: str) -> Member:
    """A participant by id. Raises RefusedError."""
    member = room.members.get(participant)
    if member is None:
        raise RefusedError("not-found", "There is no such participant in the room.")
    return member


def set_room(room: SignallingRoom, by: Person, **settings: object) -> None:
    """Change settings of the room that are not None; see RoomSettings."""
    if not room.policy.change(**settings):
        return
    given = {name: value for name, value in settings.items() if isinstance(value, str | int | float | bool)}
    _note(room, "room_changed", by, None, **given)
    room.tell(protocol.RoomChanged(settings=room.policy.settings))
    if not room.policy.settings.lobby:
        room.lobby.decide(None, True)


def set_role(room: SignallingRoom, by: Person, whom: Member, role: Role) -> None:
    """Make somebody a host, a speaker or a listener."""
    if whom.hidden or whom.kind == "whip":
        raise RefusedError("bad-state", "Broadcasts and hidden viewers have no role.")
    if role != "host" and whom.grants.room_admin and room.hosts == [whom]:
        raise RefusedError("bad-state", "The room needs a host: make somebody else one first.")
    if role_of(whom.grants) == role:
        return
    room.policy.set_role(whom.identity, role)
    _note(room, "role_set", by, whom.person, role=role)
    for member in _devices(room, whom):
        member.regrant(with_role(member.grants, role))


def permit(
    room: SignallingRoom, by: Person, whom: Member, *,
    can_publish: bool | None = None, can_subscribe: bool | None = None, can_publish_data: bool | None = None,
) -> None:
    """Change single permissions of somebody, for this stay; what is None stays."""
    now = whom.grants
    grants = replace(
        now,
        can_publish=now.can_publish if can_publish is None else can_publish,
        can_subscribe=now.can_subscribe if can_subscribe is None else can_subscribe,
        can_publish_data=now.can_publish_data if can_publish_data is None else can_publish_data,
    )
    if grants.room_admin and not grants.can_publish:
        raise RefusedError("bad-state", "A host can always publish: make this person a listener instead.")
    if grants == now:
        return
    _note(
        room, "permissions_set", by, whom.person,
        can_publish=grants.can_publish, can_subscribe=grants.can_subscribe, can_publish_data=grants.can_publish_data,
    )
    whom.regrant(grants)


def silence(room: SignallingRoom, by: Person, whom: Member | None, kind: Kind, silenced: bool) -> None:
    """Mute the sound or the pictures of somebody so that only a host can end it; None: of all who are no hosts.

    Both sources of a kind are meant: the server cannot tell a microphone from the sound of a screen.
    """
    chosen = [whom] if whom else [member for member in room.members.values() if not member.grants.room_admin]
    for identity in dict.fromkeys(member.identity for member in chosen):
        members = _all_of(room, identity)
        if all((kind in member.silenced) == silenced for member in members):
            continue
        room.policy.silence(identity, kind, silenced)
        _note(room, "silenced" if silenced else "silence_lifted", by, members[0].person, kind=kind)
        for member in members:
            member.set_silenced(room.policy.silenced(identity))
    room.directory.keep(room)


def ask_unmute(room: SignallingRoom, by: Person, whom: Member, kind: Kind) -> None:
    """Ask somebody to unmute, who may do so from now on."""
    silence(room, by, whom, kind, False)
    _note(room, "unmute_asked", by, whom.person, kind=kind)
    whom.emit(protocol.UnmuteAsked(by=by.name, kind=kind))


def admit(room: SignallingRoom, by: Person, waiter: str | None, admitted: bool) -> None:
    """Let somebody in from the lobby or send them away; None: all."""
    decided = room.lobby.decide(waiter, admitted)
    if waiter is not None and not decided:
        raise RefusedError("not-found", "Nobody waits under this id.")
    for place in decided:
        _note(room, "admitted" if admitted else "denied", by, Person(place.identity, place.name))


def remove(room: SignallingRoom, by: Person, whom: Member) -> None:
    """Put somebody out until the room ends or it is lifted."""
    if whom.id == by.participant:
        _refuse_self(by, whom.identity)
    if by.identity != whom.identity:  # a namesake of the host goes, and may come back
        _keep_out(room, Ban(identity=whom.identity, name=whom.name, removal=True, by=by.identity))
    _note(room, "removed", by, whom.person)
    room.lobby.send_away(whom.identity)
    for member in _devices(room, whom):
        if member.id != by.participant:
            member.dismiss("removed")


def ban(
    room: SignallingRoom, by: Person, identity: str, name: str = "", *, seconds: float | None = None, reason: str = ""
) -> Ban:
    """Put somebody out, present or not, for so many seconds or for ever."""
    _refuse_self(by, identity)
    until = None if seconds is None else room.directory.clock() + seconds
    banned = Ban(identity=identity, name=name, until=until, reason=reason, by=by.identity)
    _keep_out(room, banned)
    _note(room, "banned", by, Person(identity, name), until=until)
    _put_out(room, identity, "banned")
    return banned


def unban(room: SignallingRoom, by: Person, identity: str) -> None:
    """Let somebody come back."""
    banned = room.policy.ban_of(identity, now=room.directory.clock())
    if not room.policy.unban(identity):
        raise RefusedError("not-found", "This person is not banned here.")
    room.directory.keep(room)
    _note(room, "unbanned", by, Person(identity, banned.name if banned else ""))


def end(room: SignallingRoom, by: Person) -> None:
    """End the room for everybody, a moment later: whoever did it is answered first."""
    _note(room, "room_ended", by)
    asyncio.get_running_loop().call_soon(room.directory.end, room)


def keep(room: SignallingRoom, by: Person) -> None:
    """Let a room stay when nobody is there."""
    if not room.policy.charter.kept:
        room.policy.charter.kept = True
        _note(room, "room_created", by)


def delete(room: SignallingRoom, by: Person) -> None:
    """End the room for everybody, and keep it no longer; bans with a date stay."""
    room.policy.charter.kept = False
    _note(room, "room_deleted", by)
    room.directory.end(room)


def note_message(room: SignallingRoom, by: Person, number: int) -> None:
    """An administrator has sent a message."""
    _note(room, "message_sent", by, None, number=number)


async def report(room: SignallingRoom, by: Person, whom: Member, reason: str) -> str:
    """Report somebody to the people responsible; the reason and the evidence are kept. The id of the report."""
    present = [member.person for member in room.members.values()]
    about = whom.person
    try:
        report_id = await room.directory.reports.add(
            room=room.name, room_id=room.id, at=room.directory.clock(), by=by, whom=about, reason=reason,
            present=present,
        )
    except StoreError as error:
        log.error("a report could not be stored", why=str(error))
        raise RefusedError("unavailable", "The report could not be stored; try again later.") from error
    _note(room, "reported", by, about, report=report_id)
    return report_id


def _keep_out(room: SignallingRoom, ban: Ban) -> None:
    try:
        room.policy.ban(ban, now=room.directory.clock())
    except ValueError as error:
        raise RefusedError("too-large", str(error)) from error
    room.directory.keep(room)


def _put_out(room: SignallingRoom, identity: str, reason: protocol.CloseReason) -> None:
    room.lobby.send_away(identity)
    for member in _all_of(room, identity):
        member.dismiss(reason)


def _all_of(room: SignallingRoom, identity: str) -> list[Member]:
    """One person may be here on several devices."""
    return [member for member in room.members.values() if member.identity == identity]


def _devices(room: SignallingRoom, whom: Member) -> list[Member]:
    """All members who are the same person; where names prove nothing, only this one."""
    return _all_of(room, whom.identity) if room.policy.vouched else [whom]


def _refuse_self(by: Person, identity: str) -> None:
    if by.participant and by.identity == identity:
        raise RefusedError("bad-state", "You cannot put yourself out: leave, or end the room.")


def _note(
    room: SignallingRoom, act: Act, by: Person, whom: Person | None = None, /, **detail: str | float | bool | None
) -> None:
    room.directory.keep(room)
    room.directory.journal.note(
        Fact(act, room.directory.clock(), room.name, room.id, by, whom, detail=detail)
    )
