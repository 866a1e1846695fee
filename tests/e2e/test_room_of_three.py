"""Two pages and a Python client in one room of a real service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from rig import (
    ADA,
    BO,
    CLEO,
    enter,
    heard_by_call,
    heard_by_page,
    same_colour,
    seen_by_call,
    seen_by_page,
    track_of,
    until,
)

from bench.people import PATIENCE, chromium, publish
from bench.service import Service, service
from rtc.client import Call, ParticipantLeft, join

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = "three"
MUTE_SECONDS = 0.2
NAME_SECONDS = 0.3
TRIES = 12  # A busy machine only ever adds: one try within the bound shows what the system itself takes.
USUAL_BUFFER = 0.06  # Seconds in a jitter buffer; a busy machine makes it hold more, which is not counted.
SILENT = 0.01  # RMS, 30 dB below the tones


@dataclass(slots=True)
class Three:
    service: Service
    browser: Browser
    ada: Page
    bo: Page
    cleo: Call


@asynccontextmanager
async def muted(page: Page) -> AsyncIterator[float]:
    """Mute with the key; the Unix time at which the page got it. Unmutes at the end."""
    await page.evaluate("""() => addEventListener(
        "keydown", () => { window.pressed = senses.now(); }, {capture: true, once: true})""")
    await page.keyboard.press("m")
    yield await page.evaluate("pressed")
    await page.keyboard.press("m")


async def buffered(page: Page) -> float:
    """Seconds that sound spends in the page's jitter buffers, measured over a moment."""
    totals, names = [], ("jitterBufferDelay", "jitterBufferEmittedCount")
    for wait in (0.3, 0.0):
        stats = await page.evaluate("clarion.stats()")
        audio = [one for one in stats if one["type"] == "inbound-rtp" and one["kind"] == "audio"]
        totals.append([sum(one.get(name, 0) for one in audio) for name in names])
        await asyncio.sleep(wait)
    return float((totals[1][0] - totals[0][0]) / max(1, totals[1][1] - totals[0][1]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three() -> AsyncIterator[Three]:
    async with service() as running, chromium() as browser:
        ada, bo = [await enter(browser, running.url, ROOM, one) for one in (ADA, BO)]
        async with join(running.url, ROOM, name=CLEO.name) as cleo:
            await publish(cleo, CLEO)
            yield Three(running, browser, ada, bo, cleo)


async def test_everyone_hears_and_sees_everyone_else(three: Three) -> None:
    people = {ADA: three.ada, BO: three.bo}
    for person, page in people.items():
        others = {ADA, BO, CLEO} - {person}
        heard = await heard_by_page(page, others)
        assert set(heard) == {one.name for one in others}, f"{person.name} hears {heard}"
        for one in others:
            seen = await seen_by_page(page, one)
            assert same_colour(seen["colour"], one), f"{person.name} sees {one.name} as {seen}"
            assert seen["moves"], f"{person.name} sees {one.name} stand still"
    for one in (ADA, BO):
        assert await heard_by_call(three.cleo, one) == pytest.approx(one.hertz, abs=15)
        colour, moves = await seen_by_call(three.cleo, one)
        assert same_colour(colour, one)
        assert moves


async def test_a_name_appears_as_soon_as_a_person_joins(three: Three) -> None:
    took = []
    for number in range(TRIES):
        name = f"Newcomer {number}"
        appears = asyncio.create_task(three.ada.evaluate("name => senses.appears(name)", name))
        await three.ada.evaluate("0")  # the page watches by now
        began = time.time()
        async with join(three.service.url, ROOM, name=name):
            took.append(await asyncio.wait_for(appears, PATIENCE) - began)
        if took[-1] < NAME_SECONDS:
            break
    assert min(took) < NAME_SECONDS, took


async def test_mute_is_heard_within_200_ms_by_a_page(three: Three) -> None:
    """From the key to silence in what the other page plays, its jitter buffer included."""
    await three.cleo.publications["microphone"].mute()
    took = []
    try:
        for _ in range(TRIES):
            await heard_by_page(three.ada, {BO})
            await three.ada.evaluate("senses.record()")
            await until(three.ada, f"recording.levels.some(([, level]) => level > {SILENT})")
            excess = max(0.0, await buffered(three.ada) - USUAL_BUFFER)
            async with muted(three.bo) as pressed:
                await asyncio.sleep(0.6)
            levels = await three.ada.evaluate("recording.stop()")
            took.append(max(at for at, level in levels if level > SILENT and at < pressed + 0.6) - pressed - excess)
            if took[-1] < MUTE_SECONDS:
                break
    finally:
        await three.cleo.publications["microphone"].unmute()
    assert min(took) < MUTE_SECONDS, took


async def test_mute_is_heard_within_200_ms_by_a_python_client(three: Three) -> None:
    track = await track_of(three.cleo, BO.name, "microphone")
    took = []
    for _ in range(TRIES):
        assert await heard_by_call(three.cleo, BO) == pytest.approx(BO.hertz, abs=15)
        targets = [slot.target_seconds for slot in three.cleo.statistics().audio.values() if slot.packets]
        excess = max(0.0, max(targets) - USUAL_BUFFER)
        async with muted(three.bo) as pressed:
            last_loud = pressed
            while (now := time.time()) < pressed + 0.6:
                wave = (await track.recv()).to_ndarray()  # type: ignore[union-attr]  # audio
                if np.abs(wave).max() > SILENT * 32768:
                    last_loud = now
        took.append(last_loud - pressed - excess)
        if took[-1] < MUTE_SECONDS:
            break
    assert min(took) < MUTE_SECONDS, took


async def test_a_screen_is_seen_by_pages_and_by_a_client_that_cannot_decode_what_they_prefer(three: Three) -> None:
    """Pages share it as AV1, which suits text; the Python client has VP8 and H.264."""
    await three.ada.evaluate("""navigator.mediaDevices.getDisplayMedia = async () => {
        const canvas = document.createElement("canvas");
        let frame = 0;
        setInterval(() => canvas.getContext("2d").fillRect(frame++ % 200, 0, 9, 9), 66);
        return canvas.captureStream(15);
    }""")
    await three.ada.keyboard.press("s")
    track = await track_of(three.cleo, ADA.name, "screen")
    async with asyncio.timeout(PATIENCE):
        assert (await track.recv()).width == 300  # type: ignore[union-attr]  # video
    ada = await three.ada.evaluate("clarion.self")
    await three.bo.wait_for_selector(f'[data-tile="{ada}/screen"].has-video')
    await three.ada.keyboard.press("s")


async def test_who_leaves_is_gone_for_everyone(three: Three) -> None:
    events = three.cleo.events()
    async with join(three.service.url, ROOM, name="Dora") as dora:
        await until(three.ada, "clarion.participants.some((one) => one.name === 'Dora')")
        assert {one.name for one in dora.participants.values()} == {ADA.name, BO.name, CLEO.name}
    await until(three.ada, "!clarion.participants.some((one) => one.name === 'Dora')")
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if isinstance(event, ParticipantLeft) and event.participant.name == "Dora":
                break
    assert {one.name for one in three.cleo.participants.values()} == {ADA.name, BO.name}
