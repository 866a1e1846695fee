"""How far sound and picture are apart at a viewer in Chromium: after loss, changes of encoding and of source.

    python -m bench.video.lipsync [--json]

The camera flashes when the microphone beeps; the viewer notes when the one is on its display and the other leaves its
loudspeaker, as far as the browser knows, and how long each was under way. What the devices add beyond that is not
included. The first row is no call of ours: Chromium's own lip-sync, from a page to itself without a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, nan
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from playwright.async_api import Browser
from rich.table import Table

from bench.people import chromium
from bench.video.calls import CONNECT_MS, PLAIN_URL, VISIBLE, Call, through_clarion
from bench.video.verdict import conclude
from rtc.netem import LinkProfile

SCRIPT = Path(__file__).with_name("lipsync.js")

RTT = 0.04  # seconds, of each hop
SETTLE, LASTS = 8.0, 20.0  # seconds
SAME_MS = 500.0  # what is seen this long before or after a beep does not belong to it: there is one each second
BAR_MS = 45.0
REFERENCE = "one MediaStream by Chromium alone"
SMALL, LARGE = {"width": 320, "height": 240}, {"width": 1000, "height": 700}


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one kind of trouble, ms; the picture ahead is positive."""

    name: str
    samples: int
    p50: float
    p95: float
    """Of what they are apart, whoever is ahead."""
    most: float
    sound_ms: float
    """From the beep until it is heard, p50."""
    picture_ms: float
    """From the drawing of a flash until it is seen, p50."""
    met: bool
    """True also of what is held against nothing."""


def row(
    name: str, begun: Sequence[float], heard: Sequence[float], seen: Sequence[float], *, bar: float = BAR_MS
) -> Row:
    """Sum up when (ms) flashes and beeps began, were heard and seen."""
    apart = []
    for at in heard:
        nearest = min(seen, key=lambda moment: abs(at - moment), default=inf)
        if abs(at - nearest) < SAME_MS:
            apart.append(at - nearest)
    if not apart:
        return Row(name, 0, nan, nan, nan, nan, nan, met=False)
    sizes = sorted(map(abs, apart))
    p95 = sizes[ceil(0.95 * len(sizes)) - 1]
    return Row(
        name, len(apart), median(apart), p95, sizes[-1], _under_way(begun, heard), _under_way(begun, seen),
        met=p95 <= bar,
    )


def _under_way(begun: Sequence[float], arrived: Sequence[float]) -> float:
    """Median of the ms from the last beginning before each arrival."""
    return median(at - max(before) for at in arrived if (before := [moment for moment in begun if moment <= at]))


async def resized(call: Call) -> None:
    """The picture is shown small, and large again: another encoding each time."""
    for size in (SMALL, LARGE):
        await call.viewer.set_viewport_size(size)  # type: ignore[arg-type]  # playwright wants its own TypedDict
        await asyncio.sleep(SETTLE / 2)


async def renewed(call: Call) -> None:
    """The camera goes off and on."""
    for _ in range(2):
        await call.sender.keyboard.press("v")
        await asyncio.sleep(SETTLE / 2)


async def replaced(call: Call) -> None:
    """Somebody else comes in the place of who is seen: the slots carry another source each."""
    await call.sender.reload()
    await call.sender.fill("#name", "Ben")
    await call.sender.click("form.card button[type=submit]")
    await call.sender.wait_for_selector(".call")
    await call.viewer.evaluate(VISIBLE, CONNECT_MS)
    await call.sender.keyboard.press("m")
    await asyncio.sleep(SETTLE)


async def nothing(call: Call) -> None:
    """Time passes."""
    await asyncio.sleep(SETTLE)


ROWS: tuple[tuple[str, float, Callable[[Call], Awaitable[None]]], ...] = (
    ("clean", 0.0, nothing),
    ("after changes of encoding", 0.0, resized),
    ("after the camera was off", 0.0, renewed),
    ("after another came instead", 0.0, replaced),
    ("10 % loss", 0.1, nothing),
    ("30 % loss", 0.3, nothing),
    ("30 % loss after changes of encoding", 0.3, resized),
    ("clean again", 0.0, nothing),
)


async def reference(browser: Browser) -> Row:
    """What Chromium makes of sound and picture of one MediaStream by itself."""
    page = await browser.new_page()
    await page.add_init_script(path=SCRIPT)
    await page.route("**/*", lambda route: route.fulfill(body="<title>plain</title>", content_type="text/html"))
    await page.goto(PLAIN_URL)
    heard, seen = await page.evaluate("([settle, seconds]) => reference(settle, seconds)", [SETTLE, LASTS])
    found = row(REFERENCE, await page.evaluate("flashes"), heard, seen, bar=inf)
    await page.close()
    return found


async def run(seed: int, names: Sequence[str]) -> list[Row]:
    """All of it, in one call."""
    rows = []
    async with chromium() as browser:
        if REFERENCE in names:
            rows.append(await reference(browser))
    async with chromium() as browser, through_clarion(browser, RTT, seed, SCRIPT) as call:
        await call.sender.keyboard.press("m")
        await call.viewer.set_viewport_size(LARGE)  # type: ignore[arg-type]  # as above
        await asyncio.sleep(SETTLE)
        for name, loss, happens in (one for one in ROWS if one[0] in names):
            call.set_network(LinkProfile(loss=loss, delay=RTT / 2))
            await happens(call)
            heard, seen = await call.viewer.evaluate("lipsync", LASTS)
            rows.append(row(name, await call.sender.evaluate("flashes"), heard, seen))
    return rows


def main(
    *,
    rows: Annotated[str, typer.Option(help="Names of some, with commas between them; all unless said.")] = "",
    seed: Annotated[int, typer.Option(help="Of the network.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """Print a table; exit with 1 where sound and picture are further apart than 45 ms."""
    known = [REFERENCE, *(name for name, *_ in ROWS)]
    chosen = [name.strip() for name in rows.split(",")] if rows else known
    if unknown := set(chosen) - set(known):
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unknown))}")
    found = asyncio.run(run(seed, chosen))
    table = Table(
        "what", "samples", "picture ahead p50, ms", "apart p95, ms", "most, ms", "", "sound, ms", "picture, ms",
        title="Lip-sync",
    )
    for one in found:
        verdict = "" if one.name == REFERENCE else "pass" if one.met else "MISS"
        figures = [f"{ms:.0f}" for ms in (one.p50, one.p95, one.most, one.sound_ms, one.picture_ms)]
        table.add_row(one.name, str(one.samples), *figures[:3], verdict, *figures[3:])
    conclude(table, "lipsync", found, seed=seed, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
