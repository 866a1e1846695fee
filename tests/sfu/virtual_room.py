"""A whole server and its clients in virtual time: real ICE, DTLS, SRTP, RTP and RTCP over rtc.netem links."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aioice import stun
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate, RTCDtlsFingerprint

from bench.virtual import VirtualLoop, run
from bench.virtual_udp import open_virtual_udp
from rtc.netem import Link, LinkProfile
from rtc.repair.nack import NackGenerator
from rtc.repair.reception import Reception
from rtc.sfu import Node, NodeSettings, Peer, Quality, Room, SlotView
from rtc.transport.batch import Inbox
from rtc.transport.dtls import SecureTransport
from rtc.transport.srtp import SrtpSession
from rtc.wire import rtcp
from rtc.wire.extensions import AUDIO_LEVEL, MID, REPAIRED_RID, RID
from rtc.wire.rtp import RtpPacket, is_rtcp
from rtc.wire.sequence import Unwrapper

SERVER = ("10.0.0.1", 7882)
CLIENT_PORT = 40000
OPUS, VP8, RTX, H264 = 111, 96, 97, 98
MID_ID, LEVEL_ID, RID_ID, REPAIRED_RID_ID = 4, 5, 6, 7
CHECK_SECONDS = 1.0
SIMULCAST = ((1, 480), (2, 1000), (6, 1000))
"""Packets a frame and bytes a packet of encodings of 180, 360 and 720 lines: 114, 428 and 1,284 kbit/s on the wire."""
CERTIFICATE = RTCCertificate.generateCertificate()  # one for all clients: making one takes time
_BODY = struct.Struct(">HI")


@dataclass(slots=True, frozen=True)
class Heard:
    """One media packet that a listener got, repairs included."""

    time: float
    sequence: int
    """Extended."""
    timestamp: int
    payload: bytes
    payload_type: int
    repaired: bool

    @property
    def track(self) -> int:
        """The number of the track that it came from."""
        return int(_BODY.unpack(self.payload[-_BODY.size :])[0])

    @property
    def number(self) -> int:
        """Its place among the packets of the track, from 0."""
        return int(_BODY.unpack(self.payload[-_BODY.size :])[1])

    @property
    def is_key(self) -> bool:
        """Whether this begins a key frame of VP8."""
        return self.payload[0] == 0x10 and not self.payload[1] & 1


@dataclass(slots=True)
class Track:
    """A published m-line. `number` is unique in the test, so that a listener can tell whom it hears."""

    number: int
    kind: str
    mid: str
    rid: str = ""
    """Of simulcast, which encoding: each is a track of its own here."""
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    rtx_ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    timestamp: int = field(default_factory=lambda: secrets.randbits(32))
    sent: dict[int, float] = field(default_factory=dict)
    """When each packet was first sent, by its place."""
    newest: tuple[float, int] = (0.0, 0)
    """When the newest packet was sent, and its timestamp."""
    keyframes: list[float] = field(default_factory=list)
    plis: list[float] = field(default_factory=list)
    level: int = -20
    wants_keyframe: bool = True
    active: bool = True
    """Of simulcast: whether this encoding is sent."""
    payload_type: int = 0
    frame: int = -1
    picture: int = field(default_factory=lambda: secrets.randbits(15))
    tl0: int = field(default_factory=lambda: secrets.randbits(8))
    history: dict[int, RtpPacket] = field(default_factory=dict)
    rtx_sequence: int = 0


class Client(asyncio.DatagramProtocol):
    """A participant: publishes tracks that count, notes what it hears, answers and sends NACKs."""

    def __init__(
        self, net: Network, name: str, *, publish: Sequence[str] = ("audio",), audio_slots: int = 2,
        video_slots: int = 0, nack: bool = True, declare_ssrcs: bool = True,
        fresh_certificate: bool = False, cipher: str = "", rids: Sequence[str] = ("",),
    ) -> None:
        self.net = net
        self.name = name
        self._certificate = RTCCertificate.generateCertificate() if fresh_certificate else CERTIFICATE
        self.address = net.address_of(len(net.clients) + 1)
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
        self.refused = 0
        self.peer: Peer
        self.ufrag, self.pwd = "clnt" + secrets.token_hex(4), secrets.token_hex(16)
        self.declare_ssrcs = declare_ssrcs
        self.answer = ""
        self.connected = asyncio.Event()
        self._nack = nack
        self._endpoint: asyncio.DatagramTransport
        self._inbox = Inbox(capacity=1)
        self._tasks: list[asyncio.Task[None]] = []
        self._ssrcs: dict[int, str] = {}
        self._rtx_ssrcs: dict[int, str] = {}
        self._unwrappers: dict[str, Unwrapper] = defaultdict(Unwrapper)
        self._missing: dict[str, NackGenerator] = defaultdict(lambda: NackGenerator(deadline=1.0))
        self._receptions: dict[str, Reception] = {}
        self.ssrc = secrets.randbits(32)
        self._tx: SrtpSession | None = None
        self._rx: SrtpSession | None = None
        self._dtls = SecureTransport(
            self._certificate, self.send, self._dtls_changed, role="server", profiles="all"
        )
        if cipher:
            self._dtls._dtls._srtp_profiles = [
                profile for profile in SRTP_PROFILES if profile.openssl_profile == cipher.encode()
            ]

    # --- PeerEvents

    def transport_changed(self, state: str) -> None:
        self.states.append(state)

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        self.slots = slots

    def speakers_changed(self, speakers: tuple[tuple[str, int], ...]) -> None:
        self.speakers.append((self.now, speakers))

    def qualities_changed(self, qualities: tuple[Quality, ...]) -> None:
        self.qualities.append((self.now, qualities))

    def encodings_wanted(self, mid: str, rids: tuple[str, ...]) -> None:
        self.wanted_encodings = rids
        for track in self.tracks:
            if track.mid == mid and self.obeys:
                track.active = track.rid in rids

    def codecs_changed(self, codecs: tuple[str, ...]) -> None:
        self.codecs.append(codecs)

    def protection_changed(self, mid: str, depth: int, copies: int) -> None:
        """These clients have no RED."""

    # --- signalling

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def offer(self) -> str:
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
            "a=group:BUNDLE " + " ".join([*dict.fromkeys(t.mid for t in self.tracks), *self.slot_kinds]),
            f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.pwd}",
            f"a=fingerprint:sha-256 {fingerprint.value}", "a=setup:actpass",
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

    def value(self, name: str) -> str:
        """The first attribute of this name in the answer."""
        return next(
            line.partition(":")[2] for line in self.answer.split("\r\n") if line.startswith(f"a={name}:")
        )

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
        loop = asyncio.get_running_loop()
        self._endpoint, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.address)
        algorithm, value = self.value("fingerprint").split(" ")
        self._dtls.start([RTCDtlsFingerprint(algorithm, value)])
        self._tasks = [asyncio.create_task(work) for work in (self._check(), self._repair(), self._report())]
        if connect:
            async with asyncio.timeout(20):
                await self.connected.wait()
            await asyncio.sleep(self.net.rtt)  # until the server has connected too

    async def move(self) -> None:
        """Go on from another address, as behind a NAT that forgot."""
        self._endpoint.close()
        self.address = (self.address[0], self.address[1] + 1)
        loop = asyncio.get_running_loop()
        self._endpoint, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.address)

    def stop_checks(self) -> None:
        """Send no connectivity checks any more."""
        self._tasks[0].cancel()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peer.close()
        await self._dtls.stop()
        self._endpoint.close()

    # --- media

    def send(self, datagram: bytes) -> None:
        if not self._endpoint.is_closing():
            self._endpoint.sendto(datagram, self.net.server)

    def send_rtp(self, packet: RtpPacket) -> None:
        if self._tx is not None:
            self.send(self._tx.protect(packet.serialize()))

    def send_rtcp(self, packets: Sequence[rtcp.RtcpPacket]) -> None:
        self.send_rtcp_bytes(rtcp.serialize(packets))

    def send_rtcp_bytes(self, compound: bytes) -> None:
        if self._tx is not None:
            self.send(self._tx.protect_rtcp(compound))

    def publish_packet(self, track: Track, payload: bytes, *, marker: bool = False) -> None:
        """Send the next packet of a track."""
        place = len(track.sent)
        extensions = {MID_ID: track.mid.encode()}
        if track.rid:
            extensions[RID_ID] = track.rid.encode()
        if track.kind == "audio":
            extensions[LEVEL_ID] = bytes([0x80 | -track.level])
        packet = RtpPacket(
            track.payload_type or (OPUS if track.kind == "audio" else VP8), track.sequence & 0xFFFF,
            track.timestamp & 0xFFFFFFFF, track.ssrc, marker,
            payload + _BODY.pack(track.number, place), extensions,
        )
        track.sequence += 1
        track.sent[place] = self.now
        track.newest = self.now, track.timestamp
        track.history[packet.sequence_number] = packet
        track.history.pop((packet.sequence_number - 600) & 0xFFFF, None)
        self.send_rtp(packet)

    async def speak(self, seconds: float, *, track: int = 0) -> None:
        """Send 20 ms frames of audio."""
        one = self.tracks[track]
        for _ in range(round(seconds / 0.02)):
            self.publish_packet(one, b"\xf8\xff\xfe")  # a frame that decodes
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

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if 20 <= data[0] <= 63:
            self._dtls.feed(data)
        elif data[0] >= 128 and self._rx is not None:
            inbox = self._inbox
            inbox.rows[0][: len(data)] = data
            inbox.lengths[0] = len(data)
            control = is_rtcp(data)
            unprotect = self._rx.unprotect_rtcp if control else self._rx.unprotect
            if not unprotect(inbox.pointers[0], inbox.length_pointers[0]):
                self.refused += 1
                return
            plain = bytes(inbox.rows[0][: inbox.lengths[0]])
            if control:
                self._take_rtcp(plain)
            else:
                self._take_rtp(RtpPacket.parse(plain))

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
            Heard(self.now, extended, packet.timestamp, payload, packet.payload_type, repaired or again)
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
        extensions = {MID_ID: track.mid.encode()}
        if track.rid:
            extensions[REPAIRED_RID_ID] = track.rid.encode()
        self.send_rtp(
            RtpPacket(
                RTX, track.rtx_sequence & 0xFFFF, packet.timestamp, track.rtx_ssrc, packet.marker,
                packet.sequence_number.to_bytes(2, "big") + packet.payload, extensions,
            )
        )

    async def _check(self) -> None:
        while True:
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{self.value('ice-ufrag')}:{self.ufrag}"
            request.attributes["PRIORITY"] = 1
            request.attributes["ICE-CONTROLLING"] = 1
            request.attributes["USE-CANDIDATE"] = None
            request.add_message_integrity(self.value("ice-pwd").encode())
            request.add_fingerprint()
            self.send(bytes(request))
            await asyncio.sleep(CHECK_SECONDS)

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

    def _dtls_changed(self, state: str) -> None:
        if state == "connected":
            self._tx, self._rx = SrtpSession(self._dtls.tx_session), SrtpSession(self._dtls.rx_session)
            self.connected.set()


class Network:
    """A node, one room and the links of the clients."""

    server = SERVER

    def __init__(self, node: Node) -> None:
        self.clients: list[Client] = []
        self.node = node
        self.room: Room = node.create_room("room")
        self.rtt = 0.04
        self._tracks = 0

    def address_of(self, number: int) -> tuple[str, int]:
        """Where the client of this number is."""
        return f"10.0.1.{number}", CLIENT_PORT

    def next_track(self) -> int:
        self._tracks += 1
        return self._tracks

    def shape(self, *, up: float = 0.0, down: float = 0.0, clients: Sequence[Client] | None = None) -> None:
        """From now on lose this share of the datagrams of these clients, or of all."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for client in self.clients if clients is None else clients:
            for source, target, loss in ((client.address, SERVER, up), (SERVER, client.address, down)):
                loop.link(source, target).profile = LinkProfile(loss=loss, delay=self.rtt / 2)

    async def join(self, name: str, **options: Any) -> Client:
        """A new client, connected and publishing."""
        client = Client(self, name, **options)
        await client.join()
        return client


