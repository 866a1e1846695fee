"""One SQLite file for everything that is kept: one thread writes, many writes share a commit.

A module that keeps something declares its tables as a `Schema`, and reads and writes with functions that get the
connection:

    NOTES = Schema("notes", ("CREATE TABLE notes (room TEXT, note TEXT);",))
    database = await Database.open(directory, [NOTES])
    await database.write(lambda sql: sql.execute("INSERT INTO notes VALUES (?, ?)", (room, note)))
    rows = await database.read(lambda sql: sql.execute("SELECT note FROM notes").fetchall())
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from signaling.store.interface import StoreError

FILE_NAME = "clarion.sqlite3"
LOCK_NAME = "clarion.lock"
MAX_BATCH = 512
"""Writes that share a commit at most: more would make the first of them wait."""
BUSY_SECONDS = 5.0
"""How long to wait for another program that looks into the file."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

log = structlog.get_logger()


class DatabaseError(Exception):
    """The database cannot be used; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one module: `steps[n]` is SQL that brings them from version n to n + 1."""

    module: str
    steps: tuple[str, ...]


class Database:
    """The open database. Made by `open`; `close` waits for what has been asked for."""

    def __init__(self, writer: sqlite3.Connection, reader: sqlite3.Connection | None, lock: sqlite3.Connection | None):
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Work[Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(1, "database reader")
        self._thread = threading.Thread(target=self._write_all, name="database writer", daemon=True)
        self._thread.start()
        self._closed = False

    @classmethod
    async def open(cls, directory: Path | None, schemas: Iterable[Schema]) -> Database:
        """The database in `directory`, which is made if need be; None: in memory, gone at the end.

        Raises DatabaseError.
        """
        return cls(*await asyncio.to_thread(_open, directory, tuple(schemas)))

    def write(self, work: Work[T]) -> asyncio.Future[T]:
        """Run `work` in a transaction; the future is done after the commit, and in the order of the calls.

        What `work` raises undoes it alone, and is raised by the future; as is StoreError when the disk fails.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(StoreError("the database is closed"))
        else:
            self._queue.put((work, future))
        return future

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads; it sees every write that is done. Raises StoreError."""
        if self._reader is None:
            return await self.write(work)
        if self._closed:
            raise StoreError("the database is closed")
        try:
            return await self._loop.run_in_executor(self._readers, work, self._reader)
        except sqlite3.Error as error:
            raise StoreError(f"the database cannot be read: {error}") from error

    async def close(self) -> None:
        """Finish what has been asked for, then close."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in (self._reader, self._writer, self._lock):
            if connection is not None:
                connection.close()

    # --- on the writer's thread ---------------------------------------------------------------------------

    def _write_all(self) -> None:
        going_on = True
        while going_on:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while batch[-1] is not None and len(batch) < MAX_BATCH:
                    batch.append(self._queue.get_nowait())
            going_on = batch[-1] is not None
            wanted = [each for each in batch if each is not None]
            outcomes = self._commit([work for work, _ in wanted])
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                self._loop.call_soon_threadsafe(_settle, [future for _, future in wanted], outcomes)

    def _commit(self, batch: list[Work[Any]]) -> list[Any]:
        """What each of the batch returned or, as an exception, raised."""
        sql = self._writer
        try:
            sql.execute("BEGIN IMMEDIATE")
            outcomes = [self._run(work) for work in batch]
            sql.execute("COMMIT")
        except Exception as error:
            # Whatever it was, nothing of the batch may count as stored.
            log.error("the database cannot be written", why=str(error))
            if sql.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    sql.execute("ROLLBACK")
            return [StoreError(f"the database cannot be written: {error}")] * len(batch)
        return outcomes

    def _run(self, work: Work[Any]) -> Any:
        sql = self._writer
        sql.execute("SAVEPOINT work")
        try:
            outcome = work(sql)
        except Exception as error:
            if not sql.in_transaction:  # SQLite has undone everything, as it does when the disk is full
                raise
            sql.execute("ROLLBACK TO work")
            outcome = error
            if isinstance(error, sqlite3.Error):
                outcome = StoreError(f"the database cannot be written: {error}")
        sql.execute("RELEASE work")
        return outcome


def _settle(futures: list[asyncio.Future[Any]], outcomes: list[Any]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():  # nobody waits for it any more
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _open(
    directory: Path | None, schemas: tuple[Schema, ...]
) -> tuple[sqlite3.Connection, sqlite3.Connection | None, sqlite3.Connection | None]:
    if directory is None:
        memory = _connect(":memory:")
        _migrate(memory, schemas)
        return memory, None, None
    path = directory / FILE_NAME
    opened: list[sqlite3.Connection] = []
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _take(directory)
        opened.append(lock)
        _refuse_if_put_aside(path)
        writer = _connect(path)
        opened.append(writer)
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA synchronous=FULL")  # a commit survives the loss of power too
        problem = writer.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        _migrate(writer, schemas)
        reader = _connect(path)
        reader.execute("PRAGMA query_only=ON")
    except OSError as error:
        raise DatabaseError(
            f"The data directory {directory} cannot be used: {error.strerror or error}. "
            "Set CLARION_DATA_DIR to another."
        ) from error
    except sqlite3.OperationalError as error:
        _close(opened)
        raise DatabaseError(f"The database {path} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        _close(opened)
        raise DatabaseError(_put_aside(path, error)) from error
    except DatabaseError:
        _close(opened)
        raise
    return writer, reader, lock


def _connect(path: Path | str) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, and closed by another.
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _close(connections: list[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()


def _take(directory: Path) -> sqlite3.Connection:
    """The directory for this process alone, until the connection closes or the process dies."""
    lock = sqlite3.connect(directory / LOCK_NAME, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise DatabaseError(
            f"The data directory {directory} is in use: stop the server that has it, "
            "or set CLARION_DATA_DIR to another."
        ) from error
    return lock


def _migrate(sql: sqlite3.Connection, schemas: tuple[Schema, ...]) -> None:
    sql.execute("CREATE TABLE IF NOT EXISTS schema_versions (module TEXT PRIMARY KEY, version INTEGER NOT NULL)")
    versions = dict(sql.execute("SELECT module, version FROM schema_versions"))
    for schema in schemas:
        version = versions.get(schema.module, 0)
        if version > len(schema.steps):
            raise DatabaseError(
                f"The database was written by a newer Clarion ({schema.module} {version}): update this one."
            )
        for number, step in enumerate(schema.steps[version:], version + 1):
            noted = f"INSERT OR REPLACE INTO schema_versions VALUES ('{schema.module}', {number})"  # noqa: S608 - ours
            try:
                sql.executescript(f"BEGIN; {step}; {noted}; COMMIT;")
            except sqlite3.Error:
                if sql.in_transaction:
                    sql.execute("ROLLBACK")
                raise


def _put_aside(path: Path, error: sqlite3.DatabaseError) -> str:
    """Move a damaged database out of the way, whole; what to tell the operator."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return (
        f"The database {path} is damaged ({error}); it has been put aside as {aside.name}, and nothing is lost that "
        "was in it. Put a copy of before in its place, or move it to another directory to begin with an empty one."
    )


def _refuse_if_put_aside(path: Path) -> None:
    """An empty database would forget bans in silence: that is for a person to decide."""
    damaged = sorted(path.parent.glob(f"{path.name}.damaged-*"))
    if damaged and not path.exists():
        raise DatabaseError(
            f"The database was damaged and put aside as {damaged[-1]}. Put a copy of before in its place, as "
            f"{path.name}, or move it to another directory to begin with an empty one."
        )
