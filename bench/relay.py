"""A bad network for real programs: a UDP relay between clients and a server, neither of which knows of it.

    python -m bench.relay --listen 127.0.0.2:7882 --to 127.0.0.1:7882 --loss 0.3 --delay 0.05

Each client address gets a port of its own towards the server, and a seeded link in each direction. A Clarion
server sends its clients here when CLARION_PUBLIC_IPS names the relay's address and both have the same port.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable, Set
from enum import StrEnum
from typing import Annotated

import typer

from bench.pump import LinkPump
from rtc.netem import Link, LinkProfile

Address = tuple[str, int]

MAX_FLOWS = 500  # client addresses served, each an open socket; those of further ones are dropped and counted
MAX_DATAGRAM = 65535  # bytes
BATCH = 64  # datagrams read at a time, so that one busy socket does not starve the others
KERNEL_BUFFER = 4 << 20  # bytes asked for, each way: this network loses only what its profile says
COUNTERS = ("sent", "queue_dropped", "lost", "duplicated", "delivered")


class Relay:
    """Runs from when it is made, inside a running loop, until `close`.

    Raises OSError when the port is taken or an address is out of reach.

    Forwarding adds about 1 ms, asyncio's timers being that coarse. What a link drops is repeatable by seed;
    when something arrives is as exact as the machine.
    """

    def __init__(
        self,
        listen: Address,
        to: Address,
        *,
        up: LinkProfile | None = None,
        down: LinkProfile | None = None,
        seed: int = 0,
    ) -> None:
        self._to = to
        self._up = up or LinkProfile()
        self._down = down or LinkProfile()
        self._seed = seed
        self._flows: dict[Address, _Flow] = {}
        #: While not None, only these clients have a network: what the others send, or are sent, is gone.
        self.only: Set[Address] | None = None
        #: Datagrams of a client address too many, and those that the kernel did not take.
        self.refused = 0
        with _open_socket(to) as trial:
            trial.connect(to)  # a server that cannot be reached at all is an error now, not later
        self._socket = _open_socket(listen)
        try:
            self._socket.bind(listen)
        except OSError:
            self._socket.close()
            raise
        _watch(self._socket, self._from_client)

    @property
    def address(self) -> Address:
        """Where clients send."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    @property
    def up(self) -> LinkProfile:
        """The way from the clients to the server; may be replaced at any time."""
        return self._up

    @up.setter
    def up(self, profile: LinkProfile) -> None:
        self._up = profile
        for flow in self._flows.values():
            flow.up.link.profile = profile

    @property
    def down(self) -> LinkProfile:
        """The way from the server to the clients; may be replaced at any time."""
        return self._down

    @down.setter
    def down(self, profile: LinkProfile) -> None:
        self._down = profile
        for flow in self._flows.values():
            flow.down.link.profile = profile

    @property
    def clients(self) -> Set[Address]:
        """Where clients have sent from so far."""
        return self._flows.keys()

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the counters of rtc.netem.Link, summed over all clients, for each direction."""
        flows = self._flows.values()
        return {
            "up": {name: sum(getattr(flow.up.link, name) for flow in flows) for name in COUNTERS},
            "down": {name: sum(getattr(flow.down.link, name) for flow in flows) for name in COUNTERS},
        }

    def rebind(self) -> None:
        """Be a NAT that forgot its bindings: the server sees every client at a new port. Raises OSError."""
        for flow in self._flows.values():
            flow.rebind(self._upstream(flow.down))

    def close(self) -> None:
        """Stop; what is under way is gone. A second time does nothing."""
        _unwatch(self._socket)
        for flow in self._flows.values():
            flow.close()

    def _from_client(self, datagram: bytes, client: Address) -> None:
        if self.only is not None and client not in self.only:
            return
        flow = self._flows.get(client)
        if flow is None and len(self._flows) < MAX_FLOWS:
            flow = self._new_flow(client)
        if flow is None:
            self.refused += 1
        else:
            flow.up.send(datagram)

    def _new_flow(self, client: Address) -> _Flow | None:
        seed = f"{self._seed} {len(self._flows)}"
        down = LinkPump(
            Link(self._down, seed=f"{seed} down"), lambda datagram: self._to_client(datagram, client)
        )
        try:
            upstream = self._upstream(down)
        except OSError:  # no descriptor left
            return None
        up = LinkPump(
            Link(self._up, seed=f"{seed} up"), lambda datagram: self._send(flow.upstream, datagram)
        )
        flow = self._flows[client] = _Flow(up, down, upstream)
        return flow

    def _upstream(self, down: LinkPump) -> socket.socket:
        """A port towards the server, whose answers go `down`."""
        upstream = _open_socket(self._to)
        upstream.connect(self._to)
        _watch(upstream, lambda datagram, _: down.send(datagram))
        return upstream

    def _to_client(self, datagram: bytes, client: Address) -> None:
        if self.only is None or client in self.only:
            self._send(self._socket, datagram, client)

    def _send(self, sock: socket.socket, datagram: bytes, client: Address | None = None) -> None:
        try:
            if client is None:
                sock.send(datagram)
            else:
                sock.sendto(datagram, client)
        except OSError:  # a full buffer, or nobody there
            self.refused += 1


class _Flow:
    """One client address."""

    def __init__(self, up: LinkPump, down: LinkPump, upstream: socket.socket) -> None:
        self.up = up
        self.down = down
        self.upstream = upstream

    def rebind(self, upstream: socket.socket) -> None:
        _unwatch(self.upstream)
        self.upstream = upstream

    def close(self) -> None:
        self.up.close()
        self.down.close()
        _unwatch(self.upstream)


def _open_socket(towards: Address) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in towards[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
    return sock


def _watch(sock: socket.socket, received: Callable[[bytes, Address], None]) -> None:
    """Call `received` for every datagram."""

    def readable() -> None:
        for _ in range(BATCH):
            try:
                datagram, source = sock.recvfrom(MAX_DATAGRAM)
            except OSError:  # nothing more, or news that an earlier datagram met nobody
                return
            received(datagram, source[:2])

    asyncio.get_running_loop().add_reader(sock, readable)


def _unwatch(sock: socket.socket) -> None:
    if sock.fileno() >= 0:
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()


class Direction(StrEnum):
    """Which way the network is bad."""

    BOTH = "both"
    UP = "up"
    DOWN = "down"


def parse_address(text: str) -> Address:
    """Split HOST:PORT, an IPv6 host in brackets. Raises typer.BadParameter."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


