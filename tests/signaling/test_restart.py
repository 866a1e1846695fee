"""A server that was killed and comes back: rooms, people and messages are as they were."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSCloseCode, WSMsgType
from conftest import SECRET, Serve, Service

from signaling.keys import DATABASE
from signaling.tokens import Admin, Grants, issue, issue_admin


class Crash:
    """Kills a server as `kill -9` would: what it had on its disk at this moment is what the next one finds."""

    def __init__(self, serve: Serve, directory: Path) -> None:
        self._serve = serve
        self._directory = directory
        self._lives = 0

    async def start(self, **settings: object) -> Service:
        self._lives += 1
        return await self._serve(data_dir=self._directory / str(self._lives), **settings)

    async def restart(self, service: Service, **settings: object) -> Service:
        """The server after `service`, which goes on by itself and is no longer asked."""
        await service.app[DATABASE].write(lambda sql: None)  # what came before is on the disk
        shutil.copytree(
            self._directory / str(self._lives), self._directory / str(self._lives + 1),
            ignore=shutil.ignore_patterns("*.lock", "*-shm"),
        )
        return await self.start(**settings)


@pytest.fixture
def crash(serve: Serve, tmp_path: Path) -> Crash:
    return Crash(serve, tmp_path)


async def test_after_a_crash_clients_resume_and_others_see_no_leave(crash: Crash) -> None:
    before = await crash.start()
    ann, bob = await before.join("Ann"), await before.join("Bob")
    await ann.command("send", key="k", content={"kind": "text", "text": "hello"})

    after = await crash.restart(before)
    again = await after.resume(ann.joined["session"], ack=ann.seq)
    assert await again.receive_type("resumed") == {"type": "resumed", "lastId": 0, "restarted": True}
    state = await again.receive_type("joined")
    assert (state["snapshot"], state["you"]["id"], state["lastMessage"]) == (True, ann.joined["you"]["id"], 1)
    assert [(each["name"], each["connected"]) for each in state["participants"]] == [("Bob", False)]

    bob_again = await after.resume(bob.joined["session"], ack=bob.seq)
    changed = await again.receive_type("participant-changed")
    assert (changed["participant"], changed["connected"]) == (bob.joined["you"]["id"], True)
    await bob_again.until("joined")
    again._id = 1
    await again.command("offer", sdp="audio:0")
    await again.command("publish", mid="0", source="microphone")
    assert (await bob_again.receive_type("published"))["participant"] == ann.joined["you"]["id"]
    messages = (await bob_again.command("history"))["messages"]
    assert [message["content"]["text"] for message in messages] == ["hello"]


async def test_a_message_whose_answer_the_crash_swallowed_is_not_doubled(crash: Crash) -> None:
    before = await crash.start()
    ann = await before.join("Ann")
    first = await ann.command("send", key="k", content={"kind": "text", "text": "hello"})
    after = await crash.restart(before)
    again = await after.resume(ann.joined["session"], ack=ann.seq)
    await again.until("joined")
    repeated = await again.command("send", key="k", content={"kind": "text", "text": "hello"})
    assert (repeated["number"], repeated["at"]) == (first["number"], first["at"])
    other = await again.command("send", key="k", content={"kind": "text", "text": "other"})
    assert other["code"] == "conflict"
    assert (await again.command("send", key="l", content={"kind": "text", "text": "next"}))["number"] == 2


async def test_whether_the_server_was_restarted_is_told_until_the_snapshot_has_arrived(crash: Crash) -> None:
    before = await crash.start()
    ann = await before.join("Ann")
    after = await crash.restart(before)
    first = await after.resume(ann.joined["session"], ack=1)
    assert (await first.receive_type("resumed"))["restarted"]
    second = await after.resume(ann.joined["session"], ack=1)
    assert (await second.receive_type("resumed"))["restarted"]
    seq = (await second.until("joined"))["seq"]
    third = await after.resume(ann.joined["session"], ack=seq)
    assert "restarted" not in await third.receive_type("resumed")


async def test_who_does_not_come_back_after_a_crash_leaves_in_time(crash: Crash) -> None:
    before = await crash.start()
    await before.join("Ann")
    bob = await before.join("Bob")
    after = await crash.restart(before, resume_seconds=1)
    again = await after.resume(bob.joined["session"], ack=1)
    assert (await again.until("participant-left"))["reason"] == "timeout"


async def test_who_left_before_a_crash_does_not_come_back(crash: Crash) -> None:
    before = await crash.start()
    ann, bob = await before.join("Ann"), await before.join("Bob")
    await ann.command("leave")
    after = await crash.restart(before)
    assert (await after.refusal(type="resume", session=ann.joined["session"], ack=1))["code"] == "gone"
    again = await after.resume(bob.joined["session"], ack=1)
    assert (await again.until("joined"))["participants"] == []


async def test_a_session_that_a_smaller_server_cannot_restore_is_gone_and_the_others_are_not(crash: Crash) -> None:
    before = await crash.start()
    ann, bob = await before.join("Ann"), await before.join("Bob")
    after = await crash.restart(before, max_participants_per_room=1)
    await (await after.resume(ann.joined["session"], ack=1)).until("joined")
    assert (await after.refusal(type="resume", session=bob.joined["session"], ack=1))["code"] == "gone"


async def test_a_server_that_is_stopped_and_started_interrupts_calls_and_ends_none(
    serve: Serve, tmp_path: Path
) -> None:
    before = await serve(data_dir=tmp_path)
    ann, bob, cy = [await before.join(name) for name in ("Ann", "Bob", "Cy")]
    await bob.command("leave")
    await cy.socket.close()
    await ann.until("participant-changed")
    stopping = asyncio.create_task(before.client.server.close())
    ending = await ann.socket.receive(timeout=5)
    assert (ending.type, ending.data) == (WSMsgType.CLOSE, WSCloseCode.SERVICE_RESTART), "of an end or a leave"
    await asyncio.wait_for(stopping, 10)

    after = await serve(data_dir=tmp_path)
    again = await after.resume(ann.joined["session"], ack=ann.seq)
    assert (await again.receive_type("resumed"))["restarted"]
    state = await again.receive_type("joined")
    assert state["you"]["id"] == ann.joined["you"]["id"]
    assert [(each["name"], each["connected"]) for each in state["participants"]] == [("Cy", False)]
    assert (await after.refusal(type="resume", session=bob.joined["session"], ack=1))["code"] == "gone"


async def test_the_secret_of_a_session_is_not_on_the_disk(crash: Crash, tmp_path: Path) -> None:
    before = await crash.start()
    ann = await before.join("Ann")
    await crash.restart(before)
    kept = b"".join(file.read_bytes() for file in sorted(tmp_path.rglob("clarion.sqlite3*")))  # noqa: ASYNC240
    assert ann.joined["you"]["id"].encode() in kept
    assert ann.joined["session"].encode() not in kept


async def test_after_a_crash_the_room_is_governed_as_before(crash: Crash) -> None:
    before = await crash.start(secret=SECRET)
    ann = await before.join(token=_token("ann", room_admin=True))
    bob, eve = await before.join(token=_token("bob")), await before.join(token=_token("eve"))
    taken_back = _token("dan")
    dan = await before.join(token=taken_back)
    root = {"Authorization": "Bearer " + issue_admin(SECRET, Admin("root"), ttl=60)}
    await before.client.post("/api/v1/revocations", json={"token": taken_back}, headers=root)
    assert (await dan.until("closed"))["reason"] == "revoked"
    await ann.command("ban", participant=eve.joined["you"]["id"], seconds=3600)
    await ann.command("set-role", participant=bob.joined["you"]["id"], role="listener")
    await ann.command("silence", participant=bob.joined["you"]["id"], kind="audio")
    await ann.command("set-room", locked=True, maxPublications=3)

    after = await crash.restart(before, secret=SECRET)
    again = await after.resume(bob.joined["session"], ack=bob.seq)
    state = await again.until("joined")
    assert (state["you"]["role"], state["you"]["silenced"]) == ("listener", ["audio"])
    assert (state["settings"]["locked"], state["settings"]["maxPublications"]) == (True, 3)
    host = await after.resume(ann.joined["session"], ack=ann.seq)
    assert (await host.until("joined"))["permissions"]["roomAdmin"] is True
    for token, code in ((_token("eve"), "banned"), (taken_back, "unauthorized"), (_token("new"), "locked")):
        assert (await after.refusal(type="join", room="hall", name="", token=token))["code"] == code
    resumed = await after.resume(eve.joined["session"], ack=eve.seq)
    assert (await resumed.receive_type("error"))["code"] == "gone"
    entries = (await (await after.client.get("/api/v1/audit", headers=root)).text()).splitlines()
    happened = [json.loads(line)["what"] for line in entries]
    assert happened.count("participant_joined") == 4  # coming back is no second join
    assert {"banned", "role_set", "silenced", "room_changed", "token_revoked"} <= set(happened)


async def test_a_join_that_the_crash_left_without_an_answer_is_the_same_join_afterwards(crash: Crash) -> None:
    before, secret = await crash.start(), "s" * 32
    ann = await before.join("Ann", session=secret)
    after = await crash.restart(before)
    again = await after.join("Ann", session=secret)
    assert again.joined["you"]["id"] == ann.joined["you"]["id"]
    assert len(after.directory.rooms["hall"].members) == 1


async def test_an_act_is_answered_when_a_crash_would_not_undo_it(crash: Crash) -> None:
    service = await crash.start()
    ann, eve = await service.join("Ann"), await service.join("Eve")
    disk = threading.Event()
    service.app[DATABASE].write(lambda sql: disk.wait())
    await ann.send(type="ban", id=1, participant=eve.joined["you"]["id"])
    assert (await eve.until("closed"))["reason"] == "banned"
    await ann.send(type="ping", id=2)
    assert (await ann.until("reply"))["re"] == 2
    disk.set()
    assert (await ann.until("reply"))["re"] == 1


async def test_who_decides_something_that_cannot_be_stored_is_told(crash: Crash) -> None:
    service = await crash.start()
    ann = await service.join("Ann")
    full = "CREATE TRIGGER full BEFORE INSERT ON charters BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    await service.app[DATABASE].write(lambda sql: sql.execute(full))
    assert (await ann.command("set-room", locked=True))["code"] == "unavailable"
    assert (await service.refusal(type="join", room="hall", name="Bob"))["code"] == "locked", "until a restart it holds"
    answer = await service.client.post("/api/v1/rooms/hall/bans", json={"identity": "eve"})
    assert answer.status == 503
    await service.app[DATABASE].write(lambda sql: sql.execute("DROP TRIGGER full"))
    assert (await ann.command("set-room", lobby=True))["type"] == "reply"


async def test_after_a_crash_the_host_of_a_server_without_tokens_is_still_host(crash: Crash) -> None:
    before = await crash.start()
    ann, bob = await before.join("Ann"), await before.join("Bob")
    await ann.command("leave")
    await bob.until("permissions")
    after = await crash.restart(before)
    again = await after.resume(bob.joined["session"], ack=bob.seq)
    assert (await again.until("joined"))["permissions"]["roomAdmin"] is True
    assert (await after.join("Cleo")).joined["you"]["role"] == "speaker"


def _token(identity: str, **grants: Any) -> str:
    return issue(SECRET, Grants(room="hall", identity=identity, name=identity.title(), **grants), ttl=60)
