"""The calls between people, in the database: who called whom, when, and what came of it."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

import structlog

from signaling.calls.switchboard import RingState
from signaling.store.database import Database, Schema

SCHEMA = Schema(
    "calls",
    (
        """
        CREATE TABLE calls (
            id TEXT PRIMARY KEY, caller TEXT NOT NULL, caller_name TEXT NOT NULL,
            began REAL NOT NULL, answered REAL NOT NULL, ended REAL NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX calls_by_caller ON calls (caller, began);
        CREATE INDEX calls_by_time ON calls (began);
        CREATE TABLE called (
            call TEXT NOT NULL REFERENCES calls (id), person TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
            PRIMARY KEY (call, person)
        ) WITHOUT ROWID;
        CREATE INDEX called_by_person ON called (person);
        """,
    ),
)

_COLUMNS = "id, caller, caller_name, began, answered, ended"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CalledRecord:
    """Somebody who was called."""

    person: str
    name: str
    state: RingState


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call; times are Unix time in seconds, 0: not yet."""

    id: str
    caller: str
    caller_name: str
    people: tuple[CalledRecord, ...]
    began: float
    answered: float = 0.0
    ended: float = 0.0


class CallLog:
    """The calls of one server, each forgotten `keep_seconds` after it began."""

    def __init__(self, database: Database, *, keep_seconds: float) -> None:
        self._database = database
        self._keep_seconds = keep_seconds

    def save(self, call: CallRecord) -> None:
        """Keep a call as it is now. Nothing waits for it."""

        def write(sql: sqlite3.Connection) -> None:
            sql.execute(
                "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?)",
                (call.id, call.caller, call.caller_name, call.began, call.answered, call.ended),
            )
            sql.executemany(
                "INSERT OR REPLACE INTO called VALUES (?, ?, ?, ?)",
                [(call.id, one.person, one.name, one.state) for one in call.people],
            )
            if call.ended:
                _forget(sql, before=call.ended - self._keep_seconds)

        self._database.write(write).add_done_callback(_note_failure)

    async def of(self, person: str, *, before: float, limit: int) -> tuple[list[CallRecord], bool]:
        """The last `limit` calls of a person that began before a time and have ended, latest first; and whether there
        are more. Raises StoreError.
        """
        query = (
            f"SELECT {_COLUMNS} FROM calls WHERE began < :before AND ended > 0 AND (caller = :person "  # noqa: S608
            "OR id IN (SELECT call FROM called WHERE person = :person)) ORDER BY began DESC LIMIT :limit"
        )

        def read(sql: sqlite3.Connection) -> list[CallRecord]:
            arguments = {"person": person, "before": before, "limit": limit + 1}
            return [_with_people(sql, row) for row in sql.execute(query, arguments).fetchall()]

        found = await self._database.read(read)
        return found[:limit], len(found) > limit

    async def end_interrupted(self) -> None:
        """Calls that went on when the server before this one died are over. Raises StoreError."""

        def write(sql: sqlite3.Connection) -> None:
            open_calls = "SELECT id FROM calls WHERE ended = 0"
            sql.execute(f"UPDATE called SET state = 'missed' WHERE state = 'ringing' AND call IN ({open_calls})")  # noqa: S608
            sql.execute("UPDATE calls SET ended = max(began, answered) WHERE ended = 0")

        await self._database.write(write)


def _forget(sql: sqlite3.Connection, *, before: float) -> None:
    sql.execute("DELETE FROM called WHERE call IN (SELECT id FROM calls WHERE began < ?)", (before,))
    sql.execute("DELETE FROM calls WHERE began < ?", (before,))


def _with_people(sql: sqlite3.Connection, row: tuple[str, str, str, float, float, float]) -> CallRecord:
    call, caller, caller_name, began, answered, ended = row
    people = sql.execute("SELECT person, name, state FROM called WHERE call = ?", (call,)).fetchall()
    return CallRecord(
        call, caller, caller_name, tuple(CalledRecord(*each) for each in people), began, answered, ended
    )


def _note_failure(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("a call could not be stored", why=str(error))
