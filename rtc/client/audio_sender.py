"""A microphone: frames of any MediaStreamTrack in, Opus packets out. Sans-IO."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np

from rtc.client.opus import DEFAULT_BITRATE, SAMPLE_RATE, OpusEncoder, Samples
from rtc.client.outgoing import OutgoingStream
from rtc.repair.path import ReportedPath
from rtc.repair.redundancy import (
    MAX_COPIES,
    MAX_DEPTH,
    NONE,
    Protection,
    ProtectionController,
    RedHistory,
)
from rtc.wire.extensions import pack_audio_level
from rtc.wire.rtcp import ReportBlock

VOICE_DBOV = -50
"""A frame at least this loud is flagged as voice (RFC 6464).

Quiet speech is about -40 dBov, a quiet room -60.
"""

GAP_SECONDS = 0.1
"""A track's time that differs this much from the samples counted has jumped: the RTP timestamp follows it."""

FULL_SCALE = 32768.0

FRAME_SECONDS = 0.02
"""Length of a frame unless said otherwise, and on lossy paths always."""

BITRATES = ((20, 20000), (13, 24000), (9, 32000), (0, DEFAULT_BITRATE))
"""Bit/s by how often at least each frame is sent: redundancy is worth more than the last bit of clearness."""

LOSS_STEP = 5
"""Per cent: the encoder's figure of loss is a multiple of it, and not set anew for less."""


def level_dbov(pcm: Samples) -> int:
    """Level of a frame in dBov: 0 is a full-scale square wave, -127 silence (RFC 6464 section 3)."""
    values = pcm.astype(np.float32)
    power = float(np.mean(values * values)) / FULL_SCALE**2
    return -127 if power <= 0 else max(-127, min(0, round(10 * math.log10(power))))


class AudioSender:
    """Resamples to 48 kHz, cuts into Opus frames, encodes, protects and numbers them.

    Each packet is to be sent `protection.copies` times, COPY_SPACING_SECONDS apart: the same bytes under SRTP, of
    which the receiver's replay protection passes one. `frame_seconds` is 0.02, or 0.01 for less delay: frames are
    that short only while the path is clean. Without `red_payload_type`, packets carry no redundancy.
    """

    def __init__(
        self,
        stream: OutgoingStream,
        *,
        payload_type: int,
        level_id: int | None,
        red_payload_type: int | None = None,
        channels: int = 1,
        bitrate: int = DEFAULT_BITRATE,
        frame_seconds: float = FRAME_SECONDS,
    ) -> None:
        self.stream = stream
        self.muted = False
        self.level = -127
        self.encoder = OpusEncoder(channels=channels, bitrate=bitrate)
        self._bitrate = bitrate
        self._frame_samples = round(frame_seconds * SAMPLE_RATE)
        self._payload_type = payload_type
        self._red_payload_type = red_payload_type
        self._level_id = level_id
        self._resampler = self._new_resampler()
        self._format: tuple[str, str, int] | None = None
        self._fifo = np.zeros((0, channels), dtype=np.int16)
        self._fifo_timestamp = 0
        self._talking = False
        self._history = RedHistory()
        self._asked = NONE
        self._own = ProtectionController()
        self._path = ReportedPath()
        self._apply_protection()

    @property
    def protection(self) -> Protection:
        """What packets get now: what the server asks for; until it does, what its reports and NACKs call for."""
        return self._own.protection if self._asked == NONE else self._asked

    def protect(self, protection: Protection) -> None:
        """The server, which sees each loss, asks for this much; it gets no more than is ever of use."""
        depth, copies = min(protection.depth, MAX_DEPTH), min(protection.copies, MAX_COPIES)
        self._asked = Protection(max(0, depth), max(1, copies))
        self._apply_protection()

    def reported(self, block: ReportBlock, *, now: float) -> None:
        """A receiver reports on this stream."""
        self._path.reported(block, now=now)
        self.encoder.set_packet_loss(round(100 * block.fraction_lost / 256 / LOSS_STEP) * LOSS_STEP)
        self._judge(now)

    def nacked(self, lost: Iterable[int], *, now: float) -> None:
        """A receiver misses these packets (16-bit numbers), which tells of loss before its next report does."""
        self._path.nacked([self.stream.extended(number) for number in lost])
        self._judge(now)

    def _judge(self, now: float) -> None:
        self._own.reported(self._path.loss(self.stream.highest), self._path.burst, now=now)
        self._apply_protection()

    def renegotiated(self, *, payload_type: int, level_id: int | None, red_payload_type: int | None) -> None:
        """Go on with what a new answer says."""
        self._payload_type = payload_type
        self._red_payload_type = red_payload_type
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
            pcm: list[Samples] = [
                resampled.to_ndarray().reshape(-1, self.encoder.channels).astype(np.int16, copy=False)
                for resampled in self._resampler.resample(frame)
            ]
        except (av.FFmpegError, TypeError) as problem:
            raise ValueError(f"an audio frame cannot be resampled: {problem}") from None
        return self._encode(pcm, now)

    def encode(self, pcm: Samples, timestamp: int, *, now: float) -> list[bytes]:
        """Packets that sound at 48 kHz completes: shape (any number of samples, channels); time of the first sample."""
        if abs(timestamp - (self._fifo_timestamp + len(self._fifo))) > GAP_SECONDS * SAMPLE_RATE:
            self._reset(timestamp)
        return self._encode([pcm], now)

    def _encode(self, pcm: list[Samples], now: float) -> list[bytes]:
        self._fifo = np.concatenate((self._fifo, *pcm))
        packets = []
        while len(self._fifo) >= (size := self.encoder.frame_samples):
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
        payload_type, payload = self._protected(self.encoder.encode(pcm))
        return self.stream.packet(
            payload_type,
            payload,
            self._fifo_timestamp,
            now=now,
            marker=marker,
            extensions=extensions,
        )

    def _protected(self, frame: bytes) -> tuple[int, bytes]:
        """Payload type and payload that carry this frame and those before it."""
        payload_type, payload = self._payload_type, frame
        depth = self.protection.depth
        if self._red_payload_type is not None and depth:
            payload_type = self._red_payload_type
            payload = self._history.pack(self._payload_type, self._fifo_timestamp, frame, depth=depth)
        self._history.add(self._fifo_timestamp, frame)
        return payload_type, payload

    def _apply_protection(self) -> None:
        protection = self.protection
        depth = 0 if self._red_payload_type is None else protection.depth
        frames = Protection(depth, protection.copies).frames
        self.encoder.set_bitrate(min(self._bitrate, next(rate for least, rate in BITRATES if frames >= least)))
        # Beside RED, in-band FEC brings nothing and costs much: PESQ 3.5 instead of 4.4 at 24 kbit/s.
        self.encoder.set_inband_fec(not depth)
        clean = protection == NONE
        self.encoder.frame_samples = self._frame_samples if clean else round(FRAME_SECONDS * SAMPLE_RATE)

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
