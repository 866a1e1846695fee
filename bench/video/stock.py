"""How long the picture stands for a viewer on stock aiortc, over Clarion and with plain forwarding.

Publisher and viewer are aiortc's own peer connections, in virtual time; only the viewer's decoder runs where its jitter
buffer is, so that it is known when it shows what.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Annotated
from unittest import mock

import av
import numpy as np
import typer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.vpx import Vp8Decoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket
from rich.table import Table

from bench.audio.call import Listening
from bench.audio.network import SERVER
from bench.video.verdict import conclude
from bench.virtual import Address, clocks, run
from bench.virtual_udp import open_virtual_udp
from rtc.netem import Link, LinkProfile
from rtc.sfu import Node, Peer

PLAIN, CLARION = "plain forwarding", "Clarion"
GRAINY, SMOOTH = "grainy", "smooth"
CAMERA, VIEWER = "10.0.0.2", "10.0.0.3"
RTT = 0.04
"""Seconds, of each hop."""

FPS = 30
TICKS = 90_000 // FPS
WIDTH, HEIGHT = 640, 480
WARM_UP_SECONDS = 5.0
BAR_SECONDS = 2.0
"""The picture may stand for so long, Clarion between."""

AWAY_SECONDS = 15.0

STILL_SECONDS = 0.5
"""A picture that is shown for longer stands."""

PICTURES = 60
CONNECT_SECONDS = 20.0


class Film(MediaStreamTrack):
    """A moving pattern in real (virtual) time: with grain it takes what an encoder may spend, else little."""

    kind = "video"

    def __init__(self, *, grain: bool, width: int = WIDTH, height: int = HEIGHT) -> None:
        super().__init__()
        dice = np.random.default_rng(0)
        rough = dice.integers(16, 240, (height // 16, width // 16), np.uint8)
        texture = np.kron(rough, np.ones((16, 16), np.uint8))
        colour = np.full((height // 2, width), 128, np.uint8)
        noise = dice.integers(0, 12 if grain else 1, (PICTURES, *texture.shape), np.uint8)
        self._pictures = [np.vstack([np.roll(texture, 4 * n, axis=1) + noise[n], colour]) for n in range(PICTURES)]
        self._next = 0
        self._began: float | None = None

    def picture(self) -> av.VideoFrame:
        """The next picture, at once."""
        frame = av.VideoFrame.from_ndarray(self._pictures[self._next % PICTURES], format="yuv420p")
        frame.pts, frame.time_base = self._next * TICKS, Fraction(1, 90_000)
        self._next += 1
        return frame

    async def recv(self) -> av.VideoFrame:
        """The next picture, when its time has come."""
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        await asyncio.sleep(self._began + self._next / FPS - now)
        return self.picture()


class Screen:
    """aiortc's jitter buffer with a decoder behind it: when which picture was shown."""

    def __init__(self) -> None:
        self.shown: list[float] = []
        """When there was a picture that can be made of what came."""
        self.keyframes = 0
        self.lit = asyncio.Event()

    def make(self, capacity: int, prefetch: int = 0, is_video: bool = False) -> JitterBuffer:
        """What the receiver makes for itself."""
        screen, loop = self, asyncio.get_running_loop()

        class Shown(JitterBuffer):
            _decoder = Vp8Decoder()
            _last = -1

            def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
                asked, frame = super().add(packet)
                if frame is None:
                    return asked, None
                is_key = bool(frame.data) and not frame.data[0] & 1
                try:
                    pictures = self._decoder.decode(frame)
                except av.FFmpegError:
                    return True, None  # as its decoder's thread makes it do
                screen.keyframes += is_key
                # Without the picture before, what is shown is a smear; the decoder does not say so.
                # aiortc's encoders round time.
                since = (frame.timestamp - self._last) & 0xFFFFFFFF
                if pictures and (is_key or abs(since - TICKS) <= 1):
                    self._last = frame.timestamp
                    screen.shown.append(loop.time())
                    screen.lit.set()
                return asked, None

        return Shown(capacity, prefetch, is_video)


@dataclass(frozen=True, slots=True)
class Row:
    """What the network does, on each hop and in each direction."""

    name: str
    loss: float = 0.0
    away: float = 0.0
    """Seconds for which the viewer's hop carries nothing, every AWAY_SECONDS."""


ROWS = (Row("1 %", 0.01), Row("5 %", 0.05), Row("10 %", 0.1), Row("nothing for 2 s, every 15 s", away=2.0))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one viewer saw."""

    scheme: str
    film: str
    row: Row
    longest: float
    """Seconds for which a picture was shown at most."""
    stood: float
    """Seconds a minute in which it stood."""
    fps: float
    keyframes: float
    """A minute."""

    @property
    def met(self) -> bool:
        """Whether it is good enough."""
        return self.longest <= self.row.away + BAR_SECONDS


class Paths:
    """The links by host, which lose nothing until they are spoiled."""

    def __init__(self, delay: float, seed: int) -> None:
        self._delay = delay
        self._seed = seed
        self._links: dict[tuple[str, str], Link] = {}

    def between(self, source: Address, target: Address) -> Link:
        """For the loop."""
        hosts = source[0], target[0]
        seed = f"{self._seed} {source[0]} {target[0]}"
        return self._links.setdefault(hosts, Link(LinkProfile(delay=self._delay), seed=seed))

    def spoil(self, loss: float, host: str = "") -> None:
        """Lose this share from now on, to and from one host or everywhere."""
        for hosts, link in self._links.items():
            if not host or host in hosts:
                link.profile = LinkProfile(loss=loss, delay=self._delay)


def stock() -> RTCPeerConnection:
    """A peer connection as it comes, without a public STUN server."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def at(host: str) -> contextlib.AbstractContextManager[object]:
    """Peer connections gather this address meanwhile."""
    return mock.patch("aioice.ice.get_host_addresses", lambda **_: [host])


