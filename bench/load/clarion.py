"""Clarion under test: by its WebSocket as a call, or by WHIP and WHEP as any server of those."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiortc.rtcdtlstransport import RTCCertificate

from signaling.tokens import Grants, issue

from . import sdp
from .endpoint import AS_BROWSERS, ONLY_CM, Endpoint
from .sdp import Kind, Line
from .server import CLIENT_HOST, SERVER_HOST, SIGNALLING_HOSTS, Client, server_process

SOURCES: dict[Kind, str] = {"audio": "microphone", "video": "camera"}
ANSWER_SECONDS = 20.0
ACK_SECONDS = 0.25  # for which an acknowledgement waits for more events


@dataclass(slots=True)
class _Session:
    """A WebSocket connection: commands, their replies, acknowledgements."""

    socket: aiohttp.ClientWebSocketResponse
    number: int = 0
    replies: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None
    newest: int = 0
    """The last event that came."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether it is still to be acknowledged."""
    acknowledging: asyncio.Task[None] | None = None

    async def command(self, kind: str, **fields: object) -> dict[str, Any]:
        """Raises RuntimeError when the server refuses."""
        self.number += 1
        answered = asyncio.get_running_loop().create_future()
        self.replies[self.number] = answered
        await self.socket.send_str(json.dumps({"type": kind, "id": self.number, **fields}))
        reply: dict[str, Any] = await asyncio.wait_for(answered, ANSWER_SECONDS)
        if reply["type"] == "error":
            raise RuntimeError(f"{kind}: {reply['message']}")
        return reply

    async def read(self) -> None:
        """Take events until the connection ends."""
        async for message in self.socket:
            event = json.loads(message.data)
            waiting = self.replies.pop(event.get("re", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(event)
            if event.get("seq"):
                self.newest = event["seq"]
                self.arrived.set()
        if self.acknowledging is not None:
            self.acknowledging.cancel()

    async def acknowledge(self) -> None:
        """Acknowledge events a little later, with those after them, as the page does."""
        while True:
            await self.arrived.wait()
            await asyncio.sleep(ACK_SECONDS)
            self.arrived.clear()
            with contextlib.suppress(ConnectionError):  # it ends, and so will this
                await self.socket.send_str(json.dumps({"type": "ack", "seq": self.newest}))


class Clarion:
    """A running `clarion serve`. With `whip`, clients come by WHIP and WHEP and accept AES-CM with HMAC-SHA1 only."""

    def __init__(self, pid: int, port: int, secret: str, ways: Sequence[aiohttp.ClientSession], *, whip: bool) -> None:
        self.pid = pid
        self.url = f"http://{SERVER_HOST}:{port}"
        self._secret = secret
        self._ways = itertools.cycle(ways)
        self._whip = whip
        self._certificate = RTCCertificate.generateCertificate()
        self._sessions: dict[int, _Session] = {}
        self._resources: dict[int, str] = {}

    async def metrics(self) -> str:
        """What /metrics says."""
        allowed = {"Authorization": f"Bearer {self._secret}"}
        async with next(self._ways).get(f"{self.url}/metrics", headers=allowed) as response:
            return await response.text()

    async def join(self, room: str, *, sends: Sequence[Kind], audio_slots: int = 0, video_slots: int = 0) -> Client:
        """See Sfu."""
        lines = [Line(str(i), kind, secrets.randbits(31)) for i, kind in enumerate(sends)]
        audio: list[Kind] = ["audio"] * audio_slots
        video: list[Kind] = ["video"] * video_slots
        kinds = audio + video
        lines += [Line(str(len(sends) + i), kind) for i, kind in enumerate(kinds)]
        endpoint = Endpoint(self._certificate, CLIENT_HOST, ONLY_CM if self._whip else AS_BROWSERS)
        offer = sdp.write(endpoint.local, lines)
        client = Client(
            endpoint if sends else None, endpoint if kinds else None,
            tuple((line.kind, line.mid, line.ssrc) for line in lines if line.ssrc is not None),
        )
        answer = await (self._post if self._whip else self._enter)(client, room, offer)
        await endpoint.connect(sdp.read(answer), controlling=True)
        return client

    async def settle(self, client: Client) -> None:
        """Nothing to do: slots are filled by the server."""

    async def leave(self, client: Client) -> None:
        """See Sfu."""
        session = self._sessions.pop(id(client), None)
        if session is not None:
            with contextlib.suppress(Exception):
                await session.command("leave")
            await session.socket.close()
            assert session.reading is not None
            await asyncio.wait([session.reading])
        endpoint = client.publisher or client.subscriber
        if endpoint is not None:
            await endpoint.close()

    async def _enter(self, client: Client, room: str, offer: str) -> str:
        socket = await next(self._ways).ws_connect(f"{self.url}/ws", max_msg_size=1 << 22)
        token = issue(self._secret, Grants(room=room), ttl=3600)
        await socket.send_str(json.dumps({"type": "join", "room": room, "name": "Load", "token": token}))
        session = _Session(socket)
        self._sessions[id(client)] = session
        session.reading = asyncio.create_task(session.read(), name="signalling of a load client")
        session.acknowledging = asyncio.create_task(session.acknowledge(), name="acknowledgements of a load client")
        answer = await session.command("offer", sdp=offer)
        for kind, mid, _ in client.ssrcs:
            await session.command("publish", mid=mid, source=SOURCES[kind])
        return str(answer["sdp"])

    async def _post(self, client: Client, room: str, offer: str) -> str:
        way = "whip" if client.publisher is not None else "whep"
        token = issue(self._secret, Grants(room=room), ttl=3600)
        async with next(self._ways).post(
            f"{self.url}/{way}/{room}", data=offer,
            headers={"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"},
        ) as response:
            if response.status != 201:
                raise RuntimeError(f"{way} was refused: {response.status} {await response.text()}")
            return await response.text()


@contextlib.asynccontextmanager
async def clarion(*, whip: bool = False) -> AsyncIterator[Clarion]:
    """Run `clarion serve` with its defaults, but for room in its rooms, and a store where nobody waits to come back."""
    secret = secrets.token_hex(24)
    env = {key: value for key, value in os.environ.items() if not key.startswith("CLARION_")}
    env |= {
        "CLARION_HTTP_HOST": SERVER_HOST, "CLARION_HTTP_PORT": "0", "CLARION_UDP_PORT": "0",
        "CLARION_SECRET": secret, "CLARION_METRICS_TOKEN": secret, "CLARION_DRAIN_SECONDS": "0",
        "CLARION_MAX_PARTICIPANTS_PER_ROOM": "1000", "PYTHONUNBUFFERED": "1",
    }
    program = str(Path(sys.executable).with_name("clarion"))
    with tempfile.TemporaryDirectory() as data:
        env["CLARION_DATA_DIR"] = data
        async with server_process([program, "serve"], env=env, ready="Open ") as (pid, line, output):
            port = int(re.findall(r":(\d+)", line)[-1])
            async with contextlib.AsyncExitStack() as opened:
                connectors = [aiohttp.TCPConnector(limit=0, local_addr=(host, 0)) for host in SIGNALLING_HOSTS]
                ways = [await opened.enter_async_context(aiohttp.ClientSession(connector=c)) for c in connectors]
                yield Clarion(pid, port, secret, ways, whip=whip)
    faults = [line for line in output if "Traceback" in line or '"level": "error"' in line]
    if faults:
        raise RuntimeError("the service logged errors:\n" + "".join(output))
