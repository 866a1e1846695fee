"""Webhooks that wait to be delivered, and how deliveries went, in the database."""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec

from signaling.store.database import Database, Schema
from signaling.store.failures import note_failure

SCHEMA = Schema(
    "outbox",
    (
        """
        CREATE TABLE outbox (
            number INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, room TEXT NOT NULL, event TEXT NOT NULL,
            id TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL
        );
        CREATE INDEX outbox_by_room ON outbox (url, room, number);
        CREATE TABLE deliveries (
            number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, url TEXT NOT NULL, room TEXT NOT NULL,
            event TEXT NOT NULL, id TEXT NOT NULL, attempt INTEGER NOT NULL, result TEXT NOT NULL,
            status INTEGER NOT NULL, seconds REAL NOT NULL
        );
        CREATE INDEX deliveries_by_time ON deliveries (at);
        """,
    ),
)

MAX_WAITING = 100_000
"""Webhooks that wait at most, about 50 MB; what comes then is dropped and counted."""


class Waiting(msgspec.Struct, frozen=True):
    """A webhook that has not been delivered."""

    number: int
    url: str
    room: str
    event: str
    id: str
    at: float
    """When it happened, Unix time in seconds."""
    body: str
    attempts: int
    due: float
    """When to try next, Unix time in seconds."""


class Delivery(msgspec.Struct, rename="camel", frozen=True):
    """One attempt to deliver a webhook."""

    number: int
    at: float
    """Unix time in seconds."""
    url: str
    room: str
    event: str
    id: str
    """The header `webhook-id`: the same for every attempt."""
    attempt: int
    result: str
    """delivered, failed (will be tried again) or given-up."""
    status: int
    """Of the answer; 0: none came."""
    seconds: float


class Outbox:
    """What waits for each receiver, in order in each room."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = 0
        """How much waits, about."""

    async def load(self) -> None:
        """Count what was left by the server that ran before. Raises StoreError."""
        rows = await self._database.read(lambda sql: sql.execute("SELECT count(*) FROM outbox").fetchall())
        self.count = int(rows[0][0])

    def put(
        self, *, url: str, room: str, event: str, webhook_id: str, at: float, body: str
    ) -> asyncio.Future[sqlite3.Cursor] | None:
        """Add a webhook behind those of the same room, done when it is stored; None when too much waits."""
        if self.count >= MAX_WAITING:
            return None
        self.count += 1
        values = url, room, event, webhook_id, at, body, at
        done = self._database.write(
            lambda sql: sql.execute("INSERT INTO outbox VALUES (NULL, ?, ?, ?, ?, ?, ?, 0, ?)", values)
        )
        done.add_done_callback(note_failure("a webhook could not be stored"))
        return done

    async def heads(self, url: str) -> list[Waiting]:
        """The first that waits for a receiver in each room, those first that are due first. Raises StoreError."""
        query = (
            "SELECT number, url, room, event, id, at, body, attempts, due FROM outbox "
            "WHERE number IN (SELECT min(number) FROM outbox WHERE url = ? GROUP BY room) ORDER BY due LIMIT 256"
        )
        rows = await self._database.read(lambda sql: sql.execute(query, (url,)).fetchall())
        return [Waiting(*row) for row in rows]

    async def rename(self, identity: str, pseudonym: str) -> int:
        """Give a pseudonym to a person in what waits; in how many. Raises StoreError."""
        statement = (
            "UPDATE outbox SET body = json_set(body, '$.participant.identity', :pseudonym, '$.participant.name', '') "
            "WHERE json_extract(body, '$.participant.identity') = :identity"
        )
        given = {"identity": identity, "pseudonym": pseudonym}
        return await self._database.write(lambda sql: sql.execute(statement, given).rowcount)

    async def done(self, delivery: Delivery, waiting: Waiting, *, again: float | None) -> None:
        """Note an attempt; the webhook is tried again at Unix time `again`, or not at all. Raises StoreError."""

        def work(sql: sqlite3.Connection) -> None:
            sql.execute(
                "INSERT INTO deliveries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                msgspec.structs.astuple(delivery)[1:],
            )
            if again is None:
                sql.execute("DELETE FROM outbox WHERE number = ?", (waiting.number,))
            else:
                sql.execute(
                    "UPDATE outbox SET attempts = ?, due = ? WHERE number = ?",
                    (delivery.attempt, again, waiting.number),
                )

        await self._database.write(work)
        if again is None:
            self.count -= 1

    async def deliveries(self, *, room: str = "", limit: int = 100) -> list[Delivery]:
        """The latest attempts, the newest first; of one room only, if given. Raises StoreError."""
        query = (
            "SELECT number, at, url, room, event, id, attempt, result, status, seconds FROM deliveries "
            "WHERE :room = '' OR room = :room ORDER BY number DESC LIMIT :limit"
        )
        rows = await self._database.read(
            lambda sql: sql.execute(query, {"room": room, "limit": limit}).fetchall()
        )
        return [Delivery(*row) for row in rows]

    async def forget(self, *, before: float) -> int:
        """Delete attempts older than this Unix time from the log; how many. Raises StoreError."""
        return await self._database.write(
            lambda sql: sql.execute("DELETE FROM deliveries WHERE at < ?", (before,)).rowcount
        )
