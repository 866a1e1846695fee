"""Sessions: each is one client's numbered events and commands, which outlive the connection and the server."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import structlog

from rtc.bucket import TokenBucket
from signaling import protocol
from signaling.event_log import EventLog, LogFullError
from signaling.members import LeaveReason, Member
from signaling.metrics import Metrics
from signaling.protocol import CloseReason
from signaling.store.interface import SessionRecord, SessionStore

COMMANDS_PER_SECOND = 50.0
COMMAND_BURST = 200.0
"""A page that joins a full room and publishes three tracks sends about ten at once."""

log = structlog.get_logger()


COMING_AND_GOING = (protocol.ParticipantJoined, protocol.ParticipantLeft, protocol.ParticipantChanged)
"""Events that each person in a large room would cause a hundred of."""


class Connection(Protocol):
    """What carries a session at the moment."""

    def wake(self, *, urgent: bool) -> None:
        """There is something new in the log; what is not urgent may wait a moment for more of it."""

    def send_now(self, event: protocol.Event) -> None:
        """Send an event that is not kept."""

    def suspend(self) -> None:
        """Close without an end of the session: the server that is started next takes it up."""

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

    @property
    def token_id(self) -> str:
        """Of the token that it came with; "" without one."""

    emit: Callable[[protocol.Event], None]
    dismiss: Callable[[CloseReason], None]
    """Ends the session."""
    granted: Callable[[], None]
    """To be called when what it may do has changed."""

    def greeting(self, secret: str, resume_seconds: float) -> protocol.Event:
        """How everything stands for it: the first event; and, with an empty secret, in place of lost ones."""

    def record(self, secret_hash: bytes) -> SessionRecord | None:
        """What a restarted server needs to take it in again; None: it comes again by itself."""

    def set_connected(self, connected: bool) -> None:
        """Its connection was lost, or came back."""

    def leave(self, reason: LeaveReason) -> None:
        """Its session has ended."""


class Session:
    """The session of one client. Made by `Sessions`, which also ends it."""

    def __init__(
        self, key: bytes, party: Party, metrics: Metrics, overflowed: Callable[[Session], None], *, restored: bool
    ) -> None:
        self.id = key[:4].hex()
        """For logs; says nothing about the secret."""
        self.key = key
        """Hash of the secret: whoever knows that may resume the session."""
        self.party = party
        self.log = EventLog(after=int(time.time() * 1e6) if restored else 0)
        """Of a restored session with numbers that were not used before: fewer than a million events come a second."""
        self.restored = restored
        """It is of the server that ran before, and the client does not know yet how it stands now."""
        self.commands = TokenBucket(COMMANDS_PER_SECOND, COMMAND_BURST)
        self.last_id = 0
        """The last command that was carried out or refused."""
        self.connection: Connection | None = None
        self.ended: CloseReason | None = None
        self._metrics = metrics
        self._overflowed = overflowed
        if restored:
            self.log.go_stale()

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
        self._metrics.messages_out[type(event)] += 1
        if self.connection:
            self.connection.wake(urgent=not isinstance(event, COMING_AND_GOING))

    def acknowledge(self, seq: int) -> None:
        """The client has all events up to `seq`. Raises ValueError for one that was never sent."""
        self.log.acknowledge(seq)
        self.restored = self.restored and self.log.stale

    def is_new(self, command_id: int) -> bool:
        """Whether command `command_id` has not been carried out yet; if so, it now counts as carried out."""
        if command_id <= self.last_id:
            return False
        self.last_id = command_id
        return True


class Sessions:
    """All sessions of the server."""

    def __init__(self, store: SessionStore, metrics: Metrics, *, resume_seconds: float) -> None:
        self.resume_seconds = resume_seconds
        self._store = store
        self._metrics = metrics
        self._sessions: dict[bytes, Session] = {}
        self._timers: dict[bytes, asyncio.TimerHandle] = {}
        self._suspended = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(self, party: Party, secret: str = "") -> Session:
        """A session for `party`, with its greeting in the log; under a secret of the client's, if it has made one."""
        secret = secret or secrets.token_urlsafe(32)
        session = self._add(_hash(secret), party, restored=False)
        self.store(session)
        session.emit(party.greeting(secret, self.resume_seconds))
        return session

    def restore(self, secret_hash: bytes, member: Member) -> None:
        """A session of the server before this one, for somebody whom it has taken in again; may be resumed."""
        self._expire_later(self._add(secret_hash, member, restored=True))

    def store(self, session: Session) -> None:
        """Keep the session as it is now for a server after this one: when it opens, and when its grants change."""
        if (record := session.party.record(session.key)) is not None:
            self._store.save(record)

    def find(self, secret: str) -> Session | None:
        """The session with this secret, None when it has ended or never was."""
        return self._sessions.get(_hash(secret))

    def greet_again(self, session: Session, secret: str) -> None:
        """The client has not heard that it was let in."""
        session.log.renew(session.party.greeting(secret, self.resume_seconds))
        session.restored = False

    def resume(self, session: Session, ack: int) -> protocol.Resumed:
        """Go on behind event `ack`, or with a snapshot where the log does not reach; what to greet the client with."""
        if session.log.can_replay_after(ack):
            session.acknowledge(ack)
        else:
            session.log.go_stale()
        self._metrics.reconnects.labels("snapshot" if session.log.stale else "resumed").inc()
        return protocol.Resumed(last_id=session.last_id, restarted=session.restored)

    def renew(self, session: Session) -> None:
        """If the log of the session has become too long to be kept, begin it again with how things stand."""
        if session.log.stale:
            session.log.renew(session.party.greeting("", self.resume_seconds))

    def attach(self, session: Session, connection: Connection) -> None:
        """Let `connection` carry the session from now on; the one that did before is closed as replaced."""
        if self._suspended:
            connection.suspend()
            return
        previous, session.connection = session.connection, connection
        if previous:
            previous.finish("replaced")
        timer = self._timers.pop(session.key, None)
        if timer:
            timer.cancel()
        session.party.set_connected(True)

    def detach(self, session: Session, connection: Connection) -> None:
        """`connection` is lost: wait for another, and end the session when none comes in time."""
        if session.connection is not connection or session.ended or self._suspended:
            return
        session.connection = None
        session.party.set_connected(False)
        self._expire_later(session)

    def end(self, session: Session, reason: CloseReason) -> None:
        """End the session: the client is told, and its party leaves."""
        if session.ended:
            return
        session.ended = reason
        del self._sessions[session.key]
        self._store.delete(session.key)
        timer = self._timers.pop(session.key, None)
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

    def suspend_all(self) -> None:
        """Let every session be resumed at the server that is started next; what is not stored for it ends."""
        self._suspended = True
        for session in self:
            if session.party.record(session.key) is None:
                self.end(session, "shutdown")
            elif session.connection:
                session.connection.suspend()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def wait_until_none(self) -> None:
        """Wait until no session is left."""
        await self._idle.wait()

    def _add(self, key: bytes, party: Party, *, restored: bool) -> Session:
        session = Session(key, party, self._metrics, self._overflowed, restored=restored)
        self._sessions[key] = session
        self._idle.clear()
        party.emit = session.emit
        party.dismiss = partial(self.end, session)
        party.granted = partial(self.store, session)
        return session

    def _expire_later(self, session: Session) -> None:
        self._timers[session.key] = asyncio.get_running_loop().call_later(
            self.resume_seconds, self._expired, session
        )

    def _expired(self, session: Session) -> None:
        self._metrics.reconnects.labels("timeout").inc()
        self.end(session, "timeout")

    def _overflowed(self, session: Session) -> None:
        # Later, because this happens in the middle of telling the whole room something.
        # And not in the log context of the participant whose doing it was.
        asyncio.get_running_loop().call_soon(self.end, session, "too-slow", context=contextvars.Context())


def _hash(secret: str) -> bytes:
    """What is kept of a secret: it has 256 bits of its own, so that no salt is needed."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


_LEAVE_REASONS: dict[CloseReason, LeaveReason] = {
    "left": "left",
    "replaced": "closed",
    "removed": "removed",
    "banned": "removed",
    "revoked": "removed",
    "ended": "closed",
    "timeout": "timeout",
    "shutdown": "closed",
    "too-slow": "timeout",
    "protocol-error": "closed",
}
