"""A proxy for TCP whose connections break in the ways that connections break."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

from bench.relay import Address

CHUNK = 65536  # bytes read at a time
FAULTS = ("cut", "stall", "half-close up", "half-close down", "late")
STALL_SECONDS = 12.0  # then the silent connection is gone for good
LATE_SECONDS = (0.2, 0.8)  # what a late connection adds to each chunk, until it is cut
RTO_SECONDS = 0.4  # TCP's first retransmission timeout at a round trip of 200 ms (RFC 6298, Linux' minimum)
SYN_SECONDS = 1.0  # the same for a handshake
MAX_RETRIES = 6  # losses in a row after which the connection is reset


class Loss:
    """How TCP shows that packets are lost: what is sent waits for its retransmissions, and all behind it as well."""

    def __init__(self, chance: float, rtt: float, dice: random.Random) -> None:
        self.chance = chance
        self.rtt = rtt
        self._dice = dice

    def handshake(self) -> float:
        """Seconds until a connection stands: SYN and SYN-ACK have to arrive."""
        waited, timeout = 0.0, SYN_SECONDS
        while self._dice.random() > (1 - self.chance) ** 2:
            waited, timeout = waited + timeout, 2 * timeout
        return waited + self.rtt

    def transfer(self) -> float | None:
        """Seconds on the way of one chunk; None: the connection breaks."""
        waited, timeout = 0.0, RTO_SECONDS
        for _ in range(MAX_RETRIES):
            if self._dice.random() > self.chance:
                return waited + self.rtt / 2
            waited, timeout = waited + timeout, 2 * timeout
        return None


class FaultProxy:
    """Passes connections on to `to`, each for a random time and then into a random fault; made by `start`."""

    def __init__(self, to: Address, *, mean_life: float | None, loss: Loss | None, seed: int) -> None:
        self.to = to
        self.mean_life = mean_life
        """Seconds that a connection lives; None: it is left alone. Holds for connections that come from now on."""
        self.faults: Counter[str] = Counter()
        self._loss = loss
        self._dice = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls, to: Address, *, mean_life: float | None = None, loss: Loss | None = None, seed: int = 1
    ) -> FaultProxy:
        """Listen on a free port."""
        proxy = cls(to, mean_life=mean_life, loss=loss, seed=seed)
        proxy._server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0, backlog=1024)
        return proxy

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Break what stands and stop."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer), name="a connection through the faults")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._loss:
                await asyncio.sleep(self._loss.handshake())
            answer, upstream = await asyncio.open_connection(*self.to)
            pipes = (_Pipe(reader, upstream, self._loss), _Pipe(answer, writer, self._loss))
            life = None if self.mean_life is None else self._dice.expovariate(1 / self.mean_life)
            both = asyncio.gather(*(pipe.run() for pipe in pipes))
            try:
                await asyncio.wait_for(asyncio.shield(both), life)
            except TimeoutError:
                await self._break(*pipes)
            finally:
                both.cancel()
                await asyncio.gather(both, return_exceptions=True)
        except OSError:
            pass  # one side is gone, and so the other will be
        finally:
            for one in (writer, upstream):
                if one is not None:
                    one.transport.abort()

    async def _break(self, up: _Pipe, down: _Pipe) -> None:
        fault = self._dice.choice(FAULTS)
        self.faults[fault] += 1
        if fault == "stall":
            up.stalled = down.stalled = True
            await asyncio.sleep(self._dice.uniform(0, STALL_SECONDS))
        elif fault.startswith("half-close"):
            (up if fault.endswith("up") else down).half_close()
            await asyncio.sleep(self._dice.uniform(0, STALL_SECONDS))
        elif fault == "late":
            up.delay = down.delay = self._dice.uniform(*LATE_SECONDS)
            await asyncio.sleep(self._dice.expovariate(1 / 2.0))


class _Pipe:
    """One direction of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loss: Loss | None) -> None:
        self.stalled = False
        self.delay = 0.0
        self._reader = reader
        self._writer = writer
        self._loss = loss

    async def run(self) -> None:
        while data := await self._reader.read(CHUNK):
            delay: float | None = self.delay
            if self._loss and (delay := self._loss.transfer()) is None:
                raise ConnectionResetError
            if delay:
                await asyncio.sleep(delay)
            if self.stalled:
                continue  # it is on its way for ever
            self._writer.write(data)
            await self._writer.drain()
        self.half_close()

    def half_close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
        self.stalled = True