async def serve(relay: Callable[[], Relay], seconds: float | None) -> dict[str, dict[str, int]]:
    """Relay until SIGINT, SIGTERM or the time is over; return the counters."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = relay()
    print("relaying at {}:{}; Ctrl-C stops it".format(*running.address), flush=True)
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
    finally:
        running.close()
    return running.counters()


def main(
    *,
    listen: Annotated[str, typer.Option(help="HOST:PORT for the clients.")],
    to: Annotated[str, typer.Option(help="HOST:PORT of the server.")],
    direction: Annotated[Direction, typer.Option(help="Which way is bad.")] = Direction.BOTH,
    loss: Annotated[float, typer.Option(help="Share of datagrams lost, 0 to 1.")] = 0.0,
    burst: Annotated[float, typer.Option(help="Mean run of losses, in datagrams; 1: independent.")] = 1.0,
    delay: Annotated[float, typer.Option(help="Seconds, one way.")] = 0.0,
    jitter: Annotated[float, typer.Option(help="Standard deviation of the delay, seconds.")] = 0.0,
    reorder: Annotated[float, typer.Option(help="Share of datagrams held back and overtaken.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Share of datagrams that arrive twice.")] = 0.0,
    bandwidth: Annotated[float | None, typer.Option(help="Bits a second of the bottleneck.")] = None,
    queue: Annotated[float, typer.Option(help="Longest wait at the bottleneck, seconds.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Same seed: same losses.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
) -> None:
    """Relay UDP between clients and a server over a bad network; print what it did, as JSON, at the end."""
    try:
        bad = LinkProfile(
            loss=loss, burst=burst, delay=delay, jitter=jitter, reorder=reorder, duplicate=duplicate,
            bandwidth=bandwidth, queue=queue,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    up = bad if direction != Direction.DOWN else LinkProfile()
    down = bad if direction != Direction.UP else LinkProfile()
    here, there = parse_address(listen), parse_address(to)
    try:
        counters = asyncio.run(serve(lambda: Relay(here, there, up=up, down=down, seed=seed), seconds))
    except OSError as error:
        raise SystemExit(f"cannot relay from {listen} to {to}: {error.strerror}") from None
    print(json.dumps(counters))


if __name__ == "__main__":
    typer.run(main)
