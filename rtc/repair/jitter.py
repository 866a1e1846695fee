"""An adaptive jitter buffer for audio: packets in, one decision per frame out.

The buffer keeps a schedule: a packet of timestamp t is due at `base + t + target`, where `base` is the
shortest transit seen lately and `target` a high percentile of how much later than that packets come. Before
its time a missing packet is waited for; after it, it is lost. Recovered packets (retransmitted, redundant)
count as arrivals, so the target grows just as far as waiting for them pays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rtc.wire.sequence import Unwrapper

CLOCK_RATE = 48000
"""Timestamp units per second; Opus always (RFC 7587 section 4.1)."""

BUCKET_SECONDS = 0.005
"""Width of a bucket of the histogram of lateness."""

BUCKETS = 200
"""Lateness up to one second is told apart."""

FORGET = 0.995
"""Weight that a packet's lateness keeps with each later packet: half is forgotten in 140 packets, 2.8 s."""

QUANTILE = 0.97
"""Share of the packets that come in time with the target delay."""

BASE_WINDOW_SECONDS = 10.0
"""The shortest transit is taken over this time: clocks that drift apart (100 ppm) err by 1 ms in it."""

MARGIN_SECONDS = 0.005
"""Added to the target: the receiver's own timer is not exact."""

MAX_TARGET_SECONDS = 0.5
"""Longest target delay: beyond it, conversation suffers more from delay than from loss."""

CAPACITY = 256
"""Packets held at most, 5 s of 20 ms: a consumer that does not pull costs no more."""

RESTART_SECONDS = 3.0
"""A timestamp this far from the playing position starts the stream anew: its source's clock has jumped."""

SILENCE_FRAMES = 8
"""After so many frames with nothing in the buffer the stream is paused (muted, DTX), not lossy: 160 ms."""

EXCESS_SECONDS = 0.04
"""How much too deep the buffer may be before a frame is left out to catch up."""

OVERDUE_SECONDS = 1.0
"""Sound later than this is not played any more: the consumer had stopped pulling."""

CATCH_UP_SECONDS = 0.2
"""Shortest time between two frames left out while sound is playing."""


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
    """Nothing is due yet: bridge `samples` (conceal, or stretch what was played); the position stays."""

    samples: int


@dataclass(frozen=True, slots=True)
class Silence:
    """The stream has not begun or is paused: play silence."""

    samples: int


Decision = Frame | Lost | Wait | Silence


@dataclass(slots=True)
class JitterStatistics:
    """Counters since the start. Frames are of the stream's own length."""

    played: int = 0
    lost: int = 0
    """Frames concealed or recovered by FEC since their packet had not come in time."""
    waited: int = 0
    """Frames bridged while the delay grew."""
    late: int = 0
    """Packets that came after their time."""
    duplicates: int = 0
    skipped: int = 0
    """Frames left out to shorten the delay."""
    overflowed: int = 0
    """Packets thrown away because nobody pulled."""


@dataclass(slots=True)
class _Packet:
    sequence: int
    payload: bytes
    samples: int


