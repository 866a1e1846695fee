"""The records of the server, and the server itself, for its administrators."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Annotated

import msgspec
from aiohttp import web

from signaling.api.operation import JSON_LINES, Call, Operation
from signaling.api.rooms import Struct
from signaling.calls.exchange import Line
from signaling.governance.facts import Act, Fact, Person
from signaling.keys import DIRECTORY, EXCHANGE, METRICS, OFFICE
from signaling.members import Member, RefusedError
from signaling.store.audit import AuditEntry
from signaling.store.outbox import Delivery
from signaling.store.persons import Erased, PersonRecords
from signaling.store.reports import Report
from signaling.tokens import MAX_TOKEN_LENGTH, TokenError, token_id

PAGE = 500
"""Entries of the audit log that are read at one time."""

Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]


class AuditQuery(Struct):
    """Which entries of the audit log."""

    room: Text = ""
    identity: Text = ""
    """Of who did it, or of who it was done to."""
    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """Only entries with a higher number."""


class LatestQuery(Struct):
    """Which of the latest."""

    room: Text = ""
    limit: Count = 100


class RevokedToken(Struct):
    """A token to take back: itself, or its id (claim `jti`)."""

    token: Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_LENGTH)] = ""
    token_id: Annotated[str, msgspec.Meta(max_length=200)] = ""
    until: Annotated[float, msgspec.Meta(ge=0, le=1e11)] | None = None
    """When it expires, Unix time in seconds, with an id; None: ten years from now."""


class Revoked(msgspec.Struct, rename="camel"):
    """What was taken back."""

    token_id: str
    sessions: int
    """That were open with this token, and were ended."""


class DrainBody(Struct):
    """Whether newcomers are refused."""

    draining: bool = True


class Node(msgspec.Struct, rename="camel"):
    """The server."""

    version: str
    draining: bool
    rooms: int
    participants: int


class Reports(msgspec.Struct):
    """Reports, the newest first."""

    reports: list[Report]


class Deliveries(msgspec.Struct, rename="camel"):
    """Attempts to deliver webhooks, the newest first."""

    waiting: int
    deliveries: list[Delivery]


TEN_YEARS = 10 * 366 * 86400.0


async def audit(call: Call) -> web.StreamResponse:
    """The audit log as JSON Lines, the oldest entries first, page by page."""
    query: AuditQuery = call.query
    log = call.app[OFFICE].audit

    async def lines() -> AsyncIterator[bytes]:
        after = query.after
        while page := await log.page(after=after, room=query.room, identity=query.identity, limit=PAGE):
            yield msgspec.json.Encoder().encode_lines(page)
            after = page[-1].number

    return web.Response(body=lines(), content_type=JSON_LINES)


async def reports(call: Call) -> Reports:
    """The latest reports."""
    return Reports(await call.app[OFFICE].reports.page(room=call.query.room, limit=call.query.limit))


async def deliveries(call: Call) -> Deliveries:
    """How the latest webhooks fared."""
    outbox = call.app[OFFICE].outbox
    return Deliveries(outbox.count, await outbox.deliveries(room=call.query.room, limit=call.query.limit))


async def export(call: Call) -> PersonRecords:
    """All that is stored about a person."""
    identity = call.path["identity"]
    records = await call.app[OFFICE].persons.export(identity)
    _note(call, "person_exported", Person(identity))
    return records


async def erase(call: Call) -> Erased:
    """Erase what is stored about a person. Raises RefusedError while the person is in a room."""
    identity, directory, office = call.path["identity"], call.app[DIRECTORY], call.app[OFFICE]
    if any(member.identity == identity for room in directory.rooms.values() for member in room.members.values()):
        raise RefusedError("bad-state", "This person is in a room now: remove them first.")
    office.charters.forget_person(identity)
    pseudonym = f"erased-{secrets.token_hex(6)}"
    erased = await office.persons.erase(identity, pseudonym)
    _note(call, "person_erased", Person(pseudonym))
    return erased


async def revoke(call: Call) -> Revoked:
    """Take a token back: its sessions end, and nobody comes in with it any more."""
    body: RevokedToken = call.body
    if bool(body.token) == bool(body.token_id):
        raise RefusedError("bad-message", "Give the token, or its id.")
    revoked, until = body.token_id, body.until or time.time() + TEN_YEARS
    if body.token:
        try:
            revoked, until = token_id(body.token)
        except TokenError as error:
            raise RefusedError("bad-message", str(error)) from error
    await call.app[OFFICE].revocations.add(revoked, until=until)
    _note(call, "token_revoked", None, token=revoked)
    members = [
        member for room in call.app[DIRECTORY].rooms.values() for member in room.members.values()
        if member.grants.token_id == revoked
    ]
    parties: list[Member | Line] = [*members, *call.app[EXCHANGE].opened_with(revoked)]
    for party in parties:
        party.dismiss("revoked")
    return Revoked(revoked, len(parties))


def drain(call: Call) -> Node:
    """Refuse newcomers from now on, or take them in again."""
    call.app[DIRECTORY].draining = call.body.draining
    call.app[METRICS].draining.set(call.body.draining)
    _note(call, "drain_set", None, draining=call.body.draining)
    return node(call)


def node(call: Call) -> Node:
    """The server now."""
    directory = call.app[DIRECTORY]
    return Node(version("clarion"), directory.draining, len(directory.rooms), directory.member_count)


def _note(call: Call, act: Act, whom: Person | None, **detail: str | bool) -> None:
    call.app[OFFICE].journal.note(Fact(act, time.time(), who=call.by, whom=whom, detail=detail))


OPERATIONS = (
    Operation(
        "readAudit", "GET", "/audit", "The audit log, one entry a line", audit,
        query=AuditQuery, answer=AuditEntry, scope="server", media_type=JSON_LINES,
    ),
    Operation(
        "listReports", "GET", "/reports", "What participants have reported, with the evidence", reports,
        query=LatestQuery, answer=Reports, scope="server",
    ),
    Operation(
        "listDeliveries", "GET", "/webhooks/deliveries", "How the latest webhooks fared", deliveries,
        query=LatestQuery, answer=Deliveries, scope="server",
    ),
    Operation(
        "exportPerson", "GET", "/persons/{identity}", "All that is stored about one person", export,
        answer=PersonRecords, scope="server",
    ),
    Operation(
        "erasePerson", "DELETE", "/persons/{identity}", "Erase what is stored about one person", erase,
        answer=Erased, scope="server",
    ),
    Operation(
        "revokeToken", "POST", "/revocations", "Take a token back", revoke,
        body=RevokedToken, answer=Revoked, status=201, scope="server",
    ),
    Operation("getNode", "GET", "/node", "The server", node, answer=Node, scope="server"),
    Operation(
        "drain", "POST", "/node/drain", "Refuse newcomers, or take them in again", drain,
        body=DrainBody, answer=Node, scope="server",
    ),
)
