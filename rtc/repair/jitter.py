"""An adaptive jitter buffer for audio: frames in, one decision per frame out.

The buffer keeps a schedule: a frame of timestamp t is due at `base + t + target`, where `base` is the shortest
transit seen lately and `target` how much longer waiting pays. Before its time a missing frame is waited for;
after it, it is lost. Repaired frames (retransmitted, redundant) count as arrivals. Whoever plays the decisions
brings the schedule and the real delay together, by playing faster or slower: see `excess`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtc.repair.lateness import Lateness
from rtc.wire.sequence import Unwrapper

CLOCK_RATE = 48000
"""Timestamp units per second; Opus always (RFC 7587 section 4.1)."""

MARGIN_SECONDS = 0.005
"""Added to the target: the receiver's own timer is not exact."""

MAX_TARGET_SECONDS = 0.5
"""Longest target delay: beyond it, conversation suffers more from delay than from loss."""

CAPACITY = 256
"""Frames held at most, 5 s of 20 ms: a consumer that does not pull costs no more."""

RESTART_SECONDS = 3.0
"""A timestamp this far from the playing position starts the stream anew: its source's clock has jumped."""

WAIT_SAMPLES = 480
"""A missing frame is waited for in steps of 10 ms."""

PAUSE_SECONDS = 0.2
"""After so long with nothing in the buffer the stream is paused (muted, DTX), not lossy."""

OVERDUE_SECONDS = 0.15
"""After a pause, sound later than this is not played any more."""

STOPPED_SECONDS = 1.0
"""Sound later than this is not played any more at any time: the consumer had stopped pulling."""

GIVEN_UP = 64
"""Lost frames remembered, to see which of them come after all."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Decode and play this packet."""

    payload: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class Lost:
    """`samples` will not come in time. `following` is the next packet, whose in-band FEC may hold them."""

    samples: int
    following: bytes | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due yet: bridge `samples`; the position stays."""

    samples: int


@dataclass(frozen=True, slots=True)
class Silence:
    """The stream has not begun or is paused: play silence."""

    samples: int


Decision = Frame | Lost | Wait | Silence


@dataclass(slots=True)
class JitterStatistics:
    """Counters since the start, in frames of the stream's own length where not said otherwise."""

    played: int = 0
    redundant: int = 0
    """Frames played that came as redundancy."""
    lost: int = 0
    """Frames concealed or recovered by FEC since they had not come in time."""
    waited_samples: int = 0
    """Samples bridged while the delay grew."""
    late: int = 0
    """Frames that came after they had been given up."""
    duplicates: int = 0
    skipped: int = 0
    """Lost frames that nothing was played for, to shorten the delay."""
    overflowed: int = 0
    """Frames thrown away because nobody pulled."""


@dataclass(slots=True)
class _Packet:
    sequence: int
    payload: bytes
    samples: int
    redundant: bool


