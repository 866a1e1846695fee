"""Which share of packets is lost by chance, and whether a link without a queue is full.

Both look the same at first. They differ in what sending less does: chance goes on, while a full link loses less. So
where loss leaps up, or more is sent and no more arrives, a trial begins: the rate is held for a moment, then less is
sent for another, and the two are compared.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from math import sqrt

WINDOW_SECONDS = 2.0
"""Loss is judged over this long."""

CHANCE_SECONDS = 4.0
"""Time constant of the loss that counts as chance."""

MIN_PACKETS = 30
"""Fewer packets within the window say nothing."""

MIN_EXCESS = 0.1
"""Share by which loss must exceed chance, at least, to be suspicious."""

EXCESS_DEVIATIONS = 4.0
"""The same in standard deviations, those of bursts: it is looked at twenty times a second."""

COMPARED_WINDOWS = 10
"""What is sent and arrives is compared with so many windows before, 20 s."""

MORE_SENT = 1.3
"""Ratio of packets sent from which on two windows can be compared."""

MORE_ARRIVES = 0.4
"""Share of the growth in what is sent that must arrive, else the link is full."""

SETTLE_SECONDS = 0.4
"""After a change of rate this long passes before it shows in what arrives."""

TRIAL_SHARE = 0.8
"""Share of the rate that is sent in a trial."""

MADE_WAY = 0.92
"""Where more of the rate is sent in a trial all the same, nothing is learned, and less is to be sent still."""

MUCH_LOSS = 0.2
"""Where as much is lost though no more is sent than was delivered, it is chance, unless a trial shows surely that it
is not: a full link loses little then."""

SURE_DEVIATIONS = 2.5
"""Standard deviations by which less must be lost for that."""

PHASE_SECONDS = 6.0
"""A trial in which too few packets come to tell anything ends after this long."""

PATIENCE_SECONDS = 4.0
"""After a trial that found chance there is none for this long, after the next such for twice as long, and so on."""

MAX_PATIENCE_SECONDS = 32.0
"""The longest such time."""

MAX_CHANCE = 0.85
"""More is never put down to chance: such a path carries nothing worth having."""

MAX_GAP = 1000
"""Numbers that may be missing at once; after a longer jump the count goes on anew."""

AWAY_PACKETS = 8
"""By chance, or for bursts, hardly ever so many are lost in a row."""


class GapCounter:
    """Counts what is missing in one run of 16-bit numbers."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._expected = self._lost = self._runs = 0

    def received(self, number: int, *, after_silence: bool = False) -> None:
        """The packet with this number came; `after_silence` when nothing at all had come for long before it.

        Where many are missing of such a silence they are not counted: a link delivers most of all when it is full, so
        it was away, or who sends was.
        """
        gap = ((number - self._highest + 0x8000) & 0xFFFF) - 0x8000 if self._highest is not None else 1
        if abs(gap) > MAX_GAP:
            gap = 1
        if gap <= 0:
            self._lost -= 1
            return
        self._highest = number
        if after_silence and gap > AWAY_PACKETS:
            gap = 1
        self._expected += gap
        self._lost += gap - 1
        self._runs += gap > 1

    def take(self) -> tuple[int, int, int]:
        """Packets sent, packets lost (fewer than 0 when some came late), and in how many runs, since the last call."""
        counts = self._expected, self._lost, self._runs
        self._expected = self._lost = self._runs = 0
        return counts


class Trial(Enum):
    """How far a trial is."""

    NONE = "none"
    LEVEL = "level"
    """The rate must not rise."""
    LESS = "less"
    """TRIAL_SHARE of it is sent."""
    FULL = "full"
    """It has just ended: less is lost, the link was full."""
    CHANCE = "chance"
    """It has just ended: as much is lost as before, the rate was not to blame."""


@dataclass(slots=True)
class _Window:
    """What was sent in WINDOW_SECONDS, and lost of it."""

    ends: float
    expected: int = 0
    lost: int = 0

    @property
    def share(self) -> float:
        return min(max(self.lost / self.expected, 0.0), 1.0) if self.expected > 0 else 0.0


