"""In which sizes a camera is sent at once (RFC 8853), and what each may take. No IO."""

from __future__ import annotations

from collections.abc import Sequence

RIDS = ("q", "h")
"""From the smallest to the largest, as the call page names them; the picture is sent in one size if it is small."""

PIXELS_FOR_TWO = 480 * 270
"""Pixels of a picture from which it is sent in two sizes; the call page does so too."""

MOST = ((180, 150_000), (240, 200_000), (360, 550_000))
"""Bit/s that are of use to a picture of up to so many lines."""

MAX_BITRATE = 1_500_000
"""Bit/s at most for a larger one; where aiortc's VP8 encoder stops too."""

LEAST = ((240, 80_000),)
"""Bit/s below which a picture of up to so many lines is not worth looking at."""

MIN_BITRATE = 250_000
"""The same for a larger one; where aiortc's VP8 encoder stops."""

BITRATE_STEPS = (
    80_000, 110_000, 150_000, 200_000, MIN_BITRATE, 325_000, 420_000, 550_000, 710_000, 925_000, 1_200_000, MAX_BITRATE,
)  # fmt: skip
"""Bit rates are rounded down to these: each change beyond 10 % costs aiortc's encoders a key frame."""


def scales_of(width: int, height: int, layers: int) -> tuple[int, ...]:
    """By how much a picture is made smaller for each layer that it is sent in, of so many that may be sent."""
    return (2, 1) if layers > 1 and width * height >= PIXELS_FOR_TWO else (1,)


def scaled(size: int, scale: int) -> int:
    """Width or height of a layer in pixels: even, as 4:2:0 wants it."""
    return max(2, size // scale // 2 * 2)


def share(available: int, lines: Sequence[int]) -> list[int]:
    """Bit/s for each of the pictures of these lines, the smallest first, when so many bit/s are available for all.

    A larger picture gets what the smaller ones leave, and nothing where that is too little; the first gets its least
    whatever happens.
    """
    shares = []
    for place, each in enumerate(lines):
        least, most = _bound(LEAST, each, MIN_BITRATE), _bound(MOST, each, MAX_BITRATE)
        bitrate = 0 if place and available < least else _quantised(min(max(available, least), most))
        available -= bitrate
        shares.append(bitrate)
    return shares


def _bound(table: Sequence[tuple[int, int]], lines: int, beyond: int) -> int:
    return next((bitrate for most, bitrate in table if lines <= most), beyond)


def _quantised(bitrate: int) -> int:
    return max(step for step in BITRATE_STEPS if step <= bitrate)
