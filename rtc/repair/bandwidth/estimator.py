"""What a path carries, told from what arrives over it: queueing delay, delivered rate, and loss beyond chance.

Loss alone says little: radio loses packets at any rate. A full link shows by a queue that grows, or, where it has
none, by loss that comes with more being sent. What it delivers meanwhile is its capacity.
"""

from __future__ import annotations

from enum import Enum

from .delay import STEP_SECONDS, QueueDelay
from .loss import TRIAL_SHARE, ChanceLoss, Trial
from .rate import RateMeter

RATE_SECONDS = 0.5
"""Delivered rate is measured over this long: several frames."""

BUSY_SECONDS = 0.12
"""While there is a queue, the link is busy and what it delivers is its capacity: measured since it began, for so long
at least."""

BUSY_PACKETS = 4
"""Beside that, the time of so many packets."""

QUEUE_SECONDS = 0.015
"""A queue this long is nothing to worry about; beside it stand the time of one packet and the path's own wavering."""

PACKET_BITS = 10_000
"""The largest packet, bit: what its own sending takes is no queue."""

MOST_EXCESS = 0.003
"""As long as nothing has shown what a path carries, a queue up to twice as long counts only when its excess adds up to
this, s²: 10 ms too long for 0.3 s. A computer that is late for a moment makes such ones without a full link."""

NOISE_SHARE = 2.0
"""How often the mean wavering of the path a queue must be longer than, to be one."""

BACKOFF = 0.9
"""Share of its capacity that a full link gets, so that the queue drains; less the longer the queue is."""

DRAIN_SECONDS = 0.8
"""A queue is to be gone after about this long."""

MIN_BACKOFF = 0.5
"""Share of its capacity that a link gets at least while its queue drains."""

STEP_DOWN = 0.2
"""Share of the estimate that STEP_SECONDS of congestion leave at least: what looks slow may be one stalled packet."""

ADDITIVE_BITS = 60_000
"""bit/s by which the estimate rises every second near the known capacity: equal for all, so that flows become fair."""

MULTIPLICATIVE = 1.0
"""Share by which it rises every second while no capacity is known: it doubles."""

MAX_OVER_DELIVERED = 1.6
"""The estimate rises no further than this many times what was delivered lately: that much was shown to fit."""

FILLED = 0.6
"""Share of the estimate that must be in use before it rises: what nobody uses was not tried. Chromium uses 0.75."""

CAPACITY_BAND = 1.15
"""Delivered so much more than the known capacity, without a queue: the link has become wider."""

SETTLE_SECONDS = 0.3
"""Between the end of congestion and the next rise."""

UNDECIDED_SECONDS = 1.0
"""A link that was full is thought to be so for this long when a packet waited of which it is not known for what."""

STUCK_SECONDS = 5.0
"""A delay that stays this long although the sender has made way is a longer path, not a queue."""

MADE_WAY = 1.2
"""The sender makes way if it sends no more than this many times the estimate."""


class State(Enum):
    """What the path seems to do."""

    INCREASE = "increase"
    HOLD = "hold"
    CONGESTED = "congested"


