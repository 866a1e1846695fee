"""Tokens of participants: JSON Web Tokens (RFC 7519) with LiveKit's claims."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

import jwt
import msgspec

from signaling.config import Settings
from signaling.names import InvalidNameError, room_name

ALGORITHM = "HS256"
LEEWAY_SECONDS = 60
"""How far the clocks of this server and of whoever issued a token may be apart; as LiveKit."""
MAX_TOKEN_LENGTH = 8192
"""Characters; a token with every grant is about 500."""


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
    room_admin: bool = False
    hidden: bool = False
    """Not shown to others."""


class _Video(msgspec.Struct, rename="camel"):
    """The claim `video`."""

    room: str = ""
    room_join: bool = False
    room_admin: bool = False
    can_publish: bool = True
    can_subscribe: bool = True
    hidden: bool = False


class _Claims(msgspec.Struct):
    sub: str = ""
    name: str = ""
    video: _Video = msgspec.field(default_factory=_Video)


def issue(secret: str, grants: Grants, *, ttl: float, now: float | None = None) -> str:
    """A token with `grants`, valid for `ttl` seconds from `now` (Unix time; None: the present)."""
    issued = time.time() if now is None else now
    claims: dict[str, Any] = {
        "sub": grants.identity or secrets.token_hex(8),
        "jti": secrets.token_hex(8),
        "iat": int(issued),
        "nbf": int(issued),
        "exp": int(issued + ttl),
        "video": {
            "room": grants.room,
            "roomJoin": True,
            "roomAdmin": grants.room_admin,
            "canPublish": grants.can_publish,
            "canSubscribe": grants.can_subscribe,
            "hidden": grants.hidden,
        },
    }
    if grants.name:
        claims["name"] = grants.name
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify(secret: str, token: str, room: str) -> Grants:
    """The grants of `token` for `room`. Raises TokenError; its text never repeats the token."""
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
        room_admin=video.room_admin,
        hidden=video.hidden,
    )


def authorize(settings: Settings, token: str, room: str) -> Grants:
    """What the bearer of `token` may do in `room`; on an open server, all but moderate. Raises TokenError."""
    if settings.open:
        return Grants(room=room)
    return verify(settings.secret.get_secret_value(), token, room)
