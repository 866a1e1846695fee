"""Puts video packets together to frames, in order, and does not wait for ever for a missing one. Sans-IO."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from rtc.wire.payload import is_keyframe_start
from rtc.wire.rtp import RtpPacket

CLOCK_RATE = 90000

MIN_WAIT_SECONDS = 0.5
"""Shortest time that a missing packet is waited for.

It may have been lost on its way to the server, too, and a key frame takes as long as the slowest of repairs does.
"""

MAX_WAIT_SECONDS = 1.0
"""Longest: a publisher's history ends, and a key frame is quicker than more rounds of retransmission."""

WAIT_RTTS = 6.0
"""Round trips that a missing packet is waited for: three requests on each of two paths."""

MAX_PACKETS = 2048
"""Packets held at most, some seconds of high-quality video."""

MAX_FRAMES = 64
"""Whole frames held for a consumer that does not read, 2 s.

Then they are dropped and a key frame is needed.
"""

_CODECS = {
    name: RTCRtpCodecParameters(mimeType=f"video/{name}", clockRate=CLOCK_RATE, payloadType=0)
    for name in ("VP8", "H264")
}


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A whole frame for the decoder. `timestamp` is the RTP one, in 1/90000 s."""

    codec: str
    timestamp: int
    data: bytes
    keyframe: bool


@dataclass(slots=True)
class _Packet:
    codec: str
    timestamp: int
    marker: bool
    starts_keyframe: bool
    payload: bytes


class VideoBuffer:
    """Frames of one stream of extended sequence numbers.

    The first frame out, and after a hole, is a key frame.
    """

    def __init__(self) -> None:
        self.frames: deque[EncodedFrame] = deque()
        """Whole frames in order; the consumer takes them from the left."""
        self.needs_keyframe = True
        """Nothing can be decoded until a key frame comes."""
        self.overflowed = False
        """True while a key frame is needed just because nobody took the frames."""
        self.given_up = 0
        """Frames, or holes between frames, that were not waited for any longer."""
        self.malformed = 0
        self._packets: dict[int, _Packet] = {}
        self._next = -1
        self._scan = -1
        self._highest = -1
        self._stuck_since: float | None = None

    def insert(self, sequence: int, packet: RtpPacket, codec: str, *, now: float) -> None:
        """Take a packet (`sequence` extended); whole frames appear in `frames`.

        An empty one only fills its place: so the server does with what turns out to be of no use here.
        """
        if sequence in self._packets or (not self.needs_keyframe and sequence < self._next):
            return
        try:
            payload = depayload(_CODECS[codec], packet.payload) if packet.payload else b""
        except (ValueError, IndexError, KeyError, struct.error):
            self.malformed += 1
            return
        starts = is_keyframe_start(codec, packet.payload)
        self._highest = max(self._highest, sequence)
        self._packets[sequence] = _Packet(codec, packet.timestamp, packet.marker, starts, payload)
        if self.needs_keyframe and starts:
            self._start_at(self._first_of_frame(sequence))
        self._advance(now)
        if len(self._packets) > MAX_PACKETS:
            self._give_up(now)

    def tick(self, *, now: float, rtt: float | None) -> None:
        """Give up what has been waited for too long; call it every 10 to 50 ms."""
        if self._stuck_since is None:
            return
        wait = min(MAX_WAIT_SECONDS, max(MIN_WAIT_SECONDS, WAIT_RTTS * (rtt or 0.0)))
        if now - self._stuck_since >= wait:
            self._give_up(now)

    def missing(self, sequence: int) -> bool:
        """Whether `sequence` is still of use."""
        return sequence not in self._packets and (self.needs_keyframe or sequence >= self._next)

    def drop_frames(self) -> None:
        """The consumer has fallen behind: go on at the next key frame."""
        self.frames.clear()
        self._abandon()
        self.overflowed = True

    def _advance(self, now: float) -> None:
        """Emit frames while the next packet is there."""
        if self.needs_keyframe:
            self._trim()
            return
        while (packet := self._packets.get(self._scan)) is not None:
            self._scan += 1
            following = self._packets.get(self._scan)
            if packet.marker or (following is not None and following.timestamp != packet.timestamp):
                self._emit()
                if self.needs_keyframe:
                    return
        if self._highest <= self._scan:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now

    def _emit(self) -> None:
        packets = [self._packets.pop(number) for number in range(self._next, self._scan)]
        self._next = self._scan
        self._stuck_since = None
        first = packets[0]
        data = b"".join(packet.payload for packet in packets)
        if not data:
            return  # to a decoder that is the end of everything
        self.frames.append(EncodedFrame(first.codec, first.timestamp, data, first.starts_keyframe))
        if len(self.frames) > MAX_FRAMES:
            self.drop_frames()

    def _give_up(self, now: float) -> None:
        """Go on at a later key frame that is already here, else wait for one."""
        self.given_up += 1
        later = [n for n, packet in self._packets.items() if n > self._scan and packet.starts_keyframe]
        if later:
            self._start_at(min(later))
            self._advance(now)
        else:
            self._abandon()

    def _abandon(self) -> None:
        self._packets.clear()
        self._stuck_since = None
        self.needs_keyframe = True

    def _start_at(self, sequence: int) -> None:
        self.needs_keyframe = self.overflowed = False
        self._next = self._scan = sequence
        self._stuck_since = None
        for number in [n for n in self._packets if n < sequence]:
            del self._packets[number]

    def _first_of_frame(self, sequence: int) -> int:
        """The start of the frame that `sequence` is in: of H.264, several packets look like the start."""
        timestamp = self._packets[sequence].timestamp
        while (before := self._packets.get(sequence - 1)) is not None and before.timestamp == timestamp:
            sequence -= 1
        return sequence

    def _trim(self) -> None:
        """While a key frame is awaited, keep only what re-ordering may bring behind its start."""
        if len(self._packets) > MAX_PACKETS // 8:
            for number in sorted(self._packets)[: MAX_PACKETS // 16]:
                del self._packets[number]
