"""The database: commits, order, and what it does with a disk or a file that fails."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from signaling.store.database import FILE_NAME, Database, DatabaseError, Schema
from signaling.store.interface import StoreError

NOTES = Schema("notes", ("CREATE TABLE notes (note TEXT PRIMARY KEY)",))
Open = Callable[..., Awaitable[Database]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Open]:
    """Open databases, in the same directory unless said otherwise; closed at the end."""
    opened: list[Database] = []

    async def start(directory: Path | None = tmp_path, schemas: tuple[Schema, ...] = (NOTES,)) -> Database:
        opened.append(await Database.open(directory, schemas))
        return opened[-1]

    yield start
    for each in opened:
        await each.close()


def add(note: str) -> Callable[[sqlite3.Connection], object]:
    return lambda sql: sql.execute("INSERT INTO notes VALUES (?)", (note,))


def notes(sql: sqlite3.Connection) -> list[str]:
    return [row[0] for row in sql.execute("SELECT note FROM notes ORDER BY rowid")]


@pytest.mark.parametrize("where", ["file", "memory"])
async def test_what_is_written_is_read_and_futures_are_done_in_the_order_of_the_calls(
    database: Open, tmp_path: Path, where: str
) -> None:
    opened = await database(tmp_path if where == "file" else None)
    done: list[int] = []
    for number in range(1200):
        opened.write(add(str(number))).add_done_callback(lambda _, number=number: done.append(number))
    await opened.write(add("last"))
    assert done == list(range(1200))
    assert await opened.read(notes) == [*map(str, range(1200)), "last"]


async def test_a_write_that_raises_undoes_itself_and_nothing_else(database: Open) -> None:
    opened = await database()

    def halfway(sql: sqlite3.Connection) -> None:
        sql.execute("INSERT INTO notes VALUES ('half')")
        raise KeyError("x")

    results = [opened.write(add("a")), opened.write(halfway), opened.write(add("a")), opened.write(add("b"))]
    with pytest.raises(KeyError):
        await results[1]
    with pytest.raises(StoreError, match="UNIQUE"):
        await results[2]
    await results[3]
    assert await opened.read(notes) == ["a", "b"]


async def test_what_was_committed_survives_kill_9(database: Open, tmp_path: Path) -> None:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from signaling.store.database import Database, Schema

async def main():
    schema = Schema("notes", ("CREATE TABLE notes (note TEXT PRIMARY KEY)",))
    database = await Database.open(Path(sys.argv[1]), [schema])
    await database.write(lambda sql: sql.execute("INSERT INTO notes VALUES ('kept')"))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    child = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, str(tmp_path)], check=False)
    assert child.returncode == -9
    assert await (await database()).read(notes) == ["kept"]


async def test_a_disk_that_is_full_fails_the_writes_and_not_the_server(database: Open) -> None:
    opened = await database()
    await opened.write(add("before"))
    pages = await opened.read(lambda sql: sql.execute("PRAGMA page_count").fetchone()[0])
    opened._writer.execute(f"PRAGMA max_page_count={pages}")  # what a full disk looks like to SQLite
    results = await asyncio.gather(
        *(opened.write(add(f"{number} {'x' * 3000}")) for number in range(20)), return_exceptions=True
    )
    assert all(isinstance(result, StoreError) and "full" in str(result) for result in results[5:])
    opened._writer.execute("PRAGMA max_page_count=100000")
    await opened.write(add("after"))
    kept = await opened.read(notes)
    assert (kept[0], kept[-1]) == ("before", "after")
    assert len(kept) - 2 == sum(not isinstance(result, StoreError) for result in results)


@pytest.mark.parametrize("damage", ["no database", "a broken page"])
async def test_a_damaged_database_is_put_aside_whole_and_the_server_does_not_start_empty(
    database: Open, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / FILE_NAME
    opened = await database()
    for number in range(50):
        await opened.write(add(f"{number} {'x' * 1000}"))
    await opened.close()
    content = bytearray(path.read_bytes())
    if damage == "no database":
        content[:100] = bytes(100)
    else:
        content[4096:20000] = b"\xa5" * (20000 - 4096)
    path.write_bytes(content)

    with pytest.raises(DatabaseError, match="damaged") as refusal:
        await database()
    (aside,) = tmp_path.glob("*.damaged-*")  # noqa: ASYNC240 - nothing else runs here
    assert aside.name in str(refusal.value)
    assert aside.read_bytes() == content
    assert not path.exists()
    with pytest.raises(DatabaseError, match=aside.name):
        await database()
    assert not path.exists()

    aside.rename(tmp_path / "elsewhere")
    assert await (await database()).read(notes) == []


async def test_a_directory_has_one_server(database: Open, tmp_path: Path) -> None:
    first = await database()
    with pytest.raises(DatabaseError, match="in use"):
        await database()
    await first.close()
    await database()


async def test_a_directory_that_cannot_be_used_is_a_sentence(database: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseError, match="CLARION_DATA_DIR"):
        await database(tmp_path / "file" / "inside")


async def test_a_module_s_tables_follow_its_schema_step_by_step(database: Open) -> None:
    first = await database()
    await first.write(add("old"))
    await first.close()
    grown = Schema("notes", (*NOTES.steps, "ALTER TABLE notes ADD COLUMN at REAL DEFAULT 7"))
    second = await database(schemas=(grown, Schema("other", ("CREATE TABLE other (x)",))))
    assert await second.read(lambda sql: sql.execute("SELECT * FROM notes").fetchall()) == [("old", 7.0)]
    await second.close()
    with pytest.raises(DatabaseError, match="newer"):
        await database()


async def test_a_step_that_fails_leaves_the_version_before(database: Open) -> None:
    await (await database()).close()
    broken = Schema("notes", (*NOTES.steps, "CREATE TABLE more (x); CREATE TABLE more (x)"))
    with pytest.raises(DatabaseError, match="more"):
        await database(schemas=(broken,))
    again = await database()
    assert await again.read(notes) == []


async def test_after_the_end_nothing_is_taken(database: Open) -> None:
    opened = await database()
    waiting = opened.write(add("in time"))
    await opened.close()
    await waiting
    with pytest.raises(StoreError, match="closed"):
        await opened.write(add("late"))
    with pytest.raises(StoreError, match="closed"):
        await opened.read(notes)
