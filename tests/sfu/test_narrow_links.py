"""Whole calls over links that carry only so much: what is used of them, how long their queues get, and who suffers."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bench.room.client import Client
from bench.room.network import Network, network, simulate
from bench.room.participant import Participant
from rtc.netem import LinkProfile

RTT = 0.04


def link(bitrate: float, *, loss: float = 0.0) -> LinkProfile:
    """A bottleneck with 200 ms of queue."""
    return LinkProfile(bandwidth=bitrate, queue=0.2, delay=RTT / 2, loss=loss)


class Watch:
    """Looks at one direction of a participant's link, ten times a second."""

    def __init__(self, who: Participant, *, up: bool) -> None:
        self.waits: list[tuple[float, float]] = []
        self._task = asyncio.create_task(self._look(who, up))

    async def _look(self, who: Participant, up: bool) -> None:
        while True:
            self.waits.append((who.now, max(0.0, who.way(up=up)._free - who.now)))
            await asyncio.sleep(0.1)

    def p95(self, since: float) -> float:
        """Seconds of queue."""
        waits = sorted(wait for when, wait in self.waits if when >= since)
        return waits[int(0.95 * len(waits))]

    def stop(self) -> None:
        self._task.cancel()


async def speaker_with_camera(net: Network) -> Participant:
    who = Participant(net, "camera", publish=("video", "audio"), audio_slots=0)
    await who.join()
    return who


async def viewer_of(net: Network, name: str) -> Participant:
    who = Participant(net, name, publish=(), audio_slots=1, video_slots=1)
    await who.join()
    return who


def bits(viewer: Client, mid: str, begin: float, end: float) -> float:
    """bit/s that a slot got."""
    return 8 * sum(len(one.payload) + 60 for one in viewer.heard[mid] if begin <= one.time < end) / (end - begin)


def unheard(speaker: Client, viewer: Client, *, track: int) -> float:
    """Share of the audio that never came."""
    sent = speaker.tracks[track]
    return 1 - len({one.number for one in viewer.heard["0"] if one.track == sent.number}) / len(sent.sent)


@pytest.mark.parametrize(("bitrate", "loss", "least"), [(500_000, 0.0, 0.85), (600_000, 0.1, 0.8)])
def test_a_narrow_uplink_is_used_and_its_queue_stays_short(bitrate: int, loss: float, least: float) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await speaker_with_camera(net), await viewer_of(net, "viewer")
            camera.narrow(up=link(bitrate, loss=loss))
            watch, begin = Watch(camera, up=True), camera.now
            await asyncio.gather(camera.camera(30), camera.speak(30, track=1))
            watch.stop()
            way = camera.way(up=True)
            used = camera.sent_bits(begin + 10, begin + 30)
            assert least * bitrate <= used <= 1.1 * bitrate
            assert loss or watch.p95(begin + 5) <= 0.1
            assert unheard(camera, viewer, track=1) <= 0.01
            assert way.queue_dropped <= 0.05 * way.sent

    simulate(scenario, rtt=RTT)


def test_an_uplink_that_narrows_and_widens_again_is_followed() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await speaker_with_camera(net), await viewer_of(net, "viewer")
            camera.narrow(up=link(2_000_000))
            begin = camera.now
            filming = asyncio.gather(camera.camera(45), camera.speak(45, track=1))
            await asyncio.sleep(15)
            assert bits(viewer, "1", begin + 10, begin + 15) >= 1_400_000
            camera.narrow(up=link(300_000))
            await asyncio.sleep(15)
            camera.narrow(up=link(2_000_000))
            await filming
            got = [one for one in viewer.heard["1"] if begin + 14 <= one.time < begin + 44]
            assert max(b.time - a.time for a, b in pairwise(got)) <= 1.0
            assert bits(viewer, "1", begin + 36, begin + 40) >= 1_400_000, "six seconds after"
            assert unheard(camera, viewer, track=1) <= 0.01

    simulate(scenario, rtt=RTT)


def test_three_listeners_on_three_links_each_get_what_theirs_carries() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await net.join("camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
            viewers = {}
            for name, bitrate in (("narrow", 250_000), ("middle", 900_000), ("wide", 4_000_000)):
                viewers[name] = await viewer_of(net, name)
                viewers[name].narrow(down=link(bitrate))
            begin = camera.now
            watches = {name: Watch(viewer, up=False) for name, viewer in viewers.items()}
            await camera.film_simulcast(20)
            of_track = {track.number: track.rid for track in camera.tracks}
            # One packet alone takes 40 ms on the narrow link.
            for name, rids, wait in (("narrow", {"q", "h"}, 0.17), ("middle", {"h", "f"}, 0.1), ("wide", {"f"}, 0.1)):
                watches[name].stop()
                late = [one for one in viewers[name].heard["1"] if one.time >= begin + 3]
                assert {of_track[one.track] for one in late} <= rids, name
                assert watches[name].p95(begin + 3) <= wait, name
                assert max(b.time - a.time for a, b in pairwise(late)) <= 0.3, name
            assert bits(viewers["narrow"], "1", begin + 3, begin + 20) >= 0.25 * 250_000
            assert bits(viewers["middle"], "1", begin + 3, begin + 20) >= 0.45 * 900_000

    simulate(scenario, rtt=RTT)
