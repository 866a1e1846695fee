"""One client of an SFU: a UDP socket of its own, ICE with aioice's STUN, DTLS by aiortc, SRTP by pylibsrtp."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections import deque
from collections.abc import Sequence

from aioice import stun
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from pylibsrtp import Session

from .sdp import Local, Remote

RECEIVE_BUFFER = 4 << 20  # bytes: the generator looks in every few milliseconds only
CHECK_SECONDS = 0.05  # between two connectivity checks
CONNECT_SECONDS = 20.0
SO_RCVBUFFORCE = 33  # asm-generic/socket.h: beyond the limit, for root
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
AS_BROWSERS = (SRTP_AES128_CM_SHA1_80, SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM)
"""What is accepted, most wanted first: Chromium 156 takes AES-CM from a server that offers both."""
ONLY_GCM, ONLY_CM = (SRTP_AEAD_AES_128_GCM,), (SRTP_AES128_CM_SHA1_80,)


class Endpoint:
    """A client's transport. While it connects it lives on the loop; afterwards `socket` is the engine's."""

    role = "controlling"  # for aiortc: we are the DTLS server

    def __init__(
        self, certificate: RTCCertificate, host: str, profiles: Sequence[SRTPProtectionProfile] = AS_BROWSERS
    ) -> None:
        self.socket = prepared_socket(host)
        fingerprint = next(f.value for f in certificate.getFingerprints() if f.algorithm == "sha-256")
        self.local = Local(secrets.token_hex(4), secrets.token_hex(12), fingerprint, self.socket.getsockname())
        self.remote: Remote | None = None
        self.profile = ""
        self._dtls = RTCDtlsTransport(self, [certificate])  # type: ignore[arg-type]  # it uses role, _recv and _send
        self._dtls._srtp_profiles = list(profiles)
        self._arrived: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._nominated = asyncio.Event()
        self._controlling = True

    @property
    def sending(self) -> Session:
        """Protects what we send."""
        return self._dtls._tx_srtp

    @property
    def receiving(self) -> Session:
        """Unprotects what we receive."""
        return self._dtls._rx_srtp

    async def connect(self, remote: Remote, *, controlling: bool) -> None:
        """Check, nominate, shake hands. Raises TimeoutError or ConnectionError."""
        self.remote, self._controlling = remote, controlling
        self.socket.connect(remote.address)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.socket, self._readable)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                while not self._nominated.is_set():
                    self.socket.send(self.check())
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._nominated.wait(), CHECK_SECONDS)
                await self._dtls.start(RTCDtlsParameters(
                    fingerprints=[RTCDtlsFingerprint(*pair) for pair in remote.fingerprints], role="client",
                ))
        finally:
            loop.remove_reader(self.socket)
        if self._dtls.state != "connected":
            raise ConnectionError(f"DTLS is {self._dtls.state}")
        assert self._dtls._ssl is not None
        self.profile = self._dtls._ssl.get_selected_srtp_profile().decode()

    async def close(self) -> None:
        """End DTLS, so that the server knows, and give the port back."""
        if not self._closed:
            self._closed = True
            self._wake.set()
            with contextlib.suppress(OSError):
                await self._dtls.stop()
            self.socket.close()

    def check(self) -> bytes:
        """A connectivity check, or one of consent (RFC 7675)."""
        assert self.remote is not None
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.remote.ufrag}:{self.local.ufrag}"
        request.attributes["PRIORITY"] = 2130706431
        if self._controlling:
            request.attributes["ICE-CONTROLLING"] = secrets.randbits(64)
            request.attributes["USE-CANDIDATE"] = None
        else:
            request.attributes["ICE-CONTROLLED"] = secrets.randbits(64)
        request.add_message_integrity(self.remote.pwd.encode())
        return bytes(request)

    def take_stun(self, data: bytes) -> None:
        """Answer a check, or note that ours was answered."""
        try:
            message = stun.parse_message(data)
        except ValueError:
            return
        if message.message_class == stun.Class.RESPONSE:
            if self._controlling:
                self._nominated.set()
        elif message.message_class == stun.Class.REQUEST and self.remote is not None:
            response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=message.transaction_id)
            response.attributes["XOR-MAPPED-ADDRESS"] = self.remote.address
            response.add_message_integrity(self.local.pwd.encode())
            with contextlib.suppress(OSError):
                self.socket.send(bytes(response))
            if not self._controlling and "USE-CANDIDATE" in message.attributes:
                self._nominated.set()

    def _readable(self) -> None:
        while True:
            try:
                data = self.socket.recv(2048)
            except OSError:
                return
            if data[0] <= 3:
                self.take_stun(data)
            elif 20 <= data[0] <= 63:
                self._arrived.append(data)
                self._wake.set()

    async def _recv(self) -> bytes:
        while not self._arrived:
            if self._closed:
                raise ConnectionError
            self._wake.clear()
            await self._wake.wait()
        return self._arrived.popleft()

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.send(data)


def prepared_socket(host: str) -> socket.socket:
    """A socket with room for what comes between two looks, whose datagrams the kernel stamps."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    receive_buffer = SO_RCVBUFFORCE if os.geteuid() == 0 else socket.SO_RCVBUF
    made.setsockopt(socket.SOL_SOCKET, receive_buffer, RECEIVE_BUFFER)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    made.bind((host, 0))
    return made


async def close_all(endpoints: Sequence[Endpoint]) -> None:
    """Close many at once."""
    await asyncio.gather(*(endpoint.close() for endpoint in endpoints))
