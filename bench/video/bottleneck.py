"""What the estimate does to links that carry only so much: a camera that obeys it, in virtual time.

    python -m bench.video.bottleneck [--json]

One run and seed a row, a round trip of 40 ms; a real Chromium meets the same links through `bench.relay --bandwidth`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.narrow_path import Flow, Outcome, simulate_path
from rtc.netem import LinkProfile
from rtc.repair.bandwidth.estimator import BandwidthEstimator

QUEUE = 0.2  # seconds that a bottleneck holds at most
DELAY = 0.02  # seconds, one way
NARROWS, WIDENS, ENDS = 15.0, 30.0, 45.0  # seconds: when the link that changes does
START, LEAST, MOST = 600_000, 60_000, 2_500_000  # bit/s, as of the server's uplink estimate


@dataclass(frozen=True, slots=True)
class Result:
    """One bar of one network."""

    network: str
    figure: str
    value: float
    bar: str
    met: bool


def rows() -> list[Result]:
    """Run all networks."""
    return [*_settles(), *_with_loss(), *_narrows(), *_shares()]


def _settles() -> list[Result]:
    flow, outcome = _one(lambda now: _link(500_000), 40)
    name = "500 kbit/s, 200 ms of queue"
    used = flow.used(10, 40) / 500_000
    queue = 1000 * outcome.queue_p95(2, 40)
    return [
        Result(name, "used after 10 s", used, "0.85 to 1.15", 0.85 <= used <= 1.15),
        Result(name, "queue p95, ms", queue, "<= 100", queue <= 100),
        Result(name, "audio lost", outcome.audio_lost, "<= 0.01", outcome.audio_lost <= 0.01),
    ]


def _with_loss() -> list[Result]:
    flow, _ = _one(lambda now: _link(600_000, loss=0.1), 40)
    used = flow.used(10, 40) / 600_000
    return [Result("600 kbit/s, 10 % random loss", "used after 10 s", used, ">= 0.8", used >= 0.8)]


def _narrows() -> list[Result]:
    flow, outcome = _one(lambda now: _link(300_000 if NARROWS <= now < WIDENS else 2_000_000), ENDS)
    name = "2 Mbit/s, 300 kbit/s, 2 Mbit/s"
    full = 0.9 * flow.used(NARROWS - 5, NARROWS)
    back = next((t / 10 for t in range(100) if flow.used(WIDENS + t / 10, WIDENS + t / 10 + 1) >= full), 99.0)
    drained = next((when - NARROWS for when, wait in outcome.queue if when > NARROWS + 0.5 and wait < 0.05), 99.0)
    return [
        Result(name, "queue gone after, s", drained, "<= 1", drained <= 1),
        Result(name, "full rate after, s", back, "<= 6", back <= 6),
    ]


def _shares() -> list[Result]:
    flows = [_flow(), _flow(begin=15.0)]
    simulate_path(flows, lambda now: _link(1_500_000), seconds=60)
    used = [flow.used(30, 60) for flow in flows]
    fairness = sum(used) ** 2 / (2 * sum(share**2 for share in used))
    return [Result("two flows on 1.5 Mbit/s, one 15 s late", "Jain's index", fairness, ">= 0.9", fairness >= 0.9)]


def _link(bitrate: float, *, loss: float = 0.0) -> LinkProfile:
    return LinkProfile(bandwidth=bitrate, queue=QUEUE, delay=DELAY, loss=loss)


def _flow(*, begin: float = 0.0) -> Flow:
    return Flow(BandwidthEstimator(start=START, least=LEAST, most=MOST), begin=begin)


def _one(profile: Callable[[float], LinkProfile], seconds: float) -> tuple[Flow, Outcome]:
    flow = _flow()
    return flow, simulate_path([flow], profile, seconds=seconds)


def main(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False) -> None:
    """Print what became of each bar; exit with 1 when one is missed."""
    results = rows()
    table = Table("network", "figure", "value", "bar", "", title="Bottlenecks, in virtual time")
    for one in results:
        table.add_row(one.network, one.figure, f"{one.value:.3g}", one.bar, "pass" if one.met else "MISS")
    Console(width=120).print(table)
    if as_json:
        print(json.dumps({"bench": "bottleneck", "rows": [asdict(one) for one in results]}))
    raise typer.Exit(not all(one.met for one in results))


if __name__ == "__main__":
    typer.run(main)
