"""What others do on the same network: plain forwarding of Opus at 32 kbit/s, with one means of repair or none.

The listener of `STOCK` is aiortc, with its own jitter buffer. The other two have what a good receiver has: they
conceal what has not come when its time is there, after a delay that is fixed and just long enough for the means.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket as StockPacket

from bench.audio.call import LISTENER, SPEAKER, Heard
from bench.audio.network import Hop, Hops, Network
from bench.audio.speech import RATE, Speech, Wave
from rtc.client.opus import OpusDecoder, OpusEncoder
from rtc.netem import Link
from rtc.repair.nack import NackGenerator
from rtc.repair.redundancy import RedHistory
from rtc.wire.red import unpack
from rtc.wire.rtcp import GenericNack, ReceiverReport, parse_compound, serialize
from rtc.wire.rtp import RtpPacket

FRAME = 960
"""Samples in a packet, 20 ms."""

STEP_SECONDS = 0.001
NACK_STEPS = 10
"""NACKs are sent every so many steps."""

NACK_BUFFER_SECONDS = 0.2
"""Delay of the receiver with NACK alone, beside the way itself: conversation allows little more."""

STOCK_CAPACITY, STOCK_PREFETCH = 16, 4
"""aiortc's jitter buffer for audio (aiortc 1.16, RTCRtpReceiver)."""

TAG = bytes(16)
"""Stands for what SRTP adds with AES-GCM (RFC 7714)."""

EXTENSIONS = {1: b"0", 2: b"\x7f"}
"""MID and audio level, as everybody sends them."""

PAYLOAD_TYPE, RED_PAYLOAD_TYPE = 96, 63


@dataclass(frozen=True, slots=True)
class Baseline:
    """A means of repair."""

    name: str
    red: int = 0
    nack: bool = False
    stock: bool = False
    """The receiver is aiortc's."""


PLAIN = Baseline("plain")
"""Concealment alone, for the sound files: aiortc would be silence there."""

BASELINES = (
    Baseline("aiortc", stock=True),
    Baseline("RED 2", red=2),
    Baseline("NACK", nack=True),
)


class Way:
    """One hop: what sends, both directions of the link, what receives."""

    def __init__(self, forth: Hop, back: Link, *, nack: bool, rtt: float) -> None:
        self.forth = forth
        self._back = back
        self._rtt = rtt
        self._nack = NackGenerator(deadline=2 * NACK_BUFFER_SECONDS) if nack else None
        self._sent: dict[int, bytes] = {}
        self._seen: set[int] = set()

    def send(self, data: bytes, *, now: float) -> None:
        """Put a packet on the way."""
        self._sent[int.from_bytes(data[2:4], "big")] = data
        self.forth.send(data, now=now)

    def step(self, *, now: float, nack: bool) -> list[bytes]:
        """Packets that arrived for the first time; with `nack`, it is time to ask for the others."""
        for data in self._back.receive(now=now):
            for packet in parse_compound(data[: -len(TAG)]):
                if isinstance(packet, GenericNack):
                    for number in packet.lost:
                        if number in self._sent:
                            self.forth.send(self._sent[number], now=now)
        arrived = []
        for data in self.forth.receive(now=now):
            number = int.from_bytes(data[2:4], "big")
            if number in self._seen:
                continue
            self._seen.add(number)
            arrived.append(data)
            if self._nack is not None:
                self._nack.received(number, now=now)
        if nack and self._nack is not None and (lost := self._nack.due(now=now, rtt=self._rtt)):
            feedback = serialize([ReceiverReport(2), GenericNack(2, 1, tuple(lost))])
            self._back.send(feedback + TAG, now=now)
        return arrived


