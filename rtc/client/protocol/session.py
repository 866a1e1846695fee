"""The session itself: joining, resuming, leaving, answers, and who else is there."""

from __future__ import annotations

from rtc.client.protocol.base import (
    Command,
    Event,
    Message,
    Participant,
    Permissions,
    Publication,
    RoomSettings,
    SlotAssignment,
)
from rtc.client.protocol.calls import CallView
from rtc.client.protocol.governance import Ban, Waiter
from rtc.client.protocol.messages import ChatMessage


class Join(Message, tag="join"):
    """Enter `room`: the first message of a session."""

    room: str
    name: str
    token: str = ""
    kind: str = "web"
    session: str = ""


class Resume(Message, tag="resume"):
    """Go on with a session on a new connection."""

    session: str
    ack: int = 0


class Ack(Message, tag="ack"):
    """Events up to `seq` have arrived."""

    seq: int


class Ping(Command, tag="ping"):
    """Is the connection alive?"""


class Leave(Command, tag="leave"):
    """Leave the room."""


class Joined(Event, tag="joined"):
    """The session stands."""

    room: str
    session: str
    you: Participant
    participants: tuple[Participant, ...] = ()
    permissions: Permissions = Permissions()
    settings: RoomSettings = RoomSettings()
    waiters: tuple[Waiter, ...] = ()
    resume_seconds: float = 30.0
    last_message: int = 0
    snapshot: bool = False
    slots: tuple[SlotAssignment, ...] = ()


class Resumed(Event, tag="resumed"):
    """The session goes on."""

    last_id: int
    restarted: bool = False


class Reply(Event, tag="reply"):
    """Command `re` was carried out."""

    re: int
    sdp: str = ""
    publication: Publication | None = None
    number: int = 0
    at: float = 0.0
    messages: tuple[ChatMessage, ...] = ()
    more: bool = False
    call: CallView | None = None
    calls: tuple[CallView, ...] = ()
    bans: tuple[Ban, ...] = ()


class Error(Event, tag="error"):
    """Command `re`, or with 0 the connection itself, was refused."""

    code: str
    message: str
    re: int = 0
    retry_after: float = 0.0


class Closed(Event, tag="closed"):
    """The session has ended."""

    reason: str


class ParticipantJoined(Event, tag="participant-joined"):
    """Somebody entered."""

    participant: Participant


class ParticipantLeft(Event, tag="participant-left"):
    """Somebody left."""

    participant: str
    reason: str = "left"


class ParticipantChanged(Event, tag="participant-changed"):
    """Somebody's connection was lost or came back."""

    participant: str
    connected: bool


SessionEvent = Joined | Resumed | Reply | Error | Closed | ParticipantJoined | ParticipantLeft | ParticipantChanged
