"""What every door asks: how many come at once, from where, with which token, into which room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from conftest import SECRET, Serve

from signaling.keys import DOORS
from signaling.security import doors
from signaling.security.doors import Doors
from signaling.security.throttle import AddressThrottle, Throttle
from signaling.tokens import Admin, Grants, LineGrants, issue, issue_admin, issue_line

STRANGER = {"X-Forwarded-For": "192.0.2.7"}


def admin_token() -> str:
    return issue_admin(SECRET, Admin("root"), ttl=60)


async def metrics(service: Any) -> str:
    return str(await (await service.client.get("/metrics")).text())


async def test_an_address_that_connects_too_often_waits_and_others_do_not(serve: Serve) -> None:
    service = await serve(trusted_proxies="127.0.0.1")
    service.app[DOORS].connections = AddressThrottle(0.5, 2.0)
    for _ in range(2):
        await service.connect(headers=STRANGER)
    with pytest.raises(WSServerHandshakeError) as refusal:
        await service.connect(headers=STRANGER)
    assert refusal.value.status == 429
    assert refusal.value.headers is not None
    assert 1 <= int(refusal.value.headers["Retry-After"]) <= 2
    await service.connect(headers={"X-Forwarded-For": "192.0.2.8"})
    for _ in range(20):
        await service.connect()  # this machine
    assert 'clarion_rate_limited_total{rule="connections"} 1.0' in await metrics(service)


async def test_a_token_that_makes_reachable_too_often_waits(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    service.app[DOORS].joins_of_token = Throttle(0.1, 2.0)
    token = issue_line(SECRET, LineGrants("dan", "Dan"), ttl=60)
    for _ in range(2):
        line = await service.connect()
        await line.send(type="reach", name="Dan", token=token)
        await line.receive_type("reachable")
    assert (await service.refusal(type="reach", name="Dan", token=token))["code"] == "rate-limited"


async def test_a_token_and_a_room_that_are_joined_too_often_wait(serve: Serve) -> None:
    service = await serve(secret=SECRET, metrics_token="m" * 32)
    here = service.app[DOORS]
    here.joins_of_token, here.joins_of_room = Throttle(1.0, 2.0), Throttle(1.0, 4.0)
    tokens = [issue(SECRET, Grants(room="hall", identity=name), ttl=60) for name in "abc"]
    for _ in range(2):
        await service.join("A", token=tokens[0])
    again = await service.refusal(type="join", room="hall", name="A", token=tokens[0])
    assert (again["code"], 0 < again["retryAfter"] <= 1) == ("rate-limited", True)
    for _ in range(2):
        await service.join("B", token=tokens[1])
    full = await service.refusal(type="join", room="hall", name="C", token=tokens[2])
    assert full["code"] == "rate-limited"
    headers = {"Authorization": "Bearer " + "m" * 32}
    text = await (await service.client.get("/metrics", headers=headers)).text()
    for rule in ("join-token", "join-room"):
        assert f'clarion_rate_limited_total{{rule="{rule}"}} 1.0' in text


async def test_those_who_connect_and_say_nothing_are_bounded_and_hurt_nobody_else(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "MAX_OUTSIDE_OF_ADDRESS", 3)
    service = await serve(trusted_proxies="127.0.0.1")
    silent = [await service.connect(headers=STRANGER) for _ in range(3)]
    await asyncio.sleep(0)
    refused = await service.connect(headers=STRANGER)
    assert (await refused.receive_type("error"))["code"] == "rate-limited"
    assert await refused.close_code() == 1008
    await service.join("Ann")
    await silent[0].send(type="join", room="hall", name="Bob")
    await silent[0].receive_type("joined")
    late = await service.connect(headers=STRANGER)
    await late.send(type="join", room="hall", name="Cleo")
    await late.receive_type("joined")


def test_the_whole_server_has_so_many_places_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MAX_OUTSIDE", 2)
    outside = Doors()
    with outside.outside("192.0.2.1") as first, outside.outside("127.0.0.1") as second, outside.outside("") as third:
        assert (first, second, third) == (True, True, False)
    with outside.outside("192.0.2.1") as again:
        assert again


async def test_a_revoked_token_opens_no_door_and_ends_its_sessions(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    admin = {"Authorization": f"Bearer {admin_token()}"}
    token = issue(SECRET, Grants(room="hall", identity="bob", name="Bob"), ttl=600)
    bob = await service.join(token=token)
    answer = await service.client.post("/api/v1/revocations", json={"token": token}, headers=admin)
    assert (answer.status, (await answer.json())["sessions"]) == (201, 1)
    assert (await bob.until("closed"))["reason"] == "revoked"
    assert (await service.refusal(type="join", room="hall", name="", token=token))["code"] == "unauthorized"
    bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    assert (await service.client.post("/whip/hall", data="v=0", headers=bearer)).status == 401
    own = {"token": admin["Authorization"].removeprefix("Bearer ")}
    assert (await service.client.post("/api/v1/revocations", json=own, headers=admin)).status == 201
    assert (await service.client.get("/api/v1/node", headers=admin)).status == 401
    for body in ({}, {"token": token, "tokenId": "x"}, {"token": "rubbish"}):
        answer = await service.client.post(
            "/api/v1/revocations", json=body, headers={"Authorization": f"Bearer {admin_token()}"}
        )
        assert answer.status == 422
