"""Data channels: who may send, how much, and on how many."""

from __future__ import annotations

from typing import Any, cast

from aiortc import RTCDataChannel
from pyee.asyncio import AsyncIOEventEmitter

from rtc.sfu import channels
from rtc.sfu.channels import Channels


class Channel(AsyncIOEventEmitter):
    """An open data channel to one participant."""

    readyState = "open"  # noqa: N815 - the W3C's name

    def __init__(self, label: str = "chat") -> None:
        super().__init__()
        self.label = label
        self.bufferedAmount = 0
        self.got: list[str | bytes] = []

    def send(self, message: str | bytes) -> None:
        self.got.append(message)

    def close(self) -> None:
        self.readyState = "closed"


class Room:
    """Channels with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.channels = Channels(lambda: self.now)

    def open(self, peer: str, label: str = "chat") -> Channel:
        channel = Channel(label)
        self.channels.add(peer, cast(RTCDataChannel, cast(Any, channel)))
        return channel


async def test_who_may_not_send_still_receives_and_may_send_again_later() -> None:
    room = Room()
    ann, bob = room.open("ann"), room.open("bob")
    room.channels.allow("ann", False)
    ann.emit("message", "unheard")
    bob.emit("message", "hello")
    assert (ann.got, bob.got, room.channels.refused) == (["hello"], [], 1)
    room.channels.allow("ann", True)
    ann.emit("message", "heard")
    assert bob.got == ["heard"]


async def test_a_flood_is_cut_to_its_rate_and_costs_the_others_no_message() -> None:
    room = Room()
    ann, bob, eve = room.open("ann"), room.open("bob"), room.open("eve")
    for _ in range(10_000):
        eve.emit("message", "x")
    bob.emit("message", "still here")
    assert len(bob.got) == channels.MESSAGE_BURST
    assert ann.got[-1] == "still here"
    assert room.channels.dropped == 10_000 - channels.MESSAGE_BURST
    room.now = 1.0
    big = b"x" * 64 * 1024
    for _ in range(100):
        eve.emit("message", big)
    assert sum(len(message) for message in bob.got if message == big) <= channels.BYTE_BURST


async def test_a_participant_opens_a_few_channels_and_no_more() -> None:
    room = Room()
    opened = [room.open("eve", f"label {number}") for number in range(channels.MAX_CHANNELS + 5)]
    states = [channel.readyState for channel in opened]
    assert states == ["open"] * channels.MAX_CHANNELS + ["closed"] * 5
    opened[0].emit("close")
    assert room.open("eve").readyState == "open"
    assert room.open("eve", "x" * 65).readyState == "closed"
