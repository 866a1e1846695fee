from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from stock_peer import Stock


@pytest.fixture
async def stock() -> AsyncIterator[Callable[..., Stock]]:
    peers: list[Stock] = []
    before = asyncio.all_tasks()

    def build(**options: Any) -> Stock:
        peers.append(Stock(**options))
        return peers[-1]

    yield build
    for peer in peers:
        await peer.stop()
    for _ in range(3):  # aiortc's cancelled tasks and flushes end on the next turns of the loop
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks outlive stop(): {left}"
