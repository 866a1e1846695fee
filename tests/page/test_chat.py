"""What is said in writing: sent once whatever the connection does, in order, and never more than text."""

from __future__ import annotations

import pytest
from conftest import OpenPage, person, seen, until
from playwright.sync_api import Page, expect

SAID = "[...document.querySelectorAll('.bubble')].map((bubble) => bubble.textContent)"


@pytest.fixture
def call(join: OpenPage) -> Page:
    page = join(fake={"people": [person(1, "Ada", camera=False)]}, preferences={"cameraOn": False, "micOn": False})
    until(page, "clarion.state === 'joined'")
    return page


def write(page: Page, text: str) -> None:
    page.locator(".chat-field").fill(text)
    page.keyboard.press("Enter")


def test_what_is_written_while_away_arrives_once_and_in_order(call: Page) -> None:
    call.keyboard.press("c")
    write(call, "one")
    until(call, "fake.messages.length === 1")
    expect(call.locator(".delivery")).to_have_count(0)
    call.evaluate("fake.refusal = 'silence'")  # carried out, but the answer is lost
    write(call, "two")
    until(call, "fake.sent('send').length === 2")
    call.evaluate("fake.say('me', {kind: 'text', text: 'two'}, {key: fake.sent('send')[1].key}); fake.refusal = ''")
    call.evaluate("fake.mode = 'refuse'; fake.drop()")
    write(call, "three")
    expect(call.locator(".delivery")).to_have_text("Sending…")
    call.evaluate("fake.say('person-1', {kind: 'text', text: 'and Ada'})")  # while we are away
    call.evaluate("fake.answerResume = false; fake.mode = 'accept'")  # and the session is lost, too
    until(call, "fake.messages.length === 4")
    expect(call.locator(".delivery")).to_have_count(0)
    until(call, f"{SAID}.length === 4")
    assert call.evaluate(SAID) == ["one", "two", "and Ada", "three"]
    keys = [message["key"] for message in call.evaluate("fake.messages")]
    assert len(set(keys)) == 4


def test_what_could_not_be_sent_says_so_and_is_sent_again_when_asked(call: Page) -> None:
    call.keyboard.press("c")
    call.evaluate("fake.refusal = 'unavailable'")
    write(call, "hello")
    expect(call.locator(".delivery.failed")).to_contain_text("Not sent.")
    call.evaluate("fake.refusal = ''")
    call.get_by_role("button", name="Try again").click()
    expect(call.locator(".delivery")).to_have_count(0)
    first, again = seen(call, "send")
    assert first["key"] == again["key"]


def test_links_can_be_followed_and_nothing_else_is_more_than_text(call: Page) -> None:
    call.keyboard.press("c")
    text = "see https://example.org/a_(b), www.example.com. <img src=x onerror=alert(1)> javascript:alert(1)"
    call.evaluate("text => fake.say('person-1', {kind: 'text', text})", text)
    expect(call.locator(".bubble")).to_have_text(text)
    links = call.locator(".bubble a")
    assert [(link.get_attribute("href"), link.inner_text()) for link in links.all()] == [
        ("https://example.org/a_(b)", "https://example.org/a_(b)"), ("https://www.example.com", "www.example.com")]
    assert links.first.get_attribute("rel") == "noopener noreferrer nofollow"
    assert call.locator(".bubble img").count() == 0


def test_unread_messages_are_counted_and_those_who_come_late_page_back_through_all(call: Page) -> None:
    call.evaluate("""() => {
        for (let number = 1; number <= 120; number += 1) {
            fake.messages.push({number, key: `k${number}`, at: Date.now() / 1000 - 9000, sender: 'gone', name: 'Bo',
                content: {kind: 'text', text: `message ${number}`}});
        }
        fake.answerResume = false;
        fake.drop();
    }""")
    expect(call.locator("#live")).to_have_text("While you were away: 120 messages")
    call.evaluate("fake.say('person-1', {kind: 'text', text: 'the last'})")
    expect(call.locator("#live")).to_have_text("Ada: the last")
    call.get_by_role("button", name="unread").click()
    expect(call.locator(".unread")).to_be_hidden()
    until(call, f"(document.querySelector('.chat-scroll').scrollTop = 0, {SAID}.length >= 121)")
    assert call.evaluate(SAID) == [*(f"message {number}" for number in range(1, 121)), "the last"]


def test_a_reaction_is_counted_taken_back_and_shown_over_the_tile(call: Page) -> None:
    call.keyboard.press("c")
    call.evaluate("fake.say('person-1', {kind: 'text', text: 'cake?'})")
    call.locator(".react").last.focus()
    call.keyboard.press("Enter")
    call.keyboard.press("ArrowRight")
    call.keyboard.press("Enter")
    expect(call.locator(".tally")).to_have_attribute("aria-label", "❤️ from Sofia")
    call.locator(".tally").click()
    expect(call.locator(".tally")).to_have_count(0)
    call.evaluate("fake.say('person-1', {kind: 'reaction', emoji: '🎉'})")
    expect(call.locator('[data-tile="person-1"] .burst')).to_have_text("🎉")
