"""Rooms and who is in them; between the media of `rtc.sfu` and the messages of `signaling.protocol`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from rtc import sfu
from rtc.bucket import TokenBucket
from signaling import protocol
from signaling.metrics import Metrics
from signaling.names import InvalidNameError, participant_name, room_name
from signaling.protocol import ErrorCode, Event, Source, TransportState
from signaling.store.interface import MemberKind, SessionRecord
from signaling.tokens import Grants

EMPTY_ROOM_SECONDS = 10.0
"""How long an empty room is kept: somebody who reloads the page returns to the same one."""
SPEAKERS_SECONDS = 0.2
"""Shortest time between two `speakers` events of one participant."""

MAX_WATCHED = 500
"""Publications that one participant may name in `watch`."""

LeaveReason = Literal["left", "timeout", "removed", "closed"]

log = structlog.get_logger()


class RefusedError(Exception):
    """A wish of a participant that cannot be granted; the text is for that participant."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        """Seconds after which it may be granted; 0: never, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rooms and members there may be."""

    rooms: int
    members: int
    members_per_room: int


def _discard(event: Event) -> None:
    """Nobody listens."""


class Member:
    """Somebody in a room: a participant, or a hidden viewer. Receives the events of its SFU peer."""

    def __init__(
        self,
        room: SignallingRoom,
        name: str,
        *,
        kind: MemberKind,
        grants: Grants,
        emit: Callable[[Event], None],
        participant_id: str = "",
    ) -> None:
        self.id = participant_id or secrets.token_urlsafe(6)
        self.room = room
        self.name = name
        self.kind: MemberKind = kind
        self.grants = grants
        self.hidden = grants.hidden or kind == "whep"
        self.connected = True
        self.emit = emit
        """Takes every event for this member; must neither block nor raise."""
        self.left = False
        self.publications: dict[str, protocol.Publication] = {}
        self.slots: tuple[protocol.SlotAssignment, ...] = ()
        """What the slots carry, as the member was told last or is about to be."""
        self.sends: TokenBucket | None = None
        """Paces the messages of this member, from the first on."""
        self.transport: TransportState = "new"
        self._has_connected = False
        self.joined_at = asyncio.get_running_loop().time()
        self._mids: dict[str, str] = {}
        self._slots_due = False
        self._speakers: tuple[protocol.Speaker, ...] = ()
        self._speakers_sent: tuple[protocol.Speaker, ...] = ()
        self._speakers_timer: asyncio.TimerHandle | None = None
        self.peer: sfu.Peer = room.media.join(
            self.id,
            self,
            can_publish=grants.can_publish,
            can_subscribe=grants.can_subscribe,
            any_srtp=kind in {"whip", "whep"},  # they do not try twice
            sends_copies=kind == "python",  # ours; no browser can
        )

    def view(self) -> protocol.Participant:
        """This member as the others see it."""
        kind: protocol.ParticipantKind = "whip" if self.kind == "whep" else self.kind
        return protocol.Participant(
            id=self.id, name=self.name, kind=kind, connected=self.connected,
            publications=tuple(self.publications.values()),
        )

    @property
    def place(self) -> str:
        """The room, for the log."""
        return self.room.name

    @property
    def permissions(self) -> protocol.Permissions:
        """What this member may do."""
        return protocol.Permissions(
            can_publish=self.grants.can_publish and not self.hidden,
            can_subscribe=self.grants.can_subscribe,
            can_publish_data=self.grants.can_publish_data and not self.hidden,
            room_admin=self.grants.room_admin,
        )

    # --- as a party of a session (signaling.session.Party) ------------------------------------------------

    def greeting(self, secret: str, resume_seconds: float) -> protocol.Joined:
        """How everything stands for this member; without the secret of the session, as a snapshot."""
        room = self.room
        return protocol.Joined(
            room=room.name,
            session=secret,
            you=self.view(),
            participants=room.others(self),
            permissions=self.permissions,
            ice_servers=room.directory.ice_servers,
            resume_seconds=resume_seconds,
            last_message=room.last_message,
            snapshot=not secret,
            slots=self.slots,
        )

    def record(self, secret_hash: bytes) -> SessionRecord:
        """What a restarted server needs to take this member in again."""
        return SessionRecord(secret_hash, self.id, self.name, self.kind, self.grants)

    def set_connected(self, connected: bool) -> None:
        """The signalling connection was lost or came back; the others are told."""
        self.room.directory.set_connected(self, connected)

    def leave(self, reason: LeaveReason) -> None:
        """Leave the room; the others are told."""
        self.room.directory.leave(self, reason)

    # --- what the member wants ----------------------------------------------------------------------------

    def answer(self, offer_sdp: str, *, whole: bool = False) -> str:
        """The SDP answer to an offer, with `whole` all of it or nothing. Raises RefusedError."""
        try:
            answer = self.peer.answer(offer_sdp, whole=whole)
        except ValueError as error:
            raise RefusedError("bad-sdp", str(error)) from error
        # An m-line that the new offer stops sends no more: the media room has withdrawn what it carried.
        for publication_id in self.publications.keys() - self.room.media.publications.keys():
            self._withdrawn(publication_id)
        return answer

    def publish(self, mid: str, source: Source, *, muted: bool = False) -> protocol.Publication:
        """Offer the track of m-line `mid` to the room. Raises RefusedError."""
        if not self.grants.can_publish or self.hidden:
            raise RefusedError("not-permitted", "You may not publish in this room.")
        if mid in self._mids.values():
            raise RefusedError("bad-state", f"The m-line {mid!r} is published already.")
        publication_id = secrets.token_urlsafe(6)
        try:
            media = self.peer.publish(mid, publication_id=publication_id, muted=muted)
        except LookupError as error:
            raise RefusedError("not-found", f"The last offer has no m-line {mid!r} that sends.") from error
        kind: protocol.Kind = "audio" if media.kind == "audio" else "video"
        if (kind == "audio") != (source in {"microphone", "screen-audio"}):
            self.peer.unpublish(publication_id)
            raise RefusedError("bad-state", f"The m-line {mid!r} carries {kind}, which is no {source}.")
        publication = protocol.Publication(id=publication_id, kind=kind, source=source, muted=muted)
        self.publications[publication_id] = publication
        self._mids[publication_id] = mid
        self.room.tell_others(self, protocol.Published(participant=self.id, publication=publication))
        return publication

    def unpublish(self, publication_id: str) -> None:
        """Withdraw a publication. Raises RefusedError."""
        self._own(publication_id)
        self.peer.unpublish(publication_id)
        self._withdrawn(publication_id)

    def mute(self, publication_id: str, muted: bool) -> None:
        """Mute or unmute a publication. Raises RefusedError."""
        publication = self._own(publication_id)
        self.peer.set_muted(publication_id, muted)
        if publication.muted != muted:
            self.publications[publication_id] = protocol.Publication(
                id=publication.id, kind=publication.kind, source=publication.source, muted=muted
            )
            self.room.tell_others(
                self, protocol.Muted(participant=self.id, publication=publication_id, muted=muted)
            )

    def watch(
        self, publications: Sequence[str] | None, *, follow: str | None = None, heights: Mapping[str, int] | None = None
    ) -> None:
        """Choose what the video slots carry: see `rtc.sfu.Peer.watch`. Raises RefusedError."""
        if max(len(publications or ()), len(heights or ())) > MAX_WATCHED:
            raise RefusedError("too-large", f"More than {MAX_WATCHED} publications cannot be watched.")
        self.peer.watch(publications, follow=follow, heights=heights)

    # --- events of the media (rtc.sfu.PeerEvents) ---------------------------------------------------------

    def transport_changed(self, state: TransportState) -> None:
        """The media transport of this member has changed."""
        if state == "connected" and not self._has_connected:
            self._has_connected = True
            self.room.metrics.join_duration.observe(asyncio.get_running_loop().time() - self.joined_at)
        self.transport = state
        self.emit(protocol.Transport(state=state))

    def slots_changed(self, slots: tuple[sfu.SlotView, ...]) -> None:
        """The slots of this member carry something else now; told after what else has just happened."""
        if not self._slots_due:
            self._slots_due = True
            asyncio.get_running_loop().call_soon(self._tell_slots)
        self.slots = tuple(
            protocol.SlotAssignment(mid=slot.mid, publication=slot.publication, participant=slot.participant)
            for slot in slots
        )

    def qualities_changed(self, qualities: tuple[sfu.Quality, ...]) -> None:
        """The video slots of this member show more or less of what they could."""
        self.emit(protocol.Quality(slots=tuple(
            protocol.SlotQuality(mid=each.mid, paused=each.paused, limit=each.limit) for each in qualities
        )))

    def encodings_wanted(self, mid: str, rids: tuple[str, ...]) -> None:
        """Other simulcast encodings of m-line `mid` of this member are of use to anybody."""
        self.emit(protocol.Encodings(mid=mid, rids=rids))

    def protection_changed(self, mid: str, depth: int, copies: int) -> None:
        """The server wants m-line `mid` of this member sent with more or less redundancy."""
        self.emit(protocol.Redundancy(mid=mid, depth=depth, copies=copies))

    def speakers_changed(self, speakers: tuple[tuple[str, int], ...]) -> None:
        """Others are speaking now; passed on at once, or `SPEAKERS_SECONDS` after the last time."""
        self._speakers = tuple(protocol.Speaker(participant=who, level=level) for who, level in speakers)
        if self._speakers_timer is None:
            self._tell_speakers()

    # --- inside -------------------------------------------------------------------------------------------

    def _tell_slots(self) -> None:
        self._slots_due = False
        self.emit(protocol.Slots(slots=self.slots))

    def _tell_speakers(self) -> None:
        self._speakers_timer = None
        if self.left or self._speakers == self._speakers_sent:
            return
        self._speakers_sent = self._speakers
        self._speakers_timer = asyncio.get_running_loop().call_later(SPEAKERS_SECONDS, self._tell_speakers)
        self.emit(protocol.Speakers(speakers=self._speakers))

    def _own(self, publication_id: str) -> protocol.Publication:
        try:
            return self.publications[publication_id]
        except KeyError:
            raise RefusedError("not-found", "You have no such publication.") from None

    def _withdrawn(self, publication_id: str) -> None:
        del self.publications[publication_id]
        del self._mids[publication_id]
        self.room.tell_others(self, protocol.Unpublished(participant=self.id, publication=publication_id))

    def stop(self) -> None:
        """The member has left: no event comes any more."""
        self.left = True
        self.emit = _discard
        if self._speakers_timer:
            self._speakers_timer.cancel()


class SignallingRoom:
    """A room: its members, in the order they came, and its media."""

    def __init__(self, name: str, directory: Directory, media: sfu.Room, metrics: Metrics) -> None:
        self.name = name
        self.directory = directory
        self.media = media
        self.metrics = metrics
        self.members: dict[str, Member] = {}
        self.last_message = 0
        """Number of the last message that was told."""
        self.closing: asyncio.TimerHandle | None = None

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
        self, node: sfu.Node, limits: Limits, metrics: Metrics, *, empty_seconds: float = EMPTY_ROOM_SECONDS,
        ice_servers: tuple[protocol.IceServer, ...] = (),
    ) -> None:
        self.rooms: dict[str, SignallingRoom] = {}
        self.member_count = 0
        self.ice_servers = ice_servers
        """What the clients are told to use."""
        self.draining = False
        """Set when the server is about to stop: nobody can join."""
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
        emit: Callable[[Event], None] = _discard,
    ) -> Member:
        """Let somebody called `name` into the room of `grants`; the others are told. Raises RefusedError."""
        try:
            member = self._join(name, grants, kind, emit)
        except RefusedError as error:
            self._metrics.joins.labels(error.code).inc()
            raise
        self._metrics.joins.labels("ok").inc()
        return member

    def restore(self, record: SessionRecord) -> Member:
        """Take in again, with the connection away, who was here when the server before died. Raises RefusedError."""
        return self._enter(
            record.name, record.grants, record.kind, _discard, participant_id=record.participant, connected=False
        )

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
        if not room.members:
            self._close_later(room)
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
        """Everybody leaves, all rooms close; returns when their media have stopped."""
        for room in list(self.rooms.values()):
            for member in list(room.members.values()):
                self.leave(member, "closed")
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

    def _join(self, name: str, grants: Grants, kind: MemberKind, emit: Callable[[Event], None]) -> Member:
        if why := self.refusal():
            raise RefusedError("server-full", why)
        try:
            shown_name = participant_name(grants.name or name)
        except InvalidNameError as error:
            raise RefusedError("bad-message", str(error)) from error
        return self._enter(shown_name, grants, kind, emit)

    def _enter(
        self,
        name: str,
        grants: Grants,
        kind: MemberKind,
        emit: Callable[[Event], None],
        *,
        participant_id: str = "",
        connected: bool = True,
    ) -> Member:
        room = self._room(grants.room)
        if len(room.members) >= self._limits.members_per_room:
            raise RefusedError("room-full", "The room is full.")
        member = Member(room, name, kind=kind, grants=grants, emit=emit, participant_id=participant_id)
        member.connected = connected
        if room.closing:
            room.closing.cancel()
            room.closing = None
        room.members[member.id] = member
        self.member_count += 1
        room.tell_others(member, protocol.ParticipantJoined(participant=member.view()))
        log.info("joined", room=room.name, participant=member.id, kind=kind)
        return member

    def _room(self, text: str) -> SignallingRoom:
        try:
            name = room_name(text)
        except InvalidNameError as error:
            raise RefusedError("bad-message", str(error)) from error
        room = self.rooms.get(name)
        if room is None:
            if len(self.rooms) >= self._limits.rooms:
                raise RefusedError("server-full", "This server has no place for another room.")
            room = self.rooms[name] = SignallingRoom(name, self, self._node.create_room(name), self._metrics)
            self._close_later(room)  # until somebody is in it
        return room

    def _close_later(self, room: SignallingRoom) -> None:
        room.closing = asyncio.get_running_loop().call_later(self._empty_seconds, self._close_room, room)

    def _close_room(self, room: SignallingRoom) -> None:
        if room.closing:
            room.closing.cancel()
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]
            self._node.close_room(room.media)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", exc_info=error)
