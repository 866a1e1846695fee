"""A microphone: frames of any MediaStreamTrack in, Opus packets out. Sans-IO."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np

from rtc.client.opus import DEFAULT_BITRATE, SAMPLE_RATE, OpusEncoder, Samples
from rtc.client.outgoing import OutgoingStream
from rtc.wire.extensions import pack_audio_level

VOICE_DBOV = -50
"""A frame at least this loud is flagged as voice (RFC 6464).

Quiet speech is about -40 dBov, a quiet room -60.
"""

GAP_SECONDS = 0.1
"""A track's time that differs this much from the samples counted has jumped: the RTP timestamp follows it."""

FULL_SCALE = 32768.0


def level_dbov(pcm: Samples) -> int:
    """Level of a frame in dBov: 0 is a full-scale square wave, -127 silence (RFC 6464 section 3)."""
    values = pcm.astype(np.float32)
    power = float(np.mean(values * values)) / FULL_SCALE**2
    return -127 if power <= 0 else max(-127, min(0, round(10 * math.log10(power))))


class AudioSender:
    """Resamples to 48 kHz, cuts into Opus frames, encodes and numbers them."""

    def __init__(
        self,
        stream: OutgoingStream,
        *,
        payload_type: int,
        level_id: int | None,
        channels: int = 1,
        bitrate: int = DEFAULT_BITRATE,
        frame_samples: int = 960,
    ) -> None:
        self.stream = stream
        self.muted = False
        self.level = -127
        self.encoder = OpusEncoder(channels=channels, bitrate=bitrate, frame_samples=frame_samples)
        self._payload_type = payload_type
        self._level_id = level_id
        self._resampler = self._new_resampler()
        self._format: tuple[str, str, int] | None = None
        self._fifo = np.zeros((0, channels), dtype=np.int16)
        self._fifo_timestamp = 0
        self._talking = False

    def renegotiated(self, *, payload_type: int, level_id: int | None) -> None:
        """Go on with what a new answer says."""
        self._payload_type = payload_type
        self._level_id = level_id

    def send(self, frame: av.AudioFrame, *, now: float) -> list[bytes]:
        """Packets that this frame completes; none while muted, but time goes on.

        Raises ValueError for bad frames.
        """
        timestamp = self._timestamp(frame)
        layout = (frame.format.name, frame.layout.name, frame.sample_rate)
        if layout != self._format:
            self._format = layout
            self._resampler = self._new_resampler()
            self._reset(timestamp)
        if abs(timestamp - (self._fifo_timestamp + len(self._fifo))) > GAP_SECONDS * SAMPLE_RATE:
            self._reset(timestamp)
        try:
            for resampled in self._resampler.resample(frame):
                pcm = resampled.to_ndarray().reshape(-1, self.encoder.channels)
                self._fifo = np.concatenate((self._fifo, pcm))
        except (av.FFmpegError, TypeError) as problem:
            raise ValueError(f"an audio frame cannot be resampled: {problem}") from None
        packets = []
        size = self.encoder.frame_samples
        while len(self._fifo) >= size:
            packet = self._frame(self._fifo[:size], now)
            if packet is not None:
                packets.append(packet)
            self._fifo = self._fifo[size:]
            self._fifo_timestamp += size
        return packets

    def _frame(self, pcm: Samples, now: float) -> bytes | None:
        if self.muted:
            self.level = -127
            self._talking = False
            return None
        self.level = level_dbov(pcm)
        extensions = {}
        if self._level_id is not None:
            extensions[self._level_id] = pack_audio_level(self.level >= VOICE_DBOV, self.level)
        # The marker bit says that a talk-spurt begins (RFC 3551 section 4.1).
        marker, self._talking = not self._talking, True
        return self.stream.packet(
            self._payload_type,
            self.encoder.encode(pcm),
            self._fifo_timestamp,
            now=now,
            marker=marker,
            extensions=extensions,
        )

    def _timestamp(self, frame: av.AudioFrame) -> int:
        """The frame's own time in units of 1/48000 s; without one, it follows the frame before."""
        if frame.pts is None or frame.time_base is None:
            return self._fifo_timestamp + len(self._fifo)
        base = Fraction(frame.time_base.numerator, frame.time_base.denominator)
        return int(frame.pts * base * SAMPLE_RATE)

    def _reset(self, timestamp: int) -> None:
        self._fifo = self._fifo[:0]
        self._fifo_timestamp = timestamp

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(
            format="s16", layout="mono" if self.encoder.channels == 1 else "stereo", rate=SAMPLE_RATE
        )
