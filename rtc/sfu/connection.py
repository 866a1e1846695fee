"""The transport of one peer through all its peer connections: each has a link, and an outlet, of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from aiortc import RTCDataChannel

from rtc.wire.sdp import Answer, AnsweredMedia, Offer, answer_setup

from .link import Link, LinkState, same_certificate
from .outlet import Outlet
from .port import Port, Receiver


class Connection:
    """What stays when a peer connection is replaced: our side of the SDP session, and which ciphers we offer."""

    __slots__ = ("_gcm_only", "_port", "_session_id", "_version", "link", "outlet")

    def __init__(self, port: Port, *, any_srtp: bool) -> None:
        self.link: Link | None = None
        self.outlet = Outlet()
        """Where packets to the peer go."""
        self._port = port
        # Without GCM a packet costs twice as much; who does not have it fails once and comes back.
        self._gcm_only = not any_srtp
        self._session_id = secrets.randbits(62)
        self._version = 0

    @property
    def state(self) -> LinkState:
        """State of the transport."""
        return "new" if self.link is None else self.link.state

    def go_on(self, offer: Offer) -> Link | None:
        """The link of the peer connection that an offer is of, its ICE restarted if so asked; None of a new one."""
        link = self.link
        if link is None or link.ended or not same_certificate(link.fingerprints, offer):
            return None
        if (offer.ufrag, offer.pwd) != (link.ice.remote_ufrag, link.ice.remote_pwd):
            link.restart_ice(offer.ufrag, offer.pwd)
        return link

    def renew(
        self, offer: Offer, owner: Receiver, outlet: Outlet,
        *, on_state: Callable[[LinkState], None], on_channel: Callable[[RTCDataChannel], None],
    ) -> Link:
        """Begin a new peer connection, with new keys; nothing may be on the outlet that there was."""
        old = self.link
        if old is not None:
            if old.state == "failed" and not old.negotiated_srtp:
                self._gcm_only = False
            self._port.retire(old)
        self.outlet = outlet
        active = answer_setup(offer) == "active"
        self.link = Link(
            self._port, owner, outlet, active=active, gcm_only=active and self._gcm_only,
            on_state=on_state, on_channel=on_channel,
        )
        return self.link

    def answer(self, link: Link, offer: Offer, media: tuple[AnsweredMedia, ...]) -> Answer:
        """What to answer to an offer on this link, once its m-lines are agreed on."""
        if link.state == "new":
            link.begin(offer, now=self._port.now())
        link.open_channels(offer)
        self._version += 1
        return Answer(
            session_id=self._session_id,
            version=self._version,
            ufrag=link.ice.local_ufrag,
            pwd=link.ice.local_pwd,
            fingerprints=self._port.fingerprints,
            setup=link.setup,
            candidates=self._port.candidates,
            media=media,
            extmap_allow_mixed=offer.extmap_allow_mixed,
        )

    def send_rtcp(self, compound: bytes) -> None:
        """Protect and send a compound RTCP packet; dropped while there is no path."""
        if self.link is not None:
            self.link.send_rtcp(compound)

    async def close(self) -> None:
        """End the link, and let go of all that leads back to its owner."""
        if self.link is not None:
            await self.link.close()
        self.link = None
        self.outlet = Outlet()
