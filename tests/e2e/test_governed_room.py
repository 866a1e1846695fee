"""A room that is governed, from page to page: what a host decides, the server sees to, also after it was killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from rig import ADA, BO, SENSES, heard_by_page, until

from bench import people
from bench.people import Person, chromium
from bench.signalling.server import Server, serving
from rtc.client import ConnectionChanged, JoinError, join
from signaling.tokens import Grants, issue

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = "governed"
SECRET = "a secret of this test, which is long enough"
KEEP_CONNECTION = """window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
        super(...options);
        window.connection = this;
    }
};"""
SPEAK_ALL_THE_SAME = """async () => {
    const {sender} = connection.getTransceivers().find((one) =>
        one.currentDirection === "sendonly" && one.receiver.track.kind === "audio");
    const stream = await navigator.mediaDevices.getUserMedia({audio: true});
    await sender.replaceTrack(stream.getAudioTracks()[0]);
    const sent = async () => [...(await sender.getStats()).values()]
        .filter((one) => one.type === "outbound-rtp").reduce((sum, one) => sum + one.packetsSent, 0);
    const before = await sent();
    while (await sent() < before + 50) await new Promise((resolve) => setTimeout(resolve, 50));
}"""
"""As a page that was tampered with: a second of the voice leaves, whatever hosts have decided."""


@dataclass(slots=True)
class Two:
    server: Server
    url: str
    ada: Page
    """The host."""
    bo: Page


def token(person: Person, *, host: bool = False) -> str:
    return issue(SECRET, Grants(room=ROOM, identity=person.name.lower(), room_admin=host), ttl=600)


async def knock(browser: Browser, url: str, person: Person, *, host: bool = False) -> Page:
    """A page that was opened with an invitation, and goes in or to the lobby."""
    page = await people.open_page(browser, url, f"{ROOM}#token={token(person, host=host)}", person, SENSES)
    await page.click("form.card button[type=submit]")
    return page


async def knock_again(page: Page, name: str) -> None:
    await page.goto(f"/r/{ROOM}")
    await page.fill("#name", name)
    await page.click("form.card button[type=submit]")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two() -> AsyncIterator[Two]:
    async with serving(secret=SECRET) as server, chromium() as browser:
        url = f"http://127.0.0.1:{server.port}"
        ada = await knock(browser, url, ADA, host=True)
        await ada.wait_for_selector(".call")
        await ada.keyboard.press("p")
        await ada.get_by_role("button", name="Manage the room").click()
        await ada.get_by_label("Lobby").check()
        await ada.keyboard.press("Escape")
        yield Two(server, url, ada, await knock(browser, url, BO))


async def about(ada: Page, name: str, act: str) -> None:
    """What the host does about somebody, through the list of people."""
    await ada.get_by_role("button", name=f"More about {name}").click()
    await ada.get_by_role("button", name=act, exact=True).click()


async def inside(two: Two) -> None:
    """Bo is in the call, and the host's list shows whom the server means by Bo now."""
    await two.bo.wait_for_selector(".call")
    await until(two.bo, "clarion.state === 'joined'")
    me = await two.bo.evaluate("clarion.self")
    listed = "clarion.participants.filter((one) => one.name === 'Bo').map((one) => one.id).join()"
    await until(two.ada, f"{listed} === '{me}'")


async def manage(ada: Page) -> None:
    await ada.get_by_role("button", name="Manage the room").click()


async def test_what_a_host_decides_on_the_page_holds_also_after_the_server_was_killed(two: Two) -> None:
    ada, bo = two.ada, two.bo

    # The lobby: sent away, then let in.
    await expect(bo.get_by_text("You are at the door")).to_be_visible()
    await ada.get_by_role("button", name="Do not let Bo in").click()
    await expect(bo.get_by_role("heading", name="You were not let in")).to_be_visible()
    await bo.add_init_script(KEEP_CONNECTION)
    await knock_again(bo, "Bo")
    await ada.get_by_role("button", name="Let Bo in", exact=True).click()
    await inside(two)
    assert set(await heard_by_page(ada, {BO})) == {"Bo"}

    # Muted for good: the server forwards nothing, whatever the page sends.
    await about(ada, "Bo", "Mute")
    await expect(bo.get_by_role("button", name="Unmute microphone")).to_be_visible()
    await bo.keyboard.press("m")
    await expect(bo.locator("#live")).to_have_text("A host has muted you. Wait until you are asked to speak.")
    await bo.evaluate(SPEAK_ALL_THE_SAME)
    assert await heard_by_page(ada, set()) == {}
    await about(ada, "Bo", "Ask to unmute")
    await bo.get_by_role("button", name="Yes").click()
    assert set(await heard_by_page(ada, {BO})) == {"Bo"}

    # Locked: who was not inside is refused, who was comes back.
    await manage(ada)
    await ada.get_by_label("Lock the room").check()
    await ada.keyboard.press("Escape")
    with pytest.raises(JoinError) as refusal:
        async with join(two.url, ROOM, name="Cy", token=token(Person("Cy", 0, (0, 0, 0)))):
            pytest.fail("the room was locked")
    assert refusal.value.code == "locked"
    await knock_again(bo, "Bo")
    await inside(two)

    # Removed, and let come back.
    await about(ada, "Bo", "Remove")
    await ada.locator("dialog").get_by_role("button", name="Remove", exact=True).click()
    await expect(bo.get_by_role("heading", name="You were removed from the call")).to_be_visible()
    await knock_again(bo, "Bo")
    await expect(bo.get_by_role("heading", name="You may not enter this room")).to_be_visible()
    await manage(ada)
    await ada.get_by_role("button", name="Let come back").click()
    await ada.get_by_label("Lock the room").uncheck()
    await ada.keyboard.press("Escape")
    await knock_again(bo, "Bo")
    await ada.get_by_role("button", name="Let Bo in", exact=True).click()
    await inside(two)

    # Banned, also by the server that comes after; the host's call goes on by itself.
    await about(ada, "Bo", "Ban")
    await ada.locator("dialog").get_by_role("button", name="Ban", exact=True).click()
    await expect(bo.get_by_role("heading", name="You may not enter this room")).to_be_visible()
    me = await ada.evaluate("clarion.self")
    await two.server.kill()
    await two.server.start()
    await until(ada, "clarion.state === 'joined' && clarion.connection === 'connected'")
    assert await ada.evaluate("clarion.self") == me
    await knock_again(bo, "Bo")
    await expect(bo.get_by_role("heading", name="You may not enter this room")).to_be_visible()

    # The end, for everybody.
    cy_token = token(Person("Cy", 0, (0, 0, 0)), host=True)
    async with join(two.url, ROOM, name="Cy", token=cy_token) as cy:
        happened = cy.events()
        await manage(ada)
        await ada.get_by_role("button", name="End for everybody").click()
        await ada.locator("dialog").get_by_role("button", name="End for everybody").click()
        await expect(ada.get_by_role("heading", name="The call is over")).to_be_visible()
        states = [event async for event in happened if isinstance(event, ConnectionChanged)]
        assert states[-1].reason == "ended"
