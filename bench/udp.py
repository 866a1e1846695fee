"""What a datagram costs: the socket in and out, SRTP in place. Run `python bench/udp.py` on a quiet host."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial

from rtc.transport.addresses import AddressTable, pack_sockaddr
from rtc.transport.batch import INBOX_ROWS, Inbox, Outbox
from rtc.transport.srtp import protect_rows, srtp_pair
from rtc.transport.udp import open_udp

ROUNDS = 400
PAYLOAD = 100  # bytes: an Opus packet with its RTP header


def fastest(run: Callable[[], object], packets: int, before: Callable[[], object] = lambda: None) -> float:
    """Microseconds a packet: the tenth percentile of the rounds, so that a busy neighbour does not count."""
    times = []
    for _ in range(ROUNDS):
        before()
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[ROUNDS // 10] / packets * 1e6


def row(name: str, microseconds: float) -> None:
    """One line of the table."""
    print(f"{name:<46}{microseconds:6.2f} µs a packet")


def sending(host: str, family: int) -> None:
    """One datagram to each of 64 sockets."""
    receivers = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(64)]
    for receiver in receivers:
        receiver.bind((host, 0))
        receiver.setblocking(False)
    table = AddressTable()
    destinations = [
        table.add(pack_sockaddr(host, receiver.getsockname()[1], family=family)) for receiver in receivers
    ]
    names = [receiver.getsockname() for receiver in receivers]
    data = bytes(PAYLOAD)

    def drain() -> None:
        for receiver in receivers:
            try:
                while True:
                    receiver.recv(2048)
            except BlockingIOError:
                pass

    plain = socket.socket(family, socket.SOCK_DGRAM)

    def sendto() -> None:
        for name in names:
            plain.sendto(data, name)

    row(f"{host}: socket.sendto, 64 sockets", fastest(sendto, 64, drain))
    outbox = Outbox()
    for batched in (False, True):
        sender = open_udp(host, 0, batched=batched)

        def fill(count: int = 64) -> None:
            drain()
            for destination in destinations[:count]:
                outbox.append(data, destination)

        kind, send = type(sender).__name__, partial(sender.send, outbox, table)
        row(f"{host}: {kind}.send, 64 sockets", fastest(send, 64, fill))
        row(f"{host}: {kind}.send, 1 socket", fastest(send, 1, partial(fill, 1)))
        sender.close()
    for each in (plain, *receivers):
        each.close()


def receiving(host: str, family: int) -> None:
    """Bursts of 64 and of 1 from one sender."""
    sender = socket.socket(family, socket.SOCK_DGRAM)
    data = bytes(PAYLOAD)
    inbox = Inbox()
    for count in (INBOX_ROWS, 1):
        receiver = open_udp(host, 0, batched=True)
        plain = socket.socket(fileno=socket.dup(receiver.fileno()))

        def burst(count: int = count, name: tuple[str, int] = (host, receiver.port)) -> None:
            for _ in range(count):
                sender.sendto(data, name)

        def recvfrom(count: int = count, plain: socket.socket = plain) -> None:
            for _ in range(count):
                plain.recvfrom(2048)

        row(f"{host}: socket.recvfrom, {count} waiting", fastest(recvfrom, count, burst))
        row(
            f"{host}: BatchedSocket.receive, {count} waiting",
            fastest(partial(receiver.receive, inbox), count, burst),
        )
        plain.close()
        receiver.close()
    sender.close()


def protecting(profile: str, legs: int, size: int) -> None:
    """The same RTP packet for each of several legs, as a fan-out leaves it."""
    senders = [srtp_pair(profile)[0] for _ in range(legs)]
    contexts = [sender.context for sender in senders]
    outbox = Outbox()
    sequence = 0

    def fill() -> None:
        nonlocal sequence
        sequence += 1
        header = bytes([0x80, 111]) + sequence.to_bytes(2, "big") + bytes(7) + b"\1"
        outbox.clear()
        for leg in range(legs):
            outbox.append(header + bytes(size - 12), leg)

    def run() -> None:
        assert protect_rows(contexts, outbox, 0) == 0

    row(f"protect_rows, {profile[5:]}, {legs} legs, {size} B", fastest(run, legs, fill))


def main() -> None:
    """Print the table."""
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        sending(host, family)
        receiving(host, family)
    for profile in ("SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80"):
        for legs in (4, 50, 200):
            protecting(profile, legs, PAYLOAD)
        protecting(profile, 50, 1100)


if __name__ == "__main__":
    main()
