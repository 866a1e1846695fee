"""The client's WebSocket against a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from rtc.client import CallError, JoinError, join, signalling
from rtc.client import protocol as client
from rtc.client.signalling import Signalling, websocket_url
from signaling import protocol as server

Handler = Callable[[web.WebSocketResponse], Awaitable[None]]
ME = server.Participant(id="me", name="Ada")
JOINED = server.Joined(
    seq=1, room="r", session="secret", you=ME, participants=(), permissions=server.Permissions()
)


class FakeServer:
    """Runs one handler per connection, in order; the last serves all that follow."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []
        self.connections = 0
        self.lost_handshakes = 0
        """So many connections to come are never answered."""
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        self.http = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.http.make_url("/"))

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        if self.lost_handshakes:
            self.lost_handshakes -= 1
            await asyncio.Event().wait()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        handler = self.handlers[min(self.connections, len(self.handlers) - 1)]
        self.connections += 1
        await handler(socket)
        await socket.close()
        return socket


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    await fake.http.start_server()
    yield fake
    await fake.http.close()


async def read(socket: web.WebSocketResponse) -> server.ClientMessage:
    return server.decode_client(await socket.receive_str())


def answering(*messages: server.Message) -> Handler:
    async def handler(socket: web.WebSocketResponse) -> None:
        await read(socket)
        for message in messages:
            await socket.send_str(server.encode(message))

    return handler


class Session:
    """A Signalling with everything it reports."""

    def __init__(self, url: str) -> None:
        self.messages: list[client.ServerMessage] = []
        self.lost: list[bool] = []
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.signalling = Signalling(
            url, handle=self.messages.append, lost=self.lost.append, ended=self.ended.set_result
        )

    async def join(self) -> None:
        await self.signalling.join(room="r", name="Ada", token="", seconds=5)


async def refusal(url: str, *, seconds: float = 5.0) -> JoinError:
    with pytest.raises(JoinError) as caught:
        async with join(url, "r", name="Ada", join_seconds=seconds):
            pytest.fail("the call should have been refused")
    return caught.value


@pytest.mark.parametrize("code", ["room-full", "server-full", "unauthorized", "not-permitted"])
async def test_a_refusal_of_the_server_is_an_error_with_its_code_and_sentence(
    fake: FakeServer, code: server.ErrorCode
) -> None:
    fake.handlers = [answering(server.Error(code=code, message="No, and here is why."))]
    problem = await refusal(fake.url)
    assert (problem.code, problem.message) == (code, "No, and here is why.")


async def test_no_server_is_unreachable() -> None:
    problem = await refusal(f"http://127.0.0.1:{unused_port()}")
    assert problem.code == "unreachable"
    assert "cannot reach" in problem.message


async def test_something_that_is_no_clarion_server_is_told_apart(fake: FakeServer) -> None:
    async def nonsense(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str("hello")

    async def goodbye(socket: web.WebSocketResponse) -> None:
        await read(socket)

    fake.handlers = [nonsense]
    assert (await refusal(fake.url)).code == "bad-message"
    fake.handlers = [goodbye]
    assert (await refusal(fake.url)).code == "unreachable"
    fake.handlers = [answering(server.Resumed(last_id=0))]
    assert (await refusal(fake.url)).code == "bad-message"


async def test_a_page_without_websocket_is_unreachable_with_its_status() -> None:
    empty = TestServer(web.Application())
    await empty.start_server()
    try:
        problem = await refusal(str(empty.make_url("/")))
        assert problem.code == "unreachable"
        assert "404" in problem.message
    finally:
        await empty.close()


async def test_a_silent_server_times_out(fake: FakeServer) -> None:
    async def silent(socket: web.WebSocketResponse) -> None:
        async for _ in socket:
            pass

    fake.handlers = [silent]
    assert (await refusal(fake.url, seconds=0.3)).code == "timeout"


async def test_a_handshake_that_is_lost_does_not_hold_up_the_next_one(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signalling, "HEAD_START_SECONDS", 0.05)

    async def welcome(socket: web.WebSocketResponse) -> None:
        await answering(JOINED)(socket)
        await socket.receive()

    fake.handlers = [welcome]
    fake.lost_handshakes = 2
    session = Session(fake.url)
    await session.join()
    assert (fake.lost_handshakes, fake.connections) == (0, 1)
    await session.signalling.close()


async def test_the_offer_does_not_wait_for_the_answer_to_join(fake: FakeServer) -> None:
    async def wait_for_both(socket: web.WebSocketResponse) -> None:
        assert isinstance(await read(socket), server.Join)
        offer = await read(socket)
        assert isinstance(offer, server.Offer)
        await socket.send_str(server.encode(JOINED))
        await socket.send_str(server.encode(server.Error(re=offer.id, code="bad-sdp", message="Too odd.")))
        await socket.receive()

    fake.handlers = [wait_for_both]
    assert (await refusal(fake.url)).code == "bad-sdp"


async def test_a_refused_offer_is_a_join_error(fake: FakeServer) -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(JOINED))
        offer = await read(socket)
        assert isinstance(offer, server.Offer)
        await socket.send_str(server.encode(server.Error(re=offer.id, code="bad-sdp", message="Too odd.")))
        await socket.receive()

    fake.handlers = [refuse]
    assert (await refusal(fake.url)).code == "bad-sdp"


