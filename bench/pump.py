"""A link of rtc.netem on an asyncio loop: real time on a real loop, virtual time on bench.virtual's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtc.netem import Link


class LinkPump:
    """Hands on what comes out of a link when its time has come. Made inside a running loop.

    `deliver` is called on the loop, never from within `send`, and must not raise. A real loop's timers are
    about 1 ms late; a virtual one's are exact.
    """

    def __init__(self, link: Link, deliver: Callable[[bytes], None]) -> None:
        self.link = link
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, datagram: bytes) -> None:
        """Put a datagram on the link now."""
        self.link.send(datagram, now=self._loop.time())
        self._schedule()

    def close(self) -> None:
        """Hand on nothing more; what is under way is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        when = self.link.next_time()
        if when is None:
            return
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._arrived, when)

    def _arrived(self, when: float) -> None:
        self._timer = None
        # asyncio may call up to its clock's resolution early.
        arrived = self.link.receive(now=max(when, self._loop.time()))
        self._schedule()
        for datagram in arrived:
            self._deliver(datagram)
