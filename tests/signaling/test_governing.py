"""The commands that govern a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from conftest import SECRET, Serve, Service
from typer.testing import CliRunner

from signaling.cli import app
from signaling.governing import duration
from signaling.tokens import Grants, issue


@pytest.fixture(autouse=True)
def _no_log_of_the_server_in_between() -> Iterator[None]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


def token(identity: str, **grants: Any) -> str:
    return issue(SECRET, Grants(room="hall", identity=identity, name=identity.title(), **grants), ttl=60)


async def clarion(service: Service, *words: str, secret: str = SECRET) -> tuple[int, str]:
    """Run a command against the service: its exit code and what it printed."""
    url = str(service.client.make_url("")).rstrip("/")
    environment = {"CLARION_SECRET": secret, "COLUMNS": "200"}
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--url", url], env=environment)
    return result.exit_code, result.output


async def test_a_meeting_is_governed_from_the_command_line(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    ann, bob = await service.join(token=token("ann", room_admin=True)), await service.join(token=token("bob"))
    assert "hall" in (await clarion(service, "rooms"))[1]
    people = json.loads((await clarion(service, "people", "hall", "--json"))[1])["participants"]
    assert {each["name"] for each in people} == {"Ann", "Bob"}
    assert (await clarion(service, "lock", "hall")) == (0, "hall is locked.\n")
    assert (await ann.until("room-changed"))["settings"]["locked"] is True
    assert (await clarion(service, "unlock", "hall"))[0] == 0
    assert (await clarion(service, "mute", "hall", "Bob"))[1] == "Bob is muted.\n"
    assert (await bob.until("role"))["silenced"] == ["audio"]
    assert (await clarion(service, "role", "hall", "bob", "listener"))[0] == 0
    assert (await clarion(service, "say", "hall", "Time!"))[0] == 0
    assert (await bob.until("message"))["message"]["content"]["text"] == "Time!"
    assert (await clarion(service, "kick", "hall", "Bob"))[0] == 0
    assert (await bob.until("closed"))["reason"] == "removed"
    assert "bob" in (await clarion(service, "bans", "hall"))[1]
    assert (await clarion(service, "unban", "hall", "bob"))[0] == 0
    code, said = await clarion(service, "ban", "hall", "eve", "--for", "2h", "--reason", "noise")
    assert (code, said.startswith("eve may not enter hall: until ")) == (0, True)
    assert (await clarion(service, "end", "hall"))[0] == 0
    assert (await ann.until("closed"))["reason"] == "ended"
    entries = [json.loads(line) for line in (await clarion(service, "audit", "--json"))[1].splitlines()]
    assert [each["what"] for each in entries if each.get("whomName") == "Bob"] == [
        "silenced", "role_set", "removed", "unbanned",
    ]
    shown = (await clarion(service, "audit", "--room", "hall"))[1]
    assert "banned" in shown
    assert "until=20" in shown, "a date, not seconds"
    assert (await clarion(service, "person", "erase", "bob", "--yes"))[0] == 0
    assert '"audit": []' in (await clarion(service, "person", "export", "bob"))[1]


async def test_what_cannot_be_done_is_a_sentence(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    await service.join(token=token("ann", room_admin=True))
    for words, sentence in (
        (("kick", "attic", "x"), "There is no such room."),
        (("kick", "hall", "x"), "0 people in hall answer to 'x'"),
        (("ban", "hall", "x", "--for", "soon"), "'soon' is no time"),
    ):
        code, said = await clarion(service, *words)
        assert (code, sentence in said) == (1, True), said
    code, said = await clarion(service, "rooms", secret="x" * 32)
    assert (code, "The token is not valid here." in said) == (1, True)


async def test_a_server_that_is_not_there_is_a_sentence(serve: Serve) -> None:
    service = await serve()
    port = service.client.port
    await service.client.close()
    result = await asyncio.to_thread(CliRunner().invoke, app, ["rooms", "--url", f"http://127.0.0.1:{port}"])
    code, said = result.exit_code, result.output
    assert (code, "cannot be reached" in said) == (1, True)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604800)])
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert duration(text) == seconds
