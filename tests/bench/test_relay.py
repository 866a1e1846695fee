"""The relay carries real datagrams over its links, and neither side knows of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from bench.relay import Address, Relay
from rtc.netem import LinkProfile

LOOPBACK = ("127.0.0.1", 0)


class Party:
    """A program at one address."""

    def __init__(self, to: Address | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(LOOPBACK)
        if to:
            self._socket.connect(to)
        self.address: Address = self._socket.getsockname()

    def send(self, datagram: bytes) -> None:
        self._socket.send(datagram)

    def send_to(self, datagram: bytes, address: Address) -> None:
        self._socket.sendto(datagram, address)

    async def receive(self) -> tuple[bytes, Address]:
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recvfrom(self._socket, 2000)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def server() -> AsyncIterator[Party]:
    party = Party()
    yield party
    party.close()


@pytest.fixture
async def relay(server: Party) -> AsyncIterator[Relay]:
    relay = Relay(LOOPBACK, server.address)
    yield relay
    relay.close()


async def test_after_rebinding_the_server_sees_the_client_elsewhere_and_still_reaches_it(
    relay: Relay, server: Party
) -> None:
    client = Party(relay.address)
    try:
        client.send(b"before")
        _, before = await server.receive()
        relay.rebind()
        client.send(b"after")
        _, after = await server.receive()
        assert before != after
        server.send_to(b"answer", after)
        assert (await client.receive())[0] == b"answer"
    finally:
        client.close()


async def test_each_client_is_a_port_of_its_own_and_answers_find_back(server: Party, relay: Relay) -> None:
    ann, bob = Party(relay.address), Party(relay.address)
    ann.send(b"from ann")
    heard, ann_port = await server.receive()
    assert heard == b"from ann"
    bob.send(b"from bob")
    heard, bob_port = await server.receive()
    assert heard == b"from bob"
    assert len({ann_port, bob_port, relay.address}) == 3
    server.send_to(b"to bob", bob_port)
    server.send_to(b"to ann", ann_port)
    assert await ann.receive() == (b"to ann", relay.address)
    assert await bob.receive() == (b"to bob", relay.address)
    ann.send(b"again")
    assert await server.receive() == (b"again", ann_port)
    ann.close()
    bob.close()


async def test_who_has_no_network_is_heard_by_nobody_and_disturbs_nobody(server: Party, relay: Relay) -> None:
    ann, bob = Party(relay.address), Party(relay.address)
    ann.send(b"from ann")
    _, ann_port = await server.receive()
    bob.send(b"from bob")
    _, bob_port = await server.receive()
    relay.only = {bob.address}
    ann.send(b"lost")
    server.send_to(b"lost", ann_port)
    server.send_to(b"to bob", bob_port)
    assert await bob.receive() == (b"to bob", relay.address)
    bob.send(b"still here")
    assert await server.receive() == (b"still here", bob_port)
    relay.only = None
    ann.send(b"back")
    assert await server.receive() == (b"back", ann_port)
    server.send_to(b"to ann", ann_port)
    assert await ann.receive() == (b"to ann", relay.address)
    ann.close()
    bob.close()


async def test_a_delay_is_kept_in_each_direction(server: Party, relay: Relay) -> None:
    relay.up, relay.down = LinkProfile(delay=0.05), LinkProfile(delay=0.15)
    clock = asyncio.get_running_loop().time
    client = Party(relay.address)
    began = clock()
    client.send(b"ping")
    datagram, port = await server.receive()
    half = clock()
    server.send_to(datagram, port)
    await client.receive()
    assert half - began >= 0.05
    assert clock() - half >= 0.15
    client.close()


async def test_losses_are_those_of_the_seed() -> None:
    async def heard(seed: int) -> list[bytes]:
        server = Party()
        relay = Relay(LOOPBACK, server.address, up=LinkProfile(loss=0.5), seed=seed)
        client = Party(relay.address)
        for number in range(100):
            client.send(bytes([number]))
        for _ in range(50):  # one of them gets through
            client.send(b"end")
        seen = []
        while (datagram := (await server.receive())[0]) != b"end":
            seen.append(datagram)
        client.close()
        relay.close()
        relay.close()
        server.close()
        return seen

    first = await heard(1)
    assert await heard(1) == first
    second = await heard(2)
    assert second not in ([], first)
    assert 20 < len(first) < 80


async def test_a_profile_can_be_replaced_while_it_runs(server: Party, relay: Relay) -> None:
    client = Party(relay.address)
    relay.up = LinkProfile(duplicate=1)
    client.send(b"twice")
    assert [(await server.receive())[0] for _ in range(2)] == [b"twice", b"twice"]
    relay.up = LinkProfile()
    client.send(b"once")
    client.send(b"end")
    assert [(await server.receive())[0] for _ in range(2)] == [b"once", b"end"]
    counters = relay.counters()["up"]
    assert counters == {"sent": 3, "queue_dropped": 0, "lost": 0, "duplicated": 1, "delivered": 4}
    client.close()


async def test_an_absent_server_does_not_hurt_the_relay(relay: Relay, server: Party) -> None:
    absent = Relay(LOOPBACK, ("127.0.0.1", 9))
    client, other = Party(absent.address), Party(relay.address)
    for _ in range(3):
        client.send(b"anyone?")
        other.send(b"hello")
        assert (await server.receive())[0] == b"hello"
    assert absent.counters()["up"]["delivered"] == 3
    absent.close()
    client.close()
    other.close()


async def test_a_client_address_too_many_is_dropped_and_counted(
    server: Party, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.relay.MAX_FLOWS", 1)
    first, second = Party(relay.address), Party(relay.address)
    first.send(b"first")
    assert (await server.receive())[0] == b"first"
    second.send(b"second")
    first.send(b"still here")
    assert (await server.receive())[0] == b"still here"
    assert relay.refused == 1
    first.close()
    second.close()


async def test_a_taken_port_is_an_error(relay: Relay, server: Party) -> None:
    with pytest.raises(OSError, match="in use"):
        Relay(relay.address, server.address)


def run_relay(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.relay", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip


async def test_the_command_relays_until_it_is_told_to_stop(server: Party) -> None:
    to = "{}:{}".format(*server.address)
    with run_relay("--listen", "127.0.0.1:0", "--to", to, "--loss", "1", "--direction", "down") as process:
        assert process.stdout
        line = await asyncio.to_thread(process.stdout.readline)
        host, _, port = line.removeprefix("relaying at ").partition(";")[0].rpartition(":")
        client = Party((host, int(port)))
        client.send(b"up")
        assert (await server.receive())[0] == b"up"
        process.send_signal(signal.SIGTERM)
        last = process.stdout.read().splitlines()[-1]
        assert process.wait(10) == 0
        client.close()
    assert json.loads(last)["up"]["delivered"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--loss", "2"], "loss is a share from 0 to 1"),
        (["--listen", "nonsense"], "'nonsense' is not HOST:PORT"),
        (["--listen", "192.0.2.1:5000"], "cannot relay from 192.0.2.1:5000"),
    ],
)
def test_a_wrong_argument_is_a_sentence(arguments: list[str], sentence: str) -> None:
    with run_relay("--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", *arguments) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert sentence in errors