class BandwidthEstimator:
    """bit/s that one path carries, headers of UDP and IP included.

    Feed it every packet that arrives (`arrived`, or `delivered` for those whose time of sending is unknown) and what
    was lost, then call `update` every 50 ms or so. All rates are bit/s, times seconds.
    """

    def __init__(self, *, start: float, least: float, most: float) -> None:
        self.bitrate = start
        """What the path carries, so far as is known."""
        self.least = least
        self.most = most
        self.state = State.INCREASE
        self.capacity: float | None = None
        """What it delivered when it was last full; None while that is not known, or no longer true."""
        self.delay = QueueDelay()
        self.loss = ChanceLoss()
        self._rate = RateMeter(window=RATE_SECONDS)
        self._updated: float | None = None
        self._calm_at = 0.0
        self._congested_at = float("-inf")
        self._congested_since = 0.0
        self._clear_at = 0.0
        self._excess = 0.0
        self._before_congestion = start
        self._before_trial: tuple[float, float | None] = start, None

    def arrived(self, size: int, *, sent: float, arrived: float) -> None:
        """A packet of `size` bytes arrived; the two times are of any two clocks."""
        self.delay.packet(size, sent=sent, arrived=arrived)
        self._rate.received(size, now=arrived)
        self.loss.delivered(size)

    def delivered(self, size: int, *, now: float) -> None:
        """A packet arrived of which nobody knows when it was sent."""
        self._rate.received(size, now=now)
        self.loss.delivered(size)

    def counted(self, *, expected: int, lost: int, runs: int, now: float) -> None:
        """Of `expected` packets sent since the last call so many were lost, in so many runs."""
        if not self.is_crowded(now=now):
            self.loss.counted(expected=expected, lost=lost, runs=runs, now=now)

    def is_crowded(self, *, now: float, within: float = SETTLE_SECONDS) -> bool:
        """Whether the link was full `within` so many seconds: what a full queue drops says nothing of chance."""
        return now - self._congested_at <= within

    def delivered_bitrate(self, *, now: float) -> float:
        """bit/s that arrived lately."""
        return self._rate.bitrate(now=now)

    @property
    def queue_limit(self) -> float:
        """A longer queue, in seconds, is congestion."""
        return QUEUE_SECONDS + PACKET_BITS / self.bitrate + NOISE_SHARE * self.delay.noise

    def probed(self, bitrate: float) -> None:
        """A burst at this rate came through without a queue, or was slowed down to it."""
        self.bitrate = min(max(self.bitrate, bitrate), self.most)
        if self.capacity is not None and bitrate > CAPACITY_BAND * self.capacity:
            self.capacity = None

    def update(self, *, now: float) -> int:
        """Judge anew; the estimate in bit/s."""
        elapsed = 0.0 if self._updated is None else min(max(now - self._updated, 0.0), 1.0)
        self._updated = now
        queue = self.delay.seconds(now=now) or 0.0
        arrives = self._rate.bitrate(now=now) > 0
        limit = self.queue_limit
        if self.delay.undecided and self.is_crowded(now=now, within=UNDECIDED_SECONDS):
            self._congested_at = now
        if queue <= limit / 2:
            self._clear_at = now
        self._excess = self._excess + (queue - limit) * elapsed if queue > limit else 0.0
        sure = self.capacity is not None or queue > 2 * limit or self._excess >= MOST_EXCESS
        if arrives and queue > limit and sure:
            self.loss.abandon()
            self._back_off(queue, elapsed, now)
        elif (
            not arrives or self.delay.undecided or self._on_trial(now)
            or queue > limit / 2 or now - self._congested_at < SETTLE_SECONDS
        ):
            self.state = State.HOLD
        else:
            self.state = State.INCREASE
            if now - self._calm_at >= STEP_SECONDS:
                self._calm_at = now
                self.delay.calm()
                self.loss.calm(now=now)
            if self.capacity is not None:
                # It was less only until the queue was gone.
                self.bitrate = max(self.bitrate, BACKOFF * self.capacity)
            self._increase(elapsed, now)
        self.bitrate = min(max(self.bitrate, self.least), self.most)
        return int(self.bitrate)

    def _on_trial(self, now: float) -> bool:
        """See whether what is lost is lost because the link is full."""
        before = self.loss.trial
        trial = self.loss.advance(now=now)
        if trial is not before:
            delivered = self._rate.bitrate(now=now)
            if trial is Trial.LEVEL:
                self._before_trial = self.bitrate, self.capacity
                self.bitrate = min(self.bitrate, delivered / (1 - self.loss.share))
            elif trial is Trial.LESS:
                # Less than is sent: who uses only a part of the rate would not notice otherwise.
                self.bitrate = TRIAL_SHARE * min(self.bitrate, self.loss.level_bitrate)
            elif trial is Trial.FULL:
                self.capacity = delivered
                self.bitrate = min(self.bitrate, BACKOFF * delivered)
            elif trial is Trial.CHANCE:
                self.bitrate, self.capacity = self._before_trial
        return trial is not Trial.NONE

    def _back_off(self, queue: float, elapsed: float, now: float) -> None:
        if now - self._congested_at > SETTLE_SECONDS:
            self._congested_since = now
            self._before_congestion = self.bitrate
        self.state = State.CONGESTED
        self._congested_at = now
        delivered = self._rate.bitrate(now=now)
        if now - self._congested_since > STUCK_SECONDS and delivered < MADE_WAY * self.bitrate:
            self._congested_since = now
            self.delay.rebase()
            return
        busy = max(BUSY_SECONDS + BUSY_PACKETS * PACKET_BITS / self.bitrate, now - self._clear_at)
        since, until = self.delay.still
        if since < now - busy < until:
            busy = now - since  # what came in a clump after it was delivered in all that time
        if busy < RATE_SECONDS:
            delivered = self._rate.newest(busy)
        self.capacity = delivered / (1 - self.loss.surely_chance)
        wanted = self.capacity * max(BACKOFF - queue / DRAIN_SECONDS, MIN_BACKOFF)
        least = self.bitrate * STEP_DOWN ** min(elapsed / STEP_SECONDS, 1.0)
        self.bitrate = min(max(wanted, least), self._before_congestion)

    def _increase(self, elapsed: float, now: float) -> None:
        sent = self._rate.bitrate(now=now) / (1 - self.loss.chance)
        if sent < FILLED * self.bitrate:
            return
        if self.capacity is not None and sent > CAPACITY_BAND * self.capacity:
            self.capacity = None
        if sent > CAPACITY_BAND * self.bitrate:
            self.bitrate = max(self.bitrate, BACKOFF * self._rate.bitrate(now=now))
        rise = MULTIPLICATIVE * self.bitrate if self.capacity is None else ADDITIVE_BITS
        self.bitrate = max(self.bitrate, min(self.bitrate + rise * elapsed, MAX_OVER_DELIVERED * sent))
