"""A camera or screen: pictures of any MediaStreamTrack in, packets out, a camera's in two sizes.

The encoders run in a thread of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from fractions import Fraction

import av

from rtc.client.outgoing import OutgoingStream
from rtc.client.repairs import Repairs
from rtc.client.simulcast import scaled, scales_of, share
from rtc.client.video_buffer import CLOCK_RATE
from rtc.client.video_layer import VideoLayer, VideoLayerStatistics

START_BITRATE = 1_000_000
"""Bit/s until the server says otherwise."""

BURST_PACKETS = 10
"""Packets sent at once; then the sender pauses for BURST_SECONDS.

21 Mbit/s, so that key frames fill no queue.
"""

BURST_SECONDS = 0.005


@dataclass(slots=True)
class VideoSenderStatistics:
    """What was made of the pictures since the start."""

    frames_encoded: int = 0
    """Pictures that were sent, in whatever sizes."""
    keyframes: int = 0
    """Of all sizes."""
    frames_dropped: int = 0
    """Pictures that came while the one before was still being encoded."""
    target_bitrate: int = 0
    """Bit/s of all sizes."""
    width: int = 0
    height: int = 0
    layers: tuple[VideoLayerStatistics, ...] = ()
    """Each size, from the smallest; the first is the only one of a picture that is sent in one."""


class VideoSender:
    """Encodes pictures and numbers their packets, in as many sizes as there are `streams`, the smallest first.

    Follows PLI, FIR, REMB, and what the server says is of use to anybody.
    """

    def __init__(
        self, streams: Sequence[OutgoingStream], *, codec: str, payload_type: int, executor: Executor
    ) -> None:
        self.muted = False
        self.codec = codec
        self.frames_dropped = 0
        self.layers = tuple(VideoLayer(stream, codec) for stream in streams)
        self._frames = 0
        self._repairs = Repairs(START_BITRATE)
        for stream in streams:
            stream.repairs = self._repairs
        self._wanted: Collection[str] | None = None
        self._payload_type = payload_type
        self._executor = executor
        self._busy = False

    def renegotiated(self, *, codec: str, payload_type: int) -> None:
        """Go on with what a new answer says, from a key frame on."""
        if codec != self.codec:
            self.codec = codec
            for layer in self.layers:
                layer.use(codec)
        self._payload_type = payload_type
        self.request_keyframe()

    def set_bitrate(self, bitrate: int) -> None:
        """Aim at what a REMB says, for all sizes and what is sent again together; bit/s."""
        self._repairs.available = bitrate

    def want(self, rids: Collection[str] | None) -> None:
        """Only these sizes are of use to anybody; None: all."""
        self._wanted = rids

    def request_keyframe(self, ssrc: int | None = None) -> None:
        """Make the next picture a key frame, in the size with this SSRC or in all."""
        for layer in self.layers:
            if ssrc is None or layer.stream.ssrc == ssrc:
                layer.request_keyframe()

    @property
    def busy(self) -> bool:
        """Whether a picture is being encoded; another one is to be dropped."""
        return self._busy

    @property
    def statistics(self) -> VideoSenderStatistics:
        """Counters since the start."""
        layers = tuple(replace(layer.statistics) for layer in self.layers)
        active = [layer for layer in layers if layer.active] or layers[:1]
        return VideoSenderStatistics(
            frames_encoded=self._frames,
            keyframes=sum(layer.keyframes for layer in layers),
            frames_dropped=self.frames_dropped,
            target_bitrate=sum(layer.target_bitrate for layer in active),
            width=active[-1].width,
            height=active[-1].height,
            layers=layers,
        )

    async def encode(self, picture: av.VideoFrame, *, now: float) -> list[bytes]:
        """Packets of one picture, in order, the smallest size first; none while muted, or of use to nobody.

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
        work = self._plan(picture, now)
        if not work:
            return []
        self._busy = True
        try:
            loop = asyncio.get_running_loop()
            encoded = await loop.run_in_executor(self._executor, _encode, picture, work)
        except (av.FFmpegError, TypeError, AttributeError) as problem:
            raise ValueError(f"a picture cannot be encoded: {problem}") from None
        finally:
            self._busy = False
        self._frames += 1
        return [
            layer.stream.packet(
                self._payload_type, payload, timestamp, now=now, marker=index == len(payloads) - 1
            )
            for layer, payloads in encoded
            for index, payload in enumerate(payloads)
        ]

    def _plan(self, picture: av.VideoFrame, now: float) -> list[_Work]:
        """In which sizes to encode a picture, the smallest first."""
        scales = scales_of(picture.width, picture.height, len(self.layers))
        wanted = [
            (layer, scale)
            for layer, scale in zip(self.layers, scales, strict=False)
            if self._wanted is None or not layer.stream.rid or layer.stream.rid in self._wanted
        ]
        lines = [min(scaled(picture.width, scale), scaled(picture.height, scale)) for _, scale in wanted]
        shares = share(self._repairs.left(now=now), lines)
        sent = [(*each, bitrate) for each, bitrate in zip(wanted, shares, strict=True) if bitrate]
        for layer in {*self.layers} - {layer for layer, *_ in sent}:
            layer.rest()
        return [
            _Work(layer, scale, bitrate, layer.starts_keyframe(now=now))
            for layer, scale, bitrate in sent
            if layer.has_room(bitrate, now=now)
        ]


@dataclass(frozen=True, slots=True)
class _Work:
    """One size to encode a picture in."""

    layer: VideoLayer
    scale: int
    bitrate: int
    keyframe: bool


def _encode(picture: av.VideoFrame, work: list[_Work]) -> list[tuple[VideoLayer, list[bytes]]]:
    """In the executor."""
    return [
        (each.layer, each.layer.encode(picture, scale=each.scale, bitrate=each.bitrate, keyframe=each.keyframe))
        for each in work  # the full size is the last: its encoder changes the picture
    ]
