"""Calling a person over the WebSocket: what each device is told, and what nobody can find out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import SECRET, Guest, Serve, Service

from rtc.client import CallError, reachable
from signaling.calls.exchange import BUSY_BURST, RING_BURST
from signaling.keys import DATABASE
from signaling.server import Stop, drain
from signaling.tokens import Admin, Grants, LineGrants, issue, issue_admin, issue_line


async def reach(service: Service, name: str, **fields: Any) -> Guest:
    """A line of somebody."""
    guest = await service.connect()
    await guest.send(type="reach", name=name, **fields)
    guest.joined = await guest.receive_type("reachable")
    return guest


def token(person: str, *contacts: str, **options: Any) -> str:
    """A token that makes `person` reachable."""
    grants = LineGrants(person=person, name=person.title(), contacts=dict.fromkeys(contacts, ""), **options)
    return issue_line(SECRET, grants, ttl=60)


async def call_of(guest: Guest, **wanted: Any) -> dict[str, Any]:
    """The next view of a call with these values."""
    while True:
        call: dict[str, Any] = (await guest.until("call"))["call"]
        if all(call.get(key) == value for key, value in wanted.items()):
            return call


def states(call: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["state"] for one in call["people"]}


async def test_a_call_is_answered_and_is_a_room_that_both_enter(serve: Serve) -> None:
    service = await serve()
    ann, bo = await reach(service, "Ann"), await reach(service, "Bo")
    contact = (await ann.until("contact"))["contact"]
    assert contact == {"id": "bo", "name": "Bo", "presence": "available"}
    ringing = (await ann.command("ring", people=["bo"]))["call"]
    assert (ringing["state"], states(ringing)) == ("ringing", {"bo": "ringing"})
    assert "room" not in ringing
    seen = await call_of(bo, state="ringing")
    assert seen["caller"] == {"id": "ann", "name": "Ann"}
    answered = (await bo.command("accept", call=seen["id"]))["call"]
    active = await call_of(ann, state="active")
    assert answered["room"] == active["room"]
    for name in ("Ann", "Bo"):
        assert (await service.join(name, active["room"])).joined["you"]["name"] == name
    await bo.command("hang-up", call=seen["id"])
    over = await call_of(ann, state="ended")
    assert over["began"] <= over["answered"] <= over["ended"]


async def test_the_first_device_wins_and_the_others_fall_silent(serve: Serve) -> None:
    service = await serve()
    ann, phone, laptop = [await reach(service, name) for name in ("Ann", "Bo", "Bo")]
    call = (await ann.command("ring", people=["bo"]))["call"]["id"]
    await call_of(phone, state="ringing")
    await call_of(laptop, state="ringing")
    assert (await laptop.command("accept", call=call))["call"]["room"]
    silent = await call_of(phone, state="active")
    assert states(silent) == {"bo": "accepted"}
    assert "room" not in silent, "the call is on the other device"
    late = await phone.command("accept", call=call)
    assert (late["type"], late["code"]) == ("error", "bad-state")


async def test_a_ring_reaches_a_device_whose_connection_was_away(serve: Serve) -> None:
    service = await serve()
    ann, bo = await reach(service, "Ann"), await reach(service, "Bo")
    await bo.socket.close()
    call = (await ann.command("ring", people=["bo"]))["call"]
    assert states(call) == {"bo": "ringing"}
    back = await service.resume(bo.joined["session"], bo.seq)
    assert (await call_of(back, state="ringing"))["id"] == call["id"]
    assert (await back.command("accept", call=call["id"]))["call"]["room"]


async def test_a_line_opened_again_because_no_answer_came_is_one_device(serve: Serve) -> None:
    service, secret = await serve(), "s" * 32
    ann = await reach(service, "Ann")
    await (await reach(service, "Bo", session=secret)).socket.close()
    bo = await reach(service, "Bo", session=secret)
    await bo.command("leave")
    assert (await ann.until("contact"))["contact"]["presence"] == "available"
    assert (await ann.until("contact"))["contact"]["presence"] == "offline"


async def test_an_answer_waits_for_a_caller_whose_connection_was_away(serve: Serve) -> None:
    service = await serve()
    ann, bo = await reach(service, "Ann"), await reach(service, "Bo")
    call = (await ann.command("ring", people=["bo"]))["call"]["id"]
    await ann.socket.close()
    room = (await bo.command("accept", call=call))["call"]["room"]
    back = await service.resume(ann.joined["session"], ann.seq)
    assert (await call_of(back, state="active"))["room"] == room


async def test_a_new_device_rings_along_and_a_device_that_leaves_hangs_up(serve: Serve) -> None:
    service = await serve()
    ann, bo = await reach(service, "Ann"), await reach(service, "Bo")
    call = (await ann.command("ring", people=["bo"]))["call"]
    tablet = await reach(service, "Bo")
    assert [one["id"] for one in tablet.joined["calls"]] == [call["id"]]
    await ann.command("leave")
    assert states(await call_of(bo, state="ended")) == {"bo": "cancelled"}


async def test_who_rings_too_often_has_to_wait(serve: Serve) -> None:
    service = await serve()
    ann, bo = await reach(service, "Ann"), await reach(service, "Bo")
    await bo.command("set-busy", busy=True)
    for _ in range(int(RING_BURST)):
        assert states((await ann.command("ring", people=["bo"]))["call"]) == {"bo": "busy"}
    again = await reach(service, "Ann")
    for device in (ann, again):
        assert (await device.command("ring", people=["bo"]))["code"] == "rate-limited"


async def test_who_is_busy_and_free_in_turn_too_often_has_to_wait(serve: Serve) -> None:
    service = await serve()
    bo = await reach(service, "Bo")
    answers = [await bo.command("set-busy", busy=number % 2 == 0) for number in range(int(BUSY_BURST) + 1)]
    assert [answer.get("code") for answer in answers] == [None] * int(BUSY_BURST) + ["rate-limited"]
    assert answers[-1]["retryAfter"] > 0


async def test_a_log_that_cannot_be_read_is_said_to_be_so(serve: Serve) -> None:
    service = await serve()
    bo = await reach(service, "Bo")
    await service.app[DATABASE].write(lambda sql: sql.execute("DROP TABLE called"))
    assert (await bo.command("call-history"))["code"] == "unavailable"


async def test_a_line_whose_token_is_taken_back_ends_and_rings_no_more(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    invitation = token("bo")
    ann, bo = await reach(service, "x", token=token("ann", "bo")), await reach(service, "x", token=invitation)
    root = {"Authorization": "Bearer " + issue_admin(SECRET, Admin("root"), ttl=60)}
    answer = await service.client.post("/api/v1/revocations", json={"token": invitation}, headers=root)
    assert (await answer.json())["sessions"] == 1
    assert (await bo.until("closed"))["reason"] == "revoked"
    assert (await ann.until("contact"))["contact"]["presence"] == "available"
    assert (await ann.until("contact"))["contact"]["presence"] == "offline"
    assert (await service.refusal(type="reach", name="x", token=invitation))["code"] == "unauthorized"


async def test_only_those_whom_the_token_names_are_seen_and_called(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    ann = await reach(service, "x", token=token("ann", "bo"))
    assert ann.joined["you"] == {"id": "ann", "name": "Ann"}
    assert ann.joined["contacts"] == [{"id": "bo", "name": "bo", "presence": "offline"}]
    await reach(service, "x", token=token("cy", "ann"))
    bo = await reach(service, "x", token=token("bo"))
    assert (await ann.receive_type("contact"))["contact"] == {"id": "bo", "name": "Bo", "presence": "available"}
    assert "contacts" not in bo.joined
    for person in ("cy", "nobody"):
        refusal = await ann.command("ring", people=["bo", person])
        assert (refusal["code"], refusal["message"]) == ("not-permitted", "You may not call everybody whom you named.")
    call = (await ann.command("ring", people=["bo"]))["call"]["id"]
    seen = await call_of(bo, state="ringing")
    assert seen["caller"] == {"id": "ann", "name": "Ann"}, "who is called may know by whom"
    accepted = (await bo.command("accept", call=call))["call"]
    joined = await service.join("Bo", accepted["room"], token=accepted["token"])
    assert joined.joined["you"]["name"] == "Bo"


async def test_one_who_is_called_learns_nothing_of_the_others(serve: Serve) -> None:
    service = await serve()
    ann, bo, cy = [await reach(service, name) for name in ("Ann", "Bo", "Cy")]
    call = (await ann.command("ring", people=["bo", "cy"]))["call"]["id"]
    await cy.command("decline", call=call)
    seen = await call_of(bo, id=call)
    assert (states(seen), seen["others"]) == ({"bo": "ringing"}, 1)
    assert states(await call_of(ann, id=call)) == {"bo": "ringing", "cy": "declined"}


async def test_a_line_needs_a_token_made_for_it(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    for given, code in [
        ("", "unauthorized"),
        (issue(SECRET, Grants(room="hall", identity="ann", name="Ann"), ttl=60), "not-permitted"),
        (issue_line("another secret, another server, 32", LineGrants("ann", "Ann"), ttl=60), "unauthorized"),
    ]:
        assert (await service.refusal(type="reach", name="Ann", token=given))["code"] == code
    assert (await service.refusal(type="join", room="hall", name="Ann", token=token("ann")))["code"] == "not-permitted"


async def test_names_that_cannot_be_shown_are_refused(serve: Serve) -> None:
    service = await serve()
    for name in ("", "\u202e", "x" * 65):
        assert (await service.refusal(type="reach", name=name))["code"] == "bad-message"


async def test_a_line_is_no_room_and_a_room_no_line(serve: Serve) -> None:
    service = await serve()
    line, guest = await reach(service, "Ann"), await service.join("Bo")
    assert (await line.command("watch", publications=None))["code"] == "bad-state"
    assert (await guest.command("ring", people=["ann"]))["code"] == "bad-state"
    assert (await line.command("ping"))["type"] == "reply"


async def test_nobody_waits_for_lines_when_the_server_drains(serve: Serve) -> None:
    service = await serve()
    ann = await reach(service, "Ann")
    await drain(service.app, 60, Stop())
    assert (await ann.until("closed"))["reason"] == "shutdown"
    assert (await service.refusal(type="reach", name="Bo"))["code"] == "server-full"


async def test_the_log_has_what_came_of_each_call_also_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    service = await serve(data_dir=tmp_path)
    ann, bo = await reach(service, "Ann"), await reach(service, "Bo")
    first = (await ann.command("ring", people=["bo"]))["call"]["id"]
    await bo.command("decline", call=first)
    second = (await ann.command("ring", people=["bo", "cy"]))["call"]["id"]
    await bo.command("accept", call=second)
    await ann.command("hang-up", call=second)
    third = (await ann.command("ring", people=["bo"]))["call"]["id"]
    await service.client.close()  # in the middle of the third

    service = await serve(data_dir=tmp_path)
    ann, bo, cy = [await reach(service, name) for name in ("Ann", "Bo", "Cy")]
    page = await ann.command("call-history", limit=2)
    assert ([call["id"] for call in page["calls"]], page["more"]) == ([third, second], True)
    assert states(page["calls"][1]) == {"bo": "accepted", "cy": "offline"}
    rest = await ann.command("call-history", before=page["calls"][1]["began"])
    assert ([states(call) for call in rest["calls"]], "more" in rest) == ([{"bo": "declined"}], False)
    theirs = (await bo.command("call-history"))["calls"]
    assert [states(call) for call in theirs] == [{"bo": "cancelled"}, {"bo": "accepted"}, {"bo": "declined"}]
    assert theirs[1]["others"] == 1
    assert "room" not in theirs[1]
    assert [states(call) for call in (await cy.command("call-history"))["calls"]] == [{"cy": "offline"}]


async def test_a_python_program_is_rung_declines_and_rings_others(serve: Serve) -> None:
    service = await serve()
    url = str(service.client.make_url("/"))
    async with reachable(url, name="Bot") as bot, reachable(url, name="Ann") as ann:
        async def answer() -> str:
            async for ring in bot.rings():
                await ring.decline()
                return ring.caller.name
            return ""

        answering = asyncio.create_task(answer())
        with pytest.raises(CallError) as refusal:
            async with ann.ring("bot"):
                pytest.fail("the bot has declined")
        assert (refusal.value.code, await answering) == ("declined", "Ann")
        await bot.set_busy(True)
        with pytest.raises(CallError) as refusal:
            async with ann.ring("bot"):
                pytest.fail("the bot is busy")
        assert refusal.value.code == "busy"
        assert ann.contacts["bot"].presence == "busy"
        assert [call.people[0].state for call in await ann.history()] == ["busy", "declined"]
