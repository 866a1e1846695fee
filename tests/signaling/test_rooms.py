"""Rooms: limits, closing when empty, and events of the media on their way to people."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from conftest import Serve, eventually

from signaling import members, rooms
from signaling.members import RefusedError
from signaling.tokens import Grants


@dataclass(frozen=True)
class SlotView:
    mid: str
    kind: str
    publication: str | None = None
    participant: str | None = None


@pytest.mark.parametrize(
    ("settings", "second_room", "code"),
    [
        ({"max_participants_per_room": "1"}, "hall", "room-full"),
        ({"max_participants": "1"}, "kitchen", "server-full"),
        ({"max_rooms": "1"}, "kitchen", "server-full"),
    ],
)
async def test_a_full_room_or_server_says_so_and_has_a_place_again_when_somebody_left(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], second_room: str, code: str
) -> None:
    monkeypatch.setattr(rooms, "EMPTY_ROOM_SECONDS", 0.0)
    service = await serve(**settings)
    service.directory._empty_seconds = 0.0
    ann = await service.join("Ann", "hall")
    assert (await service.refusal(type="join", room=second_room, name="Bob"))["code"] == code
    await ann.command("leave")
    await ann.close_code()
    await eventually(lambda: "hall" not in service.directory.rooms)
    await service.join("Bob", second_room)


async def test_a_room_outlives_a_reload_and_not_its_last_guest_for_long(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    room = service.directory.rooms["hall"]
    await ann.command("leave")
    await ann.close_code()
    assert room.closing is not None
    await service.join("Ann")
    assert service.directory.rooms["hall"] is room
    assert room.closing is None


async def test_slots_are_told_after_the_publication_that_they_carry(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    peer, listener = service.peer(bob), service.peer(ann)
    publish = peer.publish

    def publish_and_fill(mid: str, *, publication_id: str, muted: bool = False, patient: bool = False) -> object:
        listener.events.slots_changed((SlotView("5", "audio"),))
        listener.events.slots_changed((SlotView("5", "audio", publication_id, peer.id),))
        return publish(mid, publication_id=publication_id, muted=muted, patient=patient)

    monkeypatch.setattr(peer, "publish", publish_and_fill)
    await bob.command("offer", sdp="audio:0")
    await bob.command("publish", mid="0", source="microphone")
    await ann.receive_type("participant-joined")
    published = await ann.receive_type("published")
    assert (await ann.receive_type("slots"))["slots"] == [
        {"mid": "5", "publication": published["publication"]["id"], "participant": peer.id}
    ]


async def test_who_speaks_is_told_at_once_then_seldom_and_only_when_it_changes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "SPEAKERS_SECONDS", 0.05)
    service = await serve()
    ann = await service.join("Ann")
    tell = service.peer(ann).events.speakers_changed
    tell((("b", -20),))
    first = await ann.receive_type("speakers")
    assert first["speakers"] == [{"participant": "b", "level": -20}]
    assert first.get("seq", 0) == 0
    for level in range(-60, -30):
        tell((("b", level),))
    assert (await ann.receive_type("speakers"))["speakers"] == [{"participant": "b", "level": -31}]
    tell((("b", -31),))
    await ann.send(type="ping", id=1)
    assert (await ann.receive())["type"] == "reply"


async def test_the_request_for_redundancy_reaches_the_publisher_and_is_kept_for_a_lost_connection(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    service.peer(ann).events.protection_changed("0", 4, 2)
    told = await ann.receive_type("redundancy")
    assert (told["mid"], told["depth"], told["copies"]) == ("0", 4, 2)
    assert told["seq"] > 0
    await ann.socket.close()
    again = await service.resume(ann.joined["session"], ack=1)
    assert [(await again.receive())["type"] for _ in range(2)] == ["resumed", "redundancy"]


async def test_speakers_are_not_kept_for_a_lost_connection(serve: Serve) -> None:
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    await ann.socket.close()
    await bob.until("participant-changed")
    service.peer(ann).events.speakers_changed((("b", -20),))
    service.peer(ann).events.transport_changed("disconnected")
    again = await service.resume(ann.joined["session"], ack=1)
    kinds = [(await again.receive())["type"] for _ in range(3)]
    assert kinds == ["resumed", "participant-joined", "transport"]


async def test_events_after_leaving_reach_nobody_and_hurt_nothing(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    events = service.peer(ann).events
    events.slots_changed((SlotView("5", "audio"),))
    events.speakers_changed((("b", -1),))
    await ann.send(type="leave", id=1)
    await ann.until("closed")
    events.transport_changed("closed")
    events.slots_changed(())
    events.speakers_changed(())


async def test_a_whip_publisher_is_a_participant_and_a_whep_viewer_is_not(serve: Serve) -> None:
    service = await serve()
    ann = await service.join("Ann")
    grants = Grants(room="hall")
    heard: list[object] = []
    camera = service.directory.join("Camera", grants=grants, kind="whip")
    viewer = service.directory.join("Viewer", grants=grants, kind="whep", emit=heard.append)
    joined = await ann.receive_type("participant-joined")
    assert (joined["participant"]["name"], joined["participant"]["kind"]) == ("Camera", "whip")
    camera.answer("video:0")
    camera.publish("0", "camera")
    await ann.receive_type("published")
    assert [type(event).__name__ for event in heard] == ["Published"]
    service.directory.leave(viewer, "left")
    service.directory.leave(camera, "timeout")
    service.directory.leave(camera, "left")
    left = await ann.receive_type("participant-left")
    assert (left["participant"], left["reason"]) == (camera.id, "timeout")


async def test_a_room_that_could_not_be_entered_does_not_stay(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await serve()
    for bad in ("a/b", ""):
        with pytest.raises(RefusedError):
            service.directory.join("Ann", grants=Grants(room=bad), kind="web")
    assert not service.directory.rooms
