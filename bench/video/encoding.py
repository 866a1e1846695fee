"""What it costs the Python client to encode a camera in one size and in two."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from bench.video.stock import FPS, HEIGHT, WIDTH, Film
from bench.video.verdict import conclude
from rtc.client.outgoing import OutgoingStream
from rtc.client.simulcast import RIDS
from rtc.client.video_sender import VideoSender

SIZES = ((WIDTH, HEIGHT), (1280, 720))
BITRATE = 2_500_000
"""What the server tells a publisher on a good path, bit/s."""

WARM_UP = 10  # pictures


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one picture."""

    codec: str
    lines: int
    layers: int
    p50: float
    """Milliseconds from the picture to its packets."""
    p95: float
    met: bool
    """Whether it keeps up with 30 pictures a second; there is a bar for two sizes of VP8 at 480 lines only."""


async def measure(codec: str, size: tuple[int, int], layers: int, pictures: int) -> Cost:
    """Encode so many pictures as fast as it goes."""
    film = Film(grain=True)
    streams = [OutgoingStream(ssrc=1 + place, clock_rate=90_000, rid=rid) for place, rid in enumerate(RIDS[:layers])]
    times = []
    with ThreadPoolExecutor(1) as executor:
        sender = VideoSender(streams, codec=codec, payload_type=96, executor=executor)
        sender.set_bitrate(BITRATE)
        for number in range(WARM_UP + pictures):
            picture = film.picture()
            if (picture.width, picture.height) != size:
                larger = picture.reformat(width=size[0], height=size[1])
                larger.pts, larger.time_base = picture.pts, picture.time_base
                picture = larger
            began = time.perf_counter()
            await sender.encode(picture, now=number / FPS)
            times.append((time.perf_counter() - began) * 1000)
    p50, p95 = np.percentile(times[WARM_UP:], (50, 95))
    barred = codec == "VP8" and size == SIZES[0]
    return Cost(codec, size[1], layers, float(p50), float(p95), not barred or p50 < 1000 / FPS)


async def run(pictures: int) -> list[Cost]:
    """Every codec, size and number of layers."""
    return [
        await measure(codec, size, layers, pictures)
        for codec in ("VP8", "H264") for size in SIZES for layers in (1, 2)
    ]  # fmt: skip


def main(
    *,
    pictures: Annotated[int, typer.Option(help="Encoded for each row.")] = 150,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """Print a table; exit with 1 where two sizes of VP8 at 640x480 do not keep up."""
    costs = asyncio.run(run(pictures))
    table = Table("codec", "lines", "sizes", "ms a picture p50", "p95", f"of the time at {FPS} a second, p50")
    for one in costs:
        share = one.p50 * FPS / 1000
        table.add_row(one.codec, str(one.lines), str(one.layers), f"{one.p50:.1f}", f"{one.p95:.1f}", f"{share:.0%}")
    conclude(table, "encoding", costs, seed=0, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
