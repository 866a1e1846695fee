"""Messages of a call: sent until they are stored, received once and in order, whatever the connection does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from rtc.client import protocol
from rtc.client.errors import CallError
from rtc.client.protocol import ChatMessage, Content

logger = logging.getLogger(__name__)

PAGE = 200
"""Messages asked for at once."""

RETRY_SECONDS = 1.0
"""Until the next attempt, where the server does not say."""

SEND_SECONDS = 300.0
"""A message that cannot be stored for so long has failed."""

PASSING = frozenset({"rate-limited", "unavailable", "timeout", "gone"})
"""Refusals after which the same may succeed."""

MAX_UNREAD = 10_000
"""Messages that a stream holds for a program that does not read them."""

Command = Callable[[Callable[[int], protocol.Command]], Awaitable[protocol.Reply]]


class MessageStream(AsyncIterator[ChatMessage]):
    """Messages as they come; ends with the call. Raises CallError once more than MAX_UNREAD were not read."""

    def __init__(self, history: Callable[[], Awaitable[list[ChatMessage]]] | None) -> None:
        self._ask = history
        self._history: asyncio.Future[list[ChatMessage]] | None = None
        self._messages: deque[ChatMessage] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._overflowed = False

    def put(self, message: ChatMessage) -> None:
        """Add a message."""
        if len(self._messages) >= MAX_UNREAD:
            self._overflowed = True
            self._messages.clear()
        if not self._overflowed:
            self._messages.append(message)
        self._arrived.set()

    def end(self) -> None:
        """No message follows."""
        self._ended = True
        self._arrived.set()

    def __aiter__(self) -> MessageStream:
        return self

    async def __anext__(self) -> ChatMessage:
        if self._ask is not None:
            if self._history is None or (self._history.done() and self._history.exception() is not None):
                self._history = asyncio.ensure_future(self._ask())
            history = await asyncio.shield(self._history)  # a wait that is given up does not lose it
            self._ask = self._history = None
            self._messages.extendleft(reversed(history))
        while not self._messages:
            if self._overflowed:
                raise CallError("too-slow", "more messages came than were read")
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._messages.popleft()


class Messages:
    """Sends and receives the messages of one session; `command` is Signalling.command."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._complete = 0
        """Everything up to this number has been handed to the streams, or was there before the call."""
        self._last = 0
        """The last number that there is, as far as we know."""
        self._catching_up: asyncio.Task[None] | None = None
        self._streams: weakref.WeakSet[MessageStream] = weakref.WeakSet()  # a stream nobody holds is not filled
        self._ended = False

    @property
    def catching_up(self) -> bool:
        """Whether missed messages are being asked for."""
        return self._catching_up is not None

    def joined(self, last: int) -> None:
        """The call begins; messages up to `last` were there before."""
        self._complete = self._last = last

    def behind(self, last: int) -> None:
        """Messages up to `last` may have been missed: ask for them."""
        if last < self._complete:  # the server had forgotten all there was, and counts from one again
            self._complete = 0
        self._last = last
        self._catch_up()

    def receive(self, message: ChatMessage) -> None:
        """A message has come by itself."""
        self._last = max(self._last, message.number)
        if self._catching_up is None and message.number > self._complete:
            self._hand_out(message)

    async def send(self, content: Content, *, to: str = "") -> int:
        """Send until it is stored; its number. Raises CallError."""
        key = uuid.uuid4().hex
        give_up_at = asyncio.get_running_loop().time() + SEND_SECONDS
        while True:
            try:
                reply = await self._command(
                    lambda number: protocol.Send(id=number, key=key, content=content, to=to)
                )
            except CallError as problem:
                wait = problem.retry_after or RETRY_SECONDS
                late = asyncio.get_running_loop().time() + wait > give_up_at
                if problem.code not in PASSING or self._ended or late:
                    raise
                await asyncio.sleep(wait)
            else:
                return reply.number

    def stream(self, *, history: int) -> MessageStream:
        """The last `history` messages, and then those that come."""
        before = self._complete + 1
        stream = MessageStream((lambda: self._before(before, history)) if history > 0 else None)
        if self._ended:
            stream.end()
        else:
            self._streams.add(stream)
        return stream

    def end(self) -> None:
        """The call has ended."""
        self._ended = True
        for stream in self._streams:
            stream.end()
        if self._catching_up is not None:
            self._catching_up.cancel()

    async def _before(self, before: int, count: int) -> list[ChatMessage]:
        found: list[ChatMessage] = []
        while len(found) < count:
            limit, upto = min(PAGE, count - len(found)), before
            reply = await self._command(lambda number: protocol.History(id=number, before=upto, limit=limit))  # noqa: B023 - awaited here
            if not reply.messages:
                break
            found = [*reply.messages, *found]
            before = reply.messages[0].number
            if not reply.more:
                break
        return found

    def _catch_up(self) -> None:
        if self._catching_up is None and self._complete < self._last and not self._ended:
            self._catching_up = asyncio.create_task(self._missed(), name="missed messages")
            self._catching_up.add_done_callback(self._caught_up)

    async def _missed(self) -> None:
        while self._complete < self._last:
            after, aim = self._complete, self._last
            with contextlib.suppress(CallError):
                reply = await self._command(lambda number: protocol.History(id=number, after=after, limit=PAGE))  # noqa: B023 - awaited here
                for message in reply.messages:
                    if message.number > self._complete:
                        self._hand_out(message)
                if not reply.more:  # what is left up to there was for others
                    self._complete = max(self._complete, aim)
                continue
            await asyncio.sleep(RETRY_SECONDS)

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        self._catching_up = None
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("missed messages cannot be read", exc_info=problem)
        else:
            self._catch_up()

    def _hand_out(self, message: ChatMessage) -> None:
        self._complete = message.number
        for stream in self._streams:
            stream.put(message)
