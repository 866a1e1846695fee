"""A stock aiortc client connects over a real socket to a server that is nothing but our transport pieces."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import aioice.ice
import aiortc.sdp
import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from aiortc.rtcdtlstransport import RTCCertificate
from stock_peer import DEADLINE

from rtc.transport.addresses import pack_sockaddr, socket_address
from rtc.transport.aiortc_private import Role
from rtc.transport.dtls import SecureTransport
from rtc.transport.ice import IceLite, peek_username

AUDIO_LINES = ["a=recvonly", "a=rtcp-mux", "a=rtpmap:96 opus/48000/2"]


class Server(asyncio.DatagramProtocol):
    """One peer on one UDP port: what rtc.sfu does for many."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.ice = IceLite()
        self.certificate = RTCCertificate.generateCertificate()
        self.states: asyncio.Queue[str] = asyncio.Queue()
        self.media: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.secure = SecureTransport(
            self.certificate,
            self.send,
            self.states.put_nowait,
            role=role,
            profiles="gcm",
            on_channel=self.echo,
        )
        self.socket: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.socket = transport

    def echo(self, channel: RTCDataChannel) -> None:
        channel.on("message", channel.send)

    def send(self, datagram: bytes) -> None:
        if self.ice.selected is not None:
            self.socket.sendto(datagram, socket_address(self.ice.selected))

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        source = pack_sockaddr(*address, family=socket.AF_INET)
        if peek_username(data) == self.ice.local_ufrag:
            response = self.ice.receive(data, source, now=time.monotonic())
            if response is not None:
                self.socket.sendto(response, address)
        elif source == self.ice.selected and data[0] < 64:
            self.secure.feed(data)
        elif self.secure.state == "connected" and not 192 <= data[1] <= 223 and not self.media.done():
            self.media.set_result(self.secure.rx_session.unprotect(data))

    def answer(self, offer: str) -> str:
        session = aiortc.sdp.SessionDescription.parse(offer)
        media = session.media[0]
        assert media.ice is not None and media.dtls is not None
        assert media.ice.usernameFragment is not None and media.ice.password is not None
        self.ice.remote_ufrag, self.ice.remote_pwd = media.ice.usernameFragment, media.ice.password
        setup = "active" if self.role == "client" else "passive"
        fingerprint = self.certificate.getFingerprints()[0]
        port = self.socket.get_extra_info("sockname")[1]
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE 0 1"]
        for each in session.media:
            audio = each.kind == "audio"
            lines += [
                f"m=audio {port} UDP/TLS/RTP/SAVPF 96"
                if audio
                else f"m=application {port} UDP/DTLS/SCTP webrtc-datachannel",
                "c=IN IP4 127.0.0.1",
                f"a=mid:{each.rtp.muxId}",
                *(AUDIO_LINES if audio else ["a=sctp-port:5000"]),
                f"a=ice-ufrag:{self.ice.local_ufrag}",
                f"a=ice-pwd:{self.ice.local_pwd}",
                f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
                f"a=setup:{setup}",
                f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host",
                "a=end-of-candidates",
            ]
        self.secure.open_channels(remote_port=5000, max_message_size=65536)
        self.secure.start(media.dtls.fingerprints)
        return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize("role", ["client", "server"])
async def test_a_stock_client_sends_media_and_data(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Server(role), local_addr=("127.0.0.1", 0))
    client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        client.addTrack(AudioStreamTrack())
        channel = client.createDataChannel("chat")
        echoed: asyncio.Future[str] = loop.create_future()
        channel.on("open", lambda: channel.send("hello"))
        channel.on("message", echoed.set_result)
        await client.setLocalDescription(await client.createOffer())
        answer = server.answer(client.localDescription.sdp)
        async with asyncio.timeout(DEADLINE):
            await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            assert await echoed == "hello"
            packet = await server.media
            assert packet[1] & 0x7F == 96
            assert server.secure.profile.startswith("SRTP_AEAD_AES_")
            await client.close()
            while server.secure.state != "closed":
                await server.states.get()
    finally:
        await client.close()
        await server.secure.stop()
        transport.close()
