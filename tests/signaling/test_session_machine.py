"""Sessions and messages against the plainest model: whatever breaks, everybody has every message once and in order."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from fakes import FakeNode
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from signaling import protocol
from signaling.app import create_app
from signaling.commands import carry_out
from signaling.config import load
from signaling.keys import CHAT, DATABASE, DIRECTORY, SESSIONS
from signaling.rooms import Member
from signaling.session import Session
from signaling.tokens import Grants

PEOPLE = 3
MAX_EVENTS = 6  # of a session's log: soon too long

T = TypeVar("T")


class Connection:
    """Carries nothing by itself: the machine looks into the log."""

    def wake(self, *, urgent: bool) -> None:
        pass

    def send_now(self, event: protocol.Event) -> None:
        pass

    def suspend(self) -> None:
        pass

    def finish(self, reason: protocol.CloseReason) -> None:
        raise AssertionError(f"no session ends here, and this one did: {reason}")


@dataclass
class Client:
    """What a client remembers, and the connection that it has at the moment."""

    secret: str = ""
    seq: int = 0
    complete: int = 0
    heard: list[str] = field(default_factory=list)
    unanswered: dict[int, protocol.Send] = field(default_factory=dict)
    next_id: int = 1
    connection: Connection | None = None


class SessionMachine(RuleBasedStateMachine):
    """A server with a room, people in it, and all that can happen to their connections and to the server."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="clarion-machine-"))
        self.lives = 0
        self.said: list[str] = []
        self.runner = self.run(self.start())
        self.clients = [Client() for _ in range(PEOPLE)]
        for client in self.clients:
            self.inside(lambda client=client: self.enter(client))
        for client in self.clients:
            self.receive(client, 2 * PEOPLE)

    # --- what happens ---------------------------------------------------------------------------------------

    @rule(who=st.integers(0, PEOPLE - 1), count=st.integers(1, 8))
    def write(self, who: int, count: int) -> None:
        client = self.clients[who]
        for _ in range(count):
            words = f"{len(self.said)} of {who}"
            self.said.append(words)
            command = protocol.Send(id=client.next_id, key=f"key {words}", content=protocol.Text(words))
            client.unanswered[client.next_id] = command
            client.next_id += 1
            if client.connection:
                self.post(client, command)

    @rule(who=st.integers(0, PEOPLE - 1))
    def repeat(self, who: int) -> None:
        client = self.clients[who]
        if client.connection:
            for command in list(client.unanswered.values()):
                self.post(client, command)

    @rule(who=st.integers(0, PEOPLE - 1))
    def under_another_number(self, who: int) -> None:
        client = self.clients[who]
        if client.connection:
            for command in list(client.unanswered.values()):
                client.next_id += 1
                again = protocol.Send(id=client.next_id - 1, key=command.key, content=command.content)
                self.post(client, again)

    @rule(who=st.integers(0, PEOPLE - 1), count=st.integers(1, 10))
    def receive_some(self, who: int, count: int) -> None:
        self.receive(self.clients[who], count)

    @rule(who=st.integers(0, PEOPLE - 1), back=st.integers(0, 3))
    def acknowledge(self, who: int, back: int) -> None:
        client = self.clients[who]
        if client.connection:
            self.session(client).acknowledge(max(0, client.seq - back))

    @rule(who=st.integers(0, PEOPLE - 1))
    def lose_the_connection(self, who: int) -> None:
        client = self.clients[who]
        if client.connection:
            connection, client.connection = client.connection, None
            self.inside(lambda: self.app[SESSIONS].detach(self.session(client), connection))

    @rule(who=st.integers(0, PEOPLE - 1))
    def come_back(self, who: int) -> None:
        client = self.clients[who]
        client.connection = None
        session = self.session(client)
        greeting = self.app[SESSIONS].resume(session, client.seq)
        self.inside(lambda: self.connect(client, session))
        for number, command in list(client.unanswered.items()):
            if number > greeting.last_id:
                self.post(client, command)

    @rule()
    def kill_the_server(self) -> None:
        self.run(self.crash())
        for client in self.clients:
            client.connection = None

    def teardown(self) -> None:
        try:
            for who in range(PEOPLE):
                self.come_back(who)
            for client in self.clients:
                while self.receive(client, 100):
                    self.session(client).acknowledge(client.seq)
                assert not client.unanswered
            first = self.clients[0].heard
            assert sorted(first) == sorted(self.said), "everything once"
            assert all(client.heard == first for client in self.clients), "in one order"
            for who in range(PEOPLE):
                mine = [words for words in first if words.endswith(f" of {who}")]
                assert mine == [words for words in self.said if words.endswith(f" of {who}")]
        finally:
            self.run(self.runner.cleanup())
            self.loop.close()
            shutil.rmtree(self.directory)

    # --- client and server ----------------------------------------------------------------------------------

    def receive(self, client: Client, count: int) -> int:
        """Take up to `count` events from the log; how many there were."""
        if not client.connection:
            return 0
        session, taken = self.session(client), 0
        self.app[SESSIONS].renew(session)
        sent = max(client.seq, session.log.acknowledged)
        while taken < count and (text := session.log.get(sent + taken + 1)) is not None:
            taken += 1
            message = json.loads(text)
            client.seq = message["seq"]
            if message["type"] in {"reply", "error"}:
                assert message["type"] == "reply", message
                answered = client.unanswered.get(message["re"])
                for number, command in list(client.unanswered.items()):
                    if answered and command.key == answered.key:
                        del client.unanswered[number]
            elif message["type"] == "message":
                self.hear(client, message["message"])
            elif message["type"] == "joined":
                self.catch_up(client)
        return taken

    def hear(self, client: Client, message: dict[str, Any]) -> None:
        if message["number"] > client.complete:
            client.complete = message["number"]
            client.heard.append(message["content"]["text"])

    def catch_up(self, client: Client) -> None:
        more = True
        while more:
            command = protocol.History(id=0, after=client.complete, limit=3)
            reply = self.run(self.app[CHAT].history(self.member(client), command))
            for message in reply.messages:
                self.hear(client, json.loads(protocol.encode(protocol.MessageSent(message=message)))["message"])
            more = reply.more

    def post(self, client: Client, command: protocol.Send) -> None:
        """Send a command; a client with many answers to come acknowledges those that have come first."""
        if len(self.session(client).log._answers) >= MAX_EVENTS - 1:
            self.receive(client, 100)
            self.session(client).acknowledge(client.seq)
        self.run(self.take(client, command))

    async def take(self, client: Client, command: protocol.Send) -> None:
        session = self.session(client)
        if session.is_new(command.id):
            reply = carry_out(session.party, command, self.app[CHAT])
            session.emit(reply if isinstance(reply, protocol.Reply) else await reply)

    def enter(self, client: Client) -> None:
        member = self.app[DIRECTORY].join("Guest", grants=Grants("hall"), kind="python")
        session = self.app[SESSIONS].open(member)
        client.secret, client.seq = json.loads(session.log.get(1) or "")["session"], 1
        self.connect(client, session)

    def connect(self, client: Client, session: Session) -> None:
        client.connection = Connection()
        session.connection = None  # a connection that is taken over is told: here nobody listens any more
        self.app[SESSIONS].attach(session, client.connection)
        session.log._max_events = MAX_EVENTS

    def session(self, client: Client) -> Session:
        session = self.app[SESSIONS].find(client.secret)
        assert session is not None
        return session

    def member(self, client: Client) -> Member:
        party = self.session(client).party
        assert isinstance(party, Member)
        return party

    async def start(self) -> web.AppRunner:
        self.lives += 1
        loaded = load({"data_dir": self.directory / str(self.lives), "messages_per_second": 1e6})
        self.app = create_app(loaded, start_node=FakeNode.start)  # type: ignore[arg-type]
        runner = web.AppRunner(self.app)
        await runner.setup()
        self.app[DATABASE]._writer.execute("PRAGMA synchronous=OFF")  # no power is lost here
        return runner

    async def crash(self) -> None:
        """What is on the disk now is what the next server finds; the one before goes on where nobody sees it."""
        await self.app[DATABASE].write(lambda sql: None)
        before, old = self.directory / str(self.lives), self.runner
        shutil.copytree(
            before, self.directory / str(self.lives + 1), ignore=shutil.ignore_patterns("*.lock", "*-shm")
        )
        for client in self.clients:
            self.session(client).connection = None
        self.runner = await self.start()
        await old.cleanup()

    def inside(self, work: Callable[[], T]) -> T:
        """Run plain code that wants a running loop."""

        async def run() -> T:
            return work()

        return self.run(run())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


TestSessions = SessionMachine.TestCase
TestSessions.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)

