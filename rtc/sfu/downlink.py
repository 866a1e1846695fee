"""What the path to a listener carries of video, told from its transport-wide feedback."""

from __future__ import annotations

from functools import cached_property

from rtc.repair.bandwidth.estimator import BandwidthEstimator, State
from rtc.repair.bandwidth.loss import Trial
from rtc.repair.bandwidth.sent import Arrival, SentPackets
from rtc.repair.copies import CopiesController, LossShare
from rtc.repair.pacing import FACTOR, FULL_FACTOR, MAX_WAIT_SECONDS, Pacer
from rtc.wire.twcc import TransportFeedback

START_BITRATE = 1_000_000
"""bit/s assumed at first."""

LEAST_BITRATE = 50_000
"""bit/s below which no estimate falls: with nothing sent, nothing would tell what fits."""

MOST_BITRATE = 20_000_000
"""bit/s above which it does not matter."""

OVERHEAD_BYTES = 28 + 16
"""IPv4, UDP and the tag of SRTP, beside the RTP packet."""

RESEND_SHARE = 0.6
"""Share of the estimate that repair may take."""

RESEND_BURST_SECONDS = 0.5
"""So much of it may be sent at once."""

PROBE_RATIO = 2.0
"""A probe is sent at this many times the estimate."""

PROBE_SECONDS = 0.06
"""So long a probe lasts: where the link is full already it adds as much to the queue."""

MIN_PROBE_PACKETS = 5
"""Packets of a probe at least."""

MAX_PROBE_PACKETS = 60
"""Packets of a probe at most."""

MIN_PROBE_ARRIVALS = 4
"""Packets of it that must arrive for it to tell anything."""

PROBE_ON_SECONDS = 0.2
"""The next probe follows one that came through after this long."""

PROBE_AGAIN_SECONDS = 2.5
"""And one that did not after this long."""

CALM_SECONDS = 1.0
"""There is no probe for this long after congestion."""

CAME_THROUGH = 0.85
"""A probe that arrives at this share of the rate that it was sent with has met no full link."""

FULL_SHARE = 0.9
"""Share of what a full link delivered of a probe that is thought to fit."""

BLIND_GROWTH = 0.5
"""Share by which the estimate rises each second while nothing is sent that could tell."""

BLIND_SECONDS = 1.0
"""It begins to when nothing was sent for so long, and where what is sent then turns out to be too much, after twice as
long the next time."""

MAX_BLIND_SECONDS = 8.0
"""The longest such time."""

COUNTED_SECONDS = 4.0
"""What a receiver says that it has lost of audio is counted over two seconds, and told of after one or more."""

FAILED_SECONDS = 10.0
"""What is too much turns out to be within this time."""


