"""How rooms are governed, in the database."""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec

from signaling.governance.policy import Charter
from signaling.store.database import Database, Schema
from signaling.store.failures import note_failure

SCHEMA = Schema(
    "charters",
    ("CREATE TABLE charters (room TEXT PRIMARY KEY, charter BLOB NOT NULL) WITHOUT ROWID;",),
)


class StoredCharters:
    """The charters of one server. A room is governed from memory; `written` tells when that is stored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: asyncio.Future[sqlite3.Cursor] | None = None

    def save(self, room: str, charter: Charter | None) -> None:
        """Keep a charter, in place of the one before; None: keep none."""
        if charter is None:
            done = self._database.write(lambda sql: sql.execute("DELETE FROM charters WHERE room = ?", (room,)))
        else:
            values = room, msgspec.json.encode(charter)
            statement = "INSERT OR REPLACE INTO charters VALUES (?, ?)"
            done = self._database.write(lambda sql: sql.execute(statement, values))
        done.add_done_callback(note_failure("a charter could not be stored"))
        self._last = done

    async def written(self) -> None:
        """Wait for all writes before this, those of sessions too. Raises StoreError if the last charter failed."""
        last = self._last
        await self._database.write(lambda sql: None)
        if last is not None and (error := last.exception()) is not None:
            raise error

    async def all(self) -> dict[str, Charter]:
        """Every charter by room. Raises StoreError."""
        rows = await self._database.read(lambda sql: sql.execute("SELECT room, charter FROM charters").fetchall())
        return {room: msgspec.json.decode(charter, type=Charter) for room, charter in rows}
