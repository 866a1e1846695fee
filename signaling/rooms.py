"""Rooms and who is in them; between the media of `rtc.sfu` and the messages of `signaling.protocol`."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from rtc import sfu
from signaling import protocol
from signaling.governance.charters import Charters
from signaling.governance.facts import Fact, Happening, Journal
from signaling.governance.lobby import Lobby, Place
from signaling.governance.policy import Policy, with_role
from signaling.members import LeaveReason, Member, RefusedError, discard
from signaling.metrics import Metrics
from signaling.names import InvalidNameError, participant_name, room_name
from signaling.protocol import Event
from signaling.store.interface import MemberKind, SessionRecord
from signaling.store.reports import Reports
from signaling.tokens import Grants

EMPTY_ROOM_SECONDS = 10.0
"""How long an empty room is kept: somebody who reloads the page returns to the same one."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rooms and members there may be."""

    rooms: int
    members: int
    members_per_room: int


class SignallingRoom:
    """A room: its members, in the order they came, and its media."""

    def __init__(
        self, name: str, directory: Directory, media: sfu.Room, metrics: Metrics, policy: Policy
    ) -> None:
        self.name = name
        self.directory = directory
        self.media = media
        self.metrics = metrics
        self.members: dict[str, Member] = {}
        self.last_message = 0
        """Number of the last message that was told."""
        self.closing: asyncio.TimerHandle | None = None
        self.policy = policy
        self.id = policy.charter.meeting or secrets.token_urlsafe(6)
        """Of this meeting: the next one under the same name has another."""
        self.lobby = Lobby(self._tell_lobby)

    @property
    def hosts(self) -> list[Member]:
        """The hosts who are here, those first who came first."""
        return [member for member in self.members.values() if member.grants.room_admin]

    def note(
        self, what: Happening, member: Member | None = None, publication: protocol.Publication | None = None,
        **detail: str | float,
    ) -> None:
        """Something has happened here: into the records."""
        who = member.person if member else None
        self.directory.journal.note(
            Fact(what, self.directory.clock(), self.name, self.id, who, publication=publication, detail=detail)
        )

    def tell(self, event: Event) -> None:
        """Send `event` to everybody."""
        for member in list(self.members.values()):
            member.emit(event)

    def _tell_lobby(self) -> None:
        event = protocol.LobbyChanged(waiters=self.lobby.view())
        for host in self.hosts:
            host.emit(event)

    def tell_others(self, member: Member, event: Event) -> None:
        """Send `event`, which is about `member`, to everybody else; about a hidden one to nobody."""
        if member.hidden:
            return
        for other in list(self.members.values()):
            if other is not member:
                other.emit(event)

    def others(self, member: Member) -> tuple[protocol.Participant, ...]:
        """Everybody else who is not hidden."""
        return tuple(
            other.view() for other in self.members.values() if other is not member and not other.hidden
        )


