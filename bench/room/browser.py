"""A participant that repairs video as libwebrtc does: it answers and asks once in a round trip as it measures it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from bench.room.checks import Checks
from bench.room.client import Client
from bench.room.media import VP8, Heard, Track
from rtc.wire import rtcp
from rtc.wire.extensions import PLAYOUT_DELAY, unpack_playout_delay
from rtc.wire.rtp import RtpPacket

PLAYOUT_ID = 12
DEFAULT_RTT = 0.1  # seconds, assumed by its NACK requester until it knows
NACK_TIMER = 0.02
PATTERN, SYNCS = (0, 2, 1, 2), (1, 2, 3)  # temporal layers of four frames; which of eight need none of theirs before
HISTORY_MARGIN = 0.005  # added to the round trip before a packet is sent again


class Browser(Client):
    """NACKs a gap at once and again each round trip; measures that with XR where it publishes nothing."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, nack=False, **options)  # type: ignore[arg-type]
        self.known_rtt: float | None = None
        self.resent = 0
        self.received_octets = 0
        self.playout_delays: list[int] = []
        """Least delays asked for, ms, each time that they changed."""
        self._resent_at: dict[int, float] = {}
        self._wanted: defaultdict[str, dict[int, float | None]] = defaultdict(dict)
        self._highest: dict[str, int] = {}

    def offer(self) -> str:
        """What it says of itself, with XR and playout-delay."""
        lines = super().offer().split("\r\n")
        at = [place for place, line in enumerate(lines) if line.startswith("m=video")]
        for place in reversed(at):
            lines[place + 3 : place + 3] = ["a=rtcp-xr:rcvr-rtt=all", f"a=extmap:{PLAYOUT_ID} {PLAYOUT_DELAY}"]
        return "\r\n".join(lines)

    async def film30(self, seconds: float, *, packets: int, layers: bool = False) -> None:
        """Send 30 frames a second of packets 2 ms apart, each saying in its place when it was captured.

        With `layers` in three temporal ones, as libvpx does.
        """
        track = self.tracks[0]
        for _ in range(round(seconds * 30)):
            begun = self.now
            key, track.wants_keyframe = track.wants_keyframe, False
            if key:
                track.keyframes.append(begun)
            descriptor = self._descriptor(track, key=key) if layers else b"\x00"
            for place in range(packets):
                head = bytes([descriptor[0] | (0x10 if place == 0 else 0)]) + descriptor[1:] + bytes([not key])
                self.publish_packet(track, head + bytes(1000), marker=place == packets - 1)
                await asyncio.sleep(0.002)
            track.timestamp += 3000
            await asyncio.sleep(max(0.0, begun + 1 / 30 - self.now))

    @staticmethod
    def _descriptor(track: Track, *, key: bool) -> bytes:
        track.frame = 0 if key else track.frame + 1
        layer, sync = PATTERN[track.frame % 4], track.frame % 8 in SYNCS
        track.picture, track.tl0 = track.picture + 1, track.tl0 + (layer == 0)
        picture = 0x8000 | track.picture & 0x7FFF
        return bytes([0x80, 0xE0, picture >> 8, picture & 0xFF, track.tl0 & 0xFF, layer << 6 | sync << 5])

    def _answer_nack(self, track: Track, packet: RtpPacket | None) -> None:
        if packet is None:
            return
        number = packet.sequence_number
        rtt = self.known_rtt or 0.0
        if self.now - self._resent_at.get(number, float("-inf")) < rtt + HISTORY_MARGIN:
            return
        self._resent_at[number] = self.now
        self.resent += 1
        super()._answer_nack(track, packet)

    def _take_rtp(self, packet: RtpPacket) -> None:
        self.received_octets += len(packet.payload)
        delay = packet.extensions.get(PLAYOUT_ID)
        if delay is not None and packet.payload_type == VP8:
            least = 10 * unpack_playout_delay(delay)[0]
            if self.playout_delays[-1:] != [least]:
                self.playout_delays.append(least)
        super()._take_rtp(packet)
        for mid, heard in self.heard.items():
            if heard and self.slot_kinds[mid] == "video":
                self._note(mid, heard[-1])
        self._ask(again=False)

    def _note(self, mid: str, packet: Heard) -> None:
        wanted = self._wanted[mid]
        wanted.pop(packet.sequence, None)
        highest = self._highest.setdefault(mid, packet.sequence)
        if packet.sequence > highest:
            wanted.update(dict.fromkeys(range(highest + 1, packet.sequence)))
            self._highest[mid] = packet.sequence

    def _ask(self, *, again: bool) -> None:
        interval = DEFAULT_RTT if self.known_rtt is None else self.known_rtt
        for ssrc, mid in self._ssrcs.items():
            wanted = self._wanted[mid]
            lost = [n for n, at in wanted.items() if at is None or (again and self.now - at >= interval)]
            wanted.update(dict.fromkeys(lost, self.now))
            if lost:
                nack = rtcp.GenericNack(self.ssrc, ssrc, tuple(number & 0xFFFF for number in lost))
                self.send_rtcp([rtcp.ReceiverReport(self.ssrc), nack])

    def _take_rtcp(self, compound: bytes) -> None:
        super()._take_rtcp(compound)
        now = rtcp.middle32(rtcp.ntp_from_seconds(1_700_000_000 + self.now))
        answers: list[rtcp.DelaySinceLastReport] = []
        for packet in rtcp.parse_compound(compound):
            if isinstance(packet, rtcp.ExtendedReport):
                for one in packet.delays:
                    elapsed = (now - one.last_receiver_report - one.delay) & 0xFFFFFFFF
                    self.known_rtt = elapsed * rtcp.DELAY_UNIT
                if packet.ntp is not None:
                    answers.append(rtcp.DelaySinceLastReport(packet.ssrc, rtcp.middle32(packet.ntp), 0))
        if answers:
            report = rtcp.ExtendedReport(self.ssrc, delays=tuple(answers))
            self.send_rtcp([rtcp.ReceiverReport(self.ssrc), report])

    async def _repair(self) -> None:
        at = 0.0
        while True:
            await asyncio.sleep(NACK_TIMER)
            self._ask(again=True)
            if self.now - at >= 1:
                at = self.now
                ntp = rtcp.ntp_from_seconds(1_700_000_000 + self.now)
                self.send_rtcp([rtcp.ReceiverReport(self.ssrc), rtcp.ExtendedReport(self.ssrc, ntp)])


class CheckingBrowser(Browser):
    """Sends nothing while it does not hear that it is heard."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.checks = Checks(self.net.rtt)

    async def _check(self) -> None:
        while True:
            if self.checks.look(now=self.now):
                self.checks.sent(self._send_check(), now=self.now)
            await asyncio.sleep(self.checks.pause)

    def _answered(self, transaction: bytes) -> None:
        self.checks.answered(transaction, now=self.now)

    def send_rtp(self, packet: RtpPacket) -> None:
        """Nothing while it is not heard."""
        if self.checks.writable:
            super().send_rtp(packet)
        for track in self.tracks:
            if not self.checks.writable and track.ssrc == packet.ssrc:
                track.history.pop(packet.sequence_number, None)  # nor does Chromium send it when it is asked to

    def send_rtcp_bytes(self, compound: bytes) -> None:
        """Nothing while it is not heard."""
        if self.checks.writable:
            super().send_rtcp_bytes(compound)
