"""A server with a fake media node, and guests who speak the protocol to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientConnectionResetError, ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestClient, TestServer
from fakes import FakeNode

from signaling.app import create_app
from signaling.config import Settings, load
from signaling.keys import DIRECTORY, NODE, SESSIONS

SECRET = "0123456789abcdef0123456789abcdef"


class Guest:
    """One WebSocket to the server."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.joined: dict[str, Any] = {}
        self.seq = 0
        self._id = 0

    async def send(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def receive(self) -> dict[str, Any]:
        try:
            message = await self.socket.receive_json(timeout=5)
        except ClientConnectionResetError:  # of a ping before the end, when nobody is there for its answer any more
            return await self.receive()
        self.seq = max(self.seq, message.get("seq", 0))
        return message

    async def receive_type(self, kind: str) -> dict[str, Any]:
        """The next message, which must be of this type."""
        message = await self.receive()
        assert message["type"] == kind, message
        return message

    async def until(self, kind: str) -> dict[str, Any]:
        """The next message of this type, whatever comes before."""
        while (message := await self.receive())["type"] != kind:
            pass
        return message

    async def command(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._id += 1
        await self.send(type=kind, id=self._id, **fields)
        while (message := await self.receive()).get("re") != self._id:
            pass
        return message

    async def close_code(self) -> int:
        """Wait for the end of the connection."""
        while (message := await self.socket.receive(timeout=5)).type is WSMsgType.TEXT:
            pass
        assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED}, message
        return self.socket.close_code or 0


class Service:
    """A running server, and what is inside."""

    def __init__(self, client: TestClient[Any, Any], settings: Settings) -> None:
        self.client = client
        self.settings = settings
        app = client.server.app
        self.app = app
        self.node: FakeNode = app[NODE]  # type: ignore[assignment]
        self.directory = app[DIRECTORY]
        self.sessions = app[SESSIONS]

    async def connect(self, **options: Any) -> Guest:
        return Guest(await self.client.ws_connect("/ws", **options))

    async def join(self, name: str = "Ann", room: str = "hall", **fields: Any) -> Guest:
        guest = await self.connect()
        await guest.send(type="join", room=room, name=name, **fields)
        guest.joined = await guest.receive_type("joined")
        return guest

    async def resume(self, session: str, ack: int) -> Guest:
        guest = await self.connect()
        await guest.send(type="resume", session=session, ack=ack)
        return guest

    async def refusal(self, **message: Any) -> dict[str, Any]:
        """What a connection gets that begins with `message` and is refused."""
        guest = await self.connect()
        await guest.send(**message)
        error = await guest.receive_type("error")
        assert await guest.close_code() == 1008
        return error

    def peer(self, guest: Guest) -> Any:
        """The fake media peer of a guest."""
        return self.node.rooms[guest.joined["room"]].peers[guest.joined["you"]["id"]]


Serve = Callable[..., Awaitable[Service]]


@pytest.fixture
async def serve(aiohttp_client: Any) -> Serve:
    """Start a server; the arguments are settings."""

    async def start(**settings: object) -> Service:
        loaded = load({"data_dir": "", **settings})
        app = create_app(loaded, start_node=FakeNode.start)  # type: ignore[arg-type]
        return Service(await aiohttp_client(TestServer(app, access_log=None)), loaded)

    return start


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CLARION_"):
            monkeypatch.delenv(name)


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a condition has no event
            await asyncio.sleep(0)
