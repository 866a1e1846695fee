"""What browsers want before a page of another site may use WHIP and WHEP (Fetch standard, CORS protocol)."""

from __future__ import annotations

from aiohttp import hdrs, web

METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = "Authorization, Content-Type, If-Match, ETag"
"""ETag too: @eyevinn/whip-web-client sends it where If-Match belongs, and without leave it would send nothing."""
RESPONSE_HEADERS = "Location, Link, ETag, Accept-Patch, Accept-Post, Access-Control-Allow-Methods"
"""The last one too: that client looks there for PATCH, and without it gathers candidates for 2 s before its POST."""
MAX_AGE = "7200"
"""Seconds that a browser may remember a preflight: the most that Chromium does."""


def cors_headers(request: web.Request) -> dict[str, str]:
    """The headers with which the page behind `request` may send it and read the response."""
    origin = request.headers.get(hdrs.ORIGIN)
    headers: dict[str, str] = {hdrs.VARY: hdrs.ORIGIN}
    if origin:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = RESPONSE_HEADERS
    if request.method == hdrs.METH_OPTIONS:
        headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = METHODS
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = REQUEST_HEADERS
        headers[hdrs.ACCESS_CONTROL_MAX_AGE] = MAX_AGE
    return headers
