"""Asyncio code in virtual time: exact, repeatable, without waiting."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from bench.virtual import START, Address, VirtualLoop, run
from rtc.netem import Link, LinkProfile


class Recorder(asyncio.DatagramProtocol):
    """Notes what arrives and when; echoes if asked to."""

    def __init__(self, *, echo: bool = False) -> None:
        self.seen: list[tuple[float, bytes, Address]] = []
        self.lost = False
        self.echo = echo

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.seen.append((asyncio.get_running_loop().time(), data, addr))
        if self.echo:
            self.transport.sendto(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def endpoint(address: Address, *, echo: bool = False, peer: Address | None = None) -> Recorder:
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(lambda: Recorder(echo=echo), address, peer))[1]


def test_an_hour_of_sleep_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(main()) == START + 3600
    assert time.monotonic() - began < 1


def test_timers_fire_in_their_order_at_their_times() -> None:
    async def main() -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[float, str]] = []

        def note(name: str) -> None:
            seen.append((loop.time() - START, name))

        for when, name in ((3.5, "c"), (0.25, "a"), (86400 * 3, "d"), (1.0, "b")):
            loop.call_at(START + when, note, name)
        await asyncio.sleep(86400 * 4)
        return seen

    assert run(main()) == [(0.25, "a"), (1.0, "b"), (3.5, "c"), (86400 * 3, "d")]


def test_a_timeout_comes_when_it_is_due() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(12.5):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == START + 12.5


def test_waiting_for_ever_is_an_error_not_a_hanging_test() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left to happen"):
        run(main())


def test_time_stands_still_while_a_thread_works() -> None:
    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        release = threading.Event()

        def work() -> str:
            assert release.wait(10)
            return "done"

        ticking = asyncio.create_task(asyncio.sleep(5))
        working = loop.run_in_executor(None, work)
        await asyncio.sleep(0)  # the loop has nothing ready from here on: only the thread and a timer
        threading.Timer(0.05, release.set).start()
        answer = await working
        at = loop.time()
        assert not ticking.done()
        await ticking
        return answer, at

    assert run(main()) == ("done", START)


def test_a_datagram_takes_the_delay_of_its_link_each_way() -> None:
    def link_between(source: Address, _target: Address) -> Link:
        return Link(LinkProfile(delay=0.1 if source[1] == 1 else 0.25), seed=1)

    async def main() -> None:
        near, far = await endpoint(("10.0.0.1", 1)), await endpoint(("10.0.0.2", 2), echo=True)
        near.transport.sendto(b"ping", ("10.0.0.2", 2))
        await asyncio.sleep(1)
        assert far.seen == [(START + 0.1, b"ping", ("10.0.0.1", 1))]
        assert near.seen == [(START + 0.35, b"ping", ("10.0.0.2", 2))]

    run(main(), link_between=link_between)


def test_a_run_can_be_repeated_exactly() -> None:
    profile = LinkProfile(loss=0.3, burst=3, delay=0.04, jitter=0.01, duplicate=0.05)

    def once(seed: int) -> list[tuple[float, bytes, Address]]:
        async def main() -> list[tuple[float, bytes, Address]]:
            sender, receiver = await endpoint(("10.0.0.1", 1)), await endpoint(("10.0.0.2", 2))
            for number in range(300):
                sender.transport.sendto(number.to_bytes(2, "big"), ("10.0.0.2", 2))
                await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            link = loop.link(("10.0.0.1", 1), ("10.0.0.2", 2))
            assert link.delivered == len(receiver.seen) == 300 - link.lost + link.duplicated
            return receiver.seen

        return run(main(), link_between=lambda *_: Link(profile, seed=seed))

    assert once(5) == once(5)
    assert once(5) != once(6)


def test_ports_are_given_out_taken_and_given_back() -> None:
    async def main() -> None:
        first = await endpoint(("10.0.0.1", 0))
        second = await endpoint(("10.0.0.1", 0))
        address = first.transport.get_extra_info("sockname")
        assert second.transport.get_extra_info("sockname") != address
        with pytest.raises(OSError, match="is taken"):
            await endpoint(address)
        second.transport.sendto(b"too late", address)
        first.transport.close()
        first.transport.close()
        await asyncio.sleep(1)
        assert first.lost
        assert first.seen == []
        await endpoint(address)

    run(main())


def test_a_connected_endpoint_hears_its_peer_alone() -> None:
    async def main() -> None:
        connected = await endpoint(("10.0.0.1", 1), peer=("10.0.0.2", 2))
        peer, stranger = await endpoint(("10.0.0.2", 2), echo=True), await endpoint(("10.0.0.3", 3))
        stranger.transport.sendto(b"psst", ("10.0.0.1", 1))
        connected.transport.sendto(b"hello")
        await asyncio.sleep(1)
        assert [data for _, data, _ in connected.seen] == [b"hello"]
        assert [data for _, data, _ in peer.seen] == [b"hello"]

    run(main())


def test_stock_aiortc_peers_connect_in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["10.0.0.1"])

    async def main() -> float:
        offerer, answerer = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        channel = offerer.createDataChannel("chat")
        channel.on("open", lambda: channel.send("hello"))
        answerer.on("datachannel", lambda incoming: incoming.on("message", heard.set_result))
        await offerer.setLocalDescription(await offerer.createOffer())
        await answerer.setRemoteDescription(offerer.localDescription)
        await answerer.setLocalDescription(await answerer.createAnswer())
        await offerer.setRemoteDescription(answerer.localDescription)
        assert await heard == "hello"
        took = asyncio.get_running_loop().time() - START
        await offerer.close()
        await answerer.close()
        return took

    once, again = (
        run(main(), link_between=lambda *_: Link(LinkProfile(delay=0.1), seed=1)) for _ in range(2)
    )
    assert once == again
    assert 0.8 < once < 2  # ICE, DTLS and SCTP take several round trips of 0.2 s
