"""A room in which people come and go all day: nothing of them stays."""

from __future__ import annotations

import asyncio
import gc

from bench.room.network import Network, network, simulate
from rtc.sfu.fanout import Fanout
from rtc.sfu.leg import Leg
from rtc.sfu.link import Link
from rtc.sfu.peer import Peer
from rtc.sfu.slot import Slot
from rtc.sfu.source import Source

VISITS = 60
KEPT = (Peer, Link, Source, Fanout, Slot, Leg)


def alive() -> dict[str, int]:
    objects = gc.get_objects()
    return {kind.__name__: sum(isinstance(one, kind) for one in objects) for kind in KEPT}


async def visit(net: Network, name: str) -> None:
    guest = await net.join(name, publish=("audio",), audio_slots=1)
    await guest.speak(0.1)
    await guest.leave()
    net.clients.remove(guest)
    del guest.peer


async def forget() -> None:
    """Until the room would have looked after who left last."""
    await asyncio.sleep(2)


def test_an_hour_of_coming_and_going_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with network() as net:
            host = await net.join("host", publish=("audio",), audio_slots=1)
            talking = asyncio.create_task(host.speak(600))
            await visit(net, "first")
            await forget()
            gc.collect()
            gc.disable()  # what needs it waits for long in a server, and then all media wait for it
            before = alive()
            try:
                for number in range(VISITS):
                    await visit(net, f"guest-{number}")
                await forget()
                assert alive() == before
            finally:
                gc.enable()
            port = net.node._port
            assert len(port.addresses) == 1
            assert len(port._by_address) == len(port._by_ufrag) == 1
            assert not port._early
            talking.cancel()

    simulate(scenario)
