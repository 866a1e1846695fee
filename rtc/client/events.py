"""What happens in a call, as small values: the items of call.events()."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from rtc.client.protocol import Permissions, RoomSettings, Waiter

MAX_EVENTS = 1024
"""Events waiting for a reader at most; the oldest are dropped then."""


@dataclass(slots=True)
class Publication:
    """A track that a participant offers. Changes as the call goes on."""

    id: str
    participant: str
    kind: str
    """ "audio" or "video"."""
    source: str
    """ "microphone", "camera", "screen" or "screen-audio"."""
    muted: bool = False


@dataclass(slots=True)
class Participant:
    """Somebody else in the room. Changes as the call goes on."""

    id: str
    name: str
    kind: str = "web"
    connected: bool = True
    """False while the connection is away and may yet come back."""
    role: str = "speaker"
    """ "host", "speaker" or "listener"."""
    silenced: tuple[str, ...] = ()
    """ "audio" or "video": what a host has muted."""
    publications: dict[str, Publication] = field(default_factory=dict)
    """By id."""


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody entered."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody left for good: "left", "timeout", "removed" or "closed"."""

    participant: Participant
    reason: str


@dataclass(frozen=True, slots=True)
class ParticipantChanged:
    """Somebody's connection was lost or came back: see participant.connected."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class Published:
    """A participant offers a track."""

    participant: Participant
    publication: Publication


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A participant withdrew a track, or left."""

    participant: Participant
    publication: Publication


@dataclass(frozen=True, slots=True)
class MuteChanged:
    """A participant muted or unmuted a track: see publication.muted."""

    participant: Participant
    publication: Publication


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Who is speaking: (participant id, level in dBov), loudest first; one's own id may be among them."""

    speakers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """One's own connection: "connected", "reconnecting" (media or signalling is away), or "closed"."""

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PublicationEnded:
    """A publication of one's own stopped: its track ended, or `error` says what failed."""

    source: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """Somebody else has another role, or is silenced or no longer: see participant.role and .silenced."""

    participant: Participant


@dataclass(frozen=True, slots=True)
class PermissionsChanged:
    """One may do more or less than before. What one may no longer publish has been withdrawn."""

    permissions: Permissions


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """The room is governed otherwise."""

    settings: RoomSettings


@dataclass(frozen=True, slots=True)
class LobbyChanged:
    """To hosts: who waits to be let in, all of them."""

    waiters: tuple[Waiter, ...]


@dataclass(frozen=True, slots=True)
class UnmuteAsked:
    """The host `by` asks one to unmute "audio" or "video"."""

    by: str
    kind: str


CallEvent = (
    ParticipantJoined
    | ParticipantLeft
    | ParticipantChanged
    | Published
    | Unpublished
    | MuteChanged
    | SpeakersChanged
    | ConnectionChanged
    | PublicationEnded
    | RoleChanged
    | PermissionsChanged
    | RoomChanged
    | LobbyChanged
    | UnmuteAsked
)


class EventStream(AsyncIterator[CallEvent]):
    """The events of a call; ends with it."""

    def __init__(self) -> None:
        self.dropped = 0
        """Events that were not read in time."""
        self._events: deque[CallEvent] = deque(maxlen=MAX_EVENTS)
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, event: CallEvent) -> None:
        """Add an event."""
        self.dropped += len(self._events) == MAX_EVENTS
        self._events.append(event)
        self._arrived.set()

    def end(self) -> None:
        """No event follows."""
        self._ended = True
        self._arrived.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> CallEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()
