"""The network of one page goes away for ten seconds in a call with chat.

Nothing tells the page: what it sends and is sent just gets nowhere, as behind a router that died.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from rig import ADA, BO, CLEO, enter, heard_by_page, until

from bench.people import PATIENCE, Tone, chromium
from bench.relay import Address
from bench.service import SERVER, Service, service
from bench.tcp_relay import TcpRelay
from rtc.client import Call, join
from rtc.client.events import EventStream, ParticipantChanged, ParticipantLeft

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = "away"
AWAY_SECONDS = 10.0
MEDIA_SECONDS = 2.0  # until media is back
POLL = 0.02  # seconds


@dataclass(slots=True)
class Three:
    service: Service
    tcp: TcpRelay
    """Ada's own way to the service."""
    ada: Page
    bo: Page
    cleo: Call
    others: frozenset[Address]
    """Where the others' media comes from."""

    def cut_ada_off(self) -> None:
        self.tcp.passable.clear()
        self.service.udp.only = self.others

    def let_ada_back(self) -> None:
        self.tcp.passable.set()
        self.service.udp.only = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three() -> AsyncIterator[Three]:
    async with service() as running, chromium() as browser:
        bo = await enter(browser, running.url, ROOM, BO)
        await until(bo, "clarion.connection === 'connected'")
        async with join(running.url, ROOM, name=CLEO.name) as cleo:
            await cleo.publish(Tone(CLEO.hertz))
            assert await heard_by_page(bo, {CLEO}) != {}
            others = frozenset(running.udp.clients)
            tcp = await TcpRelay.start((SERVER, 0), running.tcp.address)
            try:
                ada = await enter(browser, "http://{}:{}".format(*tcp.address), ROOM, ADA)
                for page in (ada, bo):
                    await page.keyboard.press("c")
                yield Three(running, tcp, ada, bo, cleo, others)
            finally:
                await tcp.close()


async def write(page: Page, text: str) -> None:
    await page.fill(".chat-field", text)
    await page.press(".chat-field", "Enter")


async def received(page: Page, name: str) -> int:
    """Packets of somebody's sound that a page has received, by the slot in which they are."""
    return int(await page.evaluate("""async (name) => {
        const person = clarion.participants.find((one) => one.name === name);
        const mids = clarion.slots.filter((slot) => slot.participant === person?.id).map((slot) => slot.mid);
        return (await clarion.stats()).filter((one) => one.type === "inbound-rtp" && one.kind === "audio"
            && mids.includes(one.mid)).reduce((sum, one) => sum + one.packetsReceived, 0);
    }""", name))


async def until_more(page: Page, name: str) -> float:
    """Seconds until a page receives sound of somebody."""
    clock = asyncio.get_running_loop().time
    began, before = clock(), await received(page, name)
    async with asyncio.timeout(PATIENCE):
        while await received(page, name) <= before:  # noqa: ASYNC110 - the page tells nobody
            await asyncio.sleep(POLL)
    return clock() - began


async def changed(happened: EventStream) -> bool:
    """Whether Ada is connected now that her connection was lost or came back; that nobody left meanwhile."""
    async with asyncio.timeout(PATIENCE):
        async for event in happened:
            assert not isinstance(event, ParticipantLeft)
            if isinstance(event, ParticipantChanged) and event.participant.name == ADA.name:
                return event.participant.connected
    raise AssertionError("the call has ended")


async def test_who_was_away_for_ten_seconds_missed_nothing_and_nobody_saw_them_leave(three: Three) -> None:
    ada, bo, cleo = three.ada, three.bo, three.cleo
    happened, said = cleo.events(), cleo.messages()
    assert set(await heard_by_page(bo, {ADA, CLEO})) == {"Ada", "Cleo"}
    me, slots = await ada.evaluate("clarion.self"), await ada.evaluate("clarion.slots")
    await write(ada, "before")
    await expect(bo.locator(".bubble")).to_have_text(["before"])

    three.cut_ada_off()
    back_at = asyncio.get_running_loop().time() + AWAY_SECONDS
    await write(ada, "while away")
    await write(bo, "one")
    await cleo.send("two")
    await expect(ada.locator(".banner")).to_have_text("Connection lost. Reconnecting…", timeout=AWAY_SECONDS * 1000)
    await until(bo, "clarion.participants.some((one) => one.name === 'Ada' && !one.connected)")
    assert not await changed(happened)
    await expect(ada.locator(".delivery")).to_have_text("Sending…")
    await write(bo, "three")
    heard_meanwhile = await until_more(bo, "Cleo")
    assert heard_meanwhile < MEDIA_SECONDS, "the others are disturbed"
    await asyncio.sleep(back_at - asyncio.get_running_loop().time())
    three.let_ada_back()
    there, here = await asyncio.gather(until_more(bo, "Ada"), until_more(ada, "Bo"))
    assert max(there, here) < MEDIA_SECONDS

    await expect(ada.locator(".banner")).to_have_text("")
    everything = ["before", "one", "two", "three", "while away"]
    for page in (ada, bo):
        await expect(page.locator(".bubble")).to_have_text(everything)
    assert [(await anext(said)).content.text for _ in everything] == everything
    assert await ada.evaluate("clarion.self") == me
    assert await ada.evaluate("clarion.slots") == slots
    await until(bo, "clarion.participants.find((one) => one.name === 'Ada').connected")
    assert await changed(happened)
    assert set(await heard_by_page(bo, {ADA, CLEO})) == {"Ada", "Cleo"}
    assert set(await heard_by_page(ada, {BO, CLEO})) == {"Bo", "Cleo"}
