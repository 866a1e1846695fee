"""Webhooks: signed, in order in each room, at least once, whatever the receiver does."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from conftest import Serve, Service
from standardwebhooks import Webhook

from signaling.config import ConfigError, load
from signaling.governance import webhooks
from signaling.governance.facts import Fact
from signaling.governance.webhooks import GIVE_UP_SECONDS, RETRY_SECONDS, next_wait
from signaling.keys import OFFICE
from signaling.store import outbox
from signaling.store.database import Database

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Receiver:
    """Somebody's server; `answer` decides how each delivery fares."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[dict[str, Any]] = []
        self.attempts: list[str] = []
        self.answer: Callable[[dict[str, Any]], Awaitable[int]] | None = None
        self._news = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.text()
        event: dict[str, Any] = Webhook(SECRET).verify(body, dict(request.headers))
        assert request.headers["webhook-id"] == event["id"]
        self.attempts.append(event["id"])
        status = await self.answer(event) if self.answer else 204
        if status < 300:
            self.got.append(event)
            self._news.set()
        return web.Response(status=status)

    async def until(self, count: int) -> list[str]:
        """The names of what was taken, once it is so much."""
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self._news.clear()
                await self._news.wait()
        return [event["event"] for event in self.got]


@pytest.fixture
async def receive(aiohttp_server: Any) -> Callable[[], Awaitable[Receiver]]:
    async def start() -> Receiver:
        receiver = Receiver("")
        app = web.Application()
        app.router.add_post("/hook", receiver.take)
        server: TestServer = await aiohttp_server(app, access_log=None)
        receiver.url = str(server.make_url("/hook"))
        return receiver

    return start


async def visit(service: Service, name: str = "Ann", room: str = "hall") -> None:
    guest = await service.join(name, room)
    await guest.command("offer", sdp="audio:0")
    publication = (await guest.command("publish", mid="0", source="microphone"))["publication"]["id"]
    await guest.command("unpublish", publication=publication)
    await guest.command("leave")


VISIT = ["room_started", "participant_joined", "track_published", "track_unpublished", "participant_left"]


async def test_what_happens_is_told_in_order_signed_and_named_as_livekit_s(
    serve: Serve, receive: Callable[[], Awaitable[Receiver]]
) -> None:
    receiver = await receive()
    service = await serve(webhook_urls=receiver.url, webhook_secret=SECRET)
    await visit(service)
    assert await receiver.until(5) == VISIT
    first, joined, published = receiver.got[:3]
    assert first["room"]["name"] == joined["room"]["name"] == "hall"
    assert first["room"]["sid"] == joined["room"]["sid"]
    assert (joined["participant"]["identity"], joined["participant"]["name"]) == ("ann", "Ann")
    assert published["track"]["source"] == "microphone"
    log = await (await service.client.get("/api/v1/webhooks/deliveries")).json()
    assert {each["result"] for each in log["deliveries"]} == {"delivered"}
    metrics = await (await service.client.get("/metrics")).text()
    assert 'clarion_webhook_deliveries_total{result="delivered"} 5.0' in metrics


