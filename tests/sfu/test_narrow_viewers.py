"""Links that narrow and widen again, of viewers and of a camera as Chromium sends it: what a decoder can show."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from narrow_room import Participant
from virtual_camera import Camera, shown
from virtual_room import Network, network, simulate

from rtc.netem import LinkProfile

RTT = 0.04
WIDE = 2_000_000  # bit/s
FULL = 0.8  # share of the rate before that counts as full


def link(bitrate: float, *, loss: float = 0.0) -> LinkProfile:
    """A bottleneck with 200 ms of queue."""
    return LinkProfile(bandwidth=bitrate, queue=0.2, delay=RTT / 2, loss=loss)


async def camera_of(net: Network) -> Camera:
    camera = Camera(net, "camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
    await camera.join()
    return camera


async def viewer_of(net: Network, name: str = "viewer") -> Participant:
    viewer = Participant(net, name, publish=(), audio_slots=0, video_slots=1)
    await viewer.join()
    return viewer


def longest_gap(frames: list[tuple[float, int]], begin: float, end: float) -> float:
    """Seconds for which a picture stood."""
    times = [begin, *(time for time, _ in frames if begin <= time < end), end]
    return max(after - before for before, after in pairwise(times))


def rate(viewer: Participant, begin: float, end: float) -> float:
    """bit/s that came."""
    return 8 * sum(len(one.payload) + 60 for one in viewer.heard["0"] if begin <= one.time < end) / (end - begin)


@pytest.mark.parametrize("narrow", [300_000, 1_000_000])
def test_a_viewer_whose_link_narrows_sees_no_freeze_and_full_quality_soon_after_it_widens(narrow: int) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_of(net), await viewer_of(net)
            viewer.narrow(down=link(WIDE))
            begin = viewer.now
            filming = asyncio.create_task(camera.film_encodings(28))
            await asyncio.sleep(10)
            full = rate(viewer, begin + 7, begin + 10)
            assert full >= 1_200_000
            viewer.narrow(down=link(narrow))
            await asyncio.sleep(10)
            viewer.narrow(down=link(WIDE))
            await filming
            frames = shown(viewer.heard["0"])
            assert longest_gap(frames, begin + 10, begin + 20) <= 0.7
            assert longest_gap(frames, begin + 20, begin + 28) <= 0.5
            assert rate(viewer, begin + 13, begin + 20) >= 0.4 * narrow
            assert rate(viewer, begin + 26, begin + 28) >= FULL * full, "six seconds after"

    simulate(scenario, rtt=RTT)


@pytest.mark.parametrize("narrow", [300_000, 700_000])
def test_a_camera_whose_uplink_narrows_is_seen_without_a_freeze_and_in_full_soon_after_it_widens(narrow: int) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_of(net), await viewer_of(net)
            camera.narrow(up=link(WIDE))
            begin = viewer.now
            filming = asyncio.create_task(camera.film_encodings(28))
            await asyncio.sleep(10)
            full = rate(viewer, begin + 7, begin + 10)
            assert full >= 1_200_000
            camera.narrow(up=link(narrow))
            await asyncio.sleep(10)
            camera.narrow(up=link(WIDE))
            await filming
            frames = shown(viewer.heard["0"])
            assert longest_gap(frames, begin + 10, begin + 20) <= 1.0
            assert longest_gap(frames, begin + 20, begin + 28) <= 0.5
            assert sum(begin + 12 <= time < begin + 20 for time, _ in frames) >= 8 * 20
            assert rate(viewer, begin + 26, begin + 28) >= FULL * full, "six seconds after"

    simulate(scenario, rtt=RTT)
