"""How rooms are governed, in the database."""

from __future__ import annotations

import msgspec

from signaling.governance.policy import Charter
from signaling.store.database import Database, Schema
from signaling.store.failures import note_failure

SCHEMA = Schema(
    "charters",
    ("CREATE TABLE charters (room TEXT PRIMARY KEY, charter BLOB NOT NULL) WITHOUT ROWID;",),
)


class StoredCharters:
    """The charters of one server. Nothing waits for a write: a room is governed from memory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, room: str, charter: Charter | None) -> None:
        """Keep a charter, in place of the one before; None: keep none."""
        if charter is None:
            done = self._database.write(lambda sql: sql.execute("DELETE FROM charters WHERE room = ?", (room,)))
        else:
            values = room, msgspec.json.encode(charter)
            statement = "INSERT OR REPLACE INTO charters VALUES (?, ?)"
            done = self._database.write(lambda sql: sql.execute(statement, values))
        done.add_done_callback(note_failure("a charter could not be stored"))

    async def all(self) -> dict[str, Charter]:
        """Every charter by room. Raises StoreError."""
        rows = await self._database.read(lambda sql: sql.execute("SELECT room, charter FROM charters").fetchall())
        return {room: msgspec.json.decode(charter, type=Charter) for room, charter in rows}
