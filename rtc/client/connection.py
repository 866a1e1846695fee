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
from rtc.repair.redundancy import COPY_SPACING_SECONDS
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
    unsendable: int = 0
    """Packets of ours that SRTP refused."""


class Connection:
    """One ICE and DTLS association with the server.

    `received(data, rtcp)` gets each packet in the clear; `failed` is called when it is lost after it
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
        self._loopback = loopback
        self._ice: ClientIce | None = None
        self._next_ice: ClientIce | None = None
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

    @property
    def rtt(self) -> float | None:
        """Round trip to the server in seconds, by ICE; None until measured."""
        return None if self._ice is None else self._ice.rtt

    async def gather(self) -> LocalTransport:
        """Gather candidates, at first or for an ICE restart; return what the offer says of this end."""
        if self._next_ice is not None:
            await self._next_ice.close()
        ice = ClientIce(loopback=self._loopback, received=self._datagram, lost=self._lost)
        self._next_ice = ice
        await ice.gather_candidates()
        return LocalTransport(
            ufrag=ice.local_username,
            pwd=ice.local_password,
            fingerprints=tuple((f.algorithm, f.value) for f in self._certificate.getFingerprints()),
            candidates=tuple(candidate.to_sdp() for candidate in ice.local_candidates),
        )

    async def connect(self, answer: Answer) -> None:
        """Connect as the answer says; after an ICE restart, DTLS goes on (RFC 8842 section 5.5).

        Raises ConnectionError; bounded by the caller's timeout.
        """
        ice = self._next_ice
        if ice is None:
            raise ConnectionError("no candidates were gathered")
        ice.remote_username = answer.ufrag
        ice.remote_password = answer.pwd
        for candidate in answer.candidates:
            await ice.add_remote_candidate(candidate)
        await ice.add_remote_candidate(None)
        await ice.connect()
        old, self._ice, self._next_ice = self._ice, ice, None
        if old is not None:
            await old.close()
        if self._secure is None:
            await self._shake_hands(answer)

    async def _shake_hands(self, answer: Answer) -> None:
        secure = SecureTransport(
            self._certificate, self._send, self._dtls_state, role=answer.dtls_role, profiles="all"
        )
        self._secure = secure
        while self._early_dtls:
            secure.feed(self._early_dtls.popleft())
        secure.start(answer.fingerprints)
        while secure.state != "connected":
            if secure.state in {"failed", "closed"}:
                raise ConnectionError("the DTLS handshake with the server failed")
            self._state_changed.clear()
            await self._state_changed.wait()
        while self._early:
            self._datagram(self._early.popleft())

    def send_rtp(self, packet: bytes, *, copies: int = 1) -> None:
        """Send an RTP packet; dropped while there is no connection, or when SRTP finds it too old.

        Further copies follow COPY_SPACING_SECONDS apart: the same datagram, of which the server takes one.
        """
        if self.connected and self._secure is not None:
            try:
                protected = self._secure.tx_session.protect(packet)
            except (SrtpError, ValueError):
                self.counters.unsendable += 1
            else:
                self._send_protected(protected)
                for number in range(1, copies):
                    delay = number * COPY_SPACING_SECONDS
                    asyncio.get_running_loop().call_later(delay, self._send_copy, protected)

    def send_rtcp(self, packet: bytes) -> None:
        """Send a compound RTCP packet; dropped while there is no connection."""
        if self.connected and self._secure is not None:
            self._send_protected(self._secure.tx_session.protect_rtcp(packet))

    async def close(self) -> None:
        """Say goodbye and free everything."""
        self._closed = True
        if self._secure is not None:
            await self._secure.stop()
        for ice in (self._ice, self._next_ice):
            if ice is not None:
                await ice.close()

    def _send_copy(self, data: bytes) -> None:
        if not self._closed:
            self._send_protected(data)

    def _send_protected(self, data: bytes) -> None:
        self._send(data)
        self.counters.packets_sent += 1
        self.counters.bytes_sent += len(data)

    def _send(self, data: bytes) -> None:
        if self._ice is not None:
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
        if self._ice is not None:
            self._ice.heard()
        self._received(packet, rtcp)

    def _dtls_state(self, state: str) -> None:
        self._state_changed.set()
        if state == "closed":
            self._lost()

    def _lost(self) -> None:
        if not self._closed:
            self._failed()
