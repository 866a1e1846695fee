"""Links that narrow and widen again, of viewers and of a camera as Chromium sends it: what a decoder can show."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from bench.room.camera import Camera, shown
from bench.room.network import network, simulate
from bench.room.participant import Participant
from rtc.netem import LinkProfile

RTT = 0.04
WIDE = 2_000_000  # bit/s
QUEUE = 0.2  # seconds that the bottleneck holds
FULL = 0.8  # share of the rate before that counts as full


@dataclass(slots=True, frozen=True)
class Course:
    """What a viewer got in 28 s, in which a link narrowed after ten and widened again after twenty."""

    begin: float
    frames: list[tuple[float, int]]
    viewer: Participant
    asked: list[tuple[float, tuple[str, ...]]]
    """When the camera was asked for which encodings."""

    def longest_gap(self, since: float, until: float) -> float:
        """Seconds for which a picture stood."""
        begin, end = self.begin + since, self.begin + until
        times = [begin, *(time for time, _ in self.frames if begin <= time < end), end]
        return max(after - before for before, after in pairwise(times))

    def count(self, since: float, until: float) -> int:
        """Frames that could be shown."""
        return sum(self.begin + since <= time < self.begin + until for time, _ in self.frames)

    def rate(self, since: float, until: float) -> float:
        """bit/s that came."""
        begin, end = self.begin + since, self.begin + until
        bits = 8 * sum(len(one.payload) + 60 for one in self.viewer.heard["0"] if begin <= one.time < end)
        return bits / (end - begin)


def carrying(bitrate: float) -> LinkProfile:
    return LinkProfile(bandwidth=bitrate, queue=QUEUE, delay=RTT / 2)


async def narrowing(narrow: float, *, uplink: bool, from_the_start: bool = False) -> Course:
    """A camera and a viewer; the link of one of them narrows to this many bit/s, and widens again."""
    async with network() as net:
        camera = Camera(net, "camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
        await camera.join()
        viewer = Participant(net, "viewer", publish=(), audio_slots=0, video_slots=1)
        await viewer.join()
        link = camera.way(up=True) if uplink else viewer.way(up=False)
        link.profile = carrying(narrow if from_the_start else WIDE)
        begin = viewer.now
        filming = asyncio.create_task(camera.film_encodings(28))
        await asyncio.sleep(10)
        link.profile = carrying(narrow)
        await asyncio.sleep(10)
        link.profile = carrying(WIDE)
        await filming
        return Course(begin, shown(viewer.heard["0"]), viewer, camera.asked)


@pytest.mark.parametrize("narrow", [300_000, 1_000_000])
def test_a_viewer_whose_link_narrows_sees_no_freeze_and_full_quality_soon_after_it_widens(narrow: int) -> None:
    async def scenario() -> None:
        course = await narrowing(narrow, uplink=False)
        full = course.rate(7, 10)
        assert full >= 1_200_000
        assert course.longest_gap(10, 20) <= 0.7
        assert course.longest_gap(20, 28) <= 0.5
        assert course.rate(13, 20) >= 0.4 * narrow
        assert course.rate(26, 28) >= FULL * full, "six seconds after"

    simulate(scenario, rtt=RTT)


@pytest.mark.parametrize("narrow", [300_000, 700_000])
def test_a_camera_whose_uplink_narrows_is_seen_without_a_freeze_and_in_full_soon_after_it_widens(narrow: int) -> None:
    async def scenario() -> None:
        course = await narrowing(narrow, uplink=True)
        full = course.rate(7, 10)
        assert full >= 1_200_000
        assert course.longest_gap(10, 20) <= 1.0
        assert course.longest_gap(20, 28) <= 0.5
        assert course.count(12, 20) >= 8 * 20
        assert course.rate(26, 28) >= FULL * full, "six seconds after"

    simulate(scenario, rtt=RTT)


def test_a_call_that_begins_on_a_narrow_uplink_shows_one_fluent_picture_and_all_of_it_soon_after_it_widens() -> None:
    async def scenario() -> None:
        course = await narrowing(250_000, uplink=True, from_the_start=True)
        assert course.longest_gap(4, 20) <= 0.5
        assert course.rate(4, 20) >= 0.8 * 250_000
        assert course.rate(26, 28) >= FULL * 1_500_000, "six seconds after"

    simulate(scenario, rtt=RTT)


def test_a_size_that_a_camera_does_not_give_is_not_asked_for_again_and_again() -> None:
    async def scenario() -> None:
        course = await narrowing(WIDE, uplink=True)
        changes = [rids for _, rids in course.asked]
        assert changes[-1] == ("h",)
        assert sum("f" in rids and "f" not in before for before, rids in pairwise(changes)) <= 1

    simulate(scenario, rtt=RTT)


async def without_picture(camera: Participant, filming: Coroutine[Any, Any, None], dead: float) -> tuple[int, int]:
    """Its viewer has next to no link for so long: how often it was paused, and packets in the last second."""
    viewer = Participant(camera.net, "viewer", publish=(), audio_slots=0, video_slots=1)
    await viewer.join()
    wide = LinkProfile(bandwidth=2 * WIDE, queue=QUEUE, delay=RTT / 2)
    viewer.narrow(down=wide)
    film = asyncio.create_task(filming)
    await asyncio.sleep(4)
    begin = viewer.now
    viewer.narrow(down=LinkProfile(bandwidth=30_000, queue=QUEUE, delay=RTT / 2))
    await asyncio.sleep(dead)
    paused = sum(when > begin and each[0].paused for when, each in viewer.qualities)
    viewer.narrow(down=wide)
    widened = viewer.now
    await film
    shown_again = [one.time for one in viewer.heard["0"] if one.time > widened]
    return paused, sum(time > viewer.now - 1 for time in shown_again)


def test_who_can_have_no_picture_at_all_is_tried_ever_more_rarely() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = Camera(net, "camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
            await camera.join()
            paused, packets = await without_picture(camera, camera.film_encodings(84), 60)
            assert 1 <= paused <= 7
            assert packets >= 100, "twenty seconds after"

    simulate(scenario, rtt=RTT)


def test_a_picture_of_one_size_comes_back_within_seconds_to_whom_it_was_too_much() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = Participant(net, "camera", publish=("video",), audio_slots=0)
            await camera.join()
            paused, packets = await without_picture(camera, camera.camera(24), 10)
            assert paused >= 1
            assert packets >= 100, "ten seconds after"

    simulate(scenario, rtt=RTT)
