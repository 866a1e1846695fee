"""The messages of the signalling WebSocket, as far as the client uses them.

The contract is the server's (`signaling/protocol.py`); a test encodes with one and decodes with the other.
Unknown fields are ignored and unknown messages skipped, so that an older client works with a newer server.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Longest message accepted from the server, bytes: the list of a very large room."""


class Message(msgspec.Struct, rename="camel", tag_field="type", omit_defaults=True):
    """Base of all messages."""


class Command(Message):
    """A message that the server answers; `id` numbers it."""

    id: int


class Publication(msgspec.Struct, rename="camel", frozen=True):
    """A track that a participant offers to the room."""

    id: str
    kind: Literal["audio", "video"]
    source: str
    muted: bool = False


class Participant(msgspec.Struct, rename="camel", frozen=True):
    """Somebody in the room."""

    id: str
    name: str
    kind: str = "web"
    connected: bool = True
    publications: tuple[Publication, ...] = ()


class Permissions(msgspec.Struct, rename="camel", frozen=True):
    """What this session may do."""

    can_publish: bool = True
    can_subscribe: bool = True


class SlotAssignment(msgspec.Struct, rename="camel", frozen=True):
    """What the m-line `mid` carries now."""

    mid: str
    publication: str | None = None
    participant: str | None = None


class Speaker(msgspec.Struct, rename="camel", frozen=True):
    """Somebody heard in the last moment; `level` in dBov."""

    participant: str
    level: int


# --- client to server ---------------------------------------------------------------------------------------


class Join(Message, tag="join"):
    """Enter `room`: the first message of a session."""

    room: str
    name: str
    token: str = ""
    kind: str = "web"


class Resume(Message, tag="resume"):
    """Go on with a session on a new connection."""

    session: str
    ack: int = 0


class Ack(Message, tag="ack"):
    """Events up to `seq` have arrived."""

    seq: int


class Offer(Command, tag="offer"):
    """An SDP offer."""

    sdp: str


class Publish(Command, tag="publish"):
    """Offer the track of an m-line to the room."""

    mid: str
    source: str
    muted: bool = False


class Unpublish(Command, tag="unpublish"):
    """Withdraw a publication."""

    publication: str


class Mute(Command, tag="mute"):
    """Mute or unmute a publication."""

    publication: str
    muted: bool


class Watch(Command, tag="watch"):
    """Video publications wanted, most wanted first; None lets the server choose."""

    publications: tuple[str, ...] | None = None


class Ping(Command, tag="ping"):
    """Is the connection alive?"""


class Leave(Command, tag="leave"):
    """Leave the room."""


# --- server to client ---------------------------------------------------------------------------------------


class Event(Message, kw_only=True):
    """Base of what the server sends; `seq` 0 is of the moment and not repeated."""

    seq: int = 0


class Joined(Event, tag="joined"):
    """The session stands."""

    room: str
    session: str
    you: Participant
    participants: tuple[Participant, ...] = ()
    permissions: Permissions = Permissions()
    resume_seconds: float = 30.0


class Resumed(Event, tag="resumed"):
    """The session goes on."""

    last_id: int


class Reply(Event, tag="reply"):
    """Command `re` was carried out."""

    re: int
    sdp: str = ""
    publication: Publication | None = None


class Error(Event, tag="error"):
    """Command `re`, or with 0 the connection itself, was refused."""

    code: str
    message: str
    re: int = 0


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
    """What each slot carries now."""

    slots: tuple[SlotAssignment, ...]


class Speakers(Event, tag="speakers"):
    """Who is speaking, loudest first."""

    speakers: tuple[Speaker, ...]


class Redundancy(Event, tag="redundancy"):
    """How the server asks for m-line `mid` to be sent."""

    mid: str
    depth: int = 0
    copies: int = 1


class Transport(Event, tag="transport"):
    """State of our media transport as the server sees it."""

    state: str


class Closed(Event, tag="closed"):
    """The session has ended."""

    reason: str


ServerMessage = (
    Joined | Resumed | Reply | Error | ParticipantJoined | ParticipantLeft | ParticipantChanged
    | Published | Unpublished | Muted | Slots | Speakers | Redundancy | Transport | Closed
)

_KNOWN = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (
        Joined, Resumed, Reply, Error, ParticipantJoined, ParticipantLeft, ParticipantChanged,
        Published, Unpublished, Muted, Slots, Speakers, Redundancy, Transport, Closed,
    )
)
_decoder = msgspec.json.Decoder(ServerMessage)
_envelope = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


def decode(text: str | bytes) -> ServerMessage | int:
    """Parse a message of the server; of an unknown type, only its `seq`. Raises msgspec.DecodeError."""
    try:
        message: ServerMessage = _decoder.decode(text)
        return message
    except msgspec.ValidationError:
        envelope = _envelope.decode(text)
        if envelope.get("type") in _KNOWN:
            raise
        seq = envelope.get("seq", 0)
        return seq if isinstance(seq, int) else 0


def encode(message: Message) -> str:
    """Write a message as JSON."""
    return _encoder.encode(message).decode()
