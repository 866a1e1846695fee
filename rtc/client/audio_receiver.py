"""One audio slot: packets in, sound out.

Sans-IO: the driver brings packets and time, the consumer pulls samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtc.client.audio_player import CHANNELS, AudioPlayer
from rtc.client.opus import OpusError, Samples, packet_samples
from rtc.repair.history import History
from rtc.repair.jitter import CLOCK_RATE, JitterBuffer
from rtc.repair.nack import NackGenerator
from rtc.repair.reception import Reception
from rtc.repair.redundancy import LossMeter
from rtc.wire.errors import WireError
from rtc.wire.red import RedBlock, unpack
from rtc.wire.rtcp import GenericNack, ReportBlock, RtcpPacket
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper

__all__ = ["CHANNELS", "CLOCK_RATE", "AudioReceiver", "AudioReceiverStatistics"]

OPUS_PAYLOAD_TYPE = 96
"""Payload type of Opus unless said otherwise."""

MAX_NACK_SECONDS = 0.5
"""A packet missing for longer is not asked for: the jitter buffer's longest target."""

NACK_RTTS = 1.5
"""A packet is asked for during so many round trips at least, even if the answers come too late now: the buffer grows
where they are worth it."""

REPEAT_LOSS = 0.15
"""From this loss on, each request is sent twice."""

MIN_SAMPLES = 120
"""Opus frames are multiples of 2.5 ms (RFC 6716 section 2.1.4): a redundant one at another distance is a lie."""

MEMORY = 1024
"""Packets remembered, to tell copies from first arrivals: 20 s."""


@dataclass(slots=True)
class AudioReceiverStatistics:
    """What one slot heard since the start, in frames of the stream where not said otherwise."""

    packets: int = 0
    bytes: int = 0
    copies: int = 0
    """Packets that had arrived before."""
    packets_lost: int = 0
    """Packets that did not come by themselves; repairs do not undo it."""
    repaired: int = 0
    """Packets that a NACK brought."""
    redundant: int = 0
    """Frames played that RED brought."""
    recovered: int = 0
    """Frames taken from in-band FEC."""
    played: int = 0
    concealed: int = 0
    """Frames guessed, since neither packet nor redundancy came in time."""
    concealed_share: float = 0.0
    """Guessed sound as a share of all but silence, 0 to 1."""
    late: int = 0
    skipped: int = 0
    """Lost frames that nothing was played for, to shorten the delay."""
    malformed: int = 0
    bad_redundancy: int = 0
    """RED payloads and blocks that lie about lengths, offsets or payload types; dropped."""
    jitter_seconds: float = 0.0
    target_seconds: float = 0.0
    delay_p50_seconds: float = 0.0
    """Time that frames of late spent in the buffer: not exceeded by half of them."""
    delay_p95_seconds: float = 0.0
    cut_seconds: float = 0.0
    """Sound left out by playing faster."""
    added_seconds: float = 0.0
    """Sound put in by playing slower."""
    splices: int = 0


