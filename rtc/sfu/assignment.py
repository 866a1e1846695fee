"""Which publications a listener's slots carry: a policy without state."""

from __future__ import annotations

from collections.abc import Sequence


def assign(current: Sequence[str | None], wanted: Sequence[str]) -> list[str | None]:
    """Fill slots with the first of `wanted` (ids, most wanted first); who is wanted keeps the slot he has.

    `current` says what each slot carries now, None for nothing. More slots than wishes stay empty.
    """
    chosen = list(dict.fromkeys(wanted))[: len(current)]
    kept = [held if held in chosen else None for held in current]
    newcomers = iter([one for one in chosen if one not in kept])
    return [held if held is not None else next(newcomers, None) for held in kept]
