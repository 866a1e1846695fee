"""Who is to be looked after when, so that those who need nothing now cost nothing."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

MIN_STALE = 64
"""Entries of appointments that were moved since, from which on they are cleared away when they are the most."""


class Agenda(Generic[T]):
    """One appointment for each of many; times in seconds."""

    def __init__(self) -> None:
        self._appointed: dict[T, float] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._appointed)

    def put(self, who: T, at: float) -> None:
        """Look after `who` at this time and no other."""
        if self._appointed.get(who) == at:
            return
        self._appointed[who] = at
        self._order += 1  # entries of one time are not compared any further
        heappush(self._heap, (at, self._order, who))
        if len(self._heap) > MIN_STALE + 4 * len(self._appointed):
            self._heap = [entry for entry in self._heap if self._appointed.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def hurry(self, who: T, at: float) -> None:
        """Look after `who` at this time, if it was to be later; nothing for who was never put in, or was removed."""
        if at < self._appointed.get(who, -math.inf):
            self.put(who, at)

    def remove(self, who: T) -> None:
        """Never look after `who`; harmless when nobody would."""
        self._appointed.pop(who, None)

    def due(self, *, now: float) -> list[T]:
        """Those whose time has come, earliest first: each is to be put in again."""
        found: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, who = heappop(self._heap)
            if self._appointed.get(who) == at:
                self._appointed[who] = math.inf
                found.append(who)
        return found
