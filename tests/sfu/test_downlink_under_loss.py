"""What is thought of a path that loses by chance: it is not narrow, whatever feedback and copies are lost as well."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.room.browser import Browser
from bench.room.network import Network, network, simulate
from bench.room.participant import Participant
from rtc.netem import LinkProfile


class Viewer(Browser, Participant):
    """Asks again as browsers do, and tells when each packet came."""


async def camera_and_viewer(net: Network) -> tuple[Viewer, Viewer]:
    camera = Viewer(net, "camera", publish=("video",), audio_slots=0, rids=("q", "h", "f"))
    await camera.join()
    viewer = Viewer(net, "viewer", publish=(), audio_slots=0, video_slots=1)
    await viewer.join()
    return camera, viewer


def rids_seen(camera: Viewer, viewer: Viewer, since: float) -> set[str]:
    of_track = {track.number: track.rid for track in camera.tracks}
    return {of_track[one.track] for one in viewer.heard["0"] if one.payload and one.time >= since}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5])
def test_a_viewer_who_loses_by_chance_keeps_the_best_picture(loss: float, seed: int) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_and_viewer(net)
            await camera.film_simulcast(4)
            net.shape(up=loss, down=loss, clients=[viewer])
            await camera.film_simulcast(4)
            asked, begin = sum(len(track.plis) for track in camera.tracks), viewer.now
            await camera.film_simulcast(16)
            assert rids_seen(camera, viewer, begin) == {"f"}
            assert all(quality.limit == "" for _, each in viewer.qualities for quality in each)
            assert sum(len(track.plis) for track in camera.tracks) == asked
            # Copies that came after feedback had called their packet lost, in feedback that was lost, are not known of.
            assert loss - 0.05 <= viewer.peer.downlink.copies.path_loss <= loss + 0.2

    simulate(scenario, seed=seed)


def test_a_viewer_whose_link_is_narrow_and_lossy_gets_what_fits() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_and_viewer(net)
            viewer.narrow(down=LinkProfile(bandwidth=900_000, queue=0.2, delay=net.rtt / 2, loss=0.1))
            begin = viewer.now
            await camera.film_simulcast(20)
            way = viewer.way(up=False)
            assert way.queue_dropped <= 0.01 * way.sent
            got = [one for one in viewer.heard["0"] if one.time >= begin + 4 and one.payload]
            assert 8 * sum(len(one.payload) + 60 for one in got) / 16 >= 0.35 * 900_000
            assert max(after.time - before.time for before, after in pairwise(got)) <= 0.5

    simulate(scenario)


@pytest.mark.parametrize("temporal", [True, False])
def test_a_viewer_whose_link_narrows_to_a_seventh_and_widens_again_sees_no_long_freeze(temporal: bool) -> None:
    async def scenario() -> None:
        async with network() as net:
            camera, viewer = await camera_and_viewer(net)
            wide, narrow = (
                LinkProfile(bandwidth=rate, queue=0.2, delay=net.rtt / 2) for rate in (2_000_000, 300_000)
            )
            viewer.narrow(down=wide)
            await camera.film_simulcast(10, temporal=temporal)
            viewer.narrow(down=narrow)
            narrowed = viewer.now
            await camera.film_simulcast(10, temporal=temporal)
            viewer.narrow(down=wide)
            widened = viewer.now
            await camera.film_simulcast(11, temporal=temporal)
            whole: dict[int, float] = {}
            for one in viewer.heard["0"]:
                if one.payload and one.time >= narrowed - 1:
                    whole[one.timestamp] = one.time  # its last packet, or what repaired it
            shown = sorted(whole.values())
            assert max(after - before for before, after in pairwise(shown)) <= 1.0
            of_track = {track.number: track.rid for track in camera.tracks}
            late = [of_track[one.track] for one in viewer.heard["0"] if one.payload and one.time >= widened + 6]
            if temporal:
                assert late.count("f") >= 0.8 * len(late)
            else:
                assert late.count("q") <= 0.2 * len(late)

    simulate(scenario)
