"""Spatial layers that only a dependency descriptor tells apart, in whole rooms: who gets which, and can show them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest

from bench.room.media import Track
from bench.room.network import Network, network, simulate
from bench.room.participant import FRAME_SECONDS, NUMBER_ID
from bench.room.svc import DESCRIPTOR_ID, Shown, Svc, SvcParticipant
from rtc.netem import LinkProfile

RTT = 0.04
WIDE, NARROW = 4_000_000, 300_000  # bit/s
SETTLED = 4.0
"""Seconds after which a link is known and a key frame has come."""


def link(bitrate: float, *, loss: float = 0.0) -> LinkProfile:
    return LinkProfile(bandwidth=bitrate, queue=0.2, delay=RTT / 2, loss=loss)


async def camera_of(net: Network, name: str = "camera") -> SvcParticipant:
    camera = SvcParticipant(net, name, publish=("video",), audio_slots=0)
    await camera.join()
    return camera


async def viewer_of(
    net: Network, name: str, bitrate: float, *, describe: bool = True, loss: float = 0.0
) -> SvcParticipant:
    viewer = SvcParticipant(net, name, publish=(), audio_slots=0, video_slots=1)
    viewer.describe = describe
    await viewer.join()
    viewer.narrow(down=link(bitrate, loss=loss))
    return viewer


def longest_gap(shown: list[Shown]) -> float:
    return max(after.time - before.time for before, after in pairwise(shown))


@pytest.mark.parametrize("modes", [(2, 1), (2, 2), (2, 3), (3, 3)])
def test_a_wide_viewer_gets_the_larger_picture_and_a_narrow_one_the_smaller(modes: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            wide, narrow = await viewer_of(net, "wide", WIDE), await viewer_of(net, "narrow", NARROW)
            begin, svc = camera.now, Svc(*modes, first_id=60, frame=0xFFF0)
            await camera.film_layers(12, svc)
            targets = len(svc.structure.targets)
            for viewer, spatial in ((wide, modes[0] - 1), (narrow, 0)):
                screen = viewer.screen
                assert screen.unreadable == 0
                late = [one for one in screen.shown if one.time >= begin + SETTLED]
                assert {one.spatial for one in late} == {spatial}
                assert len(late) >= 0.9 * 30 * (12 - SETTLED)
                assert longest_gap(late) <= FRAME_SECONDS + 0.3
                # What is said to be sent is what comes.
                expected = sum(1 << place for place, one in enumerate(svc.structure.targets) if one.spatial <= spatial)
                assert {one.active for one in late} == {expected & (1 << targets) - 1}
            assert len(camera.tracks[0].keyframes) <= 4

    simulate(scenario, rtt=RTT)


def test_a_viewer_whose_link_widens_gets_the_larger_picture_with_a_key_frame_and_misses_none() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            viewer = await viewer_of(net, "viewer", WIDE)
            begin = camera.now
            filming = asyncio.create_task(camera.film_layers(26, Svc(2, 3)))
            await asyncio.sleep(8)
            viewer.narrow(down=link(NARROW))
            await asyncio.sleep(8)
            viewer.narrow(down=link(WIDE))
            await filming
            screen = viewer.screen
            assert screen.unreadable == 0 and len(screen.shown) >= 0.93 * 30 * 26
            assert longest_gap([one for one in screen.shown if one.time >= begin + 16]) <= FRAME_SECONDS + 0.3
            assert longest_gap(screen.shown) <= 1.0, "until what waits in the queue is through"
            for since, until, spatial in ((4, 8, 1), (12, 16, 0), (22, 26, 1)):
                assert {
                    one.spatial for one in screen.shown if begin + since <= one.time < begin + until
                } == {spatial}
            late = [one for one in screen.shown if one.time >= begin + 12]
            risen = [after for before, after in pairwise(late) if after.spatial > before.spatial]
            assert risen and all(one.began for one in risen)

    simulate(scenario, rtt=RTT)


@pytest.mark.parametrize(
    ("modes", "narrow"),
    [((2, 3), 300_000), ((3, 3), 300_000), ((3, 1), 300_000), ((3, 3), 700_000), ((3, 1), 700_000)],
)
def test_a_viewer_falls_to_a_smaller_picture_without_a_key_frame(modes: tuple[int, int], narrow: int) -> None:
    """What was begun with the larger one, and is missing of that, must not keep back all that follow."""
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            viewer = await viewer_of(net, "viewer", WIDE)
            begin = camera.now
            filming = asyncio.create_task(camera.film_layers(14, Svc(*modes)))
            await asyncio.sleep(8)
            viewer.narrow(down=link(narrow))
            await filming
            screen = viewer.screen
            assert (screen.unreadable, len(camera.tracks[0].keyframes)) == (0, 1)
            fallen = [one for one in screen.shown if one.time >= begin + 7]
            assert longest_gap(fallen) <= 0.45, "0.25 of it until a full queue is noticed, and 0.2 to get through it"
            assert max(one.spatial for one in fallen if one.time >= begin + 10) < modes[0] - 1

    simulate(scenario, rtt=RTT)


def test_on_a_path_that_loses_every_packet_that_came_can_be_read() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            viewer = await viewer_of(net, "viewer", WIDE, loss=0.1)
            camera.narrow(up=link(WIDE, loss=0.1))
            looking = asyncio.create_task(viewer.look())
            await camera.film_layers(20, Svc(2, 2))
            looking.cancel()
            screen = viewer.screen
            assert screen.unreadable == 0
            assert len([one for one in screen.shown if one.spatial == 1]) >= 0.8 * 30 * 20

    simulate(scenario, rtt=RTT)


def test_another_camera_in_the_same_slot_is_told_apart_by_numbers_that_go_on() -> None:
    async def scenario() -> None:
        async with network() as net:
            cameras = [await camera_of(net, f"camera {place}") for place in range(2)]
            viewer = await viewer_of(net, "viewer", WIDE)
            filming = asyncio.gather(
                cameras[0].film_layers(12, Svc(2, 3, frame=50_000)), cameras[1].film_layers(12, Svc(3, 2, frame=3))
            )
            for turn in range(6):
                viewer.peer.watch([f"camera {turn % 2}-0"])
                await asyncio.sleep(2)
            await filming
            screen = viewer.screen
            assert (screen.unreadable, screen.left) == (0, 0)
            changes = [after for before, after in pairwise(screen.shown) if after.track != before.track]
            assert len(changes) == 5 and all(one.began for one in changes)
            assert longest_gap(screen.shown) <= FRAME_SECONDS + 0.3

    simulate(scenario, rtt=RTT)


def test_who_did_not_ask_for_descriptors_gets_none_and_the_smallest_picture() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await camera_of(net)
            plain, told = await viewer_of(net, "plain", WIDE, describe=False), await viewer_of(net, "told", WIDE)
            await camera.film_layers(6, Svc(2, 2))
            assert {tuple(one.extensions) for one in plain.heard["0"]} == {(NUMBER_ID,)}
            assert all(DESCRIPTOR_ID in one.extensions for one in told.heard["0"] if one.payload)
            assert told.screen.shown[-1].spatial == 1
            packets = plain.heard["0"]
            assert len(packets) < len(told.heard["0"]) / 2
            assert all(one.marker for one in packets), "a picture of its smallest layer is one packet here"

    simulate(scenario, rtt=RTT)


LIES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "garbage": lambda _, dice: dice.randbytes(dice.randint(1, 60)),
    "frames that leap": lambda told, dice: told[:1] + dice.randbytes(2) + told[3:],
    "templates of nothing": lambda told, dice: bytes([told[0] ^ dice.getrandbits(6)]) + told[1:],
    "frames without an end": lambda told, _: bytes([told[0] & 0xBF]) + told[1:],
    "as long as it gets": lambda told, _: told + bytes(255 - len(told)),
}


class Liar(SvcParticipant):
    """What it says of its frames is not so."""

    lie = "garbage"
    dice = random.Random(1)

    def publish_packet(
        self, track: Track, payload: bytes, *, marker: bool = False, extensions: Mapping[int, bytes] | None = None
    ) -> None:
        told = {key: LIES[self.lie](value, self.dice) for key, value in (extensions or {}).items()}
        super().publish_packet(track, payload, marker=marker, extensions=told)


@pytest.mark.parametrize("lie", LIES)
def test_a_camera_that_lies_of_its_frames_spoils_its_own_picture_alone(lie: str) -> None:
    async def scenario() -> None:
        async with network() as net:
            honest, liar = await camera_of(net, "honest"), Liar(net, "liar", publish=("video",), audio_slots=0)
            liar.lie = lie
            await liar.join()
            bystander, victim = await viewer_of(net, "bystander", WIDE), await viewer_of(net, "victim", WIDE)
            bystander.peer.watch(["honest-0"])
            victim.peer.watch(["liar-0"])
            filming = asyncio.gather(honest.film_layers(8, Svc(2, 2)), liar.film_layers(8, Svc(2, 2)))
            await asyncio.sleep(4)
            changed = victim.now
            victim.peer.watch(["honest-0"])
            await filming
            assert (bystander.screen.unreadable, bystander.screen.left) == (0, 0)
            assert len(bystander.screen.shown) >= 30 * 7.8
            after = [one.time for one in victim.screen.shown if one.track == honest.tracks[0].number]
            assert after[0] <= changed + 1 and len(after) >= 30 * 3
            assert liar.peer.sources[0].strays or lie == "frames without an end"

    simulate(scenario, rtt=RTT)
