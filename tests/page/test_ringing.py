"""Calling a person: a page that rings, a page that calls, and two that really talk."""

from __future__ import annotations

import pytest
from conftest import OpenPage, seen, until
from playwright.sync_api import Page, expect
from test_screens import check

READY = {"name": "Sofia", "reachable": True, "micOn": False, "cameraOn": False}
CONTACTS = [
    {"id": "ada", "name": "Ada", "presence": "available"}, {"id": "bo", "name": "Bo", "presence": "available"},
    {"id": "cy", "name": "Cy", "presence": "busy"}, {"id": "di", "name": "Di", "presence": "offline"},
]
MISSED = {
    "id": "old", "state": "ended", "caller": {"id": "ada", "name": "Ada"}, "began": 1_790_000_000,
    "ended": 1_790_000_045, "people": [{"id": "sofia", "name": "Sofia", "state": "missed"}],
}  # fmt: skip
TELL = "call => fake.tell({type: 'call', call})"


def incoming(state: str = "ringing", mine: str = "ringing", **more: object) -> dict[str, object]:
    """A call of Ada to us."""
    return {"id": "in", "state": state, "caller": {"id": "ada", "name": "Ada"}, "began": 1_790_000_000,
            "people": [{"id": "sofia", "name": "Sofia", "state": mine}], **more}


def outgoing(state: str, theirs: str, **more: object) -> dict[str, object]:
    """Our call to Ada."""
    return {"id": "call-1", "state": state, "caller": {"id": "sofia", "name": "Sofia"}, "began": 1_790_000_000,
            "people": [{"id": "ada", "name": "Ada", "state": theirs}], **more}


@pytest.fixture
def home(open_page: OpenPage) -> Page:
    page = open_page("/", fake={"contacts": CONTACTS, "log": [MISSED]}, preferences=READY)
    expect(page.get_by_text("Reachable", exact=True)).to_be_visible()
    return page


def test_a_page_rings_and_is_answered_or_declined_by_key(home: Page) -> None:
    ring = home.locator("dialog.ring")
    home.locator("#room").focus()  # who types at this moment does not answer by it
    home.evaluate(TELL, incoming(others=2))
    expect(ring).to_have_attribute("aria-label", "Ada is calling")
    home.keyboard.press("Enter")
    expect(ring).to_be_visible()
    check(home, "ringing")
    home.keyboard.press("d")
    until(home, "fake.sent('decline').length === 1")
    home.evaluate(TELL, incoming("ended", "declined"))
    expect(ring).to_have_count(0)
    home.evaluate(TELL, {**incoming(), "id": "again"})
    home.keyboard.press("a")
    until(home, "fake.sent('accept').length === 1")
    home.evaluate(TELL, {**incoming("active", "accepted", room="call-room", token="a.b.c"), "id": "again"})
    home.wait_for_selector(".call")
    until(home, "fake.sent('join').length === 1")
    assert seen(home, "join")[0]["token"] == "a.b.c"
    home.get_by_role("button", name="Leave the call").click()
    until(home, "fake.sent('hang-up').length === 1")


def test_a_call_that_is_answered_elsewhere_or_taken_back_stops_ringing(home: Page) -> None:
    ring = home.locator("dialog.ring")
    for state, mine in (("active", "accepted"), ("ended", "cancelled"), ("ended", "missed")):
        home.evaluate(TELL, {**incoming(), "id": f"{state} {mine}"})
        expect(ring).to_be_visible()
        home.evaluate(TELL, {**incoming(state, mine), "id": f"{state} {mine}"})
        expect(ring).to_have_count(0)


def test_a_call_is_made_and_what_came_of_it_is_said(home: Page) -> None:
    ring = home.locator("dialog.ring")
    check(home, "reachable")
    expect(home.get_by_role("button", name="Call Cy")).to_be_disabled()
    expect(home.locator(".missed")).to_contain_text("Ada")
    home.get_by_role("button", name="Call Ada").first.click()
    expect(ring).to_contain_text("Calling…")
    check(home, "calling")
    home.evaluate(TELL, outgoing("ended", "declined", ended=1_790_000_005))
    expect(ring).to_contain_text("Ada cannot talk now")
    ring.get_by_role("button", name="Close").click()
    expect(ring).to_have_count(0)
    for name in ("Ada", "Bo"):
        home.get_by_label(f"Choose {name}").check()
    home.get_by_role("button", name="Call 2 people together").click()
    expect(ring).to_contain_text("2 people")
    assert seen(home, "ring")[-1]["people"] == ["ada", "bo"]
    ring.get_by_role("button", name="Cancel").click()
    until(home, "fake.sent('hang-up').length === 1")


def test_a_server_that_forgot_a_call_while_it_rang_does_not_leave_the_caller_without_a_word(home: Page) -> None:
    ring = home.locator("dialog.ring")
    again = "fake.tell({type: 'reachable', session: 'another', you: fake.line.you, contacts: fake.contacts})"
    home.get_by_role("button", name="Call Ada").first.click()
    expect(ring).to_contain_text("Calling…")
    home.evaluate(again)
    expect(ring).to_contain_text("The call was interrupted")
    ring.get_by_role("button", name="Call again").click()
    until(home, "fake.sent('ring').length === 2")
    home.evaluate(TELL, outgoing("ended", "declined"))
    ring.get_by_role("button", name="Close").click()
    home.evaluate(TELL, incoming())
    expect(ring).to_contain_text("is calling you")
    home.evaluate(again)
    expect(ring).to_have_count(0)


def test_two_people_call_one_another_and_the_end_of_one_is_the_end_of_both(open_page: OpenPage) -> None:
    ada = open_page("/", preferences={**READY, "name": "Ada of the call"})
    bo = open_page("/", preferences={**READY, "name": "Bo of the call"})
    ada.get_by_role("button", name="Call Bo of the call").click()
    expect(bo.locator("dialog.ring")).to_contain_text("Ada of the call")
    bo.keyboard.press("a")
    for page in (ada, bo):
        page.wait_for_selector(".call")
        until(page, "clarion.participants.length === 2")
    for page, other in ((ada, "Bo of the call"), (bo, "Ada of the call")):
        expect(page.locator("h1")).to_have_text(other)
        expect(page.locator(".bar-name")).to_have_text(other)
        expect(page).to_have_title(f"{other} · Clarion")
    bo.get_by_role("button", name="Leave the call").click()
    expect(ada.locator("h1")).to_have_text("The call has ended")
    expect(bo.locator("h1")).to_have_text("You left the call")
    expect(bo.locator(".room-name")).to_have_text("Ada of the call")
