"""A WebSocket whose client waits in the lobby of a room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMessage, WSMsgType

from signaling import protocol
from signaling.governance.lobby import Place
from signaling.members import RefusedError

MAX_EARLY_MESSAGES = 8
"""What a client sends while it waits is read when it has been let in: its first offer, most likely."""
MAX_EARLY_CHARACTERS = protocol.MAX_MESSAGE_BYTES

GONE = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
"""What is received when nothing will be received any more."""


async def wait_for_host(
    send: Callable[[protocol.Event], Awaitable[None]], receive: Callable[[], Awaitable[WSMessage]], place: Place
) -> list[str] | None:
    """Wait until a host has let the client in, for what it sent meanwhile; None when it went away.

    Raises RefusedError when the host has not let it in.
    """
    await send(protocol.Waiting())
    early: list[str] = []
    while True:
        receiving = asyncio.ensure_future(receive())
        waits: set[asyncio.Future[Any]] = {receiving, place.admitted}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.wait({receiving})
        if not receiving.cancelled():
            received = receiving.result()
            if received.type in GONE:
                return None
            early.append(received.data if isinstance(received.data, str) else "")
            if len(early) > MAX_EARLY_MESSAGES or sum(map(len, early)) > MAX_EARLY_CHARACTERS:
                raise RefusedError("too-large", "Wait until you have been let in.")
        if place.admitted.done():
            if place.admitted.result():
                return early
            raise RefusedError("denied", "You have not been let in.")
