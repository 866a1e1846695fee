"""A room of a publisher, an honest listener and one that lies: only the liar may suffer, whatever it says."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from bench.room.network import Network, network, simulate
from bench.room.participant import Participant
from rtc.netem import LinkProfile
from rtc.sfu.reports import BURST_SECONDS, NUMBERS_PER_SECOND
from rtc.sfu.slot import KEYFRAME_BURST, KEYFRAME_SECONDS
from rtc.wire import rtcp
from rtc.wire.extensions import TRANSPORT_CC
from rtc.wire.twcc import TransportFeedback

RTT = 0.04
SLOT = "0"
SECONDS = 4.0
EVERY = 0.01
FRAME_SECONDS = 0.04
LIAR_LINK = 2_000_000.0  # bit/s
MOST_SENT = 800  # datagrams a second: the largest encoding twice, and 4 Mbit/s of what is asked for again

Lie = Callable[["Liar", int], Iterator[bytes]]
"""Compound packets of one turn."""


class Liar(Participant):
    """Tells nothing of what arrives but lies, a hundred times a second."""

    async def _feed_back(self) -> None:
        """Honest feedback would go here."""

    @property
    def slot_ssrc(self) -> int:
        return next(ssrc for ssrc, mid in self._ssrcs.items() if mid == SLOT)

    @property
    def newest(self) -> int:
        """Transport-wide number that came last."""
        return max(self._arrived, default=0) if hasattr(self, "_arrived") else 0

    async def lie(self, lie: Lie) -> None:
        for turn in range(round(SECONDS / EVERY)):
            for compound in lie(self, turn):
                self.send_rtcp_bytes(compound)
            await asyncio.sleep(EVERY)

    def told(self, base: int, deltas: list[int | None], *, reference: float) -> bytes:
        received = [(base + place & 0xFFFF, delta) for place, delta in enumerate(deltas)]
        ticks = (int(reference / 0.064) + 0x800000 & 0xFFFFFF) - 0x800000
        return rtcp.serialize([
            rtcp.ReceiverReport(self.ssrc), TransportFeedback(self.ssrc, 1, base & 0xFFFF, ticks, 0, received),
        ])


class Clockless(Liar):
    """One without transport-wide feedback, which the server takes for a receiver that waits without end."""

    def offer(self) -> str:
        return "\r\n".join(line for line in super().offer().split("\r\n") if not line.endswith(TRANSPORT_CC))


def all_at_once(liar: Liar, turn: int) -> Iterator[bytes]:
    """Whatever is sent arrives in no time: a link of any width."""
    yield liar.told(max(liar.newest - 9, 0), [0] * 10, reference=liar.now)


def backwards(liar: Liar, turn: int) -> Iterator[bytes]:
    """What was sent later arrived earlier, and the clock runs backwards."""
    yield liar.told(max(liar.newest - 9, 0), [-400] * 10, reference=1000 - 3 * liar.now)


def leaping(liar: Liar, turn: int) -> Iterator[bytes]:
    """Hours lie between two packets, and clocks leap by days."""
    dice = random.Random(turn)
    deltas: list[int | None] = [dice.choice((-0x8000, 0x7FFF, None)) for _ in range(200)]
    yield liar.told(max(liar.newest - 199, 0), deltas, reference=dice.randint(-500_000, 500_000))


def never_sent(liar: Liar, turn: int) -> Iterator[bytes]:
    """Feedback and requests for packets that nobody has sent, of slots that are others'."""
    yield liar.told(liar.newest + 1000 + turn, [0, 1, None], reference=liar.now)
    for ssrc in (*liar._ssrcs, 0, 0xFFFFFFFF, liar.ssrc):
        yield rtcp.serialize([rtcp.ReceiverReport(1), rtcp.GenericNack(1, ssrc, tuple(range(turn, turn + 60)))])


def nothing_arrives(liar: Liar, turn: int) -> Iterator[bytes]:
    """All is lost, and all is to be sent again."""
    last = liar.heard[SLOT][-1].sequence if liar.heard[SLOT] else 0
    lost = tuple(last - back & 0xFFFF for back in range(100))
    yield rtcp.serialize([rtcp.ReceiverReport(1), rtcp.GenericNack(1, liar.slot_ssrc, lost)])
    yield liar.told(max(liar.newest - 9, 0), [None] * 9 + [0], reference=liar.now)


