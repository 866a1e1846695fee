"""How much of a video stream somebody receives."""

from __future__ import annotations

from typing import NamedTuple


class Level(NamedTuple):
    """The highest spatial and temporal layer of it."""

    spatial: int
    temporal: int


EVERYTHING = Level(255, 255)
