"""A track that a peer offers to its room, and where a listener finds it."""

from __future__ import annotations

from dataclasses import dataclass

from .demand import Demand
from .source import Source


@dataclass(slots=True)
class Publication:
    """What listeners choose from; its RTP is that of its sources."""

    id: str
    peer_id: str
    mid: str
    kind: str
    encodings: tuple[Source, ...]
    """Its simulcast encodings in the order of the offer; mostly one."""
    demand: Demand
    muted: bool = False
    patient: bool = False
    """Whether its pictures are of use however late they come: a screen, of which a page of text stands for long."""
    told: tuple[tuple[str, ...], bool] | None = None
    """RIDs that its publisher was last told are wanted, and whether in place of all; None before the first time."""

    @property
    def source(self) -> Source:
        """Its only source; the first encoding of simulcast."""
        return self.encodings[0]


@dataclass(slots=True, frozen=True)
class SlotView:
    """What a slot carries now."""

    mid: str
    kind: str
    publication: str | None
    participant: str | None
