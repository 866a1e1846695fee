"""A room: who is in it, what they publish, and who hears and sees whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from rtc.repair.speakers import Speakers

from .agenda import Agenda
from .assignment import assign
from .channels import Channels
from .intake import Received
from .link import LinkState
from .peer import Peer
from .port import Port
from .publication import Publication, SlotView
from .selection import Ladders, Quality, View, choose, ladder_of, ordered
from .source import Source

SPEAKERS_SECONDS = 0.1
"""How often it is judged who speaks: often enough that a first word gets a slot."""

SELECTION_SECONDS = 0.25
"""How often the encodings that listeners receive are chosen anew."""

FAULT_SECONDS = 1.0
"""A peer that could not be looked after, through a fault of ours, is tried again after this long."""

UPCOMING_SECONDS = 3.0
"""A key frame that only makes a picture better or smaller is asked for this often, as long as it does not come."""

OVERTAKING_LEVEL = 6
"""dB by which one speaker must be louder to be preferred to another, lest equals chase each other out of the slots."""


class PeerEvents(Protocol):
    """What the owner of a peer is told; called synchronously, must neither block nor raise."""

    def transport_changed(self, state: LinkState) -> None:
        """The media transport of the peer has another state."""

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """The peer's slots carry something else; all of them are listed."""

    def protection_changed(self, mid: str, depth: int, copies: int) -> None:
        """The peer is asked to send m-line `mid` with this RED depth, each packet this many times."""

    def qualities_changed(self, qualities: tuple[Quality, ...]) -> None:
        """What the peer's video slots show of what they could; slots that carry nothing visible are left out."""

    def clocks_changed(self, timestamps: Mapping[str, int]) -> None:
        """RTP timestamps of one moment on all slots that play, by MID: they go on from there at their clock rates."""

    def encodings_wanted(self, mid: str, rids: tuple[str, ...], *, instead: bool) -> None:
        """Of the simulcast encodings that the peer sends on m-line `mid`, these are of use to anybody.

        `instead`: in place of all, for which its path has no room now; they may take what all would.
        """

    def codecs_changed(self, codecs: tuple[str, ...]) -> None:
        """Of the codecs of video, everybody here can decode these, by their names in SDP."""

    def speakers_changed(self, speakers: tuple[tuple[str, int], ...]) -> None:
        """Others speak now: peer id and level in dBov, loudest first."""


class _Nobody(PeerEvents):
    """The owner of a peer that has left: the one that it had would be kept by it, and it by that one."""


NOBODY = _Nobody()  # type: ignore[abstract]  # to do nothing is what it is for


