"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): publish into a room, and watch it, with HTTP requests alone."""

from __future__ import annotations

import asyncio
import hmac
from math import ceil
from typing import cast
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from rtc.wire.sdp import MAX_OFFER_BYTES, Fragment, SdpError, host_candidates, parse_fragment, write_fragment
from signaling.broadcasts import Broadcast, BroadcastKind
from signaling.config import Settings
from signaling.keys import BROADCASTS, DOORS, METRICS, NODE, OFFICE, SETTINGS
from signaling.members import RefusedError
from signaling.names import InvalidNameError, room_name
from signaling.protocol import ErrorCode
from signaling.security.cors import cors_headers
from signaling.security.origin import origin_allowed
from signaling.tokens import Grants, TokenError, authorize

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_FRAGMENT_BYTES = 16 * 1024
"""A fragment with sixty candidates is 6 kB."""
BODY_SECONDS = 10.0
"""How long a body may take to come in."""
RETRY_SECONDS = 10
"""When a server that is full may be asked again."""

_STATUS: dict[ErrorCode, type[web.HTTPException]] = {
    "bad-sdp": web.HTTPUnprocessableEntity,  # 400 would tell a WHEP player that the server wants to offer
    "bad-message": web.HTTPBadRequest,
    "not-permitted": web.HTTPForbidden,
    "unauthorized": web.HTTPUnauthorized,
    "room-full": web.HTTPServiceUnavailable,
    "server-full": web.HTTPServiceUnavailable,
}


def setup(app: web.Application) -> None:
    """Add the routes."""
    endpoint, session = "/{kind:whip|whep}/{room}", "/{kind:whip|whep}/{room}/{session}"
    for method, path, handler in (
        (hdrs.METH_POST, endpoint, create),
        (hdrs.METH_GET, endpoint, describe),
        (hdrs.METH_HEAD, endpoint, describe),
        (hdrs.METH_OPTIONS, endpoint, options),
        (hdrs.METH_PATCH, session, patch),
        (hdrs.METH_DELETE, session, delete),
        (hdrs.METH_GET, session, look),
        (hdrs.METH_HEAD, session, look),
        (hdrs.METH_OPTIONS, session, options),
    ):
        app.router.add_route(method, path, _shared(handler))


async def create(request: web.Request) -> web.Response:
    """POST to an endpoint: an offer in, a session and its answer out."""
    grants = _authorize(request, _room(request))
    offer = await _text(request, SDP, MAX_OFFER_BYTES, web.HTTPUnprocessableEntity, {"Accept-Post": SDP})
    try:
        broadcast, answer = request.app[BROADCASTS].open(
            cast(BroadcastKind, request.match_info["kind"]), offer, grants,
            name=request.query.get("name", ""), participant=request.query.get("participant", ""),
            token=_token(request),
        )
    except RefusedError as error:
        raise _refusal(error.code, str(error)) from error
    headers = _ice_servers(request.app[SETTINGS])
    headers[hdrs.LOCATION] = f"{request.rel_url.raw_path}/{quote(broadcast.id)}"
    headers[hdrs.ETAG] = f'"{broadcast.etag}"'
    headers["Accept-Patch"] = SDP_FRAGMENT
    # RFC 9725 section 4.4.1 wants a=rtcp-mux-only of both sides. RFC 8858 has it in offers only, but no client
    # that was tried minds it in an answer, and ffmpeg, aiortc and Chromium do not look for it.
    body = answer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n").encode()
    return web.Response(status=201, body=body, content_type=SDP, headers=headers)


async def describe(request: web.Request) -> web.Response:
    """GET and HEAD of an endpoint: nothing to see; HEAD of a WHEP one says what it takes."""
    _authorize(request, _room(request))
    if request.method == hdrs.METH_HEAD and request.match_info["kind"] == "whep":
        return web.Response(content_type=SDP)
    return web.Response(status=204)


async def look(request: web.Request) -> web.Response:
    """GET and HEAD of a session: it is there."""
    _find(request)
    return web.Response(status=204)


async def options(request: web.Request) -> web.Response:
    """OPTIONS: what is taken here; ICE servers for whoever may join, but not on a CORS preflight."""
    is_session = "session" in request.match_info
    headers: CIMultiDict[str] = CIMultiDict()
    if "Access-Control-Request-Method" not in request.headers:
        try:
            authorize(
                request.app[SETTINGS], _token(request), _room(request), revoked=request.app[OFFICE].revocations
            )
            headers = _ice_servers(request.app[SETTINGS])
        except TokenError:
            pass
    headers["Accept-Patch" if is_session else "Accept-Post"] = SDP_FRAGMENT if is_session else SDP
    headers[hdrs.ALLOW] = "GET, HEAD, PATCH, DELETE, OPTIONS" if is_session else "GET, HEAD, POST, OPTIONS"
    return web.Response(headers=headers)


async def patch(request: web.Request) -> web.Response:
    """PATCH of a session: more candidates of the client, or an ICE restart."""
    broadcast = _find(request)
    text = await _text(
        request, SDP_FRAGMENT, MAX_FRAGMENT_BYTES, web.HTTPBadRequest, {"Accept-Patch": SDP_FRAGMENT}
    )
    try:
        fragment = parse_fragment(text)
    except SdpError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    _find(request)  # it may have ended while the body came in
    known = broadcast.is_current(fragment.ufrag, fragment.pwd)
    any_tag = _check_precondition(request, broadcast, known=known)
    if fragment.ufrag and any_tag and (not known or broadcast.restarted):
        return _restart(request, broadcast, fragment)
    if fragment.ufrag and not known:
        raise web.HTTPUnprocessableEntity(
            text="These are not the ICE credentials of this session; an ICE restart says If-Match: *."
        )
    # Nothing to do with the candidates: an ICE-lite agent learns addresses from the client's checks.
    return web.Response(status=204)


