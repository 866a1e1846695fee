"""The outbox with what empties it, what is about to be written into it, and what is to be sent a little later."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush

from rtc.repair.redundancy import Protection
from rtc.transport.batch import Outbox

from .outlet import Outlet

MAX_DELAYED = 8192
"""Packets that may wait: 20 ms of 200 listeners with three copies of 50 packets a second, many times over."""


class Sender:
    """The outbox with what empties it: `flush` sends all rows and clears the box."""

    def __init__(self, outbox: Outbox, flush: Callable[[], None]) -> None:
        self.outbox = outbox
        self.flush = flush
        self.failures = 0
        """Packets that could not be protected, and so were not sent."""
        self.copies = 0
        """Copies sent, beside the packets themselves."""
        self._put_off: list[Callable[[], None]] = []
        self._delayed: list[tuple[float, int, bytes, Outlet, bool]] = []
        self._order = 0

    def put_off(self, write: Callable[[], None]) -> None:
        """Have `write` called when the sender settles, after all that has arrived was read: so it goes together."""
        self._put_off.append(write)

    @property
    def has_put_off(self) -> bool:
        """Whether something was put off, to which what comes next might belong."""
        return bool(self._put_off)

    def settle(self) -> bool:
        """Have the first of what was put off written into the outbox; False when there is none."""
        if not self._put_off:
            return False
        self._put_off.pop(0)()
        return True

    def reserve(self, rows: int) -> int:
        """First of `rows` free rows, after sending what is there if need be; at most OUTBOX_ROWS."""
        if self.outbox.free < rows:
            self.flush()
        return self.outbox.count

    def copy(self, row: int, outlet: Outlet, protection: Protection, *, now: float) -> None:
        """Send the protected packet of this row again, as often and as late as its protection says; `now` it leaves.

        Were a copy sent before what it is a copy of, the path would seem shorter than it is.
        """
        size = int(self.outbox.lengths[row])
        if not size:
            return
        data = bytes(self.outbox.rows[row][:size])
        for number in range(1, protection.copies):
            if len(self._delayed) >= MAX_DELAYED:
                return
            self._order += 1
            heappush(self._delayed, (now + number * protection.spacing, self._order, data, outlet, True))

    def hold(self, row: int, outlet: Outlet, *, at: float) -> None:
        """Let the protected packet of this row leave later."""
        size = int(self.outbox.lengths[row])
        if not size or len(self._delayed) >= MAX_DELAYED:
            return
        self._order += 1
        heappush(self._delayed, (at, self._order, bytes(self.outbox.rows[row][:size]), outlet, False))
        self.outbox.lengths[row] = 0
        outlet.held += 1

    def discard(self, outlet: Outlet, ssrcs: Collection[int]) -> None:
        """Send nothing more of what was held or copied for this listener of these streams."""
        kept = []
        for entry in self._delayed:
            _, _, data, to, is_copy = entry
            if to is outlet and int.from_bytes(data[8:12], "big") in ssrcs:
                outlet.held -= not is_copy
            else:
                kept.append(entry)
        heapify(kept)
        self._delayed = kept

    def send_due(self, *, now: float) -> None:
        """Put what was held, and the copies whose time has come, into the outbox."""
        while self._delayed and self._delayed[0][0] <= now:
            _, _, data, outlet, is_copy = heappop(self._delayed)
            outlet.held -= not is_copy
            if outlet.open:
                self.reserve(1)
                self.outbox.append(data, outlet.destination)
                self.copies += is_copy

    def next_time(self) -> float | None:
        """When `send_due` next has something to do."""
        return self._delayed[0][0] if self._delayed else None
