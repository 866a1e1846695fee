"""How a connection comes in: its first message begins a session, or takes one up again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import WSMessage, web

from signaling import protocol
from signaling.keys import CHAT, DIRECTORY, DOORS, EXCHANGE, METRICS, OFFICE, SESSIONS, SETTINGS
from signaling.members import RefusedError
from signaling.names import InvalidNameError, room_name
from signaling.session import Session
from signaling.tokens import TokenError, authorize, authorize_line
from signaling.waiting import wait_for_host

log = structlog.get_logger()


@dataclass(slots=True)
class Entered:
    """What becomes of a connection that was let in."""

    session: Session
    resumed: protocol.Resumed | None = None
    """How to greet a client that takes its session up again."""
    early: list[str] = field(default_factory=list)
    """What the client sent while it waited in the lobby."""


class Entrance:
    """The way in for one connection from address `remote`."""

    def __init__(
        self,
        app: web.Application,
        remote: str,
        receive: Callable[[], Awaitable[WSMessage]],
        send: Callable[[protocol.Event], Awaitable[None]],
    ) -> None:
        self._app = app
        self._remote = remote
        self._receive = receive
        self._send = send
        self._metrics = app[METRICS]
        self._sessions = app[SESSIONS]

    async def enter(self, message: protocol.ClientMessage) -> Entered | None:
        """What the first message leads to; None when the client went away before. Raises RefusedError."""
        match message:
            case protocol.Join():
                return await self._join(message)
            case protocol.Reach():
                return self._reach(message)
            case protocol.Resume():
                return self._resume(message)
            case _:
                raise RefusedError("bad-state", "The first message must be `join`, `reach` or `resume`.")

    async def _join(self, message: protocol.Join) -> Entered | None:
        directory, revoked = self._app[DIRECTORY], self._app[OFFICE].revocations
        try:
            room = room_name(message.room)
            grants = authorize(self._app[SETTINGS], message.token, room, revoked=revoked)
        except InvalidNameError as error:
            self._metrics.joins.labels("bad-message").inc()
            raise RefusedError("bad-message", str(error)) from error
        except TokenError as error:
            self._metrics.joins.labels(error.code).inc()
            log.info("join refused", code=error.code, why=str(error), remote=self._remote)
            raise RefusedError(error.code, str(error)) from error
        self._count(message.token, room)
        if (known := self._known(message.session, room, grants.token_id)) is not None:
            return known
        place, early = directory.wait(message.name, grants), list[str]()
        if place is not None:
            try:
                sent = await wait_for_host(self._send, self._receive, place)
            finally:
                directory.wait_no_longer(room, place)
            if sent is None:
                return None
            if grants.token_id in revoked:
                raise RefusedError("unauthorized", "The invitation has been taken back.")
            early = sent
        last_message = await self._app[CHAT].open(room)
        member = directory.join(message.name, grants=grants, kind=message.kind, admitted=place is not None)
        member.room.last_message = max(member.room.last_message, last_message)
        return Entered(self._sessions.open(member, message.session), early=early)

    def _reach(self, message: protocol.Reach) -> Entered:
        try:
            grants = authorize_line(
                self._app[SETTINGS], message.token, message.name, revoked=self._app[OFFICE].revocations
            )
        except InvalidNameError as error:
            raise RefusedError("bad-message", str(error)) from error
        except TokenError as error:
            log.info("line refused", code=error.code, why=str(error), remote=self._remote)
            raise RefusedError(error.code, str(error)) from error
        self._count(message.token, None)
        if (known := self._known(message.session, "", grants.token_id)) is not None:
            return known
        if why := self._app[DIRECTORY].refusal():
            raise RefusedError("server-full", why)
        return Entered(self._sessions.open(self._app[EXCHANGE].open(grants), message.session))

    def _resume(self, message: protocol.Resume) -> Entered:
        session = self._sessions.find(message.session)
        if session is None:
            self._metrics.reconnects.labels("gone").inc()
            raise RefusedError("gone", "The session has ended; please join again.")
        return Entered(session, resumed=self._sessions.resume(session, message.ack))

    def _known(self, secret: str, place: str, token_id: str) -> Entered | None:
        """The session of somebody who was let in and did not hear of it; None: there is none. Raises RefusedError."""
        session = self._sessions.find(secret) if secret else None
        if session is None:
            return None
        if (session.party.place, session.party.token_id) != (place, token_id):
            raise RefusedError("conflict", "This secret is that of another session.")
        self._sessions.greet_again(session, secret)
        return Entered(session)

    def _count(self, token: str, room: str | None) -> None:
        """Raises RefusedError when too many join with this token, or into this room."""
        refused = self._app[DOORS].refuse_join(token, room, now=asyncio.get_running_loop().time())
        if refused is not None:
            rule, wait = refused
            self._metrics.rate_limited.labels(rule).inc()
            raise RefusedError("rate-limited", "Too many people come at once; try again soon.", retry_after=wait)
