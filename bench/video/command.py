"""The command line: which rows, how long, a table or JSON."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from playwright.async_api import Browser
from rich.console import Console
from rich.table import Table

from bench.video.calls import Scheme, chromium, passed_on, through_clarion
from bench.video.film import write
from bench.video.measure import Figures, measure
from bench.video.rows import ROWS, Row, named
from bench.video.strip import take
from bench.video.strip import write as write_strip

SETTLE_SECONDS = 5.0
"""From the first picture to the first loss: the rate rises meanwhile."""

SCHEMES: dict[str, Scheme] = {"plain forwarding": passed_on, "Clarion": through_clarion}
CLARION = "Clarion"

Results = dict[str, dict[str, Figures]]
"""By scheme, then by key of the row."""


async def watch(
    browser: Browser, scheme: Scheme, row: Row, *, rtt: float, seed: int, warm_up: float, seconds: float
) -> Figures:
    """Hold one call and measure it."""
    async with scheme(browser, rtt, seed) as call:
        await asyncio.sleep(SETTLE_SECONDS)
        call.set_network(row.profile(rtt))
        await asyncio.sleep(warm_up)
        return await measure(call, seconds)


async def film_strip(row: Row, path: Path, *, rtt: float, seed: int, warm_up: float) -> None:
    """Write pictures of what viewers see with every scheme."""
    strips = {}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.y4m"
        write(film)
        async with chromium(film) as browser:
            for name, scheme in SCHEMES.items():
                async with scheme(browser, rtt, seed) as call:
                    await asyncio.sleep(SETTLE_SECONDS)
                    call.set_network(row.profile(rtt))
                    await asyncio.sleep(warm_up)
                    strips[f"{name}, {row.name} lost on each hop"] = await take(call.viewer)
            await write_strip(browser, strips, path)


async def run(
    rows: tuple[Row, ...], schemes: dict[str, Scheme], console: Console,
    *, rtt: float, seed: int, warm_up: float, seconds: float,
) -> Results:
    """Measure every row with every scheme, and say each as it comes."""
    results: Results = {name: {} for name in schemes}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.y4m"
        write(film)
        for row in rows:
            for name, scheme in schemes.items():
                async with chromium(film) as browser:
                    found = await watch(browser, scheme, row, rtt=rtt, seed=seed, warm_up=warm_up, seconds=seconds)
                results[name][row.key] = found
                console.print(f"{row.name:20}{name:18}{found}", highlight=False, soft_wrap=True)
    return results


def judged(row: Row, figures: Figures, clean: Figures) -> dict[str, bool]:
    """Which bars of the row are met."""
    bars = row.bars
    met = {
        "fps": figures.fps >= bars.fps,
        "frozen": figures.frozen <= bars.frozen,
        "kept": figures.kbits / clean.kbits >= bars.kept,
    }
    if bars.keyframes is not None:
        met["keyframes"] = figures.keyframes <= bars.keyframes
    return met


def table(rows: tuple[Row, ...], results: Results) -> Table:
    """For people."""
    shown = Table(
        "network, each hop", "", "fps", "frozen s/min", "rate kept", "key frames/min", "kbit/s", "longest gap ms",
        "buffer ms", "picture", title="What a viewer sees",
    )  # fmt: skip
    for row in rows:
        shown.add_section()
        for scheme, cells in results.items():
            cell, clean = cells[row.key], cells[rows[0].key]
            met = judged(row, cell, clean) if scheme == CLARION else {}
            shown.add_row(
                row.name if scheme == next(iter(results)) else "",
                scheme,
                _text(f"{cell.fps:.1f}", met.get("fps")),
                _text(f"{cell.frozen:.2f}", met.get("frozen")),
                _text(f"{cell.kbits / clean.kbits:.0%}", met.get("kept")),
                _text(f"{cell.keyframes:.1f}", met.get("keyframes")),
                f"{cell.kbits:.0f}", f"{cell.longest_ms:.0f}", f"{cell.buffer_ms:.0f}", f"{cell.width} px",
            )  # fmt: skip
    return shown


def _text(figure: str, met: bool | None) -> str:
    return figure if met is None else f"{figure} {'pass' if met else '[bold]MISS[/bold]'}"


def main(
    *,
    rows: Annotated[str, typer.Option(help=f"Rows by key: {', '.join(row.key for row in ROWS)}.")] = "",
    rtt: Annotated[float, typer.Option(help="Seconds, there and back, of each hop.")] = 0.04,
    seconds: Annotated[float, typer.Option(help="Measured in each call.")] = 60.0,
    warm_up: Annotated[float, typer.Option(help="Seconds of loss before that.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Which datagrams are lost.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="15 s after 5 s.")] = False,
    others: Annotated[bool, typer.Option(help="Also plain forwarding.")] = True,
    strip: Annotated[Path | None, typer.Option(help="Write pictures of 30 % loss to this PNG, and measure nothing.")]
    = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """What a viewer sees over bad networks: Chromium, `clarion serve`, Chromium, in real time.

    The other figures of video have commands of their own, `python -m bench.video.NAME`: bottleneck (links that carry
    only so much), links (the same with Chromium, and glass to glass), listeners (unequal links in one room, and fifty
    bad ones), lipsync, and stock (aiortc as the viewer).
    """
    try:
        chosen = named(rows) if rows else ROWS
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if quick:
        seconds, warm_up = 15.0, 5.0
    if strip is not None:
        asyncio.run(film_strip(named("30")[-1], strip, rtt=rtt, seed=seed, warm_up=warm_up))
        return
    schemes = SCHEMES if others else {CLARION: SCHEMES[CLARION]}
    console = Console(width=140)
    results = asyncio.run(
        run(chosen, schemes, console, rtt=rtt, seed=seed, warm_up=warm_up, seconds=seconds)
    )
    console.print(table(chosen, results))
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if as_json:
        clean = results[CLARION][chosen[0].key]
        cells = [
            {"scheme": scheme, "row": row.key, **asdict(found[row.key])}
            | ({"met": judged(row, found[row.key], clean)} if scheme == CLARION else {})
            for scheme, found in results.items()
            for row in chosen
        ]  # fmt: skip
        print(json.dumps({"bench": "video", "rtt": rtt, "seed": seed, "seconds": seconds, "cells": cells}))
