"""One audio slot: packets in, sound out.

Sans-IO: the driver brings packets and time, the consumer pulls samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtc.client.opus import OpusDecoder, OpusError, Samples, has_redundancy, packet_samples
from rtc.repair.jitter import Decision, Frame, JitterBuffer, Lost, Wait
from rtc.repair.nack import NackGenerator
from rtc.repair.reception import Reception
from rtc.wire.rtcp import GenericNack, ReportBlock, RtcpPacket
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper

CLOCK_RATE = 48000

CHANNELS = 2
"""Channels that tracks have: stereo sources keep theirs, mono ones are the same on both sides."""

NACK_SECONDS = 0.4
"""A packet missing for longer is not asked for any more: the jitter buffer's longest target is 0.5 s."""

FADE_FRAMES = 6
"""Frames concealed in a row while the sound fades out: libopus alone goes on with noise for ever."""


@dataclass(slots=True)
class AudioReceiverStatistics:
    """What one slot heard since the start, in frames of the stream where not said otherwise."""

    packets: int = 0
    bytes: int = 0
    packets_lost: int = 0
    """Packets that did not come by themselves; repairs do not undo it."""
    repaired: int = 0
    """Packets that a NACK brought."""
    played: int = 0
    concealed: int = 0
    """Frames guessed, since neither packet nor redundancy came in time."""
    recovered: int = 0
    """Frames taken from in-band FEC."""
    late: int = 0
    skipped: int = 0
    malformed: int = 0
    jitter_seconds: float = 0.0
    target_seconds: float = 0.0


class AudioReceiver:
    """Jitter buffer, recovery and decoder of one slot."""

    def __init__(self, *, ssrc: int, local_ssrc: int, nack: bool) -> None:
        self.ssrc = ssrc
        self.jitter = JitterBuffer()
        self.reception = Reception(ssrc, CLOCK_RATE)
        self.malformed = 0
        self._local_ssrc = local_ssrc
        self._nack = NackGenerator(deadline=NACK_SECONDS) if nack else None
        self._sequences = Unwrapper()
        self._bytes = 0
        self._packets = 0
        self._decoder: OpusDecoder | None = None
        self._fifo: list[Samples] = []
        self._buffered = 0
        self._recovered = 0
        self._concealed_in_a_row = 0

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """Take a packet of the slot's SSRC."""
        repair = False
        if self._nack is not None:
            repair = self._nack.received(self._sequences.unwrap(packet.sequence_number), now=now)
        self.reception.received(packet.sequence_number, packet.timestamp, now=now, repaired=repair)
        self._packets += 1
        self._bytes += len(packet.payload)
        if not packet.payload:
            return  # padding only: a probe
        try:
            samples = packet_samples(packet.payload)
        except OpusError:
            self.malformed += 1
            return
        self.jitter.insert(packet.sequence_number, packet.timestamp, packet.payload, samples, now=now)

    def pull(self, samples: int, *, now: float) -> Samples:
        """The next `samples` of sound, shape (samples, 2); silence when there is none."""
        while self._buffered < samples:
            pcm = self._render(self.jitter.pull(now=now))
            self._fifo.append(pcm)
            self._buffered += len(pcm)
        joined = self._fifo[0] if len(self._fifo) == 1 else np.concatenate(self._fifo)
        rest = joined[samples:]
        self._fifo = [rest] if len(rest) else []
        self._buffered = len(rest)
        return joined[:samples]

    def catch_up(self, *, now: float) -> None:
        """The consumer had stopped pulling and wants what is due now."""
        self._fifo.clear()
        self._buffered = 0
        self.jitter.catch_up(now=now)

    def feedback(self, *, now: float, rtt: float | None) -> list[RtcpPacket]:
        """Feedback to send now: call it every 10 to 20 ms."""
        if self._nack is None:
            return []
        lost = self._nack.due(now=now, rtt=rtt)
        if not lost:
            return []
        return [GenericNack(self._local_ssrc, self.ssrc, tuple(number & 0xFFFF for number in lost))]

    def report_block(self, *, now: float) -> ReportBlock | None:
        """The block for the next receiver report."""
        return self.reception.report(now=now)

    def statistics(self) -> AudioReceiverStatistics:
        """Counters since the start."""
        jitter = self.jitter.statistics
        return AudioReceiverStatistics(
            packets=self._packets,
            bytes=self._bytes,
            packets_lost=max(0, self.reception.lost),
            repaired=self._nack.recovered if self._nack is not None else 0,
            played=jitter.played,
            concealed=max(0, jitter.lost + jitter.waited - self._recovered),
            recovered=self._recovered,
            late=jitter.late,
            skipped=jitter.skipped,
            malformed=self.malformed,
            jitter_seconds=self.reception.jitter / CLOCK_RATE,
            target_seconds=self.jitter.target,
        )

    def _faded(self, pcm: Samples) -> Samples:
        start = 1 - self._concealed_in_a_row / FADE_FRAMES
        self._concealed_in_a_row += 1
        gain = np.linspace(start, start - 1 / FADE_FRAMES, len(pcm), dtype=np.float32)
        return (pcm * gain[:, None]).astype(np.int16)

    def _render(self, decision: Decision) -> Samples:
        """The sound of one decision of the jitter buffer.

        Stretching and redundant frames will come in here.
        """
        if self._decoder is None:
            self._decoder = OpusDecoder(channels=CHANNELS)
        decoder = self._decoder
        try:
            if isinstance(decision, Frame):
                self._concealed_in_a_row = 0
                return decoder.decode(decision.payload)
            if isinstance(decision, Lost | Wait):
                following = decision.following if isinstance(decision, Lost) else None
                if following is not None and has_redundancy(following):
                    self._recovered += 1
                    self._concealed_in_a_row = 0
                    return decoder.recover(following, decision.samples)
                if self._concealed_in_a_row < FADE_FRAMES and decision.samples % 120 == 0:
                    return self._faded(decoder.conceal(decision.samples))
        except OpusError:
            self.malformed += 1
        return np.zeros((decision.samples, CHANNELS), dtype=np.int16)
