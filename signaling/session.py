"""A session: one client's numbered events and commands, which outlive the connection that carries them.

`EventLog` is a plain value: no task, no clock.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import msgspec
import structlog

from rtc.bucket import TokenBucket
from signaling import protocol
from signaling.metrics import Metrics
from signaling.rooms import LeaveReason

MAX_KEPT_EVENTS = 1000
MAX_KEPT_CHARACTERS = 1 << 20
"""What a session keeps for a client that does not acknowledge; beyond it the session ends as too slow."""
COMMANDS_PER_SECOND = 50.0
COMMAND_BURST = 200.0
"""A page that joins a full room and publishes three tracks sends about ten at once."""

CloseReason = Literal["left", "replaced", "removed", "timeout", "shutdown", "too-slow", "protocol-error"]

log = structlog.get_logger()


class LogFullError(Exception):
    """The client is further behind than the log reaches."""


class EventLog:
    """The events of a session: numbered from 1, written as JSON once, kept until acknowledged."""

    def __init__(self, max_events: int = MAX_KEPT_EVENTS, max_characters: int = MAX_KEPT_CHARACTERS) -> None:
        self.last_seq = 0
        self.acknowledged = 0
        self._max_events = max_events
        self._max_characters = max_characters
        self._kept: dict[int, str] = {}
        self._characters = 0

    def append(self, event: protocol.Event) -> int:
        """Number and keep `event`; its number. Raises LogFullError, and then the log is as it was."""
        seq = self.last_seq + 1
        text = protocol.encode(msgspec.structs.replace(event, seq=seq))
        if len(self._kept) >= self._max_events or self._characters + len(text) > self._max_characters:
            raise LogFullError
        self._kept[seq] = text
        self._characters += len(text)
        self.last_seq = seq
        return seq

    def acknowledge(self, seq: int) -> None:
        """Forget the events up to and including `seq`. Raises ValueError for one that was never sent."""
        if seq > self.last_seq:
            raise ValueError(f"event {seq} is acknowledged, but the last one is {self.last_seq}")
        for number in range(self.acknowledged + 1, seq + 1):
            self._characters -= len(self._kept.pop(number))
        self.acknowledged = max(self.acknowledged, seq)

    def can_replay_after(self, seq: int) -> bool:
        """Whether every event after `seq` is still here."""
        return self.acknowledged <= seq <= self.last_seq

    def get(self, seq: int) -> str | None:
        """Event `seq` as JSON; None when it is forgotten or still to come."""
        return self._kept.get(seq)


class Connection(Protocol):
    """What carries a session at the moment."""

    def wake(self) -> None:
        """There is something new in the log."""

    def send_now(self, event: protocol.Event) -> None:
        """Send an event that is not kept."""

    def finish(self, reason: CloseReason) -> None:
        """Send what is left, then `closed`, and close; from now on the session is not its concern."""


class Party(Protocol):
    """Whom a session is for: a member of a room, or a line."""

    @property
    def id(self) -> str:
        """Names it in the log."""

    @property
    def place(self) -> str:
        """The room, in the log; "" outside of rooms."""

    emit: Callable[[protocol.Event], None]

    def set_connected(self, connected: bool) -> None:
        """Its connection was lost, or came back."""

    def leave(self, reason: LeaveReason) -> None:
        """Its session has ended."""


class Session:
    """The session of one client. Made by `Sessions.open`, ended by `Sessions.end`."""

    def __init__(self, party: Party, metrics: Metrics, overflowed: Callable[[Session], None]) -> None:
        self.id = secrets.token_hex(4)
        """For logs; says nothing about the secret."""
        self.secret = secrets.token_urlsafe(32)
        """Whoever knows it may resume the session."""
        self.party = party
        self.log = EventLog()
        self.commands = TokenBucket(COMMANDS_PER_SECOND, COMMAND_BURST)
        self.last_id = 0
        """The last command that was carried out or refused."""
        self.connection: Connection | None = None
        self.ended: CloseReason | None = None
        self._metrics = metrics
        self._overflowed = overflowed

    def emit(self, event: protocol.Event) -> None:
        """Send `event` to the client: kept until acknowledged, unless it is of the moment."""
        if self.ended:
            return
        if isinstance(event, protocol.Speakers):
            if self.connection:
                self.connection.send_now(event)
            return
        try:
            self.log.append(event)
        except LogFullError:
            self._overflowed(self)
            return
        self._metrics.ws_messages.labels(event.__struct_config__.tag, "out").inc()
        if self.connection:
            self.connection.wake()

    def is_new(self, command_id: int) -> bool:
        """Whether command `command_id` has not been carried out yet; if so, it now counts as carried out."""
        if command_id <= self.last_id:
            return False
        self.last_id = command_id
        return True


class Sessions:
    """All sessions of the server."""

    def __init__(self, metrics: Metrics, *, resume_seconds: float) -> None:
        self.resume_seconds = resume_seconds
        self._metrics = metrics
        self._sessions: dict[str, Session] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(self, party: Party) -> Session:
        """A session for `party`, with nothing in its log yet."""
        session = Session(party, self._metrics, self._overflowed)
        self._sessions[session.secret] = session
        self._idle.clear()
        party.emit = session.emit
        return session

    def find(self, secret: str) -> Session | None:
        """The session with this secret, None when it has ended or never was."""
        return self._sessions.get(secret)

    def attach(self, session: Session, connection: Connection) -> None:
        """Let `connection` carry the session from now on; the one that did before is closed as replaced."""
        previous, session.connection = session.connection, connection
        if previous:
            previous.finish("replaced")
        timer = self._timers.pop(session.secret, None)
        if timer:
            timer.cancel()
        session.party.set_connected(True)

    def detach(self, session: Session, connection: Connection) -> None:
        """`connection` is lost: wait for another, and end the session when none comes in time."""
        if session.connection is not connection or session.ended:
            return
        session.connection = None
        session.party.set_connected(False)
        self._timers[session.secret] = asyncio.get_running_loop().call_later(
            self.resume_seconds, self._expired, session
        )

    def end(self, session: Session, reason: CloseReason) -> None:
        """End the session: the client is told, and its party leaves."""
        if session.ended:
            return
        session.ended = reason
        del self._sessions[session.secret]
        timer = self._timers.pop(session.secret, None)
        if timer:
            timer.cancel()
        connection, session.connection = session.connection, None
        if connection:
            connection.finish(reason)
        session.party.leave(_LEAVE_REASONS[reason])
        if not self._sessions:
            self._idle.set()

    def end_all(self, reason: CloseReason) -> None:
        """End every session."""
        for session in self:
            self.end(session, reason)

    async def wait_until_none(self) -> None:
        """Wait until no session is left."""
        await self._idle.wait()

    def _expired(self, session: Session) -> None:
        self._metrics.reconnects.labels("timeout").inc()
        self.end(session, "timeout")

    def _overflowed(self, session: Session) -> None:
        # Later, because this happens in the middle of telling the whole room something.
        # And not in the log context of the participant whose doing it was.
        asyncio.get_running_loop().call_soon(self.end, session, "too-slow", context=contextvars.Context())


_LEAVE_REASONS: dict[CloseReason, LeaveReason] = {
    "left": "left",
    "replaced": "closed",
    "removed": "removed",
    "timeout": "timeout",
    "shutdown": "closed",
    "too-slow": "timeout",
    "protocol-error": "closed",
}
