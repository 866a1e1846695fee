"""What the service needs of a store. SQLite fills it here; a Redis Stream for each room could as well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from signaling.protocol import ChatMessage
from signaling.tokens import Grants

MemberKind = Literal["web", "python", "whip", "whep"]


class StoreError(Exception):
    """It could not be stored or read; the text is for the operator."""


class KeyConflictError(Exception):
    """The key of a message was used before, for another one."""


@dataclass(frozen=True, slots=True)
class Author:
    """A participant as a message names it."""

    participant: str
    identity: str
    """Of the token, empty without one: what makes two participants the same person."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that is not numbered yet."""

    room: str
    last: int
    """A number that the room has reached: it is not used again, even when all messages have been forgotten."""
    key: str
    at: float
    """Unix time in seconds."""
    sender: Author
    to: Author | None
    """None: everybody."""
    content: bytes
    """JSON, as in the protocol."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a message."""

    message: ChatMessage
    repeated: bool
    """It was stored before, under the same key."""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages of a room, in order."""

    messages: tuple[ChatMessage, ...]
    more: bool
    """There are more in the span asked for."""


class MessageStore(Protocol):
    """The numbered messages of every room."""

    def append(self, message: NewMessage) -> asyncio.Future[Appended]:
        """Number and store a message, once for each key.

        The future is done when the message would survive a crash, in the order of the numbers of a room. It raises
        KeyConflictError or StoreError.
        """

    async def find(self, room: str, key: str) -> ChatMessage | None:
        """The message that was stored under this key. Raises StoreError."""

    async def page(
        self, room: str, reader: Author, *, after: int, before: int, forwards: bool, limit: int
    ) -> Page:
        """What `reader` may see between two numbers: the last `limit`, or with `forwards` the first.

        Raises StoreError.
        """

    async def last_number(self, room: str) -> int:
        """Number of the last message of a room, 0 without any. Raises StoreError."""

    async def forget(self, *, before: float) -> int:
        """Delete what was sent before this Unix time; how many. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """As much of a session as a restarted server needs to take its client in again."""

    secret_hash: bytes
    participant: str
    name: str
    kind: MemberKind
    grants: Grants


class SessionStore(Protocol):
    """The sessions that have not ended. Nothing waits for a write: what was lost only has to join again."""

    def save(self, record: SessionRecord) -> None:
        """Keep a session, in place of what was kept of it before."""

    def delete(self, secret_hash: bytes) -> None:
        """The session has ended."""

    async def all(self) -> list[SessionRecord]:
        """The sessions of the server that ran before, in the order they were opened. Raises StoreError."""
