"""Calling a person: being reachable, ringing and answering."""

from __future__ import annotations

import msgspec

from rtc.client.protocol.base import Command, Event, Message


class Person(msgspec.Struct, rename="camel", frozen=True):
    """Somebody with an identity."""

    id: str
    name: str


class Contact(msgspec.Struct, rename="camel", frozen=True):
    """Somebody whom one may call; `presence` is "available", "busy" or "offline"."""

    id: str
    name: str
    presence: str


class Called(msgspec.Struct, rename="camel", frozen=True):
    """Somebody who is called, and what came of it: "ringing", "accepted", "declined", "busy", "missed" …"""

    id: str
    name: str
    state: str


class CallView(msgspec.Struct, rename="camel", frozen=True):
    """A call; `state` is "ringing", "active" or "ended", times are Unix time in seconds."""

    id: str
    state: str
    caller: Person
    people: tuple[Called, ...]
    began: float
    others: int = 0
    answered: float = 0.0
    ended: float = 0.0
    room: str = ""
    token: str = ""


class Reach(Message, tag="reach"):
    """Be reachable: the first message of a line."""

    name: str
    token: str = ""
    kind: str = "web"
    session: str = ""


class Ring(Command, tag="ring"):
    """Call people."""

    people: tuple[str, ...]
    call: str = ""


class Accept(Command, tag="accept"):
    """Answer here."""

    call: str


class Decline(Command, tag="decline"):
    """Do not answer."""

    call: str


class HangUp(Command, tag="hang-up"):
    """Take a call back, or leave it."""

    call: str


class SetBusy(Command, tag="set-busy"):
    """Do not ring here, or ring again."""

    busy: bool


class CallHistory(Command, tag="call-history"):
    """Calls of before, latest first."""

    before: float | None = None
    limit: int = 30


class Reachable(Event, tag="reachable"):
    """The line stands."""

    session: str
    you: Person
    contacts: tuple[Contact, ...] = ()
    everybody: bool = False
    calls: tuple[CallView, ...] = ()
    resume_seconds: float = 30.0


class ContactChanged(Event, tag="contact"):
    """Somebody can be reached now, or not."""

    contact: Contact


class CallChanged(Event, tag="call"):
    """A call as it is now."""

    call: CallView


CallsEvent = Reachable | ContactChanged | CallChanged
