"""The sessions that have not ended, in the database."""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec
import structlog

from signaling.store.database import Database, Schema
from signaling.store.interface import SessionRecord
from signaling.tokens import Grants

SCHEMA = Schema(
    "sessions",
    (
        """
        CREATE TABLE sessions (
            secret_hash BLOB PRIMARY KEY, participant TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
            grants BLOB NOT NULL
        );
        """,
    ),
)

log = structlog.get_logger()


class StoredSessions:
    """The `SessionStore` of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, record: SessionRecord) -> None:
        """See SessionStore."""
        values = (
            record.secret_hash, record.participant, record.name, record.kind, msgspec.json.encode(record.grants)
        )
        statement = (
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "participant = excluded.participant, name = excluded.name, kind = excluded.kind, grants = excluded.grants"
        )
        self._database.write(lambda sql: sql.execute(statement, values)).add_done_callback(_note_failure)

    def delete(self, secret_hash: bytes) -> None:
        """See SessionStore."""
        statement = "DELETE FROM sessions WHERE secret_hash = ?"
        self._database.write(lambda sql: sql.execute(statement, (secret_hash,))).add_done_callback(_note_failure)

    async def all(self) -> list[SessionRecord]:
        """See SessionStore."""
        query = "SELECT secret_hash, participant, name, kind, grants FROM sessions ORDER BY rowid"
        rows = await self._database.read(lambda sql: sql.execute(query).fetchall())
        return [
            SessionRecord(secret, participant, name, kind, msgspec.json.decode(grants, type=Grants))
            for secret, participant, name, kind, grants in rows
        ]


def _note_failure(done: asyncio.Future[sqlite3.Cursor]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("a session could not be stored", why=str(error))
