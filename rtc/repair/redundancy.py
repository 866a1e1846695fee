"""How much to protect a stream of audio before it is sent: RED depth (RFC 2198) and copies, from what was lost."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from rtc.wire.red import MAX_BLOCK_LENGTH, MAX_TIMESTAMP_OFFSET, RedBlock, pack

CLOCK_RATE = 48000
"""Timestamp units per second; Opus always (RFC 7587 section 4.1)."""

TARGET_RESIDUAL = 0.0005
"""Share of frames that protection alone may leave lost on one hop: those that come too late are more."""

MIN_LOSS = 0.003
"""Less is left to NACK: protection would cost more than it brings."""

MAX_DEPTH = 17
"""Redundant frames of 20 ms that fit into the 14-bit timestamp offset: 341 ms."""

MAX_COPIES = 4
"""With more, what is left of the loss is too little to judge the path by."""

QUICK_DEPTH = 3
"""Depth that costs little delay, 60 ms at most: copies are added before more depth, since they arrive sooner.

A datagram's headers weigh as much as a frame, so that both cost about the same rate.
"""

MAX_FRAMES = 32
"""How often a frame is sent at most, copies times frames in each: 0.1 % of them are lost then at a loss of 80 %."""

MAX_BITRATE = 900_000
"""Bit/s that one protected stream takes on the wire at most, headers and copies counted: 13 times plain Opus."""

HEADER_BYTES = 66
"""Of a datagram: IPv4, UDP, RTP with MID and audio level, the tag of SRTP."""

BLOCK_HEADER_BYTES = 4
"""Of a redundant frame (RFC 2198 3)."""

COPY_SPACING_SECONDS = 0.004
"""Between two copies of a packet: four fit into a frame, and a short burst does not hit all."""

MAX_PAYLOAD_BYTES = 1100
"""Longest RED payload, so that the datagram fits every path."""

WINDOW_PACKETS = 100
"""Loss is measured over so many packets: it wavers by 5 points at 50 %."""

CHANGED_DEVIATIONS = 4.0
"""The loss of WINDOW_PACKETS is this many standard deviations off its mean once in 15,000 times by chance."""

WINDOW_SECONDS = 2.0
"""The same in time, at 20 ms a packet."""

SMOOTHING_SECONDS = 4.0
"""Over which what was measured is averaged while it wavers no more than chance does."""

HOLD_SECONDS = 3.0
"""Protection rises at once and falls when for this long less would have done."""

MAX_HOLD_SECONDS = 60.0
"""The same where fewer copies proved too few."""

REGRET_SECONDS = 6.0
"""When copies are added again within this time of their being fewer, that was a mistake."""

BURST_MEMORY_SECONDS = 15.0
"""Bursts show in few of the losses, and are averaged for longer."""

BURST_DOUBT = 20
"""Lost packets that must speak for bursts before these are believed in more than by half."""

MEMORYLESS = 0.1
"""A datagram that is lost by no more than this more often after a lost one says nothing of bursts."""

ASSUMED_BURST = 1.5
"""Mean packets lost in a row, until measured."""


@dataclass(slots=True, frozen=True)
class Protection:
    """What is done to each packet before it leaves."""

    depth: int = 0
    """Redundant frames in a packet, those before its own."""
    copies: int = 1
    """How often each datagram is sent."""
    spacing: float = COPY_SPACING_SECONDS
    """Seconds between two copies."""

    @property
    def frames(self) -> int:
        """How often each frame is sent."""
        return self.copies * (self.depth + 1)


NONE = Protection()
"""No protection."""


@dataclass(slots=True, frozen=True)
class Frames:
    """The frames of a stream, which say how much redundancy fits into MAX_BITRATE."""

    size: float = 50.0
    """Mean bytes; unless known, those of a speaker that has lowered its rate to make room."""
    seconds: float = 0.02

    def deepest(self, copies: int) -> int:
        """Redundant frames that packets have room for when each is sent so many times; negative when none is left."""
        packet = min(MAX_BITRATE / 8 * self.seconds / copies - HEADER_BYTES, MAX_PAYLOAD_BYTES)
        fitting = (packet - 1 - self.size) / (self.size + BLOCK_HEADER_BYTES)
        return min(math.floor(fitting), MAX_FRAMES // copies - 1, int(MAX_TIMESTAMP_OFFSET / CLOCK_RATE / self.seconds))


def choose(
    loss: float, stay: float, *,
    max_depth: int = MAX_DEPTH, max_copies: int = MAX_COPIES, frames: Frames = Frames(),
) -> Protection:
    """The least protection that leaves TARGET_RESIDUAL or less, quickly if it can be; what is best within the budget.

    `loss` is the share of datagrams lost; `stay` how often one is lost if that before it was (Gilbert): `loss` itself
    on a path without memory, more where losses come in bursts.
    """
    if loss < MIN_LOSS:
        return NONE
    loss = min(loss, 0.95)
    stay = min(max(stay, loss), 0.98)
    chosen, left = NONE, loss
    for copies in range(1, max_copies + 1):
        deepest = min(max_depth, frames.deepest(copies))
        if deepest < 0 and copies > 1:
            break
        residual = loss * stay ** (copies - 1)
        depth = 0
        while residual > TARGET_RESIDUAL and depth < deepest:
            residual *= stay**copies
            depth += 1
        residual = max(residual, TARGET_RESIDUAL)
        if residual < left or (residual == left and depth < chosen.depth):
            chosen, left = Protection(depth, copies), residual
        if left == TARGET_RESIDUAL and depth <= QUICK_DEPTH:
            break
    return chosen


class ProtectionController:
    """Follows what one receiver misses: up at once, down when less has done for a while."""

    __slots__ = (
        "_bursts", "_copies", "_fewer_at", "_first", "_hold", "_last", "_losses", "_max_copies", "_memory", "_wanted",
        "frames", "loss", "max_depth", "protection",
    )

    def __init__(self, *, max_depth: int = MAX_DEPTH, max_copies: int = MAX_COPIES) -> None:
        self.protection = NONE
        self.max_depth = max_depth
        self.frames = Frames()
        self.loss = 0.0
        """Share of datagrams that the path loses, 0 to 1: each copy counted by itself."""
        self._max_copies = max_copies
        self._first: float | None = None
        self._last = 0.0
        self._copies: deque[tuple[float, int]] = deque([(-math.inf, 1)])
        self._wanted: deque[tuple[float, Protection]] = deque()
        self._hold = HOLD_SECONDS
        self._fewer_at = -math.inf
        self._bursts = self._losses = 0.0
        self._memory = 0.0
        """How often a datagram is lost if that before it was, where that is more often than the others."""

    def reported(self, loss: float, burst: float, *, now: float) -> bool:
        """Take what was measured over WINDOW_PACKETS: share lost, mean lost in a row. True when protection changed."""
        if loss == 0 and self._first is not None and self.is_clean:
            self._last = now
            return False
        passed = 0.0 if self._first is None else min(max(0.0, now - self._last), WINDOW_SECONDS)
        self._last = now
        copies = self._copies_of_late(now)
        path = _path_loss(loss, self._memory, copies)
        if self._first is None:
            self._first, self.loss = now, path
        weight = 1.0 if now - self._first < WINDOW_SECONDS else min(1.0, passed / SMOOTHING_SECONDS)
        wavers = min(0.1, 0.02 + 0.3 * path)
        self.loss = min(max(self.loss + (path - self.loss) * weight, path - wavers), path + wavers)
        mean = sum(number * share for number, share in copies)
        lost = loss * WINDOW_PACKETS * passed / WINDOW_SECONDS
        self._note_burst(lost, (1 - 1 / max(burst, 1.0)) ** (1 / mean), passed)
        stay = max(self._memory, self.loss)
        return self._apply(
            choose(self.loss, stay, max_depth=self.max_depth, max_copies=self._max_copies, frames=self.frames), now
        )

    @property
    def is_clean(self) -> bool:
        """Whether nothing was ever lost lately, so that a report of no loss changes nothing."""
        # Mostly it is the very object, and comparing two takes longer than all the rest.
        return self.loss == self._losses == 0 and (self.protection is NONE or self.protection == NONE)

    def _note_burst(self, lost: float, stay: float, passed: float) -> None:
        """So many packets more were lost, each datagram of them after another with this probability."""
        keep = math.exp(-passed / BURST_MEMORY_SECONDS)
        self._bursts = self._bursts * keep + stay * lost
        self._losses = self._losses * keep + lost
        stay = (self._bursts + self.loss * BURST_DOUBT) / (self._losses + BURST_DOUBT)
        self._memory = stay if stay > self.loss + MEMORYLESS else 0.0

    def _apply(self, wanted: Protection, now: float) -> bool:
        before = self.protection
        while self._wanted and self._wanted[0][0] <= now - self._hold:
            self._wanted.popleft()
        self._wanted.append((now, wanted))
        after = max((each for _, each in self._wanted), key=lambda each: (each.frames, each.copies))
        if after.copies < before.copies:
            # With fewer copies more is seen of the loss: one at a time, and seldom where it was a mistake before.
            after = Protection(after.depth, before.copies - 1)
            self._wanted = deque([(now, after)])
            self._hold = max(HOLD_SECONDS, self._hold / 2)
            self._fewer_at = now
        elif after.copies > before.copies and now - self._fewer_at < REGRET_SECONDS:
            self._hold = min(MAX_HOLD_SECONDS, 4 * self._hold)
        # What was wanted while frames were shorter may not fit any more.
        after = Protection(max(0, min(after.depth, self.frames.deepest(after.copies))), after.copies)
        self.protection = after
        if after.copies != before.copies:
            self._copies.append((now, after.copies))
        return after != before

    def _copies_of_late(self, now: float) -> list[tuple[int, float]]:
        """How often packets were sent that the last WINDOW_SECONDS tell of: the numbers, and the share of each."""
        changes = self._copies
        since = now - WINDOW_SECONDS
        while len(changes) > 1 and changes[1][0] <= since:
            changes.popleft()
        edges = [max(since, changed) for changed, _ in changes] + [now]
        return [
            (copies, (until - begin) / WINDOW_SECONDS)
            for (_, copies), (begin, until) in zip(changes, pairwise(edges), strict=True)
        ]


def _path_loss(measured: float, stay: float, copies: list[tuple[int, float]]) -> float:
    """Share of datagrams lost, when `measured` of the packets are lost with all their copies."""
    if measured <= 0 or all(number == 1 for number, _ in copies):
        return min(max(measured, 0.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        lost = sum(share * middle * max(middle, stay) ** (number - 1) for number, share in copies)
        low, high = (middle, high) if lost < measured else (low, middle)
    return (low + high) / 2


class LossMeter:
    """What one receiver sees of its path before any repair: share lost and mean run of losses."""

    __slots__ = ("_highest", "_seen", "_window")

    def __init__(self, *, window: int = WINDOW_PACKETS) -> None:
        self._window = window
        self._highest = 0
        self._seen = 0
        """A bit for each of the last `window` numbers that arrived; the lowest is that of the highest number."""

    def forget(self) -> None:
        """Begin anew: what was lost before tells nothing of the path."""
        self._highest = self._seen = 0

    def received(self, sequence: int) -> None:
        """A packet with this extended number arrived by itself, neither repaired nor a second copy."""
        ahead = sequence - self._highest
        if ahead > 0:
            seen = self._seen << min(ahead, self._window) if self._seen else 0
            self._seen = (seen | 1) & ((1 << self._window) - 1)
            self._highest = sequence
        elif -ahead < self._window:
            self._seen |= 1 << -ahead

    def measure(self) -> tuple[float, float]:
        """Share lost, and mean packets lost in a row (1 when none), over the last `window` numbers."""
        seen = self._seen
        arrived, numbers = seen.bit_count(), seen.bit_length()
        if arrived < 2:
            return 0.0, 1.0
        lost = numbers - arrived
        gaps = (seen & ~(seen << 1)).bit_count() - 1  # each begins beyond a number that arrived
        return lost / numbers, lost / gaps if gaps else 1.0

    def level(self) -> float:
        """Share lost; what was before is forgotten once the last WINDOW_PACKETS say that the path has changed."""
        loss, _ = self.measure()
        lately = self._seen & ((1 << WINDOW_PACKETS) - 1)
        latest = 1 - lately.bit_count() / WINDOW_PACKETS
        chance = CHANGED_DEVIATIONS * math.sqrt(loss * (1 - loss) / WINDOW_PACKETS)
        if self._seen >> WINDOW_PACKETS and abs(latest - loss) > chance:
            self._seen = lately
            return latest
        return loss


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