class Downlink:
    """The path to one listener: numbers and paces its video, and judges what fits. Rates are bit/s."""

    def __init__(self) -> None:
        self.sent = SentPackets()
        self.remb: int | None = None
        """What the listener itself says that its link carries, if it does."""
        self.budget: int | None = None
        """What the path carries of video; None while nothing is known of it."""
        self.copies = CopiesController()
        """Of all that is numbered."""
        self._after_copies = LossShare()
        self._pacer = Pacer(MOST_BITRATE)
        self._sent_at = float("-inf")
        self._heard_at = float("-inf")
        self._updated = 0.0
        self._congested_at = float("-inf")
        self._was_full = False
        self._probe: _Probe | None = None
        self._next_probe = 0.0
        self._blind_after = BLIND_SECONDS
        self._blind_at = float("-inf")
        self._resends = 0.0
        self._resends_at = 0.0

    @cached_property
    def estimator(self) -> BandwidthEstimator:
        """What the path carries; made when something flows, since most who are idle never need it."""
        return BandwidthEstimator(start=START_BITRATE, least=LEAST_BITRATE, most=MOST_BITRATE)

    def departs(self, size: int, *, now: float, most: float = MAX_WAIT_SECONDS) -> tuple[int, float]:
        """Number, and time of leaving, of a packet of `size` bytes without the tag of SRTP; `most` as of the pacer."""
        size += OVERHEAD_BYTES
        self._sent_at = now
        probe = self._probe
        if probe is None or not probe.left:
            at = self._pacer.departs(size, now=now, most=most)
            return self.sent.sent(size, at=at), at
        at = probe.departs(size, now)
        self._pacer.occupy(at)
        number = self.sent.sent(size, at=at)
        probe.left -= 1
        probe.last = self.sent.number
        return number, at

    @property
    def free_at(self) -> float:
        """When all that was given to it so far has left."""
        return self._pacer.free_at

    def may_resend(self, size: int, *, now: float) -> bool:
        """Whether a packet that is asked for goes out again: what is repaired must leave room for what is new."""
        if not self.knows or not self._was_full:
            return True
        rate = RESEND_SHARE * self.estimator.bitrate / 8
        self._resends = min(self._resends + (now - self._resends_at) * rate, RESEND_BURST_SECONDS * rate)
        self._resends_at = now
        if self._resends < size:
            return False
        self._resends -= size
        return True

    def feedback(self, feedback: TransportFeedback, *, now: float) -> int:
        """Take the listener's feedback; returns of how many packets it speaks that it cannot know of."""
        self._heard_at = now
        unknown, skipped, spoken_of = self.sent.unknown, self.sent.skipped, self.sent.spoken_of
        arrivals = self.sent.acknowledged(feedback, now=now)
        expected = lost = runs = 0
        was_lost = False
        for arrival in arrivals:
            again = arrival.number <= spoken_of
            follows, was_lost = was_lost, arrival.arrived is None
            if arrival.arrived is not None:
                self.estimator.arrived(arrival.size, sent=arrival.sent, arrived=arrival.arrived)
            if not self.estimator.is_crowded(now=arrival.sent):
                # What a full queue dropped is told of long after, when it may be full no more.
                expected += not again
                lost += 1 if was_lost else -again
                runs += was_lost and not follows
        if self.sent.skipped > skipped:
            # Feedback was lost, not what it spoke of.
            arrived = (self.sent.skipped - skipped) * (1 - self._after_copies.share)
            self.estimator.delivered(round(arrived), now=now)
        self._judge_probe(arrivals, now)
        self.update(now=now)
        self.estimator.counted(expected=expected, lost=lost, runs=runs, now=now)
        if not self.estimator.is_crowded(now=now):
            # Copies would fill a full link all the more.
            self._after_copies.counted(expected=expected, lost=lost)
        return self.sent.unknown - unknown

    @property
    def knows(self) -> bool:
        """Whether the listener gives feedback at all."""
        return self._heard_at > 0

    def most_by_chance(self, copies: int, *, now: float) -> float:
        """Share of audio lost lately, with all of so many copies, that no full queue dropped: 1 where nothing is known.

        Sound that is sent more often for what it did drop would keep it full.
        """
        if not self.knows or not self.estimator.is_crowded(now=now, within=COUNTED_SECONDS):
            return 1.0
        return self.copies.path_loss**copies

    def judge_copies(self, *, now: float) -> None:
        """See how often to send each packet."""
        if self.knows and self.copies.reported(self._after_copies.share, now=now):
            self._after_copies.expect(self.copies.path_loss**self.copies.protection.copies)

    def update(self, *, now: float) -> None:
        """Judge anew what the path carries; feedback does so too."""
        elapsed = min(now - self._updated, 1.0)
        self._updated = now
        if not self.knows:
            self.budget = self.remb
            return
        estimator = self.estimator
        # As long as all is sent, less cannot be tried.
        estimator.loss.may_try = self._was_full
        estimator.update(now=now)
        if estimator.state is State.CONGESTED:
            self._congested_at = now
            self._was_full = True
        self._grow_blindly(elapsed, now)
        if not self._was_full:
            # Nothing has shown that it carries less than all: neither waits nor smaller pictures for caution's sake.
            self._pacer.bitrate = self.budget = MOST_BITRATE
            return
        self._pacer.bitrate = estimator.bitrate
        self._pacer.factor = FACTOR if estimator.capacity is None else FULL_FACTOR
        # What is lost by chance will be sent again.
        self.budget = int(estimator.bitrate * (1 - min(self.estimator.loss.chance, RESEND_SHARE)))

    def _grow_blindly(self, elapsed: float, now: float) -> None:
        """Where all pictures are paused there is nothing to probe with: one must be tried, but not again and again."""
        if now - self._sent_at > self._blind_after:
            self._blind_at = now
            rate = self.estimator.bitrate * (1 + BLIND_GROWTH * elapsed)
            self.estimator.bitrate = min(rate, float(MOST_BITRATE))
        elif 0 <= self._congested_at - self._blind_at <= FAILED_SECONDS:
            self._blind_after = min(2 * self._blind_after, MAX_BLIND_SECONDS)
            self._blind_at = float("inf")
        elif now - self._blind_at > FAILED_SECONDS:
            self._blind_after = BLIND_SECONDS

    def plan_probe(self, size: int, *, now: float) -> int:
        """How many packets of `size` bytes to send beyond the media to learn whether more fits; 0 for not now.

        The next so many packets are the probe.
        """
        calm = now - self._congested_at > CALM_SECONDS and self.estimator.loss.trial is Trial.NONE
        if not self.knows or not calm or now < self._next_probe:
            return 0
        self._next_probe = now + PROBE_AGAIN_SECONDS
        rate = PROBE_RATIO * self.estimator.bitrate
        packets = round(rate * PROBE_SECONDS / 8 / (size + OVERHEAD_BYTES))
        packets = min(max(packets, MIN_PROBE_PACKETS), MAX_PROBE_PACKETS)
        self._probe = _Probe(rate, packets, self.sent.number + 1, max(now, self._pacer.free_at))
        return packets

    def _judge_probe(self, arrivals: list[Arrival], now: float) -> None:
        probe = self._probe
        if probe is None or not arrivals:
            return
        probe.arrivals += [one for one in arrivals if one.arrived is not None and probe.first <= one.number]
        if probe.left or arrivals[-1].number < probe.last:
            return
        self._probe = None
        rate = probe.outcome()
        if rate is None:
            return
        if rate > self.estimator.bitrate:
            self._next_probe = now + PROBE_ON_SECONDS
        self.estimator.probed(rate)


class _Probe:
    """Packets in a row, faster than the path is known to carry."""

    def __init__(self, rate: float, packets: int, first: int, now: float) -> None:
        self.rate = rate
        self.left = packets
        self.first = first
        self.last = first
        self.arrivals: list[Arrival] = []
        self._free = now

    def departs(self, size: int, now: float) -> float:
        """When the next packet of the probe leaves."""
        at = max(self._free, now)
        self._free = at + size * 8 / self.rate
        return at

    def outcome(self) -> float | None:
        """The rate that came through, or that a full link delivered; None when too little arrived to tell."""
        came = sorted((one.arrived or 0.0, one.sent, one.size) for one in self.arrivals if one.number <= self.last)
        if len(came) < MIN_PROBE_ARRIVALS:
            return None
        bits = 8 * sum(size for _, _, size in came[1:])
        took = came[-1][0] - came[0][0]
        lasted = max(sent for _, sent, _ in came) - min(sent for _, sent, _ in came)
        if lasted <= 0:
            return None
        if took <= lasted / CAME_THROUGH:
            return bits / lasted
        return FULL_SHARE * bits / took