class JitterBuffer:
    """The buffer of one stream. Times are float seconds of any clock that does not jump."""

    def __init__(self, *, min_target: float = 0.0, max_target: float = MAX_TARGET_SECONDS) -> None:
        self.statistics = JitterStatistics()
        self.min_target = min_target
        self.max_target = max_target
        self._sequences = Unwrapper()
        self._timestamps = Unwrapper(bits=32)
        self._packets: dict[int, _Packet] = {}
        self._position = -1  # extended timestamp of what is played next; negative before the first packet
        self._paused = True
        self._frame_samples = 960
        self._empty_frames = 0
        self._last_sequence = -1
        self._skipped_at = float("-inf")
        self._histogram = [0.0] * BUCKETS
        self._weight = 0.0
        self._transits: deque[tuple[float, float]] = deque()
        self._target = 0.0

    @property
    def target(self) -> float:
        """Seconds that a packet with the shortest transit waits before it is played."""
        return max(self.min_target, min(self.max_target, self._target + MARGIN_SECONDS))

    @property
    def held(self) -> float:
        """Seconds of sound in the buffer."""
        return sum(packet.samples for packet in self._packets.values()) / CLOCK_RATE

    def insert(self, sequence: int, timestamp: int, payload: bytes, samples: int, *, now: float) -> bool:
        """Put in a packet (16-bit sequence number, 32-bit timestamp).

        False when it came too late or twice.
        """
        sequence = self._sequences.unwrap(sequence)
        time = self._timestamps.unwrap(timestamp)
        if self._position >= 0 and abs(time - self._position) > RESTART_SECONDS * CLOCK_RATE:
            self._restart()
        self._note_arrival(time, now)
        if time < self._position:
            self.statistics.late += 1
            return False
        if time in self._packets:
            self.statistics.duplicates += 1
            return False
        if len(self._packets) >= CAPACITY:
            oldest = min(self._packets)
            del self._packets[oldest]
            self.statistics.overflowed += 1
        self._packets[time] = _Packet(sequence, payload, samples)
        self._frame_samples = samples
        return True

    def pull(self, *, now: float) -> Decision:
        """What to play next; the position moves on by its samples, unless the answer is Wait or Silence."""
        if self._paused and not self._resume(now):
            return Silence(self._frame_samples)
        self._drop_overlapping()
        self._shorten(now)
        packet = self._packets.pop(self._position, None)
        if packet is None:
            return self._missing(now)
        self._position += packet.samples
        self.statistics.waited += self._empty_frames
        self._empty_frames = 0
        self._last_sequence = packet.sequence
        self.statistics.played += 1
        return Frame(packet.payload, packet.samples)

    def catch_up(self, *, now: float) -> None:
        """The consumer had stopped pulling: go on with what is due now, and throw away what is overdue."""
        if not self._paused and self._packets:
            self._discard_overdue(now)
            self._position = min(self._packets)
            self._last_sequence = self._packets[self._position].sequence - 1

    def excess(self, *, now: float) -> float:
        """Seconds by which the sound plays later than the target asks; negative: earlier."""
        if self._paused:
            return 0.0
        return self._lag(self._position, now) / CLOCK_RATE

    def _resume(self, now: float) -> bool:
        """Start with the oldest packet that is not overdue, once it is due."""
        if not self._packets:
            return False
        self._discard_overdue(now)
        first = min(self._packets)
        if self._lag(first, now) < 0:
            return False
        if self._last_sequence >= 0:
            missing = self._packets[first].sequence - self._last_sequence - 1
            self.statistics.lost += max(0, min(missing, CAPACITY))
            self._last_sequence = -1
        self._position = first
        self._paused = False
        return True

    def _missing(self, now: float) -> Decision:
        samples = self._frame_samples
        if not self._packets:
            self._empty_frames += 1
            if self._empty_frames > SILENCE_FRAMES:
                self._pause()
                return Silence(samples)
            return Wait(samples)
        following = min(self._packets)
        packet = self._packets[following]
        gap = following - self._position
        if gap > (packet.sequence - self._last_sequence - 1) * samples:
            # More time than packets is missing: the sender was silent (DTX, mute) and goes on later.
            self._pause()
            return Silence(min(samples, gap))
        if self._lag(self._position, now) < 0 and self._empty_frames < SILENCE_FRAMES:
            self._empty_frames += 1
            return Wait(samples)
        samples = self._lose(following)
        return Lost(samples, packet.payload if self._position == following else None)

    def _lose(self, following: int) -> int:
        """Give up the frame at the position, before the packet at `following`; return its samples."""
        samples = min(self._frame_samples, following - self._position)
        self._position += samples
        self._last_sequence += 1
        self.statistics.lost += 1
        return samples

    def _shorten(self, now: float) -> None:
        """Shorten the delay where the buffer is deeper than it need be.

        Over a hole at once, over sound seldom.
        """
        if not self._packets:
            return
        if self._lag(self._position, now) > OVERDUE_SECONDS * CLOCK_RATE:
            self.catch_up(now=now)
        following = min(self._packets)
        while self._position < following and self._lag(self._position, now) >= self._frame_samples:
            self._lose(following)
            self.statistics.skipped += 1
            self._empty_frames = max(0, self._empty_frames - 1)
        if (
            self._position in self._packets
            and len(self._packets) > 1
            and self._lag(self._position, now) >= EXCESS_SECONDS * CLOCK_RATE
            and now - self._skipped_at >= CATCH_UP_SECONDS
        ):
            packet = self._packets.pop(self._position)
            self._position += packet.samples
            self._last_sequence = packet.sequence
            self._skipped_at = now
            self.statistics.skipped += 1
            self._drop_overlapping()

    def _drop_overlapping(self) -> None:
        """Drop packets that begin before the position: their sender counts time otherwise than in samples."""
        for time in [time for time in self._packets if time < self._position]:
            del self._packets[time]
            self.statistics.late += 1

    def _discard_overdue(self, now: float) -> None:
        """Throw away what should have been played long ago, since nobody pulled; the newest packet stays."""
        for time in sorted(self._packets)[:-1]:
            if self._lag(time, now) < EXCESS_SECONDS * CLOCK_RATE:
                break
            del self._packets[time]
            self.statistics.overflowed += 1

    def _pause(self) -> None:
        self._paused = True
        self._empty_frames = 0

    def _lag(self, time: int, now: float) -> float:
        """Timestamp units since `time` was due."""
        base = self._transits[0][1]
        return (now - base - self.target) * CLOCK_RATE - time

    def _note_arrival(self, time: int, now: float) -> None:
        transit = now - time / CLOCK_RATE
        transits = self._transits
        # A queue of rising minima: the first is the least of the window.
        while transits and transits[-1][1] >= transit:
            transits.pop()
        transits.append((now, transit))
        while transits[0][0] < now - BASE_WINDOW_SECONDS:
            transits.popleft()
        lateness = transit - transits[0][1]
        bucket = min(BUCKETS - 1, int(lateness / BUCKET_SECONDS))
        self._histogram = [weight * FORGET for weight in self._histogram]
        self._histogram[bucket] += 1.0
        self._weight = self._weight * FORGET + 1.0
        self._target = self._quantile()

    def _quantile(self) -> float:
        beyond = (1.0 - QUANTILE) * self._weight
        for bucket in range(BUCKETS - 1, -1, -1):
            beyond -= self._histogram[bucket]
            if beyond < 0:
                return bucket * BUCKET_SECONDS + (BUCKET_SECONDS if bucket else 0.0)
        return 0.0

    def _restart(self) -> None:
        self._packets.clear()
        self._transits.clear()
        self._position = -1
        self._last_sequence = -1
        self._pause()
