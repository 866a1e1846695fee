"""Virtual time for asyncio: a loop that jumps to its next timer when nothing is ready, and carries UDP.

Unmodified asyncio code runs on it, deterministically and as fast as the machine can: an hour of sleep takes
no time. Its UDP endpoints never leave the process: every datagram goes through a seeded link of rtc.netem.

    run(main(), link_between=lambda source, target: Link(LinkProfile(loss=0.3, delay=0.05), seed=1))

Sans-IO parts need no loop: step `now` to the least of their `next_time()`. What reads a clock behind the back
of the loop (time.monotonic, OpenSSL's DTLS retransmission timer) sees real time.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, cast
from unittest import mock

from aiortc import clock

from bench.pump import LinkPump
from rtc.netem import Link, LinkProfile

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Address = tuple[str, int]
LinkBetween = Callable[[Address, Address], Link]
"""Makes the link from one address to another when the first datagram takes it; the link is then kept."""

EPOCH = 1_800_000_000.0
"""Unix time when virtual time is 0, for those who ask."""

START = 1000.0  # seconds shown by a new loop's clock: not 0, which code may take for "never"
FIRST_PORT = 49152  # the dynamic ports of RFC 6335 section 6


def perfect_link(_source: Address, _target: Address) -> Link:
    """Carry everything at once."""
    return Link(LinkProfile(), seed=0)


def run(main: Coroutine[Any, Any, T], *, link_between: LinkBetween = perfect_link) -> T:
    """Run a coroutine to its end in virtual time, as asyncio.run does in real time.

    Raises RuntimeError when it waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(link_between)) as runner:
        return runner.run(main)


@contextlib.contextmanager
def clocks() -> Iterator[None]:
    """What clients read the time from, ours and aiortc, shows that of the running loop."""
    loop = asyncio.get_running_loop()

    def unix_time() -> float:
        return EPOCH + loop.time()

    def moment() -> datetime.datetime:
        return datetime.datetime.fromtimestamp(unix_time(), datetime.UTC)

    with (
        mock.patch.object(time, "monotonic", loop.time),
        mock.patch.object(time, "time", unix_time),
        mock.patch.object(clock, "current_datetime", moment),
    ):
        yield


class _Selector(selectors.DefaultSelector):
    """Never waits while there is a timer to jump to, unless a thread is at work."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads_at_work:
            return super().select(None)  # time stands still for them
        if timeout is None:
            if len(self.get_map()) > 1:  # more than the loop's own wake-up: a real socket or pipe
                return super().select(None)
            raise RuntimeError("nothing is left to happen: the program waits for ever")
        self.loop.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with its own clock and its own network."""

    def __init__(self, link_between: LinkBetween = perfect_link) -> None:
        self._now = START
        self.threads_at_work = 0
        self.endpoints: dict[Address, VirtualEndpoint] = {}
        self._link_between = link_between
        self._pumps: dict[tuple[Address, Address], LinkPump] = {}
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let the clock show a later time. For the selector."""
        self._now += seconds

    def link(self, source: Address, target: Address) -> Link:
        """Return the link from one address to another, made now if nothing has gone there yet."""
        return self._pump(source, target).link

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run in a thread; virtual time stands still until it is done."""
        self.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *_: Any) -> None:
        """Wait for the threads; that takes no virtual time either."""
        self.threads_at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads_at_work -= 1

    async def create_datagram_endpoint(  # type: ignore[override]  # the sock and family of real networks are left out
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: Address | None = None,
        remote_addr: Address | None = None,
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        """Open an endpoint of the virtual network. Raises OSError when the address is taken."""
        host, port = local_addr or ("127.0.0.1", 0)
        if port == 0:
            port = next(port for port in range(FIRST_PORT, 65536) if (host, port) not in self.endpoints)
        if (host, port) in self.endpoints:
            raise OSError(errno.EADDRINUSE, f"{host}:{port} is taken")
        protocol = protocol_factory()
        endpoint = VirtualEndpoint(self, protocol, (host, port), remote_addr)
        self.endpoints[host, port] = endpoint
        protocol.connection_made(endpoint)
        return endpoint, protocol

    def carry(self, datagram: bytes, source: Address, target: Address) -> None:
        """Put a datagram on its way; nobody may be there when it arrives."""
        self._pump(source, target).send(datagram)

    def _pump(self, source: Address, target: Address) -> LinkPump:
        pump = self._pumps.get((source, target))
        if pump is None:

            def deliver(datagram: bytes) -> None:
                if target in self.endpoints:
                    self.endpoints[target].arrived(datagram, source)

            pump = self._pumps[source, target] = LinkPump(self._link_between(source, target), deliver)
        return pump

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads_at_work -= 1


class VirtualEndpoint(asyncio.DatagramTransport):
    """The transport of one address in the virtual network."""

    def __init__(
        self, loop: VirtualLoop, protocol: asyncio.DatagramProtocol, address: Address, peer: Address | None
    ) -> None:
        super().__init__({"sockname": address, "peername": peer})
        self._loop = loop
        self._protocol = protocol
        self._address = address
        self._peer = peer
        self._closing = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send; to the peer when the endpoint is connected."""
        target = addr or self._peer
        if target is None:
            raise ValueError("an endpoint without a peer needs an address to send to")
        if not self._closing:
            self._loop.carry(bytes(data), self._address, cast(Address, tuple(target[:2])))

    def arrived(self, datagram: bytes, source: Address) -> None:
        """Hand a datagram to the protocol. For the loop."""
        if self._peer in (None, source):
            self._protocol.datagram_received(datagram, source)

    def is_closing(self) -> bool:
        """Whether the endpoint has been closed."""
        return self._closing

    def close(self) -> None:
        """Give the address back; a second time does nothing."""
        if not self._closing:
            self._closing = True
            del self._loop.endpoints[self._address]
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close
