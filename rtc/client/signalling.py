"""The signalling connection: numbered commands and events over a WebSocket that may break and come back.

A command is repeated under its number until it is answered, so that the server carries it out once whatever
the connection does. Events are acknowledged, and those of a break are sent again by the server.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from rtc.client import protocol
from rtc.client.errors import CallError, JoinError

BACKOFF_SECONDS = (0.0, 0.3, 1.2, 2.7, 4.8, 7.0)
"""Waits before the attempts to reconnect, as LiveKit's clients; the last repeats. Up to a second is added."""

PING_SECONDS = 3.0
"""A connection that has been silent for this long is asked whether it lives."""

SILENCE_SECONDS = 7.0
"""A connection that has been silent for this long is given up."""

ATTEMPT_SECONDS = 15.0
"""An attempt to reconnect may take this long: where half of the packets are lost, a handshake takes many seconds."""

HEAD_START_SECONDS = 1.5
"""A handshake that takes longer gets company: at 50 % loss three of four wait for another SYN, sent late."""

FIRST_ATTEMPTS = 4
"""Connections that may break before the server has let us in."""

MAX_HANDSHAKES = 5
"""Connections that are opened at a time at most."""

RETURN_SECONDS = 300.0
"""A server that does not answer for this long is given up: one that is set up anew is back sooner."""

PASSING = frozenset({"rate-limited", "unavailable"})
"""Refusals that do not last."""

ACK_EVENTS = 16
"""Events acknowledged at once at the latest."""

ACK_SECONDS = 1.0
"""An event is acknowledged after this time at the latest."""

COMMAND_SECONDS = 150.0
"""An unanswered command fails after this time: longer than a session outlives its connection."""

MAX_UNANSWERED = 64
"""Commands waiting for an answer at most."""

CommandT = TypeVar("CommandT", bound=protocol.Command)
StandingT = TypeVar("StandingT", protocol.Joined, protocol.Reachable)