async def test_an_answer_that_cannot_be_used_is_a_join_error(fake: FakeServer) -> None:
    async def answer(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(JOINED))
        offer = await read(socket)
        assert isinstance(offer, server.Offer)
        await socket.send_str(server.encode(server.Reply(re=offer.id, sdp="v=0\r\n")))
        await socket.receive()

    fake.handlers = [answer]
    assert (await refusal(fake.url)).code == "no-media"


@pytest.mark.parametrize("url", ["", "host", "ftp://host", "http://", "http://host:port/", "http://[::1"])
async def test_a_bad_address_is_refused_with_a_sentence(url: str) -> None:
    assert (await refusal(url)).code == "bad-address"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8080", "ws://host:8080/ws"),
        ("https://host/r/room", "wss://host/ws"),
        ("http://[::1]:8080/", "ws://[::1]:8080/ws"),
    ],
)
def test_the_websocket_is_on_the_same_host(url: str, expected: str) -> None:
    assert websocket_url(url) == expected


async def test_a_command_lost_with_the_connection_is_repeated_under_its_number_and_events_come_once(
    fake: FakeServer,
) -> None:
    repeated: list[server.ClientMessage] = []

    async def first(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(JOINED))
        away = server.ParticipantChanged(seq=2, participant="x", connected=False)
        await socket.send_str(server.encode(away))
        await read(socket)  # the command: swallowed, and the connection breaks

    async def second(socket: web.WebSocketResponse) -> None:
        resume = await read(socket)
        repeated.append(resume)
        await socket.send_str(server.encode(server.Resumed(last_id=0)))
        for seq in (2, 3):
            event = server.ParticipantChanged(seq=seq, participant="x", connected=True)
            await socket.send_str(server.encode(event))
        command = await read(socket)
        repeated.append(command)
        assert isinstance(command, server.Watch)
        await socket.send_str(server.encode(server.Reply(re=command.id)))
        await socket.receive()

    fake.handlers = [first, second]
    session = Session(fake.url)
    await session.join()
    await session.signalling.command(lambda number: client.Watch(id=number, publications=("p",)))
    assert repeated == [server.Resume(session="secret", ack=2), server.Watch(id=1, publications=("p",))]
    assert session.lost == [True, False]
    assert [message.seq for message in session.messages] == [2, 3]
    await session.signalling.close()


async def test_a_join_whose_answer_is_lost_is_repeated_as_the_same_join(fake: FakeServer) -> None:
    joins: list[server.ClientMessage] = []

    async def breaks(socket: web.WebSocketResponse) -> None:
        joins.append(await read(socket))

    async def stands(socket: web.WebSocketResponse) -> None:
        await breaks(socket)
        await socket.send_str(server.encode(JOINED))
        await socket.receive()

    fake.handlers = [breaks, breaks, stands]
    session = Session(fake.url)
    await session.join()
    first, second, third = joins
    assert first == second == third
    assert isinstance(first, server.Join)
    assert len(first.session) >= 32
    await session.signalling.close()


async def test_who_waits_in_the_lobby_waits_on_through_a_restart(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signalling, "BACKOFF_SECONDS", (0.0, 0.01))

    async def waits(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(server.Waiting()))

    async def lets_in(socket: web.WebSocketResponse) -> None:
        await waits(socket)
        await socket.send_str(server.encode(JOINED))
        await socket.receive()

    async def breaks(socket: web.WebSocketResponse) -> None:
        await read(socket)

    fake.handlers = [waits, *[breaks] * 2 * signalling.FIRST_ATTEMPTS, lets_in]
    session = Session(fake.url)
    await session.join()
    assert fake.connections == 2 * signalling.FIRST_ATTEMPTS + 2
    await session.signalling.close()


