"""Running the application: listen, wait for the order to stop, let calls end, stop."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from aiohttp import web

from signaling.calls.exchange import Line
from signaling.config import ConfigError, Settings
from signaling.keys import BROADCASTS, DIRECTORY, METRICS, NODE, SESSIONS
from signaling.store.database import DatabaseError

SHUTDOWN_SECONDS = 8.0
"""How long open connections may take to end after everybody has been told."""

log = structlog.get_logger()


async def serve(
    app: web.Application, settings: Settings, *, stop: Stop, started: Callable[[int, int], None]
) -> None:
    """Run until `stop` is ordered, then drain; `started` gets the HTTP and UDP ports. Raises ConfigError."""
    tls = settings.ssl_context()
    # The log has its own lines for requests: aiohttp's would hold query strings, and those may hold tokens.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    try:
        try:
            await runner.setup()
        except DatabaseError as error:
            raise ConfigError(str(error)) from error
        except OSError as error:
            raise ConfigError(
                _cannot_listen(f"UDP port {settings.udp_port} on {settings.media_host}", "UDP_PORT", error)
            ) from error
        site = web.TCPSite(runner, settings.http_host, settings.http_port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                _cannot_listen(f"TCP port {settings.http_port} on {settings.http_host}", "HTTP_PORT", error)
            ) from error
        http_port = runner.addresses[0][1]
        log.info("listening", url=settings.url(http_port), http_port=http_port, udp_port=app[NODE].port)
        started(http_port, app[NODE].port)
        await stop.ordered.wait()
        await drain(app, settings.drain_deadline, stop)
    finally:
        await runner.cleanup()
    log.info("stopped")


class Stop:
    """The order to stop: the first signal asks, the second insists."""

    def __init__(self) -> None:
        self.ordered = asyncio.Event()
        self.forced = asyncio.Event()

    def order(self) -> None:
        """Stop; said twice: at once."""
        (self.forced if self.ordered.is_set() else self.ordered).set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """A context in which SIGTERM and SIGINT give the order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.order)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def drain(app: web.Application, seconds: float, stop: Stop) -> None:
    """Take nobody in any more; wait `seconds`, until all sessions have ended or the stop is forced."""
    sessions, broadcasts = app[SESSIONS], app[BROADCASTS]
    app[DIRECTORY].draining = True
    for session in sessions:
        if isinstance(session.party, Line):  # nobody can answer any more
            sessions.end(session, "shutdown")
    app[METRICS].draining.set(1)
    left = len(sessions) + len(broadcasts)
    if not left or seconds <= 0:
        return
    log.info("draining", sessions=left, seconds=seconds)

    async def all_gone() -> None:
        await sessions.wait_until_none()
        await broadcasts.wait_until_none()

    waits = [asyncio.create_task(all_gone()), asyncio.create_task(stop.forced.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _cannot_listen(place: str, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use: stop the program that has it, or set CLARION_{setting} to another."
    if error.errno == errno.EACCES:
        return f"{place} needs more rights: set CLARION_{setting} to one above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place} cannot be had: this machine does not have that address."
    return f"{place} cannot be had: {error.strerror or error}."
