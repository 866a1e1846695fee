"""Bodies and clients that mean no good: a clear refusal, and the room notices nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
from broadcasting import FRAGMENT, SDP, SECONDS, fragment, media_section, offer, serving

from rtc.client import ParticipantJoined, join
from signaling.security.throttle import MAX_KEYS, AddressThrottle
from signaling.server import Stop, drain

MANY = offer(*(media_section("audio", str(index), "sendonly") for index in range(400)))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"v=0\r\n" * 200_000, 413),
        (b"v=0\r\n" + b"a=x\r\n" * 40_000, 422),
        (MANY.encode(), 422),
        (b"v=0\r\n" + b"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 5000, 422),
        (b"\xff\xfe" * 100, 422),
        (b"\0" * 1000, 422),
        (random.Random(1).randbytes(5000), 422),
        (offer().replace("m=audio", "m=audio 99999999999999999999").encode(), 422),
        (offer().replace("a=mid:0", "a=mid:1").encode(), 422),
        (offer().replace("sha-256", "md5").encode(), 422),
        (offer().replace("a=ice-pwd:", "a=ice-pwd:\u2028").encode(), 422),
        (offer()[:200].encode(), 422),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_bad_offer_is_refused_and_nobody_notices(body: bytes, status: int) -> None:
    async with serving() as service, join(service.url, "hall", name="Ada") as ada:
        async with aiohttp.ClientSession() as http:
            for path in ("/whip/hall", "/whep/hall"):
                async with http.post(service.url + path, data=body, headers=SDP) as response:
                    assert response.status == status
                    assert response.content_type == "application/problem+json"
            stream = ada.events()
            async with http.post(f"{service.url}/whip/hall", data=offer(), headers=SDP) as response:
                assert response.status == 201
        async for event in stream:  # the first thing that Ada hears of is the good one
            assert isinstance(event, ParticipantJoined)
            break
        assert service.members("hall") == {"Ada": "python", "Broadcast": "whip"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a" * 20_000, 413),
        (b"a=candidate:1\r\n" * 600, 400),
        (b"\xff" * 10, 400),
        (b"m=audio 9 X 0\r\n" * 200, 400),
        ((fragment() + fragment("efgh", "another-password-of-22-chars")).encode(), 400),
        (b"a=ice-ufrag:" + b"x" * 5000 + b"\r\na=ice-pwd:" + b"y" * 30, 400),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_bad_fragment_is_refused_and_the_session_lives(body: bytes, status: int) -> None:
    async with serving() as service, aiohttp.ClientSession() as http:
        async with http.post(f"{service.url}/whip/hall", data=offer(), headers=SDP) as response:
            session, etag = service.url + response.headers["Location"], response.headers["ETag"]
        for tag in (etag, "*"):
            async with http.patch(session, data=body, headers=FRAGMENT | {"If-Match": tag}) as response:
                assert response.status == status
        async with http.get(session) as response:
            assert response.status == 204


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.whip.BODY_SECONDS", 0.1)
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"v=0\r\n"
        await answered.wait()

    async with serving() as service, aiohttp.ClientSession() as http:
        async with http.post(f"{service.url}/whip/hall", data=body(), headers=SDP) as response:
            assert response.status == 408
        answered.set()


async def test_a_server_about_to_stop_takes_nobody() -> None:
    async with serving() as service, aiohttp.ClientSession() as http:
        service.directory.draining = True
        async with http.post(f"{service.url}/whip/hall", data=offer(), headers=SDP) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "10"
        assert service.members("hall") == {}


async def test_a_drain_lasts_as_long_as_a_broadcast() -> None:
    async with serving() as service, aiohttp.ClientSession() as http:
        async with http.post(f"{service.url}/whip/hall", data=offer(), headers=SDP) as response:
            session = service.url + response.headers["Location"]
        draining = asyncio.create_task(drain(service.app, 3600, Stop()))
        async with http.get(session) as response:
            assert response.status == 204
        assert not draining.done()
        async with http.delete(session) as response:
            assert response.status == 200
        async with asyncio.timeout(SECONDS):
            await draining


async def test_too_many_requests_of_one_address_are_refused() -> None:
    stranger = {"X-Forwarded-For": "192.0.2.7"}
    async with serving(trusted_proxies="127.0.0.1") as service, aiohttp.ClientSession(headers=stranger) as http:
        for _ in range(300):
            async with http.delete(f"{service.url}/whip/hall/x") as response:
                if response.status == 429:
                    break
        assert response.status == 429
        assert response.headers["Retry-After"] == "1"
        async with http.get(f"{service.url}/metrics") as metrics:
            assert 'clarion_rate_limited_total{rule="whip"} 1.0' in await metrics.text()


def test_a_throttle_counts_households_and_stays_small() -> None:
    throttle = AddressThrottle(rate=20, burst=200)

    def admits(address: str, *, now: float = 0.0) -> bool:
        return throttle.wait(address, now=now) == 0

    assert all(admits("2001:db8::1") for _ in range(200))
    assert throttle.wait("2001:db8::2", now=0.0) == pytest.approx(0.05)  # the same /64
    assert admits("2001:db8:0:1::1")
    assert admits("::ffff:192.0.2.1")
    assert admits("fe80::1%eth0")
    assert admits("")
    assert admits("2001:db8::2", now=1.0)
    assert all(admits(here) for here in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for _ in range(1000))
    for number in range(2 * MAX_KEYS):
        admits(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", now=2.0)
    assert len(throttle._buckets) == MAX_KEYS
