"""Permissions that change in the middle of a call, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from virtual_room import Client, network, simulate


def allow(client: Client, *, publish: bool = True, subscribe: bool = True) -> None:
    client.peer.set_permissions(can_publish=publish, can_subscribe=subscribe, can_publish_data=True)


def count(client: Client) -> int:
    return sum(len(packets) for packets in client.heard.values())


def test_who_may_no_longer_publish_is_silent_at_once_and_heard_again_without_a_new_offer() -> None:
    async def scenario() -> None:
        async with network() as net:
            ann, bob = await net.join("ann"), await net.join("bob")
            await ann.speak(0.2)
            await asyncio.sleep(0.1)
            assert count(bob) == 10
            allow(ann, publish=False)
            await asyncio.sleep(0.1)  # a few frames of silence end what was heard
            before = count(bob)
            await ann.speak(1)
            await asyncio.sleep(0.1)
            assert count(bob) == before <= 13
            assert "ann-0" not in net.room.publications
            assert {slot.publication for slot in bob.slots} == {None}
            with pytest.raises(PermissionError):
                ann.peer.publish("0", publication_id="again")
            allow(ann)
            ann.peer.publish("0", publication_id="again")
            await ann.speak(0.2)
            await asyncio.sleep(0.1)
            assert count(bob) == before + 10

    simulate(scenario)


def test_who_may_no_longer_subscribe_gets_nothing_from_the_next_packet_on() -> None:
    async def scenario() -> None:
        async with network() as net:
            ann, bob, eve = [await net.join(name) for name in ("ann", "bob", "eve")]
            allow(eve, subscribe=False)
            await ann.speak(0.5)
            await asyncio.sleep(0.1)
            assert (count(bob), count(eve)) == (25, 0)
            allow(eve)
            await ann.speak(0.5)
            await asyncio.sleep(0.1)
            assert (count(bob), count(eve)) == (50, 25)

    simulate(scenario)


def test_who_joins_as_a_listener_needs_no_new_offer_to_speak() -> None:
    async def scenario() -> None:
        async with network() as net:
            bob = await net.join("bob")
            ann = Client(net, "ann")
            ann.peer = net.room.join("ann", ann, can_publish=False)
            ann.negotiate()
            await ann._start(connect=True)
            await ann.speak(0.5)
            await asyncio.sleep(0.1)
            assert count(bob) == 0
            allow(ann)
            ann.peer.publish("0", publication_id="ann-0")
            await ann.speak(0.5)
            await asyncio.sleep(0.1)
            assert count(bob) == 25

    simulate(scenario)
