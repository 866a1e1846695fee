from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rtc.transport import libc
from rtc.transport.addresses import AddressTable, pack_sockaddr, unpack_sockaddr
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.libc import CData, ffi
from rtc.transport.udp import BatchedSocket, PlainSocket, UdpSocket, open_udp

Open = Callable[..., UdpSocket]


@pytest.fixture(params=[True, False], ids=["batched", "plain"])
def open_socket(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens sockets of one kind, closed at the end."""
    opened: list[UdpSocket] = []

    def open_one(host: str = "127.0.0.1", port: int = 0) -> UdpSocket:
        opened.append(open_udp(host, port, batched=request.param))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def receive_all(receiver: UdpSocket, count: int, inbox: Inbox | None = None) -> list[bytes]:
    """Wait until `count` datagrams have come, or none for two seconds."""
    inbox = inbox or Inbox()
    datagrams: list[bytes] = []
    while len(datagrams) < count and select.select([receiver], [], [], 2)[0]:
        n = receiver.receive(inbox)
        assert inbox.lengths[:n].tolist() == inbox.sizes[:n]
        datagrams += [bytes(row[:size]) for row, size in zip(inbox.rows, inbox.sizes[:n], strict=False)]
    return datagrams


class Wire:
    """A sender, a receiver, and the way between them."""

    def __init__(self, open_socket: Open, host: str = "127.0.0.1", to: str | None = None) -> None:
        self.sender = open_socket(host)
        self.receiver = open_socket(host)
        self.addresses = AddressTable()
        family = self.sender.family
        self.destination = self.addresses.add(pack_sockaddr(to or host, self.receiver.port, family=family))
        self.refused = self.addresses.add(pack_sockaddr(to or host, 0, family=family))
        self.outbox = Outbox()

    def send(self, *datagrams: tuple[bytes, int]) -> None:
        for data, destination in datagrams:
            self.outbox.append(data, destination)
        self.sender.send(self.outbox, self.addresses)

    @property
    def counters(self) -> tuple[int, int, int]:
        return self.sender.sent, self.sender.dropped, self.sender.errors


@pytest.mark.parametrize(
    ("host", "to", "shown"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("::", "::1", "::1"),
        ("::", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),  # noqa: S104
    ],
)
def test_datagrams_go_there_and_back(open_socket: Open, host: str, to: str, shown: str) -> None:
    wire = Wire(open_socket, host, to)
    wire.send((b"there", wire.destination))
    inbox = Inbox()
    assert receive_all(wire.receiver, 1, inbox) == [b"there"]
    assert unpack_sockaddr(inbox.sockaddr(0)) == (shown, wire.sender.port)

    back = Outbox()
    back.append(b"back", wire.addresses.add(inbox.sockaddr(0)))
    wire.receiver.send(back, wire.addresses)
    assert receive_all(wire.sender, 1) == [b"back"]


def test_a_source_has_the_bytes_that_packing_its_address_gives(open_socket: Open) -> None:
    wire = Wire(open_socket)
    wire.send((b"x", wire.destination))
    inbox = Inbox()
    receive_all(wire.receiver, 1, inbox)
    assert inbox.sockaddr(0) == pack_sockaddr("127.0.0.1", wire.sender.port, family=wire.receiver.family)


def test_a_dual_stack_port_is_reached_over_ipv4_by_a_stranger(open_socket: Open) -> None:
    receiver = open_socket("::")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"hello", ("127.0.0.1", receiver.port))
    assert receive_all(receiver, 1) == [b"hello"]


def test_sources_are_told_apart_within_a_batch(open_socket: Open) -> None:
    receiver = open_socket()
    strangers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    for stranger in strangers:
        stranger.bind(("127.0.0.1", 0))
        stranger.sendto(str(stranger.getsockname()[1]).encode(), ("127.0.0.1", receiver.port))
        stranger.close()
    inbox, seen = Inbox(), 0
    while seen < 20 and select.select([receiver], [], [], 2)[0]:
        for i in range(receiver.receive(inbox)):
            port = int(bytes(inbox.rows[i][: inbox.sizes[i]]))
            assert unpack_sockaddr(inbox.sockaddr(i)) == ("127.0.0.1", port)
            seen += 1
    assert seen == 20


def test_nothing_waiting_is_zero_and_does_not_block(open_socket: Open) -> None:
    inbox = Inbox()
    assert open_socket().receive(inbox) == 0
    assert inbox.sizes == []


def test_a_burst_of_more_than_one_batch_arrives_whole_and_in_order(open_socket: Open) -> None:
    wire = Wire(open_socket)
    datagrams = [b"%04d" % i * (1 + i % 300) for i in range(wire.outbox.capacity)]
    for start in (0, 1):
        wire.send(*[(data, wire.destination) for data in datagrams[start:]])
        assert wire.outbox.count == 0
        assert receive_all(wire.receiver, len(datagrams) - start) == datagrams[start:]
    assert wire.counters == (2 * len(datagrams) - 1, 0, 0)


def test_more_than_one_system_call_can_carry_is_sent_all_the_same(open_socket: Open) -> None:
    wire = Wire(open_socket)
    wire.outbox = Outbox(capacity=1500, row_size=64)
    wire.send(*[(b"%d" % i, wire.destination) for i in range(1500)])
    assert receive_all(wire.receiver, 1500) == [b"%d" % i for i in range(1500)]


def test_rows_of_length_zero_are_skipped_and_the_next_batch_is_whole(open_socket: Open) -> None:
    wire = Wire(open_socket)
    wire.send((b"", 1), (b"a", wire.destination), (b"", 1), (b"", 0), (b"b", wire.destination), (b"", 1))
    assert receive_all(wire.receiver, 2) == [b"a", b"b"]
    wire.send(*[(b"%d" % i, wire.destination) for i in range(5)])
    assert receive_all(wire.receiver, 5) == [b"0", b"1", b"2", b"3", b"4"]
    wire.send((b"", 1))
    wire.send()
    assert wire.counters == (7, 0, 0)


def test_a_datagram_longer_than_a_row_is_counted_and_hurts_no_neighbour(open_socket: Open) -> None:
    wire = Wire(open_socket)
    inbox = Inbox(row_size=100)
    other = open_socket()
    other_outbox = Outbox()
    wire.send((b"a" * 100, wire.destination), (b"b" * 101, wire.destination), (b"c" * 1500, wire.destination))
    other_outbox.append(b"d" * 7, wire.destination)
    other.send(other_outbox, wire.addresses)
    assert receive_all(wire.receiver, 2, inbox) == [b"a" * 100, b"d" * 7]
    assert inbox.truncated == 2
    assert unpack_sockaddr(inbox.sockaddr(1))[1] == other.port


def test_an_empty_datagram_is_not_delivered(open_socket: Open) -> None:
    receiver = open_socket()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for data in (b"", b"a", b"", b"", b"b"):
            stranger.sendto(data, ("127.0.0.1", receiver.port))
    inbox = Inbox()
    assert receive_all(receiver, 2, inbox) == [b"a", b"b"]
    assert inbox.truncated == 0


def test_a_refused_destination_does_not_stop_the_others(open_socket: Open) -> None:
    wire = Wire(open_socket)
    removed = wire.addresses.add(pack_sockaddr("127.0.0.1", wire.receiver.port, family=wire.sender.family))
    wire.addresses.remove(removed)
    there = wire.destination
    wire.send(
        (b"no", wire.refused),
        (b"1", there),
        (b"no", wire.refused),
        (b"no", removed),
        (b"2", there),
        (b"no", wire.refused),
    )
    assert receive_all(wire.receiver, 2) == [b"1", b"2"]
    assert wire.counters == (2, 0, 4)


def test_a_listener_that_went_away_does_not_stop_the_others(open_socket: Open) -> None:
    wire = Wire(open_socket)
    gone = open_socket()
    address = wire.addresses.add(pack_sockaddr("127.0.0.1", gone.port, family=wire.sender.family))
    gone.close()
    for _ in range(3):  # the kernel hears of the closed port between these
        wire.send((b"1", wire.destination), (b"lost", address), (b"2", wire.destination))
        assert wire.sender.receive(Inbox()) == 0
    assert receive_all(wire.receiver, 6) == [b"1", b"2"] * 3


def test_addresses_added_after_the_first_send_are_reached(open_socket: Open) -> None:
    wire = Wire(open_socket)
    wire.addresses = AddressTable(capacity=1)
    for i in range(5):  # the table moves in memory as it grows
        destination = wire.addresses.add(
            pack_sockaddr("127.0.0.1", wire.receiver.port, family=wire.sender.family)
        )
        wire.send((b"%d" % i, destination))
    assert receive_all(wire.receiver, 5) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_second_outbox_and_inbox_do_not_mix_with_the_first(open_socket: Open) -> None:
    wire = Wire(open_socket)
    outboxes, inboxes = [Outbox(), Outbox(capacity=2, row_size=32)], [Inbox(), Inbox(capacity=1, row_size=64)]
    for i in range(6):
        wire.outbox = outboxes[i % 2]
        wire.send((b"first of %d" % i, wire.destination), (b"second of %d" % i, wire.destination))
        expected = [b"first of %d" % i, b"second of %d" % i]
        assert receive_all(wire.receiver, 2, inboxes[i % 3 > 0]) == expected


def test_a_closed_socket_is_quiet(open_socket: Open) -> None:
    wire = Wire(open_socket)
    wire.sender.close()
    wire.sender.close()
    wire.send((b"a", wire.destination), (b"b", wire.destination))
    assert wire.sender.receive(Inbox()) == 0
    assert wire.sender.fileno() == -1
    assert wire.outbox.count == 0
    assert wire.counters == (0, 0, 2)


class FullSocket(socket.socket):
    """Python's socket, with room in the kernel for so many datagrams and no more."""

    room = 3

    def sendto(self, *args: Any) -> int:
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.room -= 1
        return super().sendto(*args)


class FullLibrary:
    """The C library's calls, with the same room."""

    room = 3

    def __init__(self) -> None:
        library = libc.load()
        assert library is not None
        self.library = library
        self.recvmmsg = library.recvmmsg

    def sendmmsg(self, fd: int, messages: CData, count: int, flags: int) -> int:
        if not self.room:
            ffi.errno = errno.EAGAIN
            return -1
        sent: int = self.library.sendmmsg(fd, messages, min(count, self.room), flags)
        self.room -= max(sent, 0)
        return sent


@pytest.mark.parametrize("kind", ["batched", "plain"])
def test_what_a_full_kernel_does_not_take_is_dropped_and_counted(kind: str) -> None:
    sock = (FullSocket if kind == "plain" else socket.socket)(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    sender: UdpSocket = PlainSocket(sock) if kind == "plain" else BatchedSocket(sock, FullLibrary())
    wire = Wire(lambda host: open_udp(host, 0))
    wire.sender.close()
    wire.sender = sender
    wire.send(
        (b"0", wire.destination), (b"no", wire.refused), *[(b"%d" % i, wire.destination) for i in range(1, 9)]
    )
    assert receive_all(wire.receiver, 3)[:2] == [b"0", b"1"]
    assert sum(wire.counters) == 10
    assert wire.counters[1] >= 6
    assert wire.counters[2] == 1
    sender.close()
    wire.receiver.close()


def test_a_receive_error_is_nothing_received() -> None:
    class Refusing(FullLibrary):
        def __init__(self) -> None:
            super().__init__()
            self.recvmmsg = self.refuse

        def refuse(self, *_: Any) -> int:
            ffi.errno = errno.ECONNREFUSED
            return -1

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert BatchedSocket(sock, Refusing()).receive(Inbox()) == 0


def test_a_taken_port_is_told_in_a_sentence(open_socket: Open) -> None:
    taken = open_socket()
    with pytest.raises(OSError, match=f"UDP port {taken.port} on 127.0.0.1 is taken") as caught:
        open_socket(port=taken.port)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_port_taken_for_ipv4_is_taken_for_both(open_socket: Open) -> None:
    taken = open_socket("0.0.0.0")  # noqa: S104 - only loopback sends to it
    with pytest.raises(OSError, match="is taken"):
        open_socket("::", taken.port)


@pytest.mark.parametrize(
    ("host", "error", "words"),
    [("192.0.2.1", OSError, "not an address of this machine"), ("example.org", ValueError, "example.org")],
)
def test_a_host_that_is_not_ours_is_told_in_a_sentence(
    open_socket: Open, host: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_socket(host)


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_every_address_means_every_ipv4_address(
    open_socket: Open, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Ipv4Only(socket.socket):
        def __init__(self, family: int = -1, *args: Any, **kwargs: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(number, "no IPv6 here")
            super().__init__(family, *args, **kwargs)

    monkeypatch.setattr(socket, "socket", Ipv4Only)
    wire = Wire(open_socket, "::", "127.0.0.1")
    assert wire.sender.family == socket.AF_INET
    wire.send((b"x", wire.destination))
    assert receive_all(wire.receiver, 1) == [b"x"]


def test_the_kernel_buffers_got_are_readable(open_socket: Open) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ordinary:
        usual = ordinary.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    opened = open_socket()
    assert opened.receive_buffer >= usual
    assert opened.send_buffer >= usual


def test_linux_gets_the_batched_socket_and_others_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(batched: bool | None) -> type:
        opened = open_udp("127.0.0.1", 0, batched=batched)
        opened.close()
        return type(opened)

    assert kind(None) is kind(True) is BatchedSocket
    assert kind(False) is PlainSocket
    monkeypatch.setattr(libc, "load", lambda: None)
    assert kind(None) is PlainSocket
    with pytest.raises(OSError, match="64-bit Linux"):
        kind(True)
