"""What a publisher's path to here carries, and what it is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from rtc.repair.bandwidth.delay import MAX_LEAP_SECONDS
from rtc.repair.bandwidth.estimator import BandwidthEstimator
from rtc.repair.bandwidth.loss import GapCounter
from rtc.repair.bandwidth.mask import MaskedFeedback
from rtc.repair.bandwidth.rate import RateMeter
from rtc.wire import rtcp
from rtc.wire.sequence import Unwrapper

if TYPE_CHECKING:
    from .source import Source

START_BITRATE = 600_000
"""bit/s assumed at first: a camera is watchable with it, and it doubles every second."""

LEAST_BITRATE = 60_000
"""bit/s of video that a publisher is always left: less shows nothing, and then nothing would tell what fits."""

MAX_VIDEO_BITRATE = 2_500_000
"""bit/s that a publisher may send for each video m-line: 720p at 30 frames/s with room to spare."""

MAX_REPAIR_SHARE = 0.5
"""Share of it all that may be for what is sent again, beyond that."""

OVERHEAD_BYTES = 28 + 16
"""IPv4, UDP and the tag of SRTP, beside the RTP packet."""

AUDIO_SECONDS = 1.0
"""The rate of audio, which is set aside, is measured over this long."""

COUNTED_SECONDS = 3.0
"""What is lost of audio is counted over two seconds."""

SEND_TIME_TICK = 1 / (1 << 18)
"""Seconds: the unit of abs-send-time, 24 bits."""

UPDATE_SECONDS = 0.04
"""Least time between two judgements and messages of transport-wide feedback; peers are looked after every 50 ms."""

SILENT_SECONDS = 0.2
"""Seconds without any packet of video after which what is missing was not lost to a full link."""

TRANSPORT = -1
"""Stands for all SSRCs where packets have transport-wide numbers."""

MAX_STREAMS = 16
"""SSRCs whose numbers are counted, where they have none."""

REPEAT_SECONDS = 0.5
"""A REMB is repeated after this long, since it may have been lost."""

TOLD_CHANGE = 0.02
"""Share by which the estimate must change to be told before that."""


class Uplink:
    """The path from one publisher. All that arrives over it is shown to `audio` and `video`."""

    def __init__(self) -> None:
        self._mask = MaskedFeedback()
        self._audio = RateMeter(window=AUDIO_SECONDS)
        self._send_times = Unwrapper(bits=24)
        self._shortest: float | None = None
        self._video_at = float("-inf")
        self._gaps: dict[int, GapCounter] = {}
        self._next = 0.0
        self.told = 0
        """bit/s of video that the publisher was last told to send at most; 0 before the first time."""
        self._told_at = float("-inf")

    @cached_property
    def estimator(self) -> BandwidthEstimator:
        """What the path carries; made when something flows, since most who are idle never need it."""
        return BandwidthEstimator(start=START_BITRATE, least=LEAST_BITRATE, most=MAX_VIDEO_BITRATE)

    def audio(self, size: int, *, now: float) -> None:
        """A packet of `size` bytes came that says nothing of the path but that it takes its share of it."""
        self._audio.received(size + OVERHEAD_BYTES, now=now)
        self.estimator.delivered(size + OVERHEAD_BYTES, now=now)

    def video(
        self, size: int, ssrc: int, sequence_number: int,
        *, send_time: int | None, transport_sequence: int | None, now: float,
    ) -> None:
        """A packet of video came, first sent or again, or padding.

        `send_time` is abs-send-time in its 24 bits, `transport_sequence` the transport-wide number; None without.
        """
        moment = now
        silent = now - self._video_at >= SILENT_SECONDS
        self._video_at = now
        if send_time is None:
            self.estimator.delivered(size + OVERHEAD_BYTES, now=now)
        else:
            sent = self._send_times.unwrap(send_time) * SEND_TIME_TICK
            self.estimator.arrived(size + OVERHEAD_BYTES, sent=sent, arrived=now)
            if self._shortest is None or abs(now - sent - self._shortest) > MAX_LEAP_SECONDS:
                self._shortest = now - sent
            moment = sent + self._shortest
        if transport_sequence is not None:
            self._mask.received(transport_sequence, moment=moment, now=now)
            self._count(TRANSPORT, transport_sequence, after_silence=silent)
        else:
            self._count(ssrc, sequence_number, after_silence=silent)

    def due(self, ssrc: int, sources: Sequence[Source], *, now: float) -> list[rtcp.RtcpPacket]:
        """What to tell the publisher of these sources of video now; `ssrc` is ours."""
        if now < self._next or not sources:
            return []
        self._next = now + UPDATE_SECONDS
        told: list[rtcp.RtcpPacket] = []
        ssrcs = tuple(source.ssrc for source in sources if source.ssrc is not None)
        settled = min((source.nack.settled for source in sources if source.is_live(now=now)), default=now)
        told += self._mask.feedback(ssrc, ssrcs[0], settled=settled, now=now)
        for gaps in self._gaps.values():
            expected, lost, runs = gaps.take()
            self.estimator.counted(expected=expected, lost=lost, runs=runs, now=now)
        most = MAX_VIDEO_BITRATE * len({source.mid for source in sources})
        # A browser takes what it sends again from its media, half of what it is told at most.
        self.estimator.most = most / (1 - min(self.estimator.loss.chance, MAX_REPAIR_SHARE))
        bitrate = max(int(self.estimator.update(now=now) - self._audio.bitrate(now=now)), LEAST_BITRATE)
        if abs(bitrate - self.told) > TOLD_CHANGE * self.told or now - self._told_at >= REPEAT_SECONDS:
            self.told, self._told_at = bitrate, now
            told.append(rtcp.ReceiverEstimate(ssrc, bitrate, ssrcs))
        return told

    def most_by_chance(self, *, now: float) -> float:
        """Share of audio lost lately that no full queue dropped: 1 where nothing is known.

        Sound that is sent more often for what it did drop would keep it full.
        """
        if self._video_at < 0 or not self.estimator.is_crowded(now=now, within=COUNTED_SECONDS):
            return 1.0
        return self.estimator.loss.chance

    def _count(self, key: int, number: int, *, after_silence: bool) -> None:
        gaps = self._gaps.get(key)
        if gaps is None:
            if len(self._gaps) >= MAX_STREAMS:
                del self._gaps[next(iter(self._gaps))]
            gaps = self._gaps[key] = GapCounter()
        gaps.received(number, after_silence=after_silence)
