"""A client's transport in virtual time: connectivity checks, DTLS and SRTP over one datagram endpoint."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from aioice import stun
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate, RTCDtlsFingerprint

from rtc.transport.batch import Inbox
from rtc.transport.dtls import SecureTransport
from rtc.transport.srtp import SrtpSession
from rtc.wire import rtcp
from rtc.wire.rtp import RtpPacket, is_rtcp

CHECK_SECONDS = 1.0
CERTIFICATE = RTCCertificate.generateCertificate()  # one for all clients: making one takes time


class Endpoint(asyncio.DatagramProtocol):
    """Controls an ICE-lite server that has answered; hands plain RTP and RTCP to `_take_rtp` and `_take_rtcp`."""

    def __init__(
        self, address: tuple[str, int], server: tuple[str, int], *, fresh_certificate: bool, cipher: str
    ) -> None:
        self.address = address
        self.server = server
        self.ufrag, self.pwd = "clnt" + secrets.token_hex(4), secrets.token_hex(16)
        self.answer = ""
        self.connected = asyncio.Event()
        self.refused = 0
        """Datagrams that SRTP did not let in."""
        self._certificate = RTCCertificate.generateCertificate() if fresh_certificate else CERTIFICATE
        self._endpoint: asyncio.DatagramTransport
        self._inbox = Inbox(capacity=1)
        self._tasks: list[asyncio.Task[None]] = []
        self._tx: SrtpSession | None = None
        self._rx: SrtpSession | None = None
        self._dtls = SecureTransport(
            self._certificate, self.send, self._dtls_changed, role="server", profiles="all"
        )
        if cipher:
            self._dtls._dtls._srtp_profiles = [
                profile for profile in SRTP_PROFILES if profile.openssl_profile == cipher.encode()
            ]

    @property
    def now(self) -> float:
        """Seconds, by the clock of its loop."""
        return asyncio.get_running_loop().time()

    @property
    def fingerprint(self) -> str:
        """Of its certificate, by SHA-256."""
        return next(f.value for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")

    def value(self, name: str) -> str:
        """The first attribute of this name in the answer."""
        return next(
            line.partition(":")[2] for line in self.answer.split("\r\n") if line.startswith(f"a={name}:")
        )

    async def open(self) -> None:
        """Bind, and begin to connect to the server that answered."""
        await self._bind()
        algorithm, value = self.value("fingerprint").split(" ")
        self._dtls.start([RTCDtlsFingerprint(algorithm, value)])
        self._tasks = [asyncio.create_task(self._check())]

    async def end_tasks(self) -> None:
        """Check and report no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """End DTLS, and let go of the address."""
        await self._dtls.stop()
        self._endpoint.close()

    async def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        self._endpoint, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self.address)

    async def move(self) -> None:
        """Go on from another address, as behind a NAT that forgot."""
        self._endpoint.close()
        self.address = (self.address[0], self.address[1] + 1)
        await self._bind()

    def stop_checks(self) -> None:
        """Send no connectivity checks any more."""
        self._tasks[0].cancel()

    def send(self, datagram: bytes) -> None:
        """Send a datagram to the server."""
        if not self._endpoint.is_closing():
            self._endpoint.sendto(datagram, self.server)

    def send_rtp(self, packet: RtpPacket) -> None:
        """Send a packet, once it is connected."""
        if self._tx is not None:
            self.send(self._tx.protect(packet.serialize()))

    def send_rtcp(self, packets: Sequence[rtcp.RtcpPacket]) -> None:
        """Send a compound packet, once it is connected."""
        self.send_rtcp_bytes(rtcp.serialize(packets))

    def send_rtcp_bytes(self, compound: bytes) -> None:
        """The same, serialized."""
        if self._tx is not None:
            self.send(self._tx.protect_rtcp(compound))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take what comes from the server."""
        if data[0] < 4:
            self._answered(data[8 : stun.HEADER_LENGTH])
        elif 20 <= data[0] <= 63:
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
        raise NotImplementedError

    def _take_rtcp(self, compound: bytes) -> None:
        raise NotImplementedError

    def _answered(self, transaction: bytes) -> None:
        """A check of this id was."""

    async def _check(self) -> None:
        while True:
            self._send_check()
            await asyncio.sleep(CHECK_SECONDS)

    def _send_check(self) -> bytes:
        """Returns its transaction id."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.value('ice-ufrag')}:{self.ufrag}"
        request.attributes["PRIORITY"] = 1
        request.attributes["ICE-CONTROLLING"] = 1
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self.value("ice-pwd").encode())
        request.add_fingerprint()
        self.send(bytes(request))
        return request.transaction_id

    def _dtls_changed(self, state: str) -> None:
        if state == "connected":
            self._tx, self._rx = SrtpSession(self._dtls.tx_session), SrtpSession(self._dtls.rx_session)
            self.connected.set()
