"""A camera in two sizes: what is offered, encoded and sent, and which listener gets which."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from test_client_link import bars, shows_bars

from bench.audio.call import Client
from bench.audio.network import SERVER
from bench.video.stock import FPS, Film
from bench.virtual import Address, clocks, run
from bench.virtual_udp import open_virtual_udp
from rtc.client.outgoing import OutgoingStream
from rtc.client.repairs import Repairs
from rtc.client.simulcast import BITRATE_STEPS, MAX_BITRATE, MIN_BITRATE, RIDS, scales_of, share
from rtc.client.tracks import RemoteVideoTrack
from rtc.client.video_buffer import VideoBuffer
from rtc.client.video_layer import OWED_SECONDS
from rtc.client.video_receiver import VideoReceiver
from rtc.client.video_sender import VideoSender
from rtc.netem import Link, LinkProfile
from rtc.sfu import Node
from rtc.wire.rtp import RtpPacket

SMALL, LARGE = RIDS
MEDIA = {"VP8": 97, "H264": 99}


@pytest.mark.parametrize(
    ("width", "height", "layers", "scales"),
    [
        (640, 480, 2, (2, 1)), (1280, 720, 2, (2, 1)), (480, 270, 2, (2, 1)), (270, 480, 2, (2, 1)),
        (320, 240, 2, (1,)), (478, 270, 2, (1,)), (640, 480, 1, (1,)),
    ],
)  # fmt: skip
def test_only_large_pictures_are_sent_in_two_sizes(
    width: int, height: int, layers: int, scales: tuple[int, ...]
) -> None:
    assert scales_of(width, height, layers) == scales


@pytest.mark.parametrize(
    ("available", "lines", "shares"),
    [
        (5_000_000, [240, 480], [200_000, MAX_BITRATE]),
        (1_000_000, [240, 480], [200_000, 710_000]),
        (450_000, [240, 480], [200_000, MIN_BITRATE]),
        (449_000, [240, 480], [200_000, 0]),
        (90_000, [240, 480], [80_000, 0]),
        (0, [240, 480], [80_000, 0]),
        (0, [480], [MIN_BITRATE]),
        (5_000_000, [480], [MAX_BITRATE]),
        (5_000_000, [120], [150_000]),
        (5_000_000, [], []),
    ],
)
def test_the_larger_size_gets_what_the_smaller_leaves_and_nothing_if_that_is_too_little(
    available: int, lines: list[int], shares: list[int]
) -> None:
    assert share(available, lines) == shares


@pytest.mark.parametrize("available", [0, 30_000, 250_000, 400_000, 999_999, 5_000_000])
def test_a_wandering_estimate_does_not_rebuild_the_encoder_all_the_time(available: int) -> None:
    (bitrate,) = share(available, [480])
    assert bitrate in BITRATE_STEPS and MIN_BITRATE <= bitrate <= max(available, MIN_BITRATE)


class Sent:
    """A sender of two sizes, and what it has sent, by SSRC."""

    def __init__(self, codec: str, executor: ThreadPoolExecutor) -> None:
        self.codec = codec
        self.streams = [OutgoingStream(ssrc=7 + n, clock_rate=90000, rid=rid) for n, rid in enumerate(RIDS)]
        for stream in self.streams:
            stream.extensions = {1: b"1", 5: stream.rid.encode()}
        self.sender = VideoSender(self.streams, codec=codec, payload_type=MEDIA[codec], executor=executor)
        self.receivers = [
            VideoReceiver(ssrc=stream.ssrc, local_ssrc=9, codecs={MEDIA[codec]: codec}, rtx={}, executor=executor)
            for stream in self.streams
        ]
        self.packets: list[RtpPacket] = []
        self._index = 0

    async def film(self, pictures: int) -> list[RtpPacket]:
        """Packets of so many pictures of 640x480."""
        self.packets = []
        for _ in range(pictures):
            now = self._index / 30
            for data in await self.sender.encode(bars(self._index, 640, 480), now=now):
                self.packets.append(RtpPacket.parse(data))
                self.receivers[self.packets[-1].ssrc - 7].receive(RtpPacket.parse(data), now=now)
            self._index += 1
        return self.packets

    def kilobits(self, layer: int, pictures: int) -> float:
        """Per second."""
        return sum(len(one.payload) for one in self.packets if one.ssrc == 7 + layer) * 8 * 30 / pictures / 1000


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_both_sizes_can_be_seen_and_say_what_they_are(codec: str) -> None:
    with ThreadPoolExecutor(1) as executor:
        sent = Sent(codec, executor)
        packets = await sent.film(20)
        assert {(one.ssrc, one.extensions[5]) for one in packets} == {(7, SMALL.encode()), (8, LARGE.encode())}
        for receiver, (width, height) in zip(sent.receivers, ((320, 240), (640, 480)), strict=True):
            picture = None
            while len(receiver.buffer.frames) > 1:
                picture = await receiver.next_picture()
            assert picture is not None and (picture.width, picture.height) == (width, height)
            assert shows_bars(picture.reformat(width=320, height=240))
        assert [(one.rid, one.height) for one in sent.sender.statistics.layers] == [(SMALL, 240), (LARGE, 480)]
        assert sent.sender.statistics.frames_encoded == 20


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_what_nobody_wants_is_not_encoded_and_begins_with_a_key_frame_when_it_is_wanted_again(
    codec: str,
) -> None:
    with ThreadPoolExecutor(1) as executor:
        sent = Sent(codec, executor)
        await sent.film(5)
        sent.sender.want({LARGE})
        assert {one.ssrc for one in await sent.film(12)} == {8}
        assert [layer.frames_encoded for layer in sent.sender.statistics.layers] == [5, 17]
        before = [layer.keyframes for layer in sent.sender.statistics.layers]
        sent.sender.want({SMALL, LARGE})
        assert {one.ssrc for one in await sent.film(2)} == {7, 8}
        assert [layer.keyframes for layer in sent.sender.statistics.layers] == [before[0] + 1, before[1]]
        sent.sender.want(())
        assert await sent.film(2) == [] and not any(layer.active for layer in sent.sender.statistics.layers)


async def test_a_key_frame_is_made_in_the_size_that_is_asked_for() -> None:
    with ThreadPoolExecutor(1) as executor:
        sent = Sent("VP8", executor)
        await sent.film(15)
        sent.sender.request_keyframe(8)
        await sent.film(2)
        assert [layer.keyframes for layer in sent.sender.statistics.layers] == [1, 2]
        sent.sender.request_keyframe(1234)
        await sent.film(12)
        assert sent.sender.statistics.keyframes == 3


async def test_without_room_for_both_only_the_small_size_is_sent() -> None:
    with ThreadPoolExecutor(1) as executor:
        sent = Sent("VP8", executor)
        sent.sender.set_bitrate(300_000)
        assert {one.ssrc for one in await sent.film(10)} == {7}
        sent.sender.set_bitrate(2_000_000)
        assert {one.ssrc for one in await sent.film(10)} == {7, 8}


async def test_a_picture_that_no_encoder_makes_small_enough_is_left_out_rather_than_the_rate_exceeded() -> None:
    dice, bitrate = np.random.default_rng(1), 200_000
    stream = OutgoingStream(ssrc=7, clock_rate=90000)
    with ThreadPoolExecutor(1) as executor:
        sender = VideoSender((stream,), codec="VP8", payload_type=97, executor=executor)
        sender.set_bitrate(bitrate)
        sizes = []
        for number in range(300):
            snow = av.VideoFrame.from_ndarray(dice.integers(0, 60, (360, 320), np.uint8), format="yuv420p")
            snow.pts, snow.time_base = number * 3000, Fraction(1, 90000)
            sizes.append(8 * sum(map(len, await sender.encode(snow, now=number / FPS))))
    (layer,) = sender.statistics.layers
    assert layer.frames_skipped > 10 and layer.frames_encoded + layer.frames_skipped == 300
    assert sum(sizes) <= bitrate * (300 / FPS + OWED_SECONDS) + max(sizes)
    assert any(sizes[150:]), "it goes on"


@pytest.mark.parametrize("available", [100_000, 1_000_000])
def test_what_is_sent_again_takes_half_of_the_rate_at_most_and_is_taken_from_the_pictures(available: int) -> None:
    repairs = Repairs(available)
    sent = sum(1000 for turn in range(3000) if repairs.take(1000, now=turn / 1000)) * 8 / 3
    assert available / 2 * 0.7 <= sent <= available / 2
    assert available / 2 <= repairs.left(now=3.0) <= available * 0.7
    assert repairs.left(now=10.0) == available


def test_a_flood_of_nacks_is_answered_within_that() -> None:
    stream = OutgoingStream(ssrc=7, clock_rate=90000)
    stream.repairs = Repairs(1_000_000)
    packets = [RtpPacket.parse(stream.packet(97, bytes(1000), 0, now=0.0)).sequence_number for _ in range(60)]
    answers = [data for turn in range(100) for data in stream.resend(packets, now=1 + turn * 0.02)]
    assert 0.7 <= sum(map(len, answers)) * 8 / (500_000 * 2) <= 1


def test_a_retransmission_says_which_size_it_repairs_and_when_it_left() -> None:
    stream = OutgoingStream(ssrc=7, clock_rate=90000, rtx_ssrc=8, rid=SMALL)
    stream.rtx_payload_types = {97: 98}
    stream.extensions, stream.rtx_extensions, stream.send_time_id = {1: b"1", 5: b"q"}, {1: b"1", 6: b"q"}, 3
    first = RtpPacket.parse(stream.packet(97, b"payload", 0, now=1.0))
    (again,) = (RtpPacket.parse(data) for data in stream.resend([first.sequence_number], now=2.0))
    assert (first.extensions[5], again.extensions[6]) == (b"q", b"q") and 5 not in again.extensions
    assert first.extensions[3] != again.extensions[3]


def test_a_place_that_is_filled_with_nothing_is_neither_waited_for_nor_decoded() -> None:
    buffer = VideoBuffer()
    for number, payload in enumerate([b"\x10\x00\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00", b"", b"\x10\x01more"]):
        buffer.insert(number, RtpPacket(97, number, 3000 * number, 7, True, payload, {}), "VP8", now=0.0)
    assert [frame.timestamp for frame in buffer.frames] == [0, 6000]


# --- a whole call, in virtual time


CAMERA, NARROW, WIDE = "10.0.0.2", "10.0.0.3", "10.0.0.4"
RTT = 0.04
NARROW_BITRATE = 350_000
WIDTH, HEIGHT = 480, 272
"""Just enough for two sizes."""


class Watching:
    """A listener that reads what it sees."""

    def __init__(self, client: Client) -> None:
        self.seen: list[tuple[float, int]] = []
        """When which height was seen."""
        track = RemoteVideoTrack("camera", CAMERA)
        track.attach(client.media.video[client.events.carried["camera"]])
        self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: RemoteVideoTrack) -> None:
        while True:
            picture = await track.recv()
            self.seen.append((asyncio.get_running_loop().time(), picture.height))

    def heights(self, since: float) -> set[int]:
        return {height for moment, height in self.seen if moment >= since}

    def longest_gap(self, since: float) -> float:
        times = [moment for moment, _ in self.seen if moment >= since]
        return max(after - before for before, after in pairwise(times))

    async def stop(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


def test_a_narrow_listener_gets_the_small_size_and_a_wide_one_the_large_until_the_link_widens() -> None:
    links: dict[tuple[str, str], Link] = {}

    def between(source: Address, target: Address) -> Link:
        hosts = source[0], target[0]
        return links.setdefault(hosts, Link(LinkProfile(delay=RTT / 2), seed=f"{hosts}"))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with clocks():
            async with AsyncExitStack() as stack:
                node = Node(await open_virtual_udp(*SERVER), (SERVER[0],))
                stack.push_async_callback(node.close)
                room = node.create_room("room")
                camera, narrow, wide = clients = [
                    Client(CAMERA, room), Client(NARROW, room, video_slots=1), Client(WIDE, room, video_slots=1),
                ]  # fmt: skip
                for client in clients:
                    stack.push_async_callback(client.close)
                    await client.connect()
                down = links[SERVER[0], NARROW]
                down.profile = LinkProfile(delay=RTT / 2, bandwidth=NARROW_BITRATE, queue=0.2)
                publication = await camera.publish(Film(grain=True, width=WIDTH, height=HEIGHT), "camera")
                stack.push_async_callback(publication.stop)
                small_view, large_view = Watching(narrow), Watching(wide)
                stack.push_async_callback(small_view.stop)
                stack.push_async_callback(large_view.stop)
                await asyncio.sleep(6)
                settled = loop.time()
                await asyncio.sleep(3)
                assert (small_view.heights(settled), large_view.heights(settled)) == ({HEIGHT // 2}, {HEIGHT})
                assert len([moment for moment, _ in large_view.seen if moment >= settled]) > 0.95 * 3 * FPS
                small, large = statistics = publication.statistics().video.layers  # type: ignore[union-attr]
                assert all(layer.active for layer in statistics) and small.target_bitrate < large.target_bitrate

                down.profile = LinkProfile(delay=RTT / 2)
                widened = loop.time()
                await asyncio.sleep(12)
                assert small_view.heights(widened + 8) == {HEIGHT}
                assert small_view.longest_gap(widened) < 0.5
                encoded = publication.statistics().video.layers[0]  # type: ignore[union-attr]
                assert not encoded.active, "nobody receives it"

                down.profile = LinkProfile(delay=RTT / 2, bandwidth=NARROW_BITRATE, queue=0.2)
                narrowed = loop.time()
                await asyncio.sleep(6)
                assert small_view.heights(narrowed + 4) == {HEIGHT // 2}
                assert large_view.heights(narrowed) == {HEIGHT}
                assert large_view.longest_gap(settled) < 0.5

    run(main(), link_between=between)
