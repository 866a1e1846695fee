"""What forwarding costs, beside Janus and beside the kernel itself: the same clients, the same load, one core each.

    python -m bench.fanout [--rows audio-200,video-20] [--quick] [--churn 3600] [--json]

The servers run in a network namespace of their own (root and iproute2 are needed), pinned to one core; the clients on
the other. Janus is Debian's package (`apt-get install janus`); without it its columns stay empty.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.load import work as loads
from bench.load.clarion import clarion
from bench.load.endpoint import ONLY_CM, ONLY_GCM
from bench.load.floor import floor
from bench.load.janus import available, janus
from bench.load.server import GENERATOR_CORE, Sfu, awake, namespace
from bench.load.track import AUDIO, VIDEO
from bench.load.work import Figures, Work

STEADY = (
    Work("audio-200", "audio, 1 → 200", listeners=200),
    Work("audio-10", "audio, 1 → 10", listeners=10),
    Work("rooms", "ten rooms of 5, all talking", publishers=5, rooms=10),
    Work("video-20", "video, 1 → 20", listeners=20, sends=("video",)),
    Work("meeting", "meeting, 10 with 10, audio and video", publishers=10, sends=("audio", "video")),
    Work("audio-100", "audio, 1 → 100", listeners=100),
    Work("audio-400", "audio, 1 → 400", listeners=400),
)
SAME_GCM = Work("same-gcm", "audio, 1 → 200, both AES-GCM", listeners=200)
SAME_CM = Work("same-cm", "audio, 1 → 200, both AES-CM", listeners=200)
RED = Work("red", "audio, 1 → 200, RED of depth 4 for 25", listeners=200, lossy=25)
MOST_AUDIO = Work("most-audio", "most audio, 8 tracks → 100", publishers=8, listeners=100)
MOST_VIDEO = Work("most-video", "most video, 8 tracks → 20", publishers=8, listeners=20, sends=("video",))
AUDIO_STEPS = (20_000, 40_000, 60_000, 80_000, 100_000, 130_000, 160_000, 200_000, 250_000, 300_000, 315_000)
VIDEO_STEPS = (20_000, 40_000, 60_000, 80_000, 110_000, 150_000, 200_000, 250_000, 300_000, 360_000)
ROWS = (
    *(work.name for work in STEADY), SAME_GCM.name, SAME_CM.name, RED.name, MOST_AUDIO.name, MOST_VIDEO.name,
    "joins", "flood", "churn",
)

Server = Callable[[], AbstractAsyncContextManager[Sfu]]
SERVERS: dict[str, Server] = {
    "Clarion": clarion,
    "Janus": janus,
    "Janus, one loop": lambda: janus(event_loops=1),
}
SAME: dict[str, dict[str, Server]] = {
    SAME_GCM.name: {
        "Clarion": clarion,
        "Janus": lambda: janus(profiles=ONLY_GCM),
        "Janus, one loop": lambda: janus(event_loops=1, profiles=ONLY_GCM),
    },
    SAME_CM.name: {
        "Clarion": lambda: clarion(whip=True),
        "Janus": lambda: janus(profiles=ONLY_CM),
        "Janus, one loop": lambda: janus(event_loops=1, profiles=ONLY_CM),
    },
}


async def measure(
    names: list[str], *, quick: bool, churn: float, tell: Callable[[str], None]
) -> list[dict[str, object]]:
    """Rows of results."""
    seconds = 4.0 if quick else 8.0
    rows: list[dict[str, object]] = []
    titles = {work.name: work.title for work in (*STEADY, SAME_GCM, SAME_CM, RED, MOST_AUDIO, MOST_VIDEO)}
    both: dict[str, Callable[[Server], Awaitable[Figures]]] = {
        work.name: lambda server, work=work: loads.steady(server(), work, seconds)  # type: ignore[misc]
        for work in (*STEADY, SAME_GCM, SAME_CM)
    }
    both[MOST_AUDIO.name] = lambda server: loads.most(server(), MOST_AUDIO, AUDIO, AUDIO_STEPS, seconds / 2)
    both[MOST_VIDEO.name] = lambda server: loads.most(server(), MOST_VIDEO, VIDEO, VIDEO_STEPS, seconds / 2)
    both["joins"] = lambda server: loads.joins(server(), 60)
    alone: dict[str, Callable[[], Awaitable[Figures]]] = {
        RED.name: lambda: loads.steady(clarion(), RED, seconds),
        "flood": lambda: loads.flood(clarion(), seconds),
        "churn": lambda: loads.churn(clarion(), churn),
    }
    for name in names:
        found: dict[str, Figures] = {}
        if name in alone:
            found["Clarion"] = await alone[name]()
        else:
            for server, start in SAME.get(name, SERVERS).items():
                if server == "Clarion" or available():
                    found[server] = await both[name](start)
        for server, figures in found.items():
            rows.append({"row": name, "title": titles.get(name, name), "server": server, **asdict(figures)})
            tell(json.dumps(rows[-1]))
    return rows


def table(rows: list[dict[str, object]], floors: dict[str, float]) -> Table:
    """For people."""
    shown = Table(
        "load", "server", "µs a packet", "p50 / p99 / p99.9 ms", "missing", "kB a listener", "ms a join", "",
        title=f"Forwarding on one core of {machine()}; " + ", ".join(f"{k} {v:.2f} µs" for k, v in floors.items()),
    )
    for row in rows:
        notes = row["notes"]
        assert isinstance(notes, dict)
        shown.add_row(
            str(row["title"]), str(row["server"]), f"{row['cpu']:.1f}",
            f"{row['p50']:.2f} / {row['p99']:.2f} / {row['p999']:.2f}", f"{row['missing']:.3%}",
            f"{row['memory']:.0f}" if row["memory"] else "", f"{row['join']:.1f}" if row["join"] else "",
            ", ".join(f"{key} {value:,.4g}" for key, value in notes.items()),
        )
    return shown


def machine() -> str:
    """What this runs on."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release().partition('-')[0]}"


def main(
    *,
    rows: Annotated[str, typer.Option(help=f"Which, comma between: {', '.join(ROWS)}.")] = ",".join(ROWS),
    quick: Annotated[bool, typer.Option(help="Half as long.")] = False,
    churn: Annotated[float, typer.Option(help="Seconds of coming and going.")] = 30.0,
    keep_awake: Annotated[bool, typer.Option(help="Keep the server's core from sleeping between packets.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = False,
) -> None:
    """Measure what forwarding costs."""
    names = [name for name in rows.split(",") if name]
    if unknown := [name for name in names if name not in ROWS]:
        raise typer.BadParameter(f"no such row: {', '.join(unknown)}")
    os.sched_setaffinity(0, {GENERATOR_CORE})
    console = Console(stderr=True)
    with namespace(), awake() if keep_awake else nullcontext():
        floors = asyncio.run(floor(200))
        found = asyncio.run(measure(names, quick=quick, churn=churn, tell=console.print))
    Console().print(table(found, floors))
    if as_json:
        typer.echo(json.dumps({"bench": "fanout", "machine": machine(), "floor": floors, "rows": found}))


if __name__ == "__main__":
    typer.run(main)
