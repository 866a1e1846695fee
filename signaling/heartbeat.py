"""Which connections are still there: one look at all of them in turn, where a timer for each would cost more than
all else that an idle connection takes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

SILENCE_SECONDS = 4.0
"""A connection that has been silent for this long is pinged."""
PATIENCE_SECONDS = 2.0
"""A ping that is not answered in this time ends the connection."""
LOOK_SECONDS = 0.5
"""Between two looks."""

_LAST_DATA_RECV = 52
"""Where Linux says in `struct tcp_info` how many milliseconds ago data came (tcpi_last_data_recv)."""


log = structlog.get_logger()


class Watched(Protocol):
    """A connection. Times are of the loop's clock, in seconds."""

    heard_at: float
    pinged_at: float

    def ping(self) -> None:
        """Ask for an answer."""

    def is_receiving(self, seconds: float) -> bool:
        """Whether part of a message came in the last `seconds`."""

    def give_up(self) -> None:
        """Nobody is there."""


class Heartbeat:
    """Watches the connections of a server."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()

    def watch(self, connection: Watched) -> None:
        """Look at `connection` from now on."""
        self._watched.add(connection)

    def forget(self, connection: Watched) -> None:
        """Look at it no more."""
        self._watched.discard(connection)

    def look(self, *, now: float) -> None:
        """Ping who has been silent, give up who did not answer."""
        for connection in tuple(self._watched):
            try:
                self._look_at(connection, now)
            except Exception:  # a fault with one must not leave all others unwatched
                log.exception("a connection could not be looked at")
                self.forget(connection)

    def _look_at(self, connection: Watched, now: float) -> None:
        if now - connection.heard_at < SILENCE_SECONDS:
            return
        if connection.pinged_at <= connection.heard_at:
            connection.pinged_at = now
            connection.ping()
        # A server that stood still for a while has answers waiting; and a long message takes its time.
        elif now - connection.pinged_at >= PATIENCE_SECONDS and not connection.is_receiving(PATIENCE_SECONDS):
            connection.give_up()

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """A context in which connections are looked at."""
        task = asyncio.create_task(self._beat(), name="heartbeat")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(now=loop.time())


def heard_lately(transport: asyncio.BaseTransport | None, seconds: float) -> bool:
    """Whether the kernel received data on a TCP connection in the last `seconds`; False where it does not say."""
    if transport is None:
        return False
    try:
        info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV + 4)
        (milliseconds,) = struct.unpack_from("=I", info, _LAST_DATA_RECV)
    except (AttributeError, OSError, struct.error):  # closed, or another system than Linux
        return False
    return bool(milliseconds < seconds * 1000)
