"""Somebody who only writes and reads: the Python client's session and messages, without media."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from rtc.client import protocol
from rtc.client.errors import CallError
from rtc.client.messages import Messages, MessageStream
from rtc.client.signalling import Signalling

JOIN_SECONDS = 60.0


class Talker:
    """One client, from `join` to `leave`."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.id = ""
        self.reconnects = 0
        self.restarts = 0
        """Resumed with a server that had been restarted."""
        self.snapshots = 0
        self.ended = ""
        """Why the session ended, if it did."""
        self._url = url
        self.signalling = self._session()
        self.messages = Messages(lambda make: self.signalling.command(make))  # noqa: PLW0108 - the session may change
        self.resumed: Callable[[], None] = lambda: None
        """Called when a lost connection has come back."""

    async def join(self, room: str, *, history: int = 0) -> MessageStream:
        """Enter, as often as it takes; the messages."""
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            try:
                joined = await self.signalling.join(room=room, name=self.name, token="", seconds=5)
            except CallError:
                await self.signalling.close()
                self.signalling = self._session()
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)
            else:
                break
        self.id = joined.you.id
        self.messages.joined(joined.last_message)
        return self.messages.stream(history=history)

    async def settled(self) -> None:
        """Wait until everything that was missed is here: what is asked now is answered behind it."""
        with contextlib.suppress(CallError):
            await self.signalling.command(lambda number: protocol.Ping(id=number))
        while self.messages.catching_up:  # noqa: ASYNC110 - the bench alone asks, and seldom
            await asyncio.sleep(0.005)

    async def leave(self) -> None:
        """Stop at once."""
        self.messages.end()
        await self.signalling.close()

    def _session(self) -> Signalling:
        return Signalling(self._url, handle=self._handle, lost=self._lost, ended=self._note_end)

    def _handle(self, message: protocol.ServerMessage) -> None:
        if isinstance(message, protocol.MessageSent):
            self.messages.receive(message.message)
        elif isinstance(message, protocol.Joined):
            self.snapshots += 1
            self.restarts += self.signalling.restarted
            self.signalling.restarted = False
            self.messages.behind(message.last_message)

    def _lost(self, lost: bool) -> None:
        self.reconnects += lost
        if not lost:
            self.resumed()

    def _note_end(self, reason: str) -> None:
        if self.id:
            self.ended = reason
