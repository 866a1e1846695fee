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

WIDE_AGAIN = 0.6
"""Once the path carries this share of what the largest usually takes, that is sent again."""

WIDER = 2.0
"""Where it carries so many times the smallest, and no more, a larger one is better that is made to fit."""

WIDER_SECONDS = 2.0
"""Whether it will be no more is seen for so long: a picture made to fit stays small for long."""

ALL = 0.8
"""Once it carries this share of what all take together, all are sent."""

TRY_RATIO = 1.4
"""Where somebody can have only the smallest, that takes no more than it must, and more cannot be seen to fit: if there
is room for so many times as much, all are tried."""

TRY_SECONDS = 4.0
"""For the first time after this long, after each try that failed in twice as long."""

MAX_TRY_SECONDS = 32.0
"""The longest such time."""

FAILED_SECONDS = 10.0
"""A try that ends within this time has failed."""

CHOPPY = 0.5
"""A larger one with less than this share of the frames of the smallest is worse than it."""

CHOPPY_SECONDS = 0.8
"""For so long it must have been."""

PAUSE_SECONDS = 1.5
"""It may pause for so long between two frames; one that stays away longer is not sent at all."""

MIN_FPS = 8.0
"""A smallest with fewer frames says nothing: that is what the camera gives."""

ROOM = 1.2
"""With room for so many times what is usual, less is sent only because there is less to send: that is usual now."""

ROOM_SECONDS = 2.0
"""After there has been room for so long: an encoder takes its time to use it."""


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
        self.instead = False
        """Whether one is sent in place of all to people who could have any: it may take what all would."""
        self._since = 0.0
        self._narrow_at = 0.0
        self._usual: list[int] = []
        self._short_at = 0.0
        self._large_at = float("-inf")
        """When the largest was live."""
        self._fluent_at = 0.0
        self._tried_at = float("-inf")
        self._patience = TRY_SECONDS

    def choose(self, sizes: Sequence[Size], *, uplink: int | None, now: float) -> list[bool]:
        """Which of them to send, smallest first; `uplink` is what the publisher may send of video, bit/s, if known."""
        self._learn(sizes, uplink, now)
        wanted = [place for place, size in enumerate(sizes) if size.wanted]
        if uplink is None or not wanted or wanted[-1] == 0:
            self._become(Sending.ALL, now)
            self.instead = False
            return [size.wanted for size in sizes]
        smallest, largest = 0, wanted[-1]
        smaller_chosen = any(size.chosen for size in sizes[:largest])
        self._become(self._next(sizes, wanted, smaller_chosen, uplink, now), now)
        self.instead = self.sending is not Sending.ALL and not smaller_chosen
        if self.sending is Sending.ALL:
            return [size.wanted for size in sizes]
        only = smallest if self.sending is Sending.SMALLEST else largest
        return [place == only for place in range(len(sizes))]

    def _next(
        self, sizes: Sequence[Size], wanted: Sequence[int], smaller_chosen: bool, uplink: int, now: float
    ) -> Sending:
        small, large = sizes[0], sizes[wanted[-1]]
        usual = self._usual[wanted[-1]]
        if self.sending is Sending.SMALLEST:
            return self._next_larger(wanted, self._usual[0] or small.bitrate, smaller_chosen, uplink, now)
        if large.live and uplink < NARROW * large.bitrate:
            return Sending.SMALLEST
        if large.live:
            self._large_at = now
        comes = now - self._large_at < PAUSE_SECONDS
        if not (comes and small.live and small.fps >= MIN_FPS and large.fps < CHOPPY * small.fps):
            self._fluent_at = now
        choppy = now - self._fluent_at >= CHOPPY_SECONDS
        if smaller_chosen:
            return Sending.SMALLEST if choppy and uplink < NARROW * usual else Sending.ALL
        if self.sending is Sending.LARGEST and len(wanted) == 1 and uplink >= ROOM * sum(self._usual):
            return Sending.ALL
        return Sending.LARGEST if choppy else self.sending

    def _next_larger(
        self, wanted: Sequence[int], small: int, smaller_chosen: bool, uplink: int, now: float
    ) -> Sending:
        """What comes after the smallest alone, which usually takes `small` bit/s."""
        alone, large = now - self._since, self._usual[wanted[-1]]
        if uplink < WIDER * small:
            self._narrow_at = now
        if alone < SMALLEST_SECONDS:
            return Sending.SMALLEST
        if uplink >= ALL * sum(self._usual[place] for place in wanted):
            return Sending.ALL
        if smaller_chosen:
            if alone < self._patience or uplink < TRY_RATIO * small:
                return Sending.SMALLEST
            self._tried_at = now
            return Sending.ALL
        if uplink >= WIDE_AGAIN * large or now - self._narrow_at >= WIDER_SECONDS:
            return Sending.LARGEST
        return Sending.SMALLEST

    def _learn(self, sizes: Sequence[Size], uplink: int | None, now: float) -> None:
        """What is usual of each: the most that came, less only where there was room for it."""
        if len(self._usual) != len(sizes):
            self._usual = [0] * len(sizes)
        usual = sum(each for each, size in zip(self._usual, sizes, strict=True) if size.live)
        if uplink is None or uplink < ROOM * usual or self.sending is Sending.SMALLEST:
            self._short_at = now
        if self.sending is Sending.SMALLEST:
            return  # it may take more than usual, and the others are just ending
        for place, size in enumerate(sizes):
            if size.live and (size.bitrate > self._usual[place] or now - self._short_at >= ROOM_SECONDS):
                self._usual[place] = size.bitrate

    def _become(self, sending: Sending, now: float) -> None:
        if sending is self.sending:
            return
        if sending is Sending.SMALLEST:
            failed = now - self._tried_at < FAILED_SECONDS
            self._patience = min(2 * self._patience, MAX_TRY_SECONDS) if failed else TRY_SECONDS
        self.sending, self._since, self._narrow_at, self._fluent_at = sending, now, now, now
