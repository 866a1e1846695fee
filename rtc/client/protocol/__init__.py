"""The messages of the signalling WebSocket, as far as the client uses them.

The contract is the server's (`signaling/protocol`); a test encodes with one and decodes with the other.
Unknown fields are ignored and unknown messages skipped, so that an older client works with a newer server.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from rtc.client.protocol.base import (
    MAX_MESSAGE_BYTES,
    Command,
    Event,
    Message,
    Participant,
    Permissions,
    Publication,
    RoomSettings,
    SlotAssignment,
    Speaker,
)
from rtc.client.protocol.calls import (
    Accept,
    CallChanged,
    Called,
    CallHistory,
    CallsEvent,
    CallView,
    Contact,
    ContactChanged,
    Decline,
    HangUp,
    Person,
    Reach,
    Reachable,
    Ring,
    SetBusy,
)
from rtc.client.protocol.governance import (
    Admit,
    AskUnmute,
    Ban,
    BanPerson,
    EndRoom,
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
from rtc.client.protocol.media import (
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
from rtc.client.protocol.messages import (
    Bytes,
    ChatMessage,
    Content,
    History,
    Json,
    MessageEvent,
    MessageSent,
    Reaction,
    Send,
    Text,
)
from rtc.client.protocol.session import (
    Ack,
    Closed,
    Error,
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
    SessionEvent,
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
    "CallsEvent",
    "ChatMessage",
    "Clocks",
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
    "Event",
    "GovernanceEvent",
    "HangUp",
    "History",
    "Join",
    "Joined",
    "Json",
    "Leave",
    "ListBans",
    "LobbyChanged",
    "MediaCommand",
    "MediaEvent",
    "Message",
    "MessageEvent",
    "MessageSent",
    "Mute",
    "Muted",
    "Offer",
    "Participant",
    "ParticipantChanged",
    "ParticipantJoined",
    "ParticipantLeft",
    "Permissions",
    "PermissionsChanged",
    "Person",
    "Ping",
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
    "RoleChanged",
    "RoomChanged",
    "RoomSettings",
    "Send",
    "ServerMessage",
    "SessionEvent",
    "SetBusy",
    "SetRole",
    "SetRoom",
    "Silence",
    "SlotAssignment",
    "Slots",
    "Speaker",
    "Speakers",
    "Text",
    "Transport",
    "Unban",
    "UnmuteAsked",
    "Unpublish",
    "Unpublished",
    "Waiter",
    "Waiting",
    "Watch",
    "decode",
    "encode",
]

ServerMessage = SessionEvent | MediaEvent | MessageEvent | CallsEvent | GovernanceEvent

_KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in get_args(ServerMessage))
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