class JitterBuffer:
    """The buffer of one stream. Times are float seconds of any clock that does not jump."""

    def __init__(self, *, min_target: float = 0.0, max_target: float = MAX_TARGET_SECONDS) -> None:
        self.statistics = JitterStatistics()
        self.min_target = min_target
        self.max_target = max_target
        self.position = -1
        """Extended timestamp (plus a multiple of 2^32) of what is played next; negative before the first packet."""
        self._lateness = Lateness()
        self._sequences = Unwrapper()
        self._timestamps = Unwrapper(bits=32)
        self._packets: dict[int, _Packet] = {}
        self._given_up: dict[int, None] = {}
        self._paused = True
        self._frame_samples = 960
        self._empty_samples = 0
        self._last_sequence = -1

    @property
    def target(self) -> float:
        """Seconds that a frame with the shortest transit waits before it is played."""
        return max(self.min_target, min(self.max_target, self._lateness.wait + MARGIN_SECONDS))

    @property
    def held(self) -> float:
        """Seconds of sound in the buffer."""
        return sum(packet.samples for packet in self._packets.values()) / CLOCK_RATE

    @property
    def ready(self) -> bool:
        """Whether the next frame is here."""
        return self.position in self._packets

    def insert(
        self, sequence: int, timestamp: int, payload: bytes, samples: int, *, now: float, redundant: bool = False
    ) -> bool:
        """Put in a frame (16-bit number of its packet, 32-bit timestamp); False when it came too late or twice."""
        sequence = self._sequences.unwrap(sequence)
        time = self._timestamps.unwrap(timestamp)
        if self.position >= 0 and abs(time - self.position) > RESTART_SECONDS * CLOCK_RATE:
            if redundant:
                return False
            self._restart()
        if time in self._packets:
            self.statistics.duplicates += 1
            return False
        if time < self.position:
            if time not in self._given_up:
                self.statistics.duplicates += 1
                return False
            del self._given_up[time]
            self.statistics.late += 1
            self._lateness.arrived(now - time / CLOCK_RATE, now=now)
            return False
        self._lateness.arrived(now - time / CLOCK_RATE, now=now)
        if len(self._packets) >= CAPACITY:
            del self._packets[min(self._packets)]
            self.statistics.overflowed += 1
        self._packets[time] = _Packet(sequence, payload, samples, redundant)
        if not redundant:
            self._frame_samples = samples
        return True

    def pull(self, *, now: float) -> Decision:
        """What to play next; the position moves on by its samples, unless the answer is Wait or Silence."""
        if self._paused and not self._resume(now):
            return Silence(self._frame_samples)
        self._drop_overlapping()
        self._skip_overdue(now)
        packet = self._packets.pop(self.position, None)
        if packet is None:
            return self._missing(now)
        self.position += packet.samples
        self.statistics.waited_samples += self._empty_samples
        self._empty_samples = 0
        self._last_sequence = packet.sequence
        self.statistics.played += 1
        self.statistics.redundant += packet.redundant
        return Frame(packet.payload, packet.samples)

    def catch_up(self, *, now: float) -> None:
        """The consumer had stopped pulling: go on with what is due now, and throw away what is overdue."""
        if not self._paused and self._packets:
            self._discard_overdue(now, self._frame_samples / CLOCK_RATE)
            self.position = min(self._packets)
            self._last_sequence = self._packets[self.position].sequence - 1

    def forget(self) -> None:
        """Learn anew how late frames are: their sender has begun to protect them."""
        self._lateness.forget()

    def excess(self, *, now: float) -> float:
        """Seconds by which the sound plays later than the target asks; negative: earlier."""
        if self._paused:
            return 0.0
        return self._lag(self.position, now) / CLOCK_RATE

    def _resume(self, now: float) -> bool:
        """Start with the oldest frame that is not overdue, once it is due."""
        if not self._packets:
            return False
        self._discard_overdue(now, OVERDUE_SECONDS)
        first = min(self._packets)
        if self._lag(first, now) < 0:
            return False
        if self._last_sequence >= 0:
            missing = self._packets[first].sequence - self._last_sequence - 1
            self.statistics.lost += max(0, min(missing, CAPACITY))
            self._last_sequence = -1
        self.position = first
        self._paused = False
        return True

    def _missing(self, now: float) -> Decision:
        if not self._packets:
            self._empty_samples += WAIT_SAMPLES
            if self._empty_samples > PAUSE_SECONDS * CLOCK_RATE:
                self._pause()
                return Silence(WAIT_SAMPLES)
            return Wait(WAIT_SAMPLES)
        following = min(self._packets)
        packet = self._packets[following]
        gap = following - self.position
        if gap > max(0, packet.sequence - self._last_sequence - 1) * self._frame_samples:
            # More time than packets is missing: the sender was silent (DTX, mute) and goes on later.
            self._pause()
            return Silence(min(self._frame_samples, gap))
        if self._lag(self.position, now) < 0 and self._empty_samples < PAUSE_SECONDS * CLOCK_RATE:
            self._empty_samples += WAIT_SAMPLES
            return Wait(WAIT_SAMPLES)
        samples = self._lose(following)
        return Lost(samples, packet.payload if self.position == following else None)

    def _lose(self, following: int) -> int:
        """Give up the frame at the position, before the packet at `following`; return its samples."""
        samples = min(self._frame_samples, following - self.position)
        self._given_up[self.position] = None
        if len(self._given_up) > GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
        self.position += samples
        self._last_sequence += 1
        self.statistics.lost += 1
        return samples

    def _skip_overdue(self, now: float) -> None:
        """Pass over a hole at once where the delay is too long anyway."""
        if not self._packets:
            return
        if self._lag(self.position, now) > STOPPED_SECONDS * CLOCK_RATE:
            self.catch_up(now=now)
        following = min(self._packets)
        while self.position < following and self._lag(self.position, now) >= self._frame_samples:
            samples = self._lose(following)
            self.statistics.skipped += 1
            self._empty_samples = max(0, self._empty_samples - samples)

    def _drop_overlapping(self) -> None:
        """Drop packets that begin before the position: their sender counts time otherwise than in samples."""
        for time in [time for time in self._packets if time < self.position]:
            del self._packets[time]
            self.statistics.late += 1

    def _discard_overdue(self, now: float, seconds: float) -> None:
        """Throw away what should have been played more than `seconds` ago; the newest packet stays."""
        for time in sorted(self._packets)[:-1]:
            if self._lag(time, now) < seconds * CLOCK_RATE:
                break
            del self._packets[time]
            self.statistics.overflowed += 1

    def _pause(self) -> None:
        self._paused = True
        self._empty_samples = 0

    def _lag(self, time: int, now: float) -> float:
        """Timestamp units since `time` was due."""
        return (now - self._lateness.base - self.target) * CLOCK_RATE - time

    def _restart(self) -> None:
        self._packets.clear()
        self._given_up.clear()
        self._lateness.reset()
        self.position = -1
        self._last_sequence = -1
        self._pause()
