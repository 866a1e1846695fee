"""The network of a bench call: a server and its clients, each behind a hop that turns bad at a given moment."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from dataclasses import dataclass

import numpy as np

from bench.virtual import Address
from rtc.netem import HEADER_BYTES, Link, LinkProfile
from rtc.transport.addresses import AddressTable, pack_sockaddr, sockaddr_size, socket_address
from rtc.transport.batch import Inbox, Outbox

SERVER: Address = ("10.0.0.1", 7882)


@dataclass(frozen=True, slots=True)
class Network:
    """Every hop of a call, in each direction."""

    loss: float
    burst: float
    rtt: float
    """Seconds, there and back over one hop."""

    @property
    def profile(self) -> LinkProfile:
        """One direction of a hop. A burst that this loss cannot have is the shortest that it can."""
        return LinkProfile(loss=self.loss, burst=self.mean_burst, delay=self.rtt / 2)

    @property
    def mean_burst(self) -> float:
        """Mean run of losses; 1 for independent ones."""
        return self.burst if self.burst == 1 else max(self.burst, self.loss / (1 - self.loss))


class Hop(Link):
    """One direction of a hop: loses nothing until it is spoilt, and counts bytes with their headers."""

    __slots__ = ("octets", "packets")

    def __init__(self, delay: float) -> None:
        super().__init__(LinkProfile(delay=delay), seed=0)
        self.octets = 0
        self.packets = 0

    def spoil(self, profile: LinkProfile, *, seed: str) -> None:
        """Behave like this from now on; the same seed loses the same datagrams, whatever was sent before."""
        super().__init__(profile, seed=seed)

    def send(self, datagram: bytes | bytearray | memoryview, *, now: float) -> None:
        """See Link."""
        self.packets += 1
        self.octets += len(datagram) + HEADER_BYTES
        super().send(datagram, now=now)


class Hops:
    """The hops between SERVER and its clients, made as they are used."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._hops: dict[tuple[str, str], Hop] = {}

    def between(self, source: Address, target: Address) -> Hop:
        """The hop from one address to another, whatever the port."""
        return self._hops.setdefault((source[0], target[0]), Hop(self._delay))

    def up(self, host: str) -> Hop:
        """From a client to the server."""
        return self.between((host, 0), SERVER)

    def down(self, host: str) -> Hop:
        """From the server to a client."""
        return self.between(SERVER, (host, 0))

    def spoil(self, network: Network, *, seed: int) -> None:
        """All hops are like this from now on."""
        for (source, target), hop in self._hops.items():
            hop.spoil(network.profile, seed=f"{seed} {source} {target}")


class VirtualSocket(asyncio.DatagramProtocol):
    """The one UDP port of a node, on a virtual loop (rtc.transport.udp.UdpSocket)."""

    family = socket.AF_INET
    port = SERVER[1]
    receive_buffer = send_buffer = 1 << 20

    def __init__(self) -> None:
        self.sent = self.dropped = self.errors = 0
        self._arrived: deque[tuple[bytes, bytes]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)  # what the node's loop waits for
        self._transport: asyncio.DatagramTransport

    @classmethod
    async def open(cls) -> VirtualSocket:
        """Bind SERVER in the running virtual loop."""
        return (await asyncio.get_running_loop().create_datagram_endpoint(cls, SERVER))[1]

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """For the loop."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """For the loop."""
        self._arrived.append((data, pack_sockaddr(*addr, family=self.family)))
        os.eventfd_write(self._wake, 1)

    def fileno(self) -> int:
        """What becomes readable when a datagram is there."""
        return self._wake

    def receive(self, inbox: Inbox) -> int:
        """Fill the inbox."""
        inbox.name_size = sockaddr_size(self.family)
        sizes = []
        while self._arrived and len(sizes) < inbox.capacity:
            data, name = self._arrived.popleft()
            inbox.rows[len(sizes)][: len(data)] = data
            inbox.names[len(sizes), : len(name)] = np.frombuffer(name, np.uint8)
            sizes.append(len(data))
        if not sizes:
            os.eventfd_read(self._wake)
        return inbox.received(sizes)

    def send(self, outbox: Outbox, addresses: AddressTable) -> None:
        """Send all rows and clear the box."""
        datagrams = outbox.datagrams()
        outbox.clear()
        for data, destination in datagrams:
            self._transport.sendto(data, socket_address(addresses.get(destination)))
            self.sent += 1

    def close(self) -> None:
        """Give the port back."""
        self._transport.close()
        os.close(self._wake)
