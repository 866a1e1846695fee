"""Joining, resuming and leaving over the WebSocket, and what happens to clients that behave badly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from conftest import Guest, Serve, eventually
from structlog.testing import capture_logs

from signaling import protocol
from signaling.event_log import EventLog
from signaling.session import COMMAND_BURST
from signaling.websocket import MAX_BAD_MESSAGES, MAX_UNSENT_EVENTS


async def test_two_people_see_each_other_come_publish_mute_and_go(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    bob = await service.join("Bob")
    assert ann.joined["participants"] == []
    assert [each["name"] for each in bob.joined["participants"]] == ["Ann"]
    bob_id = bob.joined["you"]["id"]
    assert (await ann.receive_type("participant-joined"))["participant"]["id"] == bob_id

    assert (await bob.command("offer", sdp="audio:0 video:1"))["sdp"] == "answer to audio:0 video:1"
    publication = (await bob.command("publish", mid="0", source="microphone"))["publication"]
    assert publication["kind"] == "audio"
    published = await ann.receive_type("published")
    assert (published["participant"], published["publication"]) == (bob_id, publication)

    assert (await bob.command("mute", publication=publication["id"], muted=True))["type"] == "reply"
    assert service.peer(bob).room.publications[publication["id"]].muted
    muted = await ann.receive_type("muted")
    assert (muted["publication"], muted["muted"]) == (publication["id"], True)

    late = await service.join("Cleo")
    assert late.joined["participants"][1]["publications"] == [{**publication, "muted": True}]
    await ann.receive_type("participant-joined")

    await bob.command("unpublish", publication=publication["id"])
    assert (await ann.receive_type("unpublished"))["publication"] == publication["id"]
    peer = service.peer(bob)
    await bob.command("leave")
    assert (await bob.receive_type("closed"))["reason"] == "left"
    assert await bob.close_code() == 1000
    left = await ann.receive_type("participant-left")
    assert (left["participant"], left["reason"]) == (bob_id, "left")
    await eventually(lambda: peer.closed)


async def test_events_are_numbered_without_a_gap_and_replies_are_among_them(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.send(type="ping", id=1)
    await service.join("Bob")
    await ann.send(type="ping", id=2)
    messages = [await ann.receive() for _ in range(3)]
    assert [message["seq"] for message in messages] == [2, 3, 4]
    assert ann.joined["seq"] == 1


async def test_what_was_missed_comes_once_after_a_lost_connection(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.receive_type("participant-joined")
    ann_id = ann.joined["you"]["id"]
    await ann.socket.close()
    changed = await bob.receive_type("participant-changed")
    assert (changed["participant"], changed["connected"]) == (ann_id, False)
    await bob.command("offer", sdp="audio:0")
    await bob.command("publish", mid="0", source="microphone")

    again = await service.resume(ann.joined["session"], ack=ann.seq)
    assert (await again.receive_type("resumed"))["lastId"] == 0
    published = await again.receive_type("published")
    assert published["seq"] == ann.seq + 1
    assert (await bob.receive_type("participant-changed"))["connected"] is True
    assert not service.peer(ann).closed


async def test_what_arrived_unacknowledged_is_repeated_from_the_number_the_client_names(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    for number in range(1, 4):
        await ann.send(type="ping", id=number)
    received = [await ann.receive() for _ in range(3)]
    await ann.socket.close()
    again = await service.resume(ann.joined["session"], ack=received[0]["seq"])
    assert (await again.receive_type("resumed"))["lastId"] == 3
    assert [await again.receive() for _ in range(2)] == received[1:]


async def test_a_command_repeated_after_a_resume_is_carried_out_once(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.send(type="offer", id=1, sdp="audio:0")
    await eventually(lambda: service.peer(ann).offers == ["audio:0"])
    await ann.socket.close()
    again = await service.resume(ann.joined["session"], ack=1)
    assert (await again.receive_type("resumed"))["lastId"] == 1
    await again.send(type="offer", id=1, sdp="audio:0")
    await again.send(type="ping", id=2)
    replies = [await again.receive() for _ in range(2)]
    assert [(reply["re"], reply.get("sdp")) for reply in replies] == [(1, "answer to audio:0"), (2, None)]
    assert service.peer(ann).offers == ["audio:0"]


async def test_a_gap_in_the_numbers_of_commands_is_no_fault_and_is_not_filled_later(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    for number in (1, 5, 3, 6):
        await ann.send(type="ping", id=number)
    assert [(await ann.receive_type("reply"))["re"] for _ in range(3)] == [1, 5, 6]


async def test_a_join_repeated_because_no_answer_came_leaves_no_ghost(serve: Serve) -> None:
    service, secret = await serve(), "s" * 32
    bob = await service.join("Bob")
    lost = await service.connect()
    await lost.send(type="join", room="hall", name="Ann", session=secret)
    await lost.send(type="offer", id=1, sdp="audio:0")
    entered = (await bob.receive_type("participant-joined"))["participant"]["id"]
    await lost.socket.close()
    assert (await bob.receive_type("participant-changed"))["connected"] is False

    ann = await service.join("Ann", session=secret)
    assert ann.joined["you"]["id"] == entered
    assert ann.joined["session"] == secret
    assert "snapshot" not in ann.joined
    await ann.send(type="offer", id=1, sdp="audio:0")
    assert (await ann.receive_type("reply"))["sdp"] == "answer to audio:0"
    assert len(service.peer(ann).offers) == 1
    assert (await bob.receive_type("participant-changed"))["connected"] is True
    resumed = await service.resume(secret, ack=ann.seq)
    await resumed.receive_type("resumed")


@pytest.mark.parametrize(("fields", "code"), [
    ({"room": "attic"}, "conflict"), ({"session": "short"}, "bad-message"), ({"session": "ü" * 40}, "bad-message"),
])  # fmt: skip
async def test_the_secret_of_another_session_opens_no_second_room(
    serve: Serve, fields: dict[str, str], code: str
) -> None:
    service = await serve()
    ann = await service.join("Ann", session="s" * 32)
    wanted = {"room": "hall", "name": "Eve", "session": "s" * 32, **fields}
    assert (await service.refusal(type="join", **wanted))["code"] == code
    assert (await ann.command("ping"))["type"] == "reply"


async def test_a_second_connection_takes_a_living_session_over(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    again = await service.resume(ann.joined["session"], ack=1)
    await again.receive_type("resumed")
    assert (await ann.until("closed"))["reason"] == "replaced"
    assert await ann.close_code() == 1000
    assert (await again.until("participant-joined"))["participant"]["name"] == "Bob"
    await ann.socket.close()
    await again.send(type="ping", id=1)
    assert (await again.receive_type("reply"))["re"] == 1
    await bob.send(type="ping", id=1)
    assert (await bob.receive())["type"] == "reply", "the others notice nothing"


@pytest.mark.parametrize("case", ["unknown", "left", "of another server"])
async def test_a_session_that_is_not_there_is_gone(serve: Serve, case: str) -> None:
    service = await serve()
    ann = await service.join("Ann")
    session = ann.joined["session"]
    if case == "unknown":
        session = "x" * 43
    elif case == "left":
        await ann.command("leave")
        await ann.close_code()
    else:
        session = (await (await serve()).join("Ann")).joined["session"]
    assert (await service.refusal(type="resume", session=session, ack=1))["code"] == "gone"


@pytest.mark.parametrize("ack", [0, 1, 99, -1, 2**62])
async def test_a_client_that_acknowledges_what_cannot_be_gets_a_snapshot(serve: Serve, ack: int) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await service.join("Bob")
    await ann.command("offer", sdp="audio:0")
    published = (await ann.command("publish", mid="0", source="microphone"))["publication"]
    await ann.send(type="ack", seq=3)
    await ann.command("ping")
    again = await service.resume(ann.joined["session"], ack=ack)
    assert await again.receive_type("resumed") == {"type": "resumed", "lastId": 3}
    state = await again.receive_type("joined")
    assert state["snapshot"]
    assert state["you"]["publications"] == [published], "media go on"
    assert [each["name"] for each in state["participants"]] == ["Bob"]
    assert (await again.receive_type("reply"))["re"] == 2, "the answers that were not acknowledged come again"
    assert (await again.receive_type("reply"))["re"] == 3
    again._id = 3
    assert (await again.command("leave"))["type"] == "reply"


async def test_a_session_whose_connection_does_not_come_back_ends(serve: Serve) -> None:
    service = await serve()
    service.sessions.resume_seconds = 0.01
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.socket.close()
    await bob.receive_type("participant-changed")
    assert (await bob.receive_type("participant-left"))["reason"] == "timeout"
    assert (await service.refusal(type="resume", session=ann.joined["session"], ack=1))["code"] == "gone"


async def test_a_client_that_never_acknowledges_gets_a_snapshot_and_loses_nothing(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    member = service.directory.rooms["hall"].members[ann.joined["you"]["id"]]
    for _ in range(9):
        for _ in range(100):
            member.transport_changed("connected")
        for _ in range(100):
            await ann.until("transport")
    for _ in range(100):
        member.transport_changed("connected")
    state = await ann.until("joined")
    assert state["snapshot"]
    assert [each["name"] for each in state["participants"]] == ["Bob"]
    assert (await ann.command("ping"))["type"] == "reply"
    assert (await bob.command("ping"))["type"] == "reply"


async def test_a_client_whose_answers_pile_up_ends_as_too_slow_and_nobody_else_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    session = service.sessions.find(ann.joined["session"])
    assert session is not None
    monkeypatch.setattr(session, "log", EventLog(max_events=3))
    for number in range(1, 5):
        await ann.send(type="ping", id=number)
    assert (await bob.receive_type("participant-left"))["reason"] == "timeout"
    assert (await bob.command("ping"))["type"] == "reply"


async def test_a_slow_reader_loses_its_connection_and_keeps_its_session(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    member = service.directory.rooms["hall"].members[ann.joined["you"]["id"]]
    for _ in range(MAX_UNSENT_EVENTS + 1):
        member.transport_changed("connected")
    assert (await bob.receive_type("participant-changed"))["connected"] is False
    again = await service.resume(ann.joined["session"], ack=1)
    await again.receive_type("resumed")
    for _ in range(MAX_UNSENT_EVENTS + 1):
        await again.until("transport")
    assert (await bob.receive_type("participant-changed"))["connected"] is True


async def test_too_many_commands_are_refused_one_by_one_and_the_session_lives(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    count = int(COMMAND_BURST) + 60
    for number in range(1, count + 1):
        await ann.send(type="ping", id=number)
    answers = [await ann.receive() for _ in range(count)]
    assert [answer["re"] for answer in answers] == list(range(1, count + 1))
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert refused
    assert {answer["code"] for answer in refused} == {"rate-limited"}
    assert "clarion_rate_limited_total" in await (await service.client.get("/metrics")).text()


BAD = {
    "not JSON": "{",
    "empty": "",
    "array": "[]",
    "number": "7",
    "no type": "{}",
    "unknown type": '{"type":"dance"}',
    "server's type": '{"type":"joined"}',
    "wrong field": '{"type":"ack","seq":"x"}',
    "missing field": '{"type":"publish","mid":"0","source":"microphone"}',
    "number zero": '{"type":"ping","id":0}',
    "negative number": '{"type":"ping","id":-1}',
    "huge number": '{"type":"ping","id":1e400}',
    "beyond JavaScript": '{"type":"ping","id":9007199254740992}',
    "deep": "[" * 100_000,
    "deep unknown field": '{"type":"ping","id":1,"x":' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "}",
    "deep in a field": '{"type":"watch","id":1,"publications":' + "[" * 50_000,
    "half a surrogate": '{"type":"ping","id":1,"x":"\\ud800"}',
    "acknowledged before it was sent": '{"type":"ack","seq":99}',
    "second join": '{"type":"join","room":"hall","name":"Ann"}',
    "second resume": '{"type":"resume","session":"x"}',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
async def test_a_senseless_message_gets_an_error_and_the_session_lives(serve: Serve, text: str) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.socket.send_str(text)
    error = await ann.receive_type("error")
    assert error["code"] in {"bad-message", "bad-state"}
    assert error["message"]
    await ann.send(type="ping", id=2)
    assert (await ann.receive_type("reply"))["re"] == 2


async def test_a_binary_frame_gets_an_error(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.socket.send_bytes(b'{"type":"ping","id":1}')
    assert (await ann.receive_type("error"))["code"] == "bad-message"


async def test_a_broken_command_is_answered_under_its_number(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.send(type="publish", id=1, mid=5, source="microphone")
    error = await ann.receive_type("error")
    assert (error["code"], error["re"], error["seq"]) == ("bad-message", 1, 2)


async def test_ten_messages_that_make_no_sense_end_the_session(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    for _ in range(MAX_BAD_MESSAGES):
        await ann.socket.send_str("nonsense")
    assert (await ann.until("closed"))["reason"] == "protocol-error"
    assert await ann.close_code() == 1008
    assert (await bob.receive_type("participant-left"))["reason"] == "closed"


async def test_a_message_beyond_the_limit_closes_the_connection_and_keeps_the_session(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.socket.send_str(json.dumps({"type": "offer", "id": 1, "sdp": "x" * protocol.MAX_MESSAGE_BYTES}))
    assert await ann.close_code() == 1009
    again = await service.resume(ann.joined["session"], ack=1)
    assert (await again.receive_type("resumed"))["lastId"] == 0


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "ping", "id": 1}, "bad-state"),
        ({"type": "ack", "seq": 1}, "bad-state"),
        ({"type": "dance"}, "bad-message"),
        ({"type": "join", "room": "hall"}, "bad-message"),
        ({"type": "join", "room": "a/b", "name": "Ann"}, "bad-message"),
        ({"type": "join", "room": "", "name": "Ann"}, "bad-message"),
        ({"type": "join", "room": "hall", "name": " "}, "bad-message"),
        ({"type": "join", "room": "hall", "name": "Ann", "kind": "whip"}, "bad-message"),
        ({"type": "resume", "session": ""}, "gone"),
    ],
)
async def test_a_connection_that_begins_wrongly_is_refused(serve: Serve, message: Any, code: str) -> None:
    service = await serve()
    assert (await service.refusal(**message))["code"] == code
    assert not service.directory.rooms


async def test_a_connection_that_says_nothing_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.websocket.FIRST_MESSAGE_SECONDS", 0.01)
    service = await serve()
    guest = await service.connect()
    assert (await guest.receive_type("error"))["code"] == "bad-message"
    assert await guest.close_code() == 1008


COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"type": "offer", "sdp": "no m-line"}, "bad-sdp"),
    ({"type": "publish", "mid": "9", "source": "camera"}, "not-found"),
    ({"type": "publish", "mid": "0", "source": "camera"}, "bad-state"),
    ({"type": "publish", "mid": "1", "source": "screen-audio"}, "bad-state"),
    ({"type": "unpublish", "publication": "nothing"}, "not-found"),
    ({"type": "mute", "publication": "nothing", "muted": True}, "not-found"),
    ({"type": "watch", "publications": ["x"] * 501}, "too-large"),
    ({"type": "offer", "sdp": "explode"}, "internal"),
]


@pytest.mark.parametrize(("command", "code"), COMMANDS)
async def test_a_command_that_cannot_be_done_is_refused_with_a_code(
    serve: Serve, command: dict[str, Any], code: str
) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.command("offer", sdp="audio:0 video:1")
    fields = dict(command)
    with capture_logs() as logs:
        error = await ann.command(fields.pop("type"), **fields)
    assert (error["type"], error["code"]) == ("error", code)
    assert error["message"].endswith(".")
    assert any(entry["event"] == "command failed" for entry in logs) == (code == "internal")
    assert (await ann.command("ping"))["type"] == "reply"
    assert not service.peer(ann).room.publications
    await bob.send(type="ping", id=1)
    assert (await bob.receive())["type"] == "reply", "the others notice nothing"


async def test_nobody_publishes_one_m_line_twice_or_touches_what_is_another_s(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.command("offer", sdp="audio:0")
    publication = (await ann.command("publish", mid="0", source="microphone"))["publication"]["id"]
    assert (await ann.command("publish", mid="0", source="microphone"))["code"] == "bad-state"
    assert (await bob.command("mute", publication=publication, muted=True))["code"] == "not-found"
    assert (await bob.command("unpublish", publication=publication))["code"] == "not-found"


async def test_an_m_line_that_the_next_offer_drops_is_unpublished_for_all(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.command("offer", sdp="audio:0 video:1")
    publication = (await ann.command("publish", mid="1", source="camera"))["publication"]["id"]
    await ann.command("offer", sdp="audio:0")
    assert (await bob.until("unpublished"))["publication"] == publication
    assert (await ann.command("unpublish", publication=publication))["code"] == "not-found"


async def test_a_fault_while_joining_is_answered_and_hurts_nobody(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await serve()
    bob = await service.join("Bob")

    def fail(name: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(service.node, "create_room", fail)
        error = await service.refusal(type="join", room="other", name="Ann")
    assert error["code"] == "internal"
    assert (await bob.command("ping"))["type"] == "reply"
    await service.join("Ann", "other")


async def test_what_watch_asks_reaches_the_media(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.command("watch", publications=["a", "b"])
    assert service.peer(ann).watched == ("a", "b")
    await ann.command("watch", publications=None)
    assert service.peer(ann).watched is None


async def test_ice_servers_and_permissions_are_told(serve: Serve) -> None:
    service = await serve(ice_servers='[{"urls": ["turn:t.example"], "username": "u", "credential": "c"}]')
    ann = await service.join("Ann")
    assert ann.joined["iceServers"] == [{"urls": ["turn:t.example"], "username": "u", "credential": "c"}]
    assert ann.joined["permissions"] == {
        "canPublish": True, "canSubscribe": True, "canPublishData": True, "roomAdmin": True,
    }
    assert ann.joined["resumeSeconds"] == 120.0


async def test_many_people_come_and_go_at_once_and_nothing_is_left_behind(serve: Serve) -> None:
    service = await serve()

    async def visit(number: int) -> None:
        guest: Guest = await service.join(f"Guest {number}")
        await guest.command("offer", sdp="audio:0")
        await guest.command("publish", mid="0", source="microphone")
        await guest.command("leave")
        assert await guest.close_code() == 1000

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(visit(number))
    assert len(service.sessions) == 0
    assert service.directory.member_count == 0
    assert not service.directory.rooms["hall"].members
    await eventually(lambda: not service.node.rooms["hall"].peers)