async def connect(connection: RTCPeerConnection, peer: Peer, events: Listening, host: str) -> None:
    """Connect a peer connection that has its transceivers to its peer in a room."""
    with at(host):
        await connection.setLocalDescription(await connection.createOffer())
        answer = RTCSessionDescription(peer.answer(connection.localDescription.sdp), "answer")
        await connection.setRemoteDescription(answer)
        async with asyncio.timeout(CONNECT_SECONDS):
            await events.connected.wait()


@contextlib.asynccontextmanager
async def watching(screen: Screen, *, grain: bool) -> AsyncIterator[Peer]:
    """A node with a room, in which a viewer watches a film: yields the peer that sends it."""
    node = Node(await open_virtual_udp(*SERVER), (SERVER[0],))
    room = node.create_room("bench")
    camera, viewer = stock(), stock()
    events = Listening(), Listening()
    peers = [room.join(name, each, any_srtp=True) for name, each in zip(("camera", "viewer"), events, strict=True)]
    try:
        camera.addTransceiver(Film(grain=grain), direction="sendonly")
        await connect(camera, peers[0], events[0], CAMERA)
        with mock.patch("aiortc.rtcrtpreceiver.JitterBuffer", screen.make):
            viewer.addTransceiver("video", direction="recvonly")
        await connect(viewer, peers[1], events[1], VIEWER)
        peers[0].publish("0", publication_id="film")
        yield peers[0]
    finally:
        for connection, peer in zip((camera, viewer), peers, strict=True):
            await connection.close()
            await peer.close()
        await node.close()


@contextlib.asynccontextmanager
async def passed_on(screen: Screen, *, grain: bool) -> AsyncIterator[None]:
    """Plain forwarding: camera and viewer talk to each other over both hops."""
    camera, viewer = stock(), stock()
    try:
        camera.addTransceiver(Film(grain=grain), direction="sendonly")
        with at(CAMERA):
            await camera.setLocalDescription(await camera.createOffer())
        with mock.patch("aiortc.rtcrtpreceiver.JitterBuffer", screen.make):
            await viewer.setRemoteDescription(camera.localDescription)
        with at(VIEWER):
            await viewer.setLocalDescription(await viewer.createAnswer())
        await camera.setRemoteDescription(viewer.localDescription)
        async with asyncio.timeout(CONNECT_SECONDS):
            await screen.lit.wait()
        yield
    finally:
        await camera.close()
        await viewer.close()


async def watch(scheme: str, film: str, row: Row, seconds: float, paths: Paths) -> Figures:
    """Hold one call and measure it."""
    loop, screen = asyncio.get_running_loop(), Screen()
    plain = scheme == PLAIN
    with clocks():
        async with (passed_on if plain else watching)(screen, grain=film == GRAINY):
            await asyncio.sleep(WARM_UP_SECONDS)
            paths.spoil(1 - (1 - row.loss) ** 2 if plain else row.loss)
            begin, keyframes = loop.time(), screen.keyframes
            while row.away and loop.time() + AWAY_SECONDS <= begin + seconds:
                paths.spoil(1.0, VIEWER)
                await asyncio.sleep(row.away)
                paths.spoil(0.0)
                await asyncio.sleep(AWAY_SECONDS - row.away)
            await asyncio.sleep(begin + seconds - loop.time())
            end = loop.time()
    shown = [begin, *(moment for moment in screen.shown if begin <= moment < end), end]
    gaps = [after - before for before, after in pairwise(shown)]
    per_minute = 60 / seconds
    return Figures(
        scheme, film, row, max(gaps), sum(gap for gap in gaps if gap > STILL_SECONDS) * per_minute,
        (len(shown) - 2) / seconds, (screen.keyframes - keyframes) * per_minute,
    )  # fmt: skip


def measure(scheme: str, film: str, row: Row, *, seconds: float, seed: int) -> Figures:
    """One call; the same seed gives the same losses."""
    random.seed(seed)  # aioice, aiortc's reports
    paths = Paths(RTT if scheme == PLAIN else RTT / 2, seed)
    return run(watch(scheme, film, row, seconds, paths), link_between=paths.between)


def main(
    *,
    seconds: Annotated[float, typer.Option(help="Measured in each call, virtual.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Of the network.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """Print a table; exit with 1 where Clarion's viewer stood more than 2 s without need."""
    cells = [
        measure(scheme, film, row, seconds=seconds, seed=seed)
        for film in (GRAINY, SMOOTH) for row in ROWS for scheme in (PLAIN, CLARION)
    ]  # fmt: skip
    table = Table(
        "film", "lost on each hop", "", "longest standstill, s", "stood, s/min", "frames/s", "key frames/min", "",
        title="What a viewer on stock aiortc sees",
    )  # fmt: skip
    for one in cells:
        verdict = "" if one.scheme == PLAIN else "pass" if one.met else "MISS"
        table.add_row(
            one.film, one.row.name, one.scheme, f"{one.longest:.2f}", f"{one.stood:.1f}", f"{one.fps:.1f}",
            f"{one.keyframes:.1f}", verdict,
        )  # fmt: skip
    conclude(table, "stock", [one for one in cells if one.scheme == CLARION], seed=seed, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
