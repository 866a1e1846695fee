"""python -m bench.signalling [--json] [PART …]: the tables of bench.signalling."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.signalling import load, rooms
from bench.signalling.load import raise_file_limit
from bench.signalling.rooms import Plan, Result

PARTS = ("faults", "loss", "messages", "idle")
FAULTS = Plan(rooms=20, talkers=10, messages=500, per_second=5.0, mean_life=2.0, kills=1)
LOSS = Plan(rooms=2, talkers=10, messages=20, per_second=1.0, loss=0.5, rtt=0.2)


def main() -> None:
    """Run what is asked for, print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.signalling", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which parts; all without any")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--connections", type=int, default=5000, help="idle connections")
    options = parser.parse_args()
    raise_file_limit(8192)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_run(options.parts or PARTS, options.connections))
    if options.json:
        print(json.dumps(figures))


async def _run(parts: list[str] | tuple[str, ...], connections: int) -> dict[str, Any]:
    console = Console()
    figures: dict[str, Any] = {"load": os.getloadavg()[0]}
    for part in parts:
        if part in {"faults", "loss"}:
            plan = FAULTS if part == "faults" else LOSS
            figures[part] = _completeness(console, part, plan, await rooms.run(plan))
        elif part == "messages":
            figures[part] = await _rates(console)
        else:
            figures[part] = await _idle(console, connections)
    return figures


def _completeness(console: Console, part: str, plan: Plan, result: Result) -> dict[str, Any]:
    way = (
        f"connections live {plan.mean_life:g} s, kill -9: {plan.kills}"
        if plan.mean_life else f"{plan.loss:.0%} loss, {plan.rtt * 1000:.0f} ms round trip"
    )
    figures = {
        "expected": result.expected, "delivered": result.delivered, "lost": result.lost, "doubled": result.doubled,
        "disordered": result.disordered, "sessions_ended": len(result.ended), "complete": result.complete,
        "seconds": result.seconds, "reconnects": result.reconnects, "after_restart": result.restarts,
        "snapshots": result.snapshots, "faults": result.faults,
        "catch_up_p50": _quantile(result.catch_ups, 0.5), "catch_up_p95": _quantile(result.catch_ups, 0.95),
        "catch_up_max": _quantile(result.catch_ups, 1.0),
        "delay_p50": _quantile(result.delays, 0.5), "delay_p99": _quantile(result.delays, 0.99),
    }
    table = Table(title=f"{plan.rooms * plan.talkers} people x {plan.messages} messages, {plan.rooms} rooms; {way}")
    table.add_column("what")
    table.add_column("result", justify="right")
    for name, value in figures.items():
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)
    return {"part": part, **figures}


async def _rates(console: Console) -> list[dict[str, float]]:
    table = Table(title="Messages without faults: 200 people in 20 rooms")
    for column in ("sent /s", "delivered /s", "delay p50 ms", "delay p99 ms", "server cores"):
        table.add_column(column, justify="right")
    figures = []
    for per_second in (1.0, 5.0, 10.0, 15.0):
        rate = await load.messages(rooms=20, people=10, per_second=per_second, seconds=8.0)
        table.add_row(
            f"{rate.offered:.0f}", f"{rate.delivered:.0f}", f"{rate.p50 * 1000:.1f}", f"{rate.p99 * 1000:.1f}",
            f"{rate.server_cpu:.2f}",
        )
        figures.append({name: getattr(rate, name) for name in rate.__dataclass_fields__})
    console.print(table)
    return figures


async def _idle(console: Console, connections: int) -> dict[str, float]:
    taken = await load.idle(connections=connections, people=5, seconds=10.0)
    table = Table(title="Idle connections in rooms of 5")
    for column in ("connections", "kB each", "joins /s", "server cores"):
        table.add_column(column, justify="right")
    table.add_row(
        str(taken.connections), f"{taken.bytes_each / 1000:.1f}", f"{taken.joins_per_second:.0f}",
        f"{taken.server_cpu:.2f}",
    )
    console.print(table)
    return {name: getattr(taken, name) for name in taken.__dataclass_fields__}


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


if __name__ == "__main__":
    main()
