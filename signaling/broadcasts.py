"""WHIP publishers and WHEP viewers: sessions that live at a URL and in a media transport, nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from rtc.wire.sdp import Offer, SdpError, parse_offer, refused_mids
from signaling import protocol
from signaling.members import LeaveReason, Member, RefusedError
from signaling.protocol import Event, Source
from signaling.rooms import Directory
from signaling.tokens import Grants

BroadcastKind = Literal["whip", "whep"]

CONNECT_SECONDS = 45.0
"""How long a client may take from its POST to connected media: ICE may take 30 of them."""
DEFAULT_NAMES: dict[BroadcastKind, str] = {"whip": "Broadcast", "whep": "Viewer"}
SOURCES: dict[str, Source] = {"audio": "microphone", "video": "camera"}
NOBODY = ""
"""An id that no participant has: a viewer who follows it sees nothing."""


class Broadcast:
    """One session of a WHIP or WHEP client. Made by `Broadcasts.open`, ended by `Broadcasts.end`."""

    def __init__(
        self,
        member: Member,
        offer: Offer,
        *,
        kind: BroadcastKind,
        token: str,
        participant: str,
        ended: Callable[[Broadcast, LeaveReason], None],
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        """Whoever knows it and has a token for the room may change and end the session."""
        self.kind: BroadcastKind = kind
        self.member = member
        self.token = token
        """That of the POST: it stays good for this session after it has expired."""
        self.etag = _new_etag()
        """Changes with every ICE session (RFC 9725 section 4.3.1)."""
        self.restarted = False
        self.tagged = next(media for media in offer.media if media.mid == offer.bundle[0])
        """The m-line that speaks for the bundle."""
        self._participant = participant
        self._ended = ended
        self._deadline = asyncio.get_running_loop().call_later(CONNECT_SECONDS, ended, self, "timeout")
        self._follow()

    def is_current(self, ufrag: str, pwd: str) -> bool:
        """Whether these are the client's credentials in the present ICE session."""
        credentials = self.member.peer.ice_credentials
        return credentials is not None and credentials[2:] == (ufrag, pwd)

    def restart_ice(self, ufrag: str, pwd: str) -> tuple[str, str]:
        """Begin a new ICE session with the client's new credentials; ours. The entity tag changes.

        The same credentials once more are a repeated request: nothing changes.
        """
        credentials = self.member.peer.ice_credentials
        if credentials is not None and self.is_current(ufrag, pwd):
            return credentials[:2]
        ours = self.member.peer.restart_ice(ufrag, pwd)
        self.etag = _new_etag()
        self.restarted = True
        return ours

    def take(self, event: Event) -> None:
        """Take an event of the room or of the media transport."""
        match event:
            case protocol.Transport(state="connected"):
                self._deadline.cancel()
            case protocol.Transport(state="failed" | "closed"):
                # Later, because this happens in the middle of a datagram; and not in the log context of its cause.
                reason: LeaveReason = "timeout" if event.state == "failed" else "left"
                asyncio.get_running_loop().call_soon(
                    self._ended, self, reason, context=contextvars.Context()
                )
            case protocol.ParticipantJoined() | protocol.ParticipantLeft():
                self._follow()

    def stop(self) -> None:
        """Nothing happens to this session any more."""
        self._deadline.cancel()

    def _follow(self) -> None:
        """Watch the participant that the viewer wants, by id or else by name; without a wish, whoever speaks."""
        if not self._participant:
            return
        others = self.member.room.others(self.member)
        found = [other.id for other in others if other.id == self._participant] or [
            other.id for other in others if other.name == self._participant
        ]
        self.member.watch(None, follow=found[0] if found else NOBODY)


class Broadcasts:
    """All WHIP and WHEP sessions of the server."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._broadcasts: dict[str, Broadcast] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._broadcasts)

    def open(
        self, kind: BroadcastKind, offer_sdp: str, grants: Grants, *, name: str, participant: str, token: str
    ) -> tuple[Broadcast, str]:
        """A session for an offer, and the answer.

        `name` is what a publisher wants to be called, `participant` the id or name of whom a viewer wants to
        see (""; whoever speaks). Raises RefusedError, and then nobody has noticed.
        """
        offer = check_offer(kind, offer_sdp)
        publishes = kind == "whip"
        if not (grants.can_publish and not grants.hidden if publishes else grants.can_subscribe):
            raise RefusedError("not-permitted", f"The token does not allow {_VERBS[kind]} in this room.")
        member = self._directory.join(
            name or DEFAULT_NAMES[kind],
            grants=replace(grants, can_publish=publishes, can_subscribe=not publishes),
            kind=kind,
        )
        try:
            answer = member.answer(offer_sdp, whole=True)
        except RefusedError:
            self._directory.leave(member, "closed")
            raise
        broadcast = Broadcast(
            member, offer, kind=kind, token=token, participant=participant, ended=self.end
        )
        member.emit = broadcast.take
        member.dismiss = lambda reason: self.end(broadcast, "closed" if reason == "ended" else "removed")
        self._broadcasts[broadcast.id] = broadcast
        self._idle.clear()
        if publishes:
            for media in offer.media:
                if not media.rejected:
                    member.publish(media.mid, SOURCES[media.kind])
        return broadcast, answer

    def find(self, kind: str, room: str, broadcast_id: str) -> Broadcast | None:
        """The session of this kind with this id in this room, None when it has ended or never was."""
        broadcast = self._broadcasts.get(broadcast_id)
        if broadcast is None or (broadcast.kind, broadcast.member.room.name) != (kind, room):
            return None
        return broadcast

    def end(self, broadcast: Broadcast, reason: LeaveReason) -> None:
        """End a session: its member leaves the room. Ending twice is ending once."""
        if self._broadcasts.pop(broadcast.id, None) is None:
            return
        broadcast.stop()
        self._directory.leave(broadcast.member, reason)
        if not self._broadcasts:
            self._idle.set()

    def end_all(self, reason: LeaveReason) -> None:
        """End every session."""
        for broadcast in list(self._broadcasts.values()):
            self.end(broadcast, reason)

    async def wait_until_none(self) -> None:
        """Wait until no session is left."""
        await self._idle.wait()


def check_offer(kind: BroadcastKind, offer_sdp: str) -> Offer:
    """Read an offer that can be answered as a whole (RFC 9725 section 4.2 and 4.4). Raises RefusedError."""
    try:
        offer = parse_offer(offer_sdp)
        refused = refused_mids(offer)
    except SdpError as error:
        raise RefusedError("bad-sdp", str(error)) from error
    live = [media for media in offer.media if not media.rejected]
    directions = ("sendonly", "sendrecv") if kind == "whip" else ("recvonly", "sendrecv")
    for media in live:
        if media.kind not in SOURCES:
            raise RefusedError("bad-sdp", "the offer has a media section that is neither audio nor video")
        if media.direction not in directions:
            raise RefusedError("bad-sdp", f"media section {media.mid!r} is not {directions[0]}")
        if media.mid in refused:
            raise RefusedError("bad-sdp", f"no codec of media section {media.mid!r} is supported here")
    if max(Counter(media.kind for media in live).values()) > 1:
        raise RefusedError("bad-sdp", "the offer has more than one audio or more than one video section")
    return offer


def _new_etag() -> str:
    return secrets.token_urlsafe(9)


_VERBS: dict[BroadcastKind, str] = {"whip": "publishing", "whep": "watching"}
