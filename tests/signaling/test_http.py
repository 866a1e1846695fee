"""Pages, files, headers, origins, proxies, health and metrics."""

from __future__ import annotations

import pytest
from aiohttp import ClientResponse, WSServerHandshakeError
from aiohttp.test_utils import make_mocked_request
from conftest import SECRET, Serve
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from signaling.security.proxies import networks, unproxied


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/", 200, "text/html"),
        ("/r/hall", 200, "text/html"),
        ("/r/%E4%BC%9A%E8%AE%AE", 200, "text/html"),
        ("/static/js/main.js", 200, "text/javascript"),
        ("/static/favicon.svg", 200, "image/svg+xml"),
        ("/api/rooms/hall/qr.svg", 200, "image/svg+xml"),
        ("/healthz", 200, "application/json"),
        ("/readyz", 200, "application/json"),
        ("/metrics", 200, "text/plain"),
        ("/nothing", 404, "text/html"),
        ("/static/nothing.js", 404, "text/html"),
        ("/static/__init__.py", 404, "text/html"),
        ("/static/package.json", 404, "text/html"),
        ("/static/node_modules/typescript/package.json", 404, "text/html"),
        ("/static/.npmrc", 404, "text/html"),
        ("/static/%2e%2e/pyproject.toml", 404, "text/html"),
        ("/static/..%2f..%2fetc%2fpasswd", 404, "text/html"),
        ("/static//etc/hostname.json", 404, "text/html"),
        ("/static/a%00.js", 404, "text/html"),
        ("/static/" + "a" * 3000 + ".js", 404, "text/html"),
        ("/api/nothing", 404, "application/problem+json"),
        ("/api/rooms/a%20b/qr.svg", 404, "application/problem+json"),
        ("/ws", 400, "application/problem+json"),
    ],
)
async def test_what_is_served_and_what_is_not(
    serve: Serve, path: str, status: int, content_type: str
) -> None:
    service = await serve()
    response = await service.client.get(URL(path, encoded=True))
    assert (response.status, response.content_type) == (status, content_type)
    assert_guarded(response)
    if content_type == "application/problem+json":
        assert (await response.json(content_type=None))["status"] == status


def assert_guarded(response: ClientResponse) -> None:
    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "camera=(self), microphone=(self), display-capture=(self)" in headers["Permissions-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' ws://{response.url.authority}"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"]
    assert headers["X-Request-Id"]


async def test_a_host_header_cannot_write_into_the_policy(serve: Serve) -> None:
    service = await serve()
    response = await service.client.get("/", headers={"Host": "a.example; script-src *"})
    assert "script-src *" not in response.headers["Content-Security-Policy"]


async def test_files_are_asked_for_again_and_not_sent_again(serve: Serve) -> None:
    service = await serve()
    first = await service.client.get("/static/js/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await service.client.get("/static/js/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304


async def test_what_a_path_says_is_not_markup_on_the_error_page(serve: Serve) -> None:
    service = await serve()
    for path in ("/<script>alert(1)</script>", "/api/<script>"):
        assert "<script>" not in await (await service.client.get(path)).text()


async def test_a_fault_in_a_handler_is_a_sentence_and_not_a_traceback(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await serve()

    def fail() -> str:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(service.directory, "refusal", fail)
    response = await service.client.get("/readyz")
    assert response.status == 500
    body = await response.text()
    assert "secret detail" not in body
    assert response.headers["X-Request-Id"] in body
    assert_guarded(response)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:{port}", True),
        ("HTTP://127.0.0.1:{port}", True),
        ("https://friend.example", True),
        ("https://friend.example:444", False),
        ("http://friend.example", False),
        ("https://evil.example", False),
        ("http://127.0.0.1:1", False),
        ("null", False),
        ("http://[", False),
    ],
)
async def test_pages_of_other_sites_cannot_connect(serve: Serve, origin: str | None, allowed: bool) -> None:
    service = await serve(allowed_origins="https://friend.example")
    headers = {"Origin": origin.format(port=service.client.port)} if origin else {}
    if allowed:
        await service.connect(headers=headers)
    else:
        with pytest.raises(WSServerHandshakeError) as refusal:
            await service.connect(headers=headers)
        assert refusal.value.status == 403


async def test_a_name_that_was_pointed_at_an_open_server_does_not_make_a_page_ours(serve: Serve) -> None:
    headers = {"Origin": "http://rebound.example", "Host": "rebound.example"}
    service = await serve()
    with pytest.raises(WSServerHandshakeError) as refusal:
        await service.connect(headers=headers)
    assert refusal.value.status == 403
    await (await serve(secret=SECRET)).connect(headers=headers)


TRUSTED = networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "headers", "seen"),
    [
        ("192.0.2.9", {"X-Forwarded-For": "1.1.1.1"}, ("192.0.2.9", "http", "h")),
        ("192.0.2.9", {"X-Forwarded-Proto": "https"}, ("192.0.2.9", "http", "h")),
        ("10.0.0.1", {}, ("10.0.0.1", "http", "h")),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, ("198.51.100.7", "http", "h")),
        ("10.0.0.1", {"X-Forwarded-For": "6.6.6.6, 198.51.100.7, 10.1.1.1"}, ("198.51.100.7", "http", "h")),
        ("10.0.0.1", {"X-Forwarded-For": "rubbish"}, ("10.0.0.1", "http", "h")),
        ("10.0.0.1", {"X-Forwarded-For": "rubbish, 10.2.2.2"}, ("10.2.2.2", "http", "h")),
        ("::ffff:10.0.0.1", {"X-Forwarded-For": "2001:db8::7"}, ("2001:db8::7", "http", "h")),
        ("::1", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "c.ex"}, ("::1", "https", "c.ex")),
        ("::1", {"X-Forwarded-Proto": "gopher"}, ("::1", "http", "h")),
    ],
)
def test_forwarded_headers_are_believed_of_trusted_proxies_only(
    peer: str, headers: dict[str, str], seen: tuple[str, str, str]
) -> None:
    request = make_mocked_request("GET", "/", headers={"Host": "h", **headers}).clone(remote=peer)
    real = unproxied(request, TRUSTED)
    assert (real.remote, real.scheme, real.host) == seen


