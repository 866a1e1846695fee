"""The Python client: join a call, publish tracks, hear and see the others."""

from rtc.client.call import Call, join
from rtc.client.errors import CallError, JoinError
from rtc.client.events import (
    CallEvent,
    ConnectionChanged,
    LobbyChanged,
    MuteChanged,
    Participant,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    PermissionsChanged,
    Publication,
    PublicationEnded,
    Published,
    RoleChanged,
    RoomChanged,
    SpeakersChanged,
    UnmuteAsked,
    Unpublished,
)
from rtc.client.line import Line, Ring, reachable
from rtc.client.messages import MessageStream
from rtc.client.protocol import Bytes, Json, Reaction, Text
from rtc.client.protocol import ChatMessage as Message
from rtc.client.publication import LocalPublication
from rtc.client.statistics import CallStatistics
from rtc.client.tracks import RemoteAudioTrack, RemoteTrack, RemoteVideoTrack

__all__ = [
    "Bytes",
    "Call",
    "CallError",
    "CallEvent",
    "CallStatistics",
    "ConnectionChanged",
    "JoinError",
    "Json",
    "Line",
    "LobbyChanged",
    "LocalPublication",
    "Message",
    "MessageStream",
    "MuteChanged",
    "Participant",
    "ParticipantChanged",
    "ParticipantJoined",
    "ParticipantLeft",
    "PermissionsChanged",
    "Publication",
    "PublicationEnded",
    "Published",
    "Reaction",
    "RemoteAudioTrack",
    "RemoteTrack",
    "RemoteVideoTrack",
    "Ring",
    "RoleChanged",
    "RoomChanged",
    "SpeakersChanged",
    "Text",
    "UnmuteAsked",
    "Unpublished",
    "join",
    "reachable",
]
