"""aiortc's DTLS and SCTP made fit for a server: all the private names of aiortc that rtc.transport leans on.

What is changed, and why, against aiortc 1.16:
- a hostile datagram, DTLS record or SCTP packet is counted and dropped; upstream, some end the session, and
  two kinds of SCTP chunk stop the whole process;
- a flight longer than one datagram is sent whole, record by record, in datagrams that fit any path;
- a flight is sent again after 0.1 s instead of 1 s, and the handshake has a deadline;
- OpenSSL's connection goes when the handshake is over: of what a listener costs it would be more than half;
- SRTP packets never come here: the owner takes the two sessions and does its own receiving and sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from typing import Literal, Protocol

from aiortc import rtcdtlstransport, rtcsctptransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpTransport
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from pylibsrtp import Session

from rtc.transport.records import (
    ALERT,
    APPLICATION_DATA,
    CLOSE_NOTIFY,
    HANDSHAKE,
    SUITES,
    Records,
    ends_connection,
    pack_records,
)

logger = logging.getLogger(__name__)

Role = Literal["client", "server"]
Profiles = Literal["gcm", "all"]

DTLS_MTU = 1200
"""Bytes of one DTLS datagram: what WebRTC stacks send, and what tunnels and IPv6's 1280 leave room for."""

HANDSHAKE_SECONDS = 30.0
"""From start() to connected; a peer whose packets do not arrive shall not keep a transport for ever."""

RESEND_SECONDS = 0.1
"""First repetition of an unanswered flight, doubled each time; OpenSSL's own timer is fixed at 1 s."""

LAST_FLIGHT_RESENDS = 3
"""Repetitions of the flight that nothing answers, 0.1, 0.3 and 0.7 s after the handshake."""

SCTP_RTO_INITIAL = 0.5
SCTP_RTO_MIN = 0.4
"""Seconds, as in Chromium's SCTP; with aiortc's 3 s and 1 s (RFC 9260 section 16) a loss costs a second."""

MAX_HELD_CHUNKS = 512
"""DATA chunks out of order or of unfinished messages: a 256 KiB message has 228; aiortc walks them all."""

MAX_INBOUND_STREAMS = 256
"""SCTP streams that the peer may have sent on."""

MAX_GAP_SPAN = 4096
"""TSNs that the gap blocks of one SCTP packet may name in all: aiortc walks each of them."""

SCTP_TIME_SHARE = 0.1
SCTP_TIME_BURST = 0.02
"""Share of the processor, and seconds of it at once, that one peer's SCTP chunks may take from the others."""

_RELEASE_BUFFERS = 0x10  # SSL_MODE_RELEASE_BUFFERS: an idle connection keeps no 16 kB each way

_GCM = (rtcdtlstransport.SRTP_AEAD_AES_128_GCM, rtcdtlstransport.SRTP_AEAD_AES_256_GCM)
PROFILES = {"gcm": [*_GCM], "all": [*_GCM, rtcdtlstransport.SRTP_AES128_CM_SHA1_80]}
"""What is offered as DTLS client and preferred as DTLS server, cheapest first (RFC 5764, RFC 7714)."""


class Pipe(Protocol):
    """What aiortc needs of an ICE transport."""

    role: str

    async def _recv(self) -> bytes: ...

    async def _send(self, data: bytes) -> None: ...

    def send(self, data: bytes) -> None:
        """Send a datagram now."""


