"""The command line: which rows, how many seeds, a table or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.audio import stock
from bench.audio.baselines import BASELINES
from bench.audio.results import CLARION, FIGURES, Cell, codec_cell, figures, hold
from bench.audio.rows import BAR_ROWS, Bar, Row, matrix, named
from bench.audio.score import Panel
from bench.audio.speech import LEAD_SECONDS, NoSpeechError, Speech, recorded

QUICK_SECONDS = 15.0
"""Speech of a quick run."""

HEADINGS = {
    "concealed": "concealed %", "stoi": "STOI", "pesq": "PESQ-WB", "plcmos": "PLCMOS", "wer": "WER %",
    "delay_p50": "p50 ms", "delay_p95": "p95 ms", "kbits_up": "up", "kbits_down": "down kbit/s",
}  # fmt: skip
SCALE = {"concealed": (100, 2), "wer": (100, 1), "delay_p50": (1000, 0), "delay_p95": (1000, 0),
         "kbits_up": (1, 0), "kbits_down": (1, 0), "stoi": (1, 3)}  # fmt: skip
"""Factor and decimals in the table; others have 1 and 2."""

Task = tuple[Row, int, int]
"""A row, the place of a scheme in SCHEMES, a seed."""

SCHEMES = (None, *BASELINES)

_judged: tuple[Speech, Panel] | None = None  # of a worker process


def main(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each row.")] = 3,
    first_seed: Annotated[int, typer.Option(help="The first of them; the others follow it.")] = 1,
    rows: Annotated[str, typer.Option(help="Rows by name, as 50r40,50b3r40.")] = "",
    all_rows: Annotated[bool, typer.Option("--matrix", help="Every loss, burst and round trip.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, 15 s of speech, Clarion alone.")] = False,
    others: Annotated[bool, typer.Option(help="Also what others do on the same network.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """What a listener hears over a bad network: Python client, server, Python client, in virtual time."""
    try:
        chosen = named(rows) if rows else matrix() if all_rows else BAR_ROWS
        speech = recorded(QUICK_SECONDS if quick else None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except NoSpeechError as error:
        raise SystemExit(str(error)) from None
    schemes = range(1 if quick or not others else len(SCHEMES))
    numbers = range(first_seed, first_seed + (1 if quick else seeds))
    tasks = [(row, scheme, seed) for row in chosen for scheme in schemes for seed in numbers]
    panel = Panel(speech)
    codec = codec_cell(speech, panel)
    cells: dict[tuple[str, int], Cell] = {}
    measured = track(
        zip(tasks, _run(tasks, speech, panel, jobs), strict=True), "calls", total=len(tasks),
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    for (row, scheme, _), found in measured:
        baseline = SCHEMES[scheme]
        name = CLARION if baseline is None else baseline.name
        cells.setdefault((row.key, scheme), Cell(row, name)).seeds.append(found)
    _print(chosen, [codec, *cells.values()], panel)
    played = None if rows or quick else stock.measure(speech, seeds=numbers)
    if played is not None:
        print(played)
    if as_json:
        missed = [f"{cell.row}: {figure}" for cell in cells.values()
                  for figure, met in cell.bars(codec).items() if met is False]  # fmt: skip
        missed += ["stock aiortc listener"] if played is not None and not played.met else []
        cells_as_objects = [cell.as_object(codec) for cell in (codec, *cells.values())]
        listener = None if played is None else played.as_object()
        missing = panel.missing
        print(json.dumps(
            {"missed": missed, "not_installed": missing, "cells": cells_as_objects, "stock_listener": listener}
        ))  # fmt: skip


def _run(tasks: list[Task], speech: Speech, panel: Panel, jobs: int) -> Iterator[dict[str, float | None]]:
    global _judged  # noqa: PLW0603  each process loads its judges once
    if jobs == 1 or len(tasks) == 1:
        _judged = speech, panel
        yield from map(_measure, tasks)
        _judged = None
        return
    seconds = len(speech.scored)
    # Not forked: the recogniser's threads would not come along.
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_prepare, initargs=(seconds,)) as pool:
        yield from pool.map(_measure, tasks)


def _prepare(samples: int) -> None:
    global _judged  # noqa: PLW0603  each process loads its judges once
    speech = recorded()
    speech = Speech(speech.lead, speech.scored[:samples])
    _judged = speech, Panel(speech)


def _measure(task: Task) -> dict[str, float | None]:
    assert _judged is not None
    speech, panel = _judged
    row, scheme, seed = task
    return figures(hold(speech, row, SCHEMES[scheme], seed=seed), panel)


def _print(rows: tuple[Row, ...], cells: list[Cell], panel: Panel) -> None:
    console = Console(width=132)
    table = Table("network, each hop", "", *HEADINGS.values(), title="What a listener hears")
    codec = cells[0]
    table.add_row("none", codec.scheme, *(_text(figure, codec.mean(figure)) for figure in FIGURES))
    for row in rows:
        table.add_section()
        for cell in cells[1:]:
            if cell.row is not row:
                continue
            met = cell.bars(codec)
            clarion = cell.scheme == CLARION
            table.add_row(
                str(row) if clarion else "", cell.scheme,
                *(_marked(figure, cell, met.get(figure)) for figure in FIGURES), style="bold" if clarion else "dim",
            )  # fmt: skip
            if clarion and row.bars:
                limits = {bar.figure: bar for bar in row.bars}
                table.add_row("", "bar", *(_limit(limits.get(figure), codec) for figure in FIGURES))
    console.print(table)
    seeds = max(len(cell.seeds) for cell in cells)
    console.print(
        f"Mean of {seeds} seed(s). Loss and delay on both hops, both ways, for media and feedback alike. Delays "
        "are mouth to ear, found by correlation. Rates have IP and UDP headers, and what goes that way beside "
        f"media. The first {LEAD_SECONDS:g} s of the call, in which both ends measure their paths, are not judged."
    )
    for figure, package in panel.missing.items():
        console.print(f"{HEADINGS[figure]} is left out: {package} is not installed (make bench).")


def _text(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    factor, decimals = SCALE.get(figure, (1, 2))
    return f"{value * factor:.{decimals}f}"


def _marked(figure: str, cell: Cell, met: bool | None) -> str:
    text = _text(figure, cell.mean(figure))
    return text if met is None else f"[green]{text} ok[/]" if met else f"[red]{text} MISS[/]"


def _limit(bar: Bar | None, codec: Cell) -> str:
    if bar is None:
        return ""
    value = bar.limit + (codec.mean(bar.figure) or 0.0 if bar.of_codec else 0.0)
    return ("≤ " if bar.most else "≥ ") + _text(bar.figure, value)
