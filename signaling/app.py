"""The application: settings in, an aiohttp Application out, with everything that it needs while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import structlog
from aiohttp import web

from rtc import sfu
from signaling import api, health, pages, protocol, tokens, websocket, whip
from signaling.broadcasts import Broadcasts
from signaling.calls.exchange import Exchange
from signaling.chat import Chat, ChatLimits
from signaling.config import Settings
from signaling.governance.office import Office
from signaling.heartbeat import Heartbeat
from signaling.keys import (
    BROADCASTS,
    CHAT,
    DATABASE,
    DIRECTORY,
    DOORS,
    EXCHANGE,
    HEARTBEAT,
    METRICS,
    NODE,
    OFFICE,
    SESSIONS,
    SETTINGS,
)
from signaling.members import RefusedError
from signaling.metrics import Metrics
from signaling.rooms import Directory, Limits
from signaling.security.doors import Doors
from signaling.security.middleware import middlewares
from signaling.session import Sessions
from signaling.store import audit, calls, charters, messages, outbox, reports, revocations, sessions
from signaling.store.database import Database
from signaling.store.messages import Messages
from signaling.store.sessions import StoredSessions

MAX_BODY_BYTES = 256 * 1024
"""Longest body of an HTTP request: an SDP offer, as in `signaling.protocol`."""

SCHEMAS = (
    messages.SCHEMA, sessions.SCHEMA, calls.SCHEMA, charters.SCHEMA,
    audit.SCHEMA, reports.SCHEMA, revocations.SCHEMA, outbox.SCHEMA,
)
"""The tables of every module that keeps something."""

HOUR = 3600.0
log = structlog.get_logger()
StartNode = Callable[[sfu.NodeSettings], Awaitable[sfu.Node]]


def create_app(settings: Settings, *, start_node: StartNode | None = None) -> web.Application:
    """The service as an aiohttp application; `start_node` stands in for the media node in tests.

    When the application starts it raises DatabaseError if its data cannot be used, and OSError if the media port
    cannot be had.
    """
    app = web.Application(middlewares=middlewares(settings), client_max_size=MAX_BODY_BYTES)
    app[SETTINGS] = settings
    app[METRICS] = Metrics()
    app[DOORS] = Doors()
    app[HEARTBEAT] = Heartbeat()
    app.cleanup_ctx.append(_database)
    app.cleanup_ctx.append(_media(start_node or sfu.Node.start))
    app.on_shutdown.append(_shut_down)
    app.router.add_get("/ws", websocket.handle)
    api.setup(app)
    health.setup(app)
    pages.setup(app)
    whip.setup(app)
    return app


async def _database(app: web.Application) -> AsyncIterator[None]:
    app[DATABASE] = await Database.open(app[SETTINGS].data_dir, SCHEMAS)
    try:
        yield
    finally:
        await app[DATABASE].close()


def _ice_servers(settings: Settings) -> tuple[protocol.IceServer, ...]:
    return tuple(
        protocol.IceServer(urls=each.urls, username=each.username, credential=each.credential)
        for each in settings.ice_servers
    )


def _media(start_node: StartNode) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(app: web.Application) -> AsyncIterator[None]:
        settings, metrics = app[SETTINGS], app[METRICS]
        node = await start_node(
            sfu.NodeSettings(
                host=settings.media_host, port=settings.udp_port, public_ips=settings.announced_ips
            )
        )
        limits = Limits(settings.max_rooms, settings.max_participants, settings.max_participants_per_room)
        app[NODE] = node
        app[OFFICE] = office = await Office.open(settings, app[DATABASE], metrics)
        app[DIRECTORY] = Directory(
            node, limits, metrics, ice_servers=_ice_servers(settings),
            charters=office.charters, journal=office.journal, reports=office.reports, vouched=not settings.open,
        )
        app[SESSIONS] = Sessions(
            StoredSessions(app[DATABASE]), metrics, resume_seconds=settings.resume_seconds
        )
        store = Messages(app[DATABASE], per_room=settings.messages_per_room)
        app[CHAT] = Chat(
            app[DIRECTORY], store, ChatLimits(settings.messages_per_second, settings.message_bytes)
        )
        app[BROADCASTS] = Broadcasts(app[DIRECTORY])
        call_log = calls.CallLog(app[DATABASE], keep_seconds=settings.call_log_days * 24 * HOUR)
        app[EXCHANGE] = Exchange(call_log, room_token=partial(tokens.for_call, settings))
        metrics.add(lambda: health.collect(app))
        try:
            await _restore(app)
            await call_log.end_interrupted()
            rooms = app[DIRECTORY].rooms
            async with (
                metrics.sampling(),
                app[HEARTBEAT].beating(),
                app[CHAT].forgetting(settings.message_hours * HOUR),
                office.working(lambda: list(rooms), vouched=not settings.open),
            ):
                yield
        finally:
            app[EXCHANGE].close()
            await app[DIRECTORY].close()
            await node.close()

    return run


async def _restore(app: web.Application) -> None:
    """Take in again who was here when the server before this one died; they may resume."""
    store = StoredSessions(app[DATABASE])
    for record in await store.all():
        try:
            member = app[DIRECTORY].restore(record)
        except RefusedError as error:
            store.delete(record.secret_hash)
            log.warning("a session was not restored", room=record.grants.room, why=str(error))
            continue
        app[SESSIONS].restore(record.secret_hash, member)
    await app[CHAT].open_all()
    if app[SESSIONS]:
        log.info("sessions restored", sessions=len(app[SESSIONS]))


async def _shut_down(app: web.Application) -> None:
    if SESSIONS in app:  # not when the start failed
        app[DIRECTORY].draining = True
        if app[SETTINGS].data_dir is None:
            app[SESSIONS].end_all("shutdown")
        else:
            app[SESSIONS].suspend_all()
        app[BROADCASTS].end_all("closed")
