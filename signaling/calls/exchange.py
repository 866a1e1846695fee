"""Lines: sessions outside of any room, through which people are reachable, ring and are rung."""

from __future__ import annotations

import asyncio
import contextvars
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice

import msgspec
import structlog

from rtc.bucket import TokenBucket
from signaling import protocol
from signaling.calls.switchboard import (
    MAX_PEOPLE,
    Change,
    PhoneCall,
    Presence,
    PresenceChanged,
    Switchboard,
    SwitchboardError,
)
from signaling.members import LeaveReason, RefusedError
from signaling.store.calls import CalledRecord, CallLog, CallRecord
from signaling.store.interface import StoreError
from signaling.tokens import LineGrants

RINGS_PER_SECOND = 1 / 20
RING_BURST = 6.0
"""People that one person may ring: enough to gather a team, too few to wake the whole house again and again."""
BUSY_PER_SECOND = 1.0
BUSY_BURST = 10.0
"""Changes of `busy` by one line: each is told to everybody who may see the person."""
MAX_RINGERS = 10_000
"""People whose ringing is counted."""
MAX_LINES = 10_000
"""Lines of one server."""
MAX_LISTED = 500
"""Contacts that a new line is told of where everybody sees everybody."""
MAX_PAGE = 100
"""Calls in an answer to `call-history`."""

log = structlog.get_logger()


def _discard(event: protocol.Event) -> None:
    """Nobody listens."""


def _stay(reason: protocol.CloseReason) -> None:
    """There is no session yet."""


class Line:
    """One device of a person. Made by `Exchange.open`."""

    place = ""

    def __init__(self, exchange: Exchange, grants: LineGrants) -> None:
        self.id = secrets.token_urlsafe(6)
        self.person = grants.person
        self.name = grants.name
        self.grants = grants
        self.emit: Callable[[protocol.Event], None] = _discard
        """Takes every event for this line; must neither block nor raise."""
        self.dismiss: Callable[[protocol.CloseReason], None] = _stay
        """Ends the session of this line."""
        self.granted: Callable[[], None] = lambda: None
        """Called by nobody: what a line may do does not change."""
        self.busy_changes = TokenBucket(BUSY_PER_SECOND, BUSY_BURST)
        self._exchange = exchange

    @property
    def token_id(self) -> str:
        """Of the token that this line was opened with; "" without one."""
        return self.grants.token_id

    def may_call(self, person: str) -> bool:
        """Whether this line may know of `person` and call them."""
        return person != self.person and (self.grants.everybody or person in self.grants.contacts)

    def greeting(self, secret: str, resume_seconds: float) -> protocol.Reachable:
        """How everything stands for this line."""
        return self._exchange.greeting(self, secret, resume_seconds)

    def record(self, secret_hash: bytes) -> None:
        """Nothing: whoever had a line when the server died reaches for a new one."""

    def set_connected(self, connected: bool) -> None:
        """A line whose connection is away still rings: what it misses reaches it when it comes back."""

    def leave(self, reason: LeaveReason) -> None:
        """The session has ended."""
        self._exchange.close_line(self, reason)

    def carry_out(self, command: protocol.Command) -> protocol.Reply | Awaitable[protocol.Reply]:
        """Do what the person wants. Raises RefusedError."""
        return self._exchange.carry_out(self, command)


