"""Calling a person: being reachable, ringing and answering.

A session that begins with `reach` is a line: it is in no room, and can ring and be rung. Whoever answers gets the
name of a room (and a token for it), joins that room like any other, and keeps the line.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from signaling.protocol.base import Event, Message, NewSecret, Numbered

Presence = Literal["available", "busy", "offline"]
CalledState = Literal["ringing", "accepted", "declined", "busy", "missed", "offline", "cancelled", "left"]
CallState = Literal["ringing", "active", "ended"]


class Person(msgspec.Struct, rename="camel", frozen=True):
    """Somebody with an identity: the claim `sub` of tokens."""

    id: str
    name: str


class Contact(msgspec.Struct, rename="camel", frozen=True):
    """Somebody whom this line may call."""

    id: str
    name: str
    presence: Presence


class Called(msgspec.Struct, rename="camel", frozen=True):
    """Somebody who is called, and what came of it."""

    id: str
    name: str
    state: CalledState


class CallView(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """A call as one person may see it: the caller sees everybody, the others themselves and the caller."""

    id: str
    state: CallState
    caller: Person
    people: tuple[Called, ...]
    began: float
    """Unix time in seconds, as the two below."""
    others: int = 0
    """How many more are called."""
    answered: float = 0.0
    ended: float = 0.0
    room: str = ""
    """Where the call is held; only for the devices that are in it."""
    token: str = ""
    """With which to join that room; empty where the server needs none."""


class Reach(Message, tag="reach"):
    """First message of a line: be reachable under `name`. Answered by `reachable` or a last `error`."""

    name: str
    token: str = ""
    kind: Literal["web", "python"] = "web"
    session: NewSecret = ""
    """As in `join`."""


class Ring(Numbered, tag="ring"):
    """Call people, in a new call or into `call`, which is one's own. Reply: `call`.

    To ring somebody who rings us at that moment answers their call.
    """

    people: tuple[str, ...]
    call: str = ""


class Accept(Numbered, tag="accept"):
    """Answer on this device; the others of the same person stop ringing. Reply: `call`, with its room."""

    call: str


class Decline(Numbered, tag="decline"):
    """Do not answer; all devices of the person stop ringing."""

    call: str


class HangUp(Numbered, tag="hang-up"):
    """Take one's own call back, or leave one that was answered."""

    call: str


class SetBusy(Numbered, tag="set-busy"):
    """This device is in some other call and is not to be rung, or no longer."""

    busy: bool


class CallHistory(Numbered, tag="call-history"):
    """Calls of this person that began before `before` (Unix time), latest first. Reply: `calls` and `more`."""

    before: float | None = None
    limit: int = 30


class Reachable(Event, tag="reachable"):
    """The line stands: who you are, whom you may call, what rings or is being held at this moment."""

    session: str
    """Secret with which a new connection resumes this session."""
    you: Person
    contacts: tuple[Contact, ...] = ()
    everybody: bool = False
    """Whoever is reachable is a contact: those who are offline are not listed."""
    calls: tuple[CallView, ...] = ()
    resume_seconds: float = 30.0


class ContactChanged(Event, tag="contact"):
    """Somebody whom one may call can be reached now, is busy, or is away."""

    contact: Contact


class CallChanged(Event, tag="call"):
    """A call of this person as it is now: it rings, somebody answered or did not, or it has ended."""

    call: CallView


CallsMessage = Reach
CallsCommand = Ring | Accept | Decline | HangUp | SetBusy | CallHistory
CallsEvent = Reachable | ContactChanged | CallChanged
