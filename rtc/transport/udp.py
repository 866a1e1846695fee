"""The UDP socket of a node: whole batches in and out; neither blocks nor raises for what a network does."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rtc.transport import libc
from rtc.transport.addresses import AddressTable, pack_sockaddr, sockaddr_size, socket_address
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.libc import CData, ffi, row_addresses
from rtc.transport.segments import segment

KERNEL_BUFFER = (
    4 << 20
)  # bytes asked for each way: some 3,000 packets, so that a garbage collection loses none
_NO_SEGMENTS = (errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP)
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL)
# Linux: asm-generic/socket.h, linux/sock_diag.h, linux/udp.h.
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_MEMINFO, _MEMINFO_DROPS = 32, 33, 35, 55, 8
_SOL_UDP, _UDP_SEGMENT = 17, 103
FEW = 4  # datagrams received up to which a loop is faster than numpy
FEW_TO_SEND = 16  # the same of those sent, when numpy's code is not in the cache
_CONTROL = 64  # bytes for control data: a header of 16 and a timespec, or a segment size
_STAMP = struct.Struct("qq")
_CONTROL_HEADER = struct.Struct("Qii")
_SEGMENT_CONTROL = 24  # bytes used of it to name a segment size
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

    @property
    def overflowed(self) -> int:
        """Datagrams that the kernel dropped on arrival because the receive buffer was full; 0 where it does not say."""

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

    @property
    def overflowed(self) -> int:
        """See UdpSocket."""
        try:
            information = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
            return int(struct.unpack_from("I", information, 4 * _MEMINFO_DROPS)[0])
        except (OSError, struct.error):
            return 0

    def fileno(self) -> int:
        """See UdpSocket."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _refused(self, number: int | None, datagrams: int = 1) -> None:
        if number == errno.ENOBUFS:
            self.dropped += datagrams
        else:
            self.errors += datagrams


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
        #: Control data of each, of which `control_sizes` bytes count.
        self.control = np.zeros((count, _CONTROL), np.uint8)
        for i in range(count):
            header = self.headers[i].msg_hdr
            header.msg_iov = self._buffers + i
            header.msg_iovlen = 1
            header.msg_namelen = name_size
        words = np.frombuffer(ffi.buffer(self.headers), np.uint64).reshape(count, -1)
        halves = np.frombuffer(ffi.buffer(self.headers), np.uint32).reshape(count, -1)
        buffers = np.frombuffer(ffi.buffer(self._buffers), np.uint64).reshape(count, -1)
        words[:, ffi.offsetof("struct msghdr", "msg_control") // 8] = row_addresses(self.control)
        self.control_sizes = words[:, ffi.offsetof("struct msghdr", "msg_controllen") // 8]
        self.buffers = words[:, ffi.offsetof("struct msghdr", "msg_iov") // 8]
        self.buffer_counts = words[:, ffi.offsetof("struct msghdr", "msg_iovlen") // 8]
        #: Where the `iovec` of each stands, one a message.
        self.own_buffers = self.buffers.copy()
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
        self._segments = True
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def receive(self, inbox: Inbox) -> int:
        """See UdpSocket."""
        if inbox is not self._inbox:
            self._attach_inbox(inbox)
        count = self._recvmmsg(
            self.fileno(), self._incoming.headers, inbox.capacity, _RECEIVE_FLAGS, ffi.NULL
        )
        if count <= 0:
            return inbox.received([])
        incoming = self._incoming
        if self._incoming_controls[0]:
            seconds, nanoseconds = _STAMP.unpack_from(incoming.control.data.cast("B"), _CONTROL_HEADER.size)
            inbox.arrived = seconds + nanoseconds * 1e-9
        if count > FEW:
            incoming.control_sizes[:count] = _CONTROL
            return inbox.received(incoming.lengths[:count].tolist())
        controls, lengths = self._incoming_controls, self._incoming_lengths
        sizes = []
        for i in range(count):
            controls[i] = _CONTROL
            sizes.append(lengths[i])
        return inbox.received(sizes)

    def _attach_inbox(self, inbox: Inbox) -> None:
        self._incoming = _Messages(inbox.capacity, self._name_size)
        self._incoming.bases[:] = row_addresses(inbox.buffer)
        self._incoming.sizes[:] = inbox.row_size
        self._incoming.names[:] = row_addresses(inbox.names)
        self._incoming.control_sizes[:] = _CONTROL
        self._incoming_controls = self._incoming.control_sizes.data
        self._incoming_lengths = self._incoming.lengths.data
        inbox.name_size = self._name_size
        self._inbox = inbox

    def send(self, outbox: Outbox, addresses: AddressTable) -> None:
        """See UdpSocket."""
        if outbox is not self._outbox:
            self._outgoing = _Messages(outbox.capacity, self._name_size)
            self._row_addresses = row_addresses(outbox.buffer)
            self._outgoing.bases[:] = self._row_addresses
            self._outgoing_sizes, self._outgoing_names = self._outgoing.sizes.data, self._outgoing.names.data
            header = _CONTROL_HEADER.pack(_CONTROL_HEADER.size + 2, _SOL_UDP, _UDP_SEGMENT)
            self._outgoing.control[:, : len(header)] = np.frombuffer(header, np.uint8)
            self._segment_sizes = self._outgoing.control[:, len(header) : len(header) + 2].view(np.uint16)[:, 0]
            self._outbox = outbox
        messages = self._outgoing
        count = outbox.count
        if count <= FEW_TO_SEND and self._address_few(outbox, addresses):
            outbox.clear()
            self._transmit(count)
            return
        lengths = outbox.lengths[:count]
        destinations = outbox.destinations[:count]
        outbox.clear()
        kept = int(np.count_nonzero(lengths))
        segmented = segment(destinations, lengths) if self._segments and kept == count else None
        if segmented is not None:
            order, starts = segmented
            rows = order[self._send_segmented(order, starts, lengths, addresses.pointers.take(destinations[order])) :]
            kept = len(rows)
            if kept:
                self._send_rows(rows, lengths, addresses.pointers.take(destinations[rows]))
        elif kept == count:
            messages.sizes[:count] = lengths
            messages.names[:count] = addresses.pointers.take(destinations)
            self._transmit(count)
        else:
            rows = np.flatnonzero(lengths)
            self._send_rows(rows, lengths, addresses.pointers.take(destinations[rows]))

    def _address_few(self, outbox: Outbox, addresses: AddressTable) -> bool:
        """Prepare the messages for all rows of the outbox; False where one is empty, to be left out."""
        sizes, names, pointers = self._outgoing_sizes, self._outgoing_names, addresses.pointers.data
        lengths, destinations = outbox.length_view, outbox.destination_view
        for i in range(outbox.count):
            size = lengths[i]
            if not size:
                return False
            sizes[i] = size
            names[i] = pointers[destinations[i]]
        return True

    def _send_rows(
        self, rows: npt.NDArray[np.intp], lengths: npt.NDArray[np.int32], names: npt.NDArray[np.uint64]
    ) -> None:
        messages, count = self._outgoing, len(rows)
        messages.bases[:count] = self._row_addresses[rows]
        messages.sizes[:count] = lengths[rows]
        messages.names[:count] = names
        self._transmit(count)
        messages.bases[:count] = self._row_addresses[:count]

    def _send_segmented(
        self, order: npt.NDArray[np.intp], starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.int32],
        names: npt.NDArray[np.uint64],
    ) -> int:
        """Send messages of several datagrams each; returns how many of `order` are done with.

        Fewer than all when the kernel or the card cannot do it: then it is not tried again.
        """
        messages, count, groups = self._outgoing, len(order), len(starts)
        messages.bases[:count] = self._row_addresses[order]
        messages.sizes[:count] = lengths[order]
        messages.names[:groups] = names[starts]
        messages.buffers[:groups] = messages.own_buffers[starts]
        datagrams = np.diff(starts, append=count)
        messages.buffer_counts[:groups] = datagrams
        messages.control_sizes[:groups] = np.where(datagrams > 1, _SEGMENT_CONTROL, 0)
        self._segment_sizes[:groups] = messages.sizes[starts]
        done = self._transmit(groups, datagrams)
        messages.bases[:count] = self._row_addresses[:count]
        messages.buffers[:groups] = messages.own_buffers[:groups]
        messages.buffer_counts[:groups] = 1
        messages.control_sizes[:groups] = 0
        return count if done == groups else int(starts[done])

    def _transmit(self, count: int, datagrams: npt.NDArray[np.intp] | None = None) -> int:
        """Send the first messages, of so many datagrams each; returns how many are done with."""
        headers = self._outgoing.headers
        done = 0
        while done < count:
            # A call stops before the message that fails, or at 1,024; the next call reports the error.
            result = self._sendmmsg(self.fileno(), headers + done, count - done, 0)
            if result > 0:
                self.sent += result if datagrams is None else int(datagrams[done : done + result].sum())
                done += result
            elif ffi.errno == errno.EAGAIN:
                self.dropped += count - done if datagrams is None else int(datagrams[done:].sum())
                return count
            elif ffi.errno in _NO_SEGMENTS and datagrams is not None and datagrams[done] > 1:
                self._segments = False
                return done
            elif ffi.errno != errno.EINTR:
                self._refused(ffi.errno, 1 if datagrams is None else int(datagrams[done]))
                done += 1
        return count


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
        for option, forced in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
            sock.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
            if sys.platform == "linux":  # beyond net.core.rmem_max, for who may
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, forced, KERNEL_BUFFER)
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
