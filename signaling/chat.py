"""Messages between participants: checked, numbered and stored, then told to whom they are for."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog

from rtc.bucket import TokenBucket
from signaling import protocol
from signaling.members import Member, RefusedError
from signaling.rooms import Directory, SignallingRoom
from signaling.store.interface import Author, KeyConflictError, MessageStore, NewMessage, StoreError

BURST_SECONDS = 10.0
"""A participant may send this many seconds' worth of messages at once."""
FORGET_SECONDS = 600.0
"""Between two looks for messages that are old enough to be deleted."""
MAX_KEY = 64
MAX_TOPIC = 64
MAX_EMOJI = 32
"""Characters: the longest emoji, families with skin tones, have a dozen."""
MAX_DEPTH = 64
"""Levels of arrays and objects in the data of an application."""
MAX_PAGE = 200
"""Messages in an answer to `history`."""
MAX_PAGE_BYTES = 128 * 1024
"""JSON of the messages in such an answer, an eighth of what a session keeps."""

ADMINISTRATOR = "Administrator"
"""The name over messages that come through the API."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """What one participant may send."""

    per_second: float
    message_bytes: int
    """JSON of the content of a message."""


class Chat:
    """The messages of all rooms of a server."""

    def __init__(
        self, directory: Directory, store: MessageStore, limits: ChatLimits, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._store = store
        self._limits = limits
        self._clock = clock

    async def open(self, room: str) -> int:
        """Number of the last message of a room that somebody is about to enter; 0 if it cannot be read."""
        if (present := self._directory.rooms.get(room)) is not None and present.last_message:
            return present.last_message
        try:
            return await self._store.last_number(room)
        except StoreError as error:
            log.error("the messages of a room cannot be read", room=room, why=str(error))
            return 0

    async def open_all(self) -> None:
        """The same for every room there is: those of restored sessions."""
        for room in list(self._directory.rooms.values()):
            room.last_message = await self.open(room.name)

    @asynccontextmanager
    async def forgetting(self, age: float) -> AsyncIterator[None]:
        """A context in which messages are deleted once they are `age` seconds old."""
        task = asyncio.create_task(self._forget(age), name="forgetting messages")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _forget(self, age: float) -> None:
        while True:
            try:
                count = await self._store.forget(before=self._clock() - age)
            except StoreError as error:
                log.error("old messages could not be deleted", why=str(error))
            else:
                log.debug("old messages deleted", messages=count)
            await asyncio.sleep(min(FORGET_SECONDS, age))

    async def send(self, member: Member, command: protocol.Send, *, now: float) -> protocol.Reply:
        """Store a message, tell everybody whom it is for. Raises RefusedError."""
        room = member.room
        if not member.permissions.can_publish_data or member.hidden:
            raise RefusedError("not-permitted", "You may not send messages in this room.")
        if not command.key or len(command.key) > MAX_KEY:
            raise RefusedError("bad-message", f"The key of a message has 1 to {MAX_KEY} characters.")
        content = self._checked(command.content, room)
        if member.sends is None:
            member.sends = TokenBucket(self._limits.per_second, self._limits.per_second * BURST_SECONDS)
        if not member.sends.take(now=now):
            raise RefusedError(
                "rate-limited", "Too many messages at once; wait a moment.", retry_after=member.sends.wait(now=now)
            )
        try:
            appended = await self._store.append(
                NewMessage(
                    room=room.name,
                    last=room.last_message,
                    key=command.key,
                    at=self._clock(),
                    sender=_author(member),
                    to=await self._recipient(room, command),
                    content=content,
                )
            )
        except KeyConflictError:
            raise RefusedError("conflict", "This key was used for another message.") from None
        except StoreError as error:
            log.error("a message could not be stored", room=room.name, why=str(error))
            raise RefusedError("unavailable", "The message could not be stored; try again later.") from error
        if not appended.repeated:
            self._deliver(room.name, appended.message)
        return protocol.Reply(re=command.id, number=appended.message.number, at=appended.message.at)

    async def announce(self, room: str, identity: str, content: protocol.Content) -> protocol.ChatMessage:
        """Store a message of an administrator, who is in no room, and tell everybody in `room`.

        Raises RefusedError and StoreError.
        """
        encoded = msgspec.json.encode(content)
        if len(encoded) > self._limits.message_bytes:
            raise RefusedError("too-large", f"A message has at most {self._limits.message_bytes} bytes.")
        new = NewMessage(
            room=room, key=secrets.token_urlsafe(12), at=self._clock(), sender=Author("", identity, ADMINISTRATOR),
            to=None, content=encoded, last=await self.open(room),
        )
        appended = await self._store.append(new)
        self._deliver(room, appended.message)
        return appended.message

    async def history(self, member: Member, command: protocol.History) -> protocol.Reply:
        """What was sent before. Raises RefusedError."""
        after = command.after or 0
        if command.limit < 1 or after < 0:
            raise RefusedError("bad-message", "`limit` is at least 1 and `after` at least 0.")
        room = member.room
        # What is stored and not yet told comes as an event.
        ceiling = room.last_message + 1
        before = ceiling if command.before is None else min(command.before, ceiling)
        forwards = command.before is None and command.after is not None
        try:
            page = await self._store.page(
                room.name, _author(member), after=after, before=before, forwards=forwards,
                limit=min(command.limit, MAX_PAGE),
            )
        except StoreError as error:
            log.error("messages could not be read", room=room.name, why=str(error))
            raise RefusedError("unavailable", "The messages cannot be read now; try again later.") from error
        messages = _first_of(page.messages) if forwards else _first_of(page.messages[::-1])[::-1]
        return protocol.Reply(
            re=command.id, messages=messages, more=page.more or len(messages) < len(page.messages)
        )

    def _checked(self, content: protocol.Content, room: SignallingRoom) -> bytes:
        """The content as JSON. Raises RefusedError."""
        encoded = msgspec.json.encode(content)
        if len(encoded) > self._limits.message_bytes:
            raise RefusedError("too-large", f"A message has at most {self._limits.message_bytes} bytes.")
        match content:
            case protocol.Text():
                if not content.text.strip():
                    raise RefusedError("bad-message", "The message is empty.")
            case protocol.Reaction():
                if not content.emoji.strip() or len(content.emoji) > MAX_EMOJI:
                    raise RefusedError("bad-message", f"A reaction has 1 to {MAX_EMOJI} characters.")
                if not 0 <= content.message <= room.last_message:
                    raise RefusedError("not-found", "There is no message with this number.")
            case protocol.Json() | protocol.Bytes():
                if not content.topic or len(content.topic) > MAX_TOPIC:
                    raise RefusedError("bad-message", f"A topic has 1 to {MAX_TOPIC} characters.")
                if isinstance(content, protocol.Json):
                    _check_json(bytes(content.data))
        return encoded

    async def _recipient(self, room: SignallingRoom, command: protocol.Send) -> Author | None:
        if not command.to:
            return None
        member = room.members.get(command.to)
        if member is not None and not member.hidden:
            return _author(member)
        # Repeated, the recipient has left since: it is answered as it was.
        if await self._store.find(room.name, command.key) is None:
            raise RefusedError("not-found", "There is no such participant.")
        return Author(command.to, "")

    def _deliver(self, name: str, message: protocol.ChatMessage) -> None:
        room = self._directory.rooms.get(name)
        if room is None:  # closed meanwhile
            return
        room.last_message = max(room.last_message, message.number)
        event = protocol.MessageSent(message=message)
        if message.to:
            for participant in {message.sender, message.to}:
                if (member := room.members.get(participant)) is not None:
                    member.emit(event)
        else:
            for member in list(room.members.values()):
                member.emit(event)


def _author(member: Member) -> Author:
    return Author(member.id, member.grants.identity, member.name)


def _first_of(messages: tuple[protocol.ChatMessage, ...]) -> tuple[protocol.ChatMessage, ...]:
    """As many as an answer may hold, one at least."""
    size = 0
    for count, message in enumerate(messages):
        size += len(msgspec.json.encode(message))
        if count and size > MAX_PAGE_BYTES:
            return messages[:count]
    return messages


def _check_json(data: bytes) -> None:
    """Whether every JSON library will read it. Raises RefusedError."""
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", _STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise RefusedError("bad-message", f"The data is nested deeper than {MAX_DEPTH} levels.")
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise RefusedError("bad-message", f"The data is no JSON that everybody reads: {error}.") from error
