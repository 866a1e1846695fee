"""The call page and its files, and the QR code of an invitation."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import quote

import segno
from aiohttp import hdrs, web

from signaling.keys import SETTINGS
from signaling.names import InvalidNameError, room_name
from web import STATIC

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""What is served, and as what: not left to the tables of the machine."""
NOT_SERVED = frozenset({"node_modules", "package.json", "package-lock.json", "tsconfig.json"})
"""Tools of the page's developers that lie in the folder of a checkout."""
REVALIDATE = "no-cache"
"""Files keep their names between versions, so that a browser asks each time; 304 is short."""


def setup(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_get("/", index)
    app.router.add_get("/r/{room}", index)
    app.router.add_get("/static/{path:.+}", static)
    app.router.add_get("/api/rooms/{room}/qr.svg", qr_code)


async def index(_request: web.Request) -> web.StreamResponse:
    """The page; what it shows depends on its own address."""
    return _file("index.html")


async def static(request: web.Request) -> web.StreamResponse:
    """A file of the page."""
    return _file(request.match_info["path"])


async def qr_code(request: web.Request) -> web.Response:
    """The link to a room as a picture for the camera of a phone; as every link to share, without a token."""
    try:
        name = room_name(request.match_info["room"])
    except InvalidNameError as error:
        raise web.HTTPNotFound(text=str(error)) from error
    base = request.app[SETTINGS].public_url or f"{request.scheme}://{request.host}"
    picture = io.BytesIO()
    segno.make(f"{base}/r/{quote(name)}", error="m", micro=False).save(
        picture, kind="svg", scale=8, border=4, dark="#000", light="#fff", xmldecl=False
    )
    return web.Response(
        body=picture.getvalue(),
        content_type="image/svg+xml",
        headers={hdrs.CACHE_CONTROL: "private, max-age=3600"},
    )


def _file(name: str) -> web.StreamResponse:
    root = Path(str(STATIC)).resolve()
    parts = Path(name).parts
    content_type = CONTENT_TYPES.get(Path(name).suffix)
    hidden = any(part in NOT_SERVED or part.startswith(".") for part in parts)
    try:
        path = (root / name).resolve()
        found = not hidden and content_type is not None and path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError):  # a name longer than the file system takes, or with a zero byte
        found = False
    if not found or content_type is None:
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: REVALIDATE})
