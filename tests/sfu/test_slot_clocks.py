"""What a listener is told of the clocks of its slots: by them what was captured together can be played together."""

from __future__ import annotations

import asyncio

import pytest

from bench.room.client import Client
from bench.room.network import network, simulate

RATES = {"audio": 48000, "video": 90000}


def apart(sender: Client, viewer: Client) -> float:
    """Seconds between sound and picture that by the clocks last told were captured together."""
    _, clocks = viewer.clocks[-1]
    moments = []
    for mid, kind in sorted(viewer.slot_kinds.items(), key=lambda item: item[1]):
        last = viewer.heard[mid][-1]
        ticks = ((last.timestamp - clocks[mid] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        track = next(track for track in sender.tracks if track.kind == kind)
        moments.append(ticks / RATES[kind] - track.sent[last.number])
    return moments[1] - moments[0]


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_the_clocks_of_sound_and_picture_tell_what_belongs_together_also_after_a_change_of_source(loss: float) -> None:
    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("sender", publish=("audio", "video"), audio_slots=0)
            viewer = await net.join("viewer", publish=(), audio_slots=1, video_slots=1)
            net.shape(up=loss, down=loss)
            await asyncio.gather(sender.speak(4), sender.film(4, track=1))
            assert abs(apart(sender, viewer)) <= 0.02
            await sender.leave()
            other = await net.join("other", publish=("audio", "video"), audio_slots=0)
            await asyncio.gather(other.speak(4), other.film(4, track=1))
            assert abs(apart(other, viewer)) <= 0.02

    simulate(scenario)


def test_clocks_that_go_on_as_they_were_told_are_not_told_again() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("sender", publish=("audio", "video"), audio_slots=0)
            viewer = await net.join("viewer", publish=(), audio_slots=1, video_slots=1)
            begun = viewer.now
            await asyncio.gather(sender.speak(24), sender.film(24, track=1))
            assert viewer.clocks and viewer.clocks[-1][0] < begun + 4

    simulate(scenario)


def test_who_sees_nobody_is_told_of_no_clocks() -> None:
    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("sender", publish=("audio", "video"), audio_slots=0)
            viewer = await net.join("viewer", publish=(), audio_slots=1, video_slots=1)
            await sender.speak(3)
            assert viewer.heard and not viewer.clocks

    simulate(scenario)
