"""Tokens: who gets in with which rights, and that forgeries do not."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from conftest import SECRET, Serve

from signaling.config import load
from signaling.tokens import Grants, TokenError, authorize, issue, verify

NOW = 1_700_000_000


def claims(**changes: Any) -> dict[str, Any]:
    video = {"room": "hall", "roomJoin": True, **changes.pop("video", {})}
    return {"sub": "ann", "exp": int(time.time()) + 600, "video": video, **changes}


def sign(payload: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(payload, key, algorithm=algorithm)


def unsigned(algorithm: str) -> str:
    parts = [{"alg": algorithm, "typ": "JWT"}, claims()]
    text = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*text, ""])


def test_a_token_gives_what_was_granted_and_no_more() -> None:
    grants = Grants(room="hall", identity="ann", name="Ann", can_publish=False, room_admin=True)
    assert verify(SECRET, issue(SECRET, grants, ttl=60), "hall") == grants


def test_a_token_of_livekit_s_form_is_understood() -> None:
    payload = claims(
        iss="key", nbf=int(time.time()), name="Ann", metadata="x",
        video={"canPublish": True, "canSubscribe": False, "canPublishData": True, "canPublishSources": ["x"]},
    )
    assert verify(SECRET, sign(payload), "hall") == Grants(
        room="hall", identity="ann", name="Ann", can_subscribe=False
    )


def refused() -> dict[str, tuple[str, str]]:
    """Tokens and why they are refused, signed now: those of when tests are collected may have ended since."""
    return {
        "none": ("", "unauthorized"),
        "rubbish": ("rubbish", "unauthorized"),
        "three dots": ("...", "unauthorized"),
        "too long": ("a" * 10_000, "unauthorized"),
        "other secret": (sign(claims(), key="x" * 32), "unauthorized"),
        "other hash": (sign(claims(), key=SECRET * 2, algorithm="HS512"), "unauthorized"),
        "alg none": (unsigned("none"), "unauthorized"),
        "alg None": (unsigned("None"), "unauthorized"),
        "expired": (sign(claims(exp=int(time.time()) - 120)), "unauthorized"),
        "not yet": (sign(claims(nbf=int(time.time()) + 600)), "unauthorized"),
        "for ever": (sign({key: value for key, value in claims().items() if key != "exp"}), "unauthorized"),
        "video is text": (sign({**claims(), "video": "all"}), "unauthorized"),
        "grant is text": (sign(claims(video={"roomJoin": "yes"})), "unauthorized"),
        "no grants": (sign({**claims(), "video": {}}), "not-permitted"),
        "no join": (sign(claims(video={"roomJoin": False})), "not-permitted"),
        "no room": (sign(claims(video={"room": ""})), "not-permitted"),
        "other room": (sign(claims(video={"room": "kitchen"})), "not-permitted"),
    }


@pytest.mark.parametrize("which", refused())
def test_what_is_no_valid_token_for_this_room_is_refused(which: str) -> None:
    token, code = refused()[which]
    with pytest.raises(TokenError) as refusal:
        verify(SECRET, token, "hall")
    assert refusal.value.code == code
    assert not token or token not in str(refusal.value)


def test_clocks_may_be_a_minute_apart() -> None:
    early = sign(claims(exp=int(time.time()) - 50, nbf=int(time.time()) + 50, iat=int(time.time()) + 50))
    assert verify(SECRET, early, "hall").identity == "ann"


def test_a_token_ends_when_its_time_is_over() -> None:
    payload = jwt.decode(
        issue(SECRET, Grants(room="hall"), ttl=90, now=NOW), SECRET, algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert (payload["nbf"], payload["exp"]) == (NOW, NOW + 90)


def test_an_open_server_asks_for_no_token_and_lets_nobody_moderate() -> None:
    assert authorize(load(), "", "hall", revoked=()) == Grants(room="hall")
    assert not authorize(load(), "", "hall", revoked=()).room_admin


async def test_a_server_with_a_secret_lets_in_who_has_a_token(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    assert (await service.refusal(type="join", room="hall", name="Ann"))["code"] == "unauthorized"
    wrong = issue(SECRET, Grants(room="kitchen"), ttl=60)
    refusal = await service.refusal(type="join", room="hall", name="Ann", token=wrong)
    assert refusal["code"] == "not-permitted"
    token = issue(SECRET, Grants(room="hall", name="Ann of the token", room_admin=True), ttl=60)
    ann = await service.join("Somebody", token=token)
    assert ann.joined["you"]["name"] == "Ann of the token"
    assert ann.joined["permissions"]["roomAdmin"] is True


async def test_the_room_of_a_token_is_compared_in_one_spelling(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    token = issue(SECRET, Grants(room="caf\u00e9"), ttl=60)
    assert (await service.join("Ann", "cafe\u0301", token=token)).joined["room"] == "caf\u00e9"


async def test_who_may_not_publish_or_subscribe_does_not(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    token = issue(SECRET, Grants(room="hall", can_publish=False, can_subscribe=False), ttl=60)
    ann = await service.join("Ann", token=token)
    assert ann.joined["permissions"] == {
        "canPublish": False, "canSubscribe": False, "canPublishData": True, "roomAdmin": False,
    }
    assert (service.peer(ann).can_publish, service.peer(ann).can_subscribe) == (False, False)
    await ann.command("offer", sdp="audio:0")
    assert (await ann.command("publish", mid="0", source="microphone"))["code"] == "not-permitted"


async def test_nobody_learns_of_a_hidden_participant(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    plain = issue(SECRET, Grants(room="hall"), ttl=60)
    ann = await service.join("Ann", token=plain)
    hidden = await service.join("Eve", token=issue(SECRET, Grants(room="hall", hidden=True), ttl=60))
    assert [each["name"] for each in hidden.joined["participants"]] == ["Ann"]
    await hidden.command("offer", sdp="audio:0")
    assert (await hidden.command("publish", mid="0", source="microphone"))["code"] == "not-permitted"
    assert (await service.join("Bob", token=plain)).joined["participants"][0]["name"] == "Ann"
    await hidden.socket.close()
    assert (await ann.receive_type("participant-joined"))["participant"]["name"] == "Bob"
    await ann.send(type="ping", id=1)
    await ann.receive_type("reply")
