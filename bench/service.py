"""A real `clarion serve` behind relays, so that benches and tests decide how far away it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bench.relay import Address, Relay
from bench.tcp_relay import TcpRelay
from rtc.netem import LinkProfile

SERVER = "127.0.0.1"  # where the service listens
NEAR = "127.0.0.2"  # where clients find it, at the same UDP port
START_SECONDS = 20.0  # from the command to the printed address
STOP_SECONDS = 10.0


@dataclass(slots=True)
class Service:
    """A running service as its clients see it."""

    url: str
    udp: Relay
    tcp: TcpRelay
    media: Address
    """Its UDP port itself, without the relay."""
    process: asyncio.subprocess.Process

    def set_rtt(self, rtt: float) -> None:
        """Be so far away from now on, in seconds, there and back."""
        self.udp.up = self.udp.down = LinkProfile(delay=rtt / 2)
        self.tcp.delay = rtt / 2


@contextlib.asynccontextmanager
async def service(*, rtt: float = 0.0, seed: int = 0) -> AsyncIterator[Service]:
    """Start a service with free ports, `rtt` seconds away, and stop it at the end; `seed` is that of its losses.

    Raises RuntimeError when it does not start, or has logged an error by the end.
    """
    port = _free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("CLARION_")}
    env |= {"CLARION_HTTP_PORT": "0", "CLARION_UDP_PORT": str(port), "CLARION_PUBLIC_IPS": NEAR, "CLARION_DATA_DIR": ""}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("clarion")), "serve", env=env | {"PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    output: list[str] = []
    reading = None
    try:
        http_port = await _address(process, output)
        reading = asyncio.create_task(_read_on(process, output), name="output of the service")
        udp = Relay((NEAR, port), (SERVER, port), seed=seed)
        tcp = await TcpRelay.start((SERVER, 0), (SERVER, http_port))
        url = "http://{}:{}".format(*tcp.address)
        running = Service(url, udp, tcp, (SERVER, port), process)
        running.set_rtt(rtt)
        try:
            yield running
        finally:
            udp.close()
            await tcp.close()
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
    faults = [line for line in output if "Traceback" in line or '"level": "error"' in line]
    if faults:
        raise RuntimeError("the service logged errors:\n" + "".join(output))


async def _address(process: asyncio.subprocess.Process, output: list[str]) -> int:
    """The HTTP port, once the service prints it."""
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            async for line in process.stdout:
                output.append(line.decode())
                if found := re.search(r"Open\s+http://\S+:(\d+)", output[-1]):
                    return int(found[1])
    raise RuntimeError("clarion serve did not start:\n" + "".join(output))


async def _read_on(process: asyncio.subprocess.Process, output: list[str]) -> None:
    assert process.stdout is not None
    output += [line.decode() async for line in process.stdout]


def _free_port() -> int:
    """A UDP port that is free at both addresses."""
    udp = socket.AF_INET, socket.SOCK_DGRAM
    while True:
        with socket.socket(*udp) as one, socket.socket(*udp) as other:
            one.bind((SERVER, 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError):
                other.bind((NEAR, port))
                return port
