"""Simulcast in whole rooms in virtual time: who gets which encoding, when, and what a change costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from bench.room.client import Client
from bench.room.media import Heard
from bench.room.network import Network, network, simulate
from rtc.wire import rtcp
from rtc.wire.payload import Vp8Descriptor

RIDS = ("q", "h", "f")
SLOT = "0"
"""The m-line of a viewer's only slot."""


async def camera_of(net: Network, **options: object) -> Client:
    return await net.join("camera", publish=("video",), audio_slots=0, rids=RIDS, **options)


async def viewer_of(net: Network, name: str, budget: int | None = None) -> Client:
    viewer = await net.join(name, publish=(), audio_slots=0, video_slots=1)
    viewer.peer.video_budget = budget
    return viewer


def seen(viewer: Client, camera: Client, *, since: float = 0.0, until: float = 1e9) -> list[tuple[float, str]]:
    """When each packet came, and of which encoding."""
    rids = {track.number: track.rid for track in camera.tracks}
    return [(one.time, rids[one.track]) for one in viewer.heard[SLOT] if one.payload and since <= one.time < until]


def longest_pause(heard: Sequence[Heard]) -> float:
    """Seconds between two frames that could be decoded, at most."""
    times = [one.time for one in heard if one.payload]
    return max(after - before for before, after in pairwise(times))


def assert_one_stream(heard: Sequence[Heard]) -> None:
    """Without loss: numbers without a hole, time that never goes back and moves where a frame begins."""
    assert [one.sequence for one in heard] == list(range(heard[0].sequence, heard[0].sequence + len(heard)))
    for before, after in pairwise([one for one in heard if one.payload]):
        passed = after.timestamp - before.timestamp & 0xFFFFFFFF
        assert 0 < passed < 90_000 if Vp8Descriptor.parse(after.payload).start_of_frame else not passed


def test_three_listeners_on_three_links_each_get_their_layer_and_none_disturbs_another() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            filming = asyncio.create_task(camera.film_simulcast(12))
            viewers = [
                await viewer_of(net, name, budget)
                for name, budget in (("a", 250_000), ("b", 900_000), ("c", 4_000_000))
            ]
            begin = viewers[0].now
            await filming
            # The first two get half of the frames: those go before sharpness does.
            for viewer, rid, fps in zip(viewers, "hff", (12.5, 12.5, 25), strict=True):
                late = [one for one in viewer.heard[SLOT] if one.time > begin + 3]
                assert {each for _, each in seen(viewer, camera, since=begin + 3)} == {rid}
                frames = len({one.timestamp for one in late})
                assert frames / (late[-1].time - late[0].time) == pytest.approx(fps, rel=0.05)
                assert longest_pause(viewer.heard[SLOT]) <= 0.3
                assert_one_stream(viewer.heard[SLOT])
            plis = sorted(time for track in camera.tracks for time in track.plis)
            assert len(plis) <= 4

    simulate(scenario)


def test_a_link_that_narrows_and_widens_is_followed_without_a_freeze() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            filming = asyncio.create_task(camera.film_simulcast(24))
            viewer = await viewer_of(net, "viewer", 4_000_000)
            await asyncio.sleep(5)
            changed: dict[int, float] = {}
            for budget in (600_000, 200_000, 4_000_000):
                viewer.peer.video_budget = budget
                changed[budget] = viewer.now
                await asyncio.sleep(5)
            await filming
            for budget, rid, within in ((600_000, "h", 1.5), (200_000, "q", 1.5), (4_000_000, "f", 3.0)):
                moment = changed[budget]
                assert {each for _, each in seen(viewer, camera, since=moment + within, until=moment + 5)} == {rid}
            # Before the key frame of the smaller encoding is there, frames of the larger one go.
            early = [one for one in viewer.heard[SLOT] if changed[600_000] + 0.35 < one.time < changed[600_000] + 1.5]
            assert early
            assert longest_pause(viewer.heard[SLOT]) <= 0.3
            assert_one_stream(viewer.heard[SLOT])

    simulate(scenario)


def test_an_encoding_that_stops_is_left_within_a_second() -> None:
    """As when the publisher's own uplink narrows: its browser gives up the largest first."""

    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            camera.obeys = False
            filming = asyncio.create_task(camera.film_simulcast(14))
            viewer = await viewer_of(net, "viewer")
            await asyncio.sleep(4)
            camera.tracks[2].active = False
            stopped = viewer.now
            await asyncio.sleep(5)
            camera.tracks[2].active = True
            camera.tracks[2].wants_keyframe = True
            back = viewer.now
            await filming
            assert {rid for _, rid in seen(viewer, camera, since=stopped - 1, until=stopped)} == {"f"}
            after = [time for time, _ in seen(viewer, camera, since=stopped + 0.1)]
            assert after[0] - stopped <= 1.0
            assert {rid for _, rid in seen(viewer, camera, since=stopped + 1, until=back)} == {"h"}
            assert {rid for _, rid in seen(viewer, camera, since=back + 3)} == {"f"}
            limits = [quality.limit for _, each in viewer.qualities for quality in each]
            assert "source" in limits and limits[-1] == ""

    simulate(scenario)


