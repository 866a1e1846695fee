"""A program that answers: it is rung by another, they talk, and the end of one is the end of the call."""

from __future__ import annotations

import asyncio

import pytest

from bench.people import Tone
from bench.service import service
from rtc.client import CallError, Line, ParticipantLeft, Published, reachable


async def answer(bot: Line) -> list[str]:
    """Decline the first call, take the second, and say who called."""
    callers: list[str] = []
    async for ring in bot.rings():
        callers.append(ring.caller.name)
        if len(callers) == 1:
            await ring.decline()
            continue
        async with ring.accept() as call:
            await call.publish(Tone(440))
            async for event in call.events():
                if isinstance(event, ParticipantLeft):
                    break
        return callers
    return callers


async def test_a_bot_is_rung_declines_and_answers() -> None:
    async with (
        asyncio.timeout(60), service() as server,
        reachable(server.url, name="Bot") as bot, reachable(server.url, name="Ann") as ann,
    ):  # fmt: skip
        answering = asyncio.create_task(answer(bot))
        with pytest.raises(CallError) as refusal:
            async with ann.ring("bot"):
                pytest.fail("the bot had declined")
        assert refusal.value.code == "declined"
        async with ann.ring("bot") as call:
            async for event in call.events():
                if isinstance(event, Published):
                    track = await call.track(event.publication)
                    assert (await track.recv()).pts is not None
                    break
        assert await answering == ["Ann", "Ann"]
        latest, first = await ann.history()
        assert (latest.answered > 0, first.people[0].state) == (True, "declined")
