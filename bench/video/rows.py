"""The networks that are measured, and what the picture must be like on them."""

from __future__ import annotations

from dataclasses import dataclass

from rtc.netem import LinkProfile


@dataclass(frozen=True, slots=True)
class Bars:
    """What must be reached; None: there is no bar."""

    fps: float
    """Frames decoded a second, at least."""
    frozen: float
    """Seconds a minute, at most."""
    kept: float
    """Share of the media rate without loss, at least."""
    keyframes: float | None
    """Asked for in a minute, at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """A network between each client and the server, the same in both directions."""

    key: str
    name: str
    loss: float
    burst: float
    bars: Bars

    def profile(self, rtt: float) -> LinkProfile:
        """One direction of one hop."""
        return LinkProfile(loss=self.loss, burst=self.burst, delay=rtt / 2)


CLEAN = Row("0", "0 %", 0.0, 1, Bars(29.5, 0.0, 1.0, None))
ROWS = (
    CLEAN,
    Row("10", "10 % random", 0.1, 1, Bars(29, 0.3, 0.85, 2)),
    Row("30", "30 % random", 0.3, 1, Bars(28, 1, 0.7, 6)),
    Row("30b3", "30 %, bursts of 3", 0.3, 3, Bars(26, 3, 0.6, None)),
    Row("50", "50 % random", 0.5, 1, Bars(24, 5, 0.5, None)),
)


def named(keys: str) -> tuple[Row, ...]:
    """Rows by key, a comma between; that without loss is always first, since rates are shares of its rate.

    Raises ValueError for an unknown key.
    """
    by_key = {row.key: row for row in ROWS}
    unknown = [key for key in keys.split(",") if key not in by_key]
    if unknown:
        raise ValueError(f"there is no row {unknown[0]!r}, only {', '.join(by_key)}")
    chosen = {CLEAN.key, *keys.split(",")}
    return tuple(row for row in ROWS if row.key in chosen)