class Exchange:
    """All lines of a server, and its switchboard.

    `room_token(person, name, room)` makes the token with which somebody joins the room of a call.
    """

    def __init__(self, call_log: CallLog, *, room_token: Callable[[str, str, str], str]) -> None:
        self.switchboard = Switchboard(lambda: secrets.token_urlsafe(12).strip("-_"))
        self._log = call_log
        self._room_token = room_token
        self._lines: dict[str, Line] = {}
        self._of_person: dict[str, set[Line]] = {}
        self._ringers: OrderedDict[str, TokenBucket] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._clock_offset = time.time() - asyncio.get_running_loop().time()

    def __len__(self) -> int:
        return len(self._lines)

    def open(self, grants: LineGrants) -> Line:
        """A line for somebody. Raises RefusedError."""
        if len(self._lines) >= MAX_LINES:
            raise RefusedError("server-full", "This server has no place for another line.")
        line = Line(self, grants)
        try:
            changes = self.switchboard.arrive(line.id, line.person, line.name)
        except SwitchboardError as error:
            raise RefusedError(error.code, str(error)) from error
        self._lines[line.id] = line
        self._of_person.setdefault(line.person, set()).add(line)
        self._tell(changes)
        log.info("line opened", line=line.id)
        return line

    def greeting(self, line: Line, session: str, resume_seconds: float) -> protocol.Reachable:
        """The first event of a line."""
        return protocol.Reachable(
            session=session,
            you=protocol.Person(id=line.person, name=line.name),
            contacts=tuple(self._contacts(line)),
            everybody=line.grants.everybody,
            calls=tuple(
                self._view(call, line) for call in self.switchboard.calls.values() if call.engages(line.person)
            ),
            resume_seconds=resume_seconds,
        )

    def close_line(self, line: Line, reason: str) -> None:
        """A line is gone for good. Closing twice is closing once."""
        if self._lines.pop(line.id, None) is None:
            return
        line.emit = _discard
        self._of_person[line.person].discard(line)
        if not self._of_person[line.person]:
            del self._of_person[line.person]
        self._tell(self.switchboard.depart(line.id, now=_now()))
        log.info("line closed", line=line.id, reason=reason)

    def opened_with(self, token_id: str) -> list[Line]:
        """The lines that were opened with a token."""
        return [line for line in self._lines.values() if line.token_id == token_id]

    def close(self) -> None:
        """The server stops."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def carry_out(
        self, line: Line, command: protocol.Command
    ) -> protocol.Reply | Awaitable[protocol.Reply]:
        """Do what somebody wants. Raises RefusedError."""
        now, board = _now(), self.switchboard
        view: protocol.CallView | None = None
        try:
            match command:
                case protocol.Ring():
                    view = self._ring(line, command, now)
                case protocol.Accept(call=call_id):
                    self._tell(board.accept(line.id, call_id, now=now))
                    view = self._view(board.calls[call_id], line)
                case protocol.Decline(call=call_id):
                    self._tell(board.decline(line.id, call_id, now=now))
                case protocol.HangUp(call=call_id):
                    self._tell(board.hang_up(line.id, call_id, now=now))
                case protocol.SetBusy():
                    if not line.busy_changes.take(now=now):
                        raise RefusedError(
                            "rate-limited", "Too many changes at once; wait a moment.",
                            retry_after=line.busy_changes.wait(now=now),
                        )
                    self._tell(board.set_busy(line.id, command.busy))
                case protocol.CallHistory():
                    return self._history(line, command)
                case protocol.Ping() | protocol.Leave():
                    pass
                case _:
                    raise RefusedError("bad-state", "This session is a line; what you ask for needs a room.")
        except SwitchboardError as error:
            raise RefusedError(error.code, str(error)) from error
        return protocol.Reply(re=command.id, call=view)

    def _ring(self, line: Line, command: protocol.Ring, now: float) -> protocol.CallView:
        people = list(dict.fromkeys(command.people))
        if len(people) > MAX_PEOPLE:
            raise RefusedError("too-large", f"More than {MAX_PEOPLE} people cannot be called at once.")
        # The same answer whether somebody does not exist, is away or may not be called: nothing is learnt from it.
        if not all(line.may_call(person) for person in people):
            raise RefusedError("not-permitted", "You may not call everybody whom you named.")
        bucket = self._ringers.pop(line.person, None) or TokenBucket(RINGS_PER_SECOND, RING_BURST)
        self._ringers[line.person] = bucket
        if len(self._ringers) > MAX_RINGERS:
            self._ringers.popitem(last=False)
        if not bucket.take(now=now):
            raise RefusedError("rate-limited", "You have called very often; please wait a minute.")
        named = [(person, line.grants.contacts.get(person, "") or person) for person in people]
        call, changes = self.switchboard.ring(line.id, named, now=now, into=command.call)
        self._tell(changes)
        return self._view(call, line)

    async def _history(self, line: Line, command: protocol.CallHistory) -> protocol.Reply:
        before = math.inf if command.before is None else command.before
        limit = min(max(1, command.limit), MAX_PAGE)
        try:
            calls, more = await self._log.of(line.person, before=before, limit=limit)
        except StoreError as error:
            log.error("the calls of before cannot be read", why=str(error))
            raise RefusedError("unavailable", "The calls of before cannot be read now; try again later.") from error
        return protocol.Reply(re=command.id, calls=tuple(_seen_by(line.person, call) for call in calls), more=more)

    # --- telling the devices ------------------------------------------------------------------------------

    def _tell(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if isinstance(change, PresenceChanged):
                self._tell_presence(change)
            else:
                self._log.save(self._record(change.call))
                for person in sorted(change.call.people()):
                    for line in list(self._of_person.get(person, ())):
                        line.emit(protocol.CallChanged(call=self._view(change.call, line)))
        self._wait()

    def _tell_presence(self, change: PresenceChanged) -> None:
        for line in list(self._lines.values()):
            if line.may_call(change.person):
                contact = self._contact(line, change.person, change.presence)
                line.emit(protocol.ContactChanged(contact=contact))

    def _contacts(self, line: Line) -> list[protocol.Contact]:
        people = dict.fromkeys(line.grants.contacts)
        if line.grants.everybody:
            others = (person for person in self.switchboard.reachable() if person != line.person)
            people |= dict.fromkeys(islice(others, MAX_LISTED))
        return [self._contact(line, person, self.switchboard.presence(person)) for person in people]

    def _contact(self, line: Line, person: str, presence: Presence) -> protocol.Contact:
        name = self.switchboard.name(person) or line.grants.contacts.get(person, "") or person
        return protocol.Contact(id=person, name=name, presence=presence)

    def _view(self, call: PhoneCall, line: Line) -> protocol.CallView:
        """A call as `line` may see it."""
        mine = call.callees.get(line.person)
        inside = line.id == (call.device if mine is None else mine.device) and call.state == "active"
        inside = inside and (not call.caller_left if mine is None else mine.state == "accepted")
        view = _seen_by(line.person, self._record(call))
        if not inside:
            return view
        token = self._room_token(line.person, line.name, call.room)
        return msgspec.structs.replace(view, room=call.room, token=token)

    def _record(self, call: PhoneCall) -> CallRecord:
        return CallRecord(
            id=call.id,
            caller=call.caller,
            caller_name=call.caller_name,
            people=tuple(CalledRecord(one.person, one.name, one.state) for one in call.callees.values()),
            began=self._wall(call.began),
            answered=self._wall(call.answered),
            ended=self._wall(call.ended),
        )

    def _wall(self, at: float | None) -> float:
        return 0.0 if at is None else at + self._clock_offset

    # --- time ---------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        due = self.switchboard.next_timeout()
        # Not in the log context of whoever happened to ring last.
        self._timer = None if due is None else asyncio.get_running_loop().call_at(
            due, self._tick, context=contextvars.Context()
        )

    def _tick(self) -> None:
        self._tell(self.switchboard.tick(now=_now()))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _seen_by(person: str, call: CallRecord) -> protocol.CallView:
    """A call as one of its people may see it."""
    mine = [one for one in call.people if one.person == person]
    people = mine if mine and call.caller != person else list(call.people)
    return protocol.CallView(
        id=call.id,
        state="ended" if call.ended else "active" if call.answered else "ringing",
        caller=protocol.Person(id=call.caller, name=call.caller_name),
        people=tuple(protocol.Called(id=one.person, name=one.name, state=one.state) for one in people),
        others=len(call.people) - len(people),
        began=call.began,
        answered=call.answered,
        ended=call.ended,
    )
