"""The messages that a client and the server exchange over the WebSocket, as typed values.

Every message is one JSON object in one text frame; `type` names it, field names are camelCase on the wire.

The client numbers its commands with `id` (1, 2, 3 …); the server carries out each number once and answers it
with a `reply` or an `error` whose `re` is that number. The server numbers its events with `seq` (1, 2, 3 …)
and keeps them until the client acknowledges them, so that a resumed session misses nothing. Events of the
moment, which are worthless a second later (`speakers`), carry `seq` 0: they are neither kept nor repeated.

Each module names its own commands and events in a union at its end; here they come together.
"""

from __future__ import annotations

import msgspec

from signaling.protocol.base import MAX_MESSAGE_BYTES, Event, Message, Numbered
from signaling.protocol.calls import (
    Accept,
    CallChanged,
    Called,
    CallHistory,
    CallsCommand,
    CallsEvent,
    CallsMessage,
    CallView,
    Contact,
    ContactChanged,
    Decline,
    HangUp,
    Person,
    Presence,
    Reach,
    Reachable,
    Ring,
    SetBusy,
)
from signaling.protocol.governance import (
    Admit,
    AskUnmute,
    Ban,
    BanPerson,
    EndRoom,
    GovernanceCommand,
    GovernanceEvent,
    ListBans,
    LobbyChanged,
    PermissionsChanged,
    Remove,
    Report,
    RoleChanged,
    RoomChanged,
    SetRole,
    SetRoom,
    Silence,
    Unban,
    UnmuteAsked,
    Waiter,
    Waiting,
)
from signaling.protocol.media import (
    Clocks,
    Codecs,
    Encodings,
    MediaCommand,
    MediaEvent,
    Mute,
    Muted,
    Offer,
    Publish,
    Published,
    Quality,
    Redundancy,
    Slots,
    Speakers,
    Transport,
    Unpublish,
    Unpublished,
    Watch,
)
from signaling.protocol.messages import (
    Bytes,
    ChatMessage,
    Content,
    History,
    Json,
    MessageCommand,
    MessageEvent,
    MessageSent,
    Reaction,
    Send,
    Text,
)
from signaling.protocol.session import (
    Ack,
    Closed,
    CloseReason,
    Error,
    ErrorCode,
    Join,
    Joined,
    Leave,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    Ping,
    Reply,
    Resume,
    Resumed,
    SessionCommand,
    SessionEvent,
    SessionMessage,
)
from signaling.protocol.values import (
    IceServer,
    Kind,
    Participant,
    ParticipantKind,
    Permissions,
    Publication,
    Role,
    RoomSettings,
    SlotAssignment,
    SlotQuality,
    Source,
    Speaker,
    TransportState,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Accept",
    "Ack",
    "Admit",
    "AskUnmute",
    "Ban",
    "BanPerson",
    "Bytes",
    "CallChanged",
    "CallHistory",
    "CallView",
    "Called",
    "CallsCommand",
    "CallsEvent",
    "CallsMessage",
    "ChatMessage",
    "ClientMessage",
    "Clocks",
    "CloseReason",
    "Closed",
    "Codecs",
    "Command",
    "Contact",
    "ContactChanged",
    "Content",
    "Decline",
    "Encodings",
    "EndRoom",
    "Error",
    "ErrorCode",
    "Event",
    "GovernanceCommand",
    "GovernanceEvent",
    "HangUp",
    "History",
    "IceServer",
    "Join",
    "Joined",
    "Json",
    "Kind",
    "Leave",
    "ListBans",
    "LobbyChanged",
    "MediaCommand",
    "MediaEvent",
    "Message",
    "MessageCommand",
    "MessageEvent",
    "MessageSent",
    "Mute",
    "Muted",
    "Numbered",
    "Offer",
    "Participant",
    "ParticipantChanged",
    "ParticipantJoined",
    "ParticipantKind",
    "ParticipantLeft",
    "Permissions",
    "PermissionsChanged",
    "Person",
    "Ping",
    "Presence",
    "Publication",
    "Publish",
    "Published",
    "Quality",
    "Reach",
    "Reachable",
    "Reaction",
    "Redundancy",
    "Remove",
    "Reply",
    "Report",
    "Resume",
    "Resumed",
    "Ring",
    "Role",
    "RoleChanged",
    "RoomChanged",
    "RoomSettings",
    "Send",
    "ServerMessage",
    "SessionCommand",
    "SessionEvent",
    "SessionMessage",
    "SetBusy",
    "SetRole",
    "SetRoom",
    "Silence",
    "SlotAssignment",
    "SlotQuality",
    "Slots",
    "Source",
    "Speaker",
    "Speakers",
    "Text",
    "Transport",
    "TransportState",
    "Unban",
    "UnmuteAsked",
    "Unpublish",
    "Unpublished",
    "Waiter",
    "Waiting",
    "Watch",
    "decode_client",
    "decode_server",
    "encode",
]

Command = SessionCommand | MediaCommand | MessageCommand | CallsCommand | GovernanceCommand
"""Messages that are numbered and answered."""
ClientMessage = SessionMessage | CallsMessage | Command
ServerMessage = SessionEvent | MediaEvent | MessageEvent | CallsEvent | GovernanceEvent

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
