"""A camera that obeys an estimate over a simulated link: what the estimator does to a path, second by second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from struct import Struct

from rtc.netem import HEADER_BYTES, Link, LinkProfile
from rtc.repair.bandwidth.estimator import BandwidthEstimator
from rtc.repair.bandwidth.loss import GapCounter

FRAME_SECONDS = 1 / 30
PACKET = 1100
LEAST_PACKET = 300
PACING = 2.5  # times the target, as in libwebrtc
HEADER = Struct("!Hid")  # flow, number, time of sending
AUDIO = -1  # instead of a number
AUDIO_SECONDS = 0.02
AUDIO_PACKET = 120
AUDIO_BITRATE = (AUDIO_PACKET + HEADER_BYTES) * 8 / AUDIO_SECONDS
UPDATE_SECONDS = 0.05


@dataclass(slots=True)
class Flow:
    """One sender: video that follows the estimate half a round trip later, and a little audio beside it."""

    estimator: BandwidthEstimator
    most: float = 2_000_000
    """bit/s of video that its encoder makes at most."""
    begin: float = 0.0
    target: float = 0.0
    orders: list[tuple[float, float]] = field(default_factory=list)
    """(when it hears of it, bit/s)."""
    estimates: list[tuple[float, int]] = field(default_factory=list)
    sent: list[tuple[float, int]] = field(default_factory=list)
    """(when, bytes) of each packet put on the link."""
    gaps: GapCounter = field(default_factory=GapCounter)
    sequence: int = 0
    owed: float = 0.0
    next_frame: float = 0.0
    next_audio: float = 0.0
    next_packet: float = 0.0
    backlog: list[int] = field(default_factory=list)

    def used(self, begin: float, end: float) -> float:
        """bit/s that it put on the link."""
        return sum(size * 8 for when, size in self.sent if begin <= when < end) / (end - begin)

    def estimate(self, when: float) -> int:
        """bit/s that were thought to fit."""
        return next(bitrate for moment, bitrate in self.estimates if moment >= when)


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    queue: list[tuple[float, float]] = field(default_factory=list)
    """(time, wait at the bottleneck of what is sent then)."""
    audio_sent: int = 0
    audio_arrived: int = 0

    def queue_p95(self, begin: float, end: float) -> float:
        """Seconds."""
        waits = sorted(wait for when, wait in self.queue if begin <= when < end)
        return waits[int(0.95 * len(waits))]

    @property
    def audio_lost(self) -> float:
        """Share of the audio."""
        return 1 - self.audio_arrived / self.audio_sent


class _Simulation:
    def __init__(
        self, flows: list[Flow], first: LinkProfile, seed: int, computers: Sequence[Callable[[float], bool]]
    ) -> None:
        self.flows = flows
        self.link = Link(first, seed=seed)
        self.computers = computers
        self.held: list[list[bytes]] = [[] for _ in computers]
        self.random = Random(seed)
        self.outcome = Outcome()

    def produce(self, flow: Flow, now: float) -> None:
        while flow.orders and flow.orders[0][0] <= now:
            flow.target = min(flow.orders.pop(0)[1], flow.most)
        if now >= flow.next_audio:
            flow.next_audio = now + AUDIO_SECONDS
            self.outcome.audio_sent += 1
            self.send(flow, AUDIO, AUDIO_PACKET, now)
        if now >= flow.next_frame:
            flow.next_frame = now + FRAME_SECONDS
            # An encoder hits its target on average only.
            flow.owed += flow.target * FRAME_SECONDS / 8 * self.random.uniform(0.6, 1.4)
            while flow.owed > LEAST_PACKET:
                size = int(min(PACKET, flow.owed))
                flow.owed -= size
                flow.backlog.append(size)
        while flow.backlog and flow.next_packet <= now:
            size = flow.backlog.pop(0)
            flow.next_packet = max(flow.next_packet, now - 0.005) + size * 8 / (PACING * max(flow.target, 1.0))
            self.send(flow, flow.sequence & 0xFFFF, size, now)
            flow.sequence += 1

    def send(self, flow: Flow, number: int, size: int, now: float) -> None:
        flow.sent.append((now, size + HEADER_BYTES))
        head = HEADER.pack(self.flows.index(flow), number, now)
        self.link.send(head + bytes(size - HEADER.size), now=now)

    def arrive(self, datagram: bytes, now: float) -> None:
        index, number, sent = HEADER.unpack_from(datagram)
        flow, size = self.flows[index], len(datagram) + HEADER_BYTES
        if number == AUDIO:
            self.outcome.audio_arrived += 1
            flow.estimator.delivered(size, now=now)
        else:
            flow.gaps.received(number)
            flow.estimator.arrived(size, sent=sent, arrived=now)

    def pass_on(self, datagrams: list[bytes], now: float) -> list[bytes]:
        """Take what came over the link through the computers behind it; returns what the last of them reads now."""
        for held, stands_still in zip(self.held, self.computers, strict=True):
            held.extend(datagrams)
            datagrams = [] if stands_still(now) else held[:]
            del held[: len(datagrams)]
        return datagrams

    def update(self, flow: Flow, now: float, rtt: float) -> None:
        expected, lost, runs = flow.gaps.take()
        flow.estimator.counted(expected=expected, lost=lost, runs=runs, now=now)
        estimate = flow.estimator.update(now=now)
        flow.estimates.append((now, estimate))
        flow.orders.append((now + rtt / 2, estimate - AUDIO_BITRATE))


def simulate_path(
    flows: list[Flow], profile: Callable[[float], LinkProfile], *, seconds: float, seed: int = 1, rtt: float = 0.04,
    computers: Sequence[Callable[[float], bool]] = (),
) -> Outcome:
    """Run flows over one link in steps of a millisecond; `profile` says what the link is like at each moment.

    Behind the link packets pass `computers`, which say when they stand still; the last of them estimates.
    """
    run = _Simulation(flows, profile(0.0), seed, computers)
    next_update = 0.0
    for flow in flows:
        flow.target = flow.estimator.bitrate - AUDIO_BITRATE
    for tick in range(round(seconds * 1000)):
        now = tick / 1000
        run.link.profile = profile(now)
        for flow in flows:
            if now >= flow.begin:
                run.produce(flow, now)
        for datagram in run.pass_on(run.link.receive(now=now), now):
            run.arrive(datagram, now)
        if now >= next_update and not (computers and computers[-1](now)):
            next_update = now + UPDATE_SECONDS
            run.outcome.queue.append((now, max(0.0, run.link._free - now)))
            for flow in flows:
                run.update(flow, now, rtt)
    return run.outcome