class ChanceLoss:
    """Splits loss into what happens at any rate and what a full link does."""

    def __init__(self) -> None:
        self.chance = 0.0
        """Share lost whatever is sent."""
        self.suspicious = False
        """Whether more is lost than chance explains: a trial is due."""
        self._recent: deque[tuple[float, int, int, int]] = deque()
        self._expected = self._lost = self._runs = 0
        self._window: _Window | None = None
        self._before: deque[_Window] = deque(maxlen=COMPARED_WINDOWS)
        self.trial = Trial.NONE
        self.may_try = True
        """Whether less can be sent to see what comes of it; else whatever is lost without a queue is chance."""
        self._phase_ends = 0.0
        self._suspected = 0.0
        self._suspected_of = 0
        self._sent_before = 0.0
        self._octets = 0
        self._phase_began = 0.0
        self._patience = PATIENCE_SECONDS
        self._no_trial_before = float("-inf")
        self._learned_at: float | None = None

    @property
    def share(self) -> float:
        """Share lost lately, 0 to 1."""
        return min(max(self._lost / self._expected, 0.0), 1.0) if self._expected > 0 else 0.0

    @property
    def surely_chance(self) -> float:
        """Share lost of which a full link is not to blame, even if it is full now."""
        return self.chance if self._expected < MIN_PACKETS else min(self.chance, self.share)

    @property
    def level_bitrate(self) -> float:
        """bit/s sent while the rate was held in this trial."""
        return 8 * self._sent_before

    def counted(self, *, expected: int, lost: int, runs: int, now: float) -> None:
        """So many packets were sent since the last call, so many of them lost, in so many runs."""
        self._recent.append((now, expected, lost, runs))
        self._add(expected, lost, runs)
        while self._recent[0][0] <= now - WINDOW_SECONDS:
            _, old_expected, old_lost, old_runs = self._recent.popleft()
            self._add(-old_expected, -old_lost, -old_runs)
        full = None
        if self._window is None or now >= self._window.ends:
            full, self._window = self._window, _Window(now + WINDOW_SECONDS)
        self._window.expected += expected
        self._window.lost += lost
        if self.trial is Trial.NONE and self.may_try and now >= self._no_trial_before:
            self.suspicious = self.suspicious or self._leapt() or (full is not None and self._saturated(full))
        if full is not None and full.expected >= MIN_PACKETS:
            self._before.append(full)

    def delivered(self, octets: int) -> None:
        """So much arrived."""
        self._octets += octets

    def advance(self, *, now: float) -> Trial:
        """Begin a trial when one is due, go on with it when its time has come; how far it is."""
        if self.trial in (Trial.FULL, Trial.CHANCE):
            self.trial = Trial.NONE
        if self.trial is Trial.NONE:
            if self.suspicious:
                self._phase(Trial.LEVEL, now)
        elif now - self._phase_began > PHASE_SECONDS:
            self._found_chance(now)
        elif now >= self._phase_ends and self._expected >= MIN_PACKETS:
            if self.trial is Trial.LEVEL:
                self._suspected, self._suspected_of = self.share, self._expected
                self._sent_before = self._sent(now)
                self._phase(Trial.LESS, now)
            else:
                self._judge(now)
        return self.trial

    def abandon(self) -> None:
        """A queue tells that the link is full: no trial is needed."""
        if self.trial is not Trial.NONE:
            self.trial = Trial.NONE
            self._forget()

    def calm(self, *, now: float) -> None:
        """No queue grows: what is lost now is lost by chance."""
        elapsed = 0.0 if self._learned_at is None else now - self._learned_at
        self._learned_at = now
        if self._expected >= MIN_PACKETS:
            self.chance += min(elapsed / CHANCE_SECONDS, 1.0) * (self.share - self.chance)
            self.chance = min(self.chance, MAX_CHANCE)

    def _phase(self, trial: Trial, now: float) -> None:
        self.trial = trial
        self._phase_began = now
        self._phase_ends = now + SETTLE_SECONDS + WINDOW_SECONDS
        self._octets = 0
        self._forget()

    def _judge(self, now: float) -> None:
        ratio = min(self._sent(now) / max(self._sent_before, 1.0), 1.0)
        if_full = max(1 - (1 - self._suspected) / max(ratio, 0.5), 0.0)
        less = self._suspected - self.share
        full = ratio > MADE_WAY or less > (self._suspected - if_full) / 2
        if self._suspected > MUCH_LOSS:
            deviation = sqrt(self._variance(self._suspected) * (1 / self._expected + 1 / self._suspected_of))
            full = ratio <= MADE_WAY and full and less > SURE_DEVIATIONS * deviation
        if full:
            self.trial = Trial.FULL
            self.chance = min(self.share, MAX_CHANCE)
            self._patience = PATIENCE_SECONDS
            self._forget()
        else:
            self._found_chance(now)

    def _found_chance(self, now: float) -> None:
        self.trial = Trial.CHANCE
        if self._expected >= MIN_PACKETS:
            self.chance = min(self.share, MAX_CHANCE)
        self._no_trial_before = now + self._patience
        self._patience = min(2 * self._patience, MAX_PATIENCE_SECONDS)
        self._forget()

    def _sent(self, now: float) -> float:
        """Bytes a second that were sent in this phase, to judge by what arrived."""
        return self._octets / max(1 - self.share, 0.01) / max(now - self._phase_began, 0.01)

    def _add(self, expected: int, lost: int, runs: int) -> None:
        self._expected += expected
        self._lost += lost
        self._runs += runs

    def _leapt(self) -> bool:
        if self._expected < MIN_PACKETS:
            return False
        deviation = sqrt(self._variance(self.chance) / self._expected)
        return self.share - self.chance > max(MIN_EXCESS, EXCESS_DEVIATIONS * deviation)

    def _variance(self, share: float) -> float:
        """That of one packet's being lost, where losses come in runs as lately."""
        burst = self._lost / self._runs if self._runs > 0 else 1.0
        return max(share * (1 - share), 0.01) * max(2 * burst - 1, 1.0)

    def _saturated(self, window: _Window) -> bool:
        if not self._before or window.expected < MIN_PACKETS:
            return False
        less = min(self._before, key=lambda one: one.expected)
        ratio = window.expected / less.expected
        arrived = (window.expected - window.lost) / max(less.expected - less.lost, 1)
        return (
            ratio >= MORE_SENT
            and window.share > less.share + MIN_EXCESS
            and arrived < 1 + MORE_ARRIVES * (ratio - 1)
        )

    def _forget(self) -> None:
        self.suspicious = False
        self._recent.clear()
        self._expected = self._lost = self._runs = 0
        self._window = None
        self._before.clear()
