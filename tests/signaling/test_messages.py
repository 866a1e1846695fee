"""Messages: numbered, stored before they are answered, told to whom they are for, and never twice."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Guest, Serve, Service, eventually
from structlog.testing import capture_logs

from signaling.chat import MAX_DEPTH
from signaling.keys import CHAT, DATABASE


def text(words: str) -> dict[str, Any]:
    return {"kind": "text", "text": words}


async def send(guest: Guest, content: Any, key: str, **fields: Any) -> dict[str, Any]:
    return await guest.command("send", key=key, content=content, **fields)


async def read(guest: Guest, **fields: Any) -> list[dict[str, Any]]:
    return (await guest.command("history", **fields)).get("messages", [])


async def full(service: Service) -> None:
    """Let the disk of a service be full."""
    await service.app[DATABASE].write(lambda sql: sql.execute("PRAGMA max_page_count=1").fetchall())


async def test_everybody_gets_a_message_under_one_number_the_sender_too(serve: Serve) -> None:
    service = await serve()
    ann, bob, cleo = [await service.join(name) for name in ("Ann", "Bob", "Cleo")]
    await ann.send(type="send", id=1, key="a", content=text("hello"))
    events = [await guest.until("message") for guest in (ann, bob, cleo)]
    for event in events:
        message = event["message"]
        assert (message["number"], message["key"], message["content"]) == (1, "a", text("hello"))
        assert (message["sender"], message["name"]) == (ann.joined["you"]["id"], "Ann")
    reply = await ann.receive_type("reply")
    assert (reply["re"], reply["number"], reply["at"]) == (1, 1, events[0]["message"]["at"])


async def test_messages_of_many_come_to_all_in_one_order(serve: Serve) -> None:
    service = await serve()
    guests = [await service.join(f"G{number}") for number in range(4)]
    for number in range(10):
        for guest in guests:
            await guest.send(type="send", id=number + 1, key=f"{number}{guest.joined['you']['id']}",
                             content=text(str(number)))
    for guest in guests:
        assert [(await guest.until("message"))["message"]["number"] for _ in range(40)] == list(range(1, 41))


CONTENTS = [
    text("你好 <b>&amp;</b> \u202e"),
    {"kind": "reaction", "emoji": "👨‍👩‍👧‍👦"},
    {"kind": "json", "topic": "poll", "data": {"yes": [1, 2.5, None, "x"], "big": 12345678901234567890}},
    {"kind": "bytes", "topic": "b", "data": base64.b64encode(bytes(range(256))).decode()},
]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content["kind"])
async def test_every_kind_of_content_arrives_as_it_was_sent_and_stands_in_the_history(
    serve: Serve, content: Any
) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    assert (await send(ann, content, "k"))["number"] == 1
    assert (await bob.until("message"))["message"]["content"] == content
    assert [message["content"] for message in await read(bob)] == [content]


async def test_a_message_sent_again_under_its_key_is_answered_as_before_and_nobody_gets_it_twice(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    first = await send(ann, text("once"), "k")
    again = await send(ann, text("once"), "k")
    assert (again["number"], again["at"]) == (first["number"], first["at"])
    await send(ann, text("then"), "l")
    assert [(await bob.until("message"))["message"]["key"] for _ in range(2)] == ["k", "l"]


async def test_a_key_with_another_content_or_recipient_is_a_conflict_and_changes_nothing(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await send(ann, text("once"), "k")
    assert (await send(ann, text("twice"), "k"))["code"] == "conflict"
    assert (await send(ann, text("once"), "k", to=bob.joined["you"]["id"]))["code"] == "conflict"
    assert [message["content"] for message in await read(bob)] == [text("once")]


async def test_a_message_to_one_is_seen_by_the_two_of_them_alone(serve: Serve) -> None:
    service = await serve()
    ann, bob, cleo = [await service.join(name) for name in ("Ann", "Bob", "Cleo")]
    to = bob.joined["you"]["id"]
    await send(ann, text("psst"), "k", to=to)
    assert (await bob.until("message"))["message"]["to"] == to
    await send(ann, text("all"), "l")
    assert (await cleo.until("message"))["message"]["content"] == text("all")
    assert [message["number"] for message in await read(cleo)] == [2]
    assert [message["number"] for message in await read(ann)] == [1, 2]
    assert (await send(ann, text("x"), "m", to="nobody"))["code"] == "not-found"


async def test_a_message_repeated_after_its_recipient_left_is_answered_as_before(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    to = bob.joined["you"]["id"]
    first = await send(ann, text("psst"), "k", to=to)
    await bob.command("leave")
    assert (await send(ann, text("psst"), "k", to=to))["number"] == first["number"]
    assert (await send(ann, text("psst"), "other", to=to))["code"] == "not-found"


async def test_who_comes_late_is_told_how_far_the_history_goes_and_reads_it_in_pages(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    for number in range(1, 8):
        await send(ann, text(str(number)), str(number))
    bob = await service.join("Bob")
    assert bob.joined["lastMessage"] == 7
    reply = await bob.command("history", limit=3)
    assert ([message["number"] for message in reply["messages"]], reply["more"]) == ([5, 6, 7], True)
    reply = await bob.command("history", before=5, limit=4)
    assert ([message["number"] for message in reply["messages"]], reply.get("more")) == ([1, 2, 3, 4], None)
    reply = await bob.command("history", after=2, limit=3)
    assert ([message["number"] for message in reply["messages"]], reply["more"]) == ([3, 4, 5], True)
    assert [message["number"] for message in await read(bob, after=2, before=5)] == [3, 4]
    assert await read(bob, after=7) == []
    for wrong in ({"limit": 0}, {"limit": -1}, {"after": -1}):
        assert (await bob.command("history", **wrong))["code"] == "bad-message"


async def test_a_page_of_long_messages_is_short(serve: Serve) -> None:
    service = await serve(message_bytes=100_000)
    ann = await service.join("Ann")
    for number in range(1, 4):
        await send(ann, text("x" * 90_000), str(number))
    reply = await ann.command("history")
    assert ([message["number"] for message in reply["messages"]], reply["more"]) == ([3], True)
    reply = await ann.command("history", after=1, limit=10)
    assert ([message["number"] for message in reply["messages"]], reply["more"]) == ([2], True)


BAD: list[tuple[Any, str]] = [
    (text(""), "bad-message"),
    (text(" \n\t"), "bad-message"),
    (text("x" * 20_000), "too-large"),
    ({"kind": "text"}, "bad-message"),
    ({"kind": "shout", "text": "x"}, "bad-message"),
    ({"kind": "reaction", "emoji": ""}, "bad-message"),
    ({"kind": "reaction", "emoji": "x" * 33}, "bad-message"),
    ({"kind": "reaction", "emoji": "x", "message": 5}, "not-found"),
    ({"kind": "reaction", "emoji": "x", "message": -1}, "bad-message"),
    ({"kind": "json", "topic": "", "data": 1}, "bad-message"),
    ({"kind": "json", "topic": "x" * 65, "data": 1}, "bad-message"),
    ({"kind": "json", "topic": "x"}, "bad-message"),
    ({"kind": "bytes", "topic": "x", "data": "§"}, "bad-message"),
]


@pytest.mark.parametrize(("content", "code"), BAD)
async def test_a_message_that_is_none_is_refused_and_not_kept(serve: Serve, content: Any, code: str) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    assert (await send(ann, content, "k"))["code"] == code
    assert (await send(ann, text("fine"), "k"))["number"] == 1
    assert (await bob.until("message"))["message"]["content"] == text("fine")


@pytest.mark.parametrize("data", ["1e400", "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "[" * 50_000, '{"a":' * 70])
async def test_data_that_not_everybody_can_read_is_refused(serve: Serve, data: str) -> None:
    service = await serve(message_bytes=131072)
    ann = await service.join("Ann")
    head = '{"type":"send","id":1,"key":"k","content":{"kind":"json","topic":"t","data":'
    await ann.socket.send_str(head + data + "}}")
    assert (await ann.until("error"))["code"] == "bad-message"


async def test_brackets_in_strings_are_not_depth(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    content = {"kind": "json", "topic": "t", "data": "[" * 100 + '\\"' + "{" * 100}
    assert (await send(ann, content, "k"))["number"] == 1


@pytest.mark.parametrize("key", ["", "x" * 65])
async def test_a_key_has_bounds(serve: Serve, key: str) -> None:
    service = await serve()
    assert (await send(await service.join("Ann"), text("x"), key))["code"] == "bad-message"


async def test_who_sends_too_fast_is_told_when_to_go_on(serve: Serve) -> None:
    service = await serve(messages_per_second=0.5)
    ann, bob = await service.join("Ann"), await service.join("Bob")
    answers = [await send(ann, text("x"), str(number)) for number in range(7)]
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert len(refused) == 2
    assert all(answer["code"] == "rate-limited" and 0 < answer["retryAfter"] <= 4 for answer in refused)
    assert (await send(bob, text("x"), "bob"))["type"] == "reply"


async def test_a_full_disk_refuses_messages_and_loses_none(serve: Serve, tmp_path: Path) -> None:
    service = await serve(data_dir=tmp_path)
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await send(ann, text("before"), "a")
    await full(service)
    with capture_logs() as logs:
        refused = [await send(ann, text("x" * 8000), f"b{number}") for number in range(3)]
    assert {answer.get("code") for answer in refused} <= {None, "unavailable"}
    assert refused[-1]["code"] == "unavailable"
    assert "x" * 20 not in json.dumps([str(entry) for entry in logs]), "no text of messages in the log"
    await service.app[DATABASE].write(lambda sql: sql.execute("PRAGMA max_page_count=100000").fetchall())
    last = await send(ann, text("x" * 8000), "b2")
    told = [(await bob.until("message"))["message"]]
    while told[-1]["number"] != last["number"]:
        told.append((await bob.until("message"))["message"])
    assert told == await read(bob)


async def test_a_token_may_forbid_sending_and_not_reading(serve: Serve) -> None:
    from signaling.tokens import Grants, issue  # noqa: PLC0415

    secret = "0123456789abcdef0123456789abcdef"
    service = await serve(secret=secret)
    ann = await service.join("Ann", token=issue(secret, Grants("hall"), ttl=60))
    bob = await service.join("Bob", token=issue(secret, Grants("hall", can_publish_data=False), ttl=60))
    spy = await service.join("Spy", token=issue(secret, Grants("hall", hidden=True), ttl=60))
    await send(ann, text("hello"), "k")
    assert (await bob.until("message"))["message"]["content"] == text("hello")
    for guest in (bob, spy):
        assert not guest.joined["permissions"]["canPublishData"]
        assert (await send(guest, text("x"), "b"))["code"] == "not-permitted"


async def test_old_messages_are_forgotten_and_numbers_are_not_used_again(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await send(ann, text("old"), "k")
    store = service.app[CHAT]._store
    assert await store.forget(before=2e12) == 1
    assert await read(ann) == []
    assert (await send(ann, text("new"), "l"))["number"] == 2


async def test_a_room_keeps_its_last_messages(serve: Serve) -> None:
    service = await serve(messages_per_room=10, messages_per_second=1000)
    ann = await service.join("Ann")
    for number in range(1, 65):
        await ann.send(type="send", id=number, key=str(number), content=text("x"))
    for _ in range(64):
        await ann.until("reply")
    ann._id = 64
    assert [message["number"] for message in await read(ann, limit=100)] == list(range(55, 65))


async def test_a_message_of_somebody_who_leaves_at_once_still_comes(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.send(type="send", id=1, key="k", content=text("bye"))
    await ann.send(type="leave", id=2)
    assert (await bob.until("message"))["message"]["content"] == text("bye")


async def test_a_room_that_opens_again_goes_on_with_its_numbers(serve: Serve) -> None:
    service = await serve()
    service.directory._empty_seconds = 0.0
    ann = await service.join("Ann")
    await send(ann, text("x"), "k")
    await ann.command("leave")
    await eventually(lambda: not service.directory.rooms)
    bob = await service.join("Bob")
    assert bob.joined["lastMessage"] == 1
    await asyncio.sleep(0)
    assert (await send(bob, text("y"), "l"))["number"] == 2
