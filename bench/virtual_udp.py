"""The socket of a node on bench.virtual's network: a whole server runs in virtual time."""

from __future__ import annotations

import asyncio
import socket
from collections import deque

import numpy as np

from bench.virtual import Address, VirtualLoop
from rtc.transport.addresses import AddressTable, pack_sockaddr, sockaddr_size, unpack_sockaddr
from rtc.transport.batch import Inbox, Outbox


class VirtualSocket(asyncio.DatagramProtocol):
    """A `rtc.transport.udp.UdpSocket` without a kernel. Made by `open_virtual_udp`."""

    family = socket.AF_INET
    receive_buffer = send_buffer = 1 << 20
    overflowed = 0

    def __init__(self, loop: VirtualLoop, port: int) -> None:
        self.port = port
        self.sent = 0
        self.dropped = 0
        self.errors = 0
        self._loop = loop
        # Only its number is used: the loop tells a reader by it that something has arrived.
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._arrived: deque[tuple[bytes, Address]] = deque()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out. For the loop."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep a datagram until the driver fetches it. For the loop."""
        if not self._arrived:
            self._ringer.send(b"\0")
        self._arrived.append((data, addr))

    def fileno(self) -> int:
        """What to wait for."""
        return self._bell.fileno()

    def receive(self, inbox: Inbox) -> int:
        """See UdpSocket."""
        inbox.name_size = sockaddr_size(self.family)
        sizes: list[int] = []
        while self._arrived and len(sizes) < inbox.capacity:
            data, (host, port) = self._arrived.popleft()
            size = min(len(data), inbox.row_size)
            inbox.rows[len(sizes)][:size] = data[:size]
            name = pack_sockaddr(host, port, family=self.family)
            inbox.names[len(sizes), : len(name)] = np.frombuffer(name, np.uint8)
            sizes.append(len(data))
            if not self._arrived:
                self._bell.recv(1)
        return inbox.received(sizes)

    def send(self, outbox: Outbox, addresses: AddressTable) -> None:
        """See UdpSocket."""
        datagrams = outbox.datagrams()
        outbox.clear()
        assert isinstance(self._transport, asyncio.DatagramTransport)
        for data, destination in datagrams:
            self._transport.sendto(data, unpack_sockaddr(addresses.get(destination)))
            self.sent += 1

    def close(self) -> None:
        """See UdpSocket."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            self._bell.close()
            self._ringer.close()


async def open_virtual_udp(host: str, port: int) -> VirtualSocket:
    """Open a port of the virtual network. Raises OSError when it is taken."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("a virtual socket needs the virtual loop")
    _, protocol = await loop.create_datagram_endpoint(lambda: VirtualSocket(loop, port), local_addr=(host, port))
    assert isinstance(protocol, VirtualSocket)
    return protocol
