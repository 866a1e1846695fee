"""One RTP stream that we receive: the statistics of RFC 3550 section 6.4.1 and appendix A. Sans-IO."""

from __future__ import annotations

from rtc.wire.rtcp import DELAY_UNIT, ReportBlock, SenderReport, middle32
from rtc.wire.sequence import Unwrapper


class IncomingStream:
    """Counts what arrives of one SSRC and reports it."""

    def __init__(self, *, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.received = 0
        """Packets, duplicates and repairs included."""
        self.payload_bytes = 0
        self._sequences = Unwrapper()
        self._timestamps = Unwrapper(bits=32)
        self._first: int | None = None
        self._highest = -1
        self._jitter = 0.0
        self._transit: float | None = None
        self._expected_before = 0
        self._received_before = 0
        self._sender_report: tuple[int, float] | None = None

    @property
    def jitter(self) -> float:
        """Interarrival jitter, seconds."""
        return self._jitter / self.clock_rate

    @property
    def lost(self) -> int:
        """Packets expected and not received; negative when repairs came twice."""
        return 0 if self._first is None else self._highest - self._first + 1 - self.received

    def receive(self, sequence: int, timestamp: int, size: int, *, now: float) -> int:
        """Count a packet; return its extended sequence number."""
        extended = self._sequences.unwrap(sequence)
        self.received += 1
        self.payload_bytes += size
        if self._first is None:
            self._first = extended
        if extended > self._highest:
            self._highest = extended
            transit = now * self.clock_rate - self._timestamps.unwrap(timestamp)
            if self._transit is not None:
                self._jitter += (abs(transit - self._transit) - self._jitter) / 16
            self._transit = transit
        return extended

    def sender_report(self, report: SenderReport, *, now: float) -> None:
        """Note a report of the sender, for the round trip it will compute from our answer."""
        self._sender_report = middle32(report.ntp), now

    def report_block(self, *, now: float) -> ReportBlock | None:
        """What we report of the time since the last call; None before the first packet."""
        if self._first is None:
            return None
        expected = self._highest - self._first + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = 0 if expected_now <= 0 or lost_now <= 0 else min(255, (lost_now << 8) // expected_now)
        last, at = self._sender_report or (0, now)
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=fraction,
            packets_lost=max(-0x800000, min(0x7FFFFF, expected - self.received)),
            highest_sequence=(self._highest - (1 << 16)) & 0xFFFFFFFF,
            jitter=min(0xFFFFFFFF, int(self._jitter)),
            last_sender_report=last,
            delay_since_last_sender_report=min(0xFFFFFFFF, int((now - at) / DELAY_UNIT)),
        )
