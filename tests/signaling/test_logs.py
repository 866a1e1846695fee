"""The log: what it tells, and what it never tells."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from conftest import SECRET, Serve, eventually

from signaling import logs
from signaling.tokens import Grants, issue


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers, root.level
    logs.configure(json=True, level="debug", stream=stream)
    yield stream
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


async def test_a_call_is_told_with_room_and_participant(serve: Serve, output: io.StringIO) -> None:
    service = await serve()
    ann = await service.join("Ann")
    await ann.command("offer", sdp="explode")
    await ann.command("leave")
    await ann.close_code()
    told = {line["event"]: line for line in lines(output)}
    for event in ("joined", "command failed", "left"):
        assert told[event]["room"] == "hall"
        assert told[event]["participant"] == ann.joined["you"]["id"]
    assert told["command failed"]["session"]
    assert told["command failed"]["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert told["left"]["reason"] == "left"


async def test_no_token_and_no_session_secret_is_ever_logged(serve: Serve, output: io.StringIO) -> None:
    service = await serve(
        secret=SECRET, metrics_token="metrics-token-value",
        ice_servers='[{"urls": ["turn:t.example"], "username": "u", "credential": "turn-credential"}]',
    )
    good = issue(SECRET, Grants(room="hall"), ttl=60)
    wrong = issue(SECRET, Grants(room="kitchen"), ttl=60)
    await service.refusal(type="join", room="hall", name="Ann", token=wrong)
    await service.refusal(type="resume", session="guessed-session-secret", ack=0)
    ann = await service.join("Ann", token=good)
    await ann.socket.send_str(json.dumps({"type": "publish", "id": 1, "token": good, "mid": 3}))
    await ann.command("offer", sdp="explode")
    await ann.socket.close()
    again = await service.resume(ann.joined["session"], ack=1)
    await again.receive_type("resumed")
    await service.client.get(f"/?token={good}", headers={"Authorization": f"Bearer {good}"})
    await service.client.get("/metrics", headers={"Authorization": "Bearer metrics-token-value"})
    await service.client.get(f"/nothing?access_token={good}")
    structlog.get_logger().info("by mistake", token=good, secret=SECRET)
    logging.getLogger("aiohttp.server").info("from a library")
    await eventually(lambda: "from a library" in output.getvalue())
    text = output.getvalue()
    assert "by mistake" in text
    assert "resumed" in text
    for secret in (
        good, wrong, good.rsplit(".", 1)[1], ann.joined["session"], "guessed-session-secret", SECRET,
        "metrics-token-value", "turn-credential",
    ):
        assert secret not in text


def test_text_is_for_people(output: io.StringIO) -> None:
    stream = io.StringIO()
    logs.configure(json=False, level="info", stream=stream)
    structlog.get_logger().info("joined", room="hall")
    structlog.get_logger().debug("unseen")
    logging.getLogger("some.library").warning("careful")
    assert "joined" in stream.getvalue()
    assert "room=hall" in stream.getvalue()
    assert "careful" in stream.getvalue()
    assert "unseen" not in stream.getvalue()
    assert not output.getvalue()


def test_what_was_in_the_variables_of_a_failure_is_not_logged(output: io.StringIO) -> None:
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream)
    token = "a-token-in-a-variable"
    try:
        raise ValueError(len(token))
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "a-token-in" not in stream.getvalue()
    assert not output.getvalue()
