"""What a peer has received and sent, for statistics and metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class FeedbackCounts:
    """RTCP feedback messages, `in` from the peer and `out` to it."""

    nacks_in: int = 0
    nacks_out: int = 0
    plis_in: int = 0
    plis_out: int = 0
    firs_in: int = 0
    resent: int = 0
    """Packets sent again because the peer asked."""

    def add(self, other: FeedbackCounts) -> None:
        """Add another's figures."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass(slots=True)
class MediaCounts:
    """RTP packets and payload bytes by kind, `in` from the peer and `out` to it."""

    packets_in: Counter[str] = field(default_factory=Counter)
    packets_out: Counter[str] = field(default_factory=Counter)
    bytes_in: Counter[str] = field(default_factory=Counter)
    bytes_out: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    """Packets of the peer that no repair brought in time."""
    feedback: FeedbackCounts = field(default_factory=FeedbackCounts)

    def add(self, other: MediaCounts) -> None:
        """Add another's figures."""
        self.packets_in.update(other.packets_in)
        self.packets_out.update(other.packets_out)
        self.bytes_in.update(other.bytes_in)
        self.bytes_out.update(other.bytes_out)
        self.lost.update(other.lost)
        self.feedback.add(other.feedback)
