"""What is measured: the rows of the table, and the bars that they are held to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bench.audio.network import Network

LOSSES = (0, 10, 30, 50, 70, 80)
BURSTS = (1, 3, 6)
RTTS = (20, 40, 100, 200)

STOI_TOLERANCE = 0.005
"""Two STOI figures this close are equal."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that a row is to reach. `codec` is what the codec alone reaches."""

    figure: str
    limit: float
    most: bool
    """Whether the limit is the most allowed; else the least."""
    of_codec: bool = False
    """Whether the limit is relative to what the codec alone reaches."""

    def met(self, value: float | None, codec: float | None) -> bool | None:
        """Whether `value` reaches it; None where something was not measured."""
        if value is None or (self.of_codec and codec is None):
            return None
        limit = self.limit + (codec or 0.0 if self.of_codec else 0.0)
        return value <= limit if self.most else value >= limit


@dataclass(frozen=True, slots=True)
class Row:
    """A network, the same at each hop."""

    loss: int
    """Per cent."""
    burst: int
    """Mean packets lost in a row; 1 for independent losses."""
    rtt: int
    """Milliseconds a hop."""
    bars: tuple[Bar, ...] = field(default=())

    @property
    def key(self) -> str:
        """Short name, as --rows takes it: 50r40 is 50 % random at 40 ms, 50b3r40 the same in bursts of 3."""
        return f"{self.loss}{'' if self.burst == 1 else f'b{self.burst}'}r{self.rtt}"

    @property
    def network(self) -> Network:
        """What the links do."""
        return Network(self.loss / 100, self.burst, self.rtt / 1000)

    def __str__(self) -> str:
        """For people."""
        kind = "random" if self.burst == 1 else f"bursts of {self.network.mean_burst:.3g}"
        return f"{self.loss} %" + (f" {kind}" if self.loss else "") + f", {self.rtt} ms"


def _bars(concealed: float, stoi: float, pesq: float, wer: float, delay: float) -> tuple[Bar, ...]:
    return (
        Bar("concealed", concealed, most=True), Bar("stoi", stoi, most=False), Bar("pesq", pesq, most=False),
        Bar("wer", wer, most=True), Bar("delay_p95", delay, most=True),
    )  # fmt: skip


BAR_ROWS = (
    Row(0, 1, 20, (
        Bar("concealed", 0.0, most=True), Bar("stoi", -STOI_TOLERANCE, most=False, of_codec=True),
        Bar("delay_p50", 0.066, most=True),
    )),
    Row(30, 1, 40, _bars(0.002, 0.97, 4.0, 0.01, 0.180)),
    Row(50, 1, 40, _bars(0.005, 0.96, 3.8, 0.01, 0.250)),
    Row(50, 3, 40, _bars(0.03, 0.93, 3.2, 0.05, 0.350)),
    Row(80, 1, 40, _bars(0.03, 0.93, 3.2, 0.05, 0.400)),
)  # fmt: skip
"""The rows of the promise."""


def matrix() -> tuple[Row, ...]:
    """Every combination; without loss there are no bursts, and those that random loss has already are left out."""
    known = {row.key: row for row in BAR_ROWS}
    rows = [
        Row(loss, burst, rtt)
        for loss in LOSSES
        for burst in BURSTS
        for rtt in RTTS
        if burst == 1 or (loss and burst > 1.05 / (1 - loss / 100))
    ]
    return tuple(known.get(row.key, row) for row in rows)


def named(keys: str) -> tuple[Row, ...]:
    """Rows by their keys, separated by commas. Raises ValueError for a word that is no key."""
    known = {row.key: row for row in BAR_ROWS}
    rows = []
    for key in keys.split(","):
        found = re.fullmatch(r"(\d+)(?:b(\d+))?r(\d+)", key.strip())
        if found is None or not 0 <= int(found[1]) < 100 or found[2] == "0":
            raise ValueError(f"{key!r} is no row: 50r40 is 50 % random at 40 ms a hop, 50b3r40 in bursts of 3")
        row = Row(int(found[1]), int(found[2] or 1), int(found[3]))
        rows.append(known.get(row.key, row))
    return tuple(rows)
