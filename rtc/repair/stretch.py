"""Speech made a little shorter or longer without changing its pitch (WSOLA: Verhelst and Roelands, ICASSP 1993).

One splice takes out, or puts in once more, a piece as long as one or more periods of the voice: where the sound
after the piece is most like the sound at its beginning, one fades into the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
"""PCM of shape (samples, channels)."""

OVERLAP = 240
"""Samples of the cross-fade, 5 ms at 48 kHz."""

SHORTEST = 120
"""Samples of the shortest piece, 2.5 ms: the period of a very high voice (400 Hz)."""


def shortened(pcm: Samples, *, most: int, likeness: float, least: int = SHORTEST) -> Samples:
    """`pcm` less one piece of `least` to `most` samples; `pcm` itself where nothing is alike enough.

    `likeness` is the correlation asked for at the splice, -1 to 1. First and last sample stay what they were.
    """
    piece = _piece(pcm, least, most, likeness)
    if not piece:
        return pcm
    rest = pcm[piece + OVERLAP :]
    return np.concatenate((_faded(pcm[:OVERLAP], pcm[piece : piece + OVERLAP]), rest))


def lengthened(pcm: Samples, *, most: int, likeness: float, least: int = SHORTEST) -> Samples:
    """`pcm` with one piece of `least` to `most` samples played twice; `pcm` itself where nothing is alike enough."""
    piece = _piece(pcm, least, most, likeness)
    if not piece:
        return pcm
    again = _faded(pcm[piece : piece + OVERLAP], pcm[:OVERLAP])
    return np.concatenate((pcm[:piece], again, pcm[OVERLAP:]))


def _piece(pcm: Samples, least: int, most: int, likeness: float) -> int:
    """Length of the piece after which the sound is most like its beginning; 0 when none is alike enough."""
    most = min(most, len(pcm) - OVERLAP)
    if most < least:
        return 0
    mono = pcm.sum(axis=1, dtype=np.float32)
    head = mono[:OVERLAP]
    windows = np.lib.stride_tricks.sliding_window_view(mono[least : most + OVERLAP], OVERLAP)
    energies = np.concatenate(([0.0], np.cumsum(mono[least : most + OVERLAP].astype(np.float64) ** 2)))
    norms = np.sqrt((energies[OVERLAP:] - energies[:-OVERLAP]) * float(head @ head))
    correlations: NDArray[Any] = (windows @ head + 1.0) / (norms + 1.0)  # silence is like silence
    best = int(np.argmax(correlations))
    return least + best if correlations[best] >= likeness else 0


def _faded(start: Samples, end: Samples) -> Samples:
    ramp = np.linspace(0.0, 1.0, len(start), dtype=np.float32)[:, None]
    mixed: Samples = np.rint(start * (1.0 - ramp) + end * ramp).astype(np.int16)
    return mixed
