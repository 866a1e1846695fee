"""Sender and receiver over an in-memory lossy link, in virtual time: no socket, no server."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.client.audio_receiver import AudioReceiver
from rtc.client.audio_sender import AudioSender, level_dbov
from rtc.client.opus import Samples
from rtc.client.outgoing import OutgoingStream
from rtc.client.video_receiver import VideoReceiver
from rtc.client.video_sender import VideoSender
from rtc.wire.rtcp import (
    GenericNack,
    PictureLossIndication,
    ReceiverReport,
    RtcpPacket,
    parse_compound,
    serialize,
)
from rtc.wire.rtp import RtpPacket

DELAY = 0.02


class Link:
    """One way of a path: random loss and a fixed delay, by a seeded generator."""

    def __init__(self, loss: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._loss = loss
        self._queue: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()
        self.sent = 0

    def send(self, data: bytes, now: float) -> None:
        self.sent += 1
        if self._random.random() >= self._loss:
            heapq.heappush(self._queue, (now + DELAY, next(self._order), data))

    def arrived(self, now: float) -> list[tuple[float, bytes]]:
        out = []
        while self._queue and self._queue[0][0] <= now:
            at, _, data = heapq.heappop(self._queue)
            out.append((at, data))
        return out


def sine(seconds: float, hertz: float) -> Samples:
    time = np.arange(int(seconds * 48000)) / 48000
    return (np.sin(2 * np.pi * hertz * time) * 9000).astype(np.int16)[:, None]


def strongest_hertz(pcm: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(pcm[:, 0] * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 48000 / len(pcm))


def audio_frame(pcm: Samples, *, start: int, rate: int = 48000) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frame.pts = start
    frame.time_base = Fraction(1, rate)
    return frame


def run_audio(
    seconds: float, loss: float, *, nack: bool = True, seed: int = 1
) -> tuple[AudioReceiver, Samples, Link]:
    stream = OutgoingStream(ssrc=7, clock_rate=48000)
    sender = AudioSender(stream, payload_type=96, level_id=2)
    receiver = AudioReceiver(ssrc=7, local_ssrc=9, nack=nack)
    forward, back = Link(loss, seed), Link(loss, seed + 1)
    pcm = sine(seconds, 440)
    heard = []
    for step in range(int(seconds * 100)):
        now = step * 0.01
        if step % 2 == 0:
            start = step * 480
            for packet in sender.send(audio_frame(pcm[start : start + 960], start=start), now=now):
                forward.send(packet, now)
        for at, data in forward.arrived(now):
            receiver.receive(RtpPacket.parse(data), now=at)
        feedback = receiver.feedback(now=now, rtt=2 * DELAY)
        if feedback:
            back.send(serialize(feedback), now)
        for _, data in back.arrived(now):
            for report in parse_compound(data):
                assert isinstance(report, GenericNack)
                for packet in stream.resend(report.lost, now=now):
                    forward.send(packet, now)
        if step % 2:
            heard.append(receiver.pull(960, now=now))
    return receiver, np.concatenate(heard), forward


def test_a_tone_comes_through_a_clean_link_untouched() -> None:
    receiver, heard, _ = run_audio(4.0, 0.0)
    counts = receiver.statistics()
    assert counts.concealed == counts.recovered == counts.late == counts.packets_lost == 0
    assert abs(strongest_hertz(heard[48000:]) - 440) < 1


@pytest.mark.parametrize("loss", [0.05, 0.1, 0.2])
def test_retransmission_keeps_the_sound_whole_on_a_lossy_link(loss: float) -> None:
    receiver, heard, _ = run_audio(20.0, loss)
    counts = receiver.statistics()
    assert counts.played > 0.93 * 1000
    assert counts.repaired > 0.5 * loss * 1000
    assert abs(counts.packets_lost - loss * 1000) < 60
    assert abs(strongest_hertz(heard[48000:]) - 440) < 1


def test_without_retransmission_loss_is_concealed_and_the_delay_stays_small() -> None:
    receiver, heard, _ = run_audio(20.0, 0.1, nack=False)
    counts = receiver.statistics()
    assert 0.85 * 1000 < counts.played < 0.95 * 1000
    assert receiver.jitter.excess(now=20.0) < 0.05
    assert np.abs(heard[48000:].astype(float)).mean() > 3000


def test_muted_audio_sends_nothing_and_goes_on_at_the_right_time() -> None:
    stream = OutgoingStream(ssrc=7, clock_rate=48000)
    sender = AudioSender(stream, payload_type=96, level_id=None)
    pcm = sine(3.0, 440)
    timestamps = []
    for index in range(150):
        sender.muted = 50 <= index < 100
        frame = audio_frame(pcm[index * 960 : (index + 1) * 960], start=index * 960)
        timestamps += [RtpPacket.parse(data).timestamp for data in sender.send(frame, now=0.02 * index)]
    assert len(timestamps) == 100
    assert (timestamps[50] - timestamps[49]) & 0xFFFFFFFF == 51 * 960


@pytest.mark.parametrize(("rate", "size"), [(8000, 160), (16000, 320), (44100, 441), (48000, 480)])
def test_any_sample_rate_and_frame_size_becomes_twenty_millisecond_packets(rate: int, size: int) -> None:
    sender = AudioSender(OutgoingStream(ssrc=7, clock_rate=48000), payload_type=96, level_id=None)
    wave = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * 9000).astype(np.int16)[:, None]
    packets = []
    for start in range(0, rate - size + 1, size):
        packets += sender.send(audio_frame(wave[start : start + size], start=start, rate=rate), now=0.0)
    times = [RtpPacket.parse(data).timestamp for data in packets]
    assert 47 <= len(packets) <= 50
    assert {(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(times)} == {960}


def test_the_audio_level_of_a_known_sine_is_right() -> None:
    # A peak of 9000 is -11.2 dB, and the power of a sine 3 dB less.
    assert level_dbov(sine(0.02, 1000)) == pytest.approx(-14, abs=1)
    assert level_dbov(np.zeros((960, 1), dtype=np.int16)) == -127


def test_a_nack_for_what_was_never_sent_is_ignored() -> None:
    stream = OutgoingStream(ssrc=7, clock_rate=48000)
    assert stream.resend([5, 6], now=0.0) == []
    sent = RtpPacket.parse(stream.packet(96, b"x", 0, now=0.0))
    assert stream.resend([(sent.sequence_number + 1) & 0xFFFF], now=1.0) == []
    assert len(stream.resend([sent.sequence_number], now=1.0)) == 1
    assert stream.resend([sent.sequence_number], now=1.001) == [], "the same request twice is answered once"


packets = st.lists(
    st.builds(
        RtpPacket,
        payload_type=st.sampled_from([96, 97, 98, 99, 100, 111]),
        sequence_number=st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF)),
        timestamp=st.one_of(st.integers(0, 40).map(lambda n: n * 960), st.integers(0, 0xFFFFFFFF)),
        ssrc=st.just(7),
        marker=st.booleans(),
        payload=st.binary(max_size=40),
    ),
    max_size=60,
)


def report(receiver: AudioReceiver | VideoReceiver, now: float) -> None:
    block = receiver.report_block(now=now)
    assert serialize([ReceiverReport(9, () if block is None else (block,))])


@given(packets)
@settings(max_examples=150, deadline=None)
def test_no_authenticated_nonsense_kills_an_audio_slot(sent: list[RtpPacket]) -> None:
    receiver = AudioReceiver(ssrc=7, local_ssrc=9, nack=True)
    for index, packet in enumerate(sent):
        now = index * 0.02
        receiver.receive(packet, now=now)
        assert receiver.pull(960, now=now).shape == (960, 2)
        serialize([*receiver.feedback(now=now, rtt=None)])
        report(receiver, now)


@given(packets)
@settings(max_examples=150, deadline=None)
def test_no_authenticated_nonsense_kills_a_video_slot(sent: list[RtpPacket]) -> None:
    with ThreadPoolExecutor(1) as executor:
        receiver = VideoReceiver(
            ssrc=7, local_ssrc=9, codecs={97: "VP8", 99: "H264"}, rtx={98: 97, 100: 99}, executor=executor
        )
        for index, packet in enumerate(sent):
            now = index * 0.02
            receiver.receive(packet, now=now)
            serialize([*receiver.feedback(now=now, rtt=None)])
            for frame in receiver.buffer.frames:
                receiver._decode(frame)
            receiver.buffer.frames.clear()
            report(receiver, now)


def bars(index: int, width: int = 320, height: int = 240) -> av.VideoFrame:
    """Red, green and blue bars, with a white square that moves."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    third = width // 3
    for channel in range(3):
        picture[:, channel * third : (channel + 1) * third, channel] = 220
    x = index * 7 % (width - 20)
    picture[100:120, x : x + 20] = 255
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts = index * 3000
    frame.time_base = Fraction(1, 90000)
    return frame


