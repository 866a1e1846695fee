"""A real server, offers as text, stock aiortc peers that speak WHIP and WHEP, and what they send and recognise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import av
import imageio_ffmpeg
import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from bench.people import RATE
from rtc.client import Call, RemoteTrack
from signaling.app import create_app
from signaling.config import load
from signaling.keys import BROADCASTS, DIRECTORY

SECONDS = 20.0
"""Longest wait for anything."""
SECRET = "0123456789abcdef0123456789abcdef"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
UFRAG, PWD = "abcd", "0123456789abcdefghijkl"
FINGERPRINT = ":".join(["AB"] * 32)


class Service:
    """A running server."""

    def __init__(self, server: TestServer, app: web.Application) -> None:
        self.app = app
        self.url = str(server.make_url("/")).rstrip("/")
        self.broadcasts = app[BROADCASTS]
        self.directory = app[DIRECTORY]

    def members(self, room: str) -> dict[str, str]:
        """Name and kind of everybody in a room, hidden ones too."""
        found = self.directory.rooms.get(room)
        return {} if found is None else {member.name: member.kind for member in found.members.values()}


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[Service]:
    """Start a server on loopback with these settings."""
    app = create_app(load({"http_port": 0, "udp_port": 0, "data_dir": "", **settings}))
    server = TestServer(app, access_log=None)
    await server.start_server()
    try:
        yield Service(server, app)
    finally:
        await server.close()


def media_section(kind: str, mid: str, direction: str, *, codec: str = "") -> str:
    """One m-line of an offer."""
    codec = codec or {"audio": "111 opus/48000/2", "video": "96 VP8/90000"}[kind]
    payload_type, _, name = codec.partition(" ")
    lines = [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {payload_type}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", f"a={direction}",
        "a=rtcp-mux", "a=rtcp-mux-only", f"a=rtpmap:{payload_type} {name}",
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines)


def offer(*sections: str, setup: str = "actpass") -> str:
    """An offer of these m-lines, or of one audio and one video m-line that send; its mids are 0, 1 ..."""
    sections = sections or (media_section("audio", "0", "sendonly"), media_section("video", "1", "sendonly"))
    mids = " ".join(str(index) for index in range(len(sections)))
    lines = [
        "v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {mids}", f"a=ice-ufrag:{UFRAG}",
        f"a=ice-pwd:{PWD}", f"a=fingerprint:sha-256 {FINGERPRINT}", f"a=setup:{setup}",
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines) + "".join(sections)


def fragment(ufrag: str = UFRAG, pwd: str = PWD, *candidates: str) -> str:
    """An SDP fragment with credentials and candidates."""
    lines = [
        f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{pwd}", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0",
        *(f"a=candidate:{candidate}" for candidate in candidates),
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines)


async def hear(track: Any, hertz: float) -> None:
    """Read `track` until half a second of it is this tone."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    window = np.zeros(0, dtype=np.int16)
    async with asyncio.timeout(SECONDS):
        while True:
            parts = [window, *(frame.to_ndarray()[0] for frame in resampler.resample(await track.recv()))]
            window = np.concatenate(parts)[-RATE // 2 :]
            spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window))))
            found = np.argmax(spectrum) * RATE / max(1, len(window))
            if len(window) == RATE // 2 and np.abs(window).mean() > 500 and abs(found - hertz) < 6:
                return


async def see(track: Any, colours: tuple[int, int, int]) -> None:
    """Read `track` until it shows these bars."""
    async with asyncio.timeout(SECONDS):
        while True:
            picture = (await track.recv()).to_ndarray(format="rgb24").astype(int)
            middle = picture[picture.shape[0] // 2]
            thirds = [middle[middle.shape[0] * place // 6] for place in (1, 3, 5)]
            clear = all(np.sort(colour)[2] - np.sort(colour)[1] > 60 for colour in thirds)
            if clear and tuple(int(np.argmax(colour)) for colour in thirds) == colours:
                return


class StockPeer:
    """An unmodified aiortc peer connection that publishes over WHIP or watches over WHEP."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.tracks: dict[str, Any] = {}
        self.location = ""
        self._http = http
        self._connected = asyncio.Event()
        self.pc.on("track", lambda track: self.tracks.__setitem__(track.kind, track))
        self.pc.on("connectionstatechange", self._changed)

    async def publish(self, url: str, *tracks: MediaStreamTrack, **headers: str) -> None:
        for track in tracks:
            self.pc.addTransceiver(track, direction="sendonly")
        await self._connect(url, headers)

    async def watch(self, url: str, **headers: str) -> None:
        for kind in ("audio", "video"):
            self.pc.addTransceiver(kind, direction="recvonly")
        await self._connect(url, headers)

    async def leave(self) -> None:
        async with self._http.delete(self.location) as response:
            assert response.status == 200
        await self.pc.close()

    async def _connect(self, url: str, headers: dict[str, str]) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        async with self._http.post(url, data=self.pc.localDescription.sdp, headers=SDP | headers) as response:
            answer = await response.text()
            assert response.status == 201, answer
            self.location = str(response.url.join(response.url.with_path(response.headers["Location"])))
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(SECONDS):
            await self._connected.wait()

    def _changed(self) -> None:
        if self.pc.connectionState == "connected":
            self._connected.set()


@asynccontextmanager
async def ffmpeg(url: str, hertz: int, colours: tuple[int, int, int]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A stock ffmpeg that publishes H.264 and Opus until the context ends; then it leaves properly."""
    names = [("red", "lime", "blue")[colour] for colour in colours]
    bars = "".join(f"color={name}:s=112x240:r=15[{index}];" for index, name in enumerate(names))
    process = await asyncio.create_subprocess_exec(
        imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error",
        "-re", "-f", "lavfi", "-i", f"{bars}[0][1][2]hstack=3",
        "-re", "-f", "lavfi", "-i", f"sine=frequency={hertz}:sample_rate=48000,volume=4",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline",
        "-pix_fmt", "yuv420p", "-g", "15", "-c:a", "libopus", "-ac", "2", "-f", "whip", url,
        stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
        assert process.stdin is not None
        process.stdin.write(b"q")
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def track_of(call: Call, name: str, source: str) -> RemoteTrack:
    """What the participant called `name` sends."""
    stream = call.events()
    async with asyncio.timeout(SECONDS):
        while True:
            for participant in call.participants.values():
                for publication in participant.publications.values():
                    if (participant.name, publication.source) == (name, source):
                        return await call.track(publication)
            await anext(stream)