def test_what_nobody_can_use_is_not_sent_and_comes_back_when_somebody_can() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            filming = asyncio.create_task(camera.film_simulcast(40))
            viewer = await viewer_of(net, "viewer", 4_000_000)
            viewer.peer.watch(["camera-0"], heights={"camera-0": 150})
            await asyncio.sleep(8)
            assert camera.wanted_encodings == ("q",)
            small = viewer.now
            viewer.peer.watch(["camera-0"], heights={"camera-0": 700})
            await asyncio.sleep(3)
            assert "f" in camera.wanted_encodings
            assert {rid for _, rid in seen(viewer, camera, since=small + 2.5)} == {"f"}
            viewer.peer.watch(["camera-0"], heights={"camera-0": 0})
            hidden = viewer.now
            await asyncio.sleep(8)
            assert seen(viewer, camera, since=hidden + net.rtt) == []
            assert camera.wanted_encodings == ("q",)
            viewer.peer.watch(None)
            shown = viewer.now
            await asyncio.sleep(3)
            assert seen(viewer, camera, since=shown)[0][0] - shown <= 2 * net.rtt + 0.1
            assert {rid for _, rid in seen(viewer, camera, since=shown + 2.5)} == {"f"}
            await filming

    simulate(scenario)


def test_who_can_have_nothing_is_told_and_gets_a_picture_once_there_is_room() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            filming = asyncio.create_task(camera.film_simulcast(12))
            viewer = await viewer_of(net, "viewer", 20_000)
            await asyncio.sleep(3)
            starved = viewer.now
            viewer.peer.video_budget = 150_000
            await filming
            assert seen(viewer, camera, since=starved - 2, until=starved) == []
            assert {rid for _, rid in seen(viewer, camera, since=starved + 1)} == {"q"}
            told = [(each.paused, each.limit) for _, qualities in viewer.qualities for each in qualities]
            assert (True, "bandwidth") in told and told[-1] == (False, "bandwidth")

    simulate(scenario)


def test_of_two_pictures_the_one_wanted_most_is_raised_first() -> None:
    async def scenario() -> None:
        async with network() as net:
            cameras = [await net.join(name, publish=("video",), audio_slots=0, rids=RIDS) for name in ("x", "y")]
            filming = [asyncio.create_task(camera.film_simulcast(8)) for camera in cameras]
            viewer = await net.join("viewer", publish=(), audio_slots=0, video_slots=2)
            viewer.peer.watch(["y-0", "x-0"])
            viewer.peer.video_budget = 600_000
            begin = viewer.now
            await asyncio.gather(*filming)
            rids = {track.number: (camera.name, track.rid) for camera in cameras for track in camera.tracks}
            late = {rids[one.track] for slot in viewer.heard.values() for one in slot if one.time > begin + 4}
            assert late == {("x", "q"), ("y", "h")}

    simulate(scenario)


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_sound_and_picture_stay_together_over_changes_of_encoding(loss: float) -> None:
    """The receiver puts both on one clock by the latest sender report of each (RFC 3550 6.4.1)."""

    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("sender", publish=("audio", "video"), audio_slots=0, rids=RIDS)
            viewer = await net.join("viewer", publish=(), audio_slots=1, video_slots=1)
            net.shape(up=loss, down=loss)
            filming = asyncio.gather(sender.film_simulcast(20, mid="1"), sender.speak(20))
            for budget in (4_000_000, 200_000, 4_000_000, 600_000, 200_000):
                viewer.peer.video_budget = budget
                await asyncio.sleep(4)
            await filming
            by_number = {track.number: track for track in sender.tracks}
            assert len({one.track for one in viewer.heard["1"] if one.payload}) == 3
            errors: dict[str, list[float]] = {}
            for mid, rate in (("0", 48_000), ("1", 90_000)):
                for one in filter(lambda one: one.payload, viewer.heard[mid]):
                    report = next((each for at, each in reversed(viewer.reported[mid]) if at <= one.time), None)
                    if report is None or one.time < 3:
                        continue
                    ticks = (one.timestamp - report.rtp_timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
                    sampled = rtcp.seconds_from_ntp(report.ntp) + ticks / rate
                    errors.setdefault(mid, []).append(sampled - by_number[one.track].sent[one.number])
            centre = errors["0"][len(errors["0"]) // 2]
            for mid in ("0", "1"):
                assert max(abs(error - centre) for error in errors[mid]) <= 0.045, mid

    simulate(scenario)


def test_a_listener_who_asks_for_key_frames_all_the_time_costs_the_camera_one_a_second() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            filming = asyncio.create_task(camera.film_simulcast(10))
            viewer = await viewer_of(net, "viewer")
            ssrc = next(ssrc for ssrc, mid in viewer._ssrcs.items() if mid == SLOT)
            for step in range(400):
                viewer.peer.video_budget = (200_000, 4_000_000)[step // 20 % 2]
                viewer.send_rtcp([rtcp.ReceiverReport(viewer.ssrc), rtcp.PictureLossIndication(viewer.ssrc, ssrc)])
                await asyncio.sleep(0.02)
            await filming
            plis = sorted(time for track in camera.tracks for time in track.plis)
            assert len(plis) <= 10 + 1
            assert all(after - before >= 0.9 for before, after in pairwise(plis))
            assert longest_pause(viewer.heard[SLOT]) <= 0.3

    simulate(scenario)


def test_who_comes_into_a_slot_is_put_on_the_common_clock_within_a_third_of_a_second() -> None:
    """Each publisher's clock differs; without a report, sound and picture are apart until the next regular one."""

    async def scenario() -> None:
        async with network() as net:
            cameras = [await net.join(name, publish=("video",), audio_slots=0) for name in ("x", "y")]
            viewer = await net.join("viewer", publish=(), audio_slots=0, video_slots=1)
            filming = [asyncio.create_task(camera.film(8)) for camera in cameras]
            for wanted in ("x-0", "y-0") * 3:
                viewer.peer.watch([wanted])
                await asyncio.sleep(1.3)
            await asyncio.gather(*filming)
            heard = viewer.heard[SLOT]
            changes = [after.time for before, after in pairwise(heard) if before.track != after.track]
            assert len(changes) >= 5
            for change in changes:
                assert any(change - 0.01 <= at <= change + 0.3 for at, _ in viewer.reported[SLOT])

    simulate(scenario)
