"""DTLS-SRTP and data channels for one peer, over datagrams that the owner feeds and sends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from aiortc import RTCDataChannel
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities
from pylibsrtp import Session

from rtc.transport.aiortc_private import DtlsTransport, Profiles, Role, SctpTransport

logger = logging.getLogger(__name__)

QUEUE_DATAGRAMS = 64
"""DTLS datagrams waiting for the transport's task: several flights, or a burst of data-channel packets."""

MAX_CHANNELS = 32
"""Data channels that one peer may have open."""


class DatagramPipe:
    """The three members of an ICE transport that aiortc's RTCDtlsTransport uses, over plain callbacks."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.dropped = 0
        """Datagrams that found the queue full."""
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def feed(self, datagram: bytes) -> None:
        """Queue one DTLS datagram from the peer; what is not DTLS by its first byte (RFC 7983) is ignored."""
        if not datagram or not 20 <= datagram[0] <= 63 or self._closed:
            return
        if len(self._queue) >= QUEUE_DATAGRAMS:
            self.dropped += 1
            return
        self._queue.append(datagram)
        self._wake.set()

    def close(self) -> None:
        """End `_recv` with ConnectionError, and send nothing any more."""
        self._closed = True
        self.send = _ignore
        self._queue.clear()
        self._wake.set()

    async def _recv(self) -> bytes:
        while not self._queue:
            if self._closed:
                raise ConnectionError
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        self.send(data)


class SecureTransport:
    """The DTLS association with one peer: its SRTP sessions, and its data channels.

    `send`, `on_state` and `on_channel` are called synchronously on the loop and must not raise. States are
    those of RTCDtlsTransport (W3C): new, connecting, connected, closed, failed.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        send: Callable[[bytes], None],
        on_state: Callable[[str], None],
        *,
        role: Role,
        profiles: Profiles,
        on_channel: Callable[[RTCDataChannel], None] | None = None,
    ) -> None:
        self.state = "new"
        self._pipe = DatagramPipe(send)
        self._dtls = DtlsTransport(self._pipe, certificate, role=role, profiles=profiles)
        self._dtls.on("statechange", lambda: self._set_state(self._dtls.state))
        self._on_state = on_state
        self._on_channel = on_channel
        self._sctp: SctpTransport | None = None
        self._sctp_parameters: tuple[RTCSctpCapabilities, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def rx_session(self) -> Session:
        """The SRTP session for packets from the peer; None unless it has been connected."""
        return self._dtls.rx_session

    @property
    def tx_session(self) -> Session:
        """The SRTP session for packets to the peer; None unless it has been connected."""
        return self._dtls.tx_session

    @property
    def profile(self) -> str:
        """The negotiated SRTP protection profile, such as SRTP_AEAD_AES_128_GCM; empty before."""
        return self._dtls.profile

    @property
    def malformed(self) -> int:
        """Datagrams from the peer that were dropped: the queue was full, or they were refused."""
        return self._pipe.dropped + self._dtls.malformed

    def start(self, fingerprints: Sequence[RTCDtlsFingerprint]) -> None:
        """Begin the handshake. The peer's certificate must match all `fingerprints` that we can compute.

        Datagrams fed before are used. Raise ValueError when there is no fingerprint.
        """
        if not fingerprints:
            raise ValueError("DTLS needs the fingerprint of the peer's certificate")
        if self._task is None:
            parameters = RTCDtlsParameters(fingerprints=list(fingerprints))
            self._task = asyncio.create_task(self._run(parameters))

    def open_channels(self, *, remote_port: int, max_message_size: int, local_port: int = 5000) -> None:
        """Run data channels (RFC 8831) over this transport as soon as it is connected.

        `max_message_size` is the peer's, in bytes, 0 for any (RFC 8841). A second call changes nothing.
        """
        if self._sctp is None:
            self._sctp = SctpTransport(self._dtls, local_port)
            self._sctp.on("datachannel", self._channel_opened)
            self._sctp_parameters = RTCSctpCapabilities(maxMessageSize=max_message_size), remote_port
            self._wake.set()

    def feed(self, datagram: bytes) -> None:
        """Take one DTLS datagram from the peer, before or after start().

        Only from an address that ICE has authenticated: DTLS 1.2 lets anyone's datagram end a handshake.
        """
        self._pipe.feed(datagram)

    async def stop(self) -> None:
        """Send close_notify, if there is someone to send it to, and end everything that start() began."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._pipe.close()
        self._set_state("closed")
        # What leads back to here or to the owner would keep all of it until a garbage collection.
        self._task = None
        self._on_state, self._on_channel = _ignore, None
        self._dtls.remove_all_listeners()

    async def _run(self, parameters: RTCDtlsParameters) -> None:
        try:
            await self._dtls.start(parameters)
            while self.state == "connected":
                if self._sctp is not None and self._sctp_parameters is not None:
                    capabilities, port = self._sctp_parameters
                    self._sctp_parameters = None
                    await self._sctp.start(capabilities, port)
                await self._wake.wait()
                self._wake.clear()
        except Exception:
            logger.exception("DTLS transport failed")
            self._set_state("failed")
        finally:
            if self._sctp is not None:
                await self._sctp.stop()
            await self._dtls.stop()
            self._pipe.close()

    def _set_state(self, state: str) -> None:
        if state != self.state and self.state not in ("closed", "failed"):
            self.state = state
            self._wake.set()
            self._on_state(state)

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if self._sctp is None or self._sctp.open_channels > MAX_CHANNELS or self._on_channel is None:
            channel.close()
        else:
            self._on_channel(channel)


def _ignore(what: object) -> None:
    """Nobody is told any more."""
