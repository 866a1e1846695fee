"""A camera or screen: pictures of any MediaStreamTrack in, packets out.

The encoder runs in a thread of the call.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from fractions import Fraction

import av
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder

from rtc.client.outgoing import OutgoingStream
from rtc.client.video_buffer import CLOCK_RATE
from rtc.wire.extensions import pack_abs_send_time

START_BITRATE = 1_000_000
"""Bit/s until the server says otherwise."""

MAX_BITRATE = 1_500_000
"""Bit/s at most; where aiortc's VP8 encoder stops too."""

MIN_BITRATE = 250_000
"""Bit/s at least; where aiortc's VP8 encoder stops too."""

BITRATE_STEPS = (MIN_BITRATE, 325_000, 420_000, 550_000, 710_000, 925_000, 1_200_000, MAX_BITRATE)
"""Bit rates are rounded down to these: each change beyond 10 % costs aiortc's encoders a key frame."""

KEYFRAME_SECONDS = 0.3
"""Shortest time between two key frames made on request."""

BURST_PACKETS = 10
"""Packets sent at once; then the sender pauses for BURST_SECONDS.

21 Mbit/s, so that key frames fill no queue.
"""

BURST_SECONDS = 0.005


@dataclass(slots=True)
class VideoSenderStatistics:
    """What the encoder did since the start."""

    frames_encoded: int = 0
    keyframes: int = 0
    frames_dropped: int = 0
    """Pictures that came while the one before was still being encoded."""
    target_bitrate: int = START_BITRATE
    width: int = 0
    height: int = 0


def quantised(bitrate: int) -> int:
    """The largest step not above `bitrate`, within the encoder's limits; bit/s."""
    return max((step for step in BITRATE_STEPS if step <= bitrate), default=MIN_BITRATE)


class VideoSender:
    """Encodes pictures and numbers their packets; follows PLI, FIR and REMB."""

    def __init__(
        self,
        stream: OutgoingStream,
        *,
        codec: str,
        payload_type: int,
        send_time_id: int | None,
        executor: Executor,
    ) -> None:
        self.stream = stream
        self.muted = False
        self.codec = codec
        self.statistics = VideoSenderStatistics()
        self._encoder: Encoder = _new_encoder(codec)
        self._payload_type = payload_type
        self._send_time_id = send_time_id
        self._executor = executor
        self._keyframe_wanted = True
        self._keyframe_at = float("-inf")
        self._busy = False
        self.set_bitrate(START_BITRATE)

    def renegotiated(self, *, codec: str, payload_type: int, send_time_id: int | None) -> None:
        """Go on with what a new answer says, from a key frame on."""
        if codec != self.codec:
            self.codec = codec
            self._encoder = _new_encoder(codec)
            self.set_bitrate(self.statistics.target_bitrate)
        self._payload_type = payload_type
        self._send_time_id = send_time_id
        self.request_keyframe()

    def set_bitrate(self, bitrate: int) -> None:
        """Aim at what a REMB says, rounded down to a step; bit/s."""
        self.statistics.target_bitrate = quantised(bitrate)
        if isinstance(self._encoder, Vp8Encoder | H264Encoder):
            self._encoder.target_bitrate = self.statistics.target_bitrate

    def request_keyframe(self) -> None:
        """Make the next picture a key frame, at most one every KEYFRAME_SECONDS."""
        self._keyframe_wanted = True

    @property
    def busy(self) -> bool:
        """Whether a picture is being encoded; another one is to be dropped."""
        return self._busy

    async def encode(self, picture: av.VideoFrame, *, now: float) -> list[bytes]:
        """Packets of one picture, in order; none while muted.

        Raises ValueError for a picture that cannot be encoded.
        """
        if self.muted:
            return []
        if picture.pts is None or picture.time_base is None:
            raise ValueError("a picture has no time (pts)")
        # Taken before the encoder, which rescales the pts it is given.
        timestamp = int(
            picture.pts * Fraction(picture.time_base.numerator, picture.time_base.denominator) * CLOCK_RATE
        )
        keyframe = self._keyframe_wanted and now - self._keyframe_at >= KEYFRAME_SECONDS
        if keyframe:
            self._keyframe_wanted = False
            self._keyframe_at = now
        self._busy = True
        try:
            loop = asyncio.get_running_loop()
            payloads, _ = await loop.run_in_executor(
                self._executor, self._encoder.encode, picture, keyframe
            )
        except (av.FFmpegError, TypeError, AttributeError) as problem:
            raise ValueError(f"a picture cannot be encoded: {problem}") from None
        finally:
            self._busy = False
        self.statistics.frames_encoded += 1
        self.statistics.keyframes += keyframe
        self.statistics.width, self.statistics.height = picture.width, picture.height
        extensions = {} if self._send_time_id is None else {self._send_time_id: pack_abs_send_time(now)}
        return [
            self.stream.packet(
                self._payload_type,
                payload,
                timestamp,
                now=now,
                marker=index == len(payloads) - 1,
                extensions=extensions,
            )
            for index, payload in enumerate(payloads)
        ]


def _new_encoder(codec: str) -> Encoder:
    return H264Encoder() if codec == "H264" else Vp8Encoder()
