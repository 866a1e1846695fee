"""RED, copies and NACK between the client's sender and receiver, in virtual time: what is sent, and what is heard."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.client.audio_receiver import AudioReceiver
from rtc.client.audio_sender import AudioSender
from rtc.client.opus import Samples
from rtc.client.outgoing import OutgoingStream
from rtc.netem import Link, LinkProfile
from rtc.repair.redundancy import COPY_SPACING_SECONDS, MAX_COPIES, MAX_DEPTH, Protection
from rtc.wire.red import RedBlock, pack, unpack
from rtc.wire.rtcp import GenericNack, ReportBlock
from rtc.wire.rtp import RtpPacket

OPUS, RED = 96, 63
RATE = 48000


def voice(seconds: float) -> Samples:
    """A sound with overtones and pauses."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 8)) * (np.sin(2 * np.pi * 0.9 * time) > -0.6)
    return (np.asarray(wave) * 5000).astype(np.int16)[:, None]


def new_sender(**options: float) -> AudioSender:
    stream = OutgoingStream(ssrc=7, clock_rate=RATE)
    return AudioSender(stream, payload_type=OPUS, red_payload_type=RED, level_id=None, **options)  # type: ignore[arg-type]


def encoded(sender: AudioSender, frames: int, *, start: int = 0, size: int = 960) -> list[RtpPacket]:
    pcm = voice((start + frames) * size / RATE)
    packets: list[RtpPacket] = []
    for number in range(start, start + frames):
        at = number * size
        packets += map(RtpPacket.parse, sender.encode(pcm[at : at + size], at, now=at / RATE))
    return packets


def block(fraction: float, *, highest: int, lost: int) -> ReportBlock:
    return ReportBlock(7, round(fraction * 256), lost, highest, 0, 0, 0)


# --- sender -----------------------------------------------------------------------------------------------------


def test_without_loss_there_is_no_overhead() -> None:
    assert {packet.payload_type for packet in encoded(new_sender(), 20)} == {OPUS}


@pytest.mark.parametrize(("depth", "copies", "bitrate"), [
    (0, 1, 40000), (1, 1, 40000), (3, 2, 40000), (2, 3, 32000), (9, 1, 32000), (3, 4, 24000), (7, 4, 20000),
])  # fmt: skip
def test_packets_carry_the_redundancy_asked_for_at_a_bit_rate_that_allows_it(
    depth: int, copies: int, bitrate: int
) -> None:
    sender = new_sender()
    sender.protect(Protection(depth, copies))
    packets = encoded(sender, 40)
    assert sender.encoder.bitrate == bitrate
    last = packets[-1]
    if not depth:
        assert last.payload_type == OPUS
        return
    redundant, primary = unpack(last.payload)
    assert last.payload_type == RED
    assert primary.payload_type == OPUS
    assert [b.timestamp_offset for b in redundant] == [960 * k for k in range(depth, 0, -1)]
    before = [unpack(packet.payload)[1].payload for packet in packets[-1 - depth : -1]]
    assert [b.payload for b in redundant] == before


def test_a_server_that_does_not_take_red_gets_plain_opus() -> None:
    sender = AudioSender(OutgoingStream(ssrc=7, clock_rate=RATE), payload_type=OPUS, level_id=None)
    sender.protect(Protection(5, 3))
    assert {packet.payload_type for packet in encoded(sender, 10)} == {OPUS}
    assert sender.protection.copies == 3


@pytest.mark.parametrize("asked", [Protection(1000, 1000), Protection(-5, 0)])
def test_a_server_that_asks_for_the_absurd_gets_what_is_of_use(asked: Protection) -> None:
    sender = new_sender()
    sender.protect(asked)
    assert 0 <= sender.protection.depth <= MAX_DEPTH
    assert 1 <= sender.protection.copies <= MAX_COPIES
    assert encoded(sender, 30)


def test_a_sender_that_nobody_asks_protects_itself_by_reports() -> None:
    sender = new_sender()
    encoded(sender, 50)
    sender.reported(block(0, highest=50, lost=0), now=1.0)
    assert sender.protection == Protection(0, 1)
    sender.reported(block(0.5, highest=100, lost=25), now=2.0)
    assert sender.protection.depth * sender.protection.copies >= 2
    sender.protect(Protection(1, 1))
    assert sender.protection == Protection(1, 1), "what the server asks for stands above"


def test_a_sender_learns_of_loss_by_nacks_before_the_first_report() -> None:
    sender = new_sender()
    numbers = [packet.sequence_number for packet in encoded(sender, 50)]
    for at in range(0, 50, 4):
        sender.nacked(numbers[at : at + 2], now=at * 0.02)
    assert sender.protection != Protection(0, 1)


def test_ten_millisecond_frames_are_for_clean_paths_only() -> None:
    sender = new_sender(frame_seconds=0.01)
    short = encoded(sender, 20, size=480)
    sender.protect(Protection(2, 1))
    long = encoded(sender, 40, start=20, size=480)
    assert {b.timestamp - a.timestamp & 0xFFFFFFFF for a, b in itertools.pairwise(short)} == {480}
    assert {b.timestamp - a.timestamp & 0xFFFFFFFF for a, b in itertools.pairwise(long)} == {960}


