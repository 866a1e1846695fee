"""Simulcast: the picture has the size that it is shown at, and a change of size shows no freeze."""

from __future__ import annotations

import asyncio
import math
import uuid
from pathlib import Path

from playwright.async_api import Browser, Page
from rig import ADA, BO, CLEO, until

from bench import people
from bench.people import Person, chromium
from bench.service import service
from bench.video.stock import Film
from rtc.client import join

CAMERA = Path(__file__).with_name("camera.js")
LARGE = {"width": 900, "height": 640}
SMALL = {"width": 360, "height": 300}
LONGEST_GAP = 0.3  # seconds between two pictures
TRIES = 4  # A busy machine only ever adds: one change within the bound shows what the system itself takes.

WATCH = """([identity, seconds]) => new Promise((resolve) => {
    const video = document.querySelector(`[data-tile="${identity}"] video`);
    const times = [];
    const seen = (now) => {
        times.push(now / 1000);
        if (times.at(-1) - times[0] < seconds) video.requestVideoFrameCallback(seen);
        else resolve(Math.max(...times.slice(1).map((time, place) => time - times[place])));
    };
    video.requestVideoFrameCallback(seen);
})"""
"""The longest gap between two pictures within so many seconds."""

SENT = """connection.getSenders().map((sender) => sender.getParameters().encodings)
    .find((encodings) => encodings.length === 3).filter((one) => one.active).map((one) => one.rid).join("")"""
"""RIDs of the encodings of the camera that are sent."""


def height_of(identity: str) -> str:
    """Lines of the picture in somebody's tile, in JavaScript."""
    return f"(document.querySelector('[data-tile=\"{identity}\"] video')?.videoHeight ?? 0)"


async def enter(browser: Browser, url: str, room: str, person: Person) -> Page:
    page = await people.open_page(browser, url, room, person, CAMERA)
    await page.set_viewport_size(LARGE)  # type: ignore[arg-type]  # playwright wants its own TypedDict
    await people.enter(page)
    return page


async def test_a_picture_follows_its_size_without_a_freeze() -> None:
    async with service() as running, chromium() as browser:
        room = f"simulcast-{uuid.uuid4().hex[:8]}"
        ada = await enter(browser, running.url, room, ADA)
        bo = await enter(browser, running.url, room, BO)
        await until(bo, "clarion.participants.some((one) => one.name === 'Ada')")
        identity = await bo.evaluate("clarion.participants.find((one) => one.name === 'Ada').id")
        height = height_of(identity)
        await until(bo, f"{height} === 480")
        steady: float = await bo.evaluate(WATCH, [identity, 3])
        bound = max(LONGEST_GAP, 2 * steady)  # what a busy machine adds to every gap counts in none of them
        longest = {"q": math.inf, "h": math.inf}
        for _ in range(TRIES):
            for viewport, rid, lines in ((SMALL, "q", 240), (LARGE, "h", 480)):
                await until(ada, f"!({SENT}).includes('{rid}')")  # nobody can use it now: it has to be asked for
                watching = asyncio.create_task(bo.evaluate(WATCH, [identity, 4]))
                await bo.set_viewport_size(viewport)  # type: ignore[arg-type]  # as above
                longest[rid] = min(longest[rid], await watching)
                await until(bo, f"{height} === {lines}")
            if max(longest.values()) <= bound:
                break
        assert max(longest.values()) <= bound, (steady, longest)


async def test_a_page_gets_the_camera_of_a_program_in_the_size_that_it_shows() -> None:
    async with service() as running, chromium() as browser:
        room = f"simulcast-{uuid.uuid4().hex[:8]}"
        async with join(running.url, room, name=CLEO.name) as cleo:
            await cleo.publish(Film(grain=False))
            bo = await enter(browser, running.url, room, BO)
            for viewport, lines in ((LARGE, 480), (SMALL, 240), (LARGE, 480)):
                await bo.set_viewport_size(viewport)  # type: ignore[arg-type]  # as above
                await until(bo, f"{height_of(cleo.id)} === {lines}")
