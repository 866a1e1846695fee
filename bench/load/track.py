"""What a load client sends: Opus-sized packets at a steady rate, or VP8-like frames in bursts. No IO."""

from __future__ import annotations

import secrets
import struct
import time
from dataclasses import dataclass

from .sdp import LEVEL, MID, OPUS, SEND_TIME, VP8, Kind

MARK = b"load"
_TAG = struct.Struct("!4sII")  # in every payload: the mark, the track, the packet
_HEADER = struct.Struct("!BBHIIHH")
_NAMED = 100  # packets that name their m-line, as in browsers, which stop when they have been heard
_LEVEL = 0x80 | 30  # voice at -30 dBov


@dataclass(frozen=True, slots=True)
class Pace:
    """How a track is sent."""

    kind: Kind
    packets: float = 50.0
    """Packets a second."""
    size: int = 100
    """Bytes of payload."""
    burst: int = 1
    """Packets of a frame."""

    @property
    def interval(self) -> float:
        """Seconds between frames."""
        return self.burst / self.packets


AUDIO = Pace("audio", 50, 100)
VIDEO = Pace("video", 200, 1100, 8)


class Track:
    """The packets of one track; `due` says when the next frame is to be sent, by the caller's clock."""

    def __init__(self, number: int, mid: str, ssrc: int, pace: Pace, *, start: float) -> None:
        self.number = number
        self.pace = pace
        self.ssrc = ssrc
        self.due = start
        self.sent = 0
        self.keyframe_wanted = True
        self.octets = 0
        self.timestamp = secrets.randbits(31)
        self._mid = mid.encode()
        self._sequence = secrets.randbelow(0x7FFF)
        self._filler = secrets.token_bytes(pace.size)
        self._ticks = round(pace.interval * (48000 if pace.kind == "audio" else 90000))

    def frame(self) -> list[bytes]:
        """The packets of the next frame; moves `due` on."""
        audio = self.pace.kind == "audio"
        packets = []
        for place in range(self.pace.burst):
            last = place == self.pace.burst - 1
            extension = bytes((LEVEL << 4, _LEVEL)) if audio else bytes((SEND_TIME << 4 | 2,)) + _send_time()
            if self.sent < _NAMED:
                extension += bytes((MID << 4 | len(self._mid) - 1,)) + self._mid
            extension += bytes(-len(extension) % 4)
            header = _HEADER.pack(
                0x90, (OPUS if audio else VP8) | (0x80 if last and not audio else 0),
                (self._sequence + self.sent) & 0xFFFF, self.timestamp, self.ssrc, 0xBEDE, len(extension) // 4,
            )
            head = b"\xfc" if audio else self._descriptor(first=place == 0)
            tag = _TAG.pack(MARK, self.number, self.sent)
            packets.append(header + extension + head + tag + self._filler[len(head) + len(tag) :])
            self.sent += 1
            self.octets += self.pace.size
        self.timestamp = (self.timestamp + self._ticks) & 0xFFFFFFFF
        self.due += self.pace.interval
        return packets

    def change_pace(self, pace: Pace, *, start: float) -> None:
        """Send at another rate from `start` on; frames stay as long as they are."""
        assert (pace.kind, pace.size, pace.burst) == (self.pace.kind, self.pace.size, self.pace.burst)
        self.pace = pace
        self.due = start

    def _descriptor(self, *, first: bool) -> bytes:
        """VP8's payload descriptor with a picture id (RFC 7741 4.2), and at the start of a frame its tag."""
        picture = 0x8000 | self.sent // self.pace.burst & 0x7FFF
        if not first:
            return struct.pack("!BBH", 0x80, 0x80, picture)
        key, self.keyframe_wanted = self.keyframe_wanted, False
        start = b"\x10\x00\x00\x9d\x01\x2a\x80\x02\x68\x01" if key else b"\x11\x00\x00"
        return struct.pack("!BBH", 0x90, 0x80, picture) + start


def read_tag(payload: bytes) -> tuple[int, int] | None:
    """Track and number of a packet that `Track` made; with redundancy, of the last frame."""
    at = payload.rfind(MARK)
    if at < 0 or at + _TAG.size > len(payload):
        return None
    _, track, number = _TAG.unpack_from(payload, at)
    return track, number


def _send_time() -> bytes:
    return (int(time.time() * (1 << 18)) & 0xFFFFFF).to_bytes(3, "big")
