"""What a receiver's reports say about the path to it (RFC 3550 6.4.1)."""

from __future__ import annotations

import math
from collections import deque

from rtc.repair.redundancy import ASSUMED_BURST, WINDOW_PACKETS, WINDOW_SECONDS
from rtc.wire.rtcp import ReportBlock

BURST_MEMORY = 0.9
"""Weight of the runs of losses seen so far against those of a new NACK."""

FEW_PACKETS = 20
"""At the start, what is NACKed is divided by so many packets at least."""

DEVIATIONS = 2.0
"""Standard deviations up to which a difference is chance."""

MIN_RUNS = 5
"""Runs of losses that must have been seen before their mean counts."""


class ReportedPath:
    """Loss and bursts of one stream, from the cumulative figures of report blocks and from what is NACKed.

    Cumulative figures survive lost reports, which the fraction of one interval does not. But what was sent again and
    arrived counts as received in them, and Chromium reports every 5 s: where it NACKs, that says more.
    """

    __slots__ = ("_asked", "_blocks", "_first", "_lost", "_nacked", "_reported", "_runs", "_told")

    def __init__(self) -> None:
        self._reported = 0.0
        self._told: tuple[float, float] | None = None
        self._asked: deque[int] = deque(maxlen=WINDOW_PACKETS)
        self._blocks: deque[tuple[float, int, int, int]] = deque()
        self._first: int | None = None
        self._nacked: int | None = None
        self._runs = 0.0
        self._lost = 0.0

    def reported(
        self, block: ReportBlock, *, now: float, never_sent: int = 0, out_of_turn: float = 0.0
    ) -> float | None:
        """Take a block; returns the share lost lately by it, 0 to 1, or None when it says nothing new.

        The receiver counts as lost what was never sent to it: so many numbers of the stream so far. `out_of_turn` is
        the share of the last WINDOW_PACKETS that were sent late or never; some of them may be under way.
        """
        blocks = self._blocks
        if blocks and (block.highest_sequence < blocks[-1][1] or block.highest_sequence - blocks[-1][1] > 1 << 16):
            blocks.clear()
        blocks.append((now, block.highest_sequence, block.packets_lost, never_sent))
        while len(blocks) > 2 and blocks[1][0] <= now - WINDOW_SECONDS:
            blocks.popleft()
        _, highest, lost, holes = blocks[0]
        expected = block.highest_sequence - highest - (never_sent - holes)
        if expected <= 0:
            return None
        share = min(max((block.packets_lost - lost - (never_sent - holes)) / expected, 0.0), 1.0)
        self._reported = share if share and share > _chance(out_of_turn) else 0.0
        return self._reported

    def told(self, loss: float, burst: float, *, never_sent: float = 0.0) -> None:
        """The receiver says itself what it sees of the path before repair: nothing is guessed any more.

        `never_sent` is the share of the last WINDOW_PACKETS that were not sent to it when their turn came. Its report
        is older than that by a round trip, and what differs by chance is not taken for loss.
        """
        excess = loss - never_sent
        self._told = (excess / (1 - never_sent) if excess > _chance(never_sent) else 0.0, burst)

    def nacked(self, numbers: list[int]) -> None:
        """Extended numbers, in order, that were sent and that the receiver asks for; each counts once."""
        for number in numbers:
            if self._nacked is not None and number <= self._nacked:
                continue
            if self._nacked is None or number > self._nacked + 1:
                self._runs = self._runs * BURST_MEMORY + 1
                self._lost = self._lost * BURST_MEMORY + 1
            else:
                self._lost += 1
            self._nacked = number
            self._asked.append(number)
            self._first = number if self._first is None else self._first

    @property
    def is_clean(self) -> bool:
        """Whether nothing that the receiver has said speaks of loss."""
        return not self._reported and not self._asked and (self._told is None or not self._told[0])

    @property
    def tells(self) -> bool:
        """Whether the receiver says itself what it sees: then only that counts, when it comes."""
        return self._told is not None

    def expect(self, loss: float) -> None:
        """What is sent has changed, so that this share should be lost now: what was reported before says nothing."""
        self._reported = loss
        self._blocks.clear()

    @property
    def loss_after_copies(self) -> float:
        """Share of packets lately lost of which no copy came either; says nothing of what is repaired by RTX."""
        return self._reported if self._told is None else self._told[0]

    def loss(self, highest: int) -> float:
        """Share lost lately, 0 to 1, by all that the receiver says; `highest` is the extended number sent last."""
        if self._told is not None:
            return self._told[0]
        if self._first is None:
            return self._reported
        while self._asked and self._asked[0] <= highest - WINDOW_PACKETS:
            self._asked.popleft()
        sent = min(WINDOW_PACKETS, max(FEW_PACKETS, highest - self._first + 1))
        return max(self._reported, min(1.0, len(self._asked) / sent))

    @property
    def burst(self) -> float:
        """Mean packets lost in a row."""
        if self._told is not None:
            return self._told[1]
        return self._lost / self._runs if self._runs >= MIN_RUNS else ASSUMED_BURST


def _chance(share: float) -> float:
    """By how much two counts of this share of WINDOW_PACKETS may differ that were taken a little apart."""
    return DEVIATIONS * math.sqrt(share * (1 - share) / WINDOW_PACKETS)
