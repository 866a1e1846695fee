"""What becomes of writes that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger()


def note_failure(what: str) -> Callable[[asyncio.Future[Any]], None]:
    """A callback that logs `what` when a write has failed."""

    def note(done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error(what, why=str(error))

    return note
