"""Sound beside a picture on a link that has become narrow: what its full queue drops is no reason to send more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.room.camera import Camera, shown
from bench.room.network import Network, network, simulate
from bench.room.participant import Participant
from rtc.netem import LinkProfile

RTT = 0.04
WIDE, NARROW = 2_000_000, 300_000  # bit/s
QUEUE = 0.2  # seconds that the bottleneck holds
FRAME = bytes(80)  # of Opus at 32 kbit/s


class Speaker(Camera):
    """Notes how it is asked to protect its sound."""

    def __init__(self, net: Network) -> None:
        super().__init__(net, "camera", publish=("video", "audio"), audio_slots=0, rids=("q", "h", "f"))
        self.protections: list[tuple[float, int, int]] = []

    def protection_changed(self, mid: str, depth: int, copies: int) -> None:
        self.protections.append((self.now, depth, copies))


def carrying(bitrate: float) -> LinkProfile:
    return LinkProfile(bandwidth=bitrate, queue=QUEUE, delay=RTT / 2)


@asynccontextmanager
async def call(*, uplink: bool) -> AsyncIterator[tuple[Speaker, Participant]]:
    """Sound and picture for 30 s, of which ten have passed when the link of one of the two becomes narrow."""
    async with network() as net:
        camera = Speaker(net)
        viewer = Participant(net, "viewer", publish=(), audio_slots=1, video_slots=1)
        for one in (camera, viewer):
            await one.join()
        link = camera.way(up=True) if uplink else viewer.way(up=False)
        link.profile = carrying(WIDE)
        both = asyncio.gather(camera.film_encodings(30), camera.speak(30, track=3, frame=FRAME))
        await asyncio.sleep(10)
        link.profile = carrying(NARROW)
        yield camera, viewer
        await both


def test_sound_is_not_sent_several_times_because_a_queue_was_full_and_leaves_the_picture_its_room() -> None:
    async def scenario() -> None:
        async with call(uplink=False) as (_, viewer):
            narrowed, way = viewer.now, viewer.way(up=False)
            await asyncio.sleep(2)
            refused, dropped = viewer.refused, way.queue_dropped
            await asyncio.sleep(18)
            sound = {one.sequence for one in viewer.heard["0"] if one.time >= narrowed}
            assert len(sound) >= 0.99 * 50 * 20
            assert viewer.refused - refused <= 0.1 * 50 * 18, "copies are refused as replays"
            assert way.queue_dropped - dropped <= 0.02 * 50 * 18
            pictures = [time for time, _ in shown(viewer.heard["1"]) if time >= narrowed + 2]
            assert len(pictures) >= 12 * 18

    simulate(scenario, rtt=RTT)


def test_who_speaks_is_not_asked_to_protect_what_its_own_full_queue_dropped() -> None:
    async def scenario() -> None:
        async with call(uplink=True) as (camera, _):
            await asyncio.sleep(15)
            assert camera.way(up=True).queue_dropped > 0
            assert camera.protections == []

    simulate(scenario, rtt=RTT)
