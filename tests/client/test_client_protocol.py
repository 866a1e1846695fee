"""The client's messages against the server's: what one writes, the other reads."""

from __future__ import annotations

import msgspec
import pytest

from rtc.client import protocol as client
from signaling import protocol as server

SENT = [
    client.Join(room="r", name="Ada", token="t", kind="python"),
    client.Join(room="r", name="Ada"),
    client.Resume(session="secret", ack=5),
    client.Ack(seq=3),
    client.Offer(id=1, sdp="v=0"),
    client.Publish(id=2, mid="0", source="microphone", muted=True),
    client.Unpublish(id=3, publication="p"),
    client.Mute(id=4, publication="p", muted=True),
    client.Mute(id=4, publication="p", muted=False),
    client.Watch(id=5, publications=("a", "b")),
    client.Watch(id=5),
    client.Ping(id=6),
    client.SetRoom(id=20, locked=True, default_role="listener", max_participants=5),
    client.SetRole(id=21, participant="x", role="host"),
    client.Silence(id=22, participant=None, kind="audio", silenced=False),
    client.AskUnmute(id=23, participant="x", kind="video"),
    client.Admit(id=24, waiter=None, admitted=False),
    client.Remove(id=25, participant="x"),
    client.BanPerson(id=26, participant="x", seconds=60.0, reason="noise"),
    client.Unban(id=27, identity="x"),
    client.ListBans(id=28),
    client.EndRoom(id=29),
    client.Report(id=30, participant="x", reason="noise"),
    client.Leave(id=7),
    client.Send(id=8, key="k", content=client.Text("hello")),
    client.Send(id=9, key="k", content=client.Reaction("👍", message=3, removed=True), to="x"),
    client.Send(id=10, key="k", content=client.Bytes("topic", b"\x00\xff")),
    client.History(id=11),
    client.History(id=12, after=3, before=9, limit=5),
    client.Reach(name="Ada", token="t", kind="python"),
    client.Ring(id=13, people=("bo", "cy"), call="c"),
    client.Accept(id=14, call="c"),
    client.Decline(id=15, call="c"),
    client.HangUp(id=16, call="c"),
    client.SetBusy(id=17, busy=True),
    client.CallHistory(id=18, before=1.5, limit=3),
]