class Loopback(Network):
    """The same on real sockets."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.server = ("127.0.0.1", node.port)

    def address_of(self, number: int) -> tuple[str, int]:
        return "127.0.0.1", 0


@asynccontextmanager
async def network(*, loopback: bool = False) -> AsyncIterator[Network]:
    """A running server; everybody leaves at the end."""
    if loopback:
        net: Network = Loopback(await Node.start(NodeSettings(port=0)))
    else:
        net = Network(Node(await open_virtual_udp(*SERVER), (SERVER[0],)))
    try:
        yield net
    finally:
        for client in net.clients:
            if hasattr(client, "peer") and hasattr(client, "_endpoint"):
                await client.leave()
        await net.node.close()


def simulate(scenario: Callable[[], Coroutine[Any, Any, None]], *, rtt: float = 0.04, seed: int = 1) -> None:
    """Run a scenario in virtual time; each direction of each path takes half of `rtt`."""
    run(
        scenario(),
        link_between=lambda source, target: Link(
            LinkProfile(delay=rtt / 2), seed=f"{seed} {source} {target}"
        ),
    )


def media_lines(kind: str, mid: str, direction: str) -> list[str]:
    """An m-line as browsers write it, without SSRCs."""
    lines = [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF " + (f"{OPUS}" if kind == "audio" else f"{VP8} {RTX} {H264}"),
        f"a=mid:{mid}", f"a={direction}", "a=rtcp-mux", f"a=extmap:{MID_ID} {MID}",
    ]
    if kind == "audio":
        return [*lines, f"a=extmap:{LEVEL_ID} {AUDIO_LEVEL}", f"a=rtpmap:{OPUS} opus/48000/2"]
    return [
        *lines, f"a=extmap:{RID_ID} {RID}", f"a=extmap:{REPAIRED_RID_ID} {REPAIRED_RID}",
        f"a=rtpmap:{VP8} VP8/90000", f"a=rtcp-fb:{VP8} nack", f"a=rtcp-fb:{VP8} nack pli",
        f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={VP8}",
        f"a=rtpmap:{H264} H264/90000", f"a=rtcp-fb:{H264} nack", f"a=rtcp-fb:{H264} nack pli",
        f"a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ]
