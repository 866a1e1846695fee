"""Which sizes of a picture an uplink sends that cannot carry all that are wanted: a policy with little state.

Libwebrtc fills the smallest encoding first, and what is left makes a large one of two frames a second: it makes a
picture smaller that does not fit its rate only as long as it sends it in one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

NARROW = 0.5
"""With less than this share of what the largest takes, it is given up for the smallest at once: that begins with a
small key frame, while the encoder of the large one needs seconds to give in."""

SMALLEST_SECONDS = 1.0
"""The smallest is sent alone for so long at least: what the path carries is known by then."""

WIDER = 1.4
"""Once the path carries so many times the smallest, a larger one alone is better."""

ALL = 0.8
"""Once it carries this share of what all take together, all are sent."""

CHOPPY = 0.5
"""A larger one with less than this share of the frames of the smallest is worse than it."""

CHOPPY_SECONDS = 0.8
"""For so long it must have been."""

MIN_FPS = 8.0
"""A smallest with fewer frames says nothing: that is what the camera gives."""


class Size(NamedTuple):
    """One encoding, as it comes now."""

    wanted: bool
    chosen: bool
    """Whether it is the best that somebody can have."""
    live: bool
    bitrate: int
    """bit/s when it last came."""
    fps: float


class Sending(Enum):
    """What is sent of what is wanted."""

    ALL = "all"
    SMALLEST = "smallest"
    LARGEST = "largest"


class Sizes:
    """Follows one track."""

    def __init__(self) -> None:
        self.sending = Sending.ALL
        self._since = 0.0
        self._usual: list[int] = []
        self._fluent_at = 0.0

    def choose(self, sizes: Sequence[Size], *, uplink: int | None, now: float) -> list[bool]:
        """Which of them to send, smallest first; `uplink` is what the publisher may send of video, bit/s, if known."""
        self._learn(sizes, uplink)
        wanted = [place for place, size in enumerate(sizes) if size.wanted]
        if uplink is None or not wanted or wanted[-1] == 0:
            self._become(Sending.ALL, now)
            return [size.wanted for size in sizes]
        smallest, largest = 0, wanted[-1]
        small, large = sizes[smallest], sizes[largest]
        if not (small.live and large.live and small.fps >= MIN_FPS and large.fps < CHOPPY * small.fps):
            self._fluent_at = now
        smaller_chosen = any(size.chosen for size in sizes[:largest])
        together = sum(self._usual[place] for place in wanted)
        if self.sending is Sending.SMALLEST:
            if now - self._since >= SMALLEST_SECONDS and uplink >= WIDER * max(small.bitrate, self._usual[0]):
                if uplink >= ALL * together:
                    self._become(Sending.ALL, now)
                elif not smaller_chosen:
                    self._become(Sending.LARGEST, now)
        elif large.live and uplink < NARROW * large.bitrate:
            self._become(Sending.SMALLEST, now)
        elif smaller_chosen:
            self._become(Sending.ALL, now)
        elif now - self._fluent_at >= CHOPPY_SECONDS:
            self._become(Sending.LARGEST, now)
        if self.sending is Sending.ALL:
            return [size.wanted for size in sizes]
        only = smallest if self.sending is Sending.SMALLEST else largest
        return [place == only for place in range(len(sizes))]

    def _learn(self, sizes: Sequence[Size], uplink: int | None) -> None:
        if len(self._usual) != len(sizes):
            self._usual = [0] * len(sizes)
        at_ease = uplink is not None and uplink > 1.2 * sum(size.bitrate for size in sizes if size.live)
        for place, size in enumerate(sizes):
            if size.live and (at_ease or size.bitrate > self._usual[place]):
                self._usual[place] = size.bitrate

    def _become(self, sending: Sending, now: float) -> None:
        if sending is not self.sending:
            self.sending, self._since, self._fluent_at = sending, now, now
