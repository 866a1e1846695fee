"""What real Chromium pages see over links that become narrow and wide again, and how late on a clean one.

    python -m bench.video.links [--json]

A film from page to page through `clarion serve`, as in `python -m bench.video`; one link at a time is bad.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from playwright.async_api import Browser
from rich.table import Table

from bench.video.calls import Call, chromium, through_clarion
from bench.video.film import write
from bench.video.measure import gaps_between
from bench.video.verdict import conclude
from rtc.netem import LinkProfile

STAMP = Path(__file__).with_name("stamp.js")
WIDE, NARROW = 2_000_000, 300_000  # bit/s
QUEUE = 0.2  # seconds
RTT, NEAR_RTT = 0.04, 0.02  # seconds, of each hop
SETTLE, LASTS = 12.0, 15.0  # seconds: until the link narrows; of each part after it
FULL = 0.8  # share of the rate before that counts as full
BACK_SECONDS = 6.0
DELAY_SECONDS = 15.0
MOST_DELAYS_MS = 5000  # what is read of a torn picture is no time


@dataclass(frozen=True, slots=True)
class Result:
    """One bar."""

    link: str
    figure: str
    value: float
    bar: str
    met: bool


def link(bitrate: float | None) -> LinkProfile:
    """One direction of a hop."""
    return LinkProfile(bandwidth=bitrate, queue=QUEUE, delay=RTT / 2)


async def narrows(browser: Browser, direction: str, seed: int) -> list[Result]:
    """The way up or down narrows, and widens again."""
    async with through_clarion(browser, RTT, seed) as call:
        set_link(call, direction, WIDE)
        await asyncio.sleep(SETTLE)
        before = await rate(call, 3.0)
        begin, _ = await call.viewer.evaluate("() => watch.since(Infinity)")
        set_link(call, direction, NARROW)
        await asyncio.sleep(LASTS)
        end, shown = await call.viewer.evaluate("begin => watch.since(begin)", begin)
        used = await rate(call, 3.0) if direction == "up" else 0.0
        set_link(call, direction, WIDE)
        back = 0.0
        while back < LASTS and await rate(call, 1.0) < FULL * before:
            back += 1.0
    longest = max(gaps_between(shown, begin, end)) / 1000
    name = f"{direction}: 2 Mbit/s, 300 kbit/s, 2 Mbit/s"
    results = [
        Result(name, "longest gap while narrow, s", longest, "<= 1", longest <= 1),
        Result(name, "full rate after, s", back, f"<= {BACK_SECONDS:.0f}", back <= BACK_SECONDS),
    ]
    if used:
        results.append(Result(name, "kbit/s of 300 used at its end", used / 1000, ">= 200", used >= 200_000))
    return results


def set_link(call: Call, direction: str, bitrate: float) -> None:
    """Bound the publisher's way up, or the viewer's way down."""
    call.set_ways(*((link(bitrate), link(None)) if direction == "up" else (link(None), link(bitrate))))


async def rate(call: Call, seconds: float) -> float:
    """bit/s of video that the viewer gets."""
    before = (await call.seen())["bytesReceived"]
    await asyncio.sleep(seconds)
    return float(8 * ((await call.seen())["bytesReceived"] - before) / seconds)


async def glass_to_glass(browser: Browser, seed: int) -> list[Result]:
    """From when a picture is drawn until it is shown, on a clean line."""
    async with through_clarion(browser, NEAR_RTT, seed, STAMP) as call:
        await asyncio.sleep(SETTLE)
        delays = await call.viewer.evaluate(
            "seconds => delays(document.querySelector('.tile:not(.self) video'), seconds)", DELAY_SECONDS
        )
    usual = [delay for delay in delays if delay < MOST_DELAYS_MS]
    p50 = statistics.median(usual)
    p95 = sorted(usual)[int(0.95 * len(usual))]
    return [
        Result("clean, RTT 20 ms a hop", "glass to glass p50, ms", p50, "<= 90", p50 <= 90),
        Result("clean, RTT 20 ms a hop", "glass to glass p95, ms", p95, "", True),
    ]


async def run(seed: int) -> list[Result]:
    """All of it."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.y4m"
        write(film)
        async with chromium(film) as browser:
            results += await glass_to_glass(browser, seed)
        for direction in ("up", "down"):
            async with chromium(film) as browser:
                results += await narrows(browser, direction, seed)
    return results


def main(
    *,
    seed: Annotated[int, typer.Option(help="Of the network.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """Print what became of each bar; exit with 1 when one is missed."""
    results = asyncio.run(run(seed))
    table = Table("link", "figure", "value", "bar", "", title="Real links, Chromium to Chromium")
    for one in results:
        table.add_row(one.link, one.figure, f"{one.value:.3g}", one.bar, "pass" if one.met else "MISS")
    conclude(table, "links", results, seed=seed, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
