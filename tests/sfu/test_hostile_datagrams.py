"""The datagrams that end a session of stock aiortc, against a running node with a stock client in the room."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from bench.room.client import Client
from bench.room.media import LEVEL_ID, MID_ID, OPUS
from bench.room.network import network
from rtc.sfu import Node
from rtc.wire.rtp import RtpPacket

DEADLINE = 20.0


class Events:
    """Of a peer nobody asks about."""

    def transport_changed(self, state: str) -> None: ...
    def slots_changed(self, slots: object) -> None: ...
    def speakers_changed(self, speakers: object) -> None: ...
    def qualities_changed(self, qualities: object) -> None: ...
    def clocks_changed(self, timestamps: object) -> None: ...
    def encodings_wanted(self, mid: str, rids: tuple[str, ...], *, instead: bool) -> None: ...
    def codecs_changed(self, codecs: tuple[str, ...]) -> None: ...
    def protection_changed(self, mid: str, depth: int, copies: int) -> None: ...


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  a drop tells nobody when it happens
            await asyncio.sleep(0.01)


async def test_the_four_datagrams_hurt_nobody_and_are_counted() -> None:
    async with network(loopback=True) as net:
        attacker = await net.join("attacker", audio_slots=1)
        stock = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        stock.addTransceiver(AudioStreamTrack(), direction="sendonly")
        stock.addTransceiver("audio", direction="recvonly")
        played = 0

        async def play() -> None:
            nonlocal played
            track = stock.getTransceivers()[1].receiver.track
            try:
                while True:
                    await track.recv()
                    played += 1
            except MediaStreamError:
                return

        await stock.setLocalDescription(await stock.createOffer())
        peer = net.room.join("stock", Events())
        answer = peer.answer(stock.localDescription.sdp)
        await stock.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        mid = stock.getTransceivers()[0].mid
        assert mid is not None
        peer.publish(mid, publication_id="stock")
        playing = asyncio.create_task(play())
        speaking = asyncio.create_task(attacker.speak(60))
        try:
            await until(lambda: played > 10 and bool(attacker.heard))
            for strike in (empty, too_long, wrong_extension, lying_estimate):
                await strike(net.node, attacker)
            before, heard = played, len(next(iter(attacker.heard.values())))
            await until(lambda: played > before + 20 and len(next(iter(attacker.heard.values()))) > heard + 20)
            assert stock.connectionState == "connected" and peer.state == "connected"
            drops = net.node.statistics().drops
            assert drops["too-long"] == 1
            assert drops["srtp-unknown-address"] == 1 and drops["srtp-refused"] == 1
            assert drops["rtcp-malformed"] == 1
        finally:
            playing.cancel()
            speaking.cancel()
            await stock.close()
            await peer.close()


async def stranger(node: Node, *datagrams: bytes) -> None:
    """From an address that nobody knows."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", node.port))
    for datagram in datagrams:
        transport.sendto(datagram)
    transport.close()


async def empty(node: Node, attacker: Client) -> None:
    """1: an empty datagram, from anyone."""
    await stranger(node, b"")
    attacker.send(b"")


async def too_long(node: Node, attacker: Client) -> None:
    """2: longer than 1,500 bytes, looks like SRTP."""
    before = node.statistics().drops.total()
    await stranger(node, b"\x80" + bytes(1599), b"\x80" + bytes(3999))
    attacker.send(b"\x80" + bytes(1599))
    await until(lambda: node.statistics().drops.total() >= before + 3)


async def wrong_extension(node: Node, attacker: Client) -> None:
    """3: authenticated, with known header extensions of wrong lengths; they must not reach the others."""
    track = attacker.tracks[0]
    for length in (2, 5, 16):
        track.sequence += 1
        attacker.send_rtp(
            RtpPacket(
                OPUS, track.sequence & 0xFFFF, track.timestamp & 0xFFFFFFFF, track.ssrc,
                False, b"\xf8\xff\xfe" + bytes(6),
                {MID_ID: secrets.token_bytes(length), LEVEL_ID: bytes(length)},
            )
        )
    track.sequence += 1


async def lying_estimate(node: Node, attacker: Client) -> None:
    """4: a REMB that announces more SSRCs than it has."""
    before = node.statistics().drops["rtcp-malformed"]
    body = struct.pack("!II4sBBHI", 1, 0, b"REMB", 200, 0, 1000, attacker.tracks[0].ssrc)
    attacker.send_rtcp_bytes(
        struct.pack("!BBHI", 0x80, 201, 1, 1) + struct.pack("!BBH", 0x8F, 206, len(body) // 4) + body
    )
    await until(lambda: node.statistics().drops["rtcp-malformed"] > before)