class SharedCertificate(RTCCertificate):
    """A certificate whose connections share one OpenSSL context for each list of profiles.

    aiortc makes one for every connection, which costs each a millisecond and 40 kB.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> None:
        super().__init__(key, cert)
        self._contexts: dict[tuple[str, ...], SSL.Context] = {}

    def _create_ssl_context(self, srtp_profiles: list[rtcdtlstransport.SRTPProtectionProfile]) -> SSL.Context:
        names = tuple(profile.openssl_profile.decode() for profile in srtp_profiles)
        context = self._contexts.get(names)
        if context is None:
            context = self._contexts[names] = super()._create_ssl_context(srtp_profiles)
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # no handshake is resumed
            context.set_mode(_RELEASE_BUFFERS)
        return context


class DtlsTransport(RTCDtlsTransport):
    """A DTLS transport over a pipe of datagrams, that hostile ones do not end."""

    _ssl: SSL.Connection  # None before start() and where there are `_records`, and not used then

    def __init__(self, pipe: Pipe, certificate: RTCCertificate, *, role: Role, profiles: Profiles) -> None:
        super().__init__(pipe, [certificate])  # type: ignore[arg-type]  # aiortc uses just these members of it
        self.malformed = 0
        """Datagrams from the peer that OpenSSL or SCTP refused."""
        self._pipe = pipe
        self._srtp_profiles = PROFILES[profiles]
        self._set_role(role)
        self._our_role = role
        self._records: Records | None = None
        self._profile = ""
        self._flight: list[bytes] = []
        self._resend_after = RESEND_SECONDS
        self._resend_timer: asyncio.TimerHandle | None = None

    @property
    def rx_session(self) -> Session:
        """What unprotects packets from the peer; None before the state is connected."""
        return self._rx_srtp

    @property
    def tx_session(self) -> Session:
        """What protects packets to the peer; None before the state is connected."""
        return self._tx_srtp

    @property
    def profile(self) -> str:
        """The negotiated SRTP protection profile, by OpenSSL's name; empty before the handshake is done."""
        return self._profile

    async def stop(self) -> None:
        """Send close_notify and end the task."""
        self._stop_resending()
        connected = self._state == rtcdtlstransport.State.CONNECTED
        await super().stop()
        if self._records is not None and connected:
            self._pipe.send(self._records.seal(ALERT, CLOSE_NOTIFY))
        elif self.encrypted and self._state == rtcdtlstransport.State.FAILED:
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()  # we refused its certificate: upstream leaves the peer waiting
            self._flush()

    async def _do_handshake(self) -> None:
        self._ssl.set_options(SSL.OP_NO_QUERY_MTU)
        self._ssl.set_ciphertext_mtu(DTLS_MTU)
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                while not self._advance_handshake():
                    await self._next_handshake_datagram()
        except (SSL.Error, ConnectionError, TimeoutError) as error:
            logger.debug("DTLS handshake failed: %r", error)
            self._stop_resending()
            self._flush()  # the alert that says why
            self._set_state(rtcdtlstransport.State.FAILED)

    def _setup_srtp(self) -> None:
        super()._setup_srtp()
        if self._state == rtcdtlstransport.State.FAILED:
            return
        connection = self._ssl
        self._profile = connection.get_selected_srtp_profile().decode()
        suite = SUITES.get(connection.get_cipher_name() or "")
        master, ours, theirs = connection.master_key(), connection.client_random(), connection.server_random()
        if suite and master and ours and theirs and connection.get_protocol_version_name() == "DTLSv1.2":
            self._records = Records.derive(
                suite, role=self._our_role, master=master, client_random=ours, server_random=theirs
            )
            self._ssl = None  # type: ignore[assignment]  # frees it; what would use it asks for `_records` first

    def _advance_handshake(self) -> bool:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            pass
        else:
            self.encrypted = True
        flight = self._flush()
        if flight:
            self._resend_flight_later(flight)
        elif self.encrypted:  # the peer has had the last word, and so all of ours
            self._stop_resending()
            self._flight = []
        return self.encrypted

    async def _next_handshake_datagram(self) -> None:
        try:
            async with asyncio.timeout(self._ssl.DTLSv1_get_timeout()):
                datagram = await self._pipe._recv()
        except TimeoutError:
            self._ssl.DTLSv1_handle_timeout()
        else:
            self._ssl.bio_write(datagram)

    def _resend_flight_later(self, flight: list[bytes]) -> None:
        self._stop_resending()
        self._flight = flight
        self._resend_after = RESEND_SECONDS
        self._resend_timer = asyncio.get_running_loop().call_later(self._resend_after, self._resend_flight)

    def _resend_flight(self) -> None:
        # The same records again: the peer's replay check drops those that it has.
        self._send_flight()
        self._resend_after *= 2
        if self.encrypted and self._resend_after >= RESEND_SECONDS * 2**LAST_FLIGHT_RESENDS:
            self._resend_timer = None
        else:
            loop = asyncio.get_running_loop()
            self._resend_timer = loop.call_later(self._resend_after, self._resend_flight)

    def _send_flight(self) -> None:
        for datagram in self._flight:
            self._pipe.send(datagram)

    def _stop_resending(self) -> None:
        if self._resend_timer is not None:
            self._resend_timer.cancel()
            self._resend_timer = None

    async def _recv_next(self) -> None:
        if self._records is None:
            await self._recv_from_openssl()
            return
        datagram = await self._pipe._recv()
        refused = self._records.refused
        opened = self._records.open(datagram)
        self.malformed += self._records.refused - refused
        for kind, body in opened:
            if kind == HANDSHAKE:  # it begs for our last flight, which was lost
                self._send_flight()
            elif kind == ALERT and ends_connection(body):
                raise ConnectionError
            elif kind == APPLICATION_DATA and self._data_receiver is not None:
                await self._data_receiver._handle_data(body)

    async def _recv_from_openssl(self) -> None:
        # With DTLS 1.3 OpenSSL may still have a flight to repeat after the handshake.
        try:
            async with asyncio.timeout(self._ssl.DTLSv1_get_timeout()):
                datagram = await self._pipe._recv()
        except TimeoutError:
            self._ssl.DTLSv1_handle_timeout()
            self._flush()
            return
        self._ssl.bio_write(datagram)
        while True:
            try:
                data = self._ssl.recv(65536)
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self._flush()
                raise ConnectionError from None
            except SSL.Error:
                self.malformed += 1
                break
            if self._data_receiver is not None:
                await self._data_receiver._handle_data(data)
        self._flush()

    async def _send_data(self, data: bytes) -> None:
        # SCTP's timers may fire after the end: a lost packet for them, not an error in a task nobody awaits.
        if self._state != rtcdtlstransport.State.CONNECTED:
            return
        if self._records is not None:
            self._pipe.send(self._records.seal(APPLICATION_DATA, data))
        else:
            with contextlib.suppress(SSL.Error):
                self._ssl.send(data)
            self._flush()

    async def _write_ssl(self) -> None:
        self._flush()

    def _flush(self) -> list[bytes]:
        """Send what OpenSSL has written, and return its datagrams."""
        datagrams: list[bytes] = []
        while True:
            try:
                written = self._ssl.bio_read(65536)
            except SSL.Error:
                break
            datagrams.extend(pack_records(written, DTLS_MTU))
        for datagram in datagrams:
            self._pipe.send(datagram)
        return datagrams


