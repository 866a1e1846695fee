"""What a viewer sees in one call: frames, freezes, the rate, and the key frames it took."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from bench.video.calls import Call

FREEZE_MS = 150.0
"""A longer gap between two frames of a film of 30 frames a second is a freeze: four frames are missing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One cell of the table."""

    fps: float
    """Frames decoded a second."""
    frozen: float
    """Seconds a minute in which a picture stood too long, by when frames were shown."""
    kbits: float
    """Media that the sender sent, repairs apart."""
    resent: float
    """Repairs that the sender sent, as a share of its media."""
    keyframes: float
    """Asked of the sender in a minute, and received by it."""
    longest_ms: float
    """The longest gap between two frames shown."""
    buffer_ms: float
    """Mean time of a frame in the viewer's jitter buffer."""
    width: int
    """Of the picture received."""


def gaps_between(shown: list[tuple[float, int]], begin: float, end: float) -> list[float]:
    """How long each picture stood, in ms; `shown` is when which running number of frame was, of some of the frames.

    Frames that the page was not told of are taken to have come evenly.
    """
    gaps = []
    last, number = begin, shown[0][1] - 1 if shown else 0
    for time, count in shown:
        frames = max(count - number, 1)
        gaps += [(time - last) / frames] * frames
        last, number = time, count
    return [*gaps, end - last]


def frozen_seconds(gaps: list[float]) -> float:
    """Seconds in gaps (ms) that count as freezes."""
    return sum(gap for gap in gaps if gap > FREEZE_MS) / 1000


async def measure(call: Call, seconds: float) -> Figures:
    """Watch for so long."""
    sent_before, seen_before = await call.sent(), await call.seen()
    begin, _ = await call.viewer.evaluate("() => watch.since(Infinity)")
    await asyncio.sleep(seconds)
    seen_after = await call.seen()
    sent, seen = _growth(sent_before, await call.sent()), _growth([seen_before], [seen_after])
    end, shown = await call.viewer.evaluate("begin => watch.since(begin)", begin)
    took = (end - begin) / 1000
    gaps = gaps_between(shown, begin, end)
    media = sent["bytesSent"] - sent.get("retransmittedBytesSent", 0)
    return Figures(
        fps=seen["framesDecoded"] / took,
        frozen=frozen_seconds(gaps) * 60 / took,
        kbits=media * 8 / took / 1000,
        resent=sent.get("retransmittedBytesSent", 0) / max(media, 1),
        keyframes=(sent["pliCount"] + sent["firCount"]) * 60 / took,
        longest_ms=max(gaps),
        buffer_ms=1000 * seen["jitterBufferDelay"] / max(seen["jitterBufferEmittedCount"], 1),
        width=int(seen_after.get("frameWidth", 0)),
    )


def _growth(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, float]:
    """By how much each number has grown, all streams together."""
    known = {stream["id"]: stream for stream in before}
    growth: dict[str, float] = {}
    for stream in after:
        for name, value in stream.items():
            if isinstance(value, int | float):
                growth[name] = growth.get(name, 0) + value - known.get(stream["id"], {}).get(name, 0)
    return growth
