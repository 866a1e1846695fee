"""Somebody in a room: a participant, or a hidden viewer; between a peer of `rtc.sfu` and the messages."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from rtc import sfu
from rtc.bucket import TokenBucket
from signaling import protocol
from signaling.governance.facts import Person
from signaling.governance.policy import role_of
from signaling.protocol import CloseReason, ErrorCode, Event, Kind, Source, TransportState
from signaling.store.interface import MemberKind, SessionRecord
from signaling.tokens import Grants

if TYPE_CHECKING:
    from signaling.rooms import SignallingRoom

SPEAKERS_SECONDS = 0.2
"""Shortest time between two `speakers` events of one participant."""

MAX_WATCHED = 500
"""Publications that one participant may name in `watch`."""

LeaveReason = Literal["left", "timeout", "removed", "closed"]
SOUND: tuple[Source, ...] = ("microphone", "screen-audio")
"""Sources of kind audio; the others are video."""


class RefusedError(Exception):
    """A wish of a participant that cannot be granted; the text is for that participant."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        """Seconds after which it may be granted; 0: never, or nobody knows."""


def discard(event: Event) -> None:
    """Nobody listens."""


def _nothing() -> None:
    """There is no session."""


def _stay_away(reason: CloseReason) -> None:
    """There is none any more."""


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
        """What this member may do now: the token's grants, as hosts have changed them."""
        self.identity = grants.identity or name.casefold()
        """Who this is for bans, roles and records: the token says it, or without a token the name."""
        self.silenced = room.policy.silenced(self.identity)
        self.hidden = grants.hidden or kind == "whep"
        self.connected = True
        self.emit = emit
        """Takes every event for this member; must neither block nor raise."""
        self.dismiss: Callable[[CloseReason], None] = self._dismissed
        """Ends the session of this member."""
        self.granted: Callable[[], None] = _nothing
        """To be called when what this member may do has changed."""
        self.left = False
        self.publications: dict[str, protocol.Publication] = {}
        self.slots: tuple[protocol.SlotAssignment, ...] = ()
        """What the slots carry, as the member was told last or is about to be."""
        self.sends: TokenBucket | None = None
        """Paces the messages of this member, from the first on."""
        self.transport: TransportState = "new"
        self._has_connected = False
        self.since = room.directory.clock()
        """Unix time in seconds."""
        self.joined_at = asyncio.get_running_loop().time()
        self._mids: dict[str, str] = {}
        self._slots_due = False
        self._speakers: tuple[protocol.Speaker, ...] = ()
        self._speakers_sent: tuple[protocol.Speaker, ...] = ()
        self._speakers_timer: asyncio.TimerHandle | None = None
        self.peer: sfu.Peer = room.media.join(
            self.id,
            self,
            can_publish=grants.can_publish and not self.hidden,
            can_subscribe=grants.can_subscribe,
            any_srtp=kind in {"whip", "whep"},  # they do not try twice
            sends_copies=kind == "python",  # ours; no browser can
        )
        if not grants.can_publish_data:
            self._apply_permissions()

    def view(self) -> protocol.Participant:
        """This member as the others see it."""
        kind: protocol.ParticipantKind = "whip" if self.kind == "whep" else self.kind
        return protocol.Participant(
            id=self.id, name=self.name, kind=kind, connected=self.connected,
            publications=tuple(self.publications.values()),
            role=role_of(self.grants), silenced=self.silenced,
        )

    @property
    def permissions(self) -> protocol.Permissions:
        """What this member may do, as it is told."""
        return protocol.Permissions(
            can_publish=self.grants.can_publish and not self.hidden,
            can_subscribe=self.grants.can_subscribe,
            can_publish_data=self.grants.can_publish_data and not self.hidden,
            room_admin=self.grants.room_admin,
        )

    @property
    def person(self) -> Person:
        """This member in the records."""
        return Person(self.identity, self.name, self.id, self.kind)

    @property
    def token_id(self) -> str:
        """Of the token that this member came with; "" without one."""
        return self.grants.token_id

    @property
    def place(self) -> str:
        """The room, for the log."""
        return self.room.name

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
            settings=room.policy.settings,
            waiters=room.lobby.view() if self.grants.room_admin else (),
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
        limit = self.room.policy.settings.max_publications
        if limit and len(self.publications) >= limit:
            raise RefusedError("too-large", f"More than {limit} tracks cannot be published here.")
        kind: Kind = "audio" if source in SOUND else "video"
        muted = muted or kind in self.silenced
        if mid in self._mids.values():
            raise RefusedError("bad-state", f"The m-line {mid!r} is published already.")
        publication_id = secrets.token_urlsafe(6)
        try:
            media = self.peer.publish(mid, publication_id=publication_id, muted=muted, patient=source == "screen")
        except LookupError as error:
            raise RefusedError("not-found", f"The last offer has no m-line {mid!r} that sends.") from error
        if media.kind != kind:
            self.peer.unpublish(publication_id)
            raise RefusedError("bad-state", f"The m-line {mid!r} carries {media.kind}, which is no {source}.")
        publication = protocol.Publication(id=publication_id, kind=kind, source=source, muted=muted)
        self.publications[publication_id] = publication
        self._mids[publication_id] = mid
        self.room.tell_others(self, protocol.Published(participant=self.id, publication=publication))
        self.room.note("track_published", self, publication)
        return publication

    def unpublish(self, publication_id: str) -> None:
        """Withdraw a publication. Raises RefusedError."""
        self._own(publication_id)
        self.peer.unpublish(publication_id)
        self._withdrawn(publication_id)

    def mute(self, publication_id: str, muted: bool) -> None:
        """Mute or unmute a publication. Raises RefusedError."""
        publication = self._own(publication_id)
        if not muted and publication.kind in self.silenced:
            raise RefusedError("not-permitted", "A host has muted you; ask to be allowed to speak.")
        self._set_muted(publication, muted)

    def watch(
        self, publications: Sequence[str] | None, *, follow: str | None = None, heights: Mapping[str, int] | None = None
    ) -> None:
        """Choose what the video slots carry: see `rtc.sfu.Peer.watch`. Raises RefusedError."""
        if max(len(publications or ()), len(heights or ())) > MAX_WATCHED:
            raise RefusedError("too-large", f"More than {MAX_WATCHED} publications cannot be watched.")
        self.peer.watch(publications, follow=follow, heights=heights)

    # --- what hosts decide --------------------------------------------------------------------------------

    def regrant(self, grants: Grants) -> None:
        """Change what this member may do; effective on media at once, and everybody concerned is told."""
        if grants == self.grants:
            return
        role, self.grants = role_of(self.grants), grants
        self.granted()
        self._apply_permissions()
        for publication_id in self.publications.keys() - self.room.media.publications.keys():
            self._withdrawn(publication_id)
        self.emit(protocol.PermissionsChanged(permissions=self.permissions))
        if role_of(grants) != role:
            self.tell_role()
        if grants.room_admin and len(self.room.lobby):
            self.emit(protocol.LobbyChanged(waiters=self.room.lobby.view()))

    def set_silenced(self, silenced: tuple[Kind, ...]) -> None:
        """Mute what is named so that the member cannot unmute it; what is not, stays muted and can be unmuted."""
        if silenced == self.silenced:
            return
        self.silenced = silenced
        self.tell_role()
        for publication in list(self.publications.values()):
            if publication.kind in silenced and self._set_muted(publication, True):
                self.emit(protocol.Muted(participant=self.id, publication=publication.id, muted=True))

    def tell_role(self) -> None:
        """Tell everybody who may see this member its role."""
        event = protocol.RoleChanged(participant=self.id, role=role_of(self.grants), silenced=self.silenced)
        self.emit(event)
        self.room.tell_others(self, event)

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

    def clocks_changed(self, timestamps: Mapping[str, int]) -> None:
        """The slots of this member have other clocks now."""
        self.emit(protocol.Clocks(timestamps=dict(timestamps)))

    def encodings_wanted(self, mid: str, rids: tuple[str, ...], *, instead: bool) -> None:
        """Other simulcast encodings of m-line `mid` of this member are of use to anybody."""
        self.emit(protocol.Encodings(mid=mid, rids=rids, instead=instead))

    def codecs_changed(self, codecs: tuple[str, ...]) -> None:
        """Everybody in the room can decode these codecs of video."""
        self.emit(protocol.Codecs(codecs=codecs))

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

    def _apply_permissions(self) -> None:
        self.peer.set_permissions(
            can_publish=self.grants.can_publish and not self.hidden,
            can_subscribe=self.grants.can_subscribe,
            can_publish_data=self.grants.can_publish_data,
        )

    def _set_muted(self, publication: protocol.Publication, muted: bool) -> bool:
        self.peer.set_muted(publication.id, muted)
        if publication.muted == muted:
            return False
        self.publications[publication.id] = msgspec.structs.replace(publication, muted=muted)
        self.room.tell_others(self, protocol.Muted(participant=self.id, publication=publication.id, muted=muted))
        return True

    def _dismissed(self, _reason: CloseReason) -> None:
        self.leave("removed")

    def _own(self, publication_id: str) -> protocol.Publication:
        try:
            return self.publications[publication_id]
        except KeyError:
            raise RefusedError("not-found", "You have no such publication.") from None

    def _withdrawn(self, publication_id: str) -> None:
        publication = self.publications.pop(publication_id)
        del self._mids[publication_id]
        self.room.tell_others(self, protocol.Unpublished(participant=self.id, publication=publication_id))
        self.room.note("track_unpublished", self, publication)

    def stop(self) -> None:
        """The member has left: no event comes any more."""
        self.left = True
        # They lead to the session, which leads back here and would be kept until a garbage collection.
        self.emit, self.dismiss, self.granted = discard, _stay_away, _nothing
        if self._speakers_timer:
            self._speakers_timer.cancel()
