"""Reports of participants about others, with their evidence, in the database."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

import msgspec

from signaling.governance.facts import Person
from signaling.store.database import Database, Schema

SCHEMA = Schema(
    "reports",
    (
        """
        CREATE TABLE reports (
            id TEXT PRIMARY KEY, at REAL NOT NULL, room TEXT NOT NULL, room_id TEXT NOT NULL,
            who TEXT NOT NULL, whom TEXT NOT NULL, report BLOB NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX reports_by_time ON reports (at);
        """,
    ),
)

EVIDENCE_MESSAGES = 50
"""Messages that a report keeps: the last that the reporter could read."""


class Present(msgspec.Struct, rename="camel", frozen=True):
    """Somebody who was in the room."""

    identity: str
    name: str
    participant: str


class Evidence(msgspec.Struct, rename="camel", frozen=True):
    """A message as it was stored."""

    number: int
    at: float
    sender: str
    name: str
    content: msgspec.Raw


class Report(msgspec.Struct, rename="camel", frozen=True):
    """What somebody has reported."""

    id: str
    at: float
    """Unix time in seconds."""
    room: str
    room_id: str
    by: Present
    about: Present
    reason: str
    present: tuple[Present, ...] = ()
    messages: tuple[Evidence, ...] = ()
    """The last ones of the room that the reporter could read."""


class Reports:
    """The reports of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, *, room: str, room_id: str, at: float, by: Person, whom: Person, reason: str, present: Sequence[Person]
    ) -> str:
        """Keep a report with the messages that its author could read; its id. Raises StoreError."""
        report_id = secrets.token_hex(8)

        def work(sql: sqlite3.Connection) -> None:
            rows = sql.execute(
                "SELECT number, at, sender, name, content FROM messages WHERE room = ? AND at <= ? "
                "AND (recipient = '' OR recipient = ? OR sender = ? "
                "OR (? <> '' AND (recipient_identity = ? OR sender_identity = ?))) "
                "ORDER BY number DESC LIMIT ?",
                (room, at, by.participant, by.participant, *3 * (by.identity,), EVIDENCE_MESSAGES),
            ).fetchall()
            report = Report(
                id=report_id, at=at, room=room, room_id=room_id, by=_present(by), about=_present(whom), reason=reason,
                present=tuple(_present(person) for person in present),
                messages=tuple(
                    Evidence(number, sent, sender, name, msgspec.Raw(content))
                    for number, sent, sender, name, content in reversed(rows)
                ),
            )
            sql.execute(
                "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)",
                (report_id, at, room, room_id, by.identity, whom.identity, msgspec.json.encode(report)),
            )

        await self._database.write(work)
        return report_id

    async def page(self, *, room: str = "", identity: str = "", limit: int = 100) -> list[Report]:
        """The latest reports, the newest first; of one room, or by or about one person, if given. Raises StoreError."""
        query = (
            "SELECT report FROM reports WHERE (:room = '' OR room = :room) "
            "AND (:who = '' OR who = :who OR whom = :who) ORDER BY at DESC LIMIT :limit"
        )
        given = {"room": room, "who": identity, "limit": limit}
        rows = await self._database.read(lambda sql: sql.execute(query, given).fetchall())
        return [msgspec.json.decode(row[0], type=Report) for row in rows]

    async def forget(self, *, before: float) -> int:
        """Delete what is older than this Unix time; how many. Raises StoreError."""
        return await self._database.write(
            lambda sql: sql.execute("DELETE FROM reports WHERE at < ?", (before,)).rowcount
        )

    async def forget_person(self, identity: str) -> int:
        """Delete the reports by and about a person, and the person from what others keep; how many were deleted.

        What was written is known by the messages that are still stored: delete those afterwards. Raises StoreError.
        """

        def work(sql: sqlite3.Connection) -> int:
            deleted = sql.execute("DELETE FROM reports WHERE who = ? OR whom = ?", (identity, identity)).rowcount
            written = set(sql.execute("SELECT room, number FROM messages WHERE sender_identity = ?", (identity,)))
            for report_id, stored in sql.execute("SELECT id, report FROM reports").fetchall():
                report = msgspec.json.decode(stored, type=Report)
                without = _without(report, identity, {number for room, number in written if room == report.room})
                if without != report:
                    sql.execute("UPDATE reports SET report = ? WHERE id = ?", (msgspec.json.encode(without), report_id))
            return deleted

        return await self._database.write(work)


def _without(report: Report, identity: str, written: set[int]) -> Report:
    """A report without somebody who was there, and the messages of those numbers."""
    devices = {one.participant for one in report.present if one.identity == identity}
    return msgspec.structs.replace(
        report,
        present=tuple(one for one in report.present if one.identity != identity),
        messages=tuple(one for one in report.messages if one.sender not in devices and one.number not in written),
    )


def _present(person: Person) -> Present:
    return Present(person.identity, person.name, person.participant)
