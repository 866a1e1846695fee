"""Who comes into a room and what they may do there: plain values, no clock and no socket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from signaling.protocol import Ban, ErrorCode, Kind, Role, RoomSettings
from signaling.tokens import Grants

MAX_BANS = 1000
"""Bans of one room."""
MAX_STANDINGS = 2000
"""People of one room whose role is remembered while they are away; the oldest are forgotten first."""


class Standing(msgspec.Struct, omit_defaults=True):
    """What hosts have decided about one person; it outlives the person's session."""

    role: Role | None = None
    silenced: tuple[Kind, ...] = ()
    admitted: bool = False
    """Was inside already: neither lobby nor lock is for this person."""


class Charter(msgspec.Struct, omit_defaults=True):
    """All that is stored about the government of a room."""

    settings: RoomSettings = RoomSettings()
    bans: dict[str, Ban] = {}
    """By identity."""
    standings: dict[str, Standing] = {}
    """By identity."""
    kept: bool = False
    """Made by an administrator: stays when nobody is there."""
    meeting: str = ""
    """Id of the meeting that is going on."""
    started_at: float = 0.0
    """When it began, Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of somebody who knocks."""

    outcome: Literal["enter", "wait", "refuse"]
    code: ErrorCode = "not-permitted"
    """Of a refusal."""
    message: str = ""
    """Of a refusal, for the person."""


class Policy:
    """The government of one room.

    `vouched`: tokens say who is who. Where they do not, a name proves nothing, so restrictions follow a name and
    privileges do not.
    """

    def __init__(self, charter: Charter, *, vouched: bool) -> None:
        self.charter = charter
        self.vouched = vouched

    @property
    def settings(self) -> RoomSettings:
        """How the room is governed now."""
        return self.charter.settings

    # --- coming in ----------------------------------------------------------------------------------------

    def judge(self, identity: str, grants: Grants, *, hosted: bool, now: float) -> Verdict:
        """Whether somebody may come in; `hosted` says that a host is inside or was already. `now` is Unix time."""
        ban = self.ban_of(identity, now=now)
        if ban is not None:
            return Verdict("refuse", "banned", _ban_sentence(ban))
        if grants.room_admin or self._was_inside(identity):
            return Verdict("enter")
        if not self.vouched and not hosted:
            return Verdict("enter")  # who becomes the host
        if self.settings.locked:
            return Verdict("refuse", "locked", "The room is locked: nobody can come in now.")
        return Verdict("wait" if self.settings.lobby else "enter")

    def entitle(self, identity: str, grants: Grants, *, hosted: bool) -> Grants:
        """What somebody who comes in may do: what the token says, and what hosts have decided."""
        if not self.vouched and not hosted:
            return with_role(grants, "host")
        standing = self.charter.standings.get(identity)
        if standing is None or standing.role is None:
            if grants.room_admin or self.settings.default_role == "speaker":
                return grants
            return with_role(grants, "listener")
        if not self.vouched and standing.role != "listener":
            return grants if self.settings.default_role == "speaker" else with_role(grants, "listener")
        return with_role(grants, standing.role)

    def entered(self, identity: str) -> None:
        """Somebody is inside now."""
        if self.vouched:
            self._standing(identity).admitted = True

    def silenced(self, identity: str) -> tuple[Kind, ...]:
        """What hosts have muted of somebody."""
        standing = self.charter.standings.get(identity)
        return standing.silenced if standing else ()

    # --- what hosts decide --------------------------------------------------------------------------------

    def change(self, **settings: object) -> bool:
        """Change settings that are not None; whether that changed anything."""
        given = {name: value for name, value in settings.items() if value is not None}
        changed = msgspec.structs.replace(self.settings, **given)
        is_new = changed != self.settings
        self.charter.settings = changed
        return is_new

    def set_role(self, identity: str, role: Role) -> None:
        """Remember a role."""
        self._standing(identity).role = role

    def silence(self, identity: str, kind: Kind, silenced: bool) -> None:
        """Remember that the sound or the pictures of somebody are muted, or no longer."""
        standing = self._standing(identity)
        others = tuple(each for each in standing.silenced if each != kind)
        standing.silenced = (*others, kind) if silenced else others

    def ban(self, ban: Ban, *, now: float) -> None:
        """Keep somebody out. Raises ValueError when there are too many bans."""
        self.forget_expired(now=now)
        bans = self.charter.bans
        if ban.identity not in bans and len(bans) >= MAX_BANS:
            raise ValueError(f"A room keeps {MAX_BANS} bans; lift one first.")
        bans[ban.identity] = ban
        standing = self.charter.standings.get(ban.identity)
        if standing:
            standing.admitted = False

    def unban(self, identity: str) -> bool:
        """Let somebody come back; False when nothing kept them out."""
        return self.charter.bans.pop(identity, None) is not None

    def ban_of(self, identity: str, *, now: float) -> Ban | None:
        """What keeps somebody out now."""
        ban = self.charter.bans.get(identity)
        return ban if ban is not None and _stands(ban, now) else None

    def bans(self, *, now: float) -> tuple[Ban, ...]:
        """What keeps people out now."""
        return tuple(ban for ban in self.charter.bans.values() if _stands(ban, now))

    def forget_expired(self, *, now: float) -> None:
        """Drop the bans that are over."""
        self.charter.bans = {identity: ban for identity, ban in self.charter.bans.items() if _stands(ban, now)}

    def forget(self, identity: str) -> None:
        """Forget all about somebody but a ban."""
        self.charter.standings.pop(identity, None)

    # --- the end ------------------------------------------------------------------------------------------

    def end(self, *, now: float) -> Charter | None:
        """What outlives the room: bans with a date and, of a room that is kept, its settings; None: nothing."""
        self.forget_expired(now=now)
        bans = {identity: ban for identity, ban in self.charter.bans.items() if not ban.removal}
        if self.charter.kept:
            return Charter(settings=self.settings, bans=bans, kept=True)
        return Charter(bans=bans) if bans else None

    def _was_inside(self, identity: str) -> bool:
        standing = self.charter.standings.get(identity)
        return self.vouched and standing is not None and (standing.admitted or standing.role == "host")

    def _standing(self, identity: str) -> Standing:
        standings = self.charter.standings
        standing = standings.pop(identity, None) or Standing()
        standings[identity] = standing
        while len(standings) > MAX_STANDINGS:
            del standings[next(iter(standings))]
        return standing


def role_of(grants: Grants) -> Role:
    """The role of somebody who may do this."""
    if grants.room_admin:
        return "host"
    return "speaker" if grants.can_publish else "listener"


def with_role(grants: Grants, role: Role) -> Grants:
    """The same person in another role."""
    return replace(grants, room_admin=role == "host", can_publish=role != "listener")


def _stands(ban: Ban, now: float) -> bool:
    return ban.until is None or ban.until > now


def _ban_sentence(ban: Ban) -> str:
    return "A host has removed you from this room." if ban.removal else "You are banned from this room."
