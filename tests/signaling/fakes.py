"""A small stand-in for rtc.sfu: answers any offer that has an m-line, and remembers what it was asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rtc.sfu import NodeStatistics
from rtc.sfu.counts import MediaCounts


@dataclass
class FakePublication:
    id: str
    peer_id: str
    mid: str
    kind: str
    muted: bool = False


@dataclass
class FakePeer:
    """`mids` says which m-lines the last offer had: an offer is text such as `audio:0 video:1`."""

    id: str
    events: Any
    room: FakeRoom
    can_publish: bool
    can_subscribe: bool
    can_publish_data: bool = True
    state: str = "new"
    mids: dict[str, str] = field(default_factory=dict)
    watched: Any = None
    closed: bool = False
    offers: list[str] = field(default_factory=list)

    def answer(self, offer_sdp: str, *, whole: bool = False) -> str:
        if offer_sdp == "explode":
            raise ZeroDivisionError("a fault of the server")
        if ":" not in offer_sdp:
            raise ValueError("The offer has no m-line.")
        self.offers.append(offer_sdp)
        self.mids = {mid: kind for kind, _, mid in (part.partition(":") for part in offer_sdp.split())}
        for publication in list(self.room.publications.values()):
            if publication.peer_id == self.id and publication.mid not in self.mids:
                del self.room.publications[publication.id]
        return f"answer to {offer_sdp}"

    def publish(
        self, mid: str, *, publication_id: str, muted: bool = False, patient: bool = False
    ) -> FakePublication:
        publication = FakePublication(publication_id, self.id, mid, self.mids[mid], muted)
        self.room.publications[publication_id] = publication
        return publication

    def unpublish(self, publication_id: str) -> None:
        del self.room.publications[publication_id]

    def set_muted(self, publication_id: str, muted: bool) -> None:
        self.room.publications[publication_id].muted = muted

    def watch(self, publications: Any, *, follow: str | None = None, heights: Any = None) -> None:
        self.watched = publications

    def set_permissions(self, *, can_publish: bool, can_subscribe: bool, can_publish_data: bool) -> None:
        self.can_publish, self.can_subscribe, self.can_publish_data = can_publish, can_subscribe, can_publish_data
        if not can_publish:
            for publication in [p for p in self.room.publications.values() if p.peer_id == self.id]:
                del self.room.publications[publication.id]

    async def close(self) -> None:
        self.closed = True
        self.room.peers.pop(self.id, None)


@dataclass
class FakeRoom:
    name: str
    peers: dict[str, FakePeer] = field(default_factory=dict)
    publications: dict[str, FakePublication] = field(default_factory=dict)

    def join(
        self, peer_id: str, events: Any, *,
        can_publish: bool, can_subscribe: bool, any_srtp: bool, sends_copies: bool,
    ) -> FakePeer:
        peer = self.peers[peer_id] = FakePeer(peer_id, events, self, can_publish, can_subscribe)
        return peer


class FakeNode:
    """Bound to no port."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.port = settings.port or 7882
        self.rooms: dict[str, FakeRoom] = {}
        self.closed = False

    @classmethod
    async def start(cls, settings: Any) -> FakeNode:
        return cls(settings)

    def create_room(self, name: str) -> FakeRoom:
        room = self.rooms[name] = FakeRoom(name)
        return room

    def close_room(self, room: FakeRoom) -> None:
        del self.rooms[room.name]

    def statistics(self) -> NodeStatistics:
        return NodeStatistics(
            media=MediaCounts(
                packets_in=Counter(audio=7), bytes_out=Counter(video=900), lost=Counter(audio=1)
            ),
            drops=Counter({"stun-unknown": 3}),
        )

    async def close(self) -> None:
        self.closed = True
