"""Every way in which a call ends, or cannot begin, has a page of its own with a next step."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from conftest import QUICK_ATTEMPTS, OpenPage, person, until
from playwright.sync_api import Page, expect

from signaling.protocol import Closed, ErrorCode

CLOSED = {
    "left": "You left the call",
    "replaced": "The call goes on in another tab",
    "removed": "You were removed from the call",
    "banned": "You may not enter this room",
    "revoked": "An invitation is needed",
    "ended": "The call is over",
    "timeout": "You were away for too long",
    "shutdown": "The server is restarting",
    "too-slow": "Your connection could not keep up",
    "protocol-error": "Page and server misunderstand each other",
}
ERRORS = {
    "bad-message": "The server did not accept this",
    "bad-sdp": "Page and server misunderstand each other",
    "bad-state": "Page and server misunderstand each other",
    "not-found": "There is no such room",
    "not-permitted": "You may not enter this room",
    "unauthorized": "An invitation is needed",
    "room-full": "The room is full",
    "server-full": "The server is full",
    "gone": "You were away for too long",
    "rate-limited": "Too many attempts",
    "too-large": "The server did not accept this",
    "conflict": "The server did not accept this",
    "unavailable": "Something broke on the server",
    "banned": "You may not enter this room",
    "locked": "The room is locked",
    "denied": "You were not let in",
    "internal": "Something broke on the server",
}
NEXT_STEPS = {"Rejoin", "Try again", "Reload the page", "Back to the start", "Watch and listen"}


def steps(page: Page) -> set[str]:
    return set(page.locator(".ending main button").all_inner_texts())


def test_the_tables_hold_every_reason_and_code_of_the_protocol() -> None:
    assert set(CLOSED) == set(get_args(get_type_hints(Closed)["reason"]))
    assert set(ERRORS) == set(get_args(ErrorCode))


WITHOUT_DEVICES = {"micOn": False, "cameraOn": False}


def enter_again(page: Page, mode: Any = "accept") -> None:
    """Go into the room once more, without loading the page anew; the server answers as `mode` says."""
    page.evaluate("""mode => {
        fake.mode = mode;
        history.pushState(null, "", "/r/test-room");
        dispatchEvent(new PopStateEvent("popstate"));
    }""", mode)
    page.fill("#name", "Sofia")
    page.click("form.card button[type=submit]")


def test_each_refusal_is_told_apart(open_page: OpenPage) -> None:
    page = open_page("/", fake={}, preferences=WITHOUT_DEVICES)
    for code, title in ERRORS.items():
        enter_again(page, {"code": code, "message": f"Because of {code}."})
        expect(page.locator(".detail"), code).to_have_text(f"Because of {code}.")
        expect(page.locator("h1"), code).to_have_text(title)
        assert steps(page)
        assert steps(page) <= NEXT_STEPS


def test_each_end_of_a_session_is_told_apart(open_page: OpenPage) -> None:
    page = open_page("/", fake={}, preferences=WITHOUT_DEVICES)
    for reason, title in CLOSED.items():
        enter_again(page)
        page.wait_for_selector(".call")
        until(page, "clarion.state === 'joined'")
        page.evaluate("reason => fake.emit({type: 'closed', reason})", reason)
        expect(page.locator("h1"), reason).to_have_text(title)
        assert steps(page) <= NEXT_STEPS


def test_leaving_shows_a_page_from_which_one_can_come_back(join: OpenPage) -> None:
    page = join(fake={})
    page.get_by_role("button", name="Leave the call").click()
    expect(page.locator("h1")).to_have_text(CLOSED["left"])
    page.get_by_role("button", name="Rejoin").click()
    expect(page.locator("#name")).to_have_value("Sofia")
    page.locator("form.card button[type=submit]").click()
    until(page, "clarion.state === 'joined'")


def test_a_server_that_does_not_answer_is_said_so(join: OpenPage) -> None:
    page = join(fake={"mode": "refuse"}, script=QUICK_ATTEMPTS, ready=".ending")
    expect(page.locator("h1")).to_have_text("The server does not answer")
    assert "Try again" in steps(page)


def test_a_browser_without_webrtc_is_told_which_ones_work(open_page: OpenPage) -> None:
    page = open_page("/r/test-room", script="delete window.RTCPeerConnection")
    expect(page.locator("h1")).to_have_text("This browser cannot hold a call")


def test_over_plain_http_one_can_still_watch_and_listen(open_page: OpenPage) -> None:
    page = open_page(
        "/r/test-room", fake={"people": [person(1)]},
        script="Object.defineProperty(Navigator.prototype, 'mediaDevices', {value: undefined})",
    )
    expect(page.locator("h1")).to_have_text("This address is not secure")
    page.get_by_role("button", name="Watch and listen").click()
    expect(page.locator(".problems")).to_contain_text("Over plain http")
    page.fill("#name", "Sofia")
    page.get_by_role("button", name="Join to watch and listen").click()
    until(page, "clarion.state === 'joined' && clarion.participants.length === 2")
    page.wait_for_selector('[data-tile="person-1"].has-video')


@pytest.mark.parametrize(("error", "sentence"), [
    ("NotAllowedError", "The microphone is blocked."),
    ("NotFoundError", "No microphone was found."),
    ("NotReadableError", "another program may be using it"),
])
def test_without_devices_one_is_told_why_and_joins_all_the_same(
    open_page: OpenPage, error: str, sentence: str
) -> None:
    refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{error}'))"
    page = open_page("/r/test-room", fake={"people": [person(1)]}, script=refuse)
    expect(page.locator(".problems")).to_contain_text(sentence)
    page.fill("#name", "Sofia")
    page.get_by_role("button", name="Join to watch and listen").click()
    page.wait_for_selector('[data-tile="person-1"].has-video')
    assert page.evaluate("fake.sent('publish')") == []


def test_sound_that_the_browser_holds_back_is_asked_for_with_one_tap(join: OpenPage) -> None:
    page = join(fake={"people": [person(1)]}, script="""
        const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () {
          const refused = this instanceof HTMLAudioElement && !window.touched;
          return refused ? Promise.reject(new DOMException("touch", "NotAllowedError")) : play.call(this);
        };
    """)
    tap = page.get_by_role("button", name="Tap to hear")
    expect(tap).to_be_focused()
    page.evaluate("window.touched = true")
    tap.click()
    expect(page.locator("dialog")).to_have_count(0)


def test_an_address_that_names_no_room_says_so(open_page: OpenPage) -> None:
    page = open_page("/r/%20%20")
    expect(page.locator("h1")).to_have_text("This is no name for a room")
