"""The messages that a client and the server exchange over the WebSocket, as typed values.

Every message is one JSON object in one text frame; `type` names it, field names are camelCase on the wire.

The client numbers its commands with `id` (1, 2, 3 …); the server carries out each number once and answers it
with a `reply` or an `error` whose `re` is that number. The server numbers its events with `seq` (1, 2, 3 …)
and keeps them until the client acknowledges them, so that a resumed session misses nothing. Events of the
moment, which are worthless a second later (`speakers`), carry `seq` 0: they are neither kept nor repeated.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_MESSAGE_BYTES = 256 * 1024
"""Longest WebSocket message, bytes: an offer with 60 m-lines of Chromium is about 180 kB."""

Kind = Literal["audio", "video"]
Source = Literal["microphone", "camera", "screen", "screen-audio"]
ParticipantKind = Literal["web", "python", "whip"]
TransportState = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]


class Message(msgspec.Struct, rename="camel", tag_field="type", omit_defaults=True):
    """Base of all messages."""


# --- values inside messages -------------------------------------------------------------------------------


class Publication(msgspec.Struct, rename="camel", frozen=True):
    """A track that a participant offers to the room."""

    id: str
    kind: Kind
    source: Source
    muted: bool = False


class Participant(msgspec.Struct, rename="camel", frozen=True):
    """Somebody in the room, as the others see them."""

    id: str
    name: str
    kind: ParticipantKind = "web"
    connected: bool = True
    """False while the participant's connection is away and may yet come back."""
    publications: tuple[Publication, ...] = ()


class Permissions(msgspec.Struct, rename="camel", frozen=True):
    """What this session may do; named as in LiveKit's grants."""

    can_publish: bool = True
    can_subscribe: bool = True
    room_admin: bool = False


class IceServer(msgspec.Struct, rename="camel", frozen=True):
    """An entry of RTCConfiguration.iceServers."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


class SlotAssignment(msgspec.Struct, rename="camel", frozen=True):
    """What the m-line `mid` of this session carries now; no publication: nothing."""

    mid: str
    publication: str | None = None
    participant: str | None = None


class Speaker(msgspec.Struct, rename="camel", frozen=True):
    """Somebody heard in the last moment; `level` in dBov, 0 is loudest, -127 silence (RFC 6464)."""

    participant: str
    level: int


# --- client to server -------------------------------------------------------------------------------------


class Join(Message, tag="join"):
    """First message of a new session: enter `room` under `name`. Answered by `joined` or a last `error`."""

    room: str
    name: str
    token: str = ""
    kind: Literal["web", "python"] = "web"


class Resume(Message, tag="resume"):
    """First message of a new connection of an old session. Answered by `resumed`, or `error` code `gone`."""

    session: str
    """The secret of the session, from `joined`."""
    ack: int = 0
    """The last `seq` received: later events are sent again."""


class Ack(Message, tag="ack"):
    """All events up to and including `seq` have arrived. Not numbered, not answered."""

    seq: int


class Offer(Message, tag="offer"):
    """The client's SDP offer: first, renegotiation, or ICE restart. Reply: `answer`."""

    id: int
    sdp: str


class Publish(Message, tag="publish"):
    """Offer the track of m-line `mid` of the last offer to the room. Reply: `publication`."""

    id: int
    mid: str
    source: Source
    muted: bool = False


class Unpublish(Message, tag="unpublish"):
    """Withdraw a publication of one's own."""

    id: int
    publication: str


class Mute(Message, tag="mute"):
    """Mute or unmute a publication of one's own; the server itself stops forwarding what is muted."""

    id: int
    publication: str
    muted: bool


class Watch(Message, tag="watch"):
    """Publications wanted in this session's video slots, most wanted first; None: the server chooses."""

    id: int
    publications: tuple[str, ...] | None = None


class Ping(Message, tag="ping"):
    """Is the connection alive? Reply: empty. Sent when nothing has been heard for some seconds."""

    id: int


class Leave(Message, tag="leave"):
    """Leave the room and end the session."""

    id: int


ClientMessage = Join | Resume | Ack | Offer | Publish | Unpublish | Mute | Watch | Ping | Leave
Command = Offer | Publish | Unpublish | Mute | Watch | Ping | Leave
"""Messages that are numbered and answered."""


# --- server to client -------------------------------------------------------------------------------------


class Event(Message, kw_only=True):
    """Base of what the server sends; `seq` is set when it is put into the session's log."""

    seq: int = 0


class Joined(Event, tag="joined"):
    """The session stands: who you are, who is there, what you may do."""

    room: str
    session: str
    """Secret with which a new connection resumes this session."""
    you: Participant
    participants: tuple[Participant, ...]
    """Everybody else."""
    permissions: Permissions
    ice_servers: tuple[IceServer, ...] = ()
    resume_seconds: float = 30.0
    """How long the session waits for a lost connection to come back."""


class Resumed(Event, tag="resumed"):
    """The session goes on; what was missed follows. `last_id` is the last command that was carried out."""

    last_id: int


class Reply(Event, tag="reply"):
    """Command `re` was carried out."""

    re: int
    sdp: str = ""
    """To `offer`: the answer."""
    publication: Publication | None = None
    """To `publish`: the new publication."""


class Error(Event, tag="error"):
    """Command `re` was refused, or with `re` 0 the connection itself."""

    code: ErrorCode
    message: str
    re: int = 0


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


class Published(Event, tag="published"):
    """A participant offers a track."""

    participant: str
    publication: Publication


class Unpublished(Event, tag="unpublished"):
    """A participant withdrew a track."""

    participant: str
    publication: str


class Muted(Event, tag="muted"):
    """A participant muted or unmuted a track."""

    participant: str
    publication: str
    muted: bool


class Slots(Event, tag="slots"):
    """What each slot of this session carries now, all slots listed."""

    slots: tuple[SlotAssignment, ...]


class Speakers(Event, tag="speakers"):
    """Who is speaking, loudest first; of the moment (`seq` 0), at most five a second and only on change."""

    speakers: tuple[Speaker, ...]


class Redundancy(Event, tag="redundancy"):
    """How the server asks for m-line `mid` to be sent, for the loss that it sees there."""

    mid: str
    depth: int = 0
    """Redundant frames in a packet (RED, RFC 2198)."""
    copies: int = 1
    """How often each packet is sent, some milliseconds apart."""


class Transport(Event, tag="transport"):
    """State of this session's media transport; on `failed` make a new peer connection."""

    state: TransportState


class Closed(Event, tag="closed"):
    """The session has ended; the connection closes after this."""

    reason: Literal["left", "replaced", "removed", "timeout", "shutdown", "too-slow", "protocol-error"]


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
    "internal",         # a fault of the server, logged there
]

ServerMessage = (
    Joined | Resumed | Reply | Error | ParticipantJoined | ParticipantLeft | ParticipantChanged
    | Published | Unpublished | Muted | Slots | Speakers | Redundancy | Transport | Closed
)

_client_decoder = msgspec.json.Decoder(ClientMessage)
_server_decoder = msgspec.json.Decoder(ServerMessage)
_encoder = msgspec.json.Encoder()


def decode_client(text: str | bytes) -> ClientMessage:
    """Parse what a client sent. Raises msgspec.DecodeError with a sentence for the client."""
    message: ClientMessage = _client_decoder.decode(text)
    return message


def decode_server(text: str | bytes) -> ServerMessage:
    """Parse what a server sent. Raises msgspec.DecodeError."""
    message: ServerMessage = _server_decoder.decode(text)
    return message


def encode(message: Message) -> str:
    """Write a message as JSON."""
    return _encoder.encode(message).decode()
