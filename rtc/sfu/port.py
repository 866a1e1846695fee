"""The one UDP port: tells which datagram is for which peer, and gathers what goes out (RFC 7983, RFC 8445)."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import structlog
from aiortc.rtcdtlstransport import RTCCertificate

from rtc.transport.addresses import AddressTable
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.ice import peek_username
from rtc.transport.records import HANDSHAKE
from rtc.transport.srtp import SrtpSession
from rtc.wire.sdp import Candidate

from .counts import MediaCounts
from .sender import Sender

if TYPE_CHECKING:
    from .link import Link
    from .source import Source
log = structlog.get_logger()


class Receiver(Protocol):
    """What takes the datagrams of one peer."""

    def receive_srtp(self, inbox: Inbox, i: int, source: bytes, *, now: float) -> None:
        """Take row i, SRTP or SRTCP, from `source`."""

    def receive_stun(self, message: bytes, source: bytes, *, now: float) -> bool:
        """Take a STUN message; False when it was refused."""

    def receive_dtls(self, datagram: bytes) -> None:
        """Take a DTLS datagram."""

    def outlet_changed(self) -> None:
        """Packets can now be sent to the peer, or no longer."""

    def repair(self, source: Source, *, now: float) -> bool:
        """Ask the peer for what its source misses; False when nothing is left to ask for."""


EARLY_SECONDS = 1.0
"""How long a DTLS datagram is kept whose address has not authenticated: then its sender repeats it."""

EARLY_ADDRESSES = 64
"""Addresses for which such are kept."""

EARLY_DATAGRAMS = 4
"""Such of one address: a ClientHello has one or two."""

REBIND_TRIES_PER_SECOND = 200
"""Packets from unknown addresses that are tried on the peer whose SSRC they bear: bounds what forgers can cost."""


class Port:
    """What all peers of a node share: addresses, the outbox, the certificate, and the way of a datagram to its peer.

    Does no IO: `transmit` is called with a full outbox and empties it, `wake` when something waits in the outbox.
    """

    def __init__(
        self, certificate: RTCCertificate, *, now: Callable[[], float], wall_offset: float,
        transmit: Callable[[Outbox, AddressTable], None], wake: Callable[[], None], retire: Callable[[Link], None],
    ) -> None:
        self.certificate = certificate
        self.now = now
        """The steady clock, for what begins outside the receiving of a datagram."""
        self.fingerprints = tuple((f.algorithm, f.value) for f in certificate.getFingerprints())
        self.candidates: tuple[Candidate, ...] = ()
        """What the answers announce."""
        self.wall_offset = wall_offset
        """Unix time minus `now`, seconds."""
        self.addresses = AddressTable()
        self.outbox = Outbox()
        self.sender = Sender(self.outbox, self._empty)
        self.drops: Counter[str] = Counter()
        """Datagrams and packets dropped, by reason."""
        self.repairs: dict[Source, Receiver] = {}
        """Sources that miss packets or want a key frame, with their publisher: looked after every few milliseconds."""
        self._transmit = transmit
        self._wake = wake
        self.retire = retire
        """Closes a link that a new one has replaced."""
        self.departed = MediaCounts()
        """Figures of what is gone, so that sums never fall."""
        self._by_address: dict[bytes, Receiver] = {}
        self._by_ufrag: dict[str, Receiver] = {}
        self._by_ssrc: dict[int, Receiver] = {}
        self._early: OrderedDict[bytes, list[tuple[float, bytes]]] = OrderedDict()
        self._tries = 0
        self._tries_since = 0.0

    def receive(self, inbox: Inbox, count: int, *, now: float) -> None:
        """Take the first `count` datagrams of the inbox."""
        by_address = self._by_address
        for i in range(count):
            first = inbox.rows[i][0]
            try:
                if 128 <= first <= 191:
                    source = inbox.sockaddr(i)
                    peer = by_address.get(source)
                    if peer is None:
                        self._rebind(inbox, i, source, now)
                    else:
                        peer.receive_srtp(inbox, i, source, now=now)
                else:
                    self._receive_other(first, bytes(inbox.rows[i][: inbox.sizes[i]]), inbox.sockaddr(i), now)
            except Exception as fault:
                self.report_fault(fault)

    def send(self, data: bytes, destination: int, session: SrtpSession | None = None) -> None:
        """Put one datagram into the outbox, a compound RTCP packet with the `session` that is to protect it."""
        if destination < 0:
            self.drops["no-path"] += 1
            return
        outbox = self.outbox
        if len(data) > outbox.row_size:
            self.drops["too-long"] += 1
            return
        if outbox.count == outbox.capacity:
            self._empty()
        outbox.append(data, destination)
        if session is not None and not session.protect_rtcp_row(outbox, outbox.count - 1):
            outbox.count -= 1
            self.sender.failures += 1
            return
        self._wake()

    def reply(self, data: bytes, source: bytes) -> None:
        """Answer a datagram at once, to where it came from, whatever path its peer has."""
        destination = self.addresses.add(source)
        self.send(data, destination)
        self.flush()
        self.addresses.remove(destination)

    def flush(self) -> None:
        """Send everything that waits."""
        settling = True
        while settling:
            try:
                settling = self.sender.settle()
            except Exception as fault:
                self.report_fault(fault)
        self._empty()

    def register_ufrag(self, ufrag: str, peer: Receiver) -> None:
        """Checks for this ufrag belong to `peer`."""
        self._by_ufrag[ufrag] = peer

    def register_address(self, source: bytes, peer: Receiver) -> None:
        """Datagrams from this address, which has authenticated, belong to `peer`."""
        self._by_address[source] = peer
        for since, datagram in self._early.pop(source, ()):
            if self.now() - since <= EARLY_SECONDS:
                peer.receive_dtls(datagram)

    def register_ssrc(self, ssrc: int, peer: Receiver) -> None:
        """Packets with this SSRC from an unknown address may be from `peer`."""
        self._by_ssrc[ssrc] = peer

    def unregister(self, peer: Receiver, *, addresses: Iterable[bytes] = (), ufrags: Iterable[str] = (),
                   ssrcs: Iterable[int] = ()) -> None:
        """Forget these keys, so far as they are still this peer's."""
        for address in addresses:
            if self._by_address.get(address) is peer:
                del self._by_address[address]
        for ufrag in ufrags:
            if self._by_ufrag.get(ufrag) is peer:
                del self._by_ufrag[ufrag]
        for ssrc in ssrcs:
            if self._by_ssrc.get(ssrc) is peer:
                del self._by_ssrc[ssrc]

    @property
    def busy(self) -> bool:
        """Whether `tick` has something to do in the next few milliseconds."""
        return bool(self.repairs) or self.sender.next_time() is not None

    def look_after(self, source: Source, peer: Receiver) -> None:
        """Its publisher may have to be asked for something."""
        self.repairs[source] = peer
        self._wake()

    def tick(self, *, now: float) -> None:
        """Send copies, ask for what is missing; to be called every few milliseconds while `busy`."""
        self.sender.send_due(now=now)
        for source, peer in list(self.repairs.items()):
            try:
                looked_after = not peer.repair(source, now=now)
            except Exception as fault:
                looked_after = True
                self.report_fault(fault)
            if looked_after:
                del self.repairs[source]

    def report_fault(self, fault: Exception) -> None:
        """Count and log a fault of ours that one peer's traffic brought out."""
        self.drops["fault"] += 1
        log.error("a fault in the media path", exc_info=fault)

    def _empty(self) -> None:
        """Send what is in the outbox."""
        if self.outbox.count:
            self._transmit(self.outbox, self.addresses)

    def _receive_other(self, first: int, datagram: bytes, source: bytes, now: float) -> None:
        if first <= 3:
            self._receive_stun(datagram, source, now)
        elif 20 <= first <= 63:
            peer = self._by_address.get(source)
            if peer is not None:
                peer.receive_dtls(datagram)
            elif first == HANDSHAKE:
                self._hold(datagram, source, now)
            else:  # mostly the goodbye of somebody whom signalling has taken out already
                self.drops["dtls-unknown-address"] += 1
        else:
            self.drops["unknown-protocol"] += 1

    def _hold(self, datagram: bytes, source: bytes, now: float) -> None:
        """Keep a handshake that overtook the check of its address: its sender would repeat it after a second."""
        held = self._early.setdefault(source, [])
        if len(held) < EARLY_DATAGRAMS:
            held.append((now, datagram))
        else:
            self.drops["dtls-unknown-address"] += 1
        if len(self._early) > EARLY_ADDRESSES:
            _, forgotten = self._early.popitem(last=False)
            self.drops["dtls-unknown-address"] += len(forgotten)

    def _receive_stun(self, message: bytes, source: bytes, now: float) -> None:
        ufrag = peek_username(message)
        peer = None if ufrag is None else self._by_ufrag.get(ufrag)
        if peer is None:
            self.drops["stun-unknown"] += 1
        elif not peer.receive_stun(message, source, now=now):
            self.drops["stun-refused"] += 1

    def _rebind(self, inbox: Inbox, i: int, source: bytes, now: float) -> None:
        """A packet from nowhere: perhaps a peer whose NAT gave it another address."""
        if now - self._tries_since >= 1:
            self._tries, self._tries_since = 0, now
        row, size = inbox.rows[i], inbox.sizes[i]
        is_rtcp = size > 1 and 192 <= row[1] <= 223
        start = 4 if is_rtcp else 8
        peer = self._by_ssrc.get(int.from_bytes(row[start : start + 4], "big")) if size >= start + 4 else None
        if peer is None or self._tries >= REBIND_TRIES_PER_SECOND:
            self.drops["srtp-unknown-address"] += 1
            return
        self._tries += 1
        peer.receive_srtp(inbox, i, source, now=now)
