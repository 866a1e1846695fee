"""A full ICE agent for a client of one server: aioice's, with loopback, a callback and quick consent checks.

The private names of aioice that the client leans on are all in this file.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from aioice import Candidate, Connection, stun

CONSENT_SECONDS = 2.0
"""Mean time between consent checks: RFC 7675 has 5 s, but a dead path is to be noticed sooner."""

CONSENT_FAILURES = 3
"""Unanswered checks in a row, each with its own wait of about 1.5 s, after which the path is dead.

About 8 s.
"""

CONSENT_RETRANSMISSIONS = 1
"""A check is repeated once after 0.5 s: one lost packet is no failed check."""

LOOPBACK = ("127.0.0.1", "::1")


class ClientIce(Connection):
    """The controlling agent.

    `received` gets every datagram that is not STUN; `lost` is called when consent ends.
    """

    def __init__(
        self, *, loopback: bool, received: Callable[[bytes], None], lost: Callable[[], None]
    ) -> None:
        super().__init__(ice_controlling=True)
        self._loopback = loopback
        self._received = received
        self._path_lost = lost
        self.rtt: float | None = None
        """Round trip to the server in seconds, by the last consent check that was answered at once."""
        self._heard_at = float("-inf")
        self._closing_task: asyncio.Task[None] | None = None

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109 - aioice's signature
    ) -> list[Candidate]:
        """Gather, for a server on this machine from the loopback addresses too, which aioice leaves out."""
        if self._loopback:
            addresses = [*LOOPBACK, *addresses]
        candidates: list[Candidate] = await super().get_component_candidates(component, addresses, timeout)
        return candidates

    def data_received(self, data: bytes, component: int) -> None:
        """Hand a datagram on at once: aioice's queue has no bound."""
        self._received(data)

    def heard(self) -> None:
        """Media that authenticated came from the server: it is there, whatever becomes of the checks."""
        self._heard_at = time.monotonic()

    async def close(self) -> None:
        """Free the sockets, once: aioice waits for futures that one cancelled caller would cancel for the next."""
        if self._closing_task is None:
            self._closing_task = asyncio.create_task(super().close(), name="ICE close")
        await asyncio.shield(self._closing_task)

    def send_now(self, data: bytes) -> bool:
        """Send a datagram on the nominated path without waiting; False when there is none."""
        pair = self._nominated.get(1)
        if pair is None:
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

    async def query_consent(self) -> None:
        """Check that the server still answers (RFC 7675), more often than aioice does.

        It needs 32 s to notice.
        """
        password = (self.remote_password or "").encode()
        failures = 0
        checked = time.monotonic()
        while True:
            pair = self._nominated.get(1)
            if pair is None:
                return
            request = self.build_request(pair, nominate=False)
            asked = time.monotonic()
            try:
                await pair.protocol.request(
                    request,
                    pair.remote_addr,
                    integrity_key=password,
                    retransmissions=CONSENT_RETRANSMISSIONS,
                )
                failures = 0
                took = time.monotonic() - asked
                if took < stun.RETRY_RTO:
                    self.rtt = took
            except stun.TransactionError:
                failures = 0 if self._heard_at >= checked else failures + 1
            checked = time.monotonic()
            if failures >= CONSENT_FAILURES:
                self._path_lost()
                return
            await asyncio.sleep(CONSENT_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, no secret
