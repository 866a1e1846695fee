"""Which rows of an outbox go to the kernel as one: equal datagrams to one address (UDP GSO, Linux 4.18)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_SEGMENTS = 32
"""Datagrams in one: the kernel takes 64, and 65,507 bytes, which so many rows of an outbox never reach."""

WORTHWHILE_ROWS = 40
"""Below this many rows the sorting, some 25 µs, costs more than the kernel saves."""


def segment(
    destinations: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None:
    """The rows in the order to send them, and where in it each message begins; None when all stay by themselves.

    Datagrams to one address keep their order. Those of a message are equally long, but for a last shorter one.
    """
    count = len(destinations)
    if count < WORTHWHILE_ROWS:
        return None
    order = np.argsort(destinations, kind="stable")
    ordered = destinations[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return None
    sizes = lengths[order]
    shorter = same & (sizes[1:] < sizes[:-1])
    begins = np.ones(count, np.bool_)
    begins[1:] = ~same | (sizes[1:] > sizes[:-1])
    begins[2:] |= shorter[:-1]
    starts = np.flatnonzero(begins)
    places = np.arange(count) - np.repeat(starts, np.diff(starts, append=count))
    begins |= places % MAX_SEGMENTS == 0
    return order, np.flatnonzero(begins)
