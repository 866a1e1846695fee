"""Connections whose client is there no more, and others that only look so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiohttp import WSMsgType
from conftest import Serve

from signaling import heartbeat
from signaling.heartbeat import Heartbeat, heard_lately


@dataclass(eq=False)
class Connection:
    """Notes what becomes of it."""

    heard_at: float = 0.0
    pinged_at: float = 0.0
    receiving: bool = False
    happened: list[str] = field(default_factory=list)

    def ping(self) -> None:
        self.happened.append("pinged")

    def is_receiving(self, seconds: float) -> bool:
        return self.receiving

    def give_up(self) -> None:
        self.happened.append("given up")


def look(connection: Connection, *times: float) -> list[str]:
    watch = Heartbeat()
    watch.watch(connection)
    for now in times:
        watch.look(now=now)
    watch.forget(connection)
    watch.look(now=1000.0)
    return connection.happened


def test_who_is_silent_is_pinged_once_and_given_up_without_an_answer() -> None:
    assert look(Connection(), 3.9) == []
    assert look(Connection(), 4.0, 4.5, 5.9) == ["pinged"]
    assert look(Connection(), 4.0, 5.0, 6.0) == ["pinged", "given up"]


def test_who_answers_is_pinged_again_after_the_next_silence() -> None:
    connection = Connection()
    assert look(connection, 4.0) == ["pinged"]
    connection.heard_at = 4.1
    assert look(connection, 6.0, 8.0) == ["pinged"]
    assert look(connection, 8.1, 10.1) == ["pinged", "pinged", "given up"]


def test_a_fault_with_one_connection_leaves_the_others_watched() -> None:
    class Faulty(Connection):
        def ping(self) -> None:
            raise RuntimeError("a fault of ours")

    watch, sound = Heartbeat(), [Connection(), Connection()]
    for connection in (sound[0], Faulty(), sound[1]):
        watch.watch(connection)
    for now in (4.0, 6.0):
        watch.look(now=now)
    assert [connection.happened for connection in sound] == [["pinged", "given up"]] * 2


def test_a_long_message_on_a_slow_path_is_no_silence() -> None:
    connection = Connection(receiving=True)
    assert look(connection, 4.0, 8.0, 60.0) == ["pinged"]
    connection.receiving = False
    assert look(connection, 62.0) == ["pinged", "given up"]


def test_a_server_that_stood_still_for_a_minute_asks_before_it_gives_anybody_up() -> None:
    assert look(Connection(), 60.0, 61.9) == ["pinged"]
    assert look(Connection(pinged_at=4.0, receiving=True), 64.0) == []


@pytest.mark.parametrize("lobby", [False, True])
async def test_a_client_that_does_not_answer_loses_its_connection_and_nobody_else_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, lobby: bool
) -> None:
    for name, seconds in {"SILENCE_SECONDS": 0.05, "PATIENCE_SECONDS": 0.3, "LOOK_SECONDS": 0.02}.items():
        monkeypatch.setattr(heartbeat, name, seconds)
    service = await serve()
    host = await service.join("Host")
    await host.command("set-room", lobby=lobby)
    dead = await service.connect(autoping=False)
    await dead.send(type="join", room="hall", name="Dead")
    await dead.receive_type("waiting" if lobby else "joined")
    if lobby:
        assert len((await host.until("lobby"))["waiters"]) == 1
        assert (await host.until("lobby")).get("waiters", []) == []
    else:
        assert (await host.until("participant-changed"))["connected"] is False
    assert (await dead.socket.receive(timeout=5)).type is WSMsgType.PING
    assert (await host.command("ping"))["type"] == "reply"


async def test_a_client_may_ping_before_and_after_it_has_joined(serve: Serve) -> None:
    service = await serve()
    ann = await service.connect(autoping=False)

    async def pinged() -> tuple[WSMsgType, bytes]:
        await ann.socket.ping(b"there?")
        answer = await ann.socket.receive(timeout=5)
        return answer.type, answer.data

    assert await pinged() == (WSMsgType.PONG, b"there?")
    await ann.send(type="join", room="hall", name="Ann")
    await ann.receive_type("joined")
    assert await pinged() == (WSMsgType.PONG, b"there?")


async def test_the_kernel_says_whether_data_came_lately() -> None:
    heard: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Listener(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            heard.set_result(self.transport)

    server = await asyncio.get_running_loop().create_server(Listener, "127.0.0.1")
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"part of a message")
    transport = await heard
    assert heard_lately(transport, 60.0)
    assert not heard_lately(transport, 0.0)
    transport.close()
    assert not heard_lately(None, 60.0)
    writer.close()
    server.close()
