"""What libwebrtc makes of VP8: which frames it puts together, until when it asks for them, and which it shows.

Read in its rtp_vp8_ref_finder.cc, rtp_seq_num_only_ref_finder.cc, frame_buffer.cc and video_receive_stream2.cc.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from rtc.wire.payload import Vp8Descriptor, is_keyframe_start
from rtc.wire.sequence import Unwrapper

CLOCK_RATE = 90000
LEAST_DELAY = 0.03  # seconds: what it waits where it is asked for less
LATE = 0.005  # seconds: a frame that is later is left out, if one after it can be decoded without it
FEW_LAYERS = 3
NOT_RECEIVED = 128  # frames before the newest that it still counts with


class _Packet(NamedTuple):
    timestamp: int
    marker: bool
    descriptor: Vp8Descriptor
    key: bool


class _Frame(NamedTuple):
    number: int
    timestamp: int
    last: int
    """The sequence number of its last packet."""
    references: tuple[int, ...]


class Vp8Decoder:
    """One stream, sequence numbers extended."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, int]] = []
        """When which frame (extended picture id)."""
        self._packets: dict[int, _Packet] = {}
        self._empty: set[int] = set()
        self._numbers = Unwrapper(bits=15)
        self._base_numbers = Unwrapper(bits=8)
        self._timestamps = Unwrapper(bits=32)
        self._stashed: list[tuple[int, int]] = []
        self._handed: set[int] = set()
        self._layers: dict[int, list[int]] = {}
        self._not_received: list[int] = []
        self._newest = -1
        self._frames: dict[int, _Frame] = {}
        self._continuous: set[int] = set()
        self._decoded: set[int] = set()
        self._last_decoded = -1
        self._transit: float | None = None

    def receive(self, sequence: int, timestamp: int, marker: bool, payload: bytes, *, now: float) -> int | None:
        """Take a packet; the number up to which nothing is asked for any more, if that has changed."""
        if sequence in self._packets or sequence in self._empty:
            return None
        if not payload:
            self._empty.add(sequence)
            return self._hand_on()
        descriptor = Vp8Descriptor.parse(payload)
        ticks = self._timestamps.unwrap(timestamp)
        self._packets[sequence] = _Packet(ticks, marker, descriptor, is_keyframe_start("VP8", payload))
        first = last = sequence
        while not self._packets[first].descriptor.start_of_frame:
            first -= 1
            if first not in self._packets:
                return None
        while not self._packets[last].marker:
            last += 1
            if last not in self._packets:
                return None
        transit = now - ticks / CLOCK_RATE
        self._transit = transit if self._transit is None else min(self._transit, transit)
        self._stashed.append((first, last))
        return self._hand_on()

    def _hand_on(self) -> int | None:
        """Hand on what was put together as far as it is known what it refers to."""
        before = max(self._continuous, default=-1)
        going_on = True
        while going_on:
            going_on = False
            for first, last in list(self._stashed):
                head = self._packets[first]
                by_number = head.descriptor.picture_id is None
                number = last if by_number else self._numbers.unwrap(head.descriptor.picture_id or 0)
                references = self._before(first, head) if by_number else self._references(number, head)
                if references is None:
                    continue
                self._stashed.remove((first, last))
                going_on = True
                if references != (-1,):
                    self._handed.add(number)
                    self._insert(_Frame(number, head.timestamp, last, references))
        newest = max(self._continuous, default=-1)
        return self._frames[newest].last if newest > before and newest in self._frames else None

    def play(self, *, delay: float, now: float) -> None:
        """Show what is due, `delay` seconds after it came at the earliest."""
        while True:
            ready = sorted(
                number for number, frame in self._frames.items()
                if number > self._last_decoded and self._decoded.issuperset(frame.references)
            )
            if not ready or self._transit is None:
                return
            due = self._frames[ready[0]].timestamp / CLOCK_RATE + self._transit + max(delay, LEAST_DELAY)
            if now < due:
                return
            if now - due > LATE and len(ready) > 1:
                del self._frames[ready[0]]
                continue
            self._last_decoded = ready[0]
            self._decoded.add(ready[0])
            self.shown.append((now, ready[0]))

    def _insert(self, frame: _Frame) -> None:
        if frame.number <= self._last_decoded:
            return
        self._frames[frame.number] = frame
        for number in sorted(self._frames):
            if number not in self._continuous and self._continuous.issuperset(self._frames[number].references):
                self._continuous.add(number)

    def _before(self, first: int, packet: _Packet) -> tuple[int, ...] | None:
        """Without picture ids a frame refers to the one before it."""
        if packet.key:
            return ()
        before = first - 1
        while before in self._empty:
            before -= 1
        return (before,) if before in self._handed else None

    def _references(self, number: int, packet: _Packet) -> tuple[int, ...] | None:
        """What a frame refers to, so far as libwebrtc knows; None: it has to wait, (-1,): it is of no use."""
        temporal, sync = packet.descriptor.temporal_id or 0, packet.descriptor.layer_sync
        base = self._base_numbers.unwrap(packet.descriptor.tl0picidx or 0)
        if number > self._newest:
            begin = number if self._newest < 0 else self._newest + 1
            self._not_received += range(begin, number + 1)
            self._newest = number
            del self._not_received[: bisect_right(self._not_received, number - NOT_RECEIVED)]
        if packet.key:
            self._layers[base] = [-1] * FEW_LAYERS
            return self._now_has(number, base, 0, ())
        below = self._layers.get(base if temporal else base - 1)
        if below is None:
            return None
        if not temporal:
            self._layers.setdefault(base, list(below))
            return self._now_has(number, base, 0, (below[0],))
        if sync:
            return self._now_has(number, base, temporal, (below[0],))
        for each in below[: temporal + 1]:
            if each > number:
                return (-1,)
            missing = bisect_right(self._not_received, each)
            if each < 0 or (missing < len(self._not_received) and self._not_received[missing] < number):
                return None
        return self._now_has(number, base, temporal, tuple(below[: temporal + 1]))

    def _now_has(self, number: int, base: int, temporal: int, references: tuple[int, ...]) -> tuple[int, ...]:
        while base in self._layers and self._layers[base][temporal] < number:
            self._layers[base][temporal] = number
            base += 1
        if number in self._not_received:
            self._not_received.remove(number)
        return references
