"""The WebSocket at /ws: carries one session at a time, in the messages of `signaling.protocol`."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable
from math import ceil

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, hdrs, web

from signaling import protocol
from signaling.chat import Chat
from signaling.commands import carry_out
from signaling.entrance import Entrance
from signaling.heartbeat import heard_lately
from signaling.keys import CHAT, DIRECTORY, DOORS, HEARTBEAT, METRICS, SESSIONS, SETTINGS
from signaling.members import RefusedError
from signaling.metrics import Metrics
from signaling.protocol import CloseReason
from signaling.rooms import Directory
from signaling.security.origin import origin_allowed
from signaling.session import Session, Sessions
from signaling.waiting import GONE

FIRST_MESSAGE_SECONDS = 10.0
"""A connection that has not said by then who it is, is closed."""
FINISH_SECONDS = 5.0
"""How long a connection that is being closed may take to accept what is left to send."""
MAX_UNSENT_EVENTS = 500
"""Events that may wait for a slow reader before its connection is closed; half of what a session keeps."""
GATHER_SECONDS = 0.5
"""At most, between two writings for events that are not urgent: they come in crowds, and writing costs the most."""
MAX_MOMENTARY_EVENTS = 32
"""Events outside the log that may wait for a slow reader; older ones give way."""
MAX_BAD_MESSAGES = 10
"""Messages nobody can read before the session is ended."""
MAX_COMMAND_ID = 2**53 - 1
"""The largest whole number that JavaScript counts to."""

_CLOSE_CODES: dict[CloseReason, int] = {
    "left": WSCloseCode.OK,
    "replaced": WSCloseCode.OK,
    "removed": WSCloseCode.POLICY_VIOLATION,
    "banned": WSCloseCode.POLICY_VIOLATION,
    "revoked": WSCloseCode.POLICY_VIOLATION,
    "ended": WSCloseCode.OK,
    "timeout": WSCloseCode.POLICY_VIOLATION,
    "shutdown": WSCloseCode.SERVICE_RESTART,
    "too-slow": WSCloseCode.TRY_AGAIN_LATER,
    "protocol-error": WSCloseCode.POLICY_VIOLATION,
}

log = structlog.get_logger()


async def handle(request: web.Request) -> web.StreamResponse:
    """`GET /ws`: upgrade, `join` or `resume`, then carry the session until either ends."""
    if not origin_allowed(request, request.app[SETTINGS]):
        raise web.HTTPForbidden(text="A page of another site may not connect to this server.")
    _slow_down(request)
    socket = web.WebSocketResponse(
        autoping=False,  # see signaling.heartbeat: aiohttp's takes a timer and 2 kB for each connection
        max_msg_size=protocol.MAX_MESSAGE_BYTES,
        timeout=FINISH_SECONDS,
        compress=False,  # its windows would be most of the memory of an idle connection
    )
    try:
        await socket.prepare(request)
    except ConnectionError:
        return web.Response()  # the client has gone away already: nobody reads this
    connection = Connection(request, socket)
    heartbeat = request.app[HEARTBEAT]
    heartbeat.watch(connection)
    try:
        await connection.run()
    finally:
        heartbeat.forget(connection)
        if (error := socket.exception()) is not None:
            # The frames that it went through lead back to the socket, which keeps it: without them all goes at once.
            error.__traceback__ = error.__context__ = None
    return socket


def _slow_down(request: web.Request) -> None:
    """Count a connection of this address. Raises HTTPTooManyRequests."""
    wait = request.app[DOORS].connections.wait(request.remote or "", now=asyncio.get_running_loop().time())
    if wait > 0:
        request.app[METRICS].rate_limited.labels("connections").inc()
        raise web.HTTPTooManyRequests(
            text="Too many connections from this address.", headers={hdrs.RETRY_AFTER: str(ceil(wait))}
        )


class Connection:
    """One WebSocket. Sends the events of its session in order, reading them from the session's log."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._metrics: Metrics = request.app[METRICS]
        self._sessions: Sessions = request.app[SESSIONS]
        self._directory: Directory = request.app[DIRECTORY]
        self._chat: Chat = request.app[CHAT]
        self._session: Session | None = None
        self._sent_seq = 0
        self._backlog_seq = 0
        """The events up to here were there when the connection came: a long replay does not make it slow."""
        self._greeting: protocol.Resumed | None = None
        self._momentary: list[protocol.Event] = []
        self._early: list[str] = []
        """What the client sent while it waited in the lobby."""
        self._reason: CloseReason | None = None
        self._suspended = False
        self._aborted = False
        self._bad_messages = 0
        self._ping_is_due = False
        self._writer: asyncio.Task[None] | None = None
        """There while there is something to write: idle connections are the most."""
        self._gathered_at = 0.0
        """When what is not urgent was written last, or will be."""
        self._later: asyncio.TimerHandle | None = None
        """There while what is not urgent waits."""
        self._context = contextvars.copy_context()
        """For the log, whoever makes the writer write."""
        self._loop = asyncio.get_running_loop()
        self.heard_at = self.pinged_at = self._loop.time()

    async def run(self) -> None:
        """Serve the connection until it closes."""
        try:
            session = await self._enter()
        except RefusedError as error:
            await self._refuse(error)
            return
        except Exception:
            log.exception("joining failed")
            await self._refuse(RefusedError("internal", "The server failed at this; it has been logged."))
            return
        if session is None:
            return
        try:
            await self._read(session)
        except ConnectionError:
            self._abort("connection lost")
        except Exception:
            # The client resumes; what it had asked for is not tried again.
            log.exception("websocket reader failed")
            self._abort("internal")
        finally:
            # First, because this task may be cancelled while it waits.
            self._sessions.detach(session, self)
            self._wait_no_longer()
            if (writer := self._writer) is not None:
                if self._reason is None:
                    writer.cancel()
                await asyncio.wait([writer])
                self._writer = None  # one that was cancelled before it began has not said so itself

    # --- called by the heartbeat --------------------------------------------------------------------------

    def ping(self) -> None:
        """Ask the client whether it is there."""
        if self._reason is None:
            self._ping_is_due = True
            self._write_soon()

    def is_receiving(self, seconds: float) -> bool:
        """Whether anything came in the last `seconds`, if only part of a long message."""
        return heard_lately(self._request.transport, seconds)

    def give_up(self) -> None:
        """The client is not there."""
        self._abort("silent")

    # --- called by the session ----------------------------------------------------------------------------

    def wake(self, *, urgent: bool) -> None:
        """There is something new in the log; a reader that is too far behind loses the connection."""
        session = self._session
        assert session is not None  # noqa: S101 - only a session that was attached calls
        unsent = session.log.last_seq - max(self._sent_seq, self._backlog_seq)
        if unsent > MAX_UNSENT_EVENTS:
            self._abort("reads too slowly")
        if urgent:
            self._write_soon()
        elif self._later is None:
            now = self._loop.time()
            spread = random.uniform(0.5, 1)  # noqa: S311 - so that not all connections write in one turn of the loop
            self._gathered_at = max(now, self._gathered_at + GATHER_SECONDS * spread)
            if self._gathered_at > now:
                self._later = self._loop.call_at(self._gathered_at, self._write_soon)
            else:
                self._write_soon()

    def send_now(self, event: protocol.Event) -> None:
        """Send an event that is not kept."""
        if len(self._momentary) >= MAX_MOMENTARY_EVENTS:
            del self._momentary[0]
        self._momentary.append(event)
        self._write_soon()

    def suspend(self) -> None:
        """Send what is left and close; the client resumes at the server that is started next."""
        self._suspended = self._reason is None
        self.finish("shutdown")

    def finish(self, reason: CloseReason) -> None:
        """Send what is left, then `closed`, and close."""
        if self._reason is None:
            self._reason = reason
            self._write_soon()

    # --- coming in ----------------------------------------------------------------------------------------

    async def _enter(self) -> Session | None:
        """The session that the first message begins or takes up; None when the client went away before."""
        app, remote = self._request.app, self._request.remote or ""
        with app[DOORS].outside(remote) as has_place:
            if not has_place:
                self._metrics.rate_limited.labels("outside").inc()
                raise RefusedError("rate-limited", "Too many connections wait at the door.", retry_after=1.0)
            try:
                async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
                    received = await self._receive()
            except TimeoutError:
                raise RefusedError("bad-message", "Nothing came; the first message is a `join`.") from None
        if received.type in GONE:
            return None
        try:
            message = _decode(received.data)
        except ValueError as error:
            raise RefusedError("bad-message", str(error)) from error
        self._count_in(message)
        entered = await Entrance(app, remote, self._receive, self._send).enter(message)
        if entered is None:
            return None
        session, self._early, self._greeting = entered.session, entered.early, entered.resumed
        # In the log from now on: this task ends with the connection.
        structlog.contextvars.bind_contextvars(
            room=session.party.place, participant=session.party.id, session=session.id
        )
        self._context = contextvars.copy_context()
        self._session = session
        self._sent_seq = session.log.acknowledged
        self._backlog_seq = session.log.last_seq
        self._sessions.attach(session, self)
        self._write_soon()
        if entered.resumed is not None:
            log.info("resumed", snapshot=session.log.stale)
        return session

    async def _refuse(self, error: RefusedError) -> None:
        try:
            await self._send(protocol.Error(code=error.code, message=str(error), retry_after=error.retry_after))
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
        except ConnectionError:
            return  # the client did not wait for it

    # --- reading ------------------------------------------------------------------------------------------

    async def _read(self, session: Session) -> None:
        for early in self._early:
            self._take(session, early)
        while True:
            received = await self._receive()
            if self._reason or self._aborted or received.type in GONE:
                return
            self._take(session, received.data)

    async def _receive(self) -> WSMessage:
        """The next message, or that there will be none; pings are answered."""
        while True:
            received = await self._socket.receive()
            self.heard_at = self._loop.time()
            if received.type is WSMsgType.PING:
                await self._socket.pong(received.data)
            elif received.type is not WSMsgType.PONG:
                return received

    def _take(self, session: Session, data: object) -> None:
        allowed = session.commands.take(now=self.heard_at)
        try:
            message = _decode(data)
        except ValueError as error:
            self._bad(session, str(error), _number(data))
            return
        self._count_in(message)
        match message:
            case protocol.Ack():
                # Too many at once are left out: the next one covers them.
                if allowed:
                    self._acknowledge(session, message.seq)
            case protocol.Join() | protocol.Reach() | protocol.Resume():
                self._bad(session, "this connection has a session already", code="bad-state")
            case _:
                self._command(session, message, allowed=allowed)

    def _acknowledge(self, session: Session, seq: int) -> None:
        try:
            session.acknowledge(seq)
        except ValueError as error:
            self._bad(session, str(error))

    def _bad(
        self, session: Session, why: str, command_id: int = 0, code: protocol.ErrorCode = "bad-message"
    ) -> None:
        """A message that makes no sense: an answer to command `command_id`, or if 0 to the connection."""
        if command_id and session.is_new(command_id):
            session.emit(protocol.Error(code=code, message=why, re=command_id))
        else:
            self.send_now(protocol.Error(code=code, message=why))
        self._bad_messages += 1
        if self._bad_messages >= MAX_BAD_MESSAGES:
            self._sessions.end(session, "protocol-error")

    def _command(self, session: Session, command: protocol.Command, *, allowed: bool) -> None:
        """Carry a command out, once; whatever it does, its answer goes into the log."""
        if not 0 < command.id <= MAX_COMMAND_ID:
            self._bad(session, f"{command.id} is no number for a command")
            return
        if not session.is_new(command.id):
            return

        if not allowed:
            self._metrics.rate_limited.labels("commands").inc()
            refused = RefusedError("rate-limited", "Too many commands at once; wait a second.", retry_after=1.0)
            session.emit(_refusal(command, refused))
            return
        try:
            reply = carry_out(session.party, command, self._chat)
        except Exception as error:
            session.emit(_refusal(command, error))
            return
        if not isinstance(reply, protocol.Reply):
            self._directory.spawn(_answer_later(session, command, reply))
            return
        session.emit(reply)
        if isinstance(command, protocol.Leave):
            self._sessions.end(session, "left")

    def _count_in(self, message: protocol.ClientMessage) -> None:
        self._metrics.messages_in[type(message)] += 1

    # --- writing ------------------------------------------------------------------------------------------

    def _write_soon(self) -> None:
        self._wait_no_longer()
        if self._writer is None and not self._aborted:
            self._writer = self._loop.create_task(self._write(), name="websocket writer", context=self._context)

    def _wait_no_longer(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    async def _write(self) -> None:
        """Send all there is; if the connection is to be closed, close it."""
        try:
            await self._flush()
            if self._reason is not None:
                async with asyncio.timeout(FINISH_SECONDS):
                    await self._flush()
                    if not self._suspended:
                        await self._send(protocol.Closed(reason=self._reason))
                await self._socket.close(code=_CLOSE_CODES[self._reason], message=self._reason.encode())
        except ConnectionError:
            self._abort("connection lost")
        except TimeoutError:
            self._abort("reads too slowly")
        except Exception:
            log.exception("websocket writer failed")
            self._abort("internal")
        finally:
            self._writer = None

    async def _flush(self) -> None:
        """What opens a resumed connection, then the log, then what is of the moment."""
        if self._session is not None:
            self._metrics.ws_queue.observe(self._session.log.last_seq - self._sent_seq)
        if self._greeting:
            greeting, self._greeting = self._greeting, None
            await self._send(greeting)
        while True:
            if self._ping_is_due:
                self._ping_is_due = False
                await self._socket.ping()
            if (session := self._session) is None:  # in the lobby
                return
            self._sessions.renew(session)
            # A client may have acknowledged more than was sent on this connection.
            self._sent_seq = max(self._sent_seq, session.log.acknowledged)
            text = session.log.get(self._sent_seq + 1)
            if text is not None:
                self._sent_seq += 1
                await self._socket.send_str(text)
            elif self._momentary:
                await self._send(self._momentary.pop(0))
            else:
                return

    async def _send(self, event: protocol.Event) -> None:
        self._metrics.messages_out[type(event)] += 1
        await self._socket.send_str(protocol.encode(event))

    def _abort(self, why: str) -> None:
        if self._aborted:
            return
        self._aborted = True
        log.info("connection dropped", why=why)
        transport = self._request.transport
        if transport is not None:
            transport.abort()


async def _answer_later(
    session: Session, command: protocol.Command, reply: Awaitable[protocol.Reply]
) -> None:
    try:
        session.emit(await reply)
    except Exception as error:
        session.emit(_refusal(command, error))


def _refusal(command: protocol.Command, error: Exception) -> protocol.Error:
    """The answer to a command that was not carried out, because of `error`."""
    if isinstance(error, RefusedError):
        return protocol.Error(code=error.code, message=str(error), re=command.id, retry_after=error.retry_after)
    log.error("command failed", command=type(command).__name__, exc_info=error)
    return protocol.Error(
        code="internal", message="The server failed at this; it has been logged.", re=command.id
    )


class _Numbered(msgspec.Struct):
    """As much of a broken command as is needed to answer it."""

    id: int = 0


def _decode(data: object) -> protocol.ClientMessage:
    """A message from a frame. Raises ValueError with a sentence for the client."""
    if not isinstance(data, str):
        raise ValueError("a message is a text frame")
    try:
        return protocol.decode_client(data)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("the message is nested too deeply") from error


def _number(data: object) -> int:
    try:
        number = msgspec.json.decode(data, type=_Numbered).id if isinstance(data, str) else 0
    except (msgspec.DecodeError, RecursionError):
        return 0
    return number if 0 < number <= MAX_COMMAND_ID else 0
