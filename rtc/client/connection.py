"""The media connection of a client: ICE, DTLS and SRTP under one roof.

RTP and RTCP packets in the clear above it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aiortc.rtcdtlstransport import RTCCertificate
from pylibsrtp import Error as SrtpError

from rtc.client.ice import ClientIce
from rtc.client.offer import Answer, LocalTransport
from rtc.transport.dtls import SecureTransport
from rtc.wire.rtp import is_rtcp

EARLY_PACKETS = 64
"""SRTP packets kept while DTLS finishes, at most: media may overtake the last flight."""


@dataclass(slots=True)
class ConnectionCounters:
    """Packets and bytes on the wire, SRTP included, DTLS and STUN not."""

    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    malformed: int = 0
    """Datagrams that were forged, replayed or not understood."""


class Connection:
    """One ICE and DTLS association with the server.

    `received(data, rtcp)` gets each packet in the clear; `failed` is called when the connection is lost after it
    stood. Both are called synchronously on the loop.
    """

    def __init__(
        self,
        *,
        loopback: bool,
        received: Callable[[bytes, bool], None],
        failed: Callable[[], None],
        counters: ConnectionCounters,
    ) -> None:
        self.counters = counters
        self._received = received
        self._failed = failed
        self._ice = ClientIce(loopback=loopback, received=self._datagram, lost=self._lost)
        self._certificate = RTCCertificate.generateCertificate()
        self._secure: SecureTransport | None = None
        self._state_changed = asyncio.Event()
        self._early: deque[bytes] = deque(maxlen=EARLY_PACKETS)
        self._early_dtls: deque[bytes] = deque(maxlen=EARLY_PACKETS)
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether packets can be sent."""
        return self._secure is not None and self._secure.state == "connected" and not self._closed

    async def gather(self) -> LocalTransport:
        """Gather candidates; return what the offer says of this end."""
        await self._ice.gather_candidates()
        return LocalTransport(
            ufrag=self._ice.local_username,
            pwd=self._ice.local_password,
            fingerprints=tuple((f.algorithm, f.value) for f in self._certificate.getFingerprints()),
            candidates=tuple(candidate.to_sdp() for candidate in self._ice.local_candidates),
        )

    async def connect(self, answer: Answer) -> None:
        """Connect as the answer says. Raises ConnectionError; bounded by the caller's timeout."""
        self._ice.remote_username = answer.ufrag
        self._ice.remote_password = answer.pwd
        for candidate in answer.candidates:
            await self._ice.add_remote_candidate(candidate)
        await self._ice.add_remote_candidate(None)
        secure = SecureTransport(
            self._certificate, self._send, self._dtls_state, role=answer.dtls_role, profiles="all"
        )
        self._secure = secure
        while self._early_dtls:
            secure.feed(self._early_dtls.popleft())
        await self._ice.connect()
        secure.start(answer.fingerprints)
        while secure.state != "connected":
            if secure.state in {"failed", "closed"}:
                raise ConnectionError("the DTLS handshake with the server failed")
            self._state_changed.clear()
            await self._state_changed.wait()
        while self._early:
            self._datagram(self._early.popleft())

    def send_rtp(self, packet: bytes) -> None:
        """Send an RTP packet; dropped while there is no connection."""
        if self.connected and self._secure is not None:
            self._send_protected(self._secure.tx_session.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """Send a compound RTCP packet; dropped while there is no connection."""
        if self.connected and self._secure is not None:
            self._send_protected(self._secure.tx_session.protect_rtcp(packet))

    async def close(self) -> None:
        """Say goodbye and free everything."""
        self._closed = True
        if self._secure is not None:
            await self._secure.stop()
        await self._ice.close()

    def _send_protected(self, data: bytes) -> None:
        self._send(data)
        self.counters.packets_sent += 1
        self.counters.bytes_sent += len(data)

    def _send(self, data: bytes) -> None:
        self._ice.send_now(data)

    def _datagram(self, data: bytes) -> None:
        if not data:
            return
        if 20 <= data[0] <= 63:
            if self._secure is None:
                self._early_dtls.append(data)
            else:
                self._secure.feed(data)
        elif 128 <= data[0] <= 191:
            self._srtp(data)

    def _srtp(self, data: bytes) -> None:
        if self._closed:
            return
        if self._secure is None or self._secure.state != "connected":
            self._early.append(data)
            return
        rtcp = is_rtcp(data)
        session = self._secure.rx_session
        try:
            packet = session.unprotect_rtcp(data) if rtcp else session.unprotect(data)
        except (SrtpError, ValueError):
            self.counters.malformed += 1
            return
        self.counters.packets_received += 1
        self.counters.bytes_received += len(data)
        self._received(packet, rtcp)

    def _dtls_state(self, state: str) -> None:
        self._state_changed.set()
        if state == "closed":
            self._lost()

    def _lost(self) -> None:
        if not self._closed:
            self._failed()
