"""Messages between participants: chat, reactions and what applications send.

The server numbers the messages of a room, stores each before it answers, and then tells everybody whom it is for,
the sender too, in the order of the numbers.
"""

from __future__ import annotations

import msgspec

from signaling.protocol.base import Count, Event, Numbered


class _Content(msgspec.Struct, rename="camel", tag_field="kind", frozen=True, omit_defaults=True):
    """Base of what a message may hold."""


class Text(_Content, tag="text", frozen=True):
    """Chat."""

    text: str


class Reaction(_Content, tag="reaction", frozen=True):
    """An emoji for message number `message`, or with 0 for what is happening now."""

    emoji: str
    message: Count = 0
    removed: bool = False
    """The sender takes it back."""


class Json(_Content, tag="json", frozen=True):
    """A value of an application, any JSON, under a `topic` of its choice."""

    topic: str
    data: msgspec.Raw


class Bytes(_Content, tag="bytes", frozen=True):
    """Bytes of an application, Base64 on the wire, under a `topic` of its choice."""

    topic: str
    data: bytes


Content = Text | Reaction | Json | Bytes


class ChatMessage(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """A message as it was stored."""

    number: int
    """Grows in each room, with gaps: what was for others only is left out."""
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


class Send(Numbered, tag="send"):
    """Send `content` to the room, or to one participant. Reply, once it is stored: `number` and `at`.

    Sent again under the same `key`, whether on this connection, another or after a restart of the server, it is
    answered like the first time and nobody gets it twice; with another content it is refused as `conflict`.
    """

    key: str
    """Of the client's making, never used for another message: a UUID, say."""
    content: Content
    to: str = ""


class History(Numbered, tag="history"):
    """Messages with numbers between `after` and `before`. Reply: `messages`, in order, and `more`.

    Of too many the last ones are given; with `after` and without `before`, the first ones.
    """

    after: Count | None = None
    before: Count | None = None
    limit: int = 50


class MessageSent(Event, tag="message"):
    """A message for this participant, or of this participant."""

    message: ChatMessage


MessageCommand = Send | History
MessageEvent = MessageSent
