"""The path to one peer: ICE-lite, DTLS and SRTP over the shared port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from aiortc import RTCDataChannel
from aiortc.rtcdtlstransport import RTCDtlsFingerprint

from rtc.repair.copies import SPACING_SECONDS
from rtc.repair.redundancy import Protection
from rtc.transport.batch import Inbox
from rtc.transport.dtls import SecureTransport
from rtc.transport.ice import IceLite
from rtc.transport.srtp import SrtpSession
from rtc.wire.sdp import Offer

from .outlet import Outlet
from .port import Port, Receiver

QUIET_SECONDS = 7.0
"""Silence after which the peer counts as disconnected: longer than ICE agents leave between checks (RFC 7675)."""

CHECK_SECONDS = 30.0
"""How long a peer may take from its offer to its first connectivity check."""

EARLY_PACKETS = 64
"""Packets kept while DTLS ends, at most: media may overtake the last flight, and a key frame comes first."""

MAX_ADDRESSES = 8
"""Addresses that one peer may be known under at a time: a phone has two, with IPv6 four."""

LinkState = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]


class Link:
    """One peer's transport. `on_state` hears of every change of `state`, `on_channel` of every data channel."""

    __slots__ = (
        "_addresses", "_began", "_early", "_on_state", "_owner", "_port", "_rx", "_transport", "_tx", "ended",
        "fingerprints", "ice", "negotiated_srtp", "outlet", "setup", "state",
    )

    def __init__(
        self, port: Port, owner: Receiver, outlet: Outlet, *, active: bool, gcm_only: bool,
        on_state: Callable[[LinkState], None], on_channel: Callable[[RTCDataChannel], None],
    ) -> None:
        self.state: LinkState = "new"
        self.outlet = outlet
        self.ice = IceLite()
        self.fingerprints: tuple[tuple[str, str], ...] = ()
        self.setup: Literal["active", "passive"] = "active" if active else "passive"
        self.negotiated_srtp = False
        """True once a handshake agreed on SRTP keys."""
        self.ended = False
        """True once DTLS is over: only a new link can help. After mere silence an ICE restart does."""
        self._port = port
        self._owner = owner
        self._on_state = on_state
        self._addresses: dict[bytes, None] = {}
        self._began: float | None = None
        self._early: list[tuple[bytes, bytes]] = []
        self._rx: SrtpSession | None = None
        self._tx: SrtpSession | None = None
        self._transport = SecureTransport(
            port.certificate, self._send_dtls, self._dtls_changed,
            role="client" if active else "server", profiles="gcm" if gcm_only else "all", on_channel=on_channel,
        )
        port.register_ufrag(self.ice.local_ufrag, owner)

    def begin(self, offer: Offer, *, now: float) -> None:
        """Take the first offer: from now on checks are answered, and the handshake starts with the first of them."""
        self.ice.remote_ufrag, self.ice.remote_pwd = offer.ufrag, offer.pwd
        self.fingerprints = offer.fingerprints
        self._began = now
        self._change("connecting")

    def open_channels(self, offer: Offer) -> None:
        """Run data channels, if the offer has them."""
        for media in offer.media:
            if media.kind == "application" and media.sctp_port is not None:
                self._transport.open_channels(
                    remote_port=media.sctp_port, max_message_size=media.max_message_size
                )

    def restart_ice(self, ufrag: str, pwd: str) -> None:
        """Take new ICE credentials of the peer and make new ones; media goes on meanwhile (RFC 8445 9)."""
        before = self.ice.local_ufrags
        self.ice.restart(ufrag, pwd)
        self._port.register_ufrag(self.ice.local_ufrag, self._owner)
        self._port.unregister(self._owner, ufrags=set(before) - set(self.ice.local_ufrags))

    def receive_stun(self, message: bytes, source: bytes, *, now: float, answers: int = 1) -> bool:
        """Take a STUN message, and answer it so many times; False when it was refused.

        A browser that has heard nothing for 5 s throws away all it has to send until an answer comes, and what it
        has thrown away it cannot send again: half of all lost on both ways, twice a minute for more than half a second.
        """
        ufrags = self.ice.local_ufrags
        response = self.ice.receive(message, source, now=now)
        if response is None:
            return False
        if len(ufrags) > len(self.ice.local_ufrags):
            self._port.unregister(self._owner, ufrags=ufrags[1:])
        self._know(source)
        if source == self.ice.selected and self.outlet.destination >= 0:
            self._follow()
            self._port.send(response, self.outlet.destination)
            if answers > 1:
                repeated = Protection(copies=answers, spacing=SPACING_SECONDS)
                self._port.sender.copy(self._port.outbox.count - 1, self.outlet, repeated, now=now)
        else:
            self._port.reply(response, source)
            self._follow()
        return True

    def receive_dtls(self, datagram: bytes) -> None:
        """Take a DTLS datagram from one of the peer's addresses."""
        self._transport.feed(datagram)

    @property
    def awaits_keys(self) -> bool:
        """Whether the handshake is not over yet."""
        return self._rx is None

    def hold(self, datagram: bytes, source: bytes) -> bool:
        """Keep a media datagram that came before the keys; False when it is one too many, or not the peer's."""
        if self.ended or source not in self._addresses or len(self._early) >= EARLY_PACKETS:
            return False
        self._early.append((datagram, source))
        return True

    def unprotect(self, inbox: Inbox, i: int, source: bytes, *, is_rtcp: bool, now: float) -> bool:
        """Decrypt a datagram in place; False when it does not authenticate, or nothing can be decrypted yet."""
        rx = self._rx
        if rx is None:
            return False
        if not (rx.unprotect_rtcp if is_rtcp else rx.unprotect)(inbox.pointers[i], inbox.length_pointers[i]):
            return False
        if source == self.ice.selected:
            self.ice.last_heard = now
        elif self.ice.heard(source, now=now):
            self._know(source)
            self._follow()
        return True

    def send_rtcp(self, compound: bytes) -> None:
        """Protect and send a compound RTCP packet; dropped while there is no path."""
        if self._tx is not None:
            self._port.send(compound, self.outlet.destination, self._tx)

    def tick(self, now: float) -> None:
        """Notice silence and its end."""
        heard = self.ice.last_heard
        if self.ended or (self.state == "connected" and heard is not None and now - heard <= QUIET_SECONDS):
            return
        if heard is None:
            if self._began is not None and now - self._began > CHECK_SECONDS:
                self._change("failed")
        elif self.ice.expired(now):
            self._change("failed")
        elif now - heard > QUIET_SECONDS:
            if self.state == "connected":
                self._change("disconnected")
        elif self.state in ("disconnected", "failed"):
            self._change("connecting" if self._tx is None else "connected")

    async def close(self) -> None:
        """End DTLS with an alert and give everything back. The slots must be off their sources by now."""
        self._on_state = _ignore_state
        self.outlet.session = None
        await self._transport.stop()
        # What is still in the outbox refers to the address row that is given back below.
        self._port.flush()
        self._port.unregister(
            self._owner, addresses=list(self._addresses), ufrags=self.ice.local_ufrags
        )
        self._addresses.clear()
        if self.outlet.destination >= 0:
            self._port.addresses.remove(self.outlet.destination)
            self.outlet.destination = -1
        self._tx = self._rx = None
        self.state = "closed"

    def _know(self, source: bytes) -> None:
        """What comes from this address is the peer's: it has authenticated there."""
        if source not in self._addresses:
            if len(self._addresses) >= MAX_ADDRESSES:
                oldest = next(address for address in self._addresses if address != self.ice.selected)
                del self._addresses[oldest]
                self._port.unregister(self._owner, addresses=[oldest])
            self._addresses[source] = None
        # Every time: another peer may have claimed it with a forged source.
        self._port.register_address(source, self._owner)

    def _follow(self) -> None:
        """Send to the address that ICE has selected."""
        selected = self.ice.selected
        if selected is None:
            return
        if self.outlet.destination < 0:
            self.outlet.destination = self._port.addresses.add(selected)
            self._transport.start([RTCDtlsFingerprint(algorithm, value) for algorithm, value in self.fingerprints])
            self._owner.outlet_changed()
        elif self._port.addresses.get(self.outlet.destination) != selected:
            self._port.addresses.replace(self.outlet.destination, selected)

    def _send_dtls(self, datagram: bytes) -> None:
        self._port.send(datagram, self.outlet.destination)

    def _dtls_changed(self, state: str) -> None:
        if state == "connected":
            self._rx = SrtpSession(self._transport.rx_session)
            self._tx = SrtpSession(self._transport.tx_session)
            self.negotiated_srtp = True
            self._change("connected")
            self._take_early()
        elif state in ("failed", "closed"):
            self.ended = True
            self._early.clear()
            self._change("failed" if state == "failed" else "closed")

    def _take_early(self) -> None:
        early, self._early = self._early, []
        inbox = Inbox(capacity=1)
        for datagram, source in early:
            inbox.rows[0][: len(datagram)] = datagram
            inbox.received([len(datagram)])
            self._owner.receive_srtp(inbox, 0, source, now=self._port.now())

    def _change(self, state: LinkState) -> None:
        if state == self.state:
            return
        self.state = state
        # Nothing is sent without consent (RFC 7675 5.1).
        session = self._tx if state in ("connected", "disconnected") else None
        if session is not self.outlet.session:
            self.outlet.session = session
            self._owner.outlet_changed()
        self._on_state(state)


def same_certificate(fingerprints: Sequence[tuple[str, str]], offer: Offer) -> bool:
    """Whether the offer is of the same DTLS endpoint, so that its association goes on."""
    return set(fingerprints) == set(offer.fingerprints)


def _ignore_state(state: LinkState) -> None:
    """The owner no longer wants to hear."""
