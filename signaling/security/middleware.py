"""What happens to every request: proxies, a number for the logs, errors that can be understood, headers."""

from __future__ import annotations

import html
import re
import secrets
import time

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from signaling.config import Settings
from signaling.security.proxies import networks, unproxied

API_PREFIXES = ("/api/", "/ws", "/whip/", "/whep/", "/metrics", "/healthz", "/readyz")
"""Paths that programs ask for: their errors are application/problem+json (RFC 9457), the others' a page."""
REQUEST_ID = web.RequestKey("request_id", str)

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")

log = structlog.get_logger()


def middlewares(settings: Settings) -> list[Middleware]:
    """The middlewares of the application, outermost first."""
    trusted = networks(settings.trusted_proxies)

    @web.middleware
    async def proxies(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(unproxied(request, trusted))

    return [*([proxies] if trusted else []), observe, guard, explain_errors]


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Number the request and log how it ended; the query is left out, for it may hold a token."""
    request_id = request[REQUEST_ID] = secrets.token_hex(8)
    started = time.monotonic()
    before = structlog.contextvars.bind_contextvars(request=request_id)
    try:
        response = await handler(request)
        log.debug(
            "request",
            method=request.method,
            path=_loggable_path(request),
            status=response.status,
            remote=request.remote,
            seconds=round(time.monotonic() - started, 4),
        )
    finally:
        structlog.contextvars.reset_contextvars(**before)
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Add the headers that protect the page; a WebSocket, which has sent its own by then, needs none."""
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        add_security_headers(request, redirect)
        raise
    if not response.prepared:
        add_security_headers(request, response)
    return response


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into problem+json or a page; what nobody expected is logged and becomes 500."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/problem+json":
            raise
        given = error.text or ""
        detail = given if given and not given.startswith(f"{error.status}:") else ""
        headers = {
            name: value for name, value in error.headers.items()
            if name not in {hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH}
        }
        return explained(request, error.status, error.reason, detail, headers)
    except ConnectionError:
        raise  # the client went away
    except Exception:
        log.exception("request failed", method=request.method, path=_loggable_path(request))
        detail = f"The server failed at this; logged as {request[REQUEST_ID]}."
        return explained(request, 500, "Internal Server Error", detail, {})


def _loggable_path(request: web.Request) -> str:
    """The path, without the part that lets its holder end a WHIP or WHEP session."""
    return request.path.rpartition("/")[0] if "session" in request.match_info else request.path


def explained(
    request: web.Request, status: int, reason: str, detail: str, headers: dict[str, str]
) -> web.Response:
    """An error response as a program or a person reads it."""
    if request.path.startswith(API_PREFIXES):
        return problem(status, reason, detail, headers)
    text = detail or _SENTENCES.get(status, "")
    return web.Response(
        status=status,
        headers=headers,
        content_type="text/html",
        charset="utf-8",
        text="<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(reason)} - Clarion</title><h1>{html.escape(reason)}</h1>"
        f"<p>{html.escape(text)}</p><p><a href='/'>Clarion</a></p></html>",
    )


def problem(status: int, title: str, detail: str = "", headers: dict[str, str] | None = None) -> web.Response:
    """An error response of type application/problem+json."""
    body = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")


def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every response has, where the handler has not."""
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    headers.setdefault("Content-Security-Policy", content_security_policy(request))
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Request-Id", request[REQUEST_ID])
    headers.setdefault("Server", "Clarion")


PERMISSIONS_POLICY = (
    "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), fullscreen=(self), "
    "picture-in-picture=(self), screen-wake-lock=(self), speaker-selection=(self), clipboard-write=(self), "
    "geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()"
)


def content_security_policy(request: web.Request) -> str:
    """Everything from here, nothing inline; the WebSocket by name, for older Safari."""
    scheme = "wss" if request.scheme == "https" else "ws"
    socket = f" {scheme}://{request.host}" if _HOST.fullmatch(request.host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob: mediastream:; font-src 'self'; manifest-src 'self'; worker-src 'self'; "
        f"connect-src 'self'{socket}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take that.",
    413: "That is more than this server takes at once.",
}
