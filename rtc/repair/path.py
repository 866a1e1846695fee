"""What a receiver's reports say about the path to it (RFC 3550 6.4.1)."""

from __future__ import annotations

from collections import deque

from rtc.repair.redundancy import ASSUMED_BURST
from rtc.wire.rtcp import ReportBlock

WINDOW_SECONDS = 2.0
"""Loss is judged over this long: a hundred packets, so that the figure wavers by 5 points at 50 %, not 7."""

BURST_MEMORY = 0.9
"""Weight of the runs of losses seen so far against those of a new NACK."""

MIN_RUNS = 5
"""Runs of losses that must have been seen before their mean counts."""


class ReportedPath:
    """Loss and bursts of one stream, from the cumulative figures of report blocks and from what is NACKed.

    Cumulative figures survive lost reports, which the fraction of one interval does not.
    """

    def __init__(self) -> None:
        self._blocks: deque[tuple[float, int, int]] = deque()
        self._nacked: int | None = None
        self._runs = 0.0
        self._lost = 0.0

    def reported(self, block: ReportBlock, *, now: float) -> float | None:
        """Take a block; returns the share lost lately, 0 to 1, or None when it says nothing new."""
        blocks = self._blocks
        if blocks and (block.highest_sequence < blocks[-1][1] or block.highest_sequence - blocks[-1][1] > 1 << 16):
            blocks.clear()
        blocks.append((now, block.highest_sequence, block.packets_lost))
        while len(blocks) > 2 and blocks[1][0] <= now - WINDOW_SECONDS:
            blocks.popleft()
        _, highest, lost = blocks[0]
        expected = block.highest_sequence - highest
        if expected <= 0:
            return None
        return min(max((block.packets_lost - lost) / expected, 0.0), 1.0)

    def nacked(self, numbers: list[int]) -> None:
        """Extended numbers that the receiver asks for, in order; those asked for before do not count again."""
        for number in numbers:
            if self._nacked is not None and number <= self._nacked:
                continue
            if self._nacked is None or number > self._nacked + 1:
                self._runs = self._runs * BURST_MEMORY + 1
                self._lost = self._lost * BURST_MEMORY + 1
            else:
                self._lost += 1
            self._nacked = number

    @property
    def burst(self) -> float:
        """Mean packets lost in a row."""
        return self._lost / self._runs if self._runs >= MIN_RUNS else ASSUMED_BURST
