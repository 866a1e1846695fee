"""The audit log, in the database: what happened and when is only ever added, and deleted when it is old."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from signaling.governance.facts import Fact, Person
from signaling.store.database import Database, Schema
from signaling.store.failures import note_failure

SCHEMA = Schema(
    "audit",
    (
        """
        CREATE TABLE audit (
            number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, what TEXT NOT NULL,
            room TEXT NOT NULL, room_id TEXT NOT NULL,
            who TEXT NOT NULL, who_name TEXT NOT NULL, who_participant TEXT NOT NULL, who_kind TEXT NOT NULL,
            whom TEXT NOT NULL, whom_name TEXT NOT NULL, whom_participant TEXT NOT NULL, whom_kind TEXT NOT NULL,
            detail TEXT NOT NULL
        );
        CREATE INDEX audit_by_time ON audit (at);
        CREATE INDEX audit_by_who ON audit (who);
        CREATE INDEX audit_by_whom ON audit (whom);
        CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OF number, at, what, room, room_id, detail ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
        """,
    ),
)

_COLUMNS = (
    "number, at, what, room, room_id, who, who_name, who_participant, who_kind, "
    "whom, whom_name, whom_participant, whom_kind, detail"
)
_NOBODY = Person("")


class AuditEntry(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """One line of the audit log."""

    number: int
    at: float
    """Unix time in seconds."""
    what: str
    room: str = ""
    room_id: str = ""
    who: str = ""
    """Identity of who did it."""
    who_name: str = ""
    who_participant: str = ""
    who_kind: str = ""
    whom: str = ""
    """Identity of who it was done to."""
    whom_name: str = ""
    whom_participant: str = ""
    whom_kind: str = ""
    detail: dict[str, str | float | bool | None] = {}


class AuditLog:
    """The audit log of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, fact: Fact) -> None:
        """Add a fact; it is written soon, in the order of the calls."""
        who, whom = fact.who or _NOBODY, fact.whom or _NOBODY
        detail = dict(fact.detail)
        if fact.publication is not None:
            detail |= {"publication": fact.publication.id, "source": fact.publication.source}
        values = (
            fact.at, fact.what, fact.room, fact.room_id,
            who.identity, who.name, who.participant, who.kind,
            whom.identity, whom.name, whom.participant, whom.kind,
            msgspec.json.encode(detail).decode(),
        )
        self._database.write(
            lambda sql: sql.execute(
                f"INSERT INTO audit ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                values,
            )
        ).add_done_callback(note_failure("an entry of the audit log could not be stored"))

    async def page(self, *, after: int = 0, room: str = "", identity: str = "", limit: int = 500) -> list[AuditEntry]:
        """Up to `limit` entries with a number above `after`, the oldest first; of one room or person only, if given.

        Raises StoreError.
        """
        query = (
            f"SELECT {_COLUMNS} FROM audit WHERE number > :after AND (:room = '' OR room = :room) "  # noqa: S608
            "AND (:who = '' OR who = :who OR whom = :who) ORDER BY number LIMIT :limit"
        )
        given = {"after": after, "room": room, "who": identity, "limit": limit}
        rows = await self._database.read(lambda sql: sql.execute(query, given).fetchall())
        return [_entry(row) for row in rows]

    async def forget(self, *, before: float) -> int:
        """Delete what is older than this Unix time; how much. Raises StoreError."""
        return await self._database.write(
            lambda sql: sql.execute("DELETE FROM audit WHERE at < ?", (before,)).rowcount
        )

    async def rename(self, identity: str, pseudonym: str) -> int:
        """Write a pseudonym wherever a person is named; how many entries that were. Raises StoreError."""

        def work(sql: sqlite3.Connection) -> int:
            changed = sql.execute("SELECT count(*) FROM audit WHERE who = :id OR whom = :id", {"id": identity})
            count = int(changed.fetchone()[0])
            for role in ("who", "whom"):
                sql.execute(
                    f"UPDATE audit SET {role} = ?, {role}_name = '', {role}_participant = '' "  # noqa: S608 - ours
                    f"WHERE {role} = ?",
                    (pseudonym, identity),
                )
            return count

        return await self._database.write(work)


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    *values, detail = row
    fields = dict(zip(AuditEntry.__struct_fields__, values, strict=False))
    return AuditEntry(**fields, detail=msgspec.json.decode(detail))
