"""Every screen in both themes and languages: clean under axe-core, nothing cut off, large enough to touch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import AXE, PHONE, WEB, WIDE, OpenPage, person, until
from playwright.sync_api import Page, expect

PEOPLE = [
    person(1, "Ada Lovelace"), person(2, "王小明", camera=False, muted=True), person(3, "Grace", screen=True),
    {**person(4, "Radio"), "kind": "whip", "connected": False},
]
KEYS = list(json.loads((WEB / "locales" / "en.json").read_text("utf-8")))
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
CONTROLS = "button, a[href]:not(.bubble a), select, input, textarea, summary"
TOO_SMALL = f"[...document.querySelectorAll('{CONTROLS}')]" + """.filter((element) => {
    const {width, height} = element.getBoundingClientRect();
    const shown = element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    return shown && width > 0 && (width < 43.5 || height < 43.5);
}).map((element) => element.outerHTML.slice(0, 120))"""

STEADY_TONE = """
    navigator.mediaDevices.getUserMedia = async () => {
      const audio = new AudioContext();
      const tone = audio.createOscillator();
      const out = audio.createMediaStreamDestination();
      tone.connect(out);
      tone.start();
      addEventListener("pointerdown", () => audio.resume());
      return out.stream;
    };
"""
"""The beeps of the fake microphone are too short to pass for speech."""


def check(page: Page, screen: str) -> None:
    """Run axe-core, and look for what is cut off or too small to touch."""
    assert AXE.is_file(), "axe-core is missing: npm --prefix web ci"
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    # What is in order need not be described: that takes half of the time.
    run = "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})"
    result: dict[str, Any] = page.evaluate(run, RULES)
    found = [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in result["violations"]]
    assert found == [], screen
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{screen} is too wide"
    assert page.evaluate(TOO_SMALL) == [], f"{screen} has controls that are hard to touch"
    shown: str = page.evaluate("document.body.innerText")
    assert [key for key in KEYS if key in shown] == [], f"{screen} shows the name of a string"


# Each two of theme, size and language together once.
@pytest.mark.parametrize(("theme", "viewport", "locale"), [
    pytest.param("light", WIDE, "en", id="light-wide-en"),
    pytest.param("light", PHONE, "zh-CN", id="light-phone-zh-CN"),
    pytest.param("dark", WIDE, "zh-CN", id="dark-wide-zh-CN"),
    pytest.param("dark", PHONE, "en", id="dark-phone-en"),
])
def test_all_screens(open_page: OpenPage, theme: str, viewport: dict[str, int], locale: str) -> None:
    # The pictures hardly move: axe-core has the computer to itself.
    page = open_page("/", fake={"people": PEOPLE, "fps": 2}, theme=theme, viewport=viewport, locale=locale)
    page.wait_for_selector(".start h1")
    assert page.evaluate("document.documentElement.lang") == locale
    rooms = ["monday", "a-rather-long-name-of-a-room-that-has-to-wrap-somewhere"]
    page.evaluate("rooms => localStorage.setItem('clarion.recent', JSON.stringify(rooms))", rooms)
    page.reload()
    page.wait_for_selector(".start h1")
    check(page, "start")

    page.goto("/r/test-room")
    page.wait_for_selector(".preview.has-video")
    check(page, "before the call")

    page.fill("#name", "Sofia")
    page.locator("form.card button[type=submit]").click()
    page.wait_for_selector('[data-tile="person-3/screen"].has-video')
    page.evaluate("fake.emit({type: 'speakers', speakers: [{participant: 'person-1', level: -20}]}, false)")
    page.wait_for_selector('[data-tile="person-1"].speaking')
    check(page, "call with a shared screen")
    page.locator("[data-label='control.people']").click()
    check(page, "list of participants")
    page.keyboard.press("Escape")
    page.evaluate("""fake.say('person-1', {kind: 'text', text: 'Look at https://example.org'});
        fake.say('person-2', {kind: 'reaction', emoji: '🎉', message: 1});
        fake.say('me', {kind: 'text', text: 'Only for Ada'}, {to: 'person-1'})""")
    page.evaluate("fake.refusal = 'unavailable'")
    page.locator("[data-label='control.chat']").click()
    page.fill(".chat-field", "Not this one")
    page.keyboard.press("Enter")
    expect(page.locator(".delivery.failed")).to_be_visible()
    check(page, "chat")
    page.locator(".react").first.press("Enter")
    check(page, "reactions")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    check(page, "grid")
    for key in ("i", "?"):
        page.keyboard.press(key)
        expect(page.locator("dialog[open]")).to_be_visible()  # the one before may be there yet, closed
        check(page, f"dialog of {key}")
        page.keyboard.press("Escape")
    if viewport is PHONE:
        page.locator("[data-label='control.more']").click()
        check(page, "more")
        page.locator("dialog .menu button").last.click()
    else:
        page.locator("[data-label='control.settings']").click()
    page.wait_for_selector("dialog .devices")
    check(page, "settings")
    page.keyboard.press("Escape")
    page.evaluate("fake.mode = 'refuse'; fake.drop()")
    expect(page.locator(".banner")).not_to_be_empty()
    check(page, "reconnecting")
    page.locator("[data-label='control.leave']").click()
    page.wait_for_selector(".ending")
    check(page, "left")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_alone_in_a_room(join: OpenPage, theme: str) -> None:
    page = join(fake={}, theme=theme, viewport=PHONE)
    expect(page.get_by_text("You are the first one here")).to_be_visible()
    check(page, "alone")


def test_joins_and_leaves_are_read_out(join: OpenPage) -> None:
    page = join(fake={})
    until(page, "clarion.state === 'joined'")
    live = page.locator("#live[aria-live=polite]")
    page.evaluate("participant => fake.emit({type: 'participant-joined', participant})", person(1, "Ada"))
    expect(live).to_have_text("Ada joined")
    page.evaluate("fake.emit({type: 'participant-left', participant: 'person-1', reason: 'left'})")
    expect(live).to_have_text("Ada left")


def test_theme_and_language_are_switched_at_once_and_remembered(open_page: OpenPage) -> None:
    page = open_page("/", locale="en", theme="light")
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("Language").select_option("zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("button", name="发起新通话")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="发起新通话")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_someone_who_speaks_while_muted_is_told(join: OpenPage) -> None:
    page = join(fake={}, script=STEADY_TONE, preferences={"micOn": True, "cameraOn": False})
    until(page, "clarion.publications.microphone")
    page.keyboard.press("m")
    expect(page.locator(".muted-hint")).to_have_text("You are muted. Press M to be heard.")
    page.keyboard.press("m")
    expect(page.locator(".muted-hint")).to_be_empty()


def test_someone_who_speaks_while_muted_by_a_host_is_not_told_to_press_a_key_in_vain(join: OpenPage) -> None:
    page = join(fake={}, script=STEADY_TONE, preferences={"micOn": True, "cameraOn": False})
    until(page, "clarion.publications.microphone")
    page.evaluate("fake.emit({type: 'role', participant: 'me', role: 'speaker', silenced: ['audio']})")
    expect(page.locator(".muted-hint")).to_have_text("A host has muted you. Wait until you are asked to speak.")


@pytest.mark.parametrize(("size", "least"), [((1248, 706), 0.72), ((374, 700), 0.72), ((736, 900), 0.72)])
def test_the_grid_fills_its_space_for_any_number_of_tiles(modules: Page, size: tuple[int, int], least: float) -> None:
    shares = modules.evaluate("""async ([width, height]) => {
        const { arrangeGrid } = await import('/static/js/layout.js');
        return Array.from({length: 12}, (_, index) => {
            const ids = Array.from({length: index + 1}, (_, id) => String(id));
            const boxes = [...arrangeGrid(ids, width, height).boxes.values()];
            const inside = boxes.every((box) => box.x > -1 && box.y > -1
                && box.x + box.width < width + 1 && box.y + box.height < height + 1);
            const apart = boxes.every((a, i) => boxes.every((b, j) => i <= j || a.x + a.width <= b.x + 1
                || b.x + b.width <= a.x + 1 || a.y + a.height <= b.y + 1 || b.y + b.height <= a.y + 1));
            const filled = boxes.reduce((sum, box) => sum + box.width * box.height, 0) / width / height;
            return inside && apart && boxes.length === index + 1 ? filled : -1;
        });
    }""", list(size))
    assert min(shares) > 0, shares
    assert sum(shares) / len(shares) > least, shares