class SctpTransport(RTCSctpTransport):
    """An SCTP association that drops what would crash, stop or swell the process."""

    def __init__(self, transport: DtlsTransport, port: int) -> None:
        super().__init__(transport, port)
        self._rto = SCTP_RTO_INITIAL
        self._dtls = transport
        self._budget = SCTP_TIME_BURST
        self._budget_at = time.perf_counter()

    @property
    def open_channels(self) -> int:
        """How many data channels there are now, in any state but closed."""
        return len(self._data_channels)

    async def _handle_data(self, data: bytes) -> None:
        if not sctp_chunks_are_sane(data):
            self._dtls.malformed += 1
            return
        try:
            await super()._handle_data(data)
        except (
            Exception
        ):  # upstream asserts and unpacks without checks: whatever it raises, the peer caused it
            self._dtls.malformed += 1
            logger.debug("SCTP packet dropped", exc_info=True)

    async def _receive_chunk(self, chunk: rtcsctptransport.Chunk) -> None:
        now = time.perf_counter()
        self._budget = min(SCTP_TIME_BURST, self._budget + SCTP_TIME_SHARE * (now - self._budget_at))
        self._budget_at = now
        if self._budget <= 0:  # SCTP takes it for congestion, and slows down
            self._dtls.malformed += 1
            return
        begun = time.thread_time()
        try:
            await super()._receive_chunk(chunk)
        finally:
            self._budget -= time.thread_time() - begun

    async def _receive_data_chunk(self, chunk: rtcsctptransport.DataChunk) -> None:
        if self._last_received_tsn is None:  # no association yet
            return
        expected = rtcsctptransport.tsn_plus_one(self._last_received_tsn)
        if len(self._sack_misordered) >= MAX_HELD_CHUNKS and chunk.tsn != expected:
            self._dtls.malformed += 1
            return
        await super()._receive_data_chunk(chunk)
        held = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if held > MAX_HELD_CHUNKS or self._advertised_rwnd < 0:
            self._dtls.malformed += 1
            await self.stop()

    def _get_inbound_stream(self, stream_id: int) -> rtcsctptransport.InboundStream:
        if stream_id not in self._inbound_streams and len(self._inbound_streams) >= MAX_INBOUND_STREAMS:
            raise ValueError("the peer sends on too many SCTP streams")
        return super()._get_inbound_stream(stream_id)

    def _update_rto(self, R: float) -> None:  # noqa: N803  # upstream's name, as in RFC 9260 section 6.3.1
        super()._update_rto(R)
        if self._srtt is not None and self._rttvar is not None:
            self._rto = max(SCTP_RTO_MIN, min(self._srtt + 4 * self._rttvar, rtcsctptransport.SCTP_RTO_MAX))


