"""Whole calls in virtual time: who hears what, when, in which order, and through which losses."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bench.room.client import Client
from bench.room.media import Heard, Track
from bench.room.network import network, simulate


def runs(heard: list[Heard]) -> list[list[Heard]]:
    """What a slot carried, cut where it changed to another track."""
    cut: list[list[Heard]] = []
    for packet in heard:
        if not cut or cut[-1][-1].track != packet.track:
            cut.append([])
        cut[-1].append(packet)
    return cut


def hears(listener: Client, track: Track) -> list[Heard]:
    """All that a listener got of a track, on whatever slot."""
    return [packet for slot in listener.heard.values() for packet in slot if packet.track == track.number]


def test_in_a_room_of_three_everything_reaches_everybody_once_and_in_order() -> None:
    async def scenario() -> None:
        async with network() as net:
            clients = [
                await net.join(name, publish=("audio", "video"), audio_slots=2, video_slots=2) for name in "abc"
            ]
            await asyncio.gather(
                *(client.speak(3) for client in clients), *(client.film(3, track=1) for client in clients)
            )
            await asyncio.sleep(0.1)
            for listener in clients:
                for slot in listener.heard.values():
                    assert [p.sequence for p in slot] == list(range(slot[0].sequence, slot[0].sequence + len(slot)))
                for sender in clients:
                    for track in sender.tracks:
                        got = hears(listener, track)
                        if sender is listener:
                            assert got == []
                            continue
                        assert [p.number for p in got] == list(range(len(track.sent)))
                        assert all(0.039 <= p.time - track.sent[p.number] <= 0.05 for p in got)
                        ticks = {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(got)}
                        assert ticks == ({960} if track.kind == "audio" else {0, 3600})
                assert listener.refused == 0
            statistics = net.node.statistics()
            assert not statistics.drops.total(), statistics.drops
            assert statistics.media.packets_out["audio"] == 3 * 2 * 150
            assert statistics.media.packets_out["video"] == 3 * 2 * 225

    simulate(scenario)


@pytest.mark.parametrize(("up", "down"), [(0.1, 0.0), (0.0, 0.1), (0.1, 0.1)])
def test_nack_brings_99_percent_of_audio_within_200_ms_at_10_percent_loss(up: float, down: float) -> None:
    async def scenario() -> None:
        async with network() as net:
            speaker = await net.join("speaker")
            listener = await net.join("listener", publish=())
            await asyncio.gather(speaker.speak(2))  # round trips are measured
            net.shape(up=up, clients=[speaker])
            net.shape(down=down, clients=[listener])
            track, begin = speaker.tracks[0], len(speaker.tracks[0].sent)
            await speaker.speak(20)
            await asyncio.sleep(0.5)
            late = [p.time - track.sent[p.number] for p in hears(listener, track) if p.number >= begin]
            in_time = sum(delay <= 0.2 for delay in late)
            assert in_time >= 0.99 * (len(track.sent) - begin)
            assert len({p.number for p in hears(listener, track)}) == len(hears(listener, track))

    simulate(scenario)


@pytest.mark.parametrize(("up", "down"), [(0.3, 0.0), (0.3, 0.3)])
def test_only_what_a_listener_itself_loses_makes_it_get_copies(up: float, down: float) -> None:
    """To a stock receiver, what its speaker lost looks lost as well: numbers never used, and packets that come late."""

    async def scenario() -> None:
        async with network() as net:
            speaker = await net.join("speaker")
            listener = await net.join("listener", publish=())
            await speaker.speak(2)
            net.shape(up=up, clients=[speaker])
            net.shape(down=down, clients=[listener])
            given = []
            for _ in range(20):
                await speaker.speak(0.5)
                given.append(max(slot.protection.copies for slot in listener.peer.slots.values()))
            if down:
                assert max(given) >= 3
            else:
                assert max(given) == 1

    simulate(scenario)


def test_lost_video_comes_back_as_rtx_on_both_ways() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await net.join("camera", publish=("video",), audio_slots=0)
            viewer = await net.join("viewer", publish=(), audio_slots=0, video_slots=1)
            await camera.film(2)
            net.shape(up=0.05, down=0.05)
            await camera.film(10)
            net.shape()
            await camera.film(1)
            got = hears(viewer, camera.tracks[0])
            assert any(p.repaired for p in got)
            assert len({p.number for p in got}) >= 0.995 * len(camera.tracks[0].sent)

    simulate(scenario)


@pytest.mark.parametrize("rtt", [0.0, 0.04, 0.2])
def test_a_late_joiner_sees_a_picture_within_a_round_trip(rtt: float) -> None:
    async def scenario() -> None:
        async with network() as net:
            net.rtt = rtt
            camera = await net.join("camera", publish=("video",), audio_slots=0)
            filming = asyncio.create_task(camera.film(6))
            await asyncio.sleep(2)
            viewer = await net.join("viewer", publish=(), audio_slots=0, video_slots=1)
            begin = viewer.now
            await filming
            first = hears(viewer, camera.tracks[0])[0]
            assert first.is_key
            # Half a round trip for the server to learn, one for the key frame, half for it to come, one frame.
            assert first.time - begin <= 2 * rtt + 0.08
            assert len(camera.tracks[0].keyframes) == 2

    simulate(scenario, rtt=rtt)


def test_ten_viewers_who_come_at_once_cost_the_camera_few_key_frames() -> None:
    async def scenario() -> None:
        async with network() as net:
            camera = await net.join("camera", publish=("video",), audio_slots=0)
            filming = asyncio.create_task(camera.film(5))
            await asyncio.sleep(1)
            viewers = [Client(net, f"v{i}", publish=(), audio_slots=0, video_slots=1) for i in range(10)]
            await asyncio.gather(*(viewer.join() for viewer in viewers))
            await filming
            assert all(hears(viewer, camera.tracks[0]) for viewer in viewers)
            assert len(camera.tracks[0].keyframes) <= 3

    simulate(scenario)


def test_mute_stops_packets_at_once_and_unmute_goes_on_without_a_gap() -> None:
    async def scenario() -> None:
        async with network() as net:
            speaker = await net.join("speaker", publish=("audio", "video"), audio_slots=0)
            listener = await net.join("listener", publish=(), audio_slots=1, video_slots=1)
            talking = asyncio.create_task(speaker.speak(6))
            filming = asyncio.create_task(speaker.film(6, track=1))
            await asyncio.sleep(2)
            for mid in "01":
                speaker.peer.set_muted(f"speaker-{mid}", True)
            muted_at = listener.now
            await asyncio.sleep(2)
            for mid in "01":
                speaker.peer.set_muted(f"speaker-{mid}", False)
            unmuted_at = listener.now
            plis = len([t for t in speaker.tracks[1].plis if muted_at < t < unmuted_at])
            assert plis == 0, "a muted camera is asked for no key frames"
            await talking
            await filming
            await asyncio.sleep(0.1)
            for slot in listener.heard.values():
                assert not [p for p in slot if muted_at + 0.021 < p.time < unmuted_at]
                after = [p for p in slot if p.time >= unmuted_at]
                assert after[0].time - unmuted_at <= (0.045 if slot is listener.heard["0"] else 0.13)
                assert [p.sequence for p in slot] == list(range(slot[0].sequence, slot[0].sequence + len(slot)))
                assert all(0 <= (b.timestamp - a.timestamp) & 0xFFFFFFFF < 0x1000000 for a, b in pairwise(slot))
            assert next(p for p in listener.heard["1"] if p.time >= unmuted_at).is_key

    simulate(scenario)


def test_of_twenty_speakers_the_loudest_four_are_heard_without_slots_flapping() -> None:
    async def scenario() -> None:
        async with network() as net:
            speakers = [Client(net, f"s{i:02}", audio_slots=0) for i in range(20)]
            listener = await net.join("listener", publish=(), audio_slots=4)
            for i, speaker in enumerate(speakers):
                speaker.tracks[0].level = -10 if i in {3, 8, 13, 18} else -30
                await speaker.join()
            await asyncio.gather(*(speaker.speak(4) for speaker in speakers))
            loud = {speakers[i].tracks[0].number for i in (3, 8, 13, 18)}
            begin = min(speakers[0].tracks[0].sent.values()) + 1.0
            assert {p.track for slot in listener.heard.values() for p in slot if p.time > begin} == loud
            for slot in listener.heard.values():
                assert len(runs([p for p in slot if p.time > begin])) == 1
                assert [p.sequence for p in slot] == list(range(slot[0].sequence, slot[0].sequence + len(slot)))

    simulate(scenario)


def test_equally_loud_speakers_do_not_chase_each_other_out_of_the_slots() -> None:
    async def scenario() -> None:
        async with network() as net:
            listener = await net.join("listener", publish=(), audio_slots=2)
            speakers = [await net.join(f"s{i}", audio_slots=0) for i in range(6)]

            async def waver(speaker: Client, phase: int) -> None:
                for step in range(20):
                    speaker.tracks[0].level = -20 - (step + phase) % 3
                    await speaker.speak(0.2)

            await asyncio.gather(*(waver(speaker, i) for i, speaker in enumerate(speakers)))
            for slot in listener.heard.values():
                assert len(runs(slot)) <= 5

    simulate(scenario)


def test_another_camera_in_the_slot_makes_no_glitch_in_the_numbers() -> None:
    async def scenario() -> None:
        async with network() as net:
            cameras = [await net.join(name, publish=("video",), audio_slots=0) for name in "ab"]
            viewer = await net.join("viewer", publish=(), audio_slots=0, video_slots=1)
            filming = [asyncio.create_task(camera.film(6)) for camera in cameras]
            for wanted in ("a-0", "b-0", "a-0"):
                viewer.peer.watch([wanted])
                await asyncio.sleep(2)
            await asyncio.gather(*filming)
            (slot,) = viewer.heard.values()
            shown = runs(slot)
            numbers = [camera.tracks[0].number for camera in cameras]
            assert [run[0].track for run in shown] == [numbers[0], numbers[1], numbers[0]]
            assert all(run[0].is_key for run in shown)
            assert [p.sequence for p in slot] == list(range(slot[0].sequence, slot[0].sequence + len(slot)))
            steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(slot)]
            assert max(steps) <= 90000 * 0.2, "time goes on with the clock on the wall"

    simulate(scenario)


@pytest.mark.parametrize("declared", [True, False])
def test_a_publisher_with_a_new_ssrc_goes_on_where_it_was(declared: bool) -> None:
    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("s", publish=("audio", "video"), audio_slots=0, declare_ssrcs=declared)
            listener = await net.join("l", publish=(), audio_slots=1, video_slots=1)
            for _ in range(3):
                await asyncio.gather(sender.speak(1), sender.film(1, track=1))
                sender.renew(0)
                sender.renew(1)
            await asyncio.sleep(0.1)
            for track in sender.tracks:
                got = hears(listener, track)
                assert [p.number for p in got] == list(range(len(track.sent)))
                assert [p.sequence for p in got] == list(range(got[0].sequence, got[0].sequence + len(got)))
                assert all((b.timestamp - a.timestamp) & 0xFFFFFFFF <= 9000 for a, b in pairwise(got))

    simulate(scenario)


def test_a_codec_change_starts_at_its_key_frame() -> None:
    """The key frame that begins the new codec must not be thrown away while the listeners wait for one."""

    async def scenario() -> None:
        async with network() as net:
            camera = await net.join("c", publish=("video",), audio_slots=0)
            viewer = await net.join("v", publish=(), audio_slots=0, video_slots=1)
            await camera.film(1)
            camera.tracks[0].payload_type = 98
            camera.publish_packet(camera.tracks[0], b"\x65" + bytes(100), marker=True)  # an IDR slice
            await asyncio.sleep(0.1)
            got = hears(viewer, camera.tracks[0])
            assert got[-1].payload_type == 98 and got[-1].number == len(camera.tracks[0].sent) - 1
            assert got[-1].sequence == got[-2].sequence + 1

    simulate(scenario)


def test_after_a_long_outage_the_picture_comes_back_without_the_viewer_asking() -> None:
    """More is missing than can be numbered: the stream starts anew, and the server asks for the key frame."""

    async def scenario() -> None:
        async with network() as net:
            camera = await net.join("c", publish=("video",), audio_slots=0)
            viewer = await net.join("v", publish=(), audio_slots=0, video_slots=1)
            await camera.film(1)
            camera.tracks[0].sequence += 20_000
            back = camera.now
            await camera.film(1)
            after = [p for p in hears(viewer, camera.tracks[0]) if p.time > back + 0.02]
            assert after and after[0].is_key and after[0].time - back <= 0.2

    simulate(scenario)


def test_audio_and_video_of_one_publisher_are_mapped_to_the_same_clock() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("s", publish=("audio", "video"), audio_slots=0)
            listener = await net.join("l", publish=(), audio_slots=1, video_slots=1)
            await asyncio.gather(sender.speak(4), sender.film(4, track=1))
            moments = []
            for mid, rate in (("0", 48000), ("1", 90000)):
                ssrc = next(s for s, m in listener._ssrcs.items() if m == mid)
                report, last = listener.reports[ssrc], listener.heard[mid][-1]
                ahead = ((last.timestamp - report.rtp_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
                played = report.ntp / 2**32 + ahead / rate
                track = sender.tracks[int(mid)]
                moments.append(played - track.sent[last.number])
            assert moments[0] == pytest.approx(moments[1], abs=0.005)

    simulate(scenario)


def test_who_has_a_place_but_no_connection_is_not_looked_after_until_it_comes() -> None:
    async def scenario() -> None:
        async with network() as net:
            absent = Client(net, "absent")
            peer = net.room.join("expected", absent)
            await asyncio.sleep(1)
            assert net.room.agenda.due(now=asyncio.get_running_loop().time() + 3600) == []
            assert peer.state == "new"
            net.room.remove(peer)

            speaker, listener = await net.join("speaker", publish=("audio",)), await net.join("listener", audio_slots=1)
            await speaker.speak(1)
            assert len(hears(listener, speaker.tracks[0])) == 50

    simulate(scenario)
