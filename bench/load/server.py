"""A server under test: started in a network namespace, pinned to a core of its own, and what it uses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .endpoint import Endpoint
from .sdp import Kind

SERVER_CORE, GENERATOR_CORE = 0, 1
NAMESPACE = "clarion-load"
CLIENT_HOST, SERVER_HOST = "10.77.77.1", "10.77.77.2"
SIGNALLING_HOSTS = tuple(f"10.77.77.{i}" for i in range(11, 15))
"""Where clients signal from, in turn: Clarion paces the connections of one address."""
START_SECONDS = 60.0
STOP_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Client:
    """Somebody in a room. Endpoints may be the same, or None."""

    publisher: Endpoint | None
    subscriber: Endpoint | None
    ssrcs: tuple[tuple[Kind, str, int], ...] = ()
    """What it sends: kind, MID, SSRC."""


class Sfu(Protocol):
    """A server that is running."""

    pid: int

    async def join(self, room: str, *, sends: Sequence[Kind], audio_slots: int = 0, video_slots: int = 0) -> Client:
        """Enter a room and connect: publish one track of each kind in `sends`, receive up to so many of others."""

    async def settle(self, client: Client) -> None:
        """Receive what is there now. To be called once all publishers have joined."""

    async def leave(self, client: Client) -> None:
        """Leave."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used."""

    cpu: float
    """Seconds of processor since its start, the kernel's included."""
    memory: int
    """Resident bytes."""
    descriptors: int


def usage(pid: int) -> Usage:
    """Of all threads of a process, to the nanosecond where the kernel says so."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    exact = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError, ValueError):
            exact += int((task / "schedstat").read_text().split()[0])
    # Threads that have ended are in the first figure only.
    cpu = exact / 1e9 if abs(exact / 1e9 - cpu) < 0.05 else cpu
    memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return Usage(cpu, memory, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))


@contextlib.contextmanager
def namespace() -> Iterator[None]:
    """A network namespace for the servers, behind a pair of virtual Ethernet cards. Needs root.

    Raises RuntimeError when there is no leave to make one.
    """
    remove = ["ip", "netns", "del", NAMESPACE]
    subprocess.run(remove, check=False, capture_output=True)
    near, far = "load0", "load1"
    commands = [
        f"netns add {NAMESPACE}",
        f"link add {near} type veth peer name {far} netns {NAMESPACE}",
        *(f"addr add {host}/24 dev {near}" for host in (CLIENT_HOST, *SIGNALLING_HOSTS)),
        f"link set {near} up",
        f"-n {NAMESPACE} addr add {SERVER_HOST}/24 dev {far}",
        f"-n {NAMESPACE} link set {far} up",
        f"-n {NAMESPACE} link set lo up",
    ]
    try:
        for command in commands:
            made = subprocess.run(["ip", *command.split()], check=False, capture_output=True, text=True)
            if made.returncode:
                raise RuntimeError(f"the bench needs root and iproute2 for a network namespace: {made.stderr.strip()}")
        yield
    finally:
        subprocess.run(remove, check=False, capture_output=True)


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep the server's core from sleeping, by a loop that any other program displaces at once.

    A core that goes to sleep between two packets wakes with empty caches and a slow clock: what is measured then is the
    host's power management, which on one host multiplied every figure by five when nothing else ran there.
    """
    lines = (
        "import os",
        f"os.sched_setaffinity(0, {{{SERVER_CORE}}})",
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
        "while True: pass",
    )
    process = subprocess.Popen([sys.executable, "-c", "\n".join(lines)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def server_process(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, ready: str
) -> AsyncIterator[tuple[int, str, list[str]]]:
    """Run a server in the namespace on its core; yields its pid, the line with `ready` in it, and its output."""
    wrapped = ["ip", "netns", "exec", NAMESPACE, "taskset", "-c", str(SERVER_CORE), *command]
    process = await asyncio.create_subprocess_exec(
        *wrapped, env=None if env is None else dict(env),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    output: list[str] = []
    reading: asyncio.Task[None] | None = None

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            output.append(line.decode(errors="replace"))
            del output[:-400]

    try:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                while not output or ready not in output[-1]:
                    said = await process.stdout.readline()
                    if not said:
                        raise RuntimeError(f"{command[0]} did not start:\n{''.join(output)}")
                    output.append(said.decode(errors="replace"))
        except TimeoutError:
            raise RuntimeError(f"{command[0]} did not start:\n{''.join(output)}") from None
        reading = asyncio.create_task(read(), name="output of the server")
        yield process.pid, output[-1], output
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if reading is not None:
            await reading
