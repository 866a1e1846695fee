"""A server whose people come and go all day, in every way: nothing of them stays, and nothing waits to be collected."""

from __future__ import annotations

import asyncio
import gc
import os
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from aiohttp.web import Application

from bench.load import clarion
from bench.load.clarion import Clarion
from bench.load.server import Client
from rtc.bucket import TokenBucket
from signaling.app import create_app
from signaling.config import load
from signaling.keys import BROADCASTS, NODE, SESSIONS

ROOM = "hall"
SECRET = "0123456789abcdef0123456789abcdef"
HERE = "127.0.0.1"
AT_ONCE = 4
ROUNDS = 4
PATIENCE = 20.0
OURS = ("rtc.", "signaling.")
Visit = Callable[[Clarion], Awaitable[None]]


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestServer]:
    """A running server that soon gives up who is lost."""
    monkeypatch.setattr(clarion, "SERVER_HOST", HERE)
    monkeypatch.setattr(clarion, "CLIENT_HOST", HERE)
    settings = {"http_port": 0, "udp_port": 0, "data_dir": "", "secret": SECRET, "resume_seconds": 1}
    server = TestServer(create_app(load(settings)), access_log=None)
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


def speak(client: Client) -> None:
    """Some packets of audio."""
    endpoint = client.publisher
    assert endpoint is not None
    ((_, _, ssrc),) = client.ssrcs
    for number in range(5):
        header = struct.pack("!BBHII", 0x80, 111, number, number * 960, ssrc)
        endpoint.socket.send(endpoint.sending.protect(header + bytes(80)))


async def calls(people: Clarion) -> None:
    """Somebody joins a call, speaks and leaves."""
    guest = await people.join(ROOM, sends=("audio",), audio_slots=2)
    speak(guest)
    await people.leave(guest)


async def is_lost(people: Clarion) -> None:
    """Somebody joins a call and speaks, and is never heard of again."""
    guest = await people.join(ROOM, sends=("audio",), audio_slots=2)
    speak(guest)
    session = people._sessions.pop(id(guest))
    response = session.socket._response
    assert response.connection is not None
    assert response.connection.transport is not None
    response.connection.transport.abort()
    assert session.reading is not None
    await asyncio.wait([session.reading])
    assert guest.publisher is not None
    guest.publisher.socket.close()  # without a goodbye


async def broadcasts(people: Clarion) -> None:
    """Somebody publishes by WHIP and ends the connection."""
    guest = await people.join(ROOM, sends=("audio",))
    speak(guest)
    await people.leave(guest)


async def watches(people: Clarion) -> None:
    """Somebody listens by WHEP and ends the connection."""
    await people.leave(await people.join(ROOM, sends=(), audio_slots=1))


def alive() -> Counter[str]:
    """How many objects there are of each class of ours; throttles forget only when they are asked next."""
    kinds = (type(each) for each in gc.get_objects())
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}" for kind in kinds
        if str(kind.__module__).startswith(OURS) and kind is not TokenBucket
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def settle(app: Application, before: Counter[str]) -> None:
    """Wait until only the host is here, and nothing of the others, or patience is at its end."""
    await app[BROADCASTS].wait_until_none()
    end = asyncio.get_running_loop().time() + PATIENCE
    while len(app[SESSIONS]) > 1 or app[NODE].statistics().states.total() > 1 or alive() - before:
        if asyncio.get_running_loop().time() > end:
            return
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("visit", [calls, is_lost, broadcasts, watches])
async def test_who_has_left_takes_no_memory_and_no_descriptor(service: TestServer, visit: Visit) -> None:
    assert service.port is not None
    async with aiohttp.ClientSession() as way:
        host = Clarion(os.getpid(), service.port, SECRET, [way], whip=False)
        people = Clarion(os.getpid(), service.port, SECRET, [way], whip=visit in {broadcasts, watches})
        here = await host.join(ROOM, sends=("audio",), audio_slots=2)
        async with asyncio.timeout(PATIENCE):
            while not service.app[NODE].statistics().states["connected"]:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
        gc.collect()
        gc.disable()  # what needs it waits for long in a server, and then all media wait for it
        try:
            before, opened = alive(), []
            for _ in range(ROUNDS):
                await asyncio.gather(*(visit(people) for _ in range(AT_ONCE)))
                await settle(service.app, before)
                assert alive() - before == Counter()
                opened.append(descriptors())
        finally:
            gc.enable()
        assert opened[-1] <= opened[0]
        await host.leave(here)