async def test_behind_a_trusted_proxy_with_tls_the_page_is_ours_under_its_public_name(serve: Serve) -> None:
    service = await serve(secret=SECRET, trusted_proxies="127.0.0.1")
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "call.example.org"}
    await service.connect(headers={**forwarded, "Origin": "https://call.example.org"})
    response = await service.client.get("/", headers=forwarded)
    assert "wss://call.example.org;" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("settings", "authorization", "status"),
    [
        ({}, None, 200),
        ({"secret": SECRET}, None, 403),
        ({"secret": SECRET, "metrics_token": "m"}, None, 401),
        ({"secret": SECRET, "metrics_token": "m"}, "Bearer n", 401),
        ({"secret": SECRET, "metrics_token": "m"}, "Bearer m", 200),
        ({"metrics_token": "m"}, None, 401),
    ],
)
async def test_metrics_are_for_the_operator(
    serve: Serve, settings: dict[str, str], authorization: str | None, status: int
) -> None:
    service = await serve(**settings)
    headers = {"Authorization": authorization} if authorization else {}
    assert (await service.client.get("/metrics", headers=headers)).status == status


async def test_metrics_count_what_happens_and_name_nobody(serve: Serve) -> None:
    service = await serve(max_participants="2")
    ann, bob = await service.join("Ann", "secret-room"), await service.join("Bob", "secret-room")
    await service.refusal(type="join", room="secret-room", name="Cleo")
    await ann.command("offer", sdp="audio:0 video:1")
    await ann.command("publish", mid="1", source="camera")
    for state in ("connecting", "connected", "disconnected", "connected"):
        service.peer(ann).events.transport_changed(state)
    await bob.command("leave")
    text = await (await service.client.get("/metrics")).text()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values() for sample in family.samples
    }
    assert values["clarion_rooms",] == 1
    assert values["clarion_participants", "web"] == 1
    assert values["clarion_peer_connections", "connected"] == 1
    assert values["clarion_tracks", "video"] == 1
    assert values["clarion_joins_total", "ok"] == 2
    assert values["clarion_joins_total", "server-full"] == 1
    assert values["clarion_leaves_total", "left"] == 1
    assert values["clarion_join_duration_seconds_count",] == 1
    assert values["clarion_ws_messages_total", "in", "join"] == 3
    assert values["clarion_ws_messages_total", "out", "published"] == 1
    assert values["clarion_ws_send_queue_depth_count",] > 0
    assert values["clarion_draining",] == 0
    assert values["clarion_rtp_packets_total", "in", "audio"] == 7
    assert values["clarion_rtp_bytes_total", "out", "video"] == 900
    assert values["clarion_rtp_lost_packets_total", "audio"] == 1
    assert values["clarion_pli_total", "out"] == 0
    assert values["clarion_dropped_total", "stun-unknown"] == 3
    assert any(key[0] == "clarion_build_info" for key in values)
    for name in ("secret-room", "Ann", ann.joined["you"]["id"], ann.joined["session"]):
        assert name not in text


async def test_two_applications_in_one_process_count_for_themselves(serve: Serve) -> None:
    first, second = await serve(), await serve()
    await first.join()
    assert "clarion_joins_total{" not in await (await second.client.get("/metrics")).text()


async def test_a_full_server_is_not_ready_and_alive(serve: Serve) -> None:
    service = await serve(max_participants="1")
    assert await (await service.client.get("/readyz")).json() == {"ready": True}
    await service.join()
    response = await service.client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["reason"]
    assert (await service.client.get("/healthz")).status == 200


async def test_the_picture_of_an_invitation_is_made_for_the_public_address(serve: Serve) -> None:
    pictures = []
    for address in ("", "https://call.example.org"):
        service = await serve(public_url=address)
        pictures.append(await (await service.client.get("/api/rooms/hall/qr.svg")).text())
    assert all(picture.startswith("<svg") for picture in pictures)
    assert pictures[0] != pictures[1]