def test_what_is_asked_for_again_comes_byte_for_byte_whatever_has_changed_since() -> None:
    sender = new_sender()
    sender.protect(Protection(3, 1))
    pcm = voice(0.5)
    sent = {}
    for at in range(0, 9600, 960):
        for data in sender.encode(pcm[at : at + 960], at, now=at / RATE):
            sent[RtpPacket.parse(data).sequence_number] = data
    sender.protect(Protection(0, 1))
    encoded(sender, 5, start=10)
    assert sender.stream.resend(sent, now=1.0) == list(sent.values())


# --- receiver ---------------------------------------------------------------------------------------------------


def new_receiver() -> AudioReceiver:
    return AudioReceiver(ssrc=7, local_ssrc=9, nack=True, payload_type=OPUS, red_payload_type=RED)


def test_a_burst_within_the_depth_is_heard_whole_and_not_asked_for() -> None:
    sender, receiver = new_sender(), new_receiver()
    sender.protect(Protection(4, 1))
    for number, packet in enumerate(encoded(sender, 100)):
        now = number * 0.02
        if number % 10 not in {5, 6, 7}:
            receiver.receive(packet, now=now)
        if number >= 20:
            assert receiver.feedback(now=now + 0.007, rtt=0.04) == []
        receiver.pull(960, now=now + 0.008)
    counts = receiver.statistics()
    assert counts.redundant >= 25
    assert counts.packets_lost >= 25
    # The first bursts are waited for; then the buffer is deep enough.
    assert counts.concealed_share < 0.06


@pytest.mark.parametrize("change", [
    RedBlock(OPUS, 0, b"\xf8abc"),          # no earlier than the packet itself
    RedBlock(OPUS, 7, b"\xf8abc"),          # between two samples of any frame
    RedBlock(RED, 960, b"\xf8abc"),         # RED in RED
    RedBlock(OPUS, 960, b""),               # nothing
    RedBlock(OPUS, 960, b"\x03"),           # no Opus: a frame count is announced and missing
])
def test_a_block_that_lies_is_dropped_and_counted_and_its_packet_is_played(change: RedBlock) -> None:
    sender, receiver = new_sender(), new_receiver()
    for number, packet in enumerate(encoded(sender, 20)):
        packet.payload, packet.payload_type = pack(OPUS, packet.payload, [change]), RED
        receiver.receive(packet, now=number * 0.02)
        receiver.pull(960, now=number * 0.02 + 0.005)
    counts = receiver.statistics()
    assert counts.bad_redundancy == 20
    assert counts.redundant == 0
    assert counts.played >= 16


def test_a_payload_that_ends_within_its_blocks_is_dropped_and_counted() -> None:
    sender, receiver = new_sender(), new_receiver()
    sender.protect(Protection(2, 1))
    for packet in encoded(sender, 5):
        packet.payload = packet.payload[:6]
        receiver.receive(packet, now=packet.sequence_number * 0.02)
    assert receiver.statistics().bad_redundancy >= 3


def test_copies_are_neither_played_twice_nor_taken_for_packets_that_made_good_a_loss() -> None:
    sender, receiver = new_sender(), new_receiver()
    for number, packet in enumerate(encoded(sender, 60)):
        for copy in range(0 if number in {20, 30} else 3):
            receiver.receive(packet, now=number * 0.02 + copy * 0.005)
        receiver.pull(960, now=number * 0.02 + 0.015)
    counts = receiver.statistics()
    assert counts.copies == 2 * 58
    assert counts.packets_lost == 2


def test_requests_are_sent_twice_where_many_are_lost() -> None:
    sender, receiver = new_sender(), new_receiver()
    asked: list[int] = []
    for number, packet in enumerate(encoded(sender, 100)):
        now = number * 0.02
        if number % 3:
            receiver.receive(packet, now=now)
        if number == 49:
            receiver.report_block(now=now)
        for step in (0.006, 0.016):
            for nack in receiver.feedback(now=now + step, rtt=0.5):
                assert isinstance(nack, GenericNack)
                asked += nack.lost if number > 60 else ()
        receiver.pull(960, now=now + 0.018)
    assert len(asked) == pytest.approx(2 * len(set(asked)), abs=2)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 0x3FFF), st.binary(max_size=8)), max_size=20))
@settings(max_examples=60, deadline=None)
def test_no_redundancy_kills_a_slot(blocks: list[tuple[int, int, bytes]]) -> None:
    receiver = new_receiver()
    for number, (sequence, offset, payload) in enumerate(blocks):
        now = number * 0.02
        body = pack(OPUS, b"\xf8" + payload, [RedBlock(OPUS, offset, b"\x78" + payload)])
        receiver.receive(RtpPacket(RED, sequence, sequence * 960, 7, False, body, {}), now=now)
        assert receiver.pull(480, now=now).shape == (480, 2)
        receiver.feedback(now=now, rtt=0.02)


# --- both, over a bad link -------------------------------------------------------------------------------------


