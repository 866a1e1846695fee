"""What the people of a test hear and see: pages in Chromium, and a Python client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from aiortc.mediastreams import MediaStreamTrack
from playwright.async_api import Browser, Page

from bench import people
from bench.people import PATIENCE, RATE, Person
from rtc.client import Call

SENSES = Path(__file__).with_name("senses.js")
AUDIBLE = -60.0  # dB, below each of the tones here and above what leaks from one to the other
OFF_COLOUR = 45  # of 255


ADA = Person("Ada", 700, (200, 40, 40))
BO = Person("Bo", 1300, (40, 60, 200))
CLEO = Person("Cleo", 2100, (30, 160, 60))
EVERYONE = (ADA, BO, CLEO)


async def enter(browser: Browser, url: str, room: str, person: Person) -> Page:
    """A page that has entered the room as that person, and can be asked what it hears and sees."""
    page = await people.open_page(browser, url, room, person, SENSES)
    await people.enter(page)
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
