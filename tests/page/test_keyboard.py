"""Everything works from the keyboard, and keys do nothing where they should not."""

from __future__ import annotations

import pytest
from conftest import PHONE, OpenPage, person, seen, until
from playwright.sync_api import Page, expect

FAKE = {"people": [person(1, "Ada"), person(2, "Bo", camera=False)]}


@pytest.fixture
def call(join: OpenPage) -> Page:
    page = join(fake=FAKE)
    until(page, "clarion.state === 'joined' && clarion.publications.camera")
    return page


def test_letters_mute_hide_and_open(call: Page) -> None:
    call.keyboard.press("m")
    expect(call.get_by_role("button", name="Unmute microphone")).to_have_attribute("aria-pressed", "false")
    until(call, "fake.sent('mute').some(({publication, muted}) => publication === 'own-microphone' && muted)")
    call.keyboard.press("v")
    expect(call.get_by_role("button", name="Turn camera on")).to_be_visible()
    until(call, "fake.sent('mute').some(({publication, muted}) => publication === 'own-camera' && muted)")
    call.keyboard.press("p")
    expect(call.get_by_role("complementary")).to_contain_text("Participants (3)")
    call.keyboard.press("Escape")
    expect(call.get_by_role("complementary")).to_be_hidden()
    call.keyboard.press("?")
    expect(call.get_by_role("dialog")).to_contain_text("Mute or unmute")
    call.keyboard.press("Escape")
    expect(call.get_by_role("dialog")).to_have_count(0)


SENT_IN = """async (type) => {
    for (;;) {
        const stats = await clarion.stats();
        const screens = stats.filter((one) => one.type === "outbound-rtp" && one.mid === "2" && one.active);
        const codecs = screens.map(({codecId}) => stats.find(({id}) => id === codecId)?.mimeType);
        if (codecs.length && codecs.every((one) => one === type)) return;
        await new Promise(requestAnimationFrame);
    }
}"""
"""Wait until the screen is sent in a codec."""


def test_s_shares_the_screen_and_stops_it(call: Page) -> None:
    call.evaluate("""navigator.mediaDevices.getDisplayMedia = async () => {
        const canvas = document.createElement('canvas');
        let frame = 0;
        setInterval(() => canvas.getContext('2d').fillRect(frame++ % 200, 0, 9, 9), 100);
        return canvas.captureStream(5);
    }""")
    call.keyboard.press("s")
    expect(call.get_by_text("You are sharing your screen")).to_be_visible()
    until(call, "clarion.publications.screen")
    assert [message["mid"] for message in seen(call, "publish") if message["source"] == "screen"] == ["2"]
    # Text takes a twelfth of the rate in AV1: as long as everybody can decode that.
    for codecs, sent in (([], "VP8"), (["AV1", "VP8"], "AV1"), (["H264", "VP8"], "VP8")):
        call.evaluate("codecs => fake.emit({type: 'codecs', codecs})", codecs)
        call.evaluate(SENT_IN, f"video/{sent}")
    call.keyboard.press("s")
    expect(call.get_by_text("You are sharing your screen")).to_be_hidden()
    until(call, "fake.sent('unpublish').some(({publication}) => publication === 'own-screen')")
    assert len(seen(call, "offer")) == 1, "sharing a screen must not need a new offer"


def test_letters_do_nothing_with_a_modifier_or_while_a_dialog_is_open(call: Page) -> None:
    call.keyboard.press("Control+m")
    call.keyboard.press("Alt+v")
    call.keyboard.press("i")
    expect(call.get_by_role("dialog")).to_contain_text("Invite others")
    call.keyboard.press("m")
    call.keyboard.press("Escape")
    assert seen(call, "mute") == []
    expect(call.get_by_role("button", name="Mute microphone")).to_be_visible()


def test_letters_do_nothing_while_one_types(call: Page) -> None:
    call.evaluate("document.querySelector('.floor').append(document.createElement('input'))")
    call.locator(".floor > input").focus()
    call.keyboard.type("mvp")
    assert seen(call, "mute") == []
    expect(call.get_by_role("complementary")).to_be_hidden()


def test_tab_reaches_every_control_of_the_bar_and_shows_where_it_is(call: Page) -> None:
    wanted = {
        "Mute microphone", "Turn camera off", "Share screen", "Show the speaker large", "Leave the call",
        "Participants", "Invite", "Devices and settings", "Keyboard shortcuts",
    }
    reached: set[str] = set()
    for _ in range(20):
        call.keyboard.press("Tab")
        name, outline = call.evaluate("""[
            document.activeElement.getAttribute('aria-label'),
            getComputedStyle(document.activeElement).outlineStyle,
        ]""")
        if name in wanted:
            assert outline == "solid", f"{name} shows no focus"
            reached.add(name)
    assert reached == wanted


def test_the_focus_stays_in_a_dialog_and_returns(call: Page) -> None:
    invite = call.get_by_role("button", name="Invite", exact=True)
    invite.focus()
    call.keyboard.press("Enter")
    expect(call.get_by_role("dialog").get_by_role("button", name="Copy link")).to_be_focused()
    for _ in range(8):
        call.keyboard.press("Tab")
        # the browser's own interface is a stop on the round, and shows as the body
        assert call.evaluate("document.activeElement.matches('body, dialog *')")
    call.keyboard.press("Escape")
    expect(invite).to_be_focused()


def test_pinning_puts_a_tile_on_the_stage_and_tells_the_server(call: Page) -> None:
    call.keyboard.press("p")
    call.get_by_role("button", name="More about Ada").click()
    call.get_by_role("dialog").get_by_role("button", name="Pin or unpin").click()
    expect(call.locator('[data-tile="person-1"].pinned.on-stage')).to_be_visible()
    until(call, "fake.sent('watch').some(({publications}) => publications?.[0] === 'camera-1')")
    call.get_by_role("button", name="More about Ada").click()
    call.get_by_role("dialog").get_by_role("button", name="Pin or unpin").click()
    until(call, "fake.sent('watch').at(-1).publications === null")


def test_on_a_phone_the_rest_of_the_bar_is_behind_one_button(join: OpenPage) -> None:
    page = join(fake=FAKE, viewport=PHONE)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Devices and settings").click()
    expect(page.get_by_role("dialog").get_by_label("Microphone")).to_be_visible()


def test_a_room_is_created_and_entered_from_the_keyboard_and_remembered(open_page: OpenPage) -> None:
    page = open_page("/")
    page.get_by_role("button", name="Start a new call").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/r/*")
    assert page.locator("h1").inner_text().count("-") == 2
    page.goto("/")
    page.get_by_label("Or enter a room you know").fill("https://example.org/r/Team%20room?x=1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/r/Team-room")
    page.goto("/")
    page.get_by_label("Or enter a room you know").fill(" / ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="name of a room")).to_be_visible()
