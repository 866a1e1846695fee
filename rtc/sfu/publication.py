"""A track that a peer offers to its room, and where a listener finds it."""

from __future__ import annotations

from dataclasses import dataclass

from .source import Source


@dataclass(slots=True)
class Publication:
    """What listeners choose from; its RTP is its source's."""

    id: str
    peer_id: str
    mid: str
    kind: str
    source: Source
    muted: bool = False


@dataclass(slots=True, frozen=True)
class SlotView:
    """What a slot carries now."""

    mid: str
    kind: str
    publication: str | None
    participant: str | None
