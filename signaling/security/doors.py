"""What every door asks before it opens: how often an address, a token and a room are tried, how many wait outside."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from signaling.security.throttle import AddressThrottle, Throttle, household

MAX_OUTSIDE = 1000
"""WebSockets that have not joined yet, of the whole server."""
MAX_OUTSIDE_OF_ADDRESS = 100
"""Of one address; a whole school may sit behind it."""


class Doors:
    """The limits of one server. Rates are per second, with what may come at once."""

    def __init__(self) -> None:
        self.connections = AddressThrottle(20.0, 200.0)
        """WebSockets of one address: whoever loses the connection tries some ten times a minute."""
        self.joins_of_token = Throttle(5.0, 100.0)
        """Joins and lines with one token, which may be an invitation for a whole class."""
        self.joins_of_room = Throttle(50.0, 300.0)
        """Joins into one room."""
        self.whip = AddressThrottle(20.0, 200.0)
        """WHIP and WHEP requests of one address: some clients send every candidate by itself."""
        self.api_address = AddressThrottle(100.0, 500.0)
        """API requests of one address."""
        self.api_token = Throttle(50.0, 500.0)
        """API requests of one administrator."""
        self._outside: Counter[str] = Counter()

    def refuse_join(self, token: str, room: str | None, *, now: float) -> tuple[str, float] | None:
        """Count an attempt to join a room, or with None to be reachable.

        When it is one too many: by which rule, and the seconds to wait.
        """
        if token:
            wait = self.joins_of_token.wait(hashlib.sha256(token.encode()).hexdigest(), now=now)
            if wait > 0:
                return "join-token", wait
        wait = 0.0 if room is None else self.joins_of_room.wait(room, now=now)
        return ("join-room", wait) if wait > 0 else None

    @contextmanager
    def outside(self, remote: str) -> Iterator[bool]:
        """A context in which a connection has not joined yet; whether there is a place for it."""
        where = household(remote)
        if self._outside.total() >= MAX_OUTSIDE or (where and self._outside[where] >= MAX_OUTSIDE_OF_ADDRESS):
            yield False
            return
        self._outside[where] += 1
        try:
            yield True
        finally:
            self._outside[where] -= 1
            if not self._outside[where]:
                del self._outside[where]
