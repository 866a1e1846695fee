"""Media over WHIP and WHEP through a real server on loopback, recognised at the far side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import aioice.ice
import pytest
from broadcasting import SDP, SECONDS, Service, StockPeer, ffmpeg, hear, offer, see, serving, track_of

from bench.people import Bars, Tone
from rtc.client import ParticipantJoined, ParticipantLeft, join


@pytest.fixture(autouse=True)
def _aioice_takes_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_ffmpeg_publishes_and_a_participant_hears_and_sees_it(service: Service) -> None:
    async with join(service.url, "stage", name="Ada") as ada:
        stream = ada.events()
        async with ffmpeg(f"{service.url}/whip/stage?name=Encoder", 700, (2, 0, 1)):
            await hear(await track_of(ada, "Encoder", "microphone"), 700)
            await see(await track_of(ada, "Encoder", "camera"), (2, 0, 1))
            assert service.members("stage") == {"Ada": "python", "Encoder": "whip"}
        async with asyncio.timeout(SECONDS):
            seen = [event async for event in until_left(stream)]
        assert [event.participant.name for event in seen if isinstance(event, ParticipantJoined)] == ["Encoder"]
        assert len(service.broadcasts) == 0


async def until_left(stream: AsyncIterator[object]) -> AsyncIterator[object]:
    async for event in stream:
        yield event
        if isinstance(event, ParticipantLeft):
            return


async def test_stock_aiortc_publishes_and_another_watches(service: Service, http: aiohttp.ClientSession) -> None:
    publisher, viewer = StockPeer(http), StockPeer(http)
    await viewer.watch(f"{service.url}/whep/stage")  # a player may come first
    await publisher.publish(f"{service.url}/whip/stage", Tone(500), Bars((1, 2, 0)))
    await hear(viewer.tracks["audio"], 500)
    await see(viewer.tracks["video"], (1, 2, 0))
    assert service.members("stage") == {"Viewer": "whep", "Broadcast": "whip"}
    async with http.get(f"{service.url}/metrics") as response:
        assert 'clarion_participants{kind="whep"} 1.0' in await response.text()
    await viewer.leave()
    await publisher.leave()
    assert len(service.broadcasts) == 0
    assert service.members("stage") == {}


async def test_a_viewer_is_not_seen_and_watches_whom_it_asks_for(
    service: Service, http: aiohttp.ClientSession
) -> None:
    async with join(service.url, "hall", name="Ada") as ada, join(service.url, "hall", name="Grace") as grace:
        viewer = StockPeer(http)
        await viewer.watch(f"{service.url}/whep/hall?participant=Grace")
        await asyncio.gather(ada.publish(Tone(440)), ada.publish(Bars((0, 1, 2))))
        await asyncio.gather(grace.publish(Tone(880)), grace.publish(Bars((2, 1, 0))))
        await hear(viewer.tracks["audio"], 880)
        await see(viewer.tracks["video"], (2, 1, 0))
        assert [other.name for other in ada.participants.values()] == ["Grace"]
        await viewer.leave()


async def test_a_viewer_gets_the_participant_who_comes_back(service: Service, http: aiohttp.ClientSession) -> None:
    async with join(service.url, "hall", name="Ada") as ada:
        await asyncio.gather(ada.publish(Tone(440)), ada.publish(Bars((0, 1, 2))))
        viewer = StockPeer(http)
        await viewer.watch(f"{service.url}/whep/hall?participant=Grace")
        for colours in ((2, 1, 0), (1, 0, 2)):
            async with join(service.url, "hall", name="Grace") as grace:
                await grace.publish(Bars(colours))
                await see(viewer.tracks["video"], colours)
        await viewer.leave()


async def test_a_viewer_without_a_wish_follows_who_speaks(service: Service, http: aiohttp.ClientSession) -> None:
    async with join(service.url, "hall", name="Ada") as ada, join(service.url, "hall", name="Grace") as grace:
        ada_tone = await ada.publish(Tone(440))
        await ada.publish(Bars((0, 1, 2)))
        grace_tone = await grace.publish(Tone(880), muted=True)
        await grace.publish(Bars((2, 1, 0)))
        viewer = StockPeer(http)
        await viewer.watch(f"{service.url}/whep/hall")
        await hear(viewer.tracks["audio"], 440)
        await see(viewer.tracks["video"], (0, 1, 2))
        await ada_tone.mute()
        await grace_tone.unmute()
        await hear(viewer.tracks["audio"], 880)
        await see(viewer.tracks["video"], (2, 1, 0))
        await viewer.leave()


async def test_a_publisher_that_vanishes_leaves_the_room(
    service: Service, http: aiohttp.ClientSession
) -> None:
    """Without DELETE: the DTLS alert of a closing peer connection ends the session."""
    async with join(service.url, "hall", name="Ada") as ada:
        stream = ada.events()
        publisher = StockPeer(http)
        await publisher.publish(f"{service.url}/whip/hall", Tone(500))
        await hear(await track_of(ada, "Broadcast", "microphone"), 500)
        await publisher.pc.close()
        async with asyncio.timeout(SECONDS):
            async for event in stream:
                if isinstance(event, ParticipantLeft):
                    break
        assert len(service.broadcasts) == 0
        async with http.get(publisher.location) as response:
            assert response.status == 404


async def test_a_client_that_never_connects_leaves_the_room(
    service: Service, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.broadcasts.CONNECT_SECONDS", 0.2)
    async with http.post(f"{service.url}/whip/hall", data=offer(), headers=SDP) as response:
        assert response.status == 201
    async with asyncio.timeout(SECONDS):
        await service.broadcasts.wait_until_none()
    assert service.members("hall") == {}


async def test_sessions_end_when_the_server_stops(http: aiohttp.ClientSession) -> None:
    ended = asyncio.Event()
    async with serving() as service:
        viewer = StockPeer(http)
        viewer.pc.on("connectionstatechange", lambda: viewer.pc.connectionState == "closed" and ended.set())
        await viewer.watch(f"{service.url}/whep/hall")
    async with asyncio.timeout(SECONDS):
        await ended.wait()
    assert len(service.broadcasts) == 0
    await viewer.pc.close()