async def delete(request: web.Request) -> web.Response:
    """DELETE of a session: it ends."""
    request.app[BROADCASTS].end(_find(request), "left")
    return web.Response()


def _restart(request: web.Request, broadcast: Broadcast, fragment: Fragment) -> web.Response:
    ufrag, pwd = broadcast.restart_ice(fragment.ufrag, fragment.pwd)
    node = request.app[NODE]
    # One candidate, of the IP version that the client uses: whip-whep joins several to what no browser parses.
    candidates = host_candidates(node.addresses, node.port)
    is_v6 = ":" in (request.remote or "")
    candidate = next((found for found in candidates if (":" in found.address) == is_v6), candidates[0])
    body = write_fragment(
        ufrag, pwd, (candidate,), kind=broadcast.tagged.kind, mid=broadcast.tagged.mid
    ).encode()
    return web.Response(body=body, content_type=SDP_FRAGMENT, headers={hdrs.ETAG: f'"{broadcast.etag}"'})


def _check_precondition(request: web.Request, broadcast: Broadcast, *, known: bool) -> bool:
    """Hold If-Match against the session (RFC 9725 section 4.3.1); whether it matches any entity tag."""
    tags = request.if_match
    if tags is None:
        if known and request.app[SETTINGS].whip_lenient_patch:
            return False
        raise web.HTTPPreconditionRequired(text="A PATCH needs If-Match with the ETag of the session.")
    values = {tag.value for tag in tags if not tag.is_weak}
    if "*" in values:  # aiohttp reads * and "*" alike, and the RFC's own example has the quotes
        return True
    if broadcast.etag not in values:
        raise web.HTTPPreconditionFailed(text="This ETag is not that of the present ICE session.")
    return False


def _room(request: web.Request) -> str:
    try:
        return room_name(request.match_info["room"])
    except InvalidNameError as error:
        raise web.HTTPNotFound(text=str(error)) from error


def _find(request: web.Request) -> Broadcast:
    """The session of the address, if the request has a right to it."""
    room = _room(request)
    broadcast = request.app[BROADCASTS].find(request.match_info["kind"], room, request.match_info["session"])
    token = _token(request)
    if broadcast is None or not token or not hmac.compare_digest(_bytes(token), _bytes(broadcast.token)):
        _authorize(request, room)
    if broadcast is None:
        raise web.HTTPNotFound(text="There is no such session, or it has ended.")
    return broadcast


def _token(request: web.Request) -> str:
    """The bearer token (RFC 6750 section 2.1), "" without."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _bytes(token: str) -> bytes:
    return token.encode(errors="surrogateescape")  # a header may hold any byte


def _authorize(request: web.Request, room: str) -> Grants:
    try:
        return authorize(request.app[SETTINGS], _token(request), room, revoked=request.app[OFFICE].revocations)
    except TokenError as error:
        raise _refusal(error.code, str(error)) from error


def _refusal(code: ErrorCode, text: str) -> web.HTTPException:
    error = _STATUS.get(code, web.HTTPInternalServerError)(text=text)
    if code == "unauthorized":
        error.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="clarion"'
    if error.status == 503:
        error.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
    return error


async def _text(
    request: web.Request, content_type: str, size: int, malformed: type[web.HTTPException], hint: dict[str, str]
) -> str:
    if request.content_type != content_type:
        raise web.HTTPUnsupportedMediaType(text=f"The body must be {content_type}.", headers=hint)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The body took too long to come.") from None
    if len(body) > size:
        raise web.HTTPRequestEntityTooLarge(
            size, len(body), text=f"The body is longer than {size} bytes."
        )
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise malformed(text="The body is not UTF-8.") from error


def _ice_servers(settings: Settings) -> CIMultiDict[str]:
    """One Link for each URL of an ICE server (RFC 9725 section 4.6)."""
    headers: CIMultiDict[str] = CIMultiDict()
    for server in settings.ice_servers:
        login = ""
        if server.username:
            username, credential = _quoted(server.username), _quoted(server.credential)
            login = f"; username={username}; credential={credential}; credential-type=\"password\""
        for url in server.urls:
            headers.add(hdrs.LINK, f'<{url}>; rel="ice-server"{login}')
    return headers


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _slow_down(request: web.Request) -> None:
    """Count a request of this address. Raises HTTPTooManyRequests."""
    wait = request.app[DOORS].whip.wait(request.remote or "", now=asyncio.get_running_loop().time())
    if wait > 0:
        request.app[METRICS].rate_limited.labels("whip").inc()
        raise web.HTTPTooManyRequests(text="Too many requests.", headers={hdrs.RETRY_AFTER: str(ceil(wait))})


def _shared(handler: Handler) -> Handler:
    """What every route does: refuse strange pages and too many requests, and let browsers read the response."""

    async def run(request: web.Request) -> web.StreamResponse:
        settings = request.app[SETTINGS]
        # With tokens a page needs no further right; without, only our own pages and those that are named.
        if settings.open and not origin_allowed(request, settings):
            raise web.HTTPForbidden(text="Pages of this origin may not use the server: see CLARION_ALLOWED_ORIGINS.")
        headers = cors_headers(request)
        try:
            if request.method in {"POST", "PATCH", "DELETE"}:
                _slow_down(request)
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(headers)
            raise
        response.headers.update(headers)
        return response

    return run
