"""What all messages have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""An integer that JavaScript and the database hold exactly."""

NewSecret = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_-]{32,128})?$")]
"""The secret of a session, made by the client; or empty: the server makes it."""

MAX_MESSAGE_BYTES = 256 * 1024
"""Longest WebSocket message, bytes: an offer with 60 m-lines of Chromium is about 180 kB."""


class Message(msgspec.Struct, rename="camel", tag_field="type", omit_defaults=True):
    """Base of all messages."""


class Numbered(Message):
    """Base of the commands: numbered by the client, answered by the server with a reply or an error."""

    id: int


class Event(Message, kw_only=True):
    """Base of what the server sends; `seq` is set when it is put into the session's log."""

    seq: int = 0
