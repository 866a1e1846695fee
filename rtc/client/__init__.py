"""The Python client: join a call, publish tracks, hear and see the others."""

from rtc.client.call import Call, join
from rtc.client.errors import CallError, JoinError
from rtc.client.events import (
    CallEvent,
    ConnectionChanged,
    MuteChanged,
    Participant,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    Publication,
    PublicationEnded,
    Published,
    SpeakersChanged,
    Unpublished,
)
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
    "LocalPublication",
    "Message",
    "MessageStream",
    "MuteChanged",
    "Participant",
    "ParticipantChanged",
    "ParticipantJoined",
    "ParticipantLeft",
    "Publication",
    "PublicationEnded",
    "Published",
    "Reaction",
    "RemoteAudioTrack",
    "RemoteTrack",
    "RemoteVideoTrack",
    "SpeakersChanged",
    "Text",
    "Unpublished",
    "join",
]
