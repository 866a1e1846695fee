"""How many frames a listener of stock aiortc plays: no redundancy, no NACK of audio, a jitter buffer that only sorts.

It is aiortc's own peer connection, in virtual time, behind the lossy hop; the speaker's hop loses nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from unittest import mock

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

from bench.audio.baselines import FRAME, StockPlayer, encode
from bench.audio.call import LISTENER, SPEAKER, Listening, Microphone, meeting
from bench.audio.network import Hops, Network
from bench.audio.speech import RATE, Speech
from bench.virtual import run
from rtc.netem import Link
from rtc.wire.rtp import RtpPacket as Packet

LOSS, RTT = 0.1, 0.04
BAR = 0.97
"""Least share of the frames that is to be played at a loss of LOSS."""


@dataclass(frozen=True, slots=True)
class Played:
    """Shares of the frames played, 0 to 1, mean over the seeds."""

    clarion: float
    plain: float
    """Where packets are forwarded and no more."""
    copies: float
    """Datagrams sent for each of Clarion's packets."""

    @property
    def met(self) -> bool:
        """Whether the bar was reached."""
        return self.clarion >= BAR

    def __str__(self) -> str:
        """For people."""
        return (
            f"A stock aiortc listener with {LOSS:.0%} lost on its hop plays {self.clarion:.1%} of the frames "
            f"(bar {BAR:.0%}, {'ok' if self.met else 'MISS'}; {self.copies:.1f} datagrams a packet); "
            f"{self.plain:.1%} where packets are merely forwarded."
        )

    def as_object(self) -> dict[str, float | bool]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def measure(speech: Speech, *, seeds: range) -> Played:
    """Hold the calls."""
    calls = [_clarion(speech, seed) for seed in seeds]
    plain = [_plain(speech, seed) for seed in seeds]
    return Played(
        sum(share for share, _ in calls) / len(calls),
        sum(plain) / len(plain),
        sum(copies for _, copies in calls) / len(calls),
    )


def _clarion(speech: Speech, seed: int) -> tuple[float, float]:
    """Share of the frames played, and datagrams for each."""
    hops = Hops(RTT / 2)
    return run(_call(speech, hops, seed), link_between=hops.between)


async def _call(speech: Speech, hops: Hops, seed: int) -> tuple[float, float]:
    buffer = _Counting()
    async with meeting(SPEAKER) as (speaker,):
        stock = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        events = Listening()
        peer = speaker.room.join("stock", events)
        try:
            with (
                mock.patch("aioice.ice.get_host_addresses", lambda **_: [LISTENER]),
                mock.patch("aiortc.rtcrtpreceiver.JitterBuffer", buffer.make),
            ):
                stock.addTransceiver("audio", direction="recvonly")
                await stock.setLocalDescription(await stock.createOffer())
                answer = RTCSessionDescription(peer.answer(stock.localDescription.sdp), "answer")
                await stock.setRemoteDescription(answer)
                await events.connected.wait()
            hops.down(LISTENER).spoil(Network(LOSS, 1, RTT).profile, seed=f"{seed} down")
            hops.up(LISTENER).spoil(Network(LOSS, 1, RTT).profile, seed=f"{seed} up")
            microphone = Microphone(speech.sent)
            publication = await speaker.publish(microphone)
            await asyncio.sleep(speech.start / RATE)  # as everywhere, what comes first is not judged
            (slot,) = peer.slots.values()
            before = buffer.frames, hops.down(LISTENER).packets, slot.sent()[0]
            await microphone.ended.wait()
            after = buffer.frames, hops.down(LISTENER).packets, slot.sent()[0]
            await publication.stop()
        finally:
            await stock.close()
            await peer.close()
    frames, datagrams, packets = (later - earlier for earlier, later in zip(before, after, strict=True))
    return frames / packets, datagrams / packets


def _plain(speech: Speech, seed: int) -> float:
    link, player = Link(Network(LOSS, 1, RTT).profile, seed=f"{seed} down"), StockPlayer()
    frames = encode(speech.sent)
    for number, payload in enumerate(frames):
        now = number * FRAME / RATE
        link.send(Packet(96, number, number * FRAME, 1, False, payload, {}).serialize(), now=now)
        for data in link.receive(now=now):
            player.receive(data)
    return len(player.frames) / len(frames)


class _Counting:
    """aiortc's jitter buffer, and the frames that come out of it."""

    def __init__(self) -> None:
        self.frames = 0

    def make(self, capacity: int, prefetch: int) -> JitterBuffer:
        """What the receiver makes for itself."""
        counting = self

        class Counted(JitterBuffer):
            def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
                asked, frame = super().add(packet)
                counting.frames += frame is not None
                return asked, frame

        return Counted(capacity, prefetch)
