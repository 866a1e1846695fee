"""The UDP socket of a node: whole batches in and out; neither blocks nor raises for what a network does."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Protocol

import numpy as np

from rtc.transport import libc
from rtc.transport.addresses import AddressTable, pack_sockaddr, sockaddr_size, socket_address
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.libc import CData, ffi, row_addresses

KERNEL_BUFFER = (
    4 << 20
)  # bytes asked for each way: some 3,000 packets, so that a garbage collection loses none
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL)
# Linux: with MSG_TRUNC a receive reports the datagram's own length even if the row is shorter.
_RECEIVE_FLAGS = socket.MSG_DONTWAIT | socket.MSG_TRUNC


class UdpSocket(Protocol):
    """What the driver sees of a socket. Closed, it receives nothing and refuses everything.

    Keep to one inbox and one outbox: for another the batched socket has to make its headers anew.
    """

    family: int
    port: int
    #: What the kernel granted, in bytes (Linux shows twice what was asked for, its own bookkeeping included).
    receive_buffer: int
    send_buffer: int
    #: Datagrams handed to the kernel; dropped because its buffer was full; refused for another reason.
    sent: int
    dropped: int
    errors: int

    def fileno(self) -> int:
        """The file descriptor, -1 once closed."""

    def receive(self, inbox: Inbox) -> int:
        """Fill the inbox with what has arrived; returns the number of datagrams, 0 when nothing is there."""

    def send(self, outbox: Outbox, addresses: AddressTable) -> None:
        """Send all rows and clear the box. What the kernel refuses is dropped and counted."""

    def close(self) -> None:
        """Give the port back; a second time does nothing."""


class _Socket:
    """What both kinds of socket share."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.family: int = sock.family
        self.port: int = sock.getsockname()[1]
        self.receive_buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.send_buffer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.sent = 0
        self.dropped = 0
        self.errors = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _refused(self, number: int | None) -> None:
        if number == errno.ENOBUFS:
            self.dropped += 1
        else:
            self.errors += 1


class PlainSocket(_Socket):
    """One system call a datagram, through Python's socket: works everywhere."""

    def receive(self, inbox: Inbox) -> int:
        """See UdpSocket."""
        inbox.name_size = sockaddr_size(self.family)
        sizes: list[int] = []
        for row in inbox.rows:
            try:
                size, _, flags, address = self._socket.recvmsg_into([row])
            except OSError:
                break
            sizes.append(inbox.row_size + 1 if flags & socket.MSG_TRUNC else size)
            host = f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else address[0]
            name = pack_sockaddr(host, address[1], family=self.family)
            inbox.names[len(sizes) - 1, : len(name)] = np.frombuffer(name, np.uint8)
        return inbox.received(sizes)

    def send(self, outbox: Outbox, addresses: AddressTable) -> None:
        """See UdpSocket."""
        datagrams = outbox.datagrams()
        outbox.clear()
        for i, (data, destination) in enumerate(datagrams):
            try:
                self._socket.sendto(data, socket_address(addresses.get(destination)))
                self.sent += 1
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    self.dropped += len(datagrams) - i
                    return
                self._refused(error.errno)
            except LookupError:
                self.errors += 1


