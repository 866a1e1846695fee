"""One participant's connection: what it publishes, what it listens to, and the path to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rtc.repair.nack import requests_a_round_trip
from rtc.transport.batch import Inbox
from rtc.wire.sdp import Offer, SdpError, parse_offer, refused_mids

from .connection import Connection
from .counts import MediaCounts
from .demand import Demand
from .downlink import Downlink
from .intake import Intake
from .lines import Lines
from .link import Link, LinkState
from .outlet import Outlet
from .port import Port
from .publication import Publication
from .reports import Reports
from .selection import Quality
from .slot import Slot
from .slot_clocks import SlotClocks
from .source import Source
from .uplink import Uplink

if TYPE_CHECKING:
    from .room import PeerEvents, Room

WATCHER_SECONDS = 0.2
"""How often a peer is looked after that sends no video and watches. Who only listens or speaks need not be until its
reports or a look at its path are due: they are a second and half of one apart, and its silence lasts seven."""

TOGETHER_SECONDS = 0.1
"""Reports wait so long for a look at the path that is due by then: all about the peer has to be fetched only once."""

PROBED_PACKETS = 20
"""Packets of which probes are made: the newest, so that what was lost of them need not be asked for."""

NARROWED = 0.9
"""With less than this share of what was thought to fit, what is sent is chosen anew at once."""

JUDGEMENT_SECONDS = 0.5
"""Between two looks at what the path from and to a peer loses."""


class Peer:
    """A participant of a room, made by `Room.join`."""

    __slots__ = (
        "_clocks", "_closed", "_connection", "_intake", "_lines", "_next_judgement", "_port", "_reports", "_room",
        "_uplink", "_uplink_before", "can_publish", "can_subscribe", "carried", "codecs_told", "downlink", "events",
        "follow", "heights", "id", "qualities", "slots", "video_budget", "watched",
    )

    def __init__(
        self, peer_id: str, room: Room, port: Port, events: PeerEvents, *,
        can_publish: bool, can_subscribe: bool, any_srtp: bool, sends_copies: bool,
    ) -> None:
        self.id = peer_id
        self.events = events
        self.can_publish = can_publish
        self.can_subscribe = can_subscribe
        """These two change with `set_permissions`."""
        self.carried: dict[str, str | None] = {}
        """Which publication each slot carries, by MID."""
        self.watched: tuple[str, ...] | None = None
        self.follow: str | None = None
        self.heights: Mapping[str, int] = {}
        """Pixels at which publications are shown, 0 for not at all; any size where nothing is said."""
        self.video_budget: int | None = None
        """bit/s that the path to this peer carries of video; None while nothing is known."""
        self.qualities: tuple[Quality, ...] = ()
        """What it was last told of its video slots."""
        self._room = room
        self._port = port
        self._uplink_before: int | None = None
        self.codecs_told: tuple[str, ...] = ()
        """What it was last told of those that everybody can decode."""
        self.downlink = Downlink()
        self._next_judgement = 0.0
        self._clocks = SlotClocks()
        self._closed = False
        self._connection = Connection(port, any_srtp=any_srtp)
        self._uplink = uplink = Uplink()
        self._intake = Intake(port.drops, copies=sends_copies, uplink=uplink)
        self._lines = Lines(peer_id, self._intake)
        self.slots: Mapping[str, Slot] = self._lines.slots
        """By MID, in the order of the offer."""
        self._reports = Reports(
            self._lines, port.sender, port.drops, uplink=uplink, downlink=self.downlink, cname=peer_id,
            wall_offset=port.wall_offset, send=self._connection.send_rtcp, look_after=room.look_after,
        )

    @property
    def state(self) -> LinkState:
        """State of the transport."""
        return "closed" if self._closed else self._connection.state

    @property
    def rtt(self) -> float | None:
        """Round trip in seconds, None until measured."""
        return self._reports.rtt

    @property
    def uplink_bitrate(self) -> int | None:
        """bit/s of video that it was last told to send at most; None before."""
        return self._uplink.told or None

    @property
    def loss(self) -> float:
        """Worst share lost on the way to this peer in its last reports, 0 to 1."""
        return self._reports.loss

    def counts(self) -> MediaCounts:
        """What it has sent and received since it joined."""
        counts = self._lines.counts()
        counts.feedback.add(self._reports.counters)
        return counts

    @property
    def watches_video(self) -> bool:
        """Whether it has slots for video."""
        return self._lines.watches_video

    @property
    def decodes(self) -> frozenset[str]:
        """Names of the codecs that these take."""
        return self._lines.decodes

    @property
    def sources(self) -> Sequence[Source]:
        """What this peer's publishing m-lines send."""
        return tuple(self._intake.sources.values())

    def answer(self, offer_sdp: str, *, whole: bool = False) -> str:
        """Answer an offer: the first, a renegotiation, an ICE restart, or that of a new peer connection.

        With `whole`, an offer that can only be taken in part is refused, and all slots are of one MediaStream, as
        WHIP and WHEP want it.
        Raises SdpError with a sentence for the client; then nothing has changed.
        """
        offer = parse_offer(offer_sdp)
        refused = refused_mids(offer)
        if whole and refused:
            raise SdpError(f"no codec of media section {min(refused)!r} is supported here")
        connection = self._connection
        link = connection.go_on(offer) or self._new_link(offer)
        # A WHIP or WHEP session goes one way for life; what others may do can change without a new offer.
        sends, receives = (self.can_subscribe, self.can_publish) if whole else (True, True)
        self._port.unregister(self, ssrcs=self._intake.ssrcs)
        media = self._lines.agree(
            offer, connection.outlet, refused=refused, sends=sends, receives=receives, one_stream=whole
        )
        for ssrc in self._intake.ssrcs:
            self._port.register_ssrc(ssrc, self)
        withdrawn = self._room.withdraw_lost(self)
        answer = connection.answer(link, offer, media)
        self._refill(everybody=withdrawn)
        self._room.tell_codecs()
        return answer.serialize()

    def restart_ice(self, ufrag: str, pwd: str) -> tuple[str, str]:
        """Restart ICE without an offer (RFC 9725 4.4.2); returns our new ufrag and pwd. Raises LookupError."""
        link = self._connection.link
        if link is None:
            raise LookupError("there is no connection to restart")
        link.restart_ice(ufrag, pwd)
        return link.ice.local_ufrag, link.ice.local_pwd

    @property
    def ice_credentials(self) -> tuple[str, str, str, str] | None:
        """Our ufrag and pwd, the peer's ufrag and pwd; None before an offer."""
        link = self._connection.link
        if link is None:
            return None
        return link.ice.local_ufrag, link.ice.local_pwd, link.ice.remote_ufrag, link.ice.remote_pwd

    def publish(
        self, mid: str, *, publication_id: str, muted: bool = False, patient: bool = False
    ) -> Publication:
        """Offer what is sent on m-line `mid` to the room; `patient` is for a screen.

        Raises LookupError for an m-line that does not send, PermissionError for a peer that may not publish.
        """
        if not self.can_publish:
            raise PermissionError(f"peer {self.id} may not publish")
        encodings = self._intake.encodings(mid)
        if not encodings:
            raise LookupError(f"m-line {mid!r} is not one that the client sends on")
        demand = Demand(encodings, now=self._port.now())
        for source in encodings:
            source.be_patient(patient)
        publication = Publication(publication_id, self.id, mid, encodings[0].kind, encodings, demand, muted, patient)
        self._room.publish(publication)
        return publication

    def unpublish(self, publication_id: str) -> None:
        """Withdraw a publication of this peer. Raises LookupError."""
        self._room.unpublish(self._own(publication_id).id)

    def set_muted(self, publication_id: str, muted: bool) -> None:
        """Stop or resume forwarding a publication of this peer. Raises LookupError."""
        self._room.set_muted(self._own(publication_id).id, muted)

    def watch(
        self, publications: Sequence[str] | None, *, follow: str | None = None, heights: Mapping[str, int] | None = None
    ) -> None:
        """Choose what the video slots carry: these publications, most wanted first; None lets the room choose.

        With `follow`, audio and video slots carry what that peer publishes and nothing else. `heights` are the pixels
        at which publications are shown, 0 for those that are not.
        """
        self.heights = dict(heights or {})
        self.watched = None if publications is None else tuple(publications)
        self.follow = follow
        self._room.assign(self)

    def set_permissions(self, *, can_publish: bool, can_subscribe: bool, can_publish_data: bool) -> None:
        """Change what this peer may do, at once and without a new offer.

        Who may no longer publish has its publications withdrawn; who may no longer subscribe, empty slots.
        """
        self.can_publish, self.can_subscribe = can_publish, can_subscribe
        self._room.channels.allow(self.id, can_publish_data)
        self._refill(everybody=not can_publish and self._room.withdraw(self))
        self._room.tell_codecs()

    def receive_srtp(self, inbox: Inbox, i: int, source: bytes, *, now: float) -> None:
        """Take a media datagram (the port calls this)."""
        row, size = inbox.rows[i], inbox.sizes[i]
        is_rtcp = size > 1 and 192 <= row[1] <= 223
        link = self._connection.link
        if link is None or not link.unprotect(inbox, i, source, is_rtcp=is_rtcp, now=now):
            if link is None or not link.awaits_keys or not link.hold(bytes(row[:size]), source):
                self._port.drops["srtcp-refused" if is_rtcp else "srtp-refused"] += 1
            return
        data = row[: inbox.lengths[i]]
        if is_rtcp:
            self._reports.receive(data, now=now)
            if self._lines.watches_video:
                self._notice_narrowing(now)
            self._look_after_reports(now)
            return
        received = self._intake.receive(data, now=now)
        if received is None:
            return
        self._room.forward(received, now=now)
        if received.source.nack.missing or received.source.needs_start:
            self._port.repairs[received.source] = self

    def _look_after_reports(self, now: float) -> None:
        """The peer has sent its own: ours go with what leaves, or it is to be looked after again."""
        reports, agenda = self._reports, self._room.agenda
        if not reports.is_calm:
            agenda.hurry(self, max(self._next_judgement, now + WATCHER_SECONDS))
        elif self.state == "connected" and reports.send_early(now):
            agenda.put(self, reports.latest)

    def receive_stun(self, message: bytes, source: bytes, *, now: float) -> bool:
        """Take a STUN message (the port calls this)."""
        link = self._connection.link
        answers = requests_a_round_trip(self._reports.path_loss)
        return link is not None and link.receive_stun(message, source, now=now, answers=answers)

    def receive_dtls(self, datagram: bytes) -> None:
        """Take a DTLS datagram (the port calls this)."""
        if self._connection.link is not None:
            self._connection.link.receive_dtls(datagram)

    def outlet_changed(self) -> None:
        """The path opened: sources may have newcomers now (the link calls this)."""
        for slot in self.slots.values():
            if slot.source is not None:
                slot.source.fanout.suspend_one(slot)
        self._room.assign(self)

    def repair(self, source: Source, *, now: float) -> bool:
        """Ask for what a source misses (the port calls this)."""
        return not self._closed and self._reports.repair(
            source, forwarded=self._room.forwards(source), now=now
        )

    def tick(self, now: float) -> float:
        """Periodic work (the room calls this when it is time); returns when there will be more."""
        link, reports = self._connection.link, self._reports
        if link is None:
            return math.inf  # it is looked after once a connection begins (`_new_link`)
        link.tick(now)
        if link.state not in ("connected", "disconnected"):
            return now
        reports.tick(now)
        if reports.is_calm:
            reports.relax()
            return reports.latest
        self._notice_narrow_uplink(now)
        watches_video = self._lines.watches_video
        if watches_video:
            self._judge_downlink(now)
            self._tell_clocks(now)
        self._judge_path(now)
        if self._intake.sends_video:
            return now
        judgement = self._next_judgement
        next_tick = judgement if reports.next > judgement - TOGETHER_SECONDS else reports.next
        return min(next_tick, now + WATCHER_SECONDS) if watches_video else next_tick

    def _notice_narrow_uplink(self, now: float) -> None:
        """Have other encodings sent at once when the path from here turns out to carry less."""
        before, self._uplink_before = self._uplink_before, self.uplink_bitrate
        if before is not None and self.uplink_bitrate is not None and self.uplink_bitrate < NARROWED * before:
            self._room.fit_uplink(self, now)

    def _notice_narrowing(self, now: float) -> None:
        """Have less sent at once when the path turns out to carry less: whatever is too much waits before the rest."""
        budget, before = self.downlink.budget, self.video_budget
        if budget is not None and before is not None and budget < NARROWED * before:
            self.video_budget = budget
            self._room.fit(self, now)

    def _judge_downlink(self, now: float) -> None:
        """See what the path to here carries of video; where that is too little, whether more would fit by now."""
        self.downlink.update(now=now)
        if self.downlink.budget is None:
            return
        self.video_budget = self.downlink.budget
        if any(quality.limit == "bandwidth" for quality in self.qualities):
            self._probe(now)

    def _tell_clocks(self, now: float) -> None:
        timestamps = self._clocks.look(self.slots.values(), now=now)
        if timestamps:
            self.events.clocks_changed(timestamps)

    def _probe(self, now: float) -> None:
        """Send the latest packets of a slot once more, faster than the path is known to carry."""
        for slot in self.slots.values():
            source = slot.source
            leg = None if slot.kind == "audio" else slot.leg
            if source is None or leg is None or not slot.is_numbered(leg.payload_type):
                continue
            numbers = range(source.fanout.highest, max(source.fanout.highest - PROBED_PACKETS, leg.first - 1), -1)
            latest = [
                packet for number in numbers
                if leg.carries(number) and (packet := source.history.get(number)) is not None
            ]
            if not latest:
                continue
            size = sum(len(packet.payload) for packet in latest) // len(latest)
            for turn in range(self.downlink.plan_probe(size, now=now)):
                source.fanout.resend(leg, latest[turn % len(latest)], self._port.sender, now=now, copied=False)
            return

    def _judge_path(self, now: float) -> None:
        """Ask the client for the redundancy that its path to here needs, and give it what the way back needs."""
        if now < self._next_judgement:
            return
        self._next_judgement = now + JUDGEMENT_SECONDS
        self._reports.judge(now)
        for source in self.sources:
            if source.kind == "video":
                self._reports.judge_uplink(source, now)
            elif source.judge(most=self._uplink.most_by_chance(now=now), now=now):
                wanted = source.protection.protection
                self._reports.hurry()
                self.events.protection_changed(source.mid, wanted.depth, wanted.copies)

    async def close(self) -> None:
        """Leave the room and end the connection."""
        if self._closed:
            return
        self._closed = True
        self._port.departed.add(self.counts())
        self._lines.drop_slots()
        self._room.remove(self)
        self._port.unregister(self, ssrcs=self._intake.ssrcs)
        # What leads back here would keep all of it until a garbage collection, which comes late and stops media.
        await self._connection.close()
        self._reports.end()

    def _own(self, publication_id: str) -> Publication:
        publication = self._room.publications[publication_id]
        if publication.peer_id != self.id:
            raise LookupError(publication_id)
        return publication

    def _new_link(self, offer: Offer) -> Link:
        self._lines.drop_slots()  # keys go, and what is numbered for them
        link = self._connection.renew(
            offer, self, Outlet(downlink=self.downlink, hurry=self._hurry, discard=self._port.sender.discard),
            on_state=self.events.transport_changed,
            on_channel=lambda channel: self._room.channels.add(self.id, channel),
        )
        self._hurry()
        return link

    def _refill(self, *, everybody: bool) -> None:
        """Fill this peer's slots anew, or those of `everybody`: what nobody else hears of costs nobody else."""
        if everybody:
            self._room.assign_all()
        else:
            self._room.fill(self)

    def _hurry(self) -> None:
        self._room.agenda.hurry(self, 0.0)