_publication = server.Publication(id="p", kind="video", source="screen", muted=True)
_participant = server.Participant(
    id="x", name="Grace", kind="whip", connected=False, publications=(_publication,)
)
_messages = tuple(
    server.ChatMessage(number=number, key="k", at=1.5, sender="x", name="Grace", content=content, to="y")
    for number, content in enumerate(
        (
            server.Text("hello"),
            server.Reaction("👍", message=1),
            server.Bytes("topic", b"\x00\xff"),
            server.Json("topic", msgspec.Raw(b'{"a":[1,null]}')),
        )
    )
)
_call = server.CallView(
    id="c", state="active", caller=server.Person("bo", "Bo"), people=(server.Called("cy", "Cy", "accepted"),),
    began=1.0, others=2, answered=2.0, ended=3.0, room="r", token="t",
)  # fmt: skip
_contact = server.Contact("bo", "Bo", "busy")
RECEIVED = [
    server.Joined(
        seq=1, room="r", session="s", you=_participant, participants=(_participant,),
        permissions=server.Permissions(can_publish=False),
        ice_servers=(server.IceServer(urls=("stun:a",)),), resume_seconds=12.5, last_message=7,
    ),
    server.Resumed(last_id=9),
    server.Reply(re=1, sdp="v=0"),
    server.Reply(re=2, publication=_publication),
    server.Reply(re=3, number=4, at=1.25),
    server.Reply(re=4, messages=_messages, more=True),
    server.Reply(re=5, call=_call),
    server.Reply(re=6, calls=(_call,), more=True),
    server.Reachable(seq=1, session="s", you=server.Person("ann", "Ann"), contacts=(_contact,), calls=(_call,)),
    server.ContactChanged(seq=2, contact=_contact),
    server.CallChanged(seq=3, call=_call),
    server.Error(code="room-full", message="The room is full."),
    server.Error(code="rate-limited", message="Too many.", re=3, retry_after=1.5),
    *(server.MessageSent(seq=11, message=message) for message in _messages),
    server.ParticipantJoined(seq=2, participant=_participant),
    server.ParticipantLeft(seq=3, participant="x", reason="timeout"),
    server.ParticipantChanged(seq=4, participant="x", connected=True),
    server.Published(seq=5, participant="x", publication=_publication),
    server.Unpublished(seq=6, participant="x", publication="p"),
    server.Muted(seq=7, participant="x", publication="p", muted=False),
    server.Slots(seq=8, slots=(server.SlotAssignment("3", "p", "x"), server.SlotAssignment("4"))),
    server.Speakers(speakers=(server.Speaker("x", -20),)),
    server.Transport(seq=9, state="failed"),
    server.Redundancy(seq=10, mid="0", depth=4, copies=2),
    server.Quality(seq=11, slots=(server.SlotQuality("4", paused=True, limit="bandwidth"), server.SlotQuality("5"))),
    server.Encodings(seq=12, mid="1", rids=("q", "h")),
    server.Codecs(seq=12, codecs=("AV1", "VP8")),
    server.Clocks(seq=12, timestamps={"4": 0xFFFFFFFF, "8": 0}),
    server.Closed(seq=10, reason="shutdown"),
    server.Waiting(),
    server.LobbyChanged(seq=11, waiters=(server.Waiter("w", "Ada"),)),
    server.RoomChanged(seq=12, settings=server.RoomSettings(locked=True, max_participants=3)),
    server.PermissionsChanged(seq=13, permissions=server.Permissions(can_publish=False, room_admin=True)),
    server.RoleChanged(seq=14, participant="x", role="listener", silenced=("audio",)),
    server.UnmuteAsked(seq=15, by="Grace", kind="audio"),
    server.Reply(re=3, bans=(server.Ban("ada", "Ada", until=5.0, reason="noise", by="x"),)),
]


@pytest.mark.parametrize("message", SENT, ids=lambda m: type(m).__name__)
def test_the_server_reads_what_the_client_writes(message: client.Message) -> None:
    read = server.decode_client(client.encode(message))
    assert type(read).__name__ == type(message).__name__
    for name in message.__struct_fields__:
        assert msgspec.to_builtins(getattr(read, name)) == msgspec.to_builtins(getattr(message, name))


@pytest.mark.parametrize("message", RECEIVED, ids=lambda m: type(m).__name__)
def test_the_client_reads_what_the_server_writes(message: server.Event) -> None:
    read = client.decode(server.encode(message))
    assert type(read).__name__ == type(message).__name__
    for name in read.__struct_fields__:
        theirs, ours = getattr(message, name), getattr(read, name)
        assert _subset(_as_on_the_wire(ours), _as_on_the_wire(theirs)), name


def test_every_message_of_the_server_is_known_to_the_client() -> None:
    tags = {str(kind.__struct_config__.tag) for kind in server.ServerMessage.__args__}
    assert tags == {str(kind.__struct_config__.tag) for kind in client.ServerMessage.__args__}


def test_a_message_of_a_newer_server_is_skipped_with_its_number() -> None:
    assert client.decode('{"type": "fireworks", "seq": 12}') == 12


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"type": "joined"}', '{"type": "reply", "re": "x"}'])
def test_nonsense_is_refused_not_crashing(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        client.decode(text)


def _as_on_the_wire(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def _subset(ours: object, theirs: object) -> bool:
    """Whether `ours` says nothing else than `theirs`: the client leaves out fields that it has no use for."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(key in theirs and _subset(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_subset, ours, theirs))
    return ours == theirs