class _Messages:
    """An array of `mmsghdr`, each with one `iovec`, as the kernel and (field by field) as numpy see it."""

    def __init__(self, count: int, name_size: int) -> None:
        self.headers: CData = ffi.new("struct mmsghdr[]", count)
        self._buffers: CData = ffi.new("struct iovec[]", count)
        for i in range(count):
            header = self.headers[i].msg_hdr
            header.msg_iov = self._buffers + i
            header.msg_iovlen = 1
            header.msg_namelen = name_size
        words = np.frombuffer(ffi.buffer(self.headers), np.uint64).reshape(count, -1)
        halves = np.frombuffer(ffi.buffer(self.headers), np.uint32).reshape(count, -1)
        buffers = np.frombuffer(ffi.buffer(self._buffers), np.uint64).reshape(count, -1)
        self.names = words[:, ffi.offsetof("struct msghdr", "msg_name") // 8]
        self.lengths = halves[:, ffi.offsetof("struct mmsghdr", "msg_len") // 4]
        self.bases = buffers[:, ffi.offsetof("struct iovec", "iov_base") // 8]
        self.sizes = buffers[:, ffi.offsetof("struct iovec", "iov_len") // 8]


class BatchedSocket(_Socket):
    """Linux: one recvmmsg or sendmmsg a batch."""

    def __init__(self, sock: socket.socket, library: CData) -> None:
        super().__init__(sock)
        self._recvmmsg = library.recvmmsg
        self._sendmmsg = library.sendmmsg
        self._name_size = sockaddr_size(self.family)
        self._inbox: Inbox | None = None  # whose memory the headers point to; held, so that it stays
        self._outbox: Outbox | None = None

    def receive(self, inbox: Inbox) -> int:
        """See UdpSocket."""
        if inbox is not self._inbox:
            self._attach_inbox(inbox)
        count = self._recvmmsg(
            self.fileno(), self._incoming.headers, inbox.capacity, _RECEIVE_FLAGS, ffi.NULL
        )
        if count <= 0:
            return inbox.received([])
        return inbox.received(self._incoming.lengths[:count].tolist())

    def _attach_inbox(self, inbox: Inbox) -> None:
        self._incoming = _Messages(inbox.capacity, self._name_size)
        self._incoming.bases[:] = row_addresses(inbox.buffer)
        self._incoming.sizes[:] = inbox.row_size
        self._incoming.names[:] = row_addresses(inbox.names)
        inbox.name_size = self._name_size
        self._inbox = inbox

    def send(self, outbox: Outbox, addresses: AddressTable) -> None:
        """See UdpSocket."""
        if outbox is not self._outbox:
            self._outgoing = _Messages(outbox.capacity, self._name_size)
            self._row_addresses = row_addresses(outbox.buffer)
            self._outgoing.bases[:] = self._row_addresses
            self._outbox = outbox
        messages = self._outgoing
        count = outbox.count
        lengths = outbox.lengths[:count]
        destinations = outbox.destinations[:count]
        outbox.clear()
        kept = int(np.count_nonzero(lengths))
        if kept == count:
            messages.sizes[:count] = lengths
            messages.names[:count] = addresses.pointers.take(destinations)
            self._transmit(count)
        else:
            rows = np.flatnonzero(lengths)
            messages.bases[:kept] = self._row_addresses[rows]
            messages.sizes[:kept] = lengths[rows]
            messages.names[:kept] = addresses.pointers.take(destinations[rows])
            self._transmit(kept)
            messages.bases[:kept] = self._row_addresses[:kept]

    def _transmit(self, count: int) -> None:
        headers = self._outgoing.headers
        done = 0
        while done < count:
            # A call stops before the message that fails, or at 1,024; the next call reports the error.
            result = self._sendmmsg(self.fileno(), headers + done, count - done, 0)
            if result > 0:
                done += result
                self.sent += result
            elif ffi.errno == errno.EAGAIN:
                self.dropped += count - done
                return
            elif ffi.errno != errno.EINTR:
                self._refused(ffi.errno)
                done += 1


def open_udp(host: str, port: int, *, batched: bool | None = None) -> UdpSocket:
    """Bind a UDP port (0 = any): `::` takes both IPv6 and IPv4, or IPv4 alone where there is no IPv6.

    `batched` asks for one kind of socket; without it, the batched one where the system has it. Raises OSError
    with a sentence for the operator when the port is taken or the host not ours, ValueError when it is no IP
    address.
    """
    library = libc.load() if batched is not False else None
    if batched and library is None:
        raise OSError(errno.ENOSYS, "batched UDP needs 64-bit Linux")
    try:
        sock = _bind(host, port)
    except OSError as error:
        if host == "::" and error.errno in _NO_IPV6:
            return open_udp("0.0.0.0", port, batched=batched)  # noqa: S104 - what `::` asks for
        raise OSError(error.errno, _sentence(host, port, error)) from error
    return PlainSocket(sock) if library is None else BatchedSocket(sock, library)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {port} on {host} is taken by another program"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"UDP port {port} on {host} is not for us: ports below 1024 need a privilege"
    return f"cannot open UDP port {port} on {host}: {os.strerror(error.errno or 0)}"
