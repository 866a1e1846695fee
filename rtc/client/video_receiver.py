"""One video slot: packets in, pictures out. Decodes only what somebody reads, in a thread of the call."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from rtc.client.video_buffer import CLOCK_RATE, EncodedFrame, VideoBuffer
from rtc.repair.keyframes import KeyframeRequester
from rtc.repair.nack import NackGenerator, requests_a_round_trip
from rtc.repair.reception import Reception
from rtc.repair.redundancy import LossMeter
from rtc.wire.rtcp import GenericNack, PictureLossIndication, ReportBlock, RtcpPacket
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper

NACK_SECONDS = 1.0
"""A packet missing for longer is not asked for any more: as long as the buffer waits at most."""

LOSS_SECONDS = 0.5
"""Between two looks at how many packets the path loses."""

BEHIND_FRAMES = 10
"""With more frames than this waiting, pictures are decoded but not shown until the consumer caught up."""

FREEZE_SECONDS = 0.5
"""A gap between pictures that counts as a freeze, while video is being received."""


@dataclass(slots=True)
class VideoReceiverStatistics:
    """What one slot saw since the start."""

    packets: int = 0
    bytes: int = 0
    packets_lost: int = 0
    """Packets that did not come by themselves; repairs do not undo it."""
    repaired: int = 0
    frames_received: int = 0
    frames_decoded: int = 0
    frames_skipped: int = 0
    """Decoded but not shown, since the consumer was behind."""
    given_up: int = 0
    """Holes that were not waited for any longer."""
    keyframe_requests: int = 0
    freezes: int = 0
    malformed: int = 0
    codec: str = ""
    width: int = 0
    height: int = 0


class VideoReceiver:
    """Buffer, repair and decoder of one slot."""

    def __init__(
        self, *, ssrc: int, local_ssrc: int, codecs: dict[int, str], rtx: dict[int, int], executor: Executor
    ) -> None:
        self.ssrc = ssrc
        self.buffer = VideoBuffer()
        self.keyframes = KeyframeRequester()
        self.reception = Reception(ssrc, CLOCK_RATE)
        self._counts = VideoReceiverStatistics()
        self._local_ssrc = local_ssrc
        self._codecs = codecs
        self._rtx = rtx
        self._executor = executor
        self._nack = NackGenerator(deadline=NACK_SECONDS)
        self._meter = LossMeter()
        self._requests = 1
        self._measured_at = 0.0
        self._sequences = Unwrapper()
        self._timestamps = Unwrapper(bits=32)
        self._decoder: tuple[str, Decoder] | None = None
        self._arrived = asyncio.Event()
        self._readers = 0
        self._last_frame_at: float | None = None
        self.first_frame_at: float | None = None
        """When the first whole frame had arrived."""

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """Take a packet of the slot's media or retransmission SSRC."""
        self._counts.packets += 1
        self._counts.bytes += len(packet.payload)
        repair = packet.payload_type in self._rtx
        if repair:
            if len(packet.payload) < 2:
                return  # padding only: a probe
            packet.sequence_number = int.from_bytes(packet.payload[:2], "big")
            packet.payload_type = self._rtx[packet.payload_type]
            packet.payload = packet.payload[2:]
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            self._counts.malformed += 1
            return
        extended = self._sequences.unwrap(packet.sequence_number)
        repair = self._nack.received(extended, now=now) or repair
        self.reception.received(packet.sequence_number, packet.timestamp, now=now, repaired=repair)
        if not repair:
            self._meter.received(extended)
        before = len(self.buffer.frames)
        self.buffer.insert(extended, packet, codec, now=now)
        if len(self.buffer.frames) > before:
            self._frame_arrived(now)

    def feedback(self, *, now: float, rtt: float | None) -> list[RtcpPacket]:
        """Feedback to send now: call it every 10 to 20 ms."""
        self.buffer.tick(now=now, rtt=rtt)
        out: list[RtcpPacket] = []
        if now - self._measured_at >= LOSS_SECONDS:
            self._measured_at = now
            self._requests = requests_a_round_trip(self._meter.measure()[0])
        due = self._nack.due(now=now, rtt=rtt, requests=self._requests)
        lost = [number for number in due if self.buffer.missing(number)]
        if lost:
            out.append(GenericNack(self._local_ssrc, self.ssrc, tuple(number & 0xFFFF for number in lost)))
        # Nobody else shall pay for key frames that nobody here would see.
        wanted = self._counts.packets and (self._readers or not self.buffer.overflowed)
        if self.buffer.needs_keyframe and wanted:
            self.keyframes.want()
        if self.keyframes.due(now=now, rtt=rtt):
            out.append(PictureLossIndication(self._local_ssrc, self.ssrc))
        return out

    def report_block(self, *, now: float) -> ReportBlock | None:
        """The block for the next receiver report."""
        return self.reception.report(now=now)

    async def next_picture(self) -> av.VideoFrame:
        """The next decoded picture, its pts in 1/90000 s. May be cancelled at any time."""
        while True:
            while not self.buffer.frames:
                self._arrived.clear()
                self._readers += 1
                try:
                    await self._arrived.wait()
                finally:
                    self._readers -= 1
            frame = self.buffer.frames.popleft()
            loop = asyncio.get_running_loop()
            pictures = await loop.run_in_executor(self._executor, self._decode, frame)
            if not pictures:
                continue
            if len(self.buffer.frames) > BEHIND_FRAMES:
                self._counts.frames_skipped += 1
                continue
            picture = pictures[-1]
            picture.pts = self._timestamps.unwrap(frame.timestamp)
            picture.time_base = Fraction(1, CLOCK_RATE)
            return picture

    def statistics(self) -> VideoReceiverStatistics:
        """Counters since the start."""
        return replace(
            self._counts,
            packets_lost=max(0, self.reception.lost),
            repaired=self._nack.recovered,
            given_up=self.buffer.given_up,
            keyframe_requests=self.keyframes.requests,
        )

    def _frame_arrived(self, now: float) -> None:
        self._counts.frames_received += 1
        if self.first_frame_at is None:
            self.first_frame_at = now
        frame = self.buffer.frames[-1]
        if frame.keyframe:
            self.keyframes.arrived()
        if self._last_frame_at is not None and now - self._last_frame_at > FREEZE_SECONDS:
            self._counts.freezes += 1
        self._last_frame_at = now
        self._arrived.set()

    def _decode(self, frame: EncodedFrame) -> list[av.VideoFrame]:
        """In the executor, which has one thread: calls never overlap."""
        if self._decoder is None or self._decoder[0] != frame.codec:
            parameters = RTCRtpCodecParameters(
                mimeType=f"video/{frame.codec}", clockRate=CLOCK_RATE, payloadType=0
            )
            self._decoder = frame.codec, get_decoder(parameters)
        try:
            pictures = self._decoder[1].decode(JitterFrame(data=frame.data, timestamp=frame.timestamp))
        except av.FFmpegError:
            self._counts.malformed += 1
            self._decoder = None
            self.keyframes.want()
            return []
        shown = [picture for picture in pictures if isinstance(picture, av.VideoFrame)]
        if shown:
            self._counts.frames_decoded += 1
            self._counts.codec = frame.codec
            self._counts.width, self._counts.height = shown[-1].width, shown[-1].height
        return shown
