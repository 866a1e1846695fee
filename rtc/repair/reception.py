"""What a receiver reports about one stream (RFC 3550 6.4.1, A.3, A.8)."""

from __future__ import annotations

from rtc.wire.rtcp import ReportBlock

MAX_LOST = 0x7FFFFF
"""Largest cumulative loss that 24 bits with a sign can say."""


class Reception:
    """Counts of one SSRC. Repaired packets count as lost: the report is about the path, and drives Opus FEC."""

    __slots__ = (
        "_base", "_highest", "_reported_expected", "_reported_lost", "_reported_packets", "_sender_report", "_transit",
        "clock_rate", "fraction_lost", "jitter", "packets", "ssrc",
    )

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.packets = 0
        """Packets that arrived by themselves, not by repair."""
        self.jitter = 0.0
        """Inter-arrival jitter in timestamp units."""
        self.fraction_lost = 0.0
        """Share lost between the last two reports, 0 to 1."""
        self._base: int | None = None
        self._highest = 0
        self._transit: float | None = None
        self._reported_expected = 0
        self._reported_packets = 0
        self._reported_lost = 0
        self._sender_report: tuple[int, float] | None = None

    def received(self, sequence_number: int, timestamp: int, *, now: float, repaired: bool = False) -> None:
        """Note a packet; `now` in seconds."""
        ahead = (sequence_number - self._highest) & 0xFFFF
        if self._base is None:
            self._base = self._highest = sequence_number + 0x10000  # so that what came before it is not negative
        elif ahead < 0x8000:
            self._highest += ahead
        if repaired:
            return
        self.packets += 1
        transit = now * self.clock_rate - timestamp
        if self._transit is not None:
            # Modulo 2^32, since the timestamp wraps.
            difference = (transit - self._transit + 0x80000000) % 0x100000000 - 0x80000000
            self.jitter += (abs(difference) - self.jitter) / 16
        self._transit = transit

    def sender_report(self, ntp: int, *, now: float) -> None:
        """Note that a sender report with this 64-bit NTP time arrived."""
        self._sender_report = ((ntp >> 16) & 0xFFFFFFFF, now)

    @property
    def lost(self) -> int:
        """Packets lost on the path since the start; negative when some arrived twice."""
        return 0 if self._base is None else self._highest - self._base + 1 - self.packets

    def report(self, *, now: float, ceiling: float = 1.0) -> ReportBlock | None:
        """The block for the next report; None before the first packet.

        No more than `ceiling` is owned up to, as a share of what was sent since the last report.
        """
        if self._base is None:
            return None
        expected = self._highest - self._base + 1
        new_expected = expected - self._reported_expected
        new_lost = new_expected - (self.packets - self._reported_packets)
        self._reported_expected = expected
        self._reported_packets = self.packets
        self.fraction_lost = min(max(new_lost / new_expected, 0.0), 1.0) if new_expected > 0 else 0.0
        self._reported_lost += min(new_lost, int(ceiling * new_expected))
        last, delay = 0, 0
        if self._sender_report is not None:
            last, arrival = self._sender_report
            delay = min(round((now - arrival) * 65536), 0xFFFFFFFF)
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(int(min(self.fraction_lost, ceiling) * 256), 255),
            packets_lost=min(max(self._reported_lost, -MAX_LOST - 1), MAX_LOST),
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=min(int(self.jitter), 0xFFFFFFFF),
            last_sender_report=last,
            delay_since_last_sender_report=delay,
        )
