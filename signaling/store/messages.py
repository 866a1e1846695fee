"""The messages of rooms, in the database."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import msgspec

from signaling.protocol import ChatMessage, Content
from signaling.store.database import Database, Schema
from signaling.store.interface import Appended, Author, KeyConflictError, NewMessage, Page

SCHEMA = Schema(
    "messages",
    (
        """
        CREATE TABLE message_numbers (room TEXT PRIMARY KEY, last INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
        CREATE TABLE messages (
            room TEXT NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL, at REAL NOT NULL,
            sender TEXT NOT NULL, sender_identity TEXT NOT NULL, name TEXT NOT NULL,
            recipient TEXT NOT NULL, recipient_identity TEXT NOT NULL, content BLOB NOT NULL,
            PRIMARY KEY (room, number)
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX messages_by_key ON messages (room, key);
        CREATE INDEX messages_by_time ON messages (at);
        """,
    ),
)

TRIM_EVERY = 64
"""Messages of a room between two looks at whether it has too many."""

_COLUMNS = "number, key, at, sender, name, content, recipient"
_content = msgspec.json.Decoder(Content)


class Messages:
    """The `MessageStore` of one server; each room keeps its last `per_room` messages."""

    def __init__(self, database: Database, *, per_room: int) -> None:
        self._database = database
        self._per_room = per_room

    def append(self, message: NewMessage) -> asyncio.Future[Appended]:
        """See MessageStore."""
        return self._database.write(lambda sql: self._append(sql, message))

    def _append(self, sql: sqlite3.Connection, new: NewMessage) -> Appended:
        to = new.to.participant if new.to else ""
        if (stored := _find(sql, new.room, new.key)) is not None:
            # Whoever sends it again may be another participant by now, the same person after a new join.
            if stored.to != to or msgspec.json.encode(stored.content) != new.content:
                raise KeyConflictError
            return Appended(stored, repeated=True)
        (number,) = sql.execute(
            "INSERT INTO message_numbers VALUES (:room, :last + 1, :at) "
            "ON CONFLICT DO UPDATE SET last = max(last, :last) + 1, at = :at RETURNING last",
            {"room": new.room, "last": new.last, "at": new.at},
        ).fetchone()
        sender = new.sender
        sql.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.room, number, new.key, new.at, sender.participant, sender.identity, sender.name,
                to, new.to.identity if new.to else "", new.content,
            ),
        )
        if number % TRIM_EVERY == 0:
            sql.execute("DELETE FROM messages WHERE room = ? AND number <= ?", (new.room, number - self._per_room))
        message = ChatMessage(
            number=number, key=new.key, at=new.at, sender=sender.participant, name=sender.name,
            content=_content.decode(new.content), to=to,
        )
        return Appended(message, repeated=False)

    async def find(self, room: str, key: str) -> ChatMessage | None:
        """See MessageStore."""
        return await self._database.read(lambda sql: _find(sql, room, key))

    async def page(
        self, room: str, reader: Author, *, after: int, before: int, forwards: bool, limit: int
    ) -> Page:
        """See MessageStore."""
        query = (
            f"SELECT {_COLUMNS} FROM messages WHERE room = :room AND number > :after AND number < :before "  # noqa: S608
            "AND (recipient = '' OR recipient = :me OR sender = :me "
            "OR (:identity <> '' AND (recipient_identity = :identity OR sender_identity = :identity))) "
            f"ORDER BY number {'ASC' if forwards else 'DESC'} LIMIT :limit"
        )
        arguments = {
            "room": room, "after": after, "before": before,
            "me": reader.participant, "identity": reader.identity, "limit": limit + 1,
        }
        rows = await self._database.read(lambda sql: sql.execute(query, arguments).fetchall())
        messages = [_message(row) for row in rows[:limit]]
        return Page(tuple(messages if forwards else reversed(messages)), more=len(rows) > limit)

    async def last_number(self, room: str) -> int:
        """See MessageStore."""
        query = "SELECT last FROM message_numbers WHERE room = ?"
        row = await self._database.read(lambda sql: sql.execute(query, (room,)).fetchone())
        return int(row[0]) if row else 0

    async def forget(self, *, before: float) -> int:
        """See MessageStore."""

        def delete(sql: sqlite3.Connection) -> int:
            count = sql.execute("DELETE FROM messages WHERE at < ?", (before,)).rowcount
            sql.execute("DELETE FROM message_numbers WHERE at < ?", (before,))
            return count

        return await self._database.write(delete)


def _message(row: tuple[Any, ...]) -> ChatMessage:
    number, key, at, sender, name, content, recipient = row
    return ChatMessage(
        number=number, key=key, at=at, sender=sender, name=name, content=_content.decode(content), to=recipient
    )


def _find(sql: sqlite3.Connection, room: str, key: str) -> ChatMessage | None:
    query = f"SELECT {_COLUMNS} FROM messages WHERE room = ? AND key = ?"  # noqa: S608 - a constant
    row = sql.execute(query, (room, key)).fetchone()
    return _message(row) if row else None
