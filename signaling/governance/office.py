"""The records of the server, put together: charters, audit log, reports, revoked tokens and webhooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from signaling.config import Settings
from signaling.governance.charters import Charters
from signaling.governance.facts import Fact, Journal
from signaling.governance.webhooks import Webhooks
from signaling.metrics import Metrics
from signaling.store.audit import AuditLog
from signaling.store.charters import StoredCharters
from signaling.store.database import Database
from signaling.store.interface import StoreError
from signaling.store.outbox import Outbox
from signaling.store.persons import Persons
from signaling.store.reports import Reports
from signaling.store.revocations import Revocations

DAY = 86400.0
TIDY_SECONDS = 3600.0
"""Between two looks for what is old enough to be deleted."""
DELIVERY_DAYS = 7
"""How long the delivery log of webhooks is kept."""

log = structlog.get_logger()


class Office:
    """Everything that is kept about the government of rooms. `clock` gives Unix time."""

    def __init__(
        self, settings: Settings, database: Database, metrics: Metrics, charters: Charters,
        *, clock: Callable[[], float] = time.time,
    ) -> None:
        self.charters = charters
        self.journal = Journal()
        self.audit = AuditLog(database)
        self.reports = Reports(database)
        self.revocations = Revocations(database)
        self.outbox = Outbox(database)
        self.persons = Persons(database, self.audit, self.reports, self.outbox)
        self.webhooks = Webhooks(
            self.outbox, metrics, settings.webhook_urls, settings.webhook_secret.get_secret_value(), clock=clock
        )
        self._age = settings.audit_days * DAY
        self._resume_seconds = settings.resume_seconds
        self._clock = clock
        self.journal.add(self.audit.keep)
        self.journal.add(self.webhooks.keep)

    @classmethod
    async def open(cls, settings: Settings, database: Database, metrics: Metrics) -> Office:
        """The office with what the server that ran before has left. Raises StoreError."""
        stored = StoredCharters(database)
        charters = Charters(await stored.all(), save=stored.save, written=stored.written)
        office = cls(settings, database, metrics, charters)
        await office.revocations.load()
        await office.outbox.load()
        return office

    @asynccontextmanager
    async def working(self, open_rooms: Callable[[], list[str]], *, vouched: bool) -> AsyncIterator[None]:
        """A context in which webhooks are delivered and old records deleted."""
        tasks = [
            asyncio.create_task(self._tidy(), name="deleting old records"),
            asyncio.create_task(self._settle(open_rooms, vouched=vouched), name="settling rooms"),
        ]
        try:
            async with self.webhooks.delivering():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _settle(self, open_rooms: Callable[[], list[str]], *, vouched: bool) -> None:
        """Meetings to which nobody came back after a restart are over."""
        await asyncio.sleep(2 * self._resume_seconds)
        now = self._clock()
        for room, meeting, began in self.charters.settle(open_rooms(), vouched=vouched, now=now):
            self.journal.note(Fact("room_finished", now, room, meeting, detail={"seconds": round(now - began, 3)}))

    async def _tidy(self) -> None:
        while True:
            now = self._clock()
            try:
                await self.audit.forget(before=now - self._age)
                await self.reports.forget(before=now - self._age)
                await self.revocations.forget(before=now)
                await self.outbox.forget(before=now - DELIVERY_DAYS * DAY)
            except StoreError as error:
                log.error("old records could not be deleted", why=str(error))
            await asyncio.sleep(TIDY_SECONDS)
