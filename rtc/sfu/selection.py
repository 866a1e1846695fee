"""Which encoding of a simulcast track a listener's slot receives."""

from __future__ import annotations

from collections.abc import Sequence

from .source import Source

STALLED_SECONDS = 0.6
"""An encoding that has sent nothing for this long has stopped: three frames at 5 frames/s."""


def best_live(encodings: Sequence[Source], *, now: float) -> Source:
    """The highest of these encodings (lowest first) of which packets come; the lowest before any do."""
    live = [source for source in encodings if now - source.last_time < STALLED_SECONDS]
    return live[-1] if live else encodings[0]