class AudioReceiver:
    """Repair, jitter buffer and player of one slot."""

    def __init__(
        self,
        *,
        ssrc: int,
        local_ssrc: int,
        nack: bool,
        payload_type: int = OPUS_PAYLOAD_TYPE,
        red_payload_type: int | None = None,
    ) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.red_payload_type = red_payload_type
        self.jitter = JitterBuffer()
        self.player = AudioPlayer(self.jitter)
        self.reception = Reception(ssrc, CLOCK_RATE)
        self.meter = LossMeter()
        """Loss and bursts of the path, before any repair."""
        self._local_ssrc = local_ssrc
        self._nack = NackGenerator(deadline=MAX_NACK_SECONDS) if nack else None
        self._sequences = Unwrapper()
        self._arrived: History[bool] = History(MEMORY)
        self._covered: History[bool] = History(MEMORY)
        self._repeat: tuple[int, ...] = ()
        self._depth = 0
        """Redundant frames that packets had so far, when that was last twice as many as before."""
        self._packets = 0
        self._bytes = 0
        self._copies = 0
        self._malformed = 0
        self._bad_redundancy = 0

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """Take a packet of the slot's SSRC."""
        sequence = self._sequences.unwrap(packet.sequence_number)
        self._packets += 1
        self._bytes += len(packet.payload)
        if sequence in self._arrived:
            self._copies += 1
            return
        self._arrived.put(sequence, True)
        repair = self._nack is not None and self._nack.received(sequence, now=now)
        self.reception.received(packet.sequence_number, packet.timestamp, now=now, repaired=repair)
        if not repair:
            self.meter.received(sequence)
        if not packet.payload:
            return  # padding only: a probe
        if packet.payload_type == self.red_payload_type:
            self._receive_red(packet, sequence, now)
        elif packet.payload_type == self.payload_type:
            self._receive_frame(packet.sequence_number, packet.timestamp, packet.payload, now)
        else:
            self._malformed += 1

    @property
    def packets(self) -> int:
        """Packets that arrived so far."""
        return self._packets

    def pull(self, samples: int, *, now: float) -> Samples:
        """The next `samples` of sound, shape (samples, 2); silence when there is none."""
        return self.player.pull(samples, now=now)

    @property
    def played_timestamp(self) -> int | None:
        """RTP timestamp of the first sample of the last pull; None when that was silence."""
        position = self.player.played_position
        return None if position is None else int(position) & 0xFFFFFFFF

    def catch_up(self, *, now: float) -> None:
        """The consumer had stopped pulling and wants what is due now."""
        self.player.catch_up(now=now)

    def feedback(self, *, now: float, rtt: float | None) -> list[RtcpPacket]:
        """Feedback to send now: call it every 10 to 20 ms."""
        if self._nack is None:
            return []
        repeat, self._repeat = self._repeat, ()
        # A repair is of use until its frame is played, or a little later so that the buffer learns to wait for it.
        self._nack.deadline = min(MAX_NACK_SECONDS, max(self.jitter.target, NACK_RTTS * (rtt or 0.1)))
        due = tuple(number & 0xFFFF for number in self._nack.due(now=now, rtt=rtt) if number not in self._covered)
        if self.reception.fraction_lost >= REPEAT_LOSS:
            self._repeat = due
        wanted = (*repeat, *due)
        return [GenericNack(self._local_ssrc, self.ssrc, wanted)] if wanted else []

    def report_block(self, *, now: float) -> ReportBlock | None:
        """The block for the next receiver report."""
        return self.reception.report(now=now)

    def statistics(self) -> AudioReceiverStatistics:
        """Counters since the start."""
        jitter, player = self.jitter.statistics, self.player.statistics
        sound = player.played_samples + player.concealed_samples
        return AudioReceiverStatistics(
            packets=self._packets,
            bytes=self._bytes,
            copies=self._copies,
            packets_lost=max(0, self.reception.lost),
            repaired=self._nack.recovered if self._nack is not None else 0,
            redundant=jitter.redundant,
            recovered=player.recovered,
            played=jitter.played,
            concealed=max(0, jitter.lost - player.recovered) + round(jitter.waited_samples / 960),
            concealed_share=player.concealed_samples / sound if sound else 0.0,
            late=jitter.late,
            skipped=jitter.skipped,
            malformed=self._malformed + player.malformed,
            bad_redundancy=self._bad_redundancy,
            jitter_seconds=self.reception.jitter / CLOCK_RATE,
            target_seconds=self.jitter.target,
            delay_p50_seconds=self.player.delay(0.5),
            delay_p95_seconds=self.player.delay(0.95),
            cut_seconds=player.cut_samples / CLOCK_RATE,
            added_seconds=player.added_samples / CLOCK_RATE,
            splices=player.splices,
        )

    def _receive_frame(
        self, sequence_number: int, timestamp: int, payload: bytes, now: float, *, redundant: bool = False
    ) -> int:
        """Put a frame into the buffer; its samples, 0 when it is malformed."""
        try:
            samples = packet_samples(payload)
        except OpusError:
            if redundant:
                self._bad_redundancy += 1
            else:
                self._malformed += 1
            return 0
        self.jitter.insert(sequence_number, timestamp, payload, samples, now=now, redundant=redundant)
        return samples

    def _receive_red(self, packet: RtpPacket, sequence: int, now: float) -> None:
        try:
            redundant, primary = unpack(packet.payload)
        except WireError:
            self._bad_redundancy += 1
            return
        if primary.payload_type != self.payload_type:
            self._malformed += 1
            return
        # The primary first: of a stream that begins with this packet, it says what time it is.
        samples = self._receive_frame(packet.sequence_number, packet.timestamp, primary.payload, now)
        if not samples:
            return
        if len(redundant) > 2 * self._depth:
            self._depth = len(redundant)
            self.jitter.forget()
        for block in redundant:
            self._receive_redundant(packet, sequence, block, samples, now)

    def _receive_redundant(
        self, packet: RtpPacket, sequence: int, block: RedBlock, samples: int, now: float
    ) -> None:
        offset = block.timestamp_offset
        # RED does not number its blocks; senders repeat the frames right before, so that time tells the number.
        before = max(1, round(offset / samples))
        if block.payload_type != self.payload_type or not block.payload or not offset or offset % MIN_SAMPLES:
            self._bad_redundancy += 1
            return
        timestamp = (packet.timestamp - offset) & 0xFFFFFFFF
        number = (packet.sequence_number - before) & 0xFFFF
        if self._receive_frame(number, timestamp, block.payload, now, redundant=True):
            self._covered.put(sequence - before, True)
