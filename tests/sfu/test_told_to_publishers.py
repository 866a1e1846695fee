"""What a browser makes of the transport-wide feedback on what it publishes, over paths that lose packets."""

from __future__ import annotations

import asyncio

import pytest

from bench.room.browser import Browser
from bench.room.media import RTX, Track
from bench.room.network import network, simulate
from bench.room.participant import NUMBER_ID, Participant
from bench.room.viewer import Viewer
from rtc.wire import rtcp
from rtc.wire.rtp import RtpPacket

PACKETS = 6
"""In each of 30 frames a second: 1.5 Mbit/s."""
RISES_BY = 1.5
"""Libwebrtc's own estimate rises to so many times what it was told has arrived."""
MEASURED_SECONDS = 1.0
"""That is measured over so long."""


class Publisher(Browser, Participant):
    """Reads feedback as libwebrtc does: the last in each packet, each number once; what arrived it sends no more."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.under_way: dict[int, tuple[float, Track, int]] = {}
        """By transport-wide number: when it was sent, and as what."""
        self.told: list[tuple[float, float]] = []
        """When it was told that something has arrived which was sent when."""
        self.asked_in_vain = 0
        """Times that it was asked for what it was told has arrived."""

    def send_rtp(self, packet: RtpPacket) -> None:
        self._resent_bits = 0.0  # it sends again whatever it is asked for
        super().send_rtp(packet)
        if NUMBER_ID in packet.extensions:
            again = packet.payload_type == RTX
            sequence = int.from_bytes(packet.payload[:2], "big") if again else packet.sequence_number
            self.under_way[int.from_bytes(packet.extensions[NUMBER_ID], "big")] = self.now, self.tracks[0], sequence

    def _take_rtcp(self, compound: bytes) -> None:
        packets = rtcp.parse_compound(compound)
        feedback = [packet for packet in packets if isinstance(packet, rtcp.TransportFeedback)]
        for number, delta in feedback[-1].received if feedback else ():
            assert delta is not None
            if number in self.under_way:
                sent, track, sequence = self.under_way.pop(number)
                self.told.append((self.now, sent))
                track.history.pop(sequence, None)
        super()._take_rtcp(compound)

    def _answer_nack(self, track: Track, packet: RtpPacket | None) -> None:
        self.asked_in_vain += packet is None
        super()._answer_nack(track, packet)


@pytest.mark.parametrize(("loss", "least"), [(0.1, 0.98), (0.5, 0.95)])
def test_a_browser_that_loses_much_of_what_it_sends_still_comes_to_think_that_more_would_fit(
    loss: float, least: float
) -> None:
    """It heard of 7 % at half lost: its own estimate stayed as it was when the loss began, or after a probe."""

    async def scenario() -> None:
        async with network() as net:
            camera = Publisher(net, "camera", publish=("video",), audio_slots=0)
            viewer = Viewer(net, "viewer", publish=(), audio_slots=0, video_slots=1)
            for one in (camera, viewer):
                await one.join()
            filming = asyncio.create_task(camera.film30(20, packets=PACKETS))
            await asyncio.sleep(1)
            net.shape(up=loss, down=loss)
            await asyncio.sleep(5)
            begin = camera.now
            given_up = sum(source.nack.given_up for source in camera.peer.sources)
            await asyncio.sleep(8)
            filming.cancel()
            sent = sum(1 for when, _ in camera.told if when >= begin) + sum(
                1 for when, _, _ in camera.under_way.values() if begin - 0.5 <= when < camera.now - 0.5
            )
            recent = [told for told in camera.told if told[0] >= begin and told[0] - told[1] < MEASURED_SECONDS]
            assert len(recent) / sent >= least
            # and all that it was told has arrived is not asked for
            assert sum(source.nack.given_up for source in camera.peer.sources) - given_up <= 1

    simulate(scenario)
