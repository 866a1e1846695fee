"""Tokens that were taken back before they expired, in the database."""

from __future__ import annotations

from signaling.store.database import Database, Schema

SCHEMA = Schema(
    "revocations",
    ("CREATE TABLE revocations (token TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;",),
)


class Revocations:
    """The tokens of one server that are good no more, by id; read from memory, stored before they are answered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._until: dict[str, float] = {}

    async def load(self) -> None:
        """Read what was stored. Raises StoreError."""
        rows = await self._database.read(lambda sql: sql.execute("SELECT token, until FROM revocations").fetchall())
        self._until = dict(rows)

    def __contains__(self, token_id: object) -> bool:
        return token_id in self._until

    def __len__(self) -> int:
        return len(self._until)

    async def add(self, token_id: str, *, until: float) -> None:
        """Take a token back; it may be forgotten at Unix time `until`, when it has expired. Raises StoreError."""
        self._until[token_id] = until
        await self._database.write(
            lambda sql: sql.execute("INSERT OR REPLACE INTO revocations VALUES (?, ?)", (token_id, until))
        )

    async def forget(self, *, before: float) -> int:
        """Forget those that expired before this Unix time; how many. Raises StoreError."""
        self._until = {token_id: until for token_id, until in self._until.items() if until >= before}
        return await self._database.write(
            lambda sql: sql.execute("DELETE FROM revocations WHERE until < ?", (before,)).rowcount
        )
