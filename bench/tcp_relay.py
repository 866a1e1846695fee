"""A slow way for TCP: the HTTP and WebSocket beside the UDP of bench.relay."""

from __future__ import annotations

import asyncio
import contextlib

from bench.relay import Address

CHUNK = 65536  # bytes read at a time
QUEUE = 256  # chunks under way in one direction, after which nothing more is read


class TcpRelay:
    """Passes connections on to `to`, each byte `delay` seconds after it came; made by `start`.

    The kernel here completes a client's handshake at once, so that the first bytes of a client wait for the round
    trip which that would have taken as well.
    """

    def __init__(self, to: Address, delay: float) -> None:
        #: Seconds, one way; holds for bytes that come from now on.
        self.delay = delay
        #: Clear: nothing comes through in either direction, not even an end; what was sent waits.
        self.passable = asyncio.Event()
        self.passable.set()
        #: True: connections that come from now on are broken at once.
        self.refusing = False
        self._to = to
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, listen: Address, to: Address, *, delay: float = 0.0) -> TcpRelay:
        """Listen. Raises OSError when the port is taken."""
        relay = cls(to, delay)
        relay._server = await asyncio.start_server(relay._connected, *listen)
        return relay

    @property
    def address(self) -> Address:
        """Where clients connect. Raises RuntimeError after close."""
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the relay is closed")
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def cut(self) -> None:
        """Break every connection that stands; new ones are taken, unless `refusing`."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """Stop; a second time does nothing."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        # A task of asyncio's own would have it print a traceback when cancelled (Python 3.11).
        task = asyncio.create_task(self._accept(reader, writer), name="TCP through the relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            answer, upstream = await asyncio.open_connection(*self._to)
            self._writers.add(upstream)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, upstream, extra=2 * self.delay))
                both.create_task(self._pass_on(answer, writer, extra=0.0))
        except* OSError:  # one side has gone away, and so the other does
            pass
        finally:
            for one in (writer, upstream):
                if one is not None:
                    self._writers.discard(one)
                    one.close()
                    with contextlib.suppress(OSError):
                        await one.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, extra: float) -> None:
        clock = asyncio.get_running_loop().time
        opens = clock() + extra
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE)

        async def read() -> None:
            data = b"-"
            while data:
                data = await reader.read(CHUNK)
                await queue.put((max(clock() + self.delay, opens + self.delay), data))

        async def write() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - clock())
                await self.passable.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

        async with asyncio.TaskGroup() as both:
            both.create_task(read())
            both.create_task(write())
