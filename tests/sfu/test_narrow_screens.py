"""A screen of text on links that a page of it does not fit through at once: late, but whole."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from statistics import median

import pytest

from bench.room.camera import FRAME, PACKET, shown
from bench.room.network import network, simulate
from bench.room.participant import Participant
from rtc.netem import LinkProfile
from rtc.wire import rtcp

RTT = 0.04
PAGE, CHANGE = 73_000, 1_500
"""Bytes of a page as VP8 makes it at the coarsest (Chromium, 1280x720, 40 lines of 14 px), and of what moves on it."""
FRAME_SECONDS = 0.4
"""Chromium sends two or three a second of such a screen at 150 kbit/s."""
PATIENCE = 3.0
TURN_SECONDS = 10.0
"""A page stands for so long."""
BEGINS = (0.0, 0.17, 0.31, 0.5, 0.77)
"""When sharing begins, seconds: whether a page just fits in before the next is luck, so the middle one counts."""


class Screen(Participant):
    """Sends pages, and a small change between them; a key frame is a page, too."""

    async def share(self, seconds: float) -> None:
        one, end, turn = self.tracks[0], self.now + seconds, 0.0
        number = 0
        while self.now < end:
            key, one.wants_keyframe = one.wants_keyframe, False
            if key:
                one.keyframes.append(self.now)
            whole = key or self.now >= turn
            if whole:
                turn = self.now + TURN_SECONDS
            self._send(number, PAGE if whole else CHANGE, key=key)
            number += 1
            one.timestamp += round(90_000 * FRAME_SECONDS)
            # Its encoder leaves out frames until a page is paid for.
            await asyncio.sleep(8 * PAGE / 200_000 if whole else FRAME_SECONDS)

    def _send(self, number: int, size: int, *, key: bool) -> None:
        one = self.tracks[0]
        one.picture += 1
        parts = -(-size // PACKET)
        for part in range(parts):
            head = bytes([
                0x90 if part == 0 else 0x80, 0x80, 0x80 | one.picture >> 8 & 0x7F, one.picture & 0xFF,
            ])
            body = bytes([not key, 0, 0, 0x9D, 1, 0x2A, 0, 0, 0xD0, 2]) if part == 0 else b""
            names = FRAME.pack(number, number if key else number - 1, parts, part)
            self.publish_packet(one, head + body + bytes(PACKET - len(body)) + names, marker=part == parts - 1)


class Viewer(Participant):
    """Asks for a key frame when it has shown nothing for long, as libwebrtc does."""

    async def look(self) -> None:
        seen, since = 0, self.now
        while True:
            await asyncio.sleep(1)
            count = len(shown(self.heard["0"]))
            if count > seen:
                seen, since = count, self.now
            elif self.now - since >= PATIENCE:
                (ssrc,) = self._ssrcs
                self.send_rtcp([rtcp.ReceiverReport(self.ssrc), rtcp.PictureLossIndication(self.ssrc, ssrc)])


@pytest.mark.parametrize("bitrate", [250_000, 400_000])
def test_pages_of_text_come_whole_on_a_link_that_takes_seconds_for_each(bitrate: int) -> None:
    counts: list[int] = []
    keyframes: list[int] = []

    async def scenario(begins: float) -> None:
        async with network() as net:
            screen = Screen(net, "screen", publish=("video",), audio_slots=0)
            await screen.join(publish=False)
            screen.peer.publish("0", publication_id="screen-0", patient=True)
            viewer = Viewer(net, "viewer", publish=(), audio_slots=0, video_slots=1)
            await viewer.join()
            viewer.narrow(down=LinkProfile(bandwidth=bitrate, queue=0.3, delay=RTT / 2))
            await asyncio.sleep(begins)
            begin = viewer.now
            looking = asyncio.create_task(viewer.look())
            await screen.share(70)
            await asyncio.sleep(8)
            looking.cancel()
            frames = [at - begin for at, _ in shown(viewer.heard["0"])]
            assert frames[0] <= 10, "the first page, once it is known how narrow the link is"
            assert max(after - before for before, after in pairwise(frames)) <= TURN_SECONDS
            counts.append(len(frames))
            keyframes.append(len(screen.tracks[0].keyframes))

    for begins in BEGINS:
        simulate(partial(scenario, begins), rtt=RTT)
    assert median(counts) >= 110, counts
    assert median(keyframes) <= 4, "each would be another page"
