"""Which layer of each picture a listener gets for what its path carries: a policy without state.

First everybody gets the least, in order; what is left raises the pictures step by step. A step down takes frames
before it takes sharpness: of one spatial layer all temporal ones are tried before the spatial layer below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RAISE_MARGIN = 0.15
"""Share that must be to spare, beyond what a step up costs, before it is taken: a step down needs no such margin.

Rates of layers and of the path waver by about this much within seconds.
"""

FRAMES_MARGIN = 0.05
"""The same for more frames of the same size: such a step costs no key frame, and is taken back at once."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A way to send a picture."""

    spatial: int
    """0 is the smallest picture: a simulcast stream or a spatial layer."""
    temporal: int
    """0 has the fewest frames."""
    bitrate: int
    """bit/s of this layer and all below it that it needs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one slot could show."""

    layers: tuple[Layer, ...]
    """What its source sends now, in any order."""
    current: Layer | None = None
    """What it shows now; None when it is paused."""
    priority: int = 0
    """Pictures of a lower number are raised to their best before those of a higher one get more than the least."""


def is_enough(budget: int, most: Sequence[int]) -> bool:
    """Whether `allocate` gives every slot its best, whatever it shows now: each takes `most` bit/s at most."""
    return budget >= (1 + RAISE_MARGIN) * sum(most)


def allocate(budget: int, wanted: Sequence[Wanted]) -> list[Layer | None]:
    """The layer of each slot, None for what must be paused; most wanted first.

    `budget` is in bit/s. Together the layers cost no more than that.
    """
    ladders = [sorted(one.layers, key=lambda layer: (layer.spatial, layer.temporal)) for one in wanted]
    chosen: list[Layer | None] = [None] * len(wanted)
    left = budget
    for place, (one, ladder) in enumerate(zip(wanted, ladders, strict=True)):
        least = min(ladder, key=lambda layer: layer.bitrate, default=None)
        if least is not None and _price(least, None, one.current) <= left:
            chosen[place] = least
            left -= least.bitrate
    for priority in sorted({one.priority for one in wanted}):
        raised = [place for place, one in enumerate(wanted) if one.priority == priority]
        while raised:
            raised = [place for place in raised if chosen[place] is not None]
            for place in list(raised):
                better = _next(ladders[place], chosen[place], wanted[place].current, left)
                if better is None:
                    raised.remove(place)
                    continue
                before = chosen[place]
                left -= better.bitrate - (0 if before is None else before.bitrate)
                chosen[place] = better
    return chosen


def _next(ladder: Sequence[Layer], chosen: Layer | None, current: Layer | None, left: int) -> Layer | None:
    """The next better layer that can be paid; a layer above it may cost less, and then is better still."""
    if chosen is None:
        return None
    rank = _rank(chosen)
    return next(
        (layer for layer in ladder if _rank(layer) > rank and _price(layer, chosen, current) <= left), None
    )


def _price(layer: Layer, chosen: Layer | None, current: Layer | None) -> float:
    """What a step from `chosen` to `layer` takes of what is left; more when the listener does not have it yet."""
    step = layer.bitrate - (0 if chosen is None else chosen.bitrate)
    if current is not None and _rank(layer) <= _rank(current):
        return step
    same_size = current is not None and layer.spatial == current.spatial
    return step + (FRAMES_MARGIN if same_size else RAISE_MARGIN) * layer.bitrate


def _rank(layer: Layer) -> tuple[int, int]:
    return layer.spatial, layer.temporal
