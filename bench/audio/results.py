"""From calls to figures: one cell for each network and way of repair, the mean over its seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from bench.audio import baselines, call
from bench.audio.baselines import Baseline
from bench.audio.call import Heard
from bench.audio.rows import Row
from bench.audio.score import Panel
from bench.audio.speech import Speech

CLARION = "Clarion"
CODEC = "codec alone"

FIGURES = ("concealed", "stoi", "pesq", "plcmos", "wer", "delay_p50", "delay_p95", "kbits_up", "kbits_down")
"""Of each cell: shares 0 to 1, delays in seconds, rates in kbit/s."""


@dataclass(slots=True)
class Cell:
    """One network with one way of repair."""

    row: Row | None
    """None for the codec alone."""
    scheme: str
    seeds: list[dict[str, float | None]] = field(default_factory=list)
    """The figures of each seed."""

    def mean(self, figure: str) -> float | None:
        """Mean over the seeds; None where one of them has no such figure."""
        values = [seed.get(figure) for seed in self.seeds]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    def bars(self, codec: Cell | None) -> dict[str, bool | None]:
        """Which bars of its row it meets; only Clarion is held to them."""
        if self.row is None or self.scheme != CLARION:
            return {}
        return {
            bar.figure: bar.met(self.mean(bar.figure), None if codec is None else codec.mean(bar.figure))
            for bar in self.row.bars
        }

    def as_object(self, codec: Cell | None) -> dict[str, Any]:
        """For JSON."""
        return {
            "row": None if self.row is None else self.row.key,
            "scheme": self.scheme,
            "mean": {figure: _rounded(self.mean(figure)) for figure in FIGURES},
            "bars": self.bars(codec),
            "seeds": [{name: _rounded(value) for name, value in seed.items()} for seed in self.seeds],
        }


def hold(speech: Speech, row: Row, scheme: Baseline | None, *, seed: int) -> Heard:
    """One call: with Clarion, or with what others do."""
    if scheme is None:
        return call.hear(speech, row.network, seed=seed)
    return baselines.hear(speech, row.network, scheme, seed=seed)


def figures(heard: Heard, panel: Panel) -> dict[str, float | None]:
    """Everything that is told about one call."""
    return {
        **asdict(panel.score(heard.pcm)),
        "concealed": heard.concealed_share,
        "kbits_up": heard.kbits_up,
        "kbits_down": heard.kbits_down,
        **heard.notes,
    }


def codec_cell(speech: Speech, panel: Panel) -> Cell:
    """What the codec alone does to the speech."""
    return Cell(None, CODEC, [{**asdict(panel.score(baselines.codec_alone(speech))), "concealed": 0.0}])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
