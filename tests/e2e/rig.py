"""People who can be told apart by tone and colour: pages in Chromium, and a Python client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from playwright.async_api import Browser, Page, async_playwright

from rtc.client import Call

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
]  # fmt: skip
PATIENCE = 20.0  # seconds for anything
RATE = 48000
AUDIBLE = -60.0  # dB, below each of the tones here and above what leaks from one to the other
OFF_COLOUR = 45  # of 255


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    hertz: int
    colour: tuple[int, int, int]


ADA = Person("Ada", 700, (200, 40, 40))
BO = Person("Bo", 1300, (40, 60, 200))
CLEO = Person("Cleo", 2100, (30, 160, 60))
EVERYONE = (ADA, BO, CLEO)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def enter(browser: Browser, url: str, room: str, person: Person) -> Page:
    """A page that has entered the room as that person."""
    context = await browser.new_context(base_url=url, locale="en", viewport={"width": 640, "height": 480})
    context.set_default_timeout(PATIENCE * 1000)
    page = await context.new_page()
    colour = ",".join(map(str, person.colour))
    await page.add_init_script(f"window.person = {{hertz: {person.hertz}, colour: '{colour}'}}")
    await page.add_init_script(path=HERE / "devices.js")
    await page.add_init_script(path=HERE / "senses.js")
    await page.goto(f"/r/{room}")
    await page.fill("#name", person.name)
    await page.click("form.card button[type=submit]")
    await page.wait_for_selector(".call")
    return page


async def until(page: Page, condition: str) -> None:
    """Wait for a condition in the page (its own wait_for_function needs eval: our policy forbids it)."""
    await page.evaluate(f"""() => new Promise((resolve, reject) => {{
        const end = performance.now() + {PATIENCE * 1000};
        const look = () => {{
            if ({condition}) resolve();
            else if (performance.now() > end) reject(new Error("this never came true"));
            else setTimeout(look, 20);
        }};
        look();
    }})""")


async def heard_by_page(page: Page, expected: set[Person]) -> dict[str, float]:
    """Decibels of everyone's tone, once exactly those expected are heard or patience is at its end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while True:
        levels = await page.evaluate("hertz => senses.tones(hertz)", [one.hertz for one in EVERYONE])
        heard = {one for one, level in zip(EVERYONE, levels, strict=True) if level > AUDIBLE}
        if heard == expected or loop.time() > end:
            return {one.name: round(level) for one, level in zip(EVERYONE, levels, strict=True) if level > AUDIBLE}


async def seen_by_page(page: Page, person: Person) -> dict[str, Any]:
    """Colour and movement in the tile of that person, once it shows a picture."""
    await until(page, f"clarion.participants.some((one) => one.name === '{person.name}')")
    find = "name => clarion.participants.find((one) => one.name === name).id"
    participant = await page.evaluate(find, person.name)
    await page.wait_for_selector(f'[data-tile="{participant}"].has-video')
    seen: dict[str, Any] = await page.evaluate("id => senses.picture(id)", participant)
    return seen


def same_colour(seen: Any, person: Person) -> bool:
    return all(abs(a - b) < OFF_COLOUR for a, b in zip(seen, person.colour, strict=True))


class Tone(MediaStreamTrack):
    """The tone of a person, in real time."""

    kind = "audio"

    def __init__(self, hertz: float) -> None:
        super().__init__()
        self._hertz = hertz
        self._samples = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        self._start = now if self._start is None else self._start
        await asyncio.sleep(self._start + self._samples / RATE - now)
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


async def publish(call: Call, person: Person) -> None:
    await call.publish(Tone(person.hertz))
    await call.publish(Picture(person.colour))


async def track_of(call: Call, name: str, source: str) -> MediaStreamTrack:
    """What somebody publishes, once the server sends it."""
    events = call.events()
    async with asyncio.timeout(PATIENCE):
        while True:
            for participant in call.participants.values():
                for publication in participant.publications.values():
                    if (participant.name, publication.source) == (name, source):
                        return await call.track(publication)
            await anext(events)


async def heard_by_call(call: Call, person: Person) -> float:
    """Hz of the loudest tone of somebody's microphone, once there is one that is theirs or patience is at its end."""
    track = await track_of(call, person.name, "microphone")
    hertz = 0.0
    for _ in range(int(PATIENCE / 0.2)):
        frames = [(await track.recv()).to_ndarray().reshape(-1, 2)[:, 0] for _ in range(10)]  # type: ignore[union-attr]  # audio
        wave = np.concatenate(frames).astype(float)
        if np.abs(wave).max() > 300:
            spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
            hertz = float(np.argmax(spectrum) * RATE / len(wave))
            if abs(hertz - person.hertz) < 15:
                break
    return hertz


async def seen_by_call(call: Call, person: Person) -> tuple[list[int], bool]:
    """Colour of somebody's camera, and whether its square moves."""
    track = await track_of(call, person.name, "camera")
    pictures = []
    for _ in range(6):
        async with asyncio.timeout(PATIENCE):
            frame = await track.recv()
        pictures.append(frame.to_ndarray(format="rgb24").astype(int))  # type: ignore[union-attr]  # video
    last = pictures[-1]
    height, width = last.shape[:2]
    middle = last[height * 2 // 5, width // 2]
    lower = slice(height * 11 // 12, None)
    return [int(part) for part in middle], bool(np.abs(last[lower] - pictures[0][lower]).max() > 100)
