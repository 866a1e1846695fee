"""How long joining takes: from the click, or the call of join(), to the first sound and the first picture decoded.

    python -m bench.join [--runs 10] [--json]

Somebody is in the room already and speaks. All three, speaker, newcomer and server, are on this machine; relays make
the round trip of every client to the server, HTTP and WebSocket included.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from playwright.async_api import Browser
from rich.console import Console
from rich.table import Table

from bench.people import PATIENCE, Person, chromium, enter, open_page, publish
from bench.service import Service, service
from rtc.client import Call, RemoteTrack, join

ROOM = "bench"
SPEAKER = Person("Speaker", 700, (200, 40, 40))
NEWCOMER = Person("Newcomer", 1300, (40, 60, 200))
RTTS = (0.0, 0.1)  # seconds
PAUSE = 1.2  # Seconds between joins: a source is asked for one key frame a second, whoever comes.
AUDIBLE = 300  # of 32768
JOIN_CLOCK = Path(__file__).with_name("join_clock.js")
STEPS = ("offering", "answered", "connected", "audio", "video")

Times = dict[str, float]
"""Milliseconds from the click or call to each step."""


async def join_with_page(browser: Browser, running: Service) -> Times:
    """Join with a fresh page."""
    page = await open_page(browser, running.url, ROOM, NEWCOMER, JOIN_CLOCK)
    try:
        await page.wait_for_selector("video")
        await enter(page)
        async with asyncio.timeout(PATIENCE):
            at: Times = await page.evaluate("finished")
    finally:
        await page.context.close()
    return {step: at[step] - at["click"] for step in STEPS}


async def join_with_client(running: Service) -> Times:
    """Join with a Python program that reads the first tracks."""
    began = time.monotonic()
    times: Times = {}

    def mark(step: str) -> None:
        times[step] = (time.monotonic() - began) * 1000

    async def until_heard(call: Call) -> None:
        track = await first(call, "microphone")
        while np.abs((await track.recv()).to_ndarray()).max() < AUDIBLE:  # type: ignore[union-attr]  # audio
            pass
        mark("audio")

    async def until_seen(call: Call) -> None:
        await (await first(call, "camera")).recv()
        mark("video")

    async with asyncio.timeout(PATIENCE), join(running.url, ROOM, name=NEWCOMER.name) as call:
        mark("connected")
        await asyncio.gather(until_heard(call), until_seen(call))
    return times


async def first(call: Call, source: str) -> RemoteTrack:
    """What the speaker, who was there before, publishes."""
    for participant in call.participants.values():
        for publication in participant.publications.values():
            if publication.source == source:
                return await call.track(publication)
    raise LookupError(f"nobody publishes a {source}")


async def measure(runs: int) -> list[dict[str, object]]:
    """Rows of results."""
    rows: list[dict[str, object]] = []
    async with service() as running, chromium() as browser:
        clients: dict[str, Callable[[], Awaitable[Times]]] = {
            "Chromium": lambda: join_with_page(browser, running),
            "Python": lambda: join_with_client(running),
        }
        for rtt in RTTS:
            running.set_rtt(rtt)
            async with join(running.url, ROOM, name=SPEAKER.name) as speaker:
                await publish(speaker, SPEAKER)
                for client, once in clients.items():
                    await once()  # the first finds cold caches
                    all_times = []
                    for _ in range(runs):
                        await asyncio.sleep(PAUSE)
                        all_times.append(await once())
                    rows.append({"client": client, "rtt_ms": rtt * 1000, "runs": runs, "ms": {
                        step: {"median": round(statistics.median(values)), "p90": round(p90(values))}
                        for step in STEPS
                        if (values := [times[step] for times in all_times if step in times])
                    }})  # fmt: skip
    return rows


def p90(values: list[float]) -> float:
    """The value that nine in ten do not exceed."""
    return float(np.quantile(values, 0.9, method="higher"))


def table(rows: list[dict[str, object]]) -> Table:
    """For people: median / p90 in ms."""
    shown = Table("client", "round trip", *STEPS, title="From the click to … (ms, median / 90 %)")
    for row in rows:
        ms = row["ms"]
        assert isinstance(ms, dict)
        cells = [f"{ms[step]['median']} / {ms[step]['p90']}" if step in ms else "" for step in STEPS]
        shown.add_row(str(row["client"]), f"{row['rtt_ms']:.0f} ms", *cells)
    return shown


def main(
    *,
    runs: Annotated[int, typer.Option(min=1, help="Joins of each kind.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Measure how long joining takes, in Chromium and in Python, near and far from the server."""
    rows = asyncio.run(measure(runs))
    Console().print(table(rows))
    if as_json:
        typer.echo(json.dumps({"bench": "join", "rows": rows}))


if __name__ == "__main__":
    typer.run(main)
