"""Permissions that change in the middle of a call, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from bench.room.client import Client
from bench.room.network import network, simulate


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


def test_publishers_are_told_what_everybody_can_decode_as_people_come_and_go() -> None:
    """Only then may a screen be sent in a codec that not every client has."""

    async def scenario() -> None:
        async with network() as net:
            sender = await net.join("sender", publish=("video",), audio_slots=0)
            assert sender.codecs == []
            able = Client(net, "able", publish=(), audio_slots=0, video_slots=1)
            plain = able.offer
            able.offer = lambda: plain().replace(  # type: ignore[method-assign]
                "a=rtpmap:98 H264", "a=rtpmap:45 AV1/90000\r\na=rtpmap:98 H264"
            ).replace("SAVPF 96", "SAVPF 45 96")
            await able.join()
            assert sender.codecs == [("AV1", "H264", "VP8")]
            stock = await net.join("stock", publish=(), audio_slots=1, video_slots=1)
            assert sender.codecs[1:] == [("H264", "VP8")]
            allow(stock, subscribe=False)
            assert sender.codecs[2:] == [("AV1", "H264", "VP8")]
            allow(stock)
            await stock.peer.close()
            assert sender.codecs[3:] == [("H264", "VP8"), ("AV1", "H264", "VP8")]
            assert able.codecs == [], "it sends nothing"

    simulate(scenario)
