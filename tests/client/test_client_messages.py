"""Messages of the Python client: sent until stored, received once and in order, also after a restart of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp.test_utils import TestServer
from test_client_call import hear, remote

from bench.people import Tone
from bench.signalling.server import serving
from rtc.client import Bytes, CallError, Json, Line, Message, Reaction, Text, join, protocol, reachable
from rtc.client.messages import MAX_UNREAD, Messages
from signaling.app import create_app
from signaling.config import Settings

SECONDS = 20.0


@pytest.fixture
async def server() -> AsyncIterator[str]:
    http = TestServer(create_app(Settings(http_port=0, udp_port=0, data_dir=None)))
    await http.start_server()
    yield str(http.make_url("/")).rstrip("/")
    await http.close()


def said(number: int, text: str = "x") -> Message:
    return Message(number=number, key=str(number), at=0.0, sender="a", name="Ann", content=Text(text))


class Room:
    """Answers `history` and `send` as a server would, after whatever `trouble` lists."""

    def __init__(self, *numbers: int) -> None:
        self.stored = [said(number) for number in numbers]
        self.trouble: list[CallError] = []
        self.asked: list[protocol.Command] = []
        self.before_answer: Callable[[], None] = lambda: None

    async def command(self, make: Callable[[int], protocol.Command]) -> protocol.Reply:
        command = make(1)
        self.asked.append(command)
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble.pop(0)
        if isinstance(command, protocol.Send):
            return protocol.Reply(re=1, number=len(self.stored) + 1)
        assert isinstance(command, protocol.History)
        after, before = command.after or 0, command.before or 10**9
        found = [message for message in self.stored if after < message.number < before]
        page = found[: command.limit] if command.before is None else found[-command.limit :]
        self.before_answer()
        return protocol.Reply(re=1, messages=tuple(page), more=len(found) > len(page))


async def numbers(stream: AsyncIterator[Message], count: int) -> list[int]:
    async with asyncio.timeout(SECONDS):
        return [(await anext(stream)).number for _ in range(count)]


async def test_what_was_missed_comes_before_what_comes_now_and_nothing_twice() -> None:
    room = Room(*range(1, 451))
    messages = Messages(room.command)
    messages.joined(3)
    stream = messages.stream(history=0)
    messages.receive(said(4))
    messages.behind(449)
    messages.receive(said(450))
    assert await numbers(stream, 447) == list(range(4, 451))
    room.stored.append(said(453))
    messages.receive(said(450))
    messages.receive(said(453))
    assert await numbers(stream, 1) == [453]


async def test_a_message_that_comes_while_a_page_is_read_is_not_lost() -> None:
    room = Room(1, 2)
    messages = Messages(room.command)
    messages.joined(0)
    stream = messages.stream(history=0)

    def arrives() -> None:
        room.before_answer = lambda: None
        room.stored.append(said(5))
        messages.receive(said(5))

    room.before_answer = arrives
    messages.behind(4)
    assert await numbers(stream, 3) == [1, 2, 5]


async def test_a_failed_question_for_missed_messages_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtc.client.messages.RETRY_SECONDS", 0.001)
    room = Room(1, 2)
    room.trouble = [CallError("unavailable", ""), CallError("timeout", "")]
    messages = Messages(room.command)
    messages.joined(0)
    stream = messages.stream(history=0)
    messages.behind(2)
    assert await numbers(stream, 2) == [1, 2]


async def test_a_server_that_forgot_everything_is_followed_from_its_new_numbers() -> None:
    room = Room(1, 2)
    messages = Messages(room.command)
    messages.joined(700)
    stream = messages.stream(history=0)
    messages.behind(2)
    assert await numbers(stream, 2) == [1, 2]


async def test_history_comes_first_in_pages_and_in_order() -> None:
    room = Room(*range(1, 301))
    messages = Messages(room.command)
    messages.joined(300)
    stream = messages.stream(history=250)
    messages.receive(said(301))
    assert await numbers(stream, 251) == list(range(51, 302))


async def test_history_is_not_lost_with_a_wait_that_is_given_up() -> None:
    room = Room(1, 2)
    messages = Messages(room.command)
    messages.joined(2)
    stream = messages.stream(history=2)
    messages.receive(said(3))
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await numbers(stream, 3) == [1, 2, 3]


async def test_a_message_is_sent_under_one_key_until_it_is_stored() -> None:
    room = Room()
    room.trouble = [
        CallError("rate-limited", "", retry_after=0.001), CallError("gone", "", retry_after=0.001),
        CallError("unavailable", "", retry_after=0.001), CallError("timeout", "", retry_after=0.001),
    ]
    assert await Messages(room.command).send(Text("hello")) == 1
    assert len(room.asked) == 5
    assert len({command.key for command in room.asked if isinstance(command, protocol.Send)}) == 1


async def test_a_refusal_that_stays_is_raised() -> None:
    room = Room()
    room.trouble = [CallError("too-large", "No.")]
    with pytest.raises(CallError, match="No"):
        await Messages(room.command).send(Text("hello"))
    assert len(room.asked) == 1


async def test_a_program_that_does_not_read_is_told_and_takes_no_memory() -> None:
    messages = Messages(Room().command)
    messages.joined(0)
    stream = messages.stream(history=0)
    for number in range(1, MAX_UNREAD + 3):
        messages.receive(said(number))
    with pytest.raises(CallError, match="read"):
        await anext(stream)


async def test_streams_end_with_the_call() -> None:
    messages = Messages(Room().command)
    stream = messages.stream(history=0)
    messages.joined(0)
    messages.receive(said(1))
    messages.end()
    assert [message.number async for message in stream] == [1]
    assert [message async for message in messages.stream(history=0)] == []


async def test_programs_talk_react_and_send_data(server: str) -> None:
    async with join(server, "r", name="Ada") as ada, join(server, "r", name="Grace") as grace:
        heard = grace.messages()
        number = await ada.send("hello")
        await ada.react("👍", message=number)
        await ada.send({"yes": 3}, topic="poll")
        await ada.send(b"\x00\xff", topic="cursor", to=grace.id)
        contents = [(await anext(heard)).content for _ in range(4)]
        assert contents == [
            Text("hello"), Reaction("👍", message=number), Json("poll", {"yes": 3}), Bytes("cursor", b"\x00\xff"),
        ]
        async with join(server, "r", name="Late") as late:
            assert await numbers(late.messages(history=10), 3) == [1, 2, 3], "what was for Grace alone is not shown"
            with pytest.raises(CallError) as refused:
                await late.send("x", to="nobody")
            assert refused.value.code == "not-found"
        with pytest.raises(CallError, match="topic"):
            await ada.send(b"bytes")


async def test_after_kill_9_of_the_server_the_call_goes_on_by_itself() -> None:
    async with serving() as server:
        url = f"http://127.0.0.1:{server.port}"
        async with join(url, "r", name="Ada") as ada, join(url, "r", name="Grace") as grace:
            heard = grace.messages()
            await ada.publish(Tone(440))
            await hear(await remote(grace, "microphone"), 440)
            before = await ada.send("before")

            await server.kill()
            waiting = asyncio.create_task(ada.send("while it is away"))
            await server.start()

            assert await numbers(heard, 2) == [before, before + 1]
            await waiting

            async def heard_again() -> None:
                await hear(await remote(grace, "microphone"), 440)

            await _until_done(heard_again)
            assert [participant.name for participant in grace.participants.values()] == ["Ada"]
            assert ada.id in grace.participants, "the same participant, not another"


async def test_a_server_that_has_forgotten_everything_is_entered_again_and_rings_again() -> None:
    async with serving() as server:
        url = f"http://127.0.0.1:{server.port}"
        async with (
            join(url, "r", name="Ada") as ada, join(url, "r", name="Grace") as grace,
            reachable(url, name="Bot") as bot, reachable(url, name="Ann") as ann,
        ):  # fmt: skip
            await ada.publish(Tone(440))
            await hear(await remote(grace, "microphone"), 440)
            ringing = asyncio.create_task(anext(bot.rings()))
            before, calling = ada.id, asyncio.create_task(_ring(ann, "bot"))
            await ringing

            await server.kill(forget=True)
            await server.start()

            assert await calling in {"offline", "gone"}, "the call that rang is not waited for"

            async def heard_again() -> None:
                await hear(await remote(grace, "microphone"), 440)

            await _until_done(heard_again)
            assert [participant.name for participant in grace.participants.values()] == ["Ada"]
            assert ada.id in grace.participants
            assert ada.id != before
            assert await ada.send("and goes on") == 1

            async with asyncio.timeout(SECONDS):
                assert (await ann.until_available("bot")).name == "Bot"
                calling = asyncio.create_task(_ring(ann, "bot"))
                await (await anext(bot.rings())).decline()
                assert await calling == "declined"


async def test_who_is_in_a_call_or_wants_no_call_is_busy_also_after_the_server_was_killed() -> None:
    async with serving() as server:
        url = f"http://127.0.0.1:{server.port}"
        async with (
            asyncio.timeout(3 * SECONDS),
            reachable(url, name="Bo") as bo, reachable(url, name="Ann") as ann, reachable(url, name="Cy") as cy,
        ):  # fmt: skip
            await cy.set_busy(True)

            listening = asyncio.Event()

            async def answer() -> None:
                async with (await anext(bo.rings())).accept() as call:
                    messages = call.messages()
                    listening.set()
                    await anext(messages)

            answering = asyncio.create_task(answer())
            async with ann.ring("bo") as call:
                await server.kill()
                await server.start()
                await _until_presence(ann, bo="busy", cy="busy")
                await listening.wait()
                await call.send("goodbye")
                await answering
                await ann.until_available("bo")
            await _until_presence(bo, ann="available", cy="busy")


async def _until_presence(line: Line, **wanted: str) -> None:
    def shown() -> dict[str, str]:
        return {person: contact.presence for person, contact in line.contacts.items() if person in wanted}

    while shown() != wanted:  # noqa: ASYNC110 - for a state that may pass through others
        await asyncio.sleep(0.01)


async def _ring(line: Line, person: str) -> str:
    """What comes of a call that nobody accepts."""
    with pytest.raises(CallError) as refusal:
        async with line.ring(person):
            pytest.fail("nobody has accepted")
    return refusal.value.code


async def _until_done(attempt: Callable[[], Awaitable[None]]) -> None:
    """Try until it works: the track of before the restart ends on the way."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await attempt()
            except Exception:
                await asyncio.sleep(0.05)
