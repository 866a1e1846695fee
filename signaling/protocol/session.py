"""The session itself: joining, resuming, leaving, answers, and who else is there."""

from __future__ import annotations

from typing import Literal

from signaling.protocol.base import Event, Message, NewSecret, Numbered
from signaling.protocol.calls import CallView
from signaling.protocol.governance import Ban, Waiter
from signaling.protocol.messages import ChatMessage
from signaling.protocol.values import (
    IceServer,
    Participant,
    Permissions,
    Publication,
    RoomSettings,
    SlotAssignment,
)

ErrorCode = Literal[
    "bad-message",      # not JSON, unknown type, or a field of the wrong shape
    "bad-sdp",          # the offer cannot be understood or accepted
    "bad-state",        # the command does not fit now: a second join, publish before an offer …
    "not-found",        # no such publication, m-line or room
    "not-permitted",    # the token does not allow it
    "unauthorized",     # no token, or one that is expired, revoked or forged
    "room-full",        # the room has as many participants as it may
    "server-full",      # the server has as many participants as it may, or is draining
    "gone",             # the session to resume has ended
    "rate-limited",     # too many commands in too short a time
    "too-large",        # a message or a list is longer than allowed
    "conflict",         # the key of a message was used for another one
    "unavailable",      # the server cannot store it now; may be tried again
    "banned",           # a host has put this person out
    "locked",           # the room takes nobody in
    "denied",           # no host let this person in from the lobby
    "internal",         # a fault of the server, logged there
]


CloseReason = Literal[
    "left", "replaced", "removed", "banned", "ended", "revoked", "timeout", "shutdown", "too-slow", "protocol-error"
]


class Join(Message, tag="join"):
    """First message of a new session: enter `room` under `name`. Answered by `joined` or a last `error`."""

    room: str
    name: str
    token: str = ""
    kind: Literal["web", "python"] = "web"
    session: NewSecret = ""
    """A secret for the session: joined once more under it, because no answer came, nobody is there twice."""


class Resume(Message, tag="resume"):
    """First message of a new connection of an old session. Answered by `resumed`, or `error` code `gone`."""

    session: str
    """The secret of the session, from `joined`."""
    ack: int = 0
    """The last `seq` received: later events are sent again."""


class Ack(Message, tag="ack"):
    """All events up to and including `seq` have arrived. Not numbered, not answered."""

    seq: int


class Ping(Numbered, tag="ping"):
    """Is the connection alive? Reply: empty. Sent when nothing has been heard for some seconds."""


class Leave(Numbered, tag="leave"):
    """Leave the room and end the session."""


class Joined(Event, tag="joined"):
    """How everything stands: who you are, who is there, what you may do.

    First event of a session; and again, with `snapshot`, in place of events that the server could not keep.
    """

    room: str
    session: str
    """Secret with which a new connection resumes this session; empty in a snapshot: it stays the same."""
    you: Participant
    participants: tuple[Participant, ...]
    """Everybody else."""
    permissions: Permissions
    settings: RoomSettings = RoomSettings()
    waiters: tuple[Waiter, ...] = ()
    """To hosts: who waits in the lobby."""
    ice_servers: tuple[IceServer, ...] = ()
    resume_seconds: float = 30.0
    """How long the session waits for a lost connection to come back."""
    last_message: int = 0
    """Number of the last message of the room: what comes later comes by itself, what came before by `history`."""
    snapshot: bool = False
    """The session is the one before, and its media go on, unless `resumed` said that the server was restarted."""
    slots: tuple[SlotAssignment, ...] = ()
    """In a snapshot: what each slot of this session carries now."""


class Resumed(Event, tag="resumed"):
    """The session goes on; what was missed follows, or a snapshot in place of it."""

    last_id: int
    """The last command that was carried out."""
    restarted: bool = False
    """The server was restarted: media begin anew with a new peer connection, and `publish` anew."""


class Reply(Event, tag="reply"):
    """Command `re` was carried out."""

    re: int
    sdp: str = ""
    """To `offer`: the answer."""
    publication: Publication | None = None
    """To `publish`: the new publication."""
    number: int = 0
    """To `send`: the number of the message."""
    at: float = 0.0
    """To `send`: when the server took it, Unix time in seconds."""
    messages: tuple[ChatMessage, ...] = ()
    """To `history`."""
    more: bool = False
    """To `history` and `call-history`: there are more in the span asked for."""
    call: CallView | None = None
    """To `ring` and `accept`."""
    calls: tuple[CallView, ...] = ()
    """To `call-history`."""
    bans: tuple[Ban, ...] = ()
    """To `list-bans`."""


class Error(Event, tag="error"):
    """Command `re` was refused, or with `re` 0 the connection itself."""

    code: ErrorCode
    message: str
    re: int = 0
    retry_after: float = 0.0
    """Seconds after which the same may be accepted; 0: never, or nobody knows."""


class Closed(Event, tag="closed"):
    """The session has ended; the connection closes after this."""

    reason: CloseReason


class ParticipantJoined(Event, tag="participant-joined"):
    """Somebody entered."""

    participant: Participant


class ParticipantLeft(Event, tag="participant-left"):
    """Somebody left for good."""

    participant: str
    reason: Literal["left", "timeout", "removed", "closed"]


class ParticipantChanged(Event, tag="participant-changed"):
    """Somebody's connection was lost, or came back."""

    participant: str
    connected: bool


SessionMessage = Join | Resume | Ack
SessionCommand = Ping | Leave
SessionEvent = Joined | Resumed | Reply | Error | Closed | ParticipantJoined | ParticipantLeft | ParticipantChanged
