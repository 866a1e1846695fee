"""How every room is governed, by name: in memory, and through `save` where it outlives the process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from signaling.governance.policy import Charter, Policy


class Charters:
    """What is stored of the government of rooms, of those that are not open too.

    `save` gets each change, None for a charter that is no more; it must not block. `written` waits until what was
    saved is stored, and raises StoreError if it is not.
    """

    def __init__(
        self,
        stored: dict[str, Charter] | None = None,
        *,
        save: Callable[[str, Charter | None], None] | None = None,
        written: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._charters = stored or {}
        self._save = save
        self._written = written

    def get(self, room: str) -> Charter:
        """The charter of a room; a new one where there is none."""
        return self._charters.get(room) or Charter()

    def kept(self) -> list[str]:
        """Names of the rooms that an administrator has made."""
        return [name for name, charter in self._charters.items() if charter.kept]

    def put(self, room: str, charter: Charter | None) -> None:
        """Keep a charter; None, or one that says nothing, is forgotten."""
        before = self._charters.get(room)
        if charter is None or charter == Charter():
            if self._charters.pop(room, None) is None:
                return
            charter = None
        else:
            self._charters[room] = charter
        if self._save is not None and (before is not None or charter is not None):
            self._save(room, charter)

    async def written(self) -> None:
        """Wait until every change before this is stored. Raises StoreError."""
        if self._written is not None:
            await self._written()

    def settle(self, open_rooms: Iterable[str], *, vouched: bool, now: float) -> list[tuple[str, str, float]]:
        """End the meetings that a restart has ended, for nobody of them came back: room, meeting, when it began."""
        over = []
        for room in self._charters.keys() - set(open_rooms):
            charter = self._charters[room]
            if charter.meeting:
                over.append((room, charter.meeting, charter.started_at))
            self.put(room, Policy(charter, vouched=vouched).end(now=now))
        return over

    def forget_person(self, identity: str) -> None:
        """Forget roles of a person everywhere; bans stay, or the person would come back."""
        for room, charter in list(self._charters.items()):
            if charter.standings.pop(identity, None) is not None:
                self.put(room, charter)
