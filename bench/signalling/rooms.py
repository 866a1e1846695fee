"""Rooms full of people who write through bad connections to a server that is killed; each checks what it gets."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from bench.signalling.faults import FaultProxy, Loss
from bench.signalling.server import Server, serving
from bench.signalling.talker import Talker
from rtc.client.messages import MessageStream
from rtc.client.protocol import Text

END_SECONDS = 300.0  # longest wait for the last message
RESTART_SECONDS = 0.5  # a killed server stays away for so long, and the time it takes to start


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens."""

    rooms: int
    talkers: int
    """In each room."""
    messages: int
    """That each of them sends."""
    per_second: float
    """That each sends at most; the next waits for the answer to the one before."""
    mean_life: float | None = None
    """Seconds that a connection lives; None: for ever."""
    loss: float = 0.0
    rtt: float = 0.0
    kills: int = 0
    """How often the server is killed, at even times between the first message and the last."""
    seed: int = 1


@dataclass(slots=True)
class Result:
    """What came of it."""

    expected: int = 0
    """Deliveries: every message to everybody in its room."""
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    seconds: float = 0.0
    reconnects: int = 0
    restarts: int = 0
    snapshots: int = 0
    ended: list[str] = field(default_factory=list)
    """Sessions that ended, and why: there should be none."""
    delays: list[float] = field(default_factory=list)
    """Seconds from `send` to each delivery."""
    catch_ups: list[float] = field(default_factory=list)
    """Seconds from a connection that stands again to having what was missed."""
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Nothing is missing, doubled or out of order, and nobody fell out."""
        return (self.delivered, self.lost, self.doubled, self.disordered, self.ended) == (
            self.expected, 0, 0, 0, [],
        )


async def run(plan: Plan) -> Result:
    """Carry `plan` out with a server of its own."""
    people = plan.rooms * plan.talkers
    # Whose very first connection breaks behind `join` enters again: the place of before stays taken for a while.
    async with serving(
        messages_per_second=1000, resume_seconds=120,
        max_rooms=plan.rooms + 1, max_participants=5 * people, max_participants_per_room=5 * plan.talkers,
    ) as server:
        loss = Loss(plan.loss, plan.rtt, random.Random(plan.seed)) if plan.loss or plan.rtt else None
        proxy = await FaultProxy.start(
            ("127.0.0.1", server.port), mean_life=plan.mean_life, loss=loss, seed=plan.seed
        )
        try:
            return await _run(plan, server, proxy)
        finally:
            await proxy.close()


class _Reader:
    """One talker's check of everything said in its room."""

    def __init__(self, talker: Talker, stream: MessageStream, plan: Plan, result: Result) -> None:
        self.talker = talker
        self.done = asyncio.Event()
        self._stream = stream
        self._plan = plan
        self._result = result
        self._next = [0] * plan.talkers
        self._last = 0
        self._resumed_at: float | None = None
        talker.resumed = self._resumed

    async def read(self) -> None:
        result, plan = self._result, self._plan
        left = plan.talkers * plan.messages
        async for message in self._stream:
            assert isinstance(message.content, Text)
            sender, number, sent_at = message.content.text.split()
            index, count, now = int(sender), int(number), time.monotonic()
            result.delivered += 1
            result.delays.append(now - float(sent_at))
            if count < self._next[index]:
                result.doubled += 1
                continue
            result.lost += count - self._next[index]
            result.disordered += message.number <= self._last
            self._last = message.number
            self._next[index] = count + 1
            left -= 1
            if not left:
                self.done.set()

    def _resumed(self) -> None:
        asyncio.get_running_loop().create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """How long it takes until an answer, which the server sends behind all that was missed."""
        began, reconnects = time.monotonic(), self.talker.reconnects
        await self.talker.settled()
        if self.talker.reconnects == reconnects:  # else it broke again before
            self._result.catch_ups.append(time.monotonic() - began)


async def _run(plan: Plan, server: Server, proxy: FaultProxy) -> Result:
    result = Result(expected=plan.rooms * plan.talkers**2 * plan.messages)
    rooms = [
        [Talker(proxy.url, f"Talker {number}") for number in range(plan.talkers)] for _ in range(plan.rooms)
    ]
    readers: list[_Reader] = []

    async def enter(room: int, talker: Talker) -> None:
        readers.append(_Reader(talker, await talker.join(f"room-{room}"), plan, result))

    await asyncio.gather(*(enter(room, talker) for room, talkers in enumerate(rooms) for talker in talkers))
    began = time.monotonic()
    reading = [asyncio.create_task(reader.read()) for reader in readers]
    writing = [
        asyncio.create_task(_write(talker, number, plan))
        for talkers in rooms for number, talker in enumerate(talkers)
    ]
    for _ in range(plan.kills):
        await asyncio.sleep(plan.messages / plan.per_second / (plan.kills + 1))
        await server.kill()
        await asyncio.sleep(RESTART_SECONDS)
        await server.start()
    await asyncio.gather(*writing)
    try:
        async with asyncio.timeout(END_SECONDS):
            await asyncio.gather(*(reader.done.wait() for reader in readers))
    except TimeoutError:
        pass  # the result says what is missing
    result.seconds = time.monotonic() - began
    proxy.mean_life = None
    for reader in readers:
        talker = reader.talker
        result.reconnects += talker.reconnects
        result.restarts += talker.restarts
        result.snapshots += talker.snapshots
        if talker.ended:
            result.ended.append(talker.ended)
    await asyncio.gather(*(reader.talker.leave() for reader in readers))
    await asyncio.gather(*reading)
    result.lost = result.expected - result.delivered + result.doubled
    result.faults = dict(proxy.faults)
    return result


async def _write(talker: Talker, index: int, plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    dice = random.Random(plan.seed * 1000 + index)
    due = loop.time() + dice.random() / plan.per_second
    for number in range(plan.messages):
        await asyncio.sleep(due - loop.time())
        await talker.messages.send(Text(f"{index} {number} {time.monotonic()}"))
        due = max(due + 1 / plan.per_second, loop.time())
