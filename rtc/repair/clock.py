"""From a publisher's clocks to the server's, so that its tracks stay in step for every listener (RFC 3550 6.4.1)."""

from __future__ import annotations

DRIFT = 2e-4
"""Seconds a second by which the shortest path delay seen may be forgotten: clocks drift by less than 100 ppm each."""


class SenderClock:
    """Offset between one publisher's wall clock and ours, common to all its streams.

    The smallest difference seen between arrival and stamp of sender reports is the best guess: delay only adds.
    """

    __slots__ = ("_updated", "offset")

    def __init__(self) -> None:
        self.offset: float | None = None
        """Our time minus the sender's NTP time in seconds, path delay included; None before the first report."""
        self._updated = 0.0

    def sender_report(self, sender_seconds: float, *, now: float) -> None:
        """A report stamped `sender_seconds` (the sender's Unix time) arrived."""
        measured = now - sender_seconds
        if self.offset is not None:
            measured = min(measured, self.offset + DRIFT * (now - self._updated))
        self.offset = measured
        self._updated = now


class StreamClock:
    """Which RTP timestamp of one stream belongs to which moment of ours."""

    __slots__ = ("_packet", "_report", "_sender", "is_reported", "rate")

    def __init__(self, sender: SenderClock, clock_rate: int) -> None:
        self._sender = sender
        self.rate = clock_rate
        """Hz."""
        self.is_reported = False
        """Whether a sender report has come, so that no packet is needed any more."""
        self._report: tuple[float, int] | None = None
        self._packet: tuple[float, int] | None = None

    def reset(self) -> None:
        """A new stream begins."""
        self._report = self._packet = None
        self.is_reported = False

    def received(self, timestamp: int, *, now: float) -> None:
        """A packet with this timestamp arrived; serves until the first sender report."""
        self._packet = (now, timestamp)

    def sender_report(self, sender_seconds: float, timestamp: int, *, now: float) -> None:
        """The sender says that it sampled `timestamp` at `sender_seconds` of its Unix time."""
        self._sender.sender_report(sender_seconds, now=now)
        self._report = (sender_seconds, timestamp)
        self.is_reported = True

    def timestamp_at(self, now: float) -> int | None:
        """The stream's timestamp of this moment, 32 bit; None before anything arrived."""
        if self._report is not None and self._sender.offset is not None:
            moment, timestamp = self._report[0] + self._sender.offset, self._report[1]
        elif self._packet is not None:
            moment, timestamp = self._packet
        else:
            return None
        return (timestamp + round((now - moment) * self.rate)) & 0xFFFFFFFF

    def moment_of(self, timestamp: int) -> float | None:
        """When of ours this timestamp near the last reported one was sampled; None before a sender report.

        All streams of one publisher have the same error, so that differences between them are exact.
        """
        if self._report is None or self._sender.offset is None:
            return None
        sampled, reported = self._report
        ticks = (timestamp - reported + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return sampled + self._sender.offset + ticks / self.rate
