"""A call of a page and a Python client whose network misbehaves: rebinding, breaks, restarts, floods.

Whether media goes on is judged by the packets that arrive and the sound that is concealed, not by the ear: both say
more, and neither depends on how busy the machine is.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page
from rig import ADA, CLEO, enter, heard_by_call, heard_by_page, seen_by_call, until

from bench.people import PATIENCE, chromium, publish
from bench.service import Service, service
from rtc.client import Call, join

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = "network"
FLOOD = Path(__file__).with_name("flood.py")
FLOOD_SECONDS = 3.0
POLL = 0.02  # seconds
REBIND_SECONDS = 1.0
GAP = 0.4  # Seconds without a packet that a busy machine explains.


@dataclass(slots=True)
class Two:
    service: Service
    ada: Page
    cleo: Call


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two() -> AsyncIterator[Two]:
    async with service() as running, chromium() as browser:
        ada = await enter(browser, running.url, ROOM, ADA)
        async with join(running.url, ROOM, name=CLEO.name) as cleo:
            await publish(cleo, CLEO)
            await both_hear_and_see(Two(running, ada, cleo))
            yield Two(running, ada, cleo)


async def both_hear_and_see(two: Two) -> None:
    assert set(await heard_by_page(two.ada, {CLEO})) == {CLEO.name}
    assert await heard_by_call(two.cleo, ADA) == pytest.approx(ADA.hertz, abs=15)
    assert (await seen_by_call(two.cleo, ADA))[1], "Cleo sees a still picture"


async def received_by_page(page: Page) -> dict[str, float]:
    """Of the audio that arrives: packets, lost ones, samples and concealed samples."""
    stats: list[dict[str, Any]] = await page.evaluate("clarion.stats()")
    audio = [one for one in stats if one["type"] == "inbound-rtp" and one["kind"] == "audio"]
    names = {
        "packets": "packetsReceived", "lost": "packetsLost", "samples": "totalSamplesReceived",
        "concealed": "concealedSamples",
    }  # fmt: skip
    return {name: sum(one.get(field, 0) for one in audio) for name, field in names.items()}


def received_by_call(call: Call) -> int:
    return sum(slot.packets for slot in call.statistics().audio.values())


async def longest_gaps(two: Two, stop: asyncio.Event) -> tuple[float, float]:
    """Longest time without a new audio packet at the page and at the client, until told to stop."""
    clock = asyncio.get_running_loop().time
    counts = [(await received_by_page(two.ada))["packets"], received_by_call(two.cleo)]
    latest, longest = [clock(), clock()], [0.0, 0.0]
    while not stop.is_set():
        await asyncio.sleep(POLL)
        now_counts = [(await received_by_page(two.ada))["packets"], received_by_call(two.cleo)]
        for index, count in enumerate(now_counts):
            longest[index] = max(longest[index], clock() - latest[index])
            if count != counts[index]:
                counts[index], latest[index] = count, clock()
    return longest[0], longest[1]


async def test_a_nat_that_rebinds_costs_less_than_a_second(two: Two) -> None:
    """All clients get a new port at once; nobody but the server can notice, and it follows their media."""
    stop = asyncio.Event()
    gaps = asyncio.create_task(longest_gaps(two, stop))
    await asyncio.sleep(0.3)
    two.service.udp.rebind()
    await asyncio.sleep(2)
    stop.set()
    page, client = await gaps
    assert page < REBIND_SECONDS
    assert client < REBIND_SECONDS
    assert await two.ada.evaluate("clarion.connection") == "connected"
    await both_hear_and_see(two)


async def test_an_ice_restart_of_a_page_interrupts_nothing(two: Two) -> None:
    pair = """clarion.stats().then((all) => {
        const pair = all.find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded"
            && one.id === all.find((other) => other.type === "transport").selectedCandidatePairId);
        return all.find((one) => one.id === pair?.localCandidateId)?.usernameFragment ?? "";
    })"""
    before = await two.ada.evaluate(pair)
    slots = await two.ada.evaluate("clarion.slots")
    stop = asyncio.Event()
    gaps = asyncio.create_task(longest_gaps(two, stop))
    await two.ada.evaluate("void dispatchEvent(new Event('online'))")
    after = before
    async with asyncio.timeout(PATIENCE):
        while after in {before, ""}:
            await asyncio.sleep(POLL)
            after = await two.ada.evaluate(pair)
    stop.set()
    assert max(await gaps) < GAP
    assert await two.ada.evaluate("clarion.slots") == slots
    await both_hear_and_see(two)


async def test_a_broken_websocket_interrupts_no_media_and_comes_back(two: Two) -> None:
    stop = asyncio.Event()
    gaps = asyncio.create_task(longest_gaps(two, stop))
    two.service.tcp.refusing = True
    two.service.tcp.cut()
    await until(two.ada, "clarion.state === 'reconnecting'")
    two.service.tcp.refusing = False
    await until(two.ada, "clarion.state === 'joined'")
    await asyncio.sleep(0.5)
    stop.set()
    assert max(await gaps) < GAP
    await two.cleo.publications["microphone"].mute()  # commands go through in both sessions, and events come
    await until(two.ada, "clarion.participants.some((one) => one.publications.some((each) => each.muted))")
    await two.cleo.publications["microphone"].unmute()
    await both_hear_and_see(two)


async def test_a_flood_of_hostile_datagrams_is_not_heard(two: Two) -> None:
    sdp_ufrags = await two.ada.evaluate("""clarion.stats().then((all) => all
        .map((one) => one.usernameFragment ?? one.iceLocalUsernameFragment).filter(Boolean))""")
    before, client_before = await received_by_page(two.ada), two.cleo.statistics()
    flood = await asyncio.create_subprocess_exec(
        sys.executable, str(FLOOD), *map(str, two.service.media), str(FLOOD_SECONDS), *set(sdp_ufrags),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await flood.communicate()
    assert int(output) > 1000 * FLOOD_SECONDS, "hardly anything was sent"
    assert await dropped(two.service) > 0.3 * int(output), "the service did not see the flood"
    after, client_after = await received_by_page(two.ada), two.cleo.statistics()
    assert after["lost"] == before["lost"]
    assert after["packets"] - before["packets"] > 40 * FLOOD_SECONDS
    concealed = (after["concealed"] - before["concealed"]) / (after["samples"] - before["samples"])
    assert concealed < 0.1
    lost = [
        sum(slot.packets_lost for slot in one.audio.values()) for one in (client_before, client_after)
    ]  # fmt: skip
    assert lost[0] == lost[1]
    await both_hear_and_see(two)


async def dropped(running: Service) -> float:
    """Datagrams that the service counts as dropped."""
    async with aiohttp.ClientSession() as http, http.get(f"{running.url}/metrics") as answer:
        text = await answer.text()
    return sum(float(value) for value in re.findall(r"^clarion\w*drop\w*{.*} (\S+)$", text, re.MULTILINE))