def shows_bars(frame: av.VideoFrame) -> bool:
    picture = frame.to_ndarray(format="rgb24").astype(int)
    third = picture.shape[1] // 3
    for channel in range(3):
        bar = picture[10:60, channel * third + 20 : (channel + 1) * third - 20]
        means = list(bar.reshape(-1, 3).mean(axis=0))
        if means.index(max(means)) != channel or max(means) < 120:
            return False
    return True


async def run_video(
    frames: int, loss: float, *, codec: str, rtx: bool = True, seed: int = 1
) -> tuple[VideoReceiver, VideoSender, list[tuple[float, av.VideoFrame]]]:
    media, retransmission = (97, 98) if codec == "VP8" else (99, 100)
    stream = OutgoingStream(ssrc=7, clock_rate=90000, rtx_ssrc=8 if rtx else None)
    stream.rtx_payload_types = {media: retransmission} if rtx else {}
    seen: list[tuple[float, av.VideoFrame]] = []
    with ThreadPoolExecutor(1) as executor:
        sender = VideoSender((stream,), codec=codec, payload_type=media, executor=executor)
        receiver = VideoReceiver(
            ssrc=7, local_ssrc=9, codecs={media: codec}, rtx={retransmission: media}, executor=executor
        )
        forward, back = Link(loss, seed), Link(loss, seed + 1)
        for step in range(frames * 3):
            now = step / 90
            if step % 3 == 0:
                for packet in await sender.encode(bars(step // 3), now=now):
                    forward.send(packet, now)
            for at, data in forward.arrived(now):
                receiver.receive(RtpPacket.parse(data), now=at)
            feedback: list[RtcpPacket] = receiver.feedback(now=now, rtt=2 * DELAY)
            if feedback:
                back.send(serialize(feedback), now)
            for _, data in back.arrived(now):
                for report in parse_compound(data):
                    if isinstance(report, GenericNack):
                        for packet in stream.resend(report.lost, now=now):
                            forward.send(packet, now)
                    elif isinstance(report, PictureLossIndication):
                        sender.request_keyframe()
            while receiver.buffer.frames:
                seen.append((now, await receiver.next_picture()))
                if not receiver.buffer.frames:
                    break
    return receiver, sender, seen


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_every_picture_comes_through_a_clean_link(codec: str) -> None:
    receiver, sender, seen = await run_video(60, 0.0, codec=codec)
    assert len(seen) >= 58
    assert all(shows_bars(picture) for _, picture in seen[1:])
    assert {b.pts - a.pts for (_, a), (_, b) in itertools.pairwise(seen)} == {3000}
    assert sender.statistics.keyframes == 1
    assert receiver.statistics().keyframe_requests == 0


@pytest.mark.parametrize("codec", ["VP8", "H264"])
@pytest.mark.parametrize("rtx", [True, False])
async def test_lost_packets_are_repaired_and_the_picture_does_not_freeze(codec: str, rtx: bool) -> None:
    receiver, _, seen = await run_video(240, 0.1, codec=codec, rtx=rtx)
    assert len(seen) > 0.93 * 240
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(seen)) < 0.6
    assert shows_bars(seen[-1][1])
    assert receiver.statistics().repaired > 0


async def test_a_third_of_the_packets_lost_both_ways_costs_no_key_frame() -> None:
    receiver, sender, seen = await run_video(300, 0.3, codec="VP8")
    assert len(seen) > 0.95 * 300
    assert sender.statistics.keyframes <= 2 and receiver.statistics().given_up <= 1
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(seen)) < 0.6