@dataclass
class Outcome:
    receiver: AudioReceiver
    share: float
    """Concealed, after the first 4 s."""
    delays: list[float]
    """Mouth to ear, of what was played after the first 4 s."""

    def delay(self, share: float) -> float:
        return float(np.quantile(self.delays, share))


def listen(
    profile: LinkProfile, protection: Protection, *, seconds: float = 16.0, frame_seconds: float = 0.02
) -> Outcome:
    sender, receiver = new_sender(frame_seconds=frame_seconds), new_receiver()
    sender.protect(protection)
    link, back = Link(profile, seed=1), Link(profile, seed=2)
    pcm = voice(seconds)
    later: list[tuple[float, int, bytes]] = []
    order = itertools.count()
    asked: dict[bytes, tuple[int, ...]] = {}
    delays: list[float] = []
    before = (0, 0)
    for step in range(round(seconds * 1000)):
        now = step / 1000
        if step % 10 == 0 and step:
            at = (step - 10) * 48
            for data in sender.encode(pcm[at : at + 480], at, now=now):
                for copy in range(sender.protection.copies):
                    heapq.heappush(later, (now + copy * COPY_SPACING_SECONDS, next(order), data))
        for data in back.receive(now=now):
            for resent in sender.stream.resend(asked[data], now=now):
                heapq.heappush(later, (now, next(order), resent))
        while later and later[0][0] <= now:
            at_time, _, data = heapq.heappop(later)
            link.send(data, now=at_time)
        for data in link.receive(now=now):
            receiver.receive(RtpPacket.parse(data), now=now)
        if step % 10 == 3:
            for nack in receiver.feedback(now=now, rtt=2 * profile.delay):
                assert isinstance(nack, GenericNack)
                name = next(order).to_bytes(8, "big")
                asked[name] = nack.lost
                back.send(name, now=now)
        if step % 1000 == 999:
            receiver.report_block(now=now)
        if step % 10 == 6:
            receiver.pull(480, now=now)
            if step == 4006:
                sound = receiver.player.statistics
                before = sound.concealed_samples, sound.played_samples
            stamp = receiver.played_timestamp
            if step > 4006 and stamp is not None:
                captured = ((stamp - sender.stream.timestamp_offset) & 0xFFFFFFFF) / RATE
                delays.append(now - captured + 0.0065)
    sound = receiver.player.statistics
    concealed, played = sound.concealed_samples - before[0], sound.played_samples - before[1]
    return Outcome(receiver, concealed / (concealed + played), delays)


def test_on_a_clean_path_ten_millisecond_frames_are_heard_within_forty_milliseconds() -> None:
    # Look-ahead 6.5, frame 10, path 10 ms; the rest is the buffer.
    outcome = listen(LinkProfile(delay=0.01), Protection(0, 1), frame_seconds=0.01, seconds=8)
    assert outcome.share == 0
    assert outcome.delay(0.5) < 0.046


@pytest.mark.parametrize(("profile", "protection", "share", "p95"), [
    (LinkProfile(loss=0.3, delay=0.02), Protection(3, 2), 0.002, 0.14),
    (LinkProfile(loss=0.5, delay=0.02), Protection(4, 2), 0.005, 0.18),
    (LinkProfile(loss=0.5, burst=3, delay=0.02), Protection(14, 2), 0.01, 0.26),
    (LinkProfile(loss=0.8, delay=0.02), Protection(9, 3), 0.02, 0.30),
])  # fmt: skip
def test_speech_survives_heavy_loss_with_bounded_delay(
    profile: LinkProfile, protection: Protection, share: float, p95: float
) -> None:
    outcome = listen(profile, protection)
    assert outcome.share <= share
    assert outcome.delay(0.95) <= p95


def test_the_delay_comes_back_within_seconds_after_a_bad_spell_and_no_sound_is_dropped_for_it() -> None:
    sender, receiver = new_sender(), new_receiver()
    pcm = voice(20.0)
    arrivals: list[tuple[float, int, bytes]] = []
    jitter = np.random.default_rng(4)
    for number in range(1000):
        at = number * 0.02
        late = float(jitter.uniform(0, 0.2)) if 4 < at < 7 else 0.0
        for data in sender.encode(pcm[number * 960 : (number + 1) * 960], number * 960, now=at):
            heapq.heappush(arrivals, (at + 0.02 + late, number, data))
    deepest, lost = 0.0, -1
    for step in range(2000):
        now = step * 0.01
        while arrivals and arrivals[0][0] <= now:
            at, _, data = heapq.heappop(arrivals)
            receiver.receive(RtpPacket.parse(data), now=at)
        receiver.pull(480, now=now)
        deepest = max(deepest, receiver.jitter.target)
        if step == 800:
            lost = receiver.jitter.statistics.lost
    counts = receiver.statistics()
    assert deepest > 0.12
    assert receiver.jitter.excess(now=20.0) + receiver.jitter.target < 0.05
    assert counts.splices > 10
    assert counts.cut_seconds > 0.1
    assert receiver.jitter.statistics.lost == lost
    assert receiver.jitter.statistics.overflowed == 0
