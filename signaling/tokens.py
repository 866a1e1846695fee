"""Tokens of participants: JSON Web Tokens (RFC 7519) with LiveKit's claims."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
import msgspec

from signaling.config import Settings
from signaling.names import InvalidNameError, participant_name, room_name

ALGORITHM = "HS256"
LEEWAY_SECONDS = 60
"""How far the clocks of this server and of whoever issued a token may be apart; as LiveKit."""
MAX_TOKEN_LENGTH = 8192
"""Characters; a token with every grant is about 500, one with a hundred contacts 4,000."""
CALL_SECONDS = 12 * 3600.0
"""How long the token for the room of a call opens it again, after a reload or a lost connection."""
EVERYBODY = "*"
"""In the claim `line.contacts`: whoever is reachable."""


class TokenError(Exception):
    """A token is missing or does not allow what was asked. `code` is one of the protocol's ErrorCode."""

    def __init__(self, code: Literal["unauthorized", "not-permitted"], message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Grants:
    """What somebody may do in one room."""

    room: str
    identity: str = ""
    """The claim `sub`: who this is to the issuer of the token; not shown to others."""
    name: str = ""
    """Name to be shown; empty: the participant chooses."""
    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    """May send messages."""
    room_admin: bool = False
    hidden: bool = False
    """Not shown to others."""
    token_id: str = field(default="", compare=False)
    """Of the token, as in a revocation; empty without a token."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Somebody who may use the API."""

    identity: str
    room: str = ""
    """The only room that may be governed; empty: all, and the server."""


@dataclass(frozen=True, slots=True)
class LineGrants:
    """Who somebody with a line is, and whom they may see and call."""

    person: str
    """The claim `sub`; on an open server made of the name."""
    name: str
    contacts: Mapping[str, str] = field(default_factory=dict)
    """Names by id, "" where the issuer of the token gave none."""
    everybody: bool = False
    """Also everybody who is reachable."""
    token_id: str = field(default="", compare=False)
    """As in `Grants`."""


class _Video(msgspec.Struct, rename="camel"):
    """The claim `video`."""

    room: str = ""
    room_join: bool = False
    room_admin: bool = False
    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    hidden: bool = False
    server_admin: bool = False


class _Line(msgspec.Struct):
    """The claim `line`: may be reachable, and call `contacts` (names by id; the id "*" is everybody)."""

    contacts: dict[str, str] = {}


class _Claims(msgspec.Struct):
    exp: float
    sub: str = ""
    jti: str = ""
    name: str = ""
    video: _Video = msgspec.field(default_factory=_Video)
    line: _Line | None = None


def issue(secret: str, grants: Grants, *, ttl: float, now: float | None = None) -> str:
    """A token with `grants`, valid for `ttl` seconds from `now` (Unix time; None: the present)."""
    claims: dict[str, Any] = {
        **_who_and_when(grants.identity, ttl, now),
        "video": {
            "room": grants.room,
            "roomJoin": True,
            "roomAdmin": grants.room_admin,
            "canPublish": grants.can_publish,
            "canSubscribe": grants.can_subscribe,
            "canPublishData": grants.can_publish_data,
            "hidden": grants.hidden,
        },
    }
    if grants.name:
        claims["name"] = grants.name
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def issue_line(secret: str, grants: LineGrants, *, ttl: float, now: float | None = None) -> str:
    """A token with which `grants.person` is reachable, valid as in `issue`."""
    contacts = {**grants.contacts, **({EVERYBODY: ""} if grants.everybody else {})}
    claims = {
        **_who_and_when(grants.person, ttl, now), "name": grants.name, "line": {"contacts": contacts},
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def issue_admin(secret: str, admin: Admin, *, ttl: float, now: float | None = None) -> str:
    """A token for the API, valid as in `issue`; with a room it lets nobody join."""
    video: dict[str, object] = {"room": admin.room, "roomAdmin": True} if admin.room else {"serverAdmin": True}
    return jwt.encode({**_who_and_when(admin.identity, ttl, now), "video": video}, secret, algorithm=ALGORITHM)


def token_id(token: str) -> tuple[str, float]:
    """The id by which a token is revoked, and when it expires, without a look at its signature. Raises TokenError."""
    try:
        payload = jwt.decode(token, options={"verify_signature": False})
        claims = msgspec.convert(payload, _Claims)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise TokenError("unauthorized", "This is no token.") from error
    return _id_of(claims, token), claims.exp


def verify(secret: str, token: str, room: str, *, revoked: Container[str] = ()) -> Grants:
    """The grants of `token` for `room`. Raises TokenError; its text never repeats the token."""
    claims = _claims(secret, token, revoked)
    video = claims.video
    if not video.room_join:
        raise TokenError("not-permitted", "The token does not allow joining a room.")
    try:
        granted = room_name(video.room)
    except InvalidNameError as error:
        raise TokenError("not-permitted", "The token names no room.") from error
    if granted != room:
        raise TokenError("not-permitted", "The token is for another room.")
    return Grants(
        room=room,
        identity=claims.sub,
        name=claims.name,
        can_publish=video.can_publish,
        can_subscribe=video.can_subscribe,
        can_publish_data=video.can_publish_data,
        room_admin=video.room_admin,
        hidden=video.hidden,
        token_id=_id_of(claims, token),
    )


def verify_admin(secret: str, token: str, *, revoked: Container[str] = ()) -> Admin:
    """Who may use the API with `token`. Raises TokenError."""
    claims = _claims(secret, token, revoked)
    if claims.video.server_admin:
        return Admin(claims.sub)
    if claims.video.room_admin:
        try:
            return Admin(claims.sub, room_name(claims.video.room))
        except InvalidNameError:
            pass
    raise TokenError("not-permitted", "The token is not one of an administrator.")


def verify_line(secret: str, token: str, name: str, *, revoked: Container[str] = ()) -> LineGrants:
    """Who is reachable with `token`, under `name` where it names nobody.

    Raises TokenError, or InvalidNameError for a name that cannot be shown.
    """
    claims = _claims(secret, token, revoked)
    if claims.line is None or not claims.sub:
        raise TokenError("not-permitted", "The token does not make anybody reachable.")
    contacts = claims.line.contacts
    return LineGrants(
        person=claims.sub,
        name=participant_name(claims.name or name),
        contacts={person: shown for person, shown in contacts.items() if person not in {EVERYBODY, claims.sub}},
        everybody=EVERYBODY in contacts,
        token_id=_id_of(claims, token),
    )


def _who_and_when(identity: str, ttl: float, now: float | None) -> dict[str, Any]:
    issued = time.time() if now is None else now
    return {
        "sub": identity or secrets.token_hex(8),
        "jti": secrets.token_hex(8),
        "iat": int(issued),
        "nbf": int(issued),
        "exp": int(issued + ttl),
    }


def _claims(secret: str, token: str, revoked: Container[str]) -> _Claims:
    if not token:
        raise TokenError("unauthorized", "This server needs a token to join; ask for an invitation link.")
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenError("unauthorized", "The token is too long.")
    try:
        payload = jwt.decode(
            token, secret, algorithms=[ALGORITHM], leeway=LEEWAY_SECONDS, options={"require": ["exp"]}
        )
        claims = msgspec.convert(payload, _Claims)
    except jwt.ExpiredSignatureError as error:
        raise TokenError("unauthorized", "The invitation has expired; ask for a new one.") from error
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise TokenError("unauthorized", "The token is not valid here.") from error
    if _id_of(claims, token) in revoked:
        raise TokenError("unauthorized", "The invitation has been taken back.")
    return claims


def _id_of(claims: _Claims, token: str) -> str:
    """The claim `jti`; of a token without one, a digest."""
    return claims.jti or "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def authorize(settings: Settings, token: str, room: str, *, revoked: Container[str]) -> Grants:
    """What the bearer of `token` may do in `room`; on an open server, all but moderate. Raises TokenError."""
    if settings.open:
        return Grants(room=room)
    return verify(settings.secret.get_secret_value(), token, room, revoked=revoked)


def authorize_line(settings: Settings, token: str, name: str, *, revoked: Container[str]) -> LineGrants:
    """Who the bearer of `token` is; on an open server whoever the name says, and everybody sees everybody.

    Raises TokenError and InvalidNameError.
    """
    if settings.open:
        shown = participant_name(name)
        return LineGrants(person=shown.casefold(), name=shown, everybody=True)
    return verify_line(settings.secret.get_secret_value(), token, name, revoked=revoked)


def for_call(settings: Settings, person: str, name: str, room: str) -> str:
    """A token with which somebody joins the room of a call; empty where none is needed."""
    if settings.open:
        return ""
    grants = Grants(room=room, identity=person, name=name)
    return issue(settings.secret.get_secret_value(), grants, ttl=CALL_SECONDS)
