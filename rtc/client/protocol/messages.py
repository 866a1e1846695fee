"""Messages between participants: chat, reactions and what applications send."""

from __future__ import annotations

from typing import Any

import msgspec

from rtc.client.protocol.base import Command, Event


class _Content(msgspec.Struct, rename="camel", tag_field="kind", frozen=True, omit_defaults=True):
    """Base of what a message may hold."""


class Text(_Content, tag="text", frozen=True):
    """Chat."""

    text: str


class Reaction(_Content, tag="reaction", frozen=True):
    """An emoji for message number `message`, or with 0 for what is happening now."""

    emoji: str
    message: int = 0
    removed: bool = False
    """The sender takes it back."""


class Json(_Content, tag="json", frozen=True):
    """A value of an application, any JSON, under a `topic` of its choice."""

    topic: str
    data: Any


class Bytes(_Content, tag="bytes", frozen=True):
    """Bytes of an application under a `topic` of its choice."""

    topic: str
    data: bytes


Content = Text | Reaction | Json | Bytes


class ChatMessage(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """A message as the server stored it."""

    number: int
    """Grows in each room, with gaps."""
    key: str
    """What the sender named it by."""
    at: float
    """When the server took it, Unix time in seconds."""
    sender: str
    """Id of the participant, who may have left since."""
    name: str
    """Name of the sender then."""
    content: Content
    to: str = ""
    """Id of the only participant it is for; empty: everybody in the room."""


class Send(Command, tag="send"):
    """Send to the room, or to one participant; once, however often it is repeated under its key."""

    key: str
    content: Content
    to: str = ""


class History(Command, tag="history"):
    """Messages with numbers between `after` and `before`."""

    after: int | None = None
    before: int | None = None
    limit: int = 50


class MessageSent(Event, tag="message"):
    """A message for us, or of us."""

    message: ChatMessage


MessageEvent = MessageSent
