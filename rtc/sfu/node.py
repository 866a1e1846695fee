"""The asyncio driver of the one UDP port: reads, ticks and sends; everything else is told the time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field

import structlog

from rtc.transport.addresses import AddressTable
from rtc.transport.aiortc_private import SharedCertificate
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.interfaces import discover_addresses
from rtc.transport.udp import UdpSocket, open_udp
from rtc.wire.sdp import host_candidates

from .counts import MediaCounts
from .latency import LatencyHistogram, LongestStall
from .link import Link
from .port import Port
from .room import Room

REPAIR_SECONDS = 0.005
"""How often copies and missing packets are looked after, while there are any: a quarter of a frame of audio."""

ROOM_SECONDS = 0.05
"""How often rooms are looked after."""

READS_A_TURN = 16
"""Batches read before the event loop gets its turn, so that a flood cannot starve signalling."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Where media is received and announced."""

    host: str = "127.0.0.1"
    port: int = 7882
    public_ips: tuple[str, ...] = ()
    """Addresses to announce; empty: those of the host, or the one it listens on."""


@dataclass(slots=True)
class NodeStatistics:
    """Counts since the start, and what is there now."""

    media: MediaCounts = field(default_factory=MediaCounts)
    drops: Counter[str] = field(default_factory=Counter)
    """Datagrams and packets dropped, by reason."""
    states: Counter[str] = field(default_factory=Counter)
    """Peers now, by state of their transport."""
    forwarding: LatencyHistogram = field(default_factory=LatencyHistogram)
    """From a datagram's arrival in the kernel to its way out, the waiting in the socket's buffer included."""
    longest_stall: float = 0.0
    """Seconds by which the event loop was late at most, over the last minute or two."""


class Node:
    """One UDP port and the rooms behind it."""

    def __init__(self, socket: UdpSocket, addresses: tuple[str, ...]) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._inbox = Inbox()
        self._rooms: list[Room] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._flush_is_due = False
        """Whether what waits to be sent will be sent without being asked for."""
        self._closed = False
        self._forwarding = LatencyHistogram()
        self._stall = LongestStall()
        self._room_due = self._loop.time() + ROOM_SECONDS
        self._port = Port(
            SharedCertificate.generateCertificate(),
            now=self._loop.time,
            wall_offset=time.time() - self._loop.time(),
            transmit=self._transmit,
            wake=self._wake,
            retire=self._retire,
        )
        self._port.candidates = host_candidates(addresses, socket.port)
        self._loop.add_reader(socket.fileno(), self._readable)
        self._room_timer = self._loop.call_later(ROOM_SECONDS, self._tick_rooms)
        self._repair_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, settings: NodeSettings) -> Node:
        """Listen. Raises OSError with a clear sentence when the port cannot be had, ValueError for a bad address."""
        addresses = settings.public_ips or discover_addresses(settings.host)
        host_candidates(addresses, settings.port)
        return cls(open_udp(settings.host, settings.port), addresses)

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._socket.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses that are announced to clients."""
        return tuple(candidate.address for candidate in self._port.candidates)

    def create_room(self, name: str) -> Room:
        """Make a room."""
        room = Room(name, self._port)
        self._rooms.append(room)
        return room

    def close_room(self, room: Room) -> None:
        """Forget a room and close all its peers."""
        if room in self._rooms:
            self._rooms.remove(room)
        for peer in list(room.peers.values()):
            self._run(peer.close())

    async def close(self) -> None:
        """Close every room and the port."""
        if self._closed:
            return
        self._closed = True
        self._room_timer.cancel()
        if self._repair_timer is not None:
            self._repair_timer.cancel()
        for room in list(self._rooms):
            self.close_room(room)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        self._port.flush()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def statistics(self) -> NodeStatistics:
        """Count everything now."""
        found = NodeStatistics(
            drops=Counter(self._port.drops), forwarding=self._forwarding, longest_stall=self._stall.seconds
        )
        found.drops["receive-buffer-full"] += self._socket.overflowed
        found.drops["send-refused"] += self._socket.errors
        found.drops["send-buffer-full"] += self._socket.dropped
        found.drops["too-long"] += self._inbox.truncated
        found.drops["unprotectable"] += self._port.sender.failures
        found.media.add(self._port.departed)
        peers = [peer for room in self._rooms for peer in room.peers.values()]
        for peer in peers:
            found.media.add(peer.counts())
        found.states.update(peer.state for peer in peers)
        return found

    def _readable(self) -> None:
        for _ in range(READS_A_TURN):
            if self._read() < self._inbox.capacity // 2:  # what came meanwhile rings again
                break

    def _read(self) -> int:
        """Take what has arrived, with what came of a frame while its first packets were looked at; how much it was."""
        inbox, port = self._inbox, self._port
        total, first = 0, None
        self._flush_is_due = True  # below: nothing need ring for it
        while total < inbox.capacity and (count := self._socket.receive(inbox)):
            first = first or inbox.arrived
            total += count
            port.receive(inbox, count, now=self._loop.time())
            if not port.sender.has_put_off:
                break
        self._flush()
        if first is not None:
            # The oldest stands for all: none took longer.
            self._forwarding.observe(max(0.0, time.time() - first), total)
        return total

    def _tick_rooms(self) -> None:
        now = self._loop.time()
        self._stall.late(now - self._room_due, now=now)
        self._room_due = now + ROOM_SECONDS
        self._room_timer = self._loop.call_later(ROOM_SECONDS, self._tick_rooms)
        self._flush_is_due = True
        for room in self._rooms:
            room.tick(now)
        self._flush()

    def _repair(self) -> None:
        self._repair_timer = None
        self._flush_is_due = True
        self._port.tick(now=self._loop.time())
        self._flush()

    def _transmit(self, outbox: Outbox, addresses: AddressTable) -> None:
        self._socket.send(outbox, addresses)

    def _wake(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush_if_due)

    def _flush_if_due(self) -> None:
        if self._flush_is_due and not self._closed:
            self._flush()

    def _flush(self) -> None:
        self._port.flush()
        self._flush_is_due = False
        if self._repair_timer is None and self._port.busy:
            self._repair_timer = self._loop.call_later(REPAIR_SECONDS, self._repair)

    def _retire(self, link: Link) -> None:
        self._run(link.close())

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("closing a connection failed", exc_info=task.exception())
