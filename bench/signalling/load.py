"""What the server takes for messages without faults, and for connections on which nothing happens."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from dataclasses import dataclass

from bench.signalling.server import Server, serving
from bench.signalling.wire import Wire

ACK_EVERY = 16  # events
JOINING = 100  # connections that join at the same time
SETTLE_SECONDS = 3.0
_SEQ = re.compile(rb'"seq":(\d+)')


@dataclass(slots=True)
class Rate:
    """How fast messages go."""

    offered: float
    """Messages sent a second."""
    delivered: float
    """Deliveries a second."""
    p50: float
    """Seconds from `send` to a delivery."""
    p99: float
    server_cpu: float
    """Cores."""


@dataclass(slots=True)
class Idle:
    """What connections take on which nothing happens."""

    connections: int
    bytes_each: float
    """Memory of the server for each, resident."""
    joins_per_second: float
    server_cpu: float
    """Cores, while nothing happens but pings."""


class _Visitor:
    """Joins a room, acknowledges and notes when messages come."""

    def __init__(self, delays: list[float]) -> None:
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wire: Wire | None = None
        self.sent = 0
        self._delays = delays
        self._seq = self._acked = 0

    async def enter(self, port: int, room: str, host: str = "127.0.0.1") -> None:
        self.wire = await Wire.connect(port, self._heard, host)
        self.wire.send(type="join", room=room, name="Visitor")
        await self.joined
        self._acknowledge()

    def say(self, index: int) -> None:
        assert self.wire is not None
        self.sent += 1
        text = f"~{time.monotonic():.6f}~"
        self.wire.send(type="send", id=self.sent, key=f"{index}-{self.sent}", content={"kind": "text", "text": text})

    def _heard(self, text: bytes) -> None:
        if (found := _SEQ.search(text)) is not None:
            self._seq = int(found[1])
            if self._seq - self._acked >= ACK_EVERY:
                self._acknowledge()
        if b'"type":"message"' in text:
            self._delays.append(time.monotonic() - float(text.split(b"~")[1]))
        elif not self.joined.done():
            if b'"type":"joined"' in text:
                self.joined.set_result(None)
            else:
                self.joined.set_exception(RuntimeError(text.decode()))

    def _acknowledge(self) -> None:
        assert self.wire is not None
        self._acked = self._seq
        self.wire.send(type="ack", seq=self._seq)


async def messages(*, rooms: int, people: int, per_second: float, seconds: float) -> Rate:
    """All of `rooms` times `people` send `per_second` each for a while."""
    limits = {"max_rooms": rooms + 1, "max_participants": rooms * people + 1}
    async with serving(messages_per_second=10_000, **limits) as server:
        delays: list[float] = []
        visitors = [_Visitor(delays) for _ in range(rooms * people)]
        await _enter(visitors, server, people)
        cpu, began = server.cpu(), time.monotonic()

        async def talk(index: int, visitor: _Visitor) -> None:
            due = began + index / len(visitors) / per_second
            while due < began + seconds:
                await asyncio.sleep(due - time.monotonic())
                visitor.say(index)
                due += 1 / per_second

        await asyncio.gather(*(talk(index, visitor) for index, visitor in enumerate(visitors)))
        expected = sum(visitor.sent for visitor in visitors) * people
        async with asyncio.timeout(60):
            while len(delays) < expected:  # noqa: ASYNC110 - nothing else runs here
                await asyncio.sleep(0.01)
        took = time.monotonic() - began
        used = (server.cpu() - cpu) / took
        _leave(visitors)
        delays.sort()
        return Rate(
            offered=expected / people / took, delivered=expected / took,
            p50=delays[len(delays) // 2], p99=delays[len(delays) * 99 // 100], server_cpu=used,
        )


async def idle(*, connections: int, people: int, seconds: float) -> Idle:
    """`connections` in rooms of `people`, none of whom does anything."""
    raise_file_limit(2 * connections + 1000)
    limits = {"max_rooms": connections, "max_participants": connections + people + 1}
    async with serving(**limits) as server:
        warm = [_Visitor([]) for _ in range(people)]
        await _enter(warm, server, people)
        before, began = server.resident(), time.monotonic()
        visitors = [_Visitor([]) for _ in range(connections)]
        await _enter(visitors, server, people)
        joined = time.monotonic() - began
        await asyncio.sleep(SETTLE_SECONDS)
        after, cpu, began = server.resident(), server.cpu(), time.monotonic()
        await asyncio.sleep(seconds)
        used = (server.cpu() - cpu) / (time.monotonic() - began)
        if lost := sum(visitor.wire is None or visitor.wire.closed for visitor in visitors):
            raise RuntimeError(f"{lost} idle connections were lost")
        _leave(visitors + warm)
        return Idle(connections, (after - before) / connections, connections / joined, used)


async def _enter(visitors: list[_Visitor], server: Server, people: int) -> None:
    gate = asyncio.Semaphore(JOINING)

    async def enter(index: int, visitor: _Visitor) -> None:
        async with gate:
            await visitor.enter(server.port, f"room-{index // people}")

    await asyncio.gather(*(enter(index, visitor) for index, visitor in enumerate(visitors)))


def _leave(visitors: list[_Visitor]) -> None:
    for visitor in visitors:
        if visitor.wire is not None:
            visitor.wire.close()


def raise_file_limit(wanted: int) -> None:
    """Allow this process, and those it starts, so many open files. Raises OSError or ValueError where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
