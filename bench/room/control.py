"""Libwebrtc's own estimate of what its path carries, as far as a server leaves it to act that masks loss and delay.

As measured with Chromium 156: it rises by 8 % a second, and leaps only where it probes. That it does where encodings
may take more or less together than before, and little was sent: then what it probed replaces what it thought before,
be that more or less.
"""

from __future__ import annotations

from collections import deque

START = 3_600_000
"""bit/s: its first probes reach six times what the answer says, and nothing was lost of them, nor had to wait."""
RISE = 0.08
"""Share of it a second."""
ABOVE_ARRIVED, SLACK = 1.5, 10_000
"""It rises to so many times what arrived, and so many bit/s beyond."""
RATE_SECONDS = 0.5
LITTLE = 0.8
"""Less than this share of what may be sent is little."""
PROBE_RATIO = 2.0
PROBE_FURTHER = 0.7
"""Where more than this share of what was probed may be sent, it is doubled again."""
PROBE_SECONDS = 0.12
"""From the decision to probe until its outcome is there."""
WAITS_SECONDS = 1.0
"""So long it may probe on."""


class OwnEstimate:
    """To be told what was sent frame by frame; `told` is the last REMB. All rates are bit/s."""

    def __init__(self) -> None:
        self.bitrate = float(START)
        self._allocated = 0.0
        self._probed = 0.0
        self._probe_ends = self._waits_until = float("-inf")
        self._sent: deque[tuple[float, float]] = deque()

    def allow(self, told: float) -> float:
        """What may be sent."""
        return min(self.bitrate, told)

    def allocate(self, most: float, *, told: float, now: float) -> None:
        """All encodings together may take so much."""
        changed, self._allocated = most != self._allocated, most
        allowed = self.allow(told)
        if changed and allowed < most and self._lately < LITTLE * allowed:
            self._probe(PROBE_RATIO * allowed, now)

    def advance(self, sent: float, *, told: float, elapsed: float, now: float) -> None:
        """So many bits were sent since the last time, `elapsed` seconds ago."""
        self._sent.append((now, sent))
        while self._sent[0][0] <= now - RATE_SECONDS:
            self._sent.popleft()
        if now >= self._probe_ends > float("-inf"):
            self.bitrate = self._probed
            self._probe_ends = float("-inf")
        if now < self._waits_until and self._probe_ends < 0 and self.allow(told) > PROBE_FURTHER * self._probed:
            self._probe(PROBE_RATIO * self.allow(told), now)
        most = ABOVE_ARRIVED * self._lately + SLACK
        if self.bitrate < most:
            self.bitrate = min(self.bitrate * (1 + RISE * elapsed), most)

    @property
    def _lately(self) -> float:
        """bit/s."""
        return sum(bits for _, bits in self._sent) / RATE_SECONDS

    def _probe(self, rate: float, now: float) -> None:
        most = 2 * self._allocated
        self._probed = min(rate, most)
        self._probe_ends = now + PROBE_SECONDS
        self._waits_until = now + WAITS_SECONDS if rate < most else now
