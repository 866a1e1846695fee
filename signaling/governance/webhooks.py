"""Webhooks: what happens in rooms, told to receivers in order per room, at least once, signed.

Named as LiveKit's, signed by Standard Webhooks. They wait in a durable outbox; a receiver that hangs or fails holds
up its own rooms only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast, get_args

import aiohttp
import msgspec
import structlog
from standardwebhooks import Webhook

from signaling.governance.facts import Fact, Happening
from signaling.metrics import Metrics
from signaling.protocol import Publication
from signaling.store.interface import StoreError
from signaling.store.outbox import Delivery, Outbox, Waiting

ANSWER_SECONDS = 10.0
"""How long a receiver may take to answer."""
AT_ONCE = 8
"""Deliveries to one receiver at one time, each of another room."""
RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Waits before the next attempts; the last one repeats."""
GIVE_UP_SECONDS = 24 * 3600.0
"""A webhook that could not be delivered for so long is given up, and the next of its room follows."""
LOOK_SECONDS = 30.0
"""How often to look into the outbox when nothing is known to be due."""

HAPPENINGS = frozenset(get_args(Happening))

log = structlog.get_logger()


class WebhookRoom(msgspec.Struct, rename="camel"):
    """The room of an event."""

    name: str
    sid: str
    """Of this meeting: the next one in a room of the same name has another."""


class WebhookParticipant(msgspec.Struct, rename="camel"):
    """The participant of an event."""

    sid: str
    """Id in the room."""
    identity: str
    name: str
    kind: str


class WebhookEvent(msgspec.Struct, rename="camel", omit_defaults=True):
    """The body of a webhook."""

    id: str
    event: Happening
    created_at: float
    """Unix time in seconds."""
    room: WebhookRoom
    participant: WebhookParticipant | None = None
    track: Publication | None = None


def next_wait(attempts: int) -> float:
    """Seconds until the next attempt, after so many that failed."""
    return RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1]


class Webhooks:
    """The receivers of one server. `clock` gives Unix time."""

    def __init__(
        self, outbox: Outbox, metrics: Metrics, urls: Sequence[str], secret: str, *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._receivers = tuple(dict.fromkeys(urls))
        self._signer = Webhook(secret) if self._receivers else None
        self._clock = clock
        self._news = {url: asyncio.Event() for url in self._receivers}

    def keep(self, fact: Fact) -> None:
        """Put a fact into the outbox, if receivers are told of its kind."""
        if fact.what not in HAPPENINGS:
            return
        for url in self._receivers:
            webhook_id = f"evt_{secrets.token_urlsafe(12)}"
            who = fact.who
            event = WebhookEvent(
                id=webhook_id, event=cast(Happening, fact.what), created_at=fact.at,
                room=WebhookRoom(fact.room, fact.room_id),
                participant=WebhookParticipant(who.participant, who.identity, who.name, who.kind) if who else None,
                track=fact.publication,
            )
            body = msgspec.json.encode(event).decode()
            stored = self._outbox.put(
                url=url, room=fact.room, event=fact.what, webhook_id=webhook_id, at=fact.at, body=body
            )
            if stored is None:
                self._metrics.webhook_deliveries.labels("dropped").inc()
            else:
                stored.add_done_callback(partial(_tell, self._news[url]))

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """A context in which webhooks are delivered; at its end attempts under way are dropped, to be repeated."""
        if self._signer is None:
            yield
            return
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "Clarion"}) as http:
            tasks = [
                asyncio.create_task(self._deliver_to(url, http, self._signer), name=f"webhooks to {url}")
                for url in self._receivers
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _deliver_to(self, url: str, http: aiohttp.ClientSession, signer: Webhook) -> None:
        """Deliver what waits for one receiver, each room by itself."""
        news, under_way = self._news[url], dict[str, asyncio.Task[None]]()
        try:
            while True:
                news.clear()
                wait = LOOK_SECONDS
                try:
                    for waiting in await self._outbox.heads(url):
                        if waiting.room in under_way:
                            continue
                        if len(under_way) >= AT_ONCE:
                            break
                        due_in = waiting.due - self._clock()
                        if 0 < due_in <= RETRY_SECONDS[-1]:  # else the clock was set back
                            wait = min(wait, due_in)
                            break
                        task = asyncio.create_task(self._deliver(waiting, http, signer), name="webhook")
                        under_way[waiting.room] = task
                        task.add_done_callback(partial(_over, room=waiting.room, under_way=under_way, news=news))
                except StoreError as error:
                    log.error("the outbox cannot be read", why=str(error))
                try:
                    async with asyncio.timeout(wait):
                        await news.wait()
                except TimeoutError:
                    continue
        finally:
            for task in under_way.values():
                task.cancel()
            if under_way:
                await asyncio.wait(list(under_way.values()))

    async def _deliver(self, waiting: Waiting, http: aiohttp.ClientSession, signer: Webhook) -> None:
        now, attempt = self._clock(), waiting.attempts + 1
        status = await self._post(waiting, http, signer, now)
        again: float | None = None
        if 200 <= status < 300:
            result = "delivered"
        elif now - waiting.at >= GIVE_UP_SECONDS:
            result = "given-up"
        else:
            result, again = "failed", self._clock() + next_wait(attempt)
        self._metrics.webhook_deliveries.labels(result).inc()
        log.log(
            20 if result == "delivered" else 30,
            "webhook", result=result, webhook=waiting.event, id=waiting.id, room=waiting.room, status=status,
            attempt=attempt,
        )
        delivery = Delivery(
            number=0, at=now, url=waiting.url, room=waiting.room, event=waiting.event, id=waiting.id, attempt=attempt,
            result=result, status=status, seconds=round(self._clock() - now, 3),
        )
        try:
            await self._outbox.done(delivery, waiting, again=again)
        except StoreError as error:
            log.error("a delivery could not be noted", why=str(error))
            await asyncio.sleep(next_wait(attempt))  # it is delivered again, which receivers are ready for

    async def _post(self, waiting: Waiting, http: aiohttp.ClientSession, signer: Webhook, now: float) -> int:
        """The status of the receiver's answer, 0 without one."""
        stamp = datetime.fromtimestamp(int(now), UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": waiting.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signer.sign(waiting.id, stamp, waiting.body),
        }
        try:
            # Nothing is read but the status, and no redirect followed: it would take the body elsewhere.
            async with http.post(
                waiting.url, data=waiting.body.encode(), headers=headers, allow_redirects=False
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0


def _tell(news: asyncio.Event, _stored: asyncio.Future[Any]) -> None:
    news.set()


def _over(
    done: asyncio.Task[None], *, room: str, under_way: dict[str, asyncio.Task[None]], news: asyncio.Event
) -> None:
    under_way.pop(room, None)
    news.set()
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("delivering a webhook failed", exc_info=error)
