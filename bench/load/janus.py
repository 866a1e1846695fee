"""Janus VideoRoom under test: Debian's package with its defaults, or with one event loop for all handles."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiortc.rtcdtlstransport import RTCCertificate, SRTPProtectionProfile

from . import sdp
from .endpoint import AS_BROWSERS, Endpoint
from .sdp import Kind, Line
from .server import CLIENT_HOST, SERVER_HOST, Client, server_process

PORT = 8188
ANSWER_SECONDS = 20.0
PLUGINS = "/usr/lib/x86_64-linux-gnu/janus"


class Janus:
    """A running Janus, spoken to over one WebSocket; each publisher and each subscriber is a handle."""

    def __init__(
        self, pid: int, socket: aiohttp.ClientWebSocketResponse, profiles: Sequence[SRTPProtectionProfile]
    ) -> None:
        self.pid = pid
        self._socket = socket
        self._profiles = profiles
        self._session = 0
        self._transactions = itertools.count(1)
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._certificate = RTCCertificate.generateCertificate()
        self._rooms: dict[str, int] = {}
        self._feeds: dict[str, dict[int, int]] = {}
        self._places: dict[int, tuple[str, int]] = {}
        self._handles: dict[int, list[int]] = {}

    async def open(self) -> None:
        """Begin the session."""
        self._session = (await self._ask("create"))["data"]["id"]

    async def join(self, room: str, *, sends: Sequence[Kind], audio_slots: int = 0, video_slots: int = 0) -> Client:
        """See Sfu. Receiving begins with `settle`."""
        client = Client(None, None)
        self._places[id(client)] = (room, audio_slots + video_slots)
        self._handles[id(client)] = []
        if room not in self._rooms:
            self._rooms[room] = number = len(self._rooms) + 1
            handle = await self._attach(client)
            await self._ask("message", handle, body={
                "request": "create", "room": number, "publishers": 100, "audiocodec": "opus", "videocodec": "vp8",
            })
        if not sends:
            return client
        lines = [Line(str(i), kind, secrets.randbits(31)) for i, kind in enumerate(sends)]
        endpoint = Endpoint(self._certificate, CLIENT_HOST, self._profiles)
        handle = await self._attach(client)
        joined = await self._ask("message", handle, body={
            "request": "joinandconfigure", "room": self._rooms[room], "ptype": "publisher",
        }, jsep={"type": "offer", "sdp": sdp.write(endpoint.local, lines)})
        self._feeds.setdefault(room, {})[id(client)] = joined["plugindata"]["data"]["id"]
        client.publisher = endpoint
        client.ssrcs = tuple((line.kind, line.mid, line.ssrc) for line in lines if line.ssrc is not None)
        await endpoint.connect(sdp.read(joined["jsep"]["sdp"]), controlling=True)
        return client

    async def settle(self, client: Client) -> None:
        """Subscribe to everybody else."""
        room, slots = self._places[id(client)]
        feeds = [feed for owner, feed in self._feeds.get(room, {}).items() if owner != id(client)]
        if not slots or not feeds:
            return
        handle = await self._attach(client)
        attached = await self._ask("message", handle, body={
            "request": "join", "room": self._rooms[room], "ptype": "subscriber",
            "streams": [{"feed": feed} for feed in feeds],
        })
        remote = sdp.read(attached["jsep"]["sdp"])
        endpoint = client.subscriber = Endpoint(self._certificate, CLIENT_HOST, self._profiles)
        answer = sdp.write(endpoint.local, [Line(mid, kind) for mid, kind in remote.lines], answer=True)
        jsep = {"type": "answer", "sdp": answer}
        await self._ask("message", handle, body={"request": "start"}, jsep=jsep)
        await endpoint.connect(remote, controlling=False)

    async def leave(self, client: Client) -> None:
        """See Sfu."""
        room, _ = self._places.pop(id(client))
        self._feeds.get(room, {}).pop(id(client), None)
        for handle in self._handles.pop(id(client)):
            await self._ask("detach", handle)
        for endpoint in (client.publisher, client.subscriber):
            if endpoint is not None:
                await endpoint.close()

    async def read(self) -> None:
        """Hand answers to those who wait for them."""
        async for message in self._socket:
            event = message.json()
            if event["janus"] == "ack":
                continue
            waiting = self._answers.pop(event.get("transaction", ""), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(event)

    async def _attach(self, client: Client) -> int:
        handle: int = (await self._ask("attach", plugin="janus.plugin.videoroom"))["data"]["id"]
        self._handles[id(client)].append(handle)
        return handle

    async def _ask(self, verb: str, handle: int = 0, **fields: object) -> dict[str, Any]:
        transaction = str(next(self._transactions))
        answered = self._answers[transaction] = asyncio.get_running_loop().create_future()
        request: dict[str, object] = {"janus": verb, "transaction": transaction, **fields}
        if self._session:
            request["session_id"] = self._session
        if handle:
            request["handle_id"] = handle
        await self._socket.send_json(request)
        answer: dict[str, Any] = await asyncio.wait_for(answered, ANSWER_SECONDS)
        data = answer.get("plugindata", {}).get("data", {})
        if answer["janus"] == "error" or "error" in data:
            raise RuntimeError(f"Janus refused {verb}: {answer}")
        return answer


def available() -> bool:
    """Whether Janus is installed."""
    return shutil.which("janus") is not None


@contextlib.asynccontextmanager
async def janus(
    *, event_loops: int = 0, profiles: Sequence[SRTPProtectionProfile] = AS_BROWSERS
) -> AsyncIterator[Janus]:
    """Run Janus with the VideoRoom; `event_loops` 0 is as shipped, a thread for each handle."""
    with tempfile.TemporaryDirectory(prefix="load-janus-") as folder:
        base = Path(folder)
        for kind, library in (("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_websockets.so")):
            (base / kind).mkdir()
            (base / kind / library).symlink_to(f"{PLUGINS}/{kind}/{library}")
        (base / "janus.jcfg").write_text(
            f'general: {{ configs_folder = "{base}"\n plugins_folder = "{base}/plugins"\n'
            f' transports_folder = "{base}/transports"\n debug_level = 4\n session_timeout = 0\n'
            + (f" event_loops = {event_loops}\n" if event_loops else "")
            + f'}}\nnat: {{ ice_enforce_list = "{SERVER_HOST}"\n ice_ignore_list = "vmnet" }}\nmedia: {{ }}\n'
        )
        (base / "janus.transport.websockets.jcfg").write_text(
            f'general: {{ ws = true\n ws_port = {PORT}\n ws_ip = "{SERVER_HOST}"\n wss = false }}\nadmin: {{ }}\n'
        )
        (base / "janus.plugin.videoroom.jcfg").write_text("general: { }\n")
        command = ["stdbuf", "-oL", "janus", "-F", str(base), "-C", str(base / "janus.jcfg")]
        async with (
            server_process(command, env=os.environ, ready="WebSockets thread started") as (pid, _, _),
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://{SERVER_HOST}:{PORT}", protocols=["janus-protocol"], max_msg_size=1 << 24) as socket,
        ):
            running = Janus(pid, socket, profiles)
            reading = asyncio.create_task(running.read(), name="signalling of Janus")
            try:
                await running.open()
                yield running
            finally:
                reading.cancel()
                await asyncio.wait([reading])