def sctp_chunks_are_sane(packet: bytes) -> bool:
    """Return whether aiortc handles this SCTP packet in bounded time.

    Its parser never ends at a parameter of length 0 (RFC 9260 section 3.2.1: at least 4), and it walks every
    TSN that a SACK's gap blocks name.
    """
    position = rtcsctptransport.SCTP_COMMON_HEADER_LENGTH
    span = 0
    while position + 4 <= len(packet):
        kind, _, length = struct.unpack_from("!BBH", packet, position)
        if length < 4 or position + length > len(packet):
            return False
        body = packet[position + 4 : position + length]
        if kind in _PARAMETERS_AT and not _parameters_are_sane(body, _PARAMETERS_AT[kind]):
            return False
        if kind == rtcsctptransport.SackChunk.type:
            span += _gap_span(body)
            if span > MAX_GAP_SPAN:
                return False
        position += length + (-length % 4)
    return True


_PARAMETERS_AT = {
    rtcsctptransport.InitChunk.type: 16,
    rtcsctptransport.InitAckChunk.type: 16,
    rtcsctptransport.HeartbeatChunk.type: 0,
    rtcsctptransport.HeartbeatAckChunk.type: 0,
    rtcsctptransport.AbortChunk.type: 0,
    rtcsctptransport.ErrorChunk.type: 0,
    rtcsctptransport.ReconfigChunk.type: 0,
}


def _parameters_are_sane(body: bytes, position: int) -> bool:
    while position + 4 <= len(body):
        length = int.from_bytes(body[position + 2 : position + 4], "big")
        if length < 4:
            return False
        position += length + (-length % 4)
    return True


def _gap_span(body: bytes) -> int:
    """Return how many TSNs the gap blocks of a SACK name; more than allowed for a malformed one."""
    if len(body) < 12:
        return MAX_GAP_SPAN + 1
    gaps, duplicates = struct.unpack_from("!HH", body, 8)
    if 12 + 4 * (gaps + duplicates) > len(body):
        return MAX_GAP_SPAN + 1
    span = 0
    for start, end in struct.iter_unpack("!HH", body[12 : 12 + 4 * gaps]):
        if end < start:
            return MAX_GAP_SPAN + 1
        span += end - start + 1
    return span
