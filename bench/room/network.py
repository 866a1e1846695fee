"""A whole server and its clients in virtual time: real ICE, DTLS, SRTP, RTP and RTCP over rtc.netem links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.room.client import Client
from bench.virtual import VirtualLoop, run
from bench.virtual_udp import open_virtual_udp
from rtc.netem import Link, LinkProfile
from rtc.sfu import Node, NodeSettings, Room

SERVER = ("10.0.0.1", 7882)
CLIENT_PORT = 40000


class Network:
    """A node, one room and the links of the clients."""

    server = SERVER

    def __init__(self, node: Node) -> None:
        self.clients: list[Client] = []
        self.node = node
        self.room: Room = node.create_room("room")
        self.rtt = 0.04
        self._tracks = 0

    def address_of(self, number: int) -> tuple[str, int]:
        """Where the client of this number is."""
        return f"10.0.1.{number}", CLIENT_PORT

    def next_track(self) -> int:
        """A number for a track."""
        self._tracks += 1
        return self._tracks

    def shape(self, *, up: float = 0.0, down: float = 0.0, clients: Sequence[Client] | None = None) -> None:
        """From now on lose this share of the datagrams of these clients, or of all."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for client in self.clients if clients is None else clients:
            for source, target, loss in ((client.address, SERVER, up), (SERVER, client.address, down)):
                loop.link(source, target).profile = LinkProfile(loss=loss, delay=self.rtt / 2)

    async def join(self, name: str, **options: Any) -> Client:
        """A new client, connected and publishing."""
        client = Client(self, name, **options)
        await client.join()
        return client


class Loopback(Network):
    """The same on real sockets."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.server = ("127.0.0.1", node.port)

    def address_of(self, number: int) -> tuple[str, int]:
        """Any free port."""
        return "127.0.0.1", 0


@asynccontextmanager
async def network(*, loopback: bool = False) -> AsyncIterator[Network]:
    """A running server; everybody leaves at the end."""
    if loopback:
        net: Network = Loopback(await Node.start(NodeSettings(port=0)))
    else:
        net = Network(Node(await open_virtual_udp(*SERVER), (SERVER[0],)))
    try:
        yield net
    finally:
        for client in net.clients:
            if hasattr(client, "peer") and hasattr(client, "_endpoint"):
                await client.leave()
        await net.node.close()


def simulate(scenario: Callable[[], Coroutine[Any, Any, None]], *, rtt: float = 0.04, seed: int = 1) -> None:
    """Run a scenario in virtual time; each direction of each path takes half of `rtt`."""
    run(
        scenario(),
        link_between=lambda source, target: Link(
            LinkProfile(delay=rtt / 2), seed=f"{seed} {source} {target}"
        ),
    )
