"""People to make calls with, told apart by tone and colour: pages in Chromium, and tracks for a Python client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from playwright.async_api import Browser, Page, async_playwright

from bench.chromium import ASK_NOBODY, AUTOPLAY, CHROMIUM, FLAGS
from rtc.client import Call

DEVICES = Path(__file__).with_name("devices.js")
PATIENCE = 20.0  # seconds for anything
RATE = 48000


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is: a name, the tone of the voice and the colour of the picture (RGB)."""

    name: str
    hertz: int
    colour: tuple[int, int, int]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser, closed at the end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, ASK_NOBODY, AUTOPLAY])
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(browser: Browser, url: str, room: str, person: Person, *scripts: Path) -> Page:
    """A page of that person before the door of the room, with further scripts that run first."""
    context = await browser.new_context(base_url=url, locale="en", viewport={"width": 640, "height": 480})
    context.set_default_timeout(PATIENCE * 1000)
    page = await context.new_page()
    colour = ",".join(map(str, person.colour))
    await page.add_init_script(f"window.person = {{hertz: {person.hertz}, colour: '{colour}'}}")
    for script in (DEVICES, *scripts):
        await page.add_init_script(path=script)
    await page.goto(f"/r/{room}")
    await page.fill("#name", person.name)
    return page


async def enter(page: Page) -> None:
    """Go in."""
    await page.click("form.card button[type=submit]")
    await page.wait_for_selector(".call")


class Tone(MediaStreamTrack):
    """The tone of a person, in real time."""

    kind = "audio"

    def __init__(self, hertz: float) -> None:
        super().__init__()
        self._hertz = hertz
        self._samples = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms. Raises MediaStreamError after stop()."""
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        await asyncio.sleep(self._start + self._samples / RATE - now)  # the pace of a sound card
        wave = np.sin(2 * np.pi * self._hertz * (np.arange(960) + self._samples) / RATE) * 9000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, Fraction(1, RATE)
        self._samples += 960
        return frame


class Picture(MediaStreamTrack):
    """The colour of a person with the moving square, 15 pictures a second."""

    kind = "video"

    def __init__(self, colour: tuple[int, int, int]) -> None:
        super().__init__()
        self._colour = colour
        self._count = 0

    async def recv(self) -> av.VideoFrame:
        """The next picture. Raises MediaStreamError after stop()."""
        await asyncio.sleep(1 / 15)
        if self.readyState != "live":
            raise MediaStreamError
        picture = np.empty((240, 320, 3), np.uint8)
        picture[:] = self._colour
        x = self._count * 8 % 280
        picture[200:, x : x + 40] = 255
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._count * 6000, Fraction(1, 90000)
        self._count += 1
        return frame


class Bars(MediaStreamTrack):
    """Three upright bars, each red, green or blue (0, 1, 2), and a moving square, 15 pictures a second."""

    kind = "video"

    def __init__(self, colours: tuple[int, int, int]) -> None:
        super().__init__()
        self._bars = np.zeros((240, 336, 3), np.uint8)
        for index, colour in enumerate(colours):
            self._bars[:, index * 112 : index * 112 + 112, colour] = 220
        self._count = 0

    async def recv(self) -> av.VideoFrame:
        """The next picture. Raises MediaStreamError after stop()."""
        await asyncio.sleep(1 / 15)
        if self.readyState != "live":
            raise MediaStreamError
        picture = self._bars.copy()
        x = self._count * 7 % 300
        picture[200:220, x : x + 20] = 255
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._count * 6000, Fraction(1, 90000)
        self._count += 1
        return frame


async def publish(call: Call, person: Person) -> None:
    """Send the tone and the picture of a person."""
    await call.publish(Tone(person.hertz))
    await call.publish(Picture(person.colour))
