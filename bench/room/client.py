"""A participant in virtual time: it publishes tracks that count, notes what it hears, answers and sends NACKs."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.room.endpoint import Endpoint
from bench.room.media import (
    BODY,
    LEVEL_ID,
    MID_ID,
    OPUS,
    REPAIRED_RID_ID,
    RID_ID,
    RTX,
    SIMULCAST,
    VP8,
    Heard,
    Track,
    media_lines,
)
from rtc.repair.nack import NackGenerator
from rtc.repair.reception import Reception
from rtc.sfu import Peer, Quality, SlotView
from rtc.wire import rtcp
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper

if TYPE_CHECKING:
    from bench.room.network import Network


class Client(Endpoint):
    """A participant: publishes tracks that count, notes what it hears, answers and sends NACKs."""

    def __init__(
        self, net: Network, name: str, *, publish: Sequence[str] = ("audio",), audio_slots: int = 2,
        video_slots: int = 0, nack: bool = True, declare_ssrcs: bool = True,
        fresh_certificate: bool = False, cipher: str = "", rids: Sequence[str] = ("",),
    ) -> None:
        super().__init__(
            net.address_of(len(net.clients) + 1), net.server, fresh_certificate=fresh_certificate, cipher=cipher
        )
        self.net = net
        self.name = name
        net.clients.append(self)
        self.tracks = [
            Track(net.next_track(), kind, str(i), rid)
            for i, kind in enumerate(publish) for rid in (rids if kind == "video" else ("",))
        ]
        self.slot_kinds = {
            str(len(publish) + i): kind
            for i, kind in enumerate(["audio"] * audio_slots + ["video"] * video_slots)
        }
        self.heard: defaultdict[str, list[Heard]] = defaultdict(list)
        """By the mid of the slot, in the order of arrival."""
        self.states: list[str] = []
        self.slots: tuple[SlotView, ...] = ()
        self.qualities: list[tuple[float, tuple[Quality, ...]]] = []
        self.clocks: list[tuple[float, dict[str, int]]] = []
        """Timestamps of one moment by the mid of the slot, each time that they were told."""
        self.wanted_encodings: tuple[str, ...] = ()
        self.codecs: list[tuple[str, ...]] = []
        """What it was told that everybody can decode, each time."""
        self.obeys = True
        """Whether encodings that nobody needs are left out."""
        self.speakers: list[tuple[float, tuple[tuple[str, int], ...]]] = []
        self.reports: dict[int, rtcp.SenderReport] = {}
        """The last sender report of each SSRC of the server."""
        self.reported: defaultdict[str, list[tuple[float, rtcp.SenderReport]]] = defaultdict(list)
        """All of them with the times when they came, by the mid of the slot."""
        self.peer: Peer
        self.declare_ssrcs = declare_ssrcs
        self._nack = nack
        self._ssrcs: dict[int, str] = {}
        self._rtx_ssrcs: dict[int, str] = {}
        self._unwrappers: dict[str, Unwrapper] = defaultdict(Unwrapper)
        self._missing: dict[str, NackGenerator] = defaultdict(lambda: NackGenerator(deadline=1.0))
        self._receptions: dict[str, Reception] = {}
        self.ssrc = secrets.randbits(32)

    # --- PeerEvents

    def transport_changed(self, state: str) -> None:
        """Note it."""
        self.states.append(state)

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """Note it."""
        self.slots = slots

    def speakers_changed(self, speakers: tuple[tuple[str, int], ...]) -> None:
        """Note it."""
        self.speakers.append((self.now, speakers))

    def qualities_changed(self, qualities: tuple[Quality, ...]) -> None:
        """Note it."""
        self.qualities.append((self.now, qualities))

    def clocks_changed(self, timestamps: Mapping[str, int]) -> None:
        """Note it."""
        self.clocks.append((self.now, dict(timestamps)))

    def encodings_wanted(self, mid: str, rids: tuple[str, ...], *, instead: bool) -> None:
        """Leave out encodings that nobody needs."""
        self.wanted_encodings = rids
        for track in self.tracks:
            if track.mid == mid and self.obeys:
                track.active = track.rid in rids

    def codecs_changed(self, codecs: tuple[str, ...]) -> None:
        """Note it."""
        self.codecs.append(codecs)

    def protection_changed(self, mid: str, depth: int, copies: int) -> None:
        """These clients have no RED."""

    # --- signalling

    def offer(self) -> str:
        """Its tracks and slots, as SDP."""
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
            "a=group:BUNDLE " + " ".join([*dict.fromkeys(t.mid for t in self.tracks), *self.slot_kinds]),
            f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.pwd}",
            f"a=fingerprint:sha-256 {self.fingerprint}", "a=setup:actpass",
        ]
        for mid in dict.fromkeys(track.mid for track in self.tracks):
            encodings = [track for track in self.tracks if track.mid == mid]
            track = encodings[0]
            lines += media_lines(track.kind, track.mid, "sendonly")
            if track.rid:
                lines += [f"a=rid:{one.rid} send" for one in encodings]
                lines.append("a=simulcast:send " + ";".join(one.rid for one in encodings))
            elif self.declare_ssrcs:
                if track.kind == "video":
                    lines.append(f"a=ssrc-group:FID {track.ssrc} {track.rtx_ssrc}")
                lines += [f"a=ssrc:{track.ssrc} cname:c", f"a=ssrc:{track.rtx_ssrc} cname:c"][
                    : 2 if track.kind == "video" else 1
                ]
        for mid, kind in self.slot_kinds.items():
            lines += media_lines(kind, mid, "recvonly")
        return "\r\n".join(lines) + "\r\n"

    def negotiate(self) -> None:
        """Offer, and take the answer."""
        self.answer = self.peer.answer(self.offer())
        self._ssrcs.clear()
        self._rtx_ssrcs.clear()
        mid = ""
        for line in self.answer.split("\r\n"):
            name, _, value = line.partition(":")
            if name == "a=mid":
                mid = value
            elif name == "a=ssrc-group":
                self._rtx_ssrcs[int(value.split()[2])] = mid
            elif name == "a=ssrc":
                ssrc = int(value.split()[0])
                if ssrc not in self._rtx_ssrcs:
                    self._ssrcs[ssrc] = mid

    async def join(self, *, publish: bool = True, connect: bool = True) -> None:
        """Join, publish every track, and wait until media can flow."""
        self.peer = self.net.room.join(self.name, self)
        self.negotiate()
        if publish:
            for mid in dict.fromkeys(track.mid for track in self.tracks):
                self.peer.publish(mid, publication_id=f"{self.name}-{mid}")
        await self._start(connect=connect)

    async def connect(self) -> None:
        """Connect anew, for a participant that is there already."""
        self.negotiate()
        await self._start(connect=True)

    async def _start(self, *, connect: bool) -> None:
        await self.open()
        self._tasks += [asyncio.create_task(work) for work in (self._repair(), self._report())]
        if connect:
            async with asyncio.timeout(20):
                await self.connected.wait()
            await asyncio.sleep(self.net.rtt)  # until the server has connected too

    async def leave(self) -> None:
        """Leave the room and close."""
        await self.end_tasks()
        await self.peer.close()
        await self.close()

    # --- media

    def publish_packet(
        self, track: Track, payload: bytes, *, marker: bool = False, extensions: Mapping[int, bytes] | None = None
    ) -> None:
        """Send the next packet of a track, with these header extensions beside the usual ones."""
        place = len(track.sent)
        extensions = {MID_ID: track.mid.encode(), **(extensions or {})}
        if track.rid:
            extensions[RID_ID] = track.rid.encode()
        if track.kind == "audio":
            extensions[LEVEL_ID] = bytes([0x80 | -track.level])
        packet = RtpPacket(
            track.payload_type or (OPUS if track.kind == "audio" else VP8), track.sequence & 0xFFFF,
            track.timestamp & 0xFFFFFFFF, track.ssrc, marker,
            payload + BODY.pack(track.number, place), extensions,
        )
        track.sequence += 1
        track.sent[place] = self.now
        track.newest = self.now, track.timestamp
        track.history[packet.sequence_number] = packet
        track.history.pop((packet.sequence_number - 600) & 0xFFFF, None)
        self.send_rtp(packet)

    async def speak(self, seconds: float, *, track: int = 0, frame: bytes = b"\xf8\xff\xfe") -> None:
        """Send 20 ms frames of audio, the shortest that can be decoded unless said otherwise."""
        one = self.tracks[track]
        for _ in range(round(seconds / 0.02)):
            self.publish_packet(one, frame)
            one.timestamp += 960
            await asyncio.sleep(0.02)
        await asyncio.sleep(self.net.rtt)  # what is under way arrives

    async def film(self, seconds: float, *, track: int = 0, packets: int = 3) -> None:
        """Send 25 frames a second; a key frame first, and whenever one is asked for."""
        one = self.tracks[track]
        for _ in range(round(seconds / 0.04)):
            key = one.wants_keyframe
            one.wants_keyframe = False
            if key:
                one.keyframes.append(self.now)
            for place in range(packets):
                head = (b"\x10" if place == 0 else b"\x00") + (b"\x00" if key else b"\x01")
                self.publish_packet(one, head + bytes(400), marker=place == packets - 1)
            one.timestamp += 3600
            await asyncio.sleep(0.04)
        await asyncio.sleep(self.net.rtt)

    async def film_simulcast(self, seconds: float, *, mid: str = "0", temporal: bool = True) -> None:
        """Send 25 frames a second in all active encodings, as libvpx does: three temporal layers, common key frames.

        Without `temporal` layers, as Chromium uses it.
        """
        encodings = [track for track in self.tracks if track.mid == mid]
        for _ in range(round(seconds / 0.04)):
            key = any(one.wants_keyframe for one in encodings)
            for place, one in enumerate(encodings):
                one.wants_keyframe = False
                one.frame = 0 if key else one.frame + 1
                layer, sync = (0, 2, 1, 2)[one.frame % 4] if temporal else 0, one.frame % 8 in (1, 2, 3)
                one.picture, one.tl0 = one.picture + 1, one.tl0 + (layer == 0)
                if one.active and key:
                    one.keyframes.append(self.now)
                count, size = SIMULCAST[place]
                for part in range(count if one.active else 0):
                    head = bytes([
                        0x90 if part == 0 else 0x80, 0xE0, 0x80 | one.picture >> 8 & 0x7F, one.picture & 0xFF,
                        one.tl0 & 0xFF, layer << 6 | sync << 5,
                    ])
                    height = (180 << place).to_bytes(2, "little")
                    frame = bytes([not key, 0, 0, 0x9D, 1, 0x2A, 0, 0]) + height if part == 0 else b""
                    self.publish_packet(one, head + frame + bytes(size), marker=part == count - 1)
                one.timestamp += 3600
            await asyncio.sleep(0.04)
        await asyncio.sleep(self.net.rtt)

    def renew(self, track: int = 0) -> None:
        """Go on with another SSRC, sequence and timestamp: another sender behind the same m-line."""
        one = self.tracks[track]
        one.ssrc, one.sequence = secrets.randbits(32), secrets.randbits(16)
        one.timestamp = secrets.randbits(32)
        one.wants_keyframe = True
        one.history.clear()

    # --- inside

    def _take_rtp(self, packet: RtpPacket) -> None:
        repaired = packet.ssrc in self._rtx_ssrcs
        mid = self._rtx_ssrcs.get(packet.ssrc) or self._ssrcs[packet.ssrc]
        sequence, payload = packet.sequence_number, packet.payload
        if repaired:
            sequence, payload = int.from_bytes(payload[:2], "big"), payload[2:]
        extended = self._unwrappers[mid].unwrap(sequence)
        again = self._missing[mid].received(extended, now=self.now)
        if not repaired:
            if mid not in self._receptions:
                self._receptions[mid] = Reception(packet.ssrc, 48000 if self.slot_kinds[mid] == "audio" else 90000)
            self._receptions[mid].received(sequence, packet.timestamp, now=self.now, repaired=again)
        self.heard[mid].append(
            Heard(
                self.now, extended, packet.timestamp, payload, packet.payload_type, packet.marker,
                repaired or again, packet.extensions,
            )
        )

    def _take_rtcp(self, compound: bytes) -> None:
        for packet in rtcp.parse_compound(compound):
            if isinstance(packet, rtcp.GenericNack):
                for track in self.tracks:
                    if track.ssrc == packet.media_ssrc:
                        for number in packet.lost:
                            self._answer_nack(track, track.history.get(number))
            elif isinstance(packet, rtcp.PictureLossIndication):
                for track in self.tracks:
                    if track.ssrc == packet.media_ssrc:
                        track.wants_keyframe = True
                        track.plis.append(self.now)
            elif isinstance(packet, rtcp.SenderReport):
                self.reports[packet.ssrc] = packet
                mid = self._ssrcs.get(packet.ssrc)
                if mid is not None:
                    self.reported[mid].append((self.now, packet))
                if mid in self._receptions:
                    self._receptions[mid].sender_report(packet.ntp, now=self.now)

    def _answer_nack(self, track: Track, packet: RtpPacket | None) -> None:
        if packet is None:
            return
        if track.kind == "audio" or not (self.declare_ssrcs or track.rid):
            self.send_rtp(packet)
            return
        track.rtx_sequence += 1
        extensions = {key: value for key, value in packet.extensions.items() if key != RID_ID}
        if track.rid:
            extensions[REPAIRED_RID_ID] = track.rid.encode()
        self.send_rtp(
            RtpPacket(
                RTX, track.rtx_sequence & 0xFFFF, packet.timestamp, track.rtx_ssrc, packet.marker,
                packet.sequence_number.to_bytes(2, "big") + packet.payload, extensions,
            )
        )

    async def _repair(self) -> None:
        while self._nack:
            await asyncio.sleep(0.01)
            for ssrc, mid in self._ssrcs.items():
                due = self._missing[mid].due(now=self.now, rtt=self.net.rtt)
                if due:
                    lost = tuple(number & 0xFFFF for number in due)
                    self.send_rtcp([rtcp.ReceiverReport(self.ssrc), rtcp.GenericNack(self.ssrc, ssrc, lost)])

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            blocks = [reception.report(now=self.now) for reception in self._receptions.values()]
            self.send_rtcp([rtcp.ReceiverReport(self.ssrc, tuple(block for block in blocks if block is not None))])
            for track in self.tracks:
                if track.sent:
                    sampled, timestamp = track.newest
                    timestamp += round((self.now - sampled) * (48000 if track.kind == "audio" else 90000))
                    ntp = rtcp.ntp_from_seconds(1_700_000_000 + self.now)
                    self.send_rtcp([rtcp.SenderReport(track.ssrc, ntp, timestamp & 0xFFFFFFFF, 0, 0)])
