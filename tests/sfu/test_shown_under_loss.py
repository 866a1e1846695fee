"""What viewers in browsers see of a camera with temporal layers, over paths that lose packets."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from statistics import mean

import pytest

from bench.room.browser import Browser, CheckingBrowser
from bench.room.camera import Camera
from bench.room.network import Network, network, simulate
from bench.room.viewer import Viewer
from rtc.netem import LinkProfile

PACKETS = 7
"""In each frame: 1.7 Mbit/s."""


async def camera_and_viewer(net: Network) -> tuple[Browser, Viewer]:
    camera = Browser(net, "camera", publish=("video",), audio_slots=0)
    viewer = Viewer(net, "viewer", publish=(), audio_slots=0, video_slots=1)
    for one in (camera, viewer):
        await one.join()
    return camera, viewer


def gaps(viewer: Viewer, begin: float, end: float) -> list[float]:
    """How long each frame stood."""
    shown = [when for when, _ in viewer.decoders["0"].shown if begin <= when < end]
    return [after - before for before, after in pairwise([begin, *shown, end])]


@pytest.mark.parametrize(("loss", "frozen"), [(0.1, 0.3 / 60), (0.3, 1 / 60), (0.5, 5 / 60)])
def test_a_frame_that_is_repaired_late_is_shown_and_costs_none_of_those_after_it(loss: float, frozen: float) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_and_viewer(net)
            await camera.film30(2, packets=PACKETS, layers=True)
            net.shape(up=loss, down=loss)
            await camera.film30(6, packets=PACKETS, layers=True)  # what is lost is measured
            begin = viewer.now
            await camera.film30(10, packets=PACKETS, layers=True)
            stood = gaps(viewer, begin, viewer.now)
            assert len(stood) >= 29.5 * 10
            assert sum(gap for gap in stood if gap > 0.15) <= frozen * 10
            assert len(camera.tracks[0].keyframes) == 1

    simulate(scenario)


def test_a_packet_that_nothing_brings_costs_a_key_frame_at_once_and_not_when_the_viewer_loses_patience() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_and_viewer(net)
            await camera.film30(2, packets=PACKETS, layers=True)
            begin, keyframes = viewer.now, len(camera.tracks[0].keyframes)
            track = camera.tracks[0]
            filming = asyncio.create_task(camera.film30(6, packets=PACKETS, layers=True))
            loop = asyncio.get_running_loop()
            link = loop.link(camera.address, net.server)  # type: ignore[attr-defined]
            good, link.profile = link.profile, type(link.profile)(loss=1, delay=net.rtt / 2)
            await asyncio.sleep(0.002)
            link.profile = good
            for number in [number for number, packet in track.history.items() if packet.timestamp == track.timestamp]:
                del track.history[number]
            await filming
            assert len(track.keyframes) == keyframes + 1
            assert max(gaps(viewer, begin, viewer.now)) <= 1.5

    simulate(scenario)


def test_browsers_hear_often_enough_that_they_are_heard_to_go_on_sending() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = CheckingBrowser(net, "camera", publish=("video",), audio_slots=0)
            viewer = CheckingBrowser(net, "viewer", publish=(), audio_slots=0, video_slots=1)
            for one in (camera, viewer):
                await one.join()
            net.shape(up=0.5, down=0.5)
            await camera.film30(5, packets=1)  # what is lost is measured
            before, seconds = camera.checks.silent + viewer.checks.silent, 600
            await asyncio.sleep(seconds)  # only checks and reports: they are the same with pictures
            assert camera.checks.silent + viewer.checks.silent - before <= 0.002 * 2 * seconds

    simulate(scenario)


@pytest.mark.parametrize("loss", [0.0, 0.5])
def test_a_camera_that_sent_nothing_for_a_moment_keeps_its_rate_and_is_seen_again_at_once(loss: float) -> None:
    stood: list[float] = []

    async def scenario() -> None:
        async with network() as net:
            camera = Camera(net, "camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
            viewer = Viewer(net, "viewer", publish=(), audio_slots=0, video_slots=1)
            for one in (camera, viewer):
                await one.join()
            filming = asyncio.create_task(camera.film_encodings(30))
            await asyncio.sleep(5)
            net.shape(up=loss, down=loss)
            await asyncio.sleep(12)
            begin, rate = viewer.now, camera.remb
            kept = [dict(track.history) for track in camera.tracks]
            link = camera.way(up=True)
            link.profile = LinkProfile(loss=1, delay=net.rtt / 2)
            await asyncio.sleep(0.65)
            for track, history in zip(camera.tracks, kept, strict=True):
                track.history = history  # what it could not send it does not have either when it is asked for it
            link.profile = LinkProfile(loss=loss, delay=net.rtt / 2)
            for _ in range(6):
                await asyncio.sleep(1)
                assert camera.remb >= 0.8 * rate
            stood.append(sum(gap for gap in gaps(viewer, begin, viewer.now) if gap > 0.15))
            filming.cancel()

    for seed in (1, 2, 3):
        simulate(scenario, seed=seed)
    assert mean(stood) <= 1.2, "of which it sent nothing for 0.65 s"
