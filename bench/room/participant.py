"""Participants who follow and give feedback as browsers do, behind links that carry only so much."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import cached_property

from bench.room.client import Client
from bench.room.media import OPUS, RTX, VP8
from bench.room.network import SERVER
from bench.virtual import VirtualLoop
from rtc.netem import HEADER_BYTES, Link, LinkProfile
from rtc.wire import rtcp
from rtc.wire.extensions import ABS_SEND_TIME, TRANSPORT_CC, pack_abs_send_time, pack_transport_cc
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper
from rtc.wire.twcc import DELTA_TICK, REFERENCE_TICK, TransportFeedback

SEND_TIME_ID, NUMBER_ID = 2, 3
START_BITRATE = 300_000
FRAME_SECONDS = 1 / 30
PACKET = 1100
PACING = 2.5
FEEDBACK_SECONDS = 0.05
REMEMBERED_SECONDS = 0.5
KEYFRAME_RATIO = 4


class Participant(Client):
    """A client that paces its camera to what it is told, and tells when each packet of video arrived."""

    most = 1_700_000
    """bit/s that its encoder makes at most."""
    remb = START_BITRATE
    obeys = True
    _resent_bits = 0.0

    @cached_property
    def bits_sent(self) -> list[tuple[float, int]]:
        """When, and how many."""
        return []

    def offer(self) -> str:
        """With times of sending and transport-wide numbers."""
        lines = []
        kind = ""
        for line in super().offer().split("\r\n"):
            lines.append(line)
            if line.startswith("m="):
                kind = line[2:7]
            if line.startswith("a=mid:") and kind == "video":
                lines += [f"a=extmap:{SEND_TIME_ID} {ABS_SEND_TIME}", f"a=extmap:{NUMBER_ID} {TRANSPORT_CC}"]
            if line.startswith(f"a=rtpmap:{VP8} "):
                lines += [f"a=rtcp-fb:{VP8} goog-remb", f"a=rtcp-fb:{VP8} transport-cc"]
        return "\r\n".join(lines)

    def way(self, *, up: bool) -> Link:
        """One direction of its link."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.link(self.address, SERVER) if up else loop.link(SERVER, self.address)

    def send(self, datagram: bytes) -> None:
        """Send, and count."""
        self.bits_sent.append((self.now, 8 * (len(datagram) + HEADER_BYTES)))
        super().send(datagram)

    def sent_bits(self, begin: float, end: float) -> float:
        """bit/s that it put on its link."""
        return sum(size for when, size in self.bits_sent if begin <= when < end) / (end - begin)

    def narrow(self, *, up: LinkProfile | None = None, down: LinkProfile | None = None) -> None:
        """From now on its link is like this; as before where nothing is said."""
        if up is not None:
            self.way(up=True).profile = up
        if down is not None:
            self.way(up=False).profile = down

    async def camera(self, seconds: float, *, track: int = 0) -> None:
        """Send pictures at what the server says fits, paced as libwebrtc does."""
        one = self.tracks[track]
        owed, end, dice = 0.0, self.now + seconds, random.Random(self.name)
        while self.now < end:
            began = self.now
            # What is sent again takes its share of what fits, up to a half (libwebrtc's protection overhead).
            again = min(self._resent_bits, self.remb / 2)
            self._resent_bits *= 1 - FRAME_SECONDS
            target = min(self.remb - again, self.most) if self.obeys else self.most
            owed += target * FRAME_SECONDS / 8 * dice.uniform(0.7, 1.3)
            key, one.wants_keyframe = one.wants_keyframe, False
            size = max(owed, KEYFRAME_RATIO * target * FRAME_SECONDS / 8 if key else 0.0, 100.0)
            owed -= size
            if key:
                one.keyframes.append(self.now)
            parts = list(self._parts(int(size)))
            for place, part in enumerate(parts):
                head = (b"\x10" if place == 0 else b"\x00") + (b"\x00" if key else b"\x01")
                self.publish_packet(one, head + bytes(part), marker=place == len(parts) - 1)
                await asyncio.sleep((part + 60) * 8 / (PACING * max(target, START_BITRATE / 4)))
            one.timestamp += 3000
            await asyncio.sleep(max(0.0, began + FRAME_SECONDS - self.now))

    @staticmethod
    def _parts(size: int) -> Iterator[int]:
        while size > 0:
            yield min(size, PACKET)
            size -= PACKET

    def send_rtp(self, packet: RtpPacket) -> None:
        """Send with a number of its own; no more again than it may."""
        if packet.payload_type == RTX:
            if self._resent_bits > self.remb:
                return
            self._resent_bits += len(packet.payload) * 8
        if packet.payload_type != OPUS:
            self._number = getattr(self, "_number", -1) + 1
            packet.extensions = {
                **packet.extensions, SEND_TIME_ID: pack_abs_send_time(self.now),
                NUMBER_ID: pack_transport_cc(self._number),
            }
        super().send_rtp(packet)

    def _take_rtp(self, packet: RtpPacket) -> None:
        number = packet.extensions.get(NUMBER_ID)
        if number is not None:
            self._note_arrival(int.from_bytes(number, "big"))
        super()._take_rtp(packet)

    def _take_rtcp(self, compound: bytes) -> None:
        for packet in rtcp.parse_compound(compound):
            if isinstance(packet, rtcp.ReceiverEstimate):
                self.remb = packet.bitrate
        super()._take_rtcp(compound)

    def _note_arrival(self, number: int) -> None:
        if not hasattr(self, "_numbers"):
            self._numbers, self._arrived, self._next, self._count = Unwrapper(), dict[int, float](), -1, 0
            self._tasks.append(asyncio.create_task(self._feed_back()))
        self._arrived.setdefault(self._numbers.unwrap(number), self.now)

    async def _feed_back(self) -> None:
        """As libwebrtc does: whatever comes late has it tell of all since anew, as far as it remembers."""
        spoken_of: set[int] = set()
        while True:
            await asyncio.sleep(FEEDBACK_SECONDS)
            arrived = self._arrived = {n: at for n, at in self._arrived.items() if at > self.now - REMEMBERED_SECONDS}
            new = arrived.keys() - spoken_of
            spoken_of |= new
            if not new:
                continue
            first = min(new) if self._next < 0 else min(self._next, *new)
            last = max(arrived)
            at = round(next(arrived[n] for n in range(first, last + 1) if n in arrived) / REFERENCE_TICK)
            received: list[tuple[int, int | None]] = []
            ticks = round(at * REFERENCE_TICK / DELTA_TICK)
            for number in range(first, last + 1):
                delta = None
                if number in arrived:
                    delta = round(arrived[number] / DELTA_TICK) - ticks
                    ticks += delta
                received.append((number & 0xFFFF, delta))
            self._next = last + 1
            self.send_rtcp([
                rtcp.ReceiverReport(self.ssrc),
                TransportFeedback(self.ssrc, 1, first & 0xFFFF, at, self._count & 0xFF, received),
            ])
            self._count += 1
