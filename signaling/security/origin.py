"""Which web pages may use this server."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from signaling.config import Settings, is_loopback


def origin_allowed(request: web.Request, settings: Settings) -> bool:
    """Whether the page behind `request` is ours or among `allowed_origins`; programs send no Origin."""
    origin = request.headers.get("Origin", "").lower()
    if not origin or origin in settings.allowed_origins:
        return True
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.netloc != request.host.lower():
        return False
    # A server that asks for no token must not be reached under a stranger's name (DNS rebinding).
    return not settings.open or is_loopback(host)