class Directory:
    """All rooms of this server, by name."""

    def __init__(
        self, node: sfu.Node, limits: Limits, metrics: Metrics, *,
        charters: Charters, journal: Journal, reports: Reports, vouched: bool,
        ice_servers: tuple[protocol.IceServer, ...] = (),
        empty_seconds: float = EMPTY_ROOM_SECONDS, clock: Callable[[], float] = time.time,
    ) -> None:
        """`vouched`: tokens say who is who. `clock` gives Unix time."""
        self.rooms: dict[str, SignallingRoom] = {}
        self.member_count = 0
        self.ice_servers = ice_servers
        """What the clients are told to use."""
        self.draining = False
        """Set when the server is about to stop: nobody can join."""
        self.charters = charters
        self.journal = journal
        self.reports = reports
        self.vouched = vouched
        self.clock = clock
        self._closed = False
        self._node = node
        self._limits = limits
        self._metrics = metrics
        self._empty_seconds = empty_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    def join(
        self,
        name: str,
        *,
        grants: Grants,
        kind: MemberKind,
        emit: Callable[[Event], None] = discard,
        admitted: bool = False,
    ) -> Member:
        """Let somebody called `name` into the room of `grants`; the others are told. Raises RefusedError.

        `admitted` says that a host has let this person in from the lobby.
        """
        with self._counting_refusals():
            member = self._join(name, grants, kind, emit, admitted=admitted)
        self._metrics.joins.labels("ok").inc()
        return member

    def restore(self, record: SessionRecord) -> Member:
        """Take in again, with the connection away, who was here when the server before died. Raises RefusedError."""
        room = self._room(record.grants.room)
        identity = record.grants.identity or record.name.casefold()
        if room.policy.ban_of(identity, now=self.clock()) is not None:
            raise RefusedError("banned", "This person is banned.")
        if len(room.members) >= self._limits.members_per_room:
            raise RefusedError("room-full", "The room is full.")
        member = Member(
            room, record.name, kind=record.kind, grants=record.grants, emit=discard,
            participant_id=record.participant,
        )
        member.connected = False
        self._enter(member)
        log.info("restored", room=room.name, participant=member.id, kind=member.kind)
        return member

    def wait(self, name: str, grants: Grants) -> Place | None:
        """A place in the lobby for somebody who has to wait; None: `join` at once. Raises RefusedError."""
        with self._counting_refusals():
            self._refuse_if_full()
            shown_name = self._shown_name(name, grants)
            room = self._room(grants.room)
            identity = grants.identity or shown_name.casefold()
            verdict = room.policy.judge(identity, grants, hosted=bool(room.hosts), now=self.clock())
            if verdict.outcome != "wait":
                return None
            try:
                place = room.lobby.add(identity, shown_name)
            except ValueError as error:
                raise RefusedError("room-full", str(error)) from error
            self._stay_open(room)
            return place

    def wait_no_longer(self, name: str, place: Place) -> None:
        """Somebody has left the lobby of room `name`, whatever for."""
        room = self.rooms.get(name)
        if room is not None:
            room.lobby.leave(place)
            self._close_if_empty(room)

    def create(self, name: str) -> SignallingRoom:
        """The room `name`, made if there is none. Raises RefusedError."""
        return self._room(name)

    def bans(self, name: str) -> tuple[protocol.Ban, ...]:
        """Who may not come into room `name`, open or not."""
        room = self.rooms.get(name)
        policy = room.policy if room else Policy(self.charters.get(name), vouched=self.vouched)
        return policy.bans(now=self.clock())

    def end(self, room: SignallingRoom) -> None:
        """End a room for everybody."""
        room.lobby.decide(None, False)
        for member in list(room.members.values()):
            member.dismiss("ended")
        self._close_room(room)

    def leave(self, member: Member, reason: LeaveReason) -> None:
        """Take `member` out of its room; the others are told. Leaving twice is leaving once."""
        if member.left:
            return
        room = member.room
        member.stop()
        del room.members[member.id]
        self.member_count -= 1
        self._metrics.leaves.labels(reason).inc()
        self.spawn(member.peer.close())
        room.tell_others(member, protocol.ParticipantLeft(participant=member.id, reason=reason))
        room.note(
            "participant_connection_aborted" if reason == "timeout" else "participant_left", member, reason=reason
        )
        self._succeed(room)
        self._close_if_empty(room)
        log.info("left", room=room.name, participant=member.id, kind=member.kind, reason=reason)

    def set_connected(self, member: Member, connected: bool) -> None:
        """The signalling connection of `member` was lost or came back; the others are told if that is new."""
        if member.connected != connected and not member.left:
            member.connected = connected
            member.room.tell_others(
                member, protocol.ParticipantChanged(participant=member.id, connected=connected)
            )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background; its failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """All rooms close; returns when their media have stopped.

        Whoever has not left is expected at the server that is started next, so nobody is told of a leave. How rooms
        are governed stays stored for it.
        """
        self._closed = True
        for room in list(self.rooms.values()):
            for member in room.members.values():
                member.stop()
                self.spawn(member.peer.close())
        if self._tasks:
            await asyncio.wait(self._tasks)
        for room in list(self.rooms.values()):
            self._close_room(room)

    def refusal(self) -> str:
        """Why nobody can join now, a sentence; empty: somebody can."""
        if self.draining:
            return "This server is about to restart; please try again in a minute."
        if self.member_count >= self._limits.members:
            return "This server has no place for another participant."
        return ""

    def _join(
        self, name: str, grants: Grants, kind: MemberKind, emit: Callable[[Event], None], *, admitted: bool
    ) -> Member:
        self._refuse_if_full()
        shown_name = self._shown_name(name, grants)
        room = self._room(grants.room)
        identity, hosted = grants.identity or shown_name.casefold(), bool(room.hosts)
        verdict = room.policy.judge(identity, grants, hosted=hosted, now=self.clock())
        if verdict.outcome == "refuse":
            raise RefusedError(verdict.code, verdict.message)
        if verdict.outcome == "wait" and not admitted:
            raise RefusedError("not-permitted", "This room has a lobby: only hosts can come in this way.")
        most = room.policy.settings.max_participants or self._limits.members_per_room
        if len(room.members) >= min(most, self._limits.members_per_room):
            raise RefusedError("room-full", "The room is full.")
        if kind in {"web", "python"}:
            grants = room.policy.entitle(identity, grants, hosted=hosted)
        member = Member(room, shown_name, kind=kind, grants=grants, emit=emit)
        self._enter(member)
        if not room.policy.charter.meeting:
            room.policy.charter.meeting, room.policy.charter.started_at = room.id, self.clock()
            room.note("room_started")
        room.policy.entered(identity)
        self.keep(room)
        room.note("participant_joined", member)
        log.info("joined", room=room.name, participant=member.id, kind=kind)
        return member

    def _enter(self, member: Member) -> None:
        room = member.room
        self._stay_open(room)
        room.members[member.id] = member
        self.member_count += 1
        room.tell_others(member, protocol.ParticipantJoined(participant=member.view()))

    def _room(self, text: str) -> SignallingRoom:
        try:
            name = room_name(text)
        except InvalidNameError as error:
            raise RefusedError("bad-message", str(error)) from error
        room = self.rooms.get(name)
        if room is None:
            if len(self.rooms) >= self._limits.rooms:
                raise RefusedError("server-full", "This server has no place for another room.")
            policy = Policy(self.charters.get(name), vouched=self.vouched)
            room = SignallingRoom(name, self, self._node.create_room(name), self._metrics, policy)
            self.rooms[name] = room
            self._close_if_empty(room)  # when nobody comes
        return room

    def keep(self, room: SignallingRoom) -> None:
        """Store how the room is governed now."""
        self.charters.put(room.name, room.policy.charter)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except RefusedError as error:
            self._metrics.joins.labels(error.code).inc()
            raise

    def _refuse_if_full(self) -> None:
        if why := self.refusal():
            raise RefusedError("server-full", why)

    def _shown_name(self, name: str, grants: Grants) -> str:
        try:
            return participant_name(grants.name or name)
        except InvalidNameError as error:
            raise RefusedError("bad-message", str(error)) from error

    def _succeed(self, room: SignallingRoom) -> None:
        """Where no token makes a host, somebody else becomes it when the last one has left."""
        if self.vouched or self._closed or room.hosts:
            return
        heir = next((m for m in room.members.values() if m.kind in {"web", "python"} and not m.hidden), None)
        if heir is not None:
            heir.regrant(with_role(heir.grants, "host"))
        elif (waiter := room.lobby.first()) is not None:
            room.lobby.decide(waiter, True)

    def _stay_open(self, room: SignallingRoom) -> None:
        if room.closing:
            room.closing.cancel()
            room.closing = None

    def _close_if_empty(self, room: SignallingRoom) -> None:
        if not room.members and not len(room.lobby):
            self._stay_open(room)
            room.closing = asyncio.get_running_loop().call_later(self._empty_seconds, self._close_room, room)

    def _close_room(self, room: SignallingRoom) -> None:
        self._stay_open(room)
        if self.rooms.get(room.name) is not room:
            return
        del self.rooms[room.name]
        room.lobby.close()
        self._node.close_room(room.media)
        charter = room.policy.charter
        if charter.meeting and not self._closed:
            room.note("room_finished", seconds=round(self.clock() - charter.started_at, 3))
        if not self._closed:
            self.charters.put(room.name, room.policy.end(now=self.clock()))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", exc_info=error)