async def test_a_hole_that_nothing_repairs_costs_a_key_frame_not_seventeen_seconds() -> None:
    with ThreadPoolExecutor(1) as executor:
        stream = OutgoingStream(ssrc=7, clock_rate=90000)
        sender = VideoSender((stream,), codec="VP8", payload_type=97, executor=executor)
        receiver = VideoReceiver(ssrc=7, local_ssrc=9, codecs={97: "VP8"}, rtx={}, executor=executor)
        arrived = []
        for index in range(90):
            now = index / 30
            packets = await sender.encode(bars(index), now=now)
            for packet in packets[1:] if index == 30 else packets:
                receiver.receive(RtpPacket.parse(packet), now=now)
            if any(isinstance(f, PictureLossIndication) for f in receiver.feedback(now=now, rtt=0.02)):
                sender.request_keyframe()
            while receiver.buffer.frames:
                receiver.buffer.frames.popleft()
                arrived.append(now)
    gaps = [b - a for a, b in itertools.pairwise(arrived)]
    assert 0.4 < max(gaps) < 0.75
    assert receiver.statistics().given_up == 1


async def test_video_that_nobody_reads_costs_bounded_memory_and_no_key_frames_until_somebody_does() -> None:
    with ThreadPoolExecutor(1) as executor:
        stream = OutgoingStream(ssrc=7, clock_rate=90000)
        sender = VideoSender((stream,), codec="VP8", payload_type=97, executor=executor)
        receiver = VideoReceiver(ssrc=7, local_ssrc=9, codecs={97: "VP8"}, rtx={}, executor=executor)
        for index in range(200):
            for packet in await sender.encode(bars(index), now=index / 30):
                receiver.receive(RtpPacket.parse(packet), now=index / 30)
            assert len(receiver.buffer.frames) <= 64
            assert not receiver.feedback(now=index / 30, rtt=0.02)
        reading = asyncio.create_task(receiver.next_picture())
        while not reading.done():
            index += 1
            for packet in await sender.encode(bars(index), now=index / 30):
                receiver.receive(RtpPacket.parse(packet), now=index / 30)
            await asyncio.sleep(0)
            if any(isinstance(f, PictureLossIndication) for f in receiver.feedback(now=index / 30, rtt=0.02)):
                sender.request_keyframe()
            assert index < 400
        assert shows_bars(reading.result())
        assert reading.result().pts is not None