class StockPlayer:
    """aiortc: what its jitter buffer lets out is played as it comes, silence between."""

    def __init__(self) -> None:
        self._buffer = JitterBuffer(capacity=STOCK_CAPACITY, prefetch=STOCK_PREFETCH)
        self._queue: deque[Wave] = deque()
        self._decoder = OpusDecoder(channels=1)
        self.frames: list[int] = []
        """Numbers of the frames that were played."""

    def receive(self, data: bytes) -> None:
        """Take a packet."""
        packet = StockPacket.parse(data)
        packet._data = packet.payload  # as its receiver does for Opus
        frame = self._buffer.add(packet)[1]
        if frame is not None:
            self.frames.append(frame.timestamp // FRAME)
            self._queue.append(self._decoder.decode(frame.data)[:, 0].astype(np.float32) / 32768)

    def pull(self) -> Wave:
        """The next 20 ms."""
        return self._queue.popleft() if self._queue else np.zeros(FRAME, np.float32)


class Player:
    """A receiver with a fixed delay: at a frame's time it is there, or it is concealed."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._payloads: dict[int, bytes] = {}
        self._decoder = OpusDecoder(channels=1)
        self._wait = round(delay * RATE / FRAME)
        self._next = 0
        self.frames: list[int] = []
        """Numbers of the frames that were played."""

    def receive(self, data: bytes) -> None:
        """Take a packet."""
        packet = RtpPacket.parse(data)
        if packet.payload_type == RED_PAYLOAD_TYPE:
            redundant, primary = unpack(packet.payload)
            for block in redundant:
                self._payloads[(packet.timestamp - block.timestamp_offset) // FRAME] = block.payload
            self._payloads[packet.timestamp // FRAME] = primary.payload
        else:
            self._payloads[packet.timestamp // FRAME] = packet.payload

    def pull(self) -> Wave:
        """The next 20 ms."""
        if self._wait:
            self._wait -= 1
            return np.zeros(FRAME, np.float32)
        payload = self._payloads.pop(self._next, None)
        if payload is not None:
            self.frames.append(self._next)
        self._next += 1
        pcm = self._decoder.conceal(FRAME) if payload is None else self._decoder.decode(payload)
        return pcm[:, 0].astype(np.float32) / 32768


def encode(pcm: Wave) -> list[bytes]:
    """Opus frames of 20 ms."""
    encoder = OpusEncoder(channels=1, frame_samples=FRAME)
    samples = np.clip(np.round(pcm * 32767), -32768, 32767).astype(np.int16)[:, None]
    return [encoder.encode(samples[at : at + FRAME]) for at in range(0, len(samples) - FRAME + 1, FRAME)]


def codec_alone(speech: Speech) -> Wave:
    """The speech encoded and decoded, with no network between."""
    decoder = OpusDecoder(channels=1)
    decoded = [decoder.decode(payload)[:, 0] for payload in encode(speech.sent)]
    return np.concatenate(decoded).astype(np.float32) / 32768


def hear(speech: Speech, network: Network, baseline: Baseline, *, seed: int) -> Heard:
    """Hold the call without Clarion. Media meets the same links, in the same seeded state, as in a call with it."""
    hops = Hops(network.rtt / 2)
    ways = [
        Way(hops.up(SPEAKER), hops.down(SPEAKER), nack=baseline.nack, rtt=network.rtt),
        Way(hops.down(LISTENER), hops.up(LISTENER), nack=baseline.nack, rtt=network.rtt),
    ]
    hops.spoil(network, seed=seed)
    # A frame is complete after 20 ms; the last redundant copy comes `red` frames later.
    repair = NACK_BUFFER_SECONDS if baseline.nack else (baseline.red + 1) * FRAME / RATE
    delay = np.ceil((FRAME / RATE + network.rtt + repair) * RATE / FRAME) * FRAME / RATE
    player = StockPlayer() if baseline.stock else Player(delay)
    history = RedHistory()
    frames = encode(speech.sent)
    played: list[Wave] = []
    steps = round(FRAME / RATE / STEP_SECONDS)
    octets: list[tuple[int, int]] = []
    first, last = speech.start // FRAME, (speech.start + len(speech.scored)) // FRAME
    for step in range(len(frames) * steps):
        now = step * STEP_SECONDS
        number, phase = divmod(step, steps)
        if phase == 0:
            played.append(player.pull())
            if number in {first, last}:
                octets.append((ways[0].forth.octets, ways[1].forth.octets))
            if number:
                ways[0].send(_packet(number - 1, frames[number - 1], baseline, history), now=now)
        nack = step % NACK_STEPS == 0
        for data in ways[0].step(now=now, nack=nack):
            ways[1].send(data, now=now)
        for data in ways[1].step(now=now, nack=nack):
            player.receive(data[: -len(TAG)])
    (up, down), (up_end, down_end) = octets
    seconds = (last - first) * FRAME / RATE
    good = sum(first <= number < last for number in player.frames)
    return Heard(
        pcm=np.concatenate(played), frames=last - first, concealed=last - first - good,
        kbits_up=(up_end - up) * 8 / seconds / 1000, kbits_down=(down_end - down) * 8 / seconds / 1000,
    )  # fmt: skip


def _packet(number: int, payload: bytes, baseline: Baseline, history: RedHistory) -> bytes:
    timestamp = number * FRAME
    payload_type = PAYLOAD_TYPE
    if baseline.red:
        frame = payload
        payload = history.pack(PAYLOAD_TYPE, timestamp, frame, depth=baseline.red)
        history.add(timestamp, frame)
        payload_type = RED_PAYLOAD_TYPE
    return RtpPacket(payload_type, number, timestamp, 1, False, payload, EXTENSIONS).serialize() + TAG