def long_gone(liar: Liar, turn: int) -> Iterator[bytes]:
    """It waits for what nobody can send any more."""
    last = liar.heard[SLOT][-1].sequence if liar.heard[SLOT] else 0
    lost = tuple(last - back & 0xFFFF for back in range(1, 20_000, 500))
    yield rtcp.serialize([rtcp.ReceiverReport(1), rtcp.GenericNack(1, liar.slot_ssrc, lost)])


def key_frames(liar: Liar, turn: int) -> Iterator[bytes]:
    """No picture can be decoded."""
    yield rtcp.serialize([rtcp.ReceiverReport(1), rtcp.PictureLossIndication(1, liar.slot_ssrc)])
    yield rtcp.serialize([rtcp.ReceiverReport(1), rtcp.FullIntraRequest(1, ((liar.slot_ssrc, turn & 0xFF),))])


def estimates(liar: Liar, turn: int) -> Iterator[bytes]:
    """The link carries nothing, or a gigabit."""
    yield rtcp.serialize([rtcp.ReceiverReport(1), rtcp.ReceiverEstimate(1, (0, 10**9)[turn // 50 % 2], ())])


def floods(liar: Liar, turn: int) -> Iterator[bytes]:
    """Few bytes that speak of as many packets as they can, and bytes that cannot be read."""
    run = struct.pack("!IIHHIHxx", 1, 2, turn * 4096 & 0xFFFF, 4096, 0, 4096)
    asked = struct.pack("!II", 1, liar.slot_ssrc) + struct.pack("!HH", turn & 0xFFFF, 0xFFFF) * 250
    for kind, body in ((0x8F, run), (0x8F, run), (0x81, asked), (0x81, asked[:-3] + b"\0")):
        yield struct.pack("!BBH", kind, 205, len(body) // 4) + body


async def room(net: Network, kind: type[Liar]) -> tuple[Participant, Participant, Liar]:
    camera = await net.join("camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
    honest = Participant(net, "honest", publish=(), audio_slots=0, video_slots=1)
    await honest.join()
    liar = kind(net, "liar", publish=(), audio_slots=0, video_slots=1)
    await liar.join()
    liar.narrow(down=LinkProfile(bandwidth=LIAR_LINK, queue=0.2, delay=RTT / 2))
    return camera, honest, liar


LIES = (all_at_once, backwards, leaping, never_sent, nothing_arrives, key_frames, estimates, floods)


@pytest.mark.parametrize(
    ("lie", "kind"),
    [*((lie, Liar) for lie in LIES), *((lie, Clockless) for lie in (nothing_arrives, long_gone, key_frames))],
)
def test_a_listener_that_lies_hurts_only_itself(lie: Lie, kind: type[Liar]) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, honest, liar = await room(net, kind)
            filming = asyncio.create_task(camera.film_simulcast(SECONDS + 1.0, temporal=False))
            await asyncio.sleep(1.0)
            begin, sent = liar.now, liar.way(up=False).sent
            await liar.lie(lie)
            await filming
            # The honest one has every packet of the best picture, in time.
            best = camera.tracks[-1].number
            heard = [one for one in honest.heard[SLOT] if one.time >= begin]
            numbers = [one.number for one in heard]
            assert {one.track for one in heard} == {best} and numbers == list(range(numbers[0], numbers[-1] + 1))
            assert max(b.time - a.time for a, b in pairwise(heard)) <= 2 * FRAME_SECONDS
            assert honest.peer.qualities[0].limit == ""
            # What the liar costs is bounded.
            plis = [time for track in camera.tracks for time in track.plis if time >= begin]
            assert len(plis) <= SECONDS + 1
            assert (liar.way(up=False).sent - sent) / SECONDS <= MOST_SENT
            drops = net.node.statistics().drops
            assert drops["fault"] == 0
            if lie is never_sent:
                assert drops["feedback-unknown-packet"] >= 3 * SECONDS / EVERY - 3
            if lie is key_frames:
                assert drops["keyframe-flood"] > 200
            if lie is key_frames or kind is Clockless:
                assert len(plis) <= KEYFRAME_BURST + SECONDS / KEYFRAME_SECONDS
            if lie is floods:
                assert drops["rtcp-flood"] > 0
                assert drops["feedback-unknown-packet"] <= (BURST_SECONDS + SECONDS + 1) * NUMBERS_PER_SECOND

    simulate(scenario, rtt=RTT)
