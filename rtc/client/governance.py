"""How the room is governed, and what a host may do about it: `call.governance`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rtc.client import events, protocol
from rtc.client.protocol import Ban, Permissions, RoomSettings, Waiter

Ask = Callable[[Callable[[int], protocol.Command]], Awaitable[protocol.Reply]]


class Governance:
    """What this call may do and how its room is governed, kept up to date by the server.

    The methods are for hosts, but for `report`; they raise CallError, `not-permitted` for who is none.
    """

    def __init__(self, ask: Ask) -> None:
        self.permissions = Permissions()
        self.settings = RoomSettings()
        self.waiters: tuple[Waiter, ...] = ()
        """Who waits in the lobby; known to hosts."""
        self._ask = ask

    def joined(self, state: protocol.Joined) -> None:
        """Take over how everything stands."""
        self.permissions, self.settings, self.waiters = state.permissions, state.settings, state.waiters

    def apply(self, message: protocol.GovernanceEvent) -> list[events.CallEvent]:
        """Take over a message; the events that it means. Of roles the roster knows."""
        if isinstance(message, protocol.PermissionsChanged):
            self.permissions = message.permissions
            return [events.PermissionsChanged(message.permissions)]
        if isinstance(message, protocol.RoomChanged):
            self.settings = message.settings
            return [events.RoomChanged(message.settings)]
        if isinstance(message, protocol.LobbyChanged):
            self.waiters = message.waiters
            return [events.LobbyChanged(message.waiters)]
        if isinstance(message, protocol.UnmuteAsked):
            return [events.UnmuteAsked(message.by, message.kind)]
        return []

    async def change(
        self, *, locked: bool | None = None, lobby: bool | None = None, default_role: str | None = None,
        max_participants: int | None = None, max_publications: int | None = None,
    ) -> None:
        """Change what is given of the settings of the room."""
        await self._ask(
            lambda number: protocol.SetRoom(
                id=number, locked=locked, lobby=lobby, default_role=default_role,
                max_participants=max_participants, max_publications=max_publications,
            )
        )

    async def set_role(self, participant: str, role: str) -> None:
        """Make somebody a "host", a "speaker" or a "listener"."""
        await self._ask(lambda number: protocol.SetRole(id=number, participant=participant, role=role))

    async def silence(self, participant: str | None, kind: str = "audio", *, silenced: bool = True) -> None:
        """Mute the "audio" or "video" of somebody, who cannot unmute; None: of all who are no hosts."""
        await self._ask(
            lambda number: protocol.Silence(id=number, participant=participant, kind=kind, silenced=silenced)
        )

    async def ask_unmute(self, participant: str, kind: str = "audio") -> None:
        """Ask somebody to unmute, and allow it."""
        await self._ask(lambda number: protocol.AskUnmute(id=number, participant=participant, kind=kind))

    async def admit(self, waiter: str | None = None, *, admitted: bool = True) -> None:
        """Let somebody in from the lobby or send them away; None: all."""
        await self._ask(lambda number: protocol.Admit(id=number, waiter=waiter, admitted=admitted))

    async def remove(self, participant: str) -> None:
        """Put somebody out until the room ends."""
        await self._ask(lambda number: protocol.Remove(id=number, participant=participant))

    async def ban(self, participant: str, *, seconds: float | None = None, reason: str = "") -> None:
        """Put somebody out for so many seconds, or for ever."""
        await self._ask(
            lambda number: protocol.BanPerson(id=number, participant=participant, seconds=seconds, reason=reason)
        )

    async def unban(self, identity: str) -> None:
        """Let somebody come back."""
        await self._ask(lambda number: protocol.Unban(id=number, identity=identity))

    async def bans(self) -> tuple[Ban, ...]:
        """Who may not come in."""
        return (await self._ask(lambda number: protocol.ListBans(id=number))).bans

    async def end(self) -> None:
        """End the room for everybody."""
        await self._ask(lambda number: protocol.EndRoom(id=number))

    async def report(self, participant: str, reason: str = "") -> None:
        """Report somebody to the people responsible for the server."""
        await self._ask(lambda number: protocol.Report(id=number, participant=participant, reason=reason))
