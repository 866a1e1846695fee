"""Hosts at work over the WebSocket: roles, silence, lobby, lock, removals, bans and the end."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import SECRET, Guest, Serve, Service, eventually

from signaling.tokens import Admin, Grants, issue, issue_admin


def token(identity: str, **grants: Any) -> str:
    return issue(SECRET, Grants(room="hall", identity=identity, name=identity.title(), **grants), ttl=60)


def role(guest: Guest) -> str:
    return str(guest.joined["you"]["role"])


async def hall(serve: Serve, *names: str, **settings: object) -> tuple[Service, list[Guest]]:
    """A server without tokens, and people in the hall, the first of them its host."""
    service = await serve(**settings)
    return service, [await service.join(name) for name in names]


async def publish(guest: Guest, kind: str = "audio", source: str = "microphone") -> str:
    await guest.command("offer", sdp="audio:0 video:1")
    reply = await guest.command("publish", mid="0" if kind == "audio" else "1", source=source)
    return str(reply["publication"]["id"])


# --- who is host --------------------------------------------------------------------------------------------


async def test_without_tokens_who_comes_first_is_host_and_who_was_there_longest_follows(serve: Serve) -> None:
    _, (ann, bob, cleo) = await hall(serve, "Ann", "Bob", "Cleo")
    assert [role(guest) for guest in (ann, bob, cleo)] == ["host", "speaker", "speaker"]
    assert bob.joined["participants"][0]["role"] == "host"
    await ann.command("leave")
    assert (await bob.until("permissions"))["permissions"]["roomAdmin"] is True
    assert (await cleo.until("role")) | {"seq": 0} == {
        "type": "role", "participant": bob.joined["you"]["id"], "role": "host", "seq": 0,
    }


async def test_with_tokens_only_a_token_or_a_host_makes_a_host(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    bob = await service.join(token=token("bob"))
    assert role(bob) == "speaker"
    assert (await bob.command("set-room", locked=True))["code"] == "not-permitted"
    ann = await service.join(token=token("ann", room_admin=True))
    await ann.command("set-role", participant=bob.joined["you"]["id"], role="host")
    assert (await bob.command("set-room", locked=True))["type"] == "reply"
    await bob.command("leave")
    again = await service.join(token=token("bob"))
    assert role(again) == "host"


async def test_a_host_who_comes_back_under_the_old_name_is_nobody_special_without_tokens(serve: Serve) -> None:
    service, (ann, bob) = await hall(serve, "Ann", "Bob")
    await ann.command("leave")
    await bob.until("permissions")
    assert role(await service.join("Ann")) == "speaker"


async def test_the_last_host_cannot_step_down(serve: Serve) -> None:
    _, (ann, bob) = await hall(serve, "Ann", "Bob")
    me, other = ann.joined["you"]["id"], bob.joined["you"]["id"]
    assert (await ann.command("set-role", participant=me, role="speaker"))["code"] == "bad-state"
    await ann.command("set-role", participant=other, role="host")
    assert (await ann.command("set-role", participant=me, role="listener"))["type"] == "reply"


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("set-room", {"locked": True}), ("set-role", {"participant": "x", "role": "host"}),
        ("silence", {"participant": None, "kind": "audio"}), ("ask-unmute", {"participant": "x", "kind": "audio"}),
        ("admit", {"waiter": None}), ("remove", {"participant": "x"}), ("ban", {"participant": "x"}),
        ("unban", {"identity": "x"}), ("list-bans", {}), ("end-room", {}),
    ],
)
async def test_who_is_no_host_governs_nothing(serve: Serve, command: str, fields: dict[str, Any]) -> None:
    _, (_ann, bob) = await hall(serve, "Ann", "Bob")
    assert (await bob.command(command, **fields))["code"] == "not-permitted"


# --- what somebody may do -----------------------------------------------------------------------------------


async def test_a_listener_has_nothing_published_any_more_and_speaks_again_without_a_new_offer(serve: Serve) -> None:
    service, (ann, bob) = await hall(serve, "Ann", "Bob")
    publication = await publish(bob)
    await ann.command("set-role", participant=bob.joined["you"]["id"], role="listener")
    assert (await bob.until("permissions"))["permissions"]["canPublish"] is False
    assert not service.node.rooms["hall"].publications
    assert (await bob.command("publish", mid="0", source="microphone"))["code"] == "not-permitted"
    await ann.command("set-role", participant=bob.joined["you"]["id"], role="speaker")
    assert (await bob.command("publish", mid="0", source="microphone"))["publication"]["id"] != publication
    cleo = await service.join("Cleo")
    assert {each["name"]: each["role"] for each in cleo.joined["participants"]} == {"Ann": "host", "Bob": "speaker"}


async def test_newcomers_are_listeners_where_the_room_says_so(serve: Serve) -> None:
    service, (ann,) = await hall(serve, "Ann")
    await ann.command("set-room", defaultRole="listener")
    bob = await service.join("Bob")
    assert role(bob) == "listener"
    assert bob.joined["settings"]["defaultRole"] == "listener"
    assert (service.peer(bob).can_publish, service.peer(ann).can_publish) == (False, True)


async def test_who_is_silenced_cannot_unmute_by_any_way_until_asked_to(serve: Serve) -> None:
    service, (ann, bob, cleo) = await hall(serve, "Ann", "Bob", "Cleo")
    microphone, bob_id = await publish(bob), bob.joined["you"]["id"]
    await ann.command("silence", participant=bob_id, kind="audio")
    assert (await bob.until("muted"))["publication"] == microphone
    assert (await cleo.until("muted"))["muted"] is True
    media = service.node.rooms["hall"].publications
    assert media[microphone].muted
    assert (await bob.command("mute", publication=microphone, muted=False))["code"] == "not-permitted"
    await bob.command("unpublish", publication=microphone)
    again = await bob.command("publish", mid="0", source="screen-audio")
    assert again["publication"]["muted"] is True
    assert media[again["publication"]["id"]].muted
    assert (await bob.command("publish", mid="1", source="camera"))["publication"]["muted"] is False
    await bob.command("leave")
    back = await service.join("Bob")
    assert back.joined["you"]["silenced"] == ["audio"]
    sound = await publish(back)
    assert media[sound].muted
    await ann.command("ask-unmute", participant=back.joined["you"]["id"], kind="audio")
    assert (await back.until("unmute-asked"))["by"] == "Ann"
    assert media[sound].muted  # until the person does it
    assert (await back.command("mute", publication=sound, muted=False))["type"] == "reply"


async def test_everybody_is_silenced_but_hosts(serve: Serve) -> None:
    service, (ann, bob, cleo) = await hall(serve, "Ann", "Bob", "Cleo")
    sounds = [await publish(guest) for guest in (ann, bob, cleo)]
    await ann.command("silence", participant=None, kind="audio")
    assert [service.node.rooms["hall"].publications[sound].muted for sound in sounds] == [False, True, True]


async def test_publications_of_one_participant_are_limited(serve: Serve) -> None:
    service, (ann, bob) = await hall(serve, "Ann", "Bob")
    await ann.command("set-room", maxPublications=1)
    await publish(bob)
    assert (await bob.command("publish", mid="1", source="camera"))["code"] == "too-large"
    await ann.command("set-room", maxPublications=0, maxParticipants=2)
    assert (await bob.command("publish", mid="1", source="camera"))["type"] == "reply"
    assert (await service.refusal(type="join", room="hall", name="Cleo"))["code"] == "room-full"


# --- lobby and lock -----------------------------------------------------------------------------------------


async def knock(service: Service, name: str, **fields: Any) -> Guest:
    guest = await service.connect()
    await guest.send(type="join", room="hall", name=name, **fields)
    await guest.receive_type("waiting")
    return guest


async def test_who_waits_sees_nothing_and_is_let_in_with_what_was_sent_meanwhile(serve: Serve) -> None:
    service, (ann, bob) = await hall(serve, "Ann", "Bob")
    await ann.command("set-room", lobby=True)
    cleo = await knock(service, "Cleo")
    await cleo.send(type="offer", id=1, sdp="audio:0")
    waiter = (await ann.until("lobby"))["waiters"][0]
    assert waiter["name"] == "Cleo"
    await bob.command("offer", sdp="audio:0")
    await ann.send(type="admit", id=50, waiter=waiter["id"])
    joined = await cleo.receive_type("joined")  # and nothing came before
    assert {each["name"] for each in joined["participants"]} == {"Ann", "Bob"}
    assert (await cleo.receive_type("reply"))["sdp"] == "answer to audio:0"
    assert (await ann.until("lobby")).get("waiters") == []


async def test_who_is_not_let_in_hears_so_and_nobody_else_waits_on(serve: Serve) -> None:
    service, (ann,) = await hall(serve, "Ann")
    await ann.command("set-room", lobby=True)
    guests = [await knock(service, name) for name in ("Bob", "Cleo")]
    for _ in guests:
        waiters = (await ann.until("lobby"))["waiters"]
    await ann.command("admit", waiter=waiters[0]["id"], admitted=False)
    assert (await guests[0].receive_type("error"))["code"] == "denied"
    assert await guests[0].close_code() == 1008
    assert (await ann.command("admit", waiter=waiters[0]["id"]))["code"] == "not-found"
    await ann.command("set-room", lobby=False)
    await guests[1].receive_type("joined")


async def test_who_goes_away_while_waiting_waits_no_longer(serve: Serve) -> None:
    service, (ann,) = await hall(serve, "Ann")
    await ann.command("set-room", lobby=True)
    bob = await knock(service, "Bob")
    await ann.until("lobby")
    await bob.socket.close()
    assert (await ann.until("lobby")).get("waiters") == []


async def test_who_says_too_much_while_waiting_is_sent_away(serve: Serve) -> None:
    service, (ann,) = await hall(serve, "Ann")
    await ann.command("set-room", lobby=True)
    bob = await knock(service, "Bob")
    for number in range(20):
        await bob.send(type="ping", id=number + 1)
    assert (await bob.until("error"))["code"] == "too-large"


async def test_a_token_that_is_taken_back_while_its_bearer_waits_opens_nothing(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    host = await service.join(token=token("ann", room_admin=True))
    await host.command("set-room", lobby=True)
    invitation = token("bob")
    bob = await knock(service, "Bob", token=invitation)
    root = {"Authorization": "Bearer " + issue_admin(SECRET, Admin("root"), ttl=60)}
    await service.client.post("/api/v1/revocations", json={"token": invitation}, headers=root)
    await host.send(type="admit", id=9, waiter=None)
    assert (await bob.receive_type("error"))["code"] == "unauthorized"


async def test_without_tokens_who_waits_longest_takes_over_an_abandoned_room(serve: Serve) -> None:
    service, (ann,) = await hall(serve, "Ann")
    await ann.command("set-room", lobby=True)
    bob, cleo = await knock(service, "Bob"), await knock(service, "Cleo")
    await ann.command("leave")
    joined = await bob.receive_type("joined")
    assert joined["you"]["role"] == "host"
    assert [each["name"] for each in joined["waiters"]] == ["Cleo"]
    await bob.send(type="admit", id=9, waiter=None)
    await cleo.receive_type("joined")


async def test_with_tokens_people_wait_for_a_host_who_comes_later(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    host = await service.join(token=token("ann", room_admin=True))
    await host.command("set-room", lobby=True)
    await host.command("leave")
    bob = await knock(service, "Bob", token=token("bob"))
    again = await service.join(token=token("ann", room_admin=True))
    assert [each["name"] for each in again.joined["waiters"]] == ["Bob"]
    await again.command("admit", waiter=None)
    await bob.receive_type("joined")


async def test_a_locked_room_takes_back_who_was_inside_and_nobody_else(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    ann = await service.join(token=token("ann", room_admin=True))
    bob = await service.join(token=token("bob"))
    await ann.command("set-room", locked=True)
    assert (await bob.until("room-changed"))["settings"]["locked"] is True
    assert (await service.refusal(type="join", room="hall", name="", token=token("cleo")))["code"] == "locked"
    await bob.command("leave")
    await service.join(token=token("bob"))


# --- putting out --------------------------------------------------------------------------------------------


async def test_who_is_removed_cannot_come_back_with_session_or_token_until_it_is_lifted(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    ann = await service.join(token=token("ann", room_admin=True))
    bob, second = await service.join(token=token("bob")), await service.join(token=token("bob"))
    await ann.command("remove", participant=bob.joined["you"]["id"])
    for device in (bob, second):
        assert (await device.until("closed"))["reason"] == "removed"
    resumed = await service.resume(bob.joined["session"], ack=0)
    assert (await resumed.receive_type("error"))["code"] == "gone"
    for kind in ("web", "python"):
        refusal = await service.refusal(type="join", room="hall", name="", kind=kind, token=token("bob"))
        assert refusal["code"] == "banned"
    headers = {"Authorization": f"Bearer {token('bob')}", "Content-Type": "application/sdp"}
    offer = "v=0\r\n"
    response = await service.client.post("/whep/hall", data=offer, headers=headers)
    assert response.status in {403, 422}
    bans = (await ann.command("list-bans"))["bans"]
    assert [(each["identity"], each["removal"]) for each in bans] == [("bob", True)]
    await ann.command("unban", identity="bob")
    await service.join(token=token("bob"))


async def test_a_ban_outlives_the_room_and_ends_on_its_date(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await serve(secret=SECRET)
    service.directory._empty_seconds = 0.0
    ann = await service.join(token=token("ann", room_admin=True))
    bob = await service.join(token=token("bob"))
    await ann.command("ban", participant=bob.joined["you"]["id"], seconds=3600, reason="noise")
    assert (await bob.until("closed"))["reason"] == "banned"
    await ann.command("leave")
    await eventually(lambda: "hall" not in service.directory.rooms)
    assert (await service.refusal(type="join", room="hall", name="", token=token("bob")))["code"] == "banned"
    clock = service.directory.clock
    monkeypatch.setattr(service.directory, "clock", lambda: clock() + 3601)
    await service.join(token=token("bob"))


async def test_nobody_puts_themselves_out_and_a_namesake_of_the_host_can_be_put_out(serve: Serve) -> None:
    service, (ann, namesake) = await hall(serve, "Ann", "ann")
    for act in ("remove", "ban"):
        assert (await ann.command(act, participant=ann.joined["you"]["id"]))["code"] == "bad-state"
    await ann.command("remove", participant=namesake.joined["you"]["id"])
    assert (await namesake.until("closed"))["reason"] == "removed"
    assert len(service.directory.rooms["hall"].members) == 1


async def test_the_end_of_a_room_is_the_end_for_all_and_the_next_one_begins_anew(serve: Serve) -> None:
    service, (ann, bob) = await hall(serve, "Ann", "Bob")
    await ann.command("set-room", lobby=True, locked=False)
    waiting = await knock(service, "Cleo")
    await ann.command("end-room")
    for guest in (ann, bob):
        assert (await guest.until("closed"))["reason"] == "ended"
        assert await guest.close_code() == 1000
    assert (await waiting.receive_type("error"))["code"] == "denied"
    assert role(await service.join("Bob")) == "host"


async def test_room_admin_of_one_room_means_nothing_in_another(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    await service.join(token=token("ann"))
    foreign = issue(SECRET, Grants(room="kitchen", identity="eve", room_admin=True), ttl=60)
    refusal = await service.refusal(type="join", room="hall", name="Eve", token=foreign)
    nowhere = await service.refusal(type="join", room="attic", name="Eve", token=foreign)
    assert {**refusal, "room": ""} == {**nowhere, "room": ""}  # whether somebody is there cannot be told
    assert refusal["code"] == "not-permitted"
