"""The round trip to one peer: measured here, and told to it (RFC 3550 6.4.1, RFC 3611 4.4 and 4.5)."""

from __future__ import annotations

from collections import deque
from statistics import median_low

from rtc.repair.nack import DEFAULT_RTT_SECONDS
from rtc.wire import rtcp

MAX_RTT_SECONDS = 10.0
"""A longer round trip in a report is nonsense."""

MEASURED_SECONDS = 0.5
"""Of what is measured in this time the shortest is taken: a datagram that waited for a busy browser tells it of all."""

MEASUREMENTS = 9
"""Of so many the one in the middle counts."""

TRIES = ((0.4, 3), (0.03, 2))
"""A browser sends nothing again, and asks for nothing again, within the round trip that it measures. On a path that
loses this share it is told that a part of the round trip is our delay, so that it tries so many times in the time of
one. Each try is one more that may be sent in vain, since what it answers is still under way."""

MAX_ASKERS = 31
"""SSRCs whose times are answered in one report."""


class RoundTrip:
    """Who only sends or only receives has no reports to measure it by: both ends send their time (XR) and answer it."""

    __slots__ = ("_asked", "_measured", "_measured_until", "_ssrc", "_wall_offset", "seconds", "tries")

    def __init__(self, ssrc: int, wall_offset: float) -> None:
        self.seconds: float | None = None
        """As measured here; None until then."""
        self.tries = 1
        """How often the peer asks or answers in a round trip: see TRIES."""
        self._ssrc = ssrc
        self._wall_offset = wall_offset
        self._measured: deque[float] = deque(maxlen=MEASUREMENTS)
        self._measured_until = float("-inf")
        self._asked: dict[int, tuple[int, float]] = {}

    @property
    def assumed(self) -> float:
        """Seconds: as measured, or what is likely."""
        return DEFAULT_RTT_SECONDS if self.seconds is None else self.seconds

    @property
    def untold(self) -> float:
        """Seconds of it that are told as our delay."""
        return (self.seconds or 0.0) * (1 - 1 / self.tries)

    @property
    def owes_answer(self) -> bool:
        """Whether the peer has sent its time since the last report."""
        return bool(self._asked)

    def judge(self, loss: float) -> None:
        """The path to or from the peer loses this share."""
        self.tries = next((tries for share, tries in TRIES if loss >= share), 1)

    def answered(self, sent: int, delay: int, *, now: float) -> None:
        """The peer reports `middle32` of the time that we sent it, and its own delay in 1/65536 s."""
        elapsed = (rtcp.middle32(rtcp.ntp_from_seconds(now + self._wall_offset)) - sent - delay) & 0xFFFFFFFF
        rtt = elapsed * rtcp.DELAY_UNIT
        if rtt < MAX_RTT_SECONDS:
            if now < self._measured_until:
                rtt = min(rtt, self._measured.pop())
            else:
                self._measured_until = now + MEASURED_SECONDS
            self._measured.append(rtt)
            self.seconds = median_low(self._measured)

    def receive(self, packet: rtcp.ExtendedReport, *, now: float) -> None:
        """Take the peer's time, and its answer to ours."""
        for one in packet.delays:
            if one.ssrc == self._ssrc:
                self.answered(one.last_receiver_report, one.delay, now=now)
        if packet.ntp is not None and (packet.ssrc in self._asked or len(self._asked) < MAX_ASKERS):
            self._asked[packet.ssrc] = (rtcp.middle32(packet.ntp), now)

    def report(self, *, now: float) -> rtcp.ExtendedReport:
        """Our time, and answers to the peer's."""
        delays = tuple(
            rtcp.DelaySinceLastReport(ssrc, time, min(round((now - at + self.untold) / rtcp.DELAY_UNIT), 0xFFFFFFFF))
            for ssrc, (time, at) in self._asked.items()
        )
        self._asked.clear()
        return rtcp.ExtendedReport(self._ssrc, rtcp.ntp_from_seconds(now + self._wall_offset), delays)
