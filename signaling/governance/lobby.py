"""The lobby of a room: who waits there sees nothing of who is inside."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from signaling.protocol import Waiter

MAX_WAITERS = 100
"""Who comes when so many wait is refused."""


class Place:
    """Somebody's place in the lobby."""

    def __init__(self, identity: str, name: str) -> None:
        self.id = secrets.token_urlsafe(6)
        self.identity = identity
        self.name = name
        self.admitted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Done when a host, or the end of the room, has decided."""


class Lobby:
    """Those who wait, in the order they came. `changed` is called when it is another list."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._places: dict[str, Place] = {}
        self._changed = changed

    def __len__(self) -> int:
        return len(self._places)

    def view(self) -> tuple[Waiter, ...]:
        """Who waits, as hosts see it."""
        return tuple(Waiter(place.id, place.name) for place in self._places.values())

    def close(self) -> None:
        """Nobody is told of changes any more."""
        self._changed = _ignore

    def add(self, identity: str, name: str) -> Place:
        """Let somebody wait. Raises ValueError when too many do."""
        if len(self._places) >= MAX_WAITERS:
            raise ValueError("Too many people are waiting to be let in.")
        place = Place(identity, name)
        self._places[place.id] = place
        self._changed()
        return place

    def leave(self, place: Place) -> None:
        """Somebody waits no longer. Leaving twice is leaving once."""
        if self._places.pop(place.id, None) is not None:
            self._changed()

    def decide(self, place_id: str | None, admitted: bool) -> list[Place]:
        """Let in or send away one, or with None all; who it was, empty when nobody has this id."""
        chosen = [place for place in self._places.values() if place_id in (None, place.id)]
        for place in chosen:
            del self._places[place.id]
            if not place.admitted.done():
                place.admitted.set_result(admitted)
        if chosen:
            self._changed()
        return chosen

    def send_away(self, identity: str) -> None:
        """Refuse all places of one person."""
        for place in [place for place in self._places.values() if place.identity == identity]:
            self.decide(place.id, False)

    def first(self) -> str | None:
        """Id of who waits longest."""
        return next(iter(self._places), None)


def _ignore() -> None:
    """The room is closed."""
