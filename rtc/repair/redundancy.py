"""How much to protect a stream of audio before it is sent: RED depth (RFC 2198) and copies, from what was lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from rtc.wire.red import MAX_BLOCK_LENGTH, MAX_TIMESTAMP_OFFSET, RedBlock, pack

TARGET_RESIDUAL = 0.002
"""Share of frames that protection alone may leave lost on one hop: two hops then stay below 0.5 %."""

MIN_LOSS = 0.003
"""Less is left to NACK: protection would cost more than it brings."""

MAX_DEPTH = 17
"""Redundant frames of 20 ms that fit into the 14-bit timestamp offset: 341 ms."""

MAX_COPIES = 5
"""More would be flooding."""

QUICK_DEPTH = 3
"""Depth that costs little delay, 60 ms at most: copies are added before more depth, since they arrive sooner.

A datagram's headers weigh as much as a frame, so that both cost about the same rate.
"""

MAX_FRAMES = 36
"""Copies times frames in each: bounds what a listener can make the server send, as a multiple of the media's rate."""

COPY_SPACING_SECONDS = 0.004
"""Between two copies of a packet: five fit into a frame of 20 ms, and a short burst does not hit all."""

MAX_PAYLOAD_BYTES = 1100
"""Longest RED payload, so that the datagram fits every path."""

DECAY_SECONDS = 4.0
"""Protection falls by one step when less was needed for this long; it rises at once."""

ASSUMED_BURST = 1.5
"""Mean packets lost in a row, until measured."""


@dataclass(slots=True, frozen=True)
class Protection:
    """What is done to each packet before it leaves."""

    depth: int = 0
    """Redundant frames in a packet, those before its own."""
    copies: int = 1
    """How often each datagram is sent, COPY_SPACING_SECONDS apart."""


NONE = Protection()
"""No protection."""


def choose(
    loss: float, stay: float, *, max_depth: int = MAX_DEPTH, max_copies: int = MAX_COPIES
) -> Protection:
    """The least protection that leaves TARGET_RESIDUAL or less, quickly if it can be.

    `loss` is the share of datagrams lost; `stay` how often one is lost if that before it was (Gilbert): `loss` itself
    on a path without memory, more where losses come in bursts.
    """
    if loss < MIN_LOSS:
        return NONE
    loss = min(loss, 0.95)
    stay = min(max(stay, loss), 0.98)
    chosen = NONE
    for copies in range(1, max_copies + 1):
        residual = loss * stay ** (copies - 1)
        limit = min(max_depth, MAX_FRAMES // copies - 1)
        depth = 0
        while residual > TARGET_RESIDUAL and depth < limit:
            residual *= stay**copies
            depth += 1
        chosen = Protection(depth, copies)
        if depth <= QUICK_DEPTH:
            break
    return chosen


class ProtectionController:
    """Follows the reports of one receiver: up at once, down one step at a time."""

    def __init__(self, *, max_depth: int = MAX_DEPTH, max_copies: int = MAX_COPIES) -> None:
        self.protection = NONE
        self._max_copies = max_copies
        self._max_depth = max_depth
        self._enough_since: float | None = None
        self._loss = 0.0

    def reported(self, loss: float, burst: float, *, now: float) -> bool:
        """Take a report (share of packets lost, mean lost in a row); True when the protection has changed.

        A packet is lost when all its copies are: the path itself is worse than the report by as much.
        """
        copies = self.protection.copies
        stay = max(loss, 1 - 1 / max(burst, 1.0)) ** (1 / copies)
        path = min(loss / stay ** (copies - 1), 1.0) if stay else 0.0
        # A figure of two seconds wavers by 5 points at 50 %: falling ones are smoothed, rising ones obeyed.
        self._loss = path if path > self._loss else self._loss + (path - self._loss) * 0.3
        wanted = choose(self._loss, stay, max_depth=self._max_depth, max_copies=self._max_copies)
        before = self.protection
        if _strength(wanted) >= _strength(before):
            self.protection = wanted
            self._enough_since = None
        elif self._enough_since is None:
            self._enough_since = now
        elif now - self._enough_since >= DECAY_SECONDS:
            self._enough_since = now
            self.protection = _step_down(before, wanted)
        return self.protection != before


def _strength(protection: Protection) -> int:
    """How often each frame is sent."""
    return protection.copies * (protection.depth + 1)


def _step_down(before: Protection, wanted: Protection) -> Protection:
    """About a third less than before, but not less than wanted."""
    if before.depth > wanted.depth:
        return Protection(max(wanted.depth, before.depth - max(1, before.depth // 3)), before.copies)
    return Protection(wanted.depth, max(wanted.copies, before.copies - 1))


class LossMeter:
    """What one receiver sees of its path before any repair: share lost and mean run of losses."""

    def __init__(self, *, window: int = 250) -> None:
        self._window = window
        self._arrived: deque[int] = deque()
        self._seen: set[int] = set()
        self._highest: int | None = None

    def received(self, sequence: int) -> None:
        """A packet with this extended number arrived by itself, neither repaired nor a second copy."""
        if sequence in self._seen:
            return
        self._seen.add(sequence)
        self._arrived.append(sequence)
        if self._highest is None or sequence > self._highest:
            self._highest = sequence
        while self._arrived and self._arrived[0] <= self._highest - self._window:
            self._seen.discard(self._arrived.popleft())

    def measure(self) -> tuple[float, float]:
        """Share lost, and mean packets lost in a row (1 when none), over the last `window` numbers."""
        if len(self._seen) < 2:
            return 0.0, 1.0
        numbers = sorted(self._seen)
        gaps = [after - before - 1 for before, after in pairwise(numbers) if after > before + 1]
        lost = sum(gaps)
        return lost / (numbers[-1] - numbers[0] + 1), lost / len(gaps) if gaps else 1.0


class RedHistory:
    """The last frames of a stream, from which each packet's redundancy is made."""

    def __init__(self, *, frames: int = MAX_DEPTH) -> None:
        self._frames: deque[tuple[int, bytes]] = deque(maxlen=frames)

    def add(self, timestamp: int, payload: bytes) -> None:
        """A frame was sent as primary; in order of time."""
        self._frames.append((timestamp, payload))

    def pack(self, payload_type: int, timestamp: int, payload: bytes, *, depth: int) -> bytes:
        """A RED payload: the frame with up to `depth` frames before it, as many as fit; `payload_type` is Opus's."""
        blocks: list[RedBlock] = []
        size = 1 + len(payload)
        for before, frame in reversed(self._frames):
            offset = (timestamp - before) & 0xFFFFFFFF
            size += 4 + len(frame)
            if len(blocks) == depth or not 0 < offset <= MAX_TIMESTAMP_OFFSET or size > MAX_PAYLOAD_BYTES:
                break
            if len(frame) <= MAX_BLOCK_LENGTH:
                blocks.append(RedBlock(payload_type, offset, frame))
        blocks.reverse()
        return pack(payload_type, payload, blocks)
