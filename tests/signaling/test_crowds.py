"""What people are told of many who come and go, over the WebSocket."""

from __future__ import annotations

import pytest
from conftest import Serve
from structlog.testing import capture_logs

from signaling import websocket


async def test_whom_a_crowd_brings_waits_for_the_next_writing_and_what_is_urgent_takes_it_along(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "GATHER_SECONDS", 3600.0)
    service = await serve()
    ann = await service.join("Ann")
    others = [await service.join(f"Guest {i}") for i in range(4)]
    first = await ann.receive_type("participant-joined")  # at once: it brings no crowd yet
    with pytest.raises(TimeoutError):
        await ann.socket.receive(timeout=0.05)
    await ann.send(type="ping", id=1)
    rest = [await ann.receive_type("participant-joined") for _ in range(3)]
    assert (await ann.receive_type("reply"))["re"] == 1
    assert [each["participant"]["id"] for each in [first, *rest]] == [each.joined["you"]["id"] for each in others]
    assert [each["seq"] for each in [first, *rest]] == [2, 3, 4, 5]


async def test_a_crowd_is_told_of_without_anything_urgent_and_a_connection_that_ends_meanwhile_is_no_fault(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "GATHER_SECONDS", 0.05)
    service = await serve()
    ann, bob = await service.join("Ann"), await service.join("Bob")
    with capture_logs() as logs:
        for i in range(3):
            await service.join(f"Guest {i}")
        await bob.socket.close()
        assert [(await ann.receive_type("participant-joined"))["seq"] for _ in range(4)] == [2, 3, 4, 5]
        await ann.until("participant-changed")
    assert not [each for each in logs if each["log_level"] == "error"]
