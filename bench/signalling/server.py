"""A real `clarion serve` that can be killed and started again in the same place."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

START_SECONDS = 30.0


class Server:
    """One data directory and one port, and a process there; made by `serving`."""

    def __init__(self, directory: str, settings: dict[str, str]) -> None:
        self.port = _free_port()
        self._settings = settings | {
            "CLARION_DATA_DIR": directory, "CLARION_HTTP_PORT": str(self.port), "CLARION_UDP_PORT": "0",
            "CLARION_LOG_LEVEL": "error",
        }
        self._process: asyncio.subprocess.Process | None = None
        self._output: list[str] = []
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process that serves now."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start, and return when it listens. Raises RuntimeError."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("CLARION_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from signaling.cli import main; main()", "serve",
            env=env | self._settings | {"PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                async for line in self._process.stdout:
                    self._output.append(line.decode())
                    if re.search(rb"Open\s+http://", line):
                        self._reading = asyncio.create_task(self._read(self._process.stdout))
                        return
        raise RuntimeError("clarion serve did not start:\n" + "".join(self._output))

    async def kill(self, *, forget: bool = False) -> None:
        """`kill -9`; with `forget`, all that was stored is lost as well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        if forget:
            await asyncio.to_thread(self._forget)

    async def stop(self) -> None:
        """Stop in order. Raises RuntimeError if it has logged errors."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 15)
        except TimeoutError:
            await self.kill()
        if self._reading is not None:
            await self._reading
        faults = [line for line in self._output if "Traceback" in line or '"level": "error"' in line]
        if faults:
            raise RuntimeError("the service logged errors:\n" + "".join(self._output))

    def _forget(self) -> None:
        for stored in Path(self._settings["CLARION_DATA_DIR"]).iterdir():
            stored.unlink()

    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds of processor used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _read(self, stream: asyncio.StreamReader) -> None:
        self._output += [line.decode() async for line in stream]


@contextlib.asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[Server]:
    """A running server with these settings (names without CLARION_), stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="clarion-bench-") as directory:
        server = Server(directory, {f"CLARION_{name.upper()}": str(value) for name, value in settings.items()})
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
