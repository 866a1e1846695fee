"""How long a receiver of video should wait before it shows a frame, so that repairs come in time.

Left to itself a receiver shows each frame as soon as it is whole: on a path with losses the picture then stands
still for every repair and hurries after it. With a delay as long as nearly all repairs take, it moves evenly.
"""

from __future__ import annotations

import math

LEAST_LOSS = 0.03
"""With less on a path, what a receiver does by itself is enough: most repairs take one round trip."""

LATE_SHARE = 3e-4
"""Share of packets that may come so late that the picture freezes: at 200 packets a second one in 17 s."""

HITCH_SECONDS = 0.08
"""By how much more than the delay a packet may be late: the picture stands for 0.11 s then, which is no freeze. To
wait for these too would make every picture as much later, and the sound that is to go with it."""

REQUEST_LOST = 0.05
"""Share of round trips in which none of our requests to a publisher, or its answer, arrives in spite of repetition."""

TIMERS_SECONDS = 0.01
"""What timers at both ends add to each round of requests."""

STEP_SECONDS = 0.05
"""Delays are multiples of this, since each change makes a receiver play slower or faster for a while."""

MAX_SECONDS = 0.8
"""Longest delay asked for: with more, people talk at the same time."""

SPARE_SECONDS = 0.02
"""A shorter delay has to leave so much to spare: what is measured wavers, and each change is seen."""

HOLD_SECONDS = 10.0
"""A shorter delay is taken only when it would have sufficed for as long."""

FALL_SECONDS = 2.0
"""From one step down to the next: the sound that a page plays with the picture is to follow without being heard to."""


def uplink_seconds(loss: float, rtt: float, *, answers: int = 1) -> float:
    """By how much repaired packets are late on the way from a publisher, all but LATE_SHARE of them.

    It answers so many times in a round trip (see `requests_a_round_trip`); `loss` is the share lost on the path.
    """
    return _tail(loss, loss, min(loss + REQUEST_LOST, 1.0), rtt, answers)


def downlink_seconds(loss: float, rtt: float, *, copies: int, requests: int = 1) -> float:
    """The same on the way to a receiver that asks so many times in a round trip and gets so many copies of all."""
    left = loss**copies
    return _tail(loss, left, 1 - (1 - loss) * (1 - left), rtt, requests)


def _tail(loss: float, left: float, failing: float, rtt: float, tries: int) -> float:
    if loss < LEAST_LOSS or left <= LATE_SHARE:
        return 0.0
    if failing >= 1:
        return MAX_SECONDS
    rounds = math.log(LATE_SHARE / left) / math.log(failing)
    return rtt + rounds * (rtt / tries + TIMERS_SECONDS)


class PlayoutDelay:
    """The delay that one receiver is asked for: longer at once, shorter after a while and bit by bit."""

    __slots__ = ("_enough", "_since", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._enough = 0.0
        self._since = 0.0

    def update(self, uplink: float, downlink: float, *, now: float) -> bool:
        """Take how late repairs are on both ways; True when the delay has changed.

        Both are seldom at their worst for the same packet: their tails add up like independent errors.
        """
        late = math.hypot(uplink, downlink) - HITCH_SECONDS
        wanted = _steps(late)
        if wanted >= self.seconds:
            changed = wanted > self.seconds
            self.seconds, self._enough, self._since = wanted, 0.0, now
            return changed
        self._enough = max(self._enough, _steps(late + SPARE_SECONDS) if late > 0 else 0.0)
        if now - self._since < HOLD_SECONDS:
            return False
        if self.seconds <= self._enough:
            self._enough, self._since = 0.0, now
            return False
        self.seconds = max(self._enough, round(self.seconds - STEP_SECONDS, 2))
        self._since = now - HOLD_SECONDS + FALL_SECONDS
        return True


def _steps(late: float) -> float:
    return min(MAX_SECONDS, round(math.ceil(max(0.0, late) / STEP_SECONDS) * STEP_SECONDS, 2))
