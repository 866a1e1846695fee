"""What happens in rooms and who did it, as values: the audit log and the webhooks are written from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import structlog

from signaling.protocol import Publication

Happening = Literal[
    "room_started", "room_finished", "participant_joined", "participant_left", "participant_connection_aborted",
    "track_published", "track_unpublished",
]
"""Named as LiveKit's webhooks."""
Act = Literal[
    "room_created", "room_changed", "room_deleted", "room_ended", "role_set", "permissions_set", "silenced",
    "silence_lifted", "unmute_asked", "admitted", "denied", "removed", "banned", "unbanned", "reported",
    "message_sent", "token_revoked", "person_exported", "person_erased", "drain_set",
]
"""Acts of governance: in the audit log only."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as the records name them."""

    identity: str
    name: str = ""
    participant: str = ""
    """Id in the room, "" for who is in none."""
    kind: str = ""
    """web, python, whip or whep; api for who acts through the API."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened."""

    what: Happening | Act
    at: float
    """Unix time in seconds."""
    room: str = ""
    room_id: str = ""
    """Of this meeting: the next one in a room of the same name has another."""
    who: Person | None = None
    whom: Person | None = None
    publication: Publication | None = None
    detail: Mapping[str, str | float | bool | None] = field(default_factory=dict)
    """Never the text of a message, nor a secret."""


class Journal:
    """Passes facts on to whoever keeps them, in order. A keeper that fails hurts nobody."""

    def __init__(self) -> None:
        self._keepers: list[Callable[[Fact], None]] = []

    def add(self, keep: Callable[[Fact], None]) -> None:
        """Tell `keep` of every fact from now on; it must not block."""
        self._keepers.append(keep)

    def note(self, fact: Fact) -> None:
        """Something has happened."""
        for keep in self._keepers:
            try:
                keep(fact)
            except Exception:
                log.exception("a fact could not be kept", what=fact.what)
