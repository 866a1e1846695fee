"""All that is stored about one person: what an answer to a request under data protection law needs."""

from __future__ import annotations

import sqlite3

import msgspec

from signaling.store.audit import AuditEntry, AuditLog
from signaling.store.database import Database
from signaling.store.outbox import Outbox
from signaling.store.reports import Report, Reports


class StoredMessage(msgspec.Struct, rename="camel"):
    """A message that a person has sent or got alone."""

    room: str
    number: int
    at: float
    """Unix time in seconds."""
    name: str
    """Name of the sender."""
    to_identity: str
    content: msgspec.Raw


class StoredCall(msgspec.Struct, rename="camel"):
    """A call that a person made or got."""

    id: str
    caller: str
    began: float
    """Unix time in seconds."""
    answered: float
    ended: float
    people: list[str]
    """Who were called."""


class PersonRecords(msgspec.Struct, rename="camel"):
    """All that is stored about one person."""

    identity: str
    messages: list[StoredMessage]
    calls: list[StoredCall]
    audit: list[AuditEntry]
    reports: list[Report]


class Erased(msgspec.Struct, rename="camel"):
    """What was erased."""

    identity: str
    messages: int
    calls: int
    """Made by the person; in those of others the person is left out."""
    audit: int
    """Entries that name a pseudonym now."""
    reports: int
    """By and about the person; those of others are kept without the person and what the person wrote."""
    sessions: int
    webhooks: int
    """That wait for their receiver and name a pseudonym now."""


class Persons:
    """What the modules of one database keep about people. An identity is the claim `sub` of their tokens."""

    def __init__(self, database: Database, audit: AuditLog, reports: Reports, outbox: Outbox) -> None:
        self._database = database
        self._audit = audit
        self._reports = reports
        self._outbox = outbox

    async def export(self, identity: str) -> PersonRecords:
        """All about a person. Raises StoreError."""
        query = (
            "SELECT room, number, at, name, recipient_identity, content FROM messages "
            "WHERE sender_identity = :id OR recipient_identity = :id ORDER BY at"
        )
        rows = await self._database.read(lambda sql: sql.execute(query, {"id": identity}).fetchall())
        entries: list[AuditEntry] = []
        while page := await self._audit.page(after=entries[-1].number if entries else 0, identity=identity):
            entries += page
        calls = (
            "SELECT id, caller, began, answered, ended, (SELECT json_group_array(person) FROM called WHERE call = id) "
            "FROM calls WHERE caller = :id OR id IN (SELECT call FROM called WHERE person = :id) ORDER BY began"
        )
        called = await self._database.read(lambda sql: sql.execute(calls, {"id": identity}).fetchall())
        return PersonRecords(
            identity=identity,
            calls=[
                StoredCall(number, caller, began, answered, ended, msgspec.json.decode(people, type=list[str]))
                for number, caller, began, answered, ended, people in called
            ],
            messages=[
                StoredMessage(room, number, at, name, to, msgspec.Raw(content))
                for room, number, at, name, to, content in rows
            ],
            audit=entries,
            reports=await self._reports.page(identity=identity, limit=-1),
        )

    async def erase(self, identity: str, pseudonym: str) -> Erased:
        """Delete what is stored about a person; what has to stay names the pseudonym. Raises StoreError."""

        def work(sql: sqlite3.Connection) -> tuple[int, int, int]:
            messages = sql.execute(
                "DELETE FROM messages WHERE sender_identity = :id OR recipient_identity = :id", {"id": identity}
            ).rowcount
            sessions = sql.execute(
                "DELETE FROM sessions WHERE json_extract(CAST(grants AS TEXT), '$.identity') = :id", {"id": identity}
            ).rowcount
            sql.execute("DELETE FROM called WHERE person = :id", {"id": identity})
            sql.execute("DELETE FROM called WHERE call IN (SELECT id FROM calls WHERE caller = :id)", {"id": identity})
            calls = sql.execute("DELETE FROM calls WHERE caller = :id", {"id": identity}).rowcount
            return messages, sessions, calls

        reports = await self._reports.forget_person(identity)
        messages, sessions, calls = await self._database.write(work)
        return Erased(
            identity=identity, messages=messages, sessions=sessions, calls=calls,
            audit=await self._audit.rename(identity, pseudonym),
            reports=reports,
            webhooks=await self._outbox.rename(identity, pseudonym),
        )
