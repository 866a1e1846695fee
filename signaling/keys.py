"""What the parts of the application share, by key: see `signaling.app.create_app`."""

from __future__ import annotations

from aiohttp import web

from rtc import sfu
from signaling.broadcasts import Broadcasts
from signaling.calls.exchange import Exchange
from signaling.chat import Chat
from signaling.config import Settings
from signaling.governance.office import Office
from signaling.heartbeat import Heartbeat
from signaling.metrics import Metrics
from signaling.rooms import Directory
from signaling.security.doors import Doors
from signaling.session import Sessions
from signaling.store.database import Database

SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
NODE: web.AppKey[sfu.Node] = web.AppKey("node", sfu.Node)
DIRECTORY: web.AppKey[Directory] = web.AppKey("directory", Directory)
HEARTBEAT: web.AppKey[Heartbeat] = web.AppKey("heartbeat", Heartbeat)
DOORS: web.AppKey[Doors] = web.AppKey("doors", Doors)
SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)
BROADCASTS: web.AppKey[Broadcasts] = web.AppKey("broadcasts", Broadcasts)
CHAT: web.AppKey[Chat] = web.AppKey("chat", Chat)
DATABASE: web.AppKey[Database] = web.AppKey("database", Database)
OFFICE: web.AppKey[Office] = web.AppKey("office", Office)
EXCHANGE: web.AppKey[Exchange] = web.AppKey("exchange", Exchange)
