"""One operation of the API: how it is asked for, who may, and how it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from signaling.config import is_loopback
from signaling.governance.facts import Person
from signaling.keys import DOORS, METRICS, OFFICE, SETTINGS
from signaling.members import RefusedError
from signaling.names import InvalidNameError, room_name
from signaling.protocol import ErrorCode
from signaling.security.origin import origin_allowed
from signaling.store.interface import StoreError
from signaling.tokens import Admin, TokenError, verify_admin

JSON_LINES = "application/jsonl"
MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
"""How long a body may take to come in."""

STATUS: dict[ErrorCode, int] = {
    "bad-message": 422,
    "bad-state": 409,
    "conflict": 409,
    "not-found": 404,
    "not-permitted": 403,
    "unauthorized": 401,
    "too-large": 422,
    "room-full": 503,
    "server-full": 503,
    "unavailable": 503,
    "rate-limited": 429,
}
"""How a refusal is answered; what is not here is 500."""

Scope = Literal["room", "server"]
"""Whose token opens an operation: an administrator of its room, or one of the server alone."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in."""

    app: web.Application
    by: Person
    room: str
    """Of the path, "" without."""
    path: dict[str, str]
    """The other parts of the path."""
    body: Any
    query: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the API."""

    id: str
    method: str
    path: str
    summary: str
    run: Callable[[Call], Any]
    """Gets the call; what it returns, or awaits to, is the answer. Raises RefusedError."""
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    answer: type[Any] | None = None
    """None: 204 without a body."""
    status: int = 200
    scope: Scope = "room"
    media_type: str = "application/json"


def route(operation: Operation) -> Handler:
    """The handler of an operation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _handle(operation, request)
        except RefusedError as error:
            raise _problem(STATUS.get(error.code, 500), str(error), retry_after=error.retry_after) from error
        except StoreError as error:
            raise _problem(503, "The records cannot be read or written now.") from error

    return handle


async def _handle(operation: Operation, request: web.Request) -> web.StreamResponse:
    settings, doors, app = request.app[SETTINGS], request.app[DOORS], request.app
    now = asyncio.get_running_loop().time()
    if (wait := doors.api_address.wait(request.remote or "", now=now)) > 0:
        raise _too_many(request, "api-address", wait)
    if not origin_allowed(request, settings):
        raise _problem(403, "A page of another site may not use this API.")
    admin = _admin(request)
    room = _room(request)
    if (operation.scope == "server" and admin.room) or (admin.room and admin.room != room):
        raise _problem(403, "The token is not one of an administrator of this.")
    if (wait := doors.api_token.wait(admin.identity or request.remote or "", now=now)) > 0:
        raise _too_many(request, "api-token", wait)
    call = Call(
        app=app, by=Person(admin.identity, kind="api"), room=room,
        path={name: value for name, value in request.match_info.items() if name != "room"},
        body=await _body(operation, request) if operation.body else None,
        query=_query(operation.query, request) if operation.query else None,
    )
    answer = operation.run(call)
    if isinstance(answer, Awaitable):
        answer = await answer
    if request.method != hdrs.METH_GET:
        await app[OFFICE].charters.written()
    if isinstance(answer, web.StreamResponse):
        return answer
    if operation.answer is None:
        return web.Response(status=204)
    return web.Response(
        status=operation.status, body=msgspec.json.encode(answer), content_type=operation.media_type
    )


def _admin(request: web.Request) -> Admin:
    settings = request.app[SETTINGS]
    if settings.open:
        # Whoever is at this machine governs it, but no page under a name that was pointed here (DNS rebinding).
        host = request.url.host or ""
        if not is_loopback(host):
            raise _problem(403, "Without CLARION_SECRET the API answers to this machine only.")
        return Admin("operator")
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    try:
        return verify_admin(
            settings.secret.get_secret_value(), token.strip() if scheme.lower() == "bearer" else "",
            revoked=request.app[OFFICE].revocations,
        )
    except TokenError as error:
        problem = _problem(STATUS[error.code], str(error))
        if problem.status == 401:
            problem.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="clarion"'
        raise problem from error


def _room(request: web.Request) -> str:
    text = request.match_info.get("room")
    if text is None:
        return ""
    try:
        return room_name(text)
    except InvalidNameError as error:
        raise _problem(404, "There is no such room.") from error


async def _body(operation: Operation, request: web.Request) -> msgspec.Struct:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.content.read(MAX_BODY_BYTES + 1) if request.can_read_body else b""
            while body and not request.content.at_eof() and len(body) <= MAX_BODY_BYTES:
                body += await request.content.read(MAX_BODY_BYTES + 1 - len(body))
    except TimeoutError:
        raise _problem(408, "The body took too long to come.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _problem(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
    if request.content_type != "application/json":
        raise _problem(415, "The body must be application/json.")
    return _read(lambda: msgspec.json.decode(body, type=operation.body or msgspec.Struct))


def _query(kind: type[msgspec.Struct], request: web.Request) -> msgspec.Struct:
    names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    if unknown := request.query.keys() - names.keys():
        raise _problem(422, f"There is no parameter {min(unknown)!r}.")
    if any(len(request.query.getall(name)) > 1 for name in request.query):
        raise _problem(422, "Each parameter may be given once.")
    return _read(lambda: msgspec.convert(dict(request.query), type=kind, strict=False))


def _read(read: Callable[[], msgspec.Struct]) -> msgspec.Struct:
    try:
        return read()
    except msgspec.ValidationError as error:
        raise _problem(422, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _problem(400, f"The body is no JSON: {error}.") from error
    except RecursionError as error:
        raise _problem(400, "The body is nested too deeply.") from error


def _too_many(request: web.Request, rule: str, wait: float) -> web.HTTPException:
    request.app[METRICS].rate_limited.labels(rule).inc()
    return _problem(429, "Too many requests.", retry_after=wait)


def _problem(status: int, detail: str, *, retry_after: float = 0.0) -> web.HTTPException:
    error = _ERRORS[status](text=detail) if status in _ERRORS else web.HTTPInternalServerError(text=detail)
    if retry_after or status == 503:
        error.headers[hdrs.RETRY_AFTER] = str(max(1, round(retry_after + 0.5)))
    return error


_ERRORS: dict[int, Callable[..., web.HTTPException]] = {
    400: web.HTTPBadRequest, 401: web.HTTPUnauthorized, 403: web.HTTPForbidden, 404: web.HTTPNotFound,
    408: web.HTTPRequestTimeout, 409: web.HTTPConflict,
    413: lambda text: web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, 0, text=text),
    415: web.HTTPUnsupportedMediaType, 422: web.HTTPUnprocessableEntity, 429: web.HTTPTooManyRequests,
    503: web.HTTPServiceUnavailable,
}