async def test_a_receiver_that_fails_gets_the_same_again_and_in_order_and_other_rooms_go_on(
    serve: Serve, receive: Callable[[], Awaitable[Receiver]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "RETRY_SECONDS", (0.01,))
    receiver, failures = await receive(), 3

    async def fail_three_times(event: dict[str, Any]) -> int:
        nonlocal failures
        if event["room"]["name"] == "hall" and failures:
            failures -= 1
            return 500
        return 200

    receiver.answer = fail_three_times
    service = await serve(webhook_urls=receiver.url, webhook_secret=SECRET)
    await visit(service)
    await visit(service, room="attic")
    await receiver.until(10)
    for room in ("hall", "attic"):
        assert [event["event"] for event in receiver.got if event["room"]["name"] == room] == VISIT
    hall = [event["id"] for event in receiver.got if event["room"]["name"] == "hall"]
    assert receiver.attempts.count(hall[0]) == 4


async def test_a_clock_that_is_set_back_by_a_day_holds_up_no_webhook(
    serve: Serve, receive: Callable[[], Awaitable[Receiver]]
) -> None:
    receiver = await receive()
    service = await serve(webhook_urls=receiver.url, webhook_secret=SECRET)
    office = service.app[OFFICE]
    tomorrow = time.time() + 86400
    office.webhooks.keep(Fact("room_started", tomorrow, "hall", "sid"))
    assert await receiver.until(1) == ["room_started"]


async def test_a_receiver_that_hangs_holds_up_nobody_else(
    serve: Serve, receive: Callable[[], Awaitable[Receiver]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(webhooks, "RETRY_SECONDS", (0.05,))
    hanging, healthy = await receive(), await receive()
    release = asyncio.Event()

    async def hang(_event: dict[str, Any]) -> int:
        await release.wait()
        return 200

    hanging.answer = hang
    service = await serve(webhook_urls=f"{hanging.url},{healthy.url}", webhook_secret=SECRET)
    await visit(service)
    assert await healthy.until(5) == VISIT
    release.set()
    assert await hanging.until(5) == VISIT


async def test_what_was_not_delivered_waits_for_the_next_start_of_the_server(
    receive: Callable[[], Awaitable[Receiver]], tmp_path: Any
) -> None:
    database = await Database.open(tmp_path, [outbox.SCHEMA])
    waiting = outbox.Outbox(database)
    stored = waiting.put(url="http://x/", room="hall", event="room_started", webhook_id="evt_1", at=1.0, body="{}")
    assert stored is not None
    await stored
    await database.close()
    database = await Database.open(tmp_path, [outbox.SCHEMA])
    again = outbox.Outbox(database)
    await again.load()
    heads = await again.heads("http://x/")
    assert ([each.id for each in heads], again.count) == (["evt_1"], 1)
    await database.close()


async def test_a_person_who_is_erased_is_a_pseudonym_in_what_still_waits(tmp_path: Any) -> None:
    database = await Database.open(tmp_path, [outbox.SCHEMA])
    waiting = outbox.Outbox(database)
    bodies = [
        {"event": "participant_left", "participant": {"sid": sid, "identity": who, "name": who}}
        for sid, who in (("p1", "bob"), ("p2", "ann"))
    ]
    for number, body in enumerate((*bodies, {"event": "room_finished"})):
        waiting.put(
            url="http://x/", room=f"room {number}", event="e", webhook_id=f"evt_{number}", at=1.0, body=json.dumps(body)
        )
    assert await waiting.rename("bob", "erased-1") == 1
    heads = await waiting.heads("http://x/")
    found = [json.loads(each.body).get("participant") for each in sorted(heads, key=lambda each: each.number)]
    assert found == [{"sid": "p1", "identity": "erased-1", "name": ""}, bodies[1]["participant"], None]
    await database.close()


async def test_too_much_that_waits_is_dropped_and_counted(
    serve: Serve, receive: Callable[[], Awaitable[Receiver]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_WAITING", 2)
    receiver = await receive()
    never = asyncio.Event()

    async def hang(_event: dict[str, Any]) -> int:
        await never.wait()
        return 200

    receiver.answer = hang
    service = await serve(webhook_urls=receiver.url, webhook_secret=SECRET)
    await visit(service)
    assert service.app[OFFICE].outbox.count == 2
    metrics = await (await service.client.get("/metrics")).text()
    assert 'clarion_webhook_deliveries_total{result="dropped"} 3.0' in metrics
    never.set()


def test_waits_grow_and_giving_up_takes_longer_than_all_of_them() -> None:
    waits = [next_wait(attempt) for attempt in range(1, 12)]
    assert waits == sorted(waits)
    assert waits[-1] == RETRY_SECONDS[-1] < GIVE_UP_SECONDS


@pytest.mark.parametrize(
    "settings",
    [
        {"webhook_urls": "https://a.example/"}, {"webhook_urls": "a.example", "webhook_secret": SECRET},
        {"webhook_secret": "whsec_short"}, {"webhook_secret": "no base64 !"},
    ],
)
def test_webhooks_that_could_not_be_told_from_forgeries_stop_the_start(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        load(settings)


