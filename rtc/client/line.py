"""Calling a person, as a Python program sees it: be reachable, answer what rings, ring others."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

import msgspec

from rtc.client import protocol
from rtc.client.call import JOIN_SECONDS, Call, join
from rtc.client.errors import CallError
from rtc.client.protocol import CallView, Contact
from rtc.client.signalling import Signalling

MAX_WAITING = 16
"""Rings that wait to be taken by the program; the oldest give way."""


@contextlib.asynccontextmanager
async def reachable(
    url: str, *, name: str, token: str = "", join_seconds: float = JOIN_SECONDS
) -> AsyncIterator[Line]:
    """Be reachable under `name` on the server at `url` until the end of the block.

    A lost connection comes back by itself. Raises JoinError if the server does not take us.
    """
    line = Line(url)
    try:
        await line._open(name, token, join_seconds)
        yield line
    finally:
        await line.close()


class Ring:
    """Somebody calls."""

    def __init__(self, line: Line, call: CallView) -> None:
        self.id = call.id
        self.caller = call.caller
        """Who calls: id and name."""
        self._line = line

    @contextlib.asynccontextmanager
    async def accept(self) -> AsyncIterator[Call]:
        """Answer and enter the call; hang up at the end of the block.

        Raises CallError when it does not ring any more, JoinError as `join`.
        """
        reply = await self._line._signalling.command(lambda number: protocol.Accept(id=number, call=self.id))
        if reply.call is None:
            raise CallError("bad-message", "the server did not name the room of the call")
        async with self._line._enter(reply.call) as call:
            yield call

    async def decline(self) -> None:
        """Do not answer. Raises CallError when it does not ring any more."""
        await self._line._signalling.command(lambda number: protocol.Decline(id=number, call=self.id))


class Line:
    """Somebody who is reachable. Made by reachable()."""

    def __init__(self, url: str) -> None:
        self.contacts: dict[str, Contact] = {}
        """Who may be called, by id, and whether they are available, busy or offline now."""
        self._url = url
        self._name = ""
        self._signalling = Signalling(url, handle=self._message, lost=lambda _lost: None, ended=self._over)
        self._rings: deque[Ring] = deque(maxlen=MAX_WAITING)
        self._rung: set[str] = set()
        self._calls: dict[str, CallView] = {}
        self._me = ""
        self._ended = False
        self._changed = asyncio.Event()
        self._wants_busy = False
        self._inside = 0
        """Calls of this line that we are in."""
        self._telling: asyncio.Task[None] | None = None

    async def rings(self) -> AsyncIterator[Ring]:
        """Each call that rings here, until the line is closed or the server has forgotten it."""
        while True:
            while self._rings:
                ring = self._rings.popleft()
                if ring.id in self._rung:
                    yield ring
            if self._ended:
                return
            await self._wait()

    @contextlib.asynccontextmanager
    async def ring(self, *people: str) -> AsyncIterator[Call]:
        """Call people by id; the block begins when the first of them has answered, and hangs up at its end.

        Raises CallError, with the code "declined", "busy", "missed" or "offline" when nobody answers.
        """
        reply = await self._signalling.command(lambda number: protocol.Ring(id=number, people=people))
        if reply.call is None:
            raise CallError("bad-message", "the server did not name the call")
        self._calls.setdefault(reply.call.id, reply.call)
        try:
            call = await self._answer(reply.call.id)
        except asyncio.CancelledError:
            await self._hang_up(reply.call.id)
            raise
        finally:
            self._calls.pop(reply.call.id, None)
        async with self._enter(call) as entered:
            yield entered

    async def until_available(self, person: str) -> Contact:
        """Wait until somebody can be called: at once if they can be now. Raises CallError when the line is closed."""
        while not self._ended:
            contact = self.contacts.get(person)
            if contact is not None and contact.presence == "available":
                return contact
            await self._wait()
        raise CallError("closed", "the line is closed")

    async def set_busy(self, busy: bool) -> None:
        """Do not ring here, or ring again. Raises CallError."""
        self._wants_busy = busy
        await self._signalling.command(lambda number: protocol.SetBusy(id=number, busy=busy))

    async def history(self, *, before: float | None = None, limit: int = 30) -> tuple[CallView, ...]:
        """Calls that began before a time (Unix, seconds), latest first. Raises CallError."""
        reply = await self._signalling.command(
            lambda number: protocol.CallHistory(id=number, before=before, limit=limit)
        )
        return reply.calls

    async def close(self) -> None:
        """Be reachable no more; harmless when closed already."""
        if not self._ended:
            with contextlib.suppress(CallError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._signalling.command(lambda number: protocol.Leave(id=number))
        await self._signalling.close()
        if self._telling is not None:
            await asyncio.wait([self._telling])

    # --- inside ---------------------------------------------------------------------------------------------

    async def _open(self, name: str, token: str, seconds: float) -> None:
        self._stand(await self._signalling.reach(name=name, token=token, seconds=seconds))

    def _stand(self, standing: protocol.Reachable) -> None:
        self._me, self._name = standing.you.id, standing.you.name
        self.contacts = {contact.id: contact for contact in standing.contacts}
        known = {call.id for call in standing.calls}
        for lost in [call for call in self._calls.values() if call.id not in known and call.state != "ended"]:
            self._follow(msgspec.structs.replace(lost, state="ended"))
        self._rung &= known
        for call in standing.calls:
            self._follow(call)

    @contextlib.asynccontextmanager
    async def _enter(self, view: CallView) -> AsyncIterator[Call]:
        self._inside += 1
        try:
            async with join(self._url, view.room, name=self._name, token=view.token) as call:
                yield call
        finally:
            self._inside -= 1
            await self._hang_up(view.id)
            if self._telling is not None:  # the server had forgotten the call, and was told that we are in one
                await self._tell_busy()

    async def _hang_up(self, call: str) -> None:
        with contextlib.suppress(CallError):  # it is over already
            await self._signalling.command(lambda number: protocol.HangUp(id=number, call=call))

    async def _tell_busy(self) -> None:
        """What a server that was restarted does not know."""
        with contextlib.suppress(CallError):
            busy = self._wants_busy or self._inside > 0
            await self._signalling.command(lambda number: protocol.SetBusy(id=number, busy=busy))

    async def _answer(self, call_id: str) -> CallView:
        while not self._ended:
            call = self._calls[call_id]
            if call.room:
                return call
            if call.state == "ended":
                states = {one.state for one in call.people}
                code = next((state for state in ("declined", "busy", "missed") if state in states), "offline")
                raise CallError(code, "nobody has answered the call")
            await self._wait()
        raise CallError("closed", "the line is closed")

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _message(self, message: protocol.ServerMessage) -> None:
        if isinstance(message, protocol.Reachable):  # in a session of its own, since the old one had ended
            self._stand(message)
            if self._wants_busy or self._inside:
                self._telling = asyncio.create_task(self._tell_busy(), name="telling that we are busy")
        elif isinstance(message, protocol.ContactChanged):
            self.contacts[message.contact.id] = message.contact
        elif isinstance(message, protocol.CallChanged):
            self._follow(message.call)
        self._changed.set()

    def _follow(self, call: CallView) -> None:
        if call.caller.id == self._me:
            self._calls[call.id] = call
            if call.state == "ended" and len(self._calls) > MAX_WAITING:
                del self._calls[next(iter(self._calls))]
            return
        mine = next((one.state for one in call.people if one.id == self._me), "")
        if mine == "ringing" and call.id not in self._rung:
            self._rung.add(call.id)
            self._rings.append(Ring(self, call))
        elif mine != "ringing":
            self._rung.discard(call.id)

    def _over(self, reason: str) -> None:
        self._ended = True
        self._changed.set()