class Room:
    """Peers that hear and see each other; made by the node."""

    def __init__(self, name: str, port: Port) -> None:
        self.name = name
        self.peers: dict[str, Peer] = {}
        self.publications: dict[str, Publication] = {}
        self.agenda: Agenda[Peer] = Agenda()
        """When each peer is to be looked after."""
        self._watchers: dict[Peer, None] = {}
        """Those who have slots for video, or were told of some."""
        self.speakers = Speakers()
        self.channels = Channels(port.now)
        self._port = port
        self._by_source: dict[Source, Publication] = {}
        self._next_judgement = 0.0
        self._next_selection = 0.0
        self._speaking: tuple[str, ...] = ()
        self._order: tuple[str, ...] = ()

    def join(
        self, peer_id: str, events: PeerEvents, *,
        can_publish: bool = True, can_subscribe: bool = True, any_srtp: bool = False, sends_copies: bool = False,
    ) -> Peer:
        """Add a peer. Raises ValueError when the id is taken.

        `sends_copies` says that the client can send each packet several times when asked; browsers cannot.
        `any_srtp` accepts AES-CM at once, for clients without AES-GCM that cannot try twice (WHIP, WHEP).
        """
        if peer_id in self.peers:
            raise ValueError(f"peer {peer_id} is in the room already")
        peer = Peer(
            peer_id, self, self._port, events,
            can_publish=can_publish, can_subscribe=can_subscribe, any_srtp=any_srtp, sends_copies=sends_copies,
        )
        self.peers[peer_id] = peer
        self.agenda.put(peer, 0.0)
        return peer

    def publish(self, publication: Publication) -> None:
        """Offer a publication to everybody else. Raises ValueError when its id or its m-line is taken."""
        if publication.id in self.publications:
            raise ValueError(f"publication {publication.id} exists already")
        if publication.source in self._by_source:
            raise ValueError(f"m-line {publication.mid!r} is published already")
        self.publications[publication.id] = publication
        self._by_source.update(dict.fromkeys(publication.encodings, publication))
        self.assign_all()

    def unpublish(self, publication_id: str) -> None:
        """Withdraw a publication. Raises LookupError when there is none."""
        self._withdraw(self.publications[publication_id])
        self.assign_all()

    def set_muted(self, publication_id: str, muted: bool) -> None:
        """Stop or resume forwarding. Raises LookupError when there is no such publication."""
        publication = self.publications[publication_id]
        publication.muted = muted
        if muted:
            self._silence(publication)
        else:
            for source in publication.encodings:
                self.look_after(source)
        self.assign_all()

    def withdraw(self, peer: Peer) -> bool:
        """Withdraw all that a peer publishes; whether that was anything: then everybody's slots are to be filled."""
        return self._withdraw_all([p for p in self.publications.values() if p.peer_id == peer.id])

    def withdraw_lost(self, peer: Peer) -> bool:
        """The same for what a peer published on m-lines that its latest offer no longer sends on."""
        return self._withdraw_all([
            publication for publication in self.publications.values()
            if publication.peer_id == peer.id
            and any(source not in peer.sources for source in publication.encodings)
        ])

    def remove(self, peer: Peer) -> None:
        """Take a peer and all that it publishes out of the room."""
        if self.peers.pop(peer.id, None) is None:
            return
        peer.events = NOBODY
        self.agenda.remove(peer)
        self._watchers.pop(peer, None)
        if self.withdraw(peer):
            self.assign_all()
        self.channels.remove(peer.id)
        self.tell_codecs()

    def forward(self, received: Received, *, now: float) -> None:
        """Pass on what a packet brought to all who listen to its source."""
        source = received.source
        publication = self._by_source.get(source)
        if publication is None or publication.muted:
            return
        if received.level is not None:
            self.speakers.heard(publication.id, received.level, now=now)
        fanout, sender = source.fanout, self._port.sender
        for packet in received.packets:
            if packet.sequence > fanout.highest:
                fanout.forward(packet, sender, starts=source.starts_here(packet), now=now)
            else:
                fanout.forward_late(packet, sender, now=now)

    def forwards(self, source: Source) -> bool:
        """Whether what this source sends is passed on: it is published and not muted."""
        publication = self._by_source.get(source)
        return publication is not None and not publication.muted

    def look_after(self, source: Source) -> None:
        """Its publisher may have to be asked for something."""
        publication = self._by_source.get(source)
        if publication is not None:
            self._port.look_after(source, self.peers[publication.peer_id])

    def assign_all(self) -> None:
        """Fill every listener's slots anew."""
        ranked = self._ranked()
        for peer in self.peers.values():
            self._assign(peer, ranked)

    def assign(self, peer: Peer) -> None:
        """Fill one listener's slots, and choose what it receives of what they carry."""
        self.fill(peer)
        self._select(peer, self._port.now(), {})

    def fill(self, peer: Peer) -> None:
        """Fill one listener's slots: they are others than before, or others may fill them."""
        self._assign(peer, self._ranked())

    def tell_codecs(self) -> None:
        """Tell all who can send video in which codecs everybody sees it; to be called when anybody's have changed."""
        able = [peer.decodes for peer in self.peers.values() if peer.can_subscribe and peer.decodes]
        codecs = tuple(sorted(frozenset.intersection(*able))) if able else ()
        for peer in self.peers.values():
            if peer.codecs_told != codecs and any(source.kind == "video" for source in peer.sources):
                peer.codecs_told = codecs
                peer.events.codecs_changed(codecs)

    def fit(self, peer: Peer, now: float) -> None:
        """Choose anew what one listener receives: its path carries less."""
        self._select(peer, now, {})
        for publication in self.publications.values():
            if len(publication.encodings) > 1:
                self._ask(publication, now)

    def fit_uplink(self, peer: Peer, now: float) -> None:
        """See at once which encodings a peer sends: its path carries less."""
        for publication in self.publications.values():
            if publication.peer_id == peer.id and len(publication.encodings) > 1:
                self._ask(publication, now)
                self._next_selection = now  # its viewers wait for what comes then

    def slot_views(self, peer: Peer) -> tuple[SlotView, ...]:
        """What a peer's slots carry now."""
        views = []
        for slot in peer.slots.values():
            held = peer.carried.get(slot.mid)
            publication = None if held is None else self.publications.get(held)
            owner = None if publication is None else publication.peer_id
            views.append(SlotView(slot.mid, slot.kind, None if owner is None else held, owner))
        return tuple(views)

    def tick(self, now: float) -> None:
        """Periodic work: judge who speaks, report to the peers, notice who is gone."""
        for peer in self.agenda.due(now=now):
            try:
                next_tick = peer.tick(now)
            except Exception as fault:
                next_tick = now + FAULT_SECONDS
                self._port.report_fault(fault)
            if self.peers.get(peer.id) is peer:
                self.agenda.put(peer, next_tick)
        if now >= self._next_selection:
            self._next_selection = now + SELECTION_SECONDS
            ladders: Ladders = {}
            for peer in list(self._watchers):
                self._select(peer, now, ladders)
                if not (peer.qualities or peer.watches_video):
                    self._watchers.pop(peer, None)
            for publication in self.publications.values():
                if len(publication.encodings) > 1:
                    self._ask(publication, now)
        if now < self._next_judgement:
            return
        self._next_judgement = now + SPEAKERS_SECONDS
        active = self.speakers.active(now=now)
        voices = tuple((self.publications[voice].peer_id, level) for voice, level in active)
        speaking = tuple(dict.fromkeys(peer_id for peer_id, _ in voices))
        if speaking != self._speaking:
            self._speaking = speaking
            for peer in self.peers.values():
                peer.events.speakers_changed(voices)
        order = self._by_speech(dict(reversed(voices)))
        if order != self._order:
            self._order = order
            self.assign_all()

    def _withdraw_all(self, publications: Sequence[Publication]) -> bool:
        for publication in publications:
            self._withdraw(publication)
        return bool(publications)

    def _withdraw(self, publication: Publication) -> None:
        del self.publications[publication.id]
        for source in publication.encodings:
            del self._by_source[source]
            self._port.repairs.pop(source, None)
        self._silence(publication)

    def _silence(self, publication: Publication) -> None:
        """Nothing more of it is forwarded for now."""
        self.speakers.forget(publication.id)
        for source in publication.encodings:
            source.fanout.hush(self._port.sender, now=self._port.now())
            source.fanout.suspend()

    def _assign(self, peer: Peer, ranked: dict[str, list[Publication]]) -> None:
        changed = moved = False
        if peer.watches_video:
            self._watchers[peer] = None
        for kind in ("audio", "video"):
            slots = [slot for slot in peer.slots.values() if slot.kind == kind]
            if not slots:
                continue
            held = [peer.carried.get(slot.mid) for slot in slots]
            wanted = list(islice(self._wanted(peer, kind, ranked[kind]), len(slots)))
            for slot, before, after in zip(slots, held, assign(held, wanted), strict=True):
                encodings = () if after is None else self.publications[after].encodings
                if not encodings:
                    slot.listen_to(None)
                elif slot.source not in encodings:
                    slot.listen_to(ordered(encodings)[0])
                    moved = True
                if slot.source is not None and not slot.paused and slot.leg is None:
                    slot.source.fanout.attach(slot)
                    self.look_after(slot.source)
                if before != after:
                    peer.carried[slot.mid] = after
                    changed = True
        if changed or peer.carried.keys() != peer.slots.keys():
            peer.carried = {mid: peer.carried.get(mid) for mid in peer.slots}
            peer.events.slots_changed(self.slot_views(peer))
        if moved:
            self._select(peer, self._port.now(), {})

    def _select(self, peer: Peer, now: float, ladders: Ladders) -> None:
        """Choose the layers that one listener receives, and tell it where that is not the best there is.

        `ladders` are what publications offer now, so far as it was looked up.
        """
        carried = [
            (slot, publication)
            for slot in peer.slots.values()
            if slot.kind == "video" and slot.source is not None
            and (publication := self._by_source.get(slot.source)) is not None and not publication.muted
        ]
        views = []
        for slot, publication in sorted(carried, key=lambda each: self._importance(peer, each[1])):
            height = peer.heights.get(publication.id)
            if height == 0:
                slot.pause()
                continue
            sought = publication.id, height, slot.takes_descriptors
            ladder = ladders.get(sought)
            if ladder is None:
                ladder = ladder_of(publication, height=height, described=slot.takes_descriptors, now=now)
                ladders[sought] = ladder
            important = self._importance(peer, publication)[0] == 0
            views.append(View(slot, publication, ladder, important))
        qualities = tuple(sorted(choose(views, budget=peer.video_budget, now=now), key=lambda each: each.mid))
        for slot, _ in carried:
            if slot.source is not None and slot.source.needs_start:
                self.look_after(slot.source)
            awaited = slot.awaited
            if awaited is not None and now >= slot.next_request:
                slot.next_request = now + UPCOMING_SECONDS
                awaited.keyframes.want()
                self.look_after(awaited)
        if qualities != peer.qualities:
            peer.qualities = qualities
            peer.events.qualities_changed(qualities)

    def _importance(self, peer: Peer, publication: Publication) -> tuple[int, int]:
        """First the picture that the listener wants most and those of who speaks, then in the order of both."""
        watched = peer.watched or ()
        place = watched.index(publication.id) if publication.id in watched else len(watched)
        first = publication.peer_id in self._speaking or (place == 0 and bool(watched))
        return (not first, place)

    def _ask(self, publication: Publication, now: float) -> None:
        """Tell a publisher which encodings anybody needs."""
        demand, publisher = publication.demand, self.peers[publication.peer_id]
        rids = demand.wanted(uplink=publisher.uplink_bitrate, now=now)
        if (rids, demand.instead) != publication.told:
            publication.told = rids, demand.instead
            for source in publication.encodings:
                source.unwanted = source not in demand.sent
            publisher.events.encodings_wanted(publication.mid, rids, instead=demand.instead)

    def _ranked(self) -> dict[str, list[Publication]]:
        """Publications of each kind, those first that everybody should have: not muted, and latest heard."""
        rank = {peer_id: place for place, peer_id in enumerate(self._order)}
        publications = sorted(
            self.publications.values(), key=lambda p: (p.muted, rank.get(p.peer_id, len(rank)))
        )
        return {kind: [p for p in publications if p.kind == kind] for kind in ("audio", "video")}

    def _wanted(self, peer: Peer, kind: str, ranked: Sequence[Publication]) -> Iterator[str]:
        if not peer.can_subscribe:
            return
        if kind == "video" and peer.watched is not None and peer.follow is None:
            for wanted in peer.watched:
                publication = self.publications.get(wanted)
                if publication is not None and publication.kind == kind and publication.peer_id != peer.id:
                    yield wanted
            return
        for publication in ranked:
            if publication.peer_id != peer.id and peer.follow in (None, publication.peer_id):
                yield publication.id

    def _by_speech(self, levels: dict[str, int]) -> tuple[str, ...]:
        """Who publishes, by when they last spoke, latest first; of those who speak now the louder, or the earlier.

        Those who never spoke stand as they came.
        """
        latest: dict[str, float] = {}
        for publication in self.publications.values():
            spoke = self.speakers.last_spoke(publication.id)
            latest[publication.peer_id] = max(latest.get(publication.peer_id, spoke), spoke)
        before = [peer_id for peer_id in self._order if peer_id in latest]
        order = sorted(dict.fromkeys([*before, *latest]), key=lambda peer_id: -latest[peer_id])
        for start in range(1, len(levels)):
            place = start
            while place and levels[order[place]] >= levels[order[place - 1]] + OVERTAKING_LEVEL:
                order[place - 1], order[place] = order[place], order[place - 1]
                place -= 1
        return tuple(order)