def websocket_url(url: str) -> str:
    """The address of the WebSocket of a server, from any http or https address on it. Raises JoinError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise JoinError("bad-address", f"{url!r} is not an address like http://host:8080")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urlunsplit((scheme, host if port is None else f"{host}:{port}", "/ws", "", ""))


class Signalling:
    """One session.

    `handle` gets every event, once and in order; `lost` is told whether the connection is away.
    """

    def __init__(
        self,
        url: str,
        *,
        handle: Callable[[protocol.ServerMessage], None],
        lost: Callable[[bool], None],
        ended: Callable[[str], None],
    ) -> None:
        self.url = websocket_url(url)
        self._handle = handle
        self._lost = lost
        self._ended = ended
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self.restarted = False
        """The server was, or the session had to begin afresh, and its snapshot is still to come: whoever handles that
        resets this."""
        self._hello: protocol.Join | protocol.Reach = protocol.Reach(name="")
        self._session = ""
        self._next_id = 1
        self._unanswered: dict[int, tuple[protocol.Command, asyncio.Future[protocol.Reply]]] = {}
        self._seq = 0
        self._acked = 0
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def join(
        self, *, room: str, name: str, token: str, seconds: float, waiting: Callable[[], object] = lambda: None
    ) -> protocol.Joined:
        """Connect and enter the room; commands given before go out right behind. Raises JoinError.

        `waiting` is called when a host has to let one in first, which may take any time.
        """
        hello = protocol.Join(room=room, name=name, token=token, kind="python", session=_new_secret())
        return await self._begin(hello, protocol.Joined, seconds, waiting)

    async def reach(self, *, name: str, token: str, seconds: float) -> protocol.Reachable:
        """Connect and be reachable. Raises JoinError."""
        hello = protocol.Reach(name=name, token=token, kind="python", session=_new_secret())
        return await self._begin(hello, protocol.Reachable, seconds, lambda: None)

    async def _begin(
        self, hello: protocol.Join | protocol.Reach, expected: type[StandingT], seconds: float,
        waiting: Callable[[], object],
    ) -> StandingT:
        self._hello = hello
        try:
            async with asyncio.timeout(seconds) as limit:
                socket, joined = await self._knock(hello, limit, waiting)
        except TimeoutError:
            raise JoinError("timeout", f"the server at {self.url} did not answer in {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as problem:
            raise JoinError("unreachable", f"cannot reach {self.url}: {_reason(problem)}") from None
        except msgspec.DecodeError:
            raise JoinError("bad-message", f"{self.url} does not answer as a Clarion server does") from None
        if isinstance(joined, protocol.Error):
            raise JoinError(joined.code, joined.message)
        if not isinstance(joined, expected):
            raise JoinError("bad-message", f"{self.url} does not answer as a Clarion server does")
        self._begun(joined)
        self._tasks = [
            asyncio.create_task(self._run(socket), name="signalling"),
            asyncio.create_task(self._keep_alive(), name="signalling keep-alive"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_done)
        return joined

    async def _knock(
        self, hello: protocol.Message, limit: asyncio.Timeout, waiting: Callable[[], object]
    ) -> tuple[aiohttp.ClientWebSocketResponse, protocol.ServerMessage | int]:
        """Say hello until it is answered, through connections that break; in the lobby also through a restart."""
        attempt, in_lobby = 0, False

        def wait() -> None:
            nonlocal attempt, in_lobby
            attempt, in_lobby = 0, True
            limit.reschedule(None)
            waiting()

        while True:
            socket: aiohttp.ClientWebSocketResponse | None = None
            try:
                socket = self._socket = await self._open()
                return socket, await self._greet(socket, hello, wait)
            except (aiohttp.ClientError, OSError):
                attempt += 1
                if not in_lobby and (socket is None or attempt == FIRST_ATTEMPTS):
                    raise
            if in_lobby and limit.when() is None:
                limit.reschedule(asyncio.get_running_loop().time() + RETURN_SECONDS)
            if in_lobby:
                await asyncio.sleep(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])

    async def _greet(
        self, socket: aiohttp.ClientWebSocketResponse, hello: protocol.Message, waiting: Callable[[], object]
    ) -> protocol.ServerMessage | int:
        """Say hello, with what was asked for before; the answer."""
        early = [command for command, _ in self._unanswered.values()]
        await socket.send_str(protocol.encode(hello))
        for command in early:
            await socket.send_str(protocol.encode(command))
        answer = await self._first_message(socket)
        if isinstance(answer, protocol.Waiting):
            waiting()
            answer = await self._first_message(socket)
        return answer

    def _begun(self, standing: protocol.Joined | protocol.Reachable) -> None:
        self._session = standing.session
        self._seq = self._acked = 0
        self._note_event(standing.seq)

    async def command(self, make: Callable[[int], CommandT]) -> protocol.Reply:
        """Send the command that `make` builds from its number and wait for the answer. Raises CallError."""
        if self._closed:
            raise CallError("closed", "the call has ended")
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise CallError("rate-limited", "too many commands are waiting for an answer")
        number = self._next_id
        self._next_id += 1
        command = make(number)
        future: asyncio.Future[protocol.Reply] = asyncio.get_running_loop().create_future()
        self._unanswered[number] = command, future
        try:
            await self._send(command)
            async with asyncio.timeout(COMMAND_SECONDS):
                return await future
        except TimeoutError:
            raise CallError("timeout", "the server did not answer in time") from None
        finally:
            self._unanswered.pop(number, None)

    async def close(self) -> None:
        """Stop; unanswered commands fail."""
        self._end("left")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        if self._http is not None:
            await self._http.close()

    # --- the connection -------------------------------------------------------------------------------------

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        """The first connection that stands, of several begun in turn. Raises what the last one failed with."""
        opening: set[asyncio.Task[aiohttp.ClientWebSocketResponse]] = set()
        try:
            while True:
                if len(opening) < MAX_HANDSHAKES:
                    opening.add(asyncio.create_task(self._connect(), name="signalling handshake"))
                done, _ = await asyncio.wait(
                    opening, timeout=HEAD_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if task.exception() is None:
                        opening.discard(task)
                        return task.result()
                if done == opening:
                    return done.pop().result()
                opening -= done
        finally:
            for task in opening:
                task.cancel()
            for late in await asyncio.gather(*opening, return_exceptions=True):
                if isinstance(late, aiohttp.ClientWebSocketResponse):
                    await late.close()

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        if self._http is None:
            self._http = aiohttp.ClientSession()
        return await self._http.ws_connect(self.url, max_msg_size=protocol.MAX_MESSAGE_BYTES)

    async def _first_message(self, socket: aiohttp.ClientWebSocketResponse) -> protocol.ServerMessage | int:
        received = await socket.receive()
        if received.type is not aiohttp.WSMsgType.TEXT:
            raise aiohttp.ClientConnectionError("the connection was closed")
        self._heard_at = time.monotonic()
        return protocol.decode(received.data)

    async def _run(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read; when the connection breaks, resume the session; until the session ends."""
        current: aiohttp.ClientWebSocketResponse | None = socket
        while current is not None:
            await self._read(current)
            if self._closed:
                return
            self._lost(True)
            current = self._socket = await self._resume()
            if current is not None:
                self._lost(False)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for received in socket:
            if received.type is not aiohttp.WSMsgType.TEXT:
                continue
            self._heard_at = time.monotonic()
            try:
                message = protocol.decode(received.data)
            except msgspec.DecodeError:
                break
            await self._receive(message)
            if self._closed:
                break
        await socket.close()

    async def _receive(self, message: protocol.ServerMessage | int) -> None:
        seq = message if isinstance(message, int) else message.seq
        # A snapshot comes once, and counts anew: after a restart on a clock that was set back, from below.
        if seq and seq <= self._seq and not isinstance(message, protocol.Joined | protocol.Reachable):
            return
        self._note_event(seq)
        if isinstance(message, protocol.Reply | protocol.Error):
            self._answered(message)
        elif isinstance(message, protocol.Closed):
            self._end(message.reason)
        elif not isinstance(message, int):
            self._handle(message)
        if self._seq - self._acked >= ACK_EVENTS:
            await self._acknowledge()

    def _answered(self, message: protocol.Reply | protocol.Error) -> None:
        _, future = self._unanswered.get(message.re, (None, None))
        if future is None or future.done():
            return
        if isinstance(message, protocol.Error):
            future.set_exception(CallError(message.code, message.message, retry_after=message.retry_after))
        else:
            future.set_result(message)

    async def _resume(self) -> aiohttp.ClientWebSocketResponse | None:
        """A new connection of the session, or of another in its place; None when there will be none."""
        give_up_at = time.monotonic() + RETURN_SECONDS
        attempt = 0
        while time.monotonic() < give_up_at:
            wait = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]
            await asyncio.sleep(wait + (random.random() if wait else 0.0))  # noqa: S311 - spreads load, no secret
            attempt += 1
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS) as limit:
                    socket = await self._open()
                    refusal = await (self._go_on(socket) if self._session else self._begin_afresh(socket, limit))
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError):
                continue
            if not refusal:
                return socket
            await socket.close()
            if refusal == "gone" and self._session:
                self._forget("the session has ended")
                attempt = 0
            elif refusal not in PASSING:
                self._end(refusal)
                return None
        self._end("timeout")
        return None

    async def _go_on(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Take the session up again; the code of a refusal, or ""."""
        await socket.send_str(protocol.encode(protocol.Resume(session=self._session, ack=self._seq)))
        answer = await self._first_message(socket)
        if not isinstance(answer, protocol.Resumed):
            return answer.code if isinstance(answer, protocol.Error) else "bad-message"
        self._acked = self._seq
        if answer.restarted:
            self.restarted = True
            self._void_media_commands()
        await self._repeat(socket)
        return ""

    async def _begin_afresh(self, socket: aiohttp.ClientWebSocketResponse, limit: asyncio.Timeout) -> str:
        """Begin a session in place of one that has ended; the code of a refusal, or ""."""
        await socket.send_str(protocol.encode(self._hello))
        answer = await self._first_message(socket)
        if isinstance(answer, protocol.Waiting):  # for a host, who may take any time
            limit.reschedule(None)
            answer = await self._first_message(socket)
        if not isinstance(answer, protocol.Joined | protocol.Reachable):
            return answer.code if isinstance(answer, protocol.Error) else "bad-message"
        self._begun(answer)
        self._socket = socket  # what follows from the news goes over it
        self.restarted = True
        self._handle(answer)
        await self._repeat(socket)
        return ""

    async def _repeat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        for command, future in list(self._unanswered.values()):
            if not future.done():
                await socket.send_str(protocol.encode(command))

    def _forget(self, why: str) -> None:
        """The session is no more, and so is what it was asked."""
        self._session = ""
        self._hello = msgspec.structs.replace(self._hello, session=_new_secret())
        for _, future in self._unanswered.values():
            if not future.done():
                future.set_exception(CallError("gone", why))

    def _void_media_commands(self) -> None:
        """Those without an answer were about media that the server no longer knows."""
        for command, future in self._unanswered.values():
            if isinstance(command, protocol.MediaCommand) and not future.done():
                future.set_exception(CallError("gone", "the server was restarted"))

    async def _send(self, message: protocol.Message) -> None:
        """Send if the connection stands; a command is repeated later otherwise."""
        if self._socket is None or self._socket.closed:
            return
        try:
            await self._socket.send_str(protocol.encode(message))
        except (aiohttp.ClientError, OSError):
            return  # the reader sees the break and resumes

    def _note_event(self, seq: int) -> None:
        if seq:
            self._seq = seq
            self._acked = min(self._acked, seq)

    async def _acknowledge(self) -> None:
        self._acked = self._seq
        await self._send(protocol.Ack(seq=self._seq))

    async def _keep_alive(self) -> None:
        pings: set[asyncio.Task[None]] = set()
        try:
            while True:
                await asyncio.sleep(ACK_SECONDS)
                if self._seq > self._acked:
                    await self._acknowledge()
                silent = time.monotonic() - self._heard_at
                if self._socket is None or self._socket.closed:
                    continue
                if silent > SILENCE_SECONDS:
                    await self._socket.close()
                elif silent > PING_SECONDS and not pings:
                    ping = asyncio.create_task(self._ping(), name="signalling ping")
                    pings.add(ping)
                    ping.add_done_callback(pings.discard)
        finally:
            for ping in pings:
                ping.cancel()

    async def _ping(self) -> None:
        try:
            await self.command(lambda number: protocol.Ping(id=number))
        except CallError:
            return  # a dead connection is noticed by its silence

    def _end(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        for _, future in self._unanswered.values():
            if not future.done():
                future.set_exception(CallError("closed", "the call has ended"))
        self._ended(reason)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """A fault in a task of ours ends the call instead of leaving it half alive."""
        if not task.cancelled() and task.exception() is not None:
            self._end("internal")


def _new_secret() -> str:
    """For a session: a join that is repeated under it, because the connection broke, is carried out once."""
    return secrets.token_urlsafe(32)


def _reason(problem: BaseException) -> str:
    if isinstance(problem, aiohttp.WSServerHandshakeError):
        return f"the server answered {problem.status}"
    if isinstance(problem, aiohttp.ClientConnectorError):
        number = problem.os_error.errno or 0
        return os.strerror(number).lower() if number > 0 else "there is no such host"
    return str(problem) or type(problem).__name__