async def test_a_snapshot_of_a_restarted_server_whose_clock_was_set_back_is_not_taken_for_a_repetition(
    fake: FakeServer,
) -> None:
    acknowledged: list[server.ClientMessage] = []

    async def first(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(msgspec.structs.replace(JOINED, seq=1_000_000)))

    async def second(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(server.Resumed(last_id=0, restarted=True)))
        await socket.send_str(server.encode(msgspec.structs.replace(JOINED, seq=500, snapshot=True, session="")))
        away = server.ParticipantChanged(seq=501, participant="x", connected=False)
        await socket.send_str(server.encode(away))
        acknowledged.append(await read(socket))
        await socket.send_str(server.encode(server.Closed(reason="ended")))

    fake.handlers = [first, second]
    session = Session(fake.url)
    await session.join()
    assert await session.ended == "ended"
    assert [message.seq for message in session.messages] == [500, 501]
    assert acknowledged == [server.Ack(seq=501)]
    await session.signalling.close()


def gone(first: server.ErrorCode, *rest: server.Message) -> list[Handler]:
    """A session that is gone when it is to be resumed, and what the next ones are answered."""

    async def stands(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(JOINED))
        await read(socket)

    return [stands, answering(server.Error(code=first, message="Too late.")), *(answering(each) for each in rest)]


async def test_a_session_that_is_gone_fails_what_waits_and_another_begins(fake: FakeServer) -> None:
    repeated: list[server.ClientMessage] = []

    async def another(socket: web.WebSocketResponse) -> None:
        repeated.append(await read(socket))
        await socket.send_str(server.encode(msgspec.structs.replace(JOINED, session="another", seq=5)))
        command = await read(socket)
        assert isinstance(command, server.Watch)
        await socket.send_str(server.encode(server.Reply(re=command.id)))
        await socket.receive()

    busy = server.Error(code="unavailable", message="Not yet.")
    fake.handlers = [*gone("gone", busy), another]
    session = Session(fake.url)
    await session.join()
    with pytest.raises(CallError, match="ended") as failed:
        await session.signalling.command(lambda number: client.Watch(id=number))
    assert failed.value.code == "gone"
    await session.signalling.command(lambda number: client.Watch(id=number))  # waits for the next session
    again = repeated[0]
    assert isinstance(again, server.Join)
    assert (again.room, again.name) == ("r", "Ada")
    assert [message.session for message in session.messages if isinstance(message, client.Joined)] == ["another"]
    assert session.signalling.restarted
    await session.signalling.close()


@pytest.mark.parametrize("handlers", [
    gone("gone", server.Error(code="removed", message="Stay away.")), gone("removed"),
], ids=["in place of the one that has ended", "the session itself"])  # fmt: skip
async def test_who_is_no_longer_let_in_is_told_why(fake: FakeServer, handlers: list[Handler]) -> None:
    fake.handlers = handlers
    session = Session(fake.url)
    await session.join()
    with pytest.raises(CallError, match="ended"):
        await session.signalling.command(lambda number: client.Watch(id=number))
    assert await session.ended == "removed"
    await session.signalling.close()


async def test_the_server_may_end_the_session(fake: FakeServer) -> None:
    fake.handlers = [answering(JOINED, server.Closed(seq=2, reason="removed"))]
    session = Session(fake.url)
    await session.join()
    assert await session.ended == "removed"
    await session.signalling.close()
    assert fake.connections == 1, "a session that was ended is not resumed"


async def test_a_refused_command_raises_and_the_next_one_works(fake: FakeServer) -> None:
    async def handler(socket: web.WebSocketResponse) -> None:
        await read(socket)
        await socket.send_str(server.encode(JOINED))
        first = await read(socket)
        assert isinstance(first, server.Mute)
        refused = server.Error(re=first.id, code="not-found", message="No such thing.")
        await socket.send_str(server.encode(refused))
        second = await read(socket)
        assert isinstance(second, server.Mute)
        await socket.send_str(server.encode(server.Reply(re=second.id)))
        await socket.receive()

    fake.handlers = [handler]
    session = Session(fake.url)
    await session.join()
    with pytest.raises(CallError, match="No such thing") as caught:
        await session.signalling.command(lambda number: client.Mute(id=number, publication="p", muted=True))
    assert caught.value.code == "not-found"
    await session.signalling.command(lambda number: client.Mute(id=number, publication="p", muted=False))
    await session.signalling.close()
