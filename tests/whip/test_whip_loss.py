"""A stock aiortc player over WHEP, behind a relay that loses."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
import aioice.ice
import av
import pytest
from aiortc.mediastreams import MediaStreamError
from broadcasting import SECONDS, StockPeer

from bench.service import Service, service
from bench.video.stock import Film
from rtc.client import join
from rtc.netem import LinkProfile

ASKED_FOR, HELD = 128, 512
"""Packets that aiortc asks for again at most, and those that fill its buffer: then it goes on by itself."""
POLL = 0.01


@pytest.fixture(autouse=True)
def _aioice_takes_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])


class Noted(Film):
    """A film of which the newest time is known, in 1/90000 s."""

    newest = 0

    async def recv(self) -> av.VideoFrame:
        frame = await super().recv()
        self.newest = frame.pts or 0
        return frame


class Player:
    """Reads a track, and knows the time of the picture that it shows."""

    def __init__(self, track: Any) -> None:
        self.shows = -1
        self._track = track
        self._moved = asyncio.Event()

    async def play(self) -> None:
        with suppress(MediaStreamError):
            while True:
                self.shows = (await self._track.recv()).pts
                self._moved.set()

    async def until(self, time: int) -> None:
        async with asyncio.timeout(SECONDS):
            while self.shows < time:
                self._moved.clear()
                await self._moved.wait()


async def test_a_stock_player_shows_the_present_soon_after_its_network_was_away() -> None:
    async with service(rtt=0.04) as running, aiohttp.ClientSession() as http:  # noqa: SIM117  the room before the player
        async with join(running.url, "stage", name="Ada") as ada:
            film, viewer = Noted(grain=True), StockPeer(http)
            await ada.publish(film)
            await viewer.watch(f"{running.url}/whep/stage")
            player = Player(viewer.tracks["video"])
            playing = asyncio.create_task(player.play())
            await player.until(90_000)
            shown, sent, lost = player.shows, film.newest, down(running, "lost")
            running.udp.down = LinkProfile(loss=1.0)
            async with asyncio.timeout(SECONDS):
                while down(running, "lost") < lost + 1.2 * ASKED_FOR:  # noqa: ASYNC110  a relay tells nobody
                    await asyncio.sleep(POLL)
            running.udp.down = LinkProfile(delay=0.02)
            delivered, present = down(running, "delivered"), shown + film.newest - sent
            assert player.shows < present
            await player.until(present)
            assert down(running, "delivered") - delivered < HELD / 4
            await viewer.leave()
            await playing


def down(running: Service, counter: str) -> int:
    """A figure of the links to the clients."""
    return running.udp.counters()["down"][counter]
