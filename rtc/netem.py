"""A seeded network: what one direction of a bad link does to datagrams. Without I/O or clock of its own.

A datagram first waits at the bottleneck (or is dropped there), then may be lost, doubled or held back on its
way. Same seed, same datagrams, same times: same outcome.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from random import Random

HEADER_BYTES = 28
"""Bytes that a datagram takes on the link beside its own: IPv4 (RFC 791) and UDP (RFC 768) headers."""

ROUNDING = 1e-9  # of a share, so that a loss of 0.8 has bursts of 4


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """What a link does. Shares are 0 to 1, times are seconds. Raises ValueError for what no link can do.

    Losses are independent while `burst` is 1, so that runs of them have a mean length of 1 / (1 - loss).
    With a longer `burst` they follow Gilbert's model (Bell System Technical Journal 39, 1960): all are lost
    in its bad state and none in its good one.
    """

    #: Share of the datagrams past the bottleneck that are lost.
    loss: float = 0.0
    #: Mean length of a run of losses, in datagrams; 1 for independent losses.
    burst: float = 1.0
    #: The way itself, one direction.
    delay: float = 0.0
    #: Standard deviation of what is added to or taken from the delay; it never changes the order.
    jitter: float = 0.0
    #: Share of the datagrams that are held back and may be overtaken.
    reorder: float = 0.0
    #: How long those are held back.
    reorder_delay: float = 0.03
    #: Share of the datagrams that arrive twice, at the same time.
    duplicate: float = 0.0
    #: Bits a second of the bottleneck, headers counted; None for no limit.
    bandwidth: float | None = None
    #: The longest wait at the bottleneck; a datagram that would wait longer is dropped.
    queue: float = 0.2

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        for name in ("delay", "jitter", "reorder_delay", "queue"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is a time in seconds and cannot be {getattr(self, name)}")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise ValueError(f"bandwidth is more than 0 bit/s, not {self.bandwidth}")
        if not self.burst >= 1:
            raise ValueError(f"burst is a mean length of 1 datagram or more, not {self.burst}")
        shortest = self.loss / (1 - self.loss) if self.loss < 1 else 1.0
        if self.burst > 1 and self.burst < shortest * (1 - ROUNDING):
            raise ValueError(f"at a loss of {self.loss} bursts are {shortest:.3g} datagrams or longer")


class _LossModel:
    """Which datagrams are lost: one random number each, so that a seed means the same losses at any delay."""

    __slots__ = ("_bad", "_random")

    def __init__(self, seed: int | str) -> None:
        self._random = Random(f"{seed} loss")  # noqa: S311 -- a simulation
        self._bad: bool | None = None  # Gilbert's state after the last datagram; None before the first

    def next(self, profile: LinkProfile) -> bool:
        """Return whether the next datagram is lost."""
        draw = self._random.random()
        loss, burst = profile.loss, profile.burst
        if burst == 1 or loss in {0, 1} or self._bad is None:
            self._bad = draw < loss
        elif self._bad:
            self._bad = draw >= 1 / burst
        else:
            self._bad = draw < loss / (burst * (1 - loss))
        return self._bad


class Link:
    """One direction of a link. `profile` may be replaced at any time; what is under way keeps its time."""

    __slots__ = (
        "_arrived", "_free", "_last", "_loss", "_random", "_under_way",
        "delivered", "duplicated", "lost", "profile", "queue_dropped", "sent",
    )  # fmt: skip

    def __init__(self, profile: LinkProfile, *, seed: int | str) -> None:
        self.profile = profile
        #: Datagrams handed in; dropped at the bottleneck; lost after it; doubled; handed out, copies counted.
        self.sent = 0
        self.queue_dropped = 0
        self.lost = 0
        self.duplicated = 0
        self.delivered = 0
        self._loss = _LossModel(seed)
        self._random = Random(f"{seed} way")  # noqa: S311 -- a simulation
        self._free = 0.0  # when the bottleneck has sent all it holds
        self._last = 0.0  # when the last datagram arrives that kept its place
        self._under_way: list[tuple[float, int, bytes]] = []
        self._arrived = 0  # a running number: those that arrive at the same time keep their order

    def send(self, datagram: bytes | bytearray | memoryview, *, now: float) -> None:
        """Put a datagram (copied unless it is bytes) on the link at `now`, which never goes back."""
        profile = self.profile
        self.sent += 1
        leaves = now
        if profile.bandwidth is not None:
            begins = max(now, self._free)
            if begins - now > profile.queue:
                self.queue_dropped += 1
                return
            leaves = self._free = begins + (len(datagram) + HEADER_BYTES) * 8 / profile.bandwidth
        if self._loss.next(profile):
            self.lost += 1
            return
        arrives = leaves + profile.delay
        if profile.jitter:
            arrives = max(leaves, arrives + self._random.gauss(0, profile.jitter))
        if profile.reorder and self._random.random() < profile.reorder:
            arrives = max(arrives, self._last) + profile.reorder_delay
        else:
            arrives = self._last = max(arrives, self._last)
        copies = 1
        if profile.duplicate and self._random.random() < profile.duplicate:
            self.duplicated += 1
            copies = 2
        for _ in range(copies):
            self._arrived += 1
            heapq.heappush(self._under_way, (arrives, self._arrived, bytes(datagram)))

    def receive(self, *, now: float) -> list[bytes]:
        """Return what has arrived by `now`, first come first; each is handed out once."""
        under_way = self._under_way
        arrived = []
        while under_way and under_way[0][0] <= now:
            arrived.append(heapq.heappop(under_way)[2])
        self.delivered += len(arrived)
        return arrived

    def next_time(self) -> float | None:
        """When the next datagram arrives; None when nothing is under way."""
        return self._under_way[0][0] if self._under_way else None
