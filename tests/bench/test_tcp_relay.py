"""The slow way for TCP: bytes arrive whole, in order, and late; connections can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from bench.relay import Address
from bench.tcp_relay import TcpRelay

LOOPBACK = ("127.0.0.1", 0)
DELAY = 0.05


@pytest.fixture
async def echo() -> AsyncIterator[Address]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, *LOOPBACK)
    yield server.sockets[0].getsockname()
    server.close()


@pytest.fixture
async def relay(echo: Address) -> AsyncIterator[TcpRelay]:
    relay = await TcpRelay.start(LOOPBACK, echo, delay=DELAY)
    yield relay
    await relay.close()


async def test_the_first_answer_takes_two_round_trips_and_the_next_one(relay: TcpRelay) -> None:
    clock = asyncio.get_running_loop().time
    reader, writer = await asyncio.open_connection(*relay.address)
    for round_trips in (2, 1):
        began = clock()
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        assert clock() - began >= 2 * DELAY * round_trips * 0.99
    writer.close()


async def test_much_data_arrives_whole_with_its_end(relay: TcpRelay) -> None:
    data = os.urandom(3_000_000)
    reader, writer = await asyncio.open_connection(*relay.address)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    async with asyncio.timeout(20):
        assert await reader.read() == data
    await sending
    writer.close()


async def test_a_cut_ends_what_stands_and_lets_new_ones_in(relay: TcpRelay) -> None:
    reader, writer = await asyncio.open_connection(*relay.address)
    writer.write(b"ping")
    await reader.readexactly(4)
    relay.cut()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    again, writer_again = await asyncio.open_connection(*relay.address)
    writer_again.write(b"ping")
    assert await again.readexactly(4) == b"ping"
    for one in (writer, writer_again):
        one.close()


async def test_a_server_that_is_not_there_closes_the_connection() -> None:
    relay = await TcpRelay.start(LOOPBACK, ("127.0.0.1", 1))
    reader, writer = await asyncio.open_connection(*relay.address)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await relay.close()


async def test_a_refusing_relay_lets_nobody_in_until_told_to(relay: TcpRelay) -> None:
    relay.refusing = True
    reader, writer = await asyncio.open_connection(*relay.address)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    relay.refusing = False
    reader, writer = await asyncio.open_connection(*relay.address)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()


async def test_what_is_sent_while_nothing_passes_arrives_afterwards(relay: TcpRelay) -> None:
    reader, writer = await asyncio.open_connection(*relay.address)
    relay.passable.clear()
    writer.write(b"ping")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * DELAY):
            await reader.read(1)
    relay.passable.set()
    assert await reader.readexactly(4) == b"ping"
    writer.close()
