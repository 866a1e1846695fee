"""A stock aiortc DTLS and SCTP peer that faces one of our transports in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import (
    SRTP_PROFILES,
    RTCCertificate,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from rtc.transport.dtls import DatagramPipe, SecureTransport

DEADLINE = 20.0  # seconds: only reached when something hangs


class Stock:
    """`role` and `profiles` are those of our transport; the stock peer takes the other role."""

    def __init__(
        self,
        *,
        role: Literal["client", "server"],
        profiles: Literal["gcm", "all"] = "all",
        their_profiles: Sequence[SRTPProtectionProfile] = SRTP_PROFILES,
        their_certificate: RTCCertificate | None = None,
    ) -> None:
        self.states: asyncio.Queue[str] = asyncio.Queue()
        self.channels: asyncio.Queue[RTCDataChannel] = asyncio.Queue()
        self._our_certificate = RTCCertificate.generateCertificate()
        self._their_certificate = their_certificate or RTCCertificate.generateCertificate()
        self.ours = SecureTransport(
            self._our_certificate,
            lambda datagram: _later(self.pipe.feed, datagram),
            self.states.put_nowait,
            role=role,
            profiles=profiles,
            on_channel=self.channels.put_nowait,
        )
        self.ours.open_channels(remote_port=5000, max_message_size=65536)
        self.pipe = DatagramPipe(lambda datagram: _later(self.ours.feed, datagram))
        self.pipe.role = (
            "controlling" if role == "client" else "controlled"
        )  # from which aiortc takes its role
        self.dtls = RTCDtlsTransport(self.pipe, [self._their_certificate])  # type: ignore[arg-type]  # a duck
        self.dtls._srtp_profiles = list(their_profiles)
        self.sctp = RTCSctpTransport(self.dtls)
        self._started: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.ours.start(self._their_certificate.getFingerprints())
        self._started = asyncio.create_task(self._start())

    async def _start(self) -> None:
        await self.dtls.start(RTCDtlsParameters(fingerprints=self._our_certificate.getFingerprints()))
        if self.dtls.state == "connected":
            await self.sctp.start(RTCSctpCapabilities(maxMessageSize=65536), 5000)

    async def connect(self) -> None:
        self.start()
        assert self._started is not None
        async with asyncio.timeout(DEADLINE):
            await self._started
            while self.ours.state != "connected":
                assert await self.states.get() in ("connecting", "connected")
        assert self.dtls.state == "connected"

    async def echo(self, message: str | bytes) -> str | bytes:
        """Send a message on a new channel to our side, which sends it back."""
        back: asyncio.Future[str | bytes] = asyncio.get_running_loop().create_future()
        channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(label="echo"))
        channel.on("open", lambda: channel.send(message))
        channel.on("message", back.set_result)
        async with asyncio.timeout(DEADLINE):
            remote = await self.channels.get()
            assert remote.label == "echo"
            remote.on("message", remote.send)
            return await back

    async def stop(self) -> None:
        await self.ours.stop()
        await self.sctp.stop()
        await self.dtls.stop()
        self.pipe.close()
        if self._started is not None:
            await asyncio.wait([self._started])


def _later(feed: Callable[[bytes], None], datagram: bytes) -> None:
    asyncio.get_running_loop().call_soon(feed, datagram)
