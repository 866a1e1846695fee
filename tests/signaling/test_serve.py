"""`clarion serve` as a process of its own, with the real media node."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import fakes
import pytest
from conftest import Guest

from rtc import sfu

PROGRAM = "from signaling.cli import main; main()"


@asynccontextmanager
async def serving(*flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A running service and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "serve", "--http-port", "0", "--udp-port", "0", *flags,
        env={name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
        | {"CLARION_DATA_DIR": ""},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not (found := re.search(rb"Open +(http://\S+)", await process.stdout.readline())):
                assert not process.stdout.at_eof()
        yield process, found[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_service_and_everybody_is_told(signal_number: int) -> None:
    async with serving() as (process, url), aiohttp.ClientSession() as http:
        ann = Guest(await http.ws_connect(f"{url}/ws"))
        await ann.send(type="join", room="hall", name="Ann")
        await ann.receive_type("joined")
        process.send_signal(signal_number)
        assert (await ann.until("closed"))["reason"] == "shutdown"
        assert await ann.close_code() == 1012
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_calls_may_end_in_their_time_and_the_second_signal_does_not_wait() -> None:
    async with serving("--drain-seconds", "3600") as (process, url), aiohttp.ClientSession() as http:
        ann = Guest(await http.ws_connect(f"{url}/ws"))
        await ann.send(type="join", room="hall", name="Ann")
        await ann.receive_type("joined")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while (await http.get(f"{url}/readyz")).status != 503:  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0)
        assert (await ann.command("ping"))["type"] == "reply"
        process.send_signal(signal.SIGTERM)
        assert (await ann.until("closed"))["reason"] == "shutdown"
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_a_media_port_in_use_is_a_sentence_and_code_2() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, "serve", "--http-port", "0", "--udp-port", port, "--data-dir", "",
            cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert f"UDP port {port}" in errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (sfu.Node, fakes.FakeNode), (sfu.Room, fakes.FakeRoom), (sfu.Peer, fakes.FakePeer),
    ],
)
def test_the_fake_of_these_tests_is_called_as_the_real_one(real: type, fake: type) -> None:
    for name, method in inspect.getmembers(fake, inspect.isroutine):
        if name.startswith("_"):
            continue
        assert list(inspect.signature(method).parameters) == list(
            inspect.signature(getattr(real, name)).parameters
        ), name
