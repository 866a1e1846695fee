"""Rooms that are governed: what hosts can do, and what it is like for those whom it is about."""

from __future__ import annotations

from conftest import OpenPage, person, seen, until
from playwright.sync_api import expect
from test_screens import check

HOST = {"canPublish": True, "canSubscribe": True, "roomAdmin": True}
PEOPLE = [person(1, "Ada", camera=False), person(2, "Bo", camera=False)]


def test_a_host_governs_from_the_list_of_people(join: OpenPage) -> None:
    page = join(fake={"people": PEOPLE, "permissions": HOST, "waiters": [{"id": "w1", "name": "Cy"}]})
    until(page, "clarion.state === 'joined'")
    page.keyboard.press("p")
    page.evaluate("fake.emit({type: 'lobby', waiters: [{id: 'w1', name: 'Cy'}, {id: 'w2', name: 'Di'}]})")
    expect(page.locator("#live")).to_have_text("Di waits to be let in")
    check(page, "list of a host")
    page.get_by_role("button", name="Let Cy in", exact=True).click()
    page.get_by_role("button", name="Do not let Di in").click()
    page.get_by_role("button", name="More about Bo").click()
    check(page, "what a host can do about somebody")
    page.get_by_role("button", name="Mute", exact=True).click()
    page.evaluate("fake.emit({type: 'role', participant: 'person-2', role: 'listener', silenced: ['audio']})")
    expect(page.locator(".people-list")).to_contain_text("listens")
    page.get_by_role("button", name="More about Bo").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    check(page, "removing somebody")
    page.locator("dialog").get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Manage the room").click()
    check(page, "managing the room")
    page.get_by_label("Lock the room").check()
    until(page, "fake.sent('set-room').length === 1")
    assert [(one["waiter"], one["admitted"]) for one in seen(page, "admit")] == [("w1", True), ("w2", False)]
    assert [(one["participant"], one["kind"]) for one in seen(page, "silence")] == [("person-2", "audio")]
    assert [one["participant"] for one in seen(page, "remove")] == ["person-2"]
    assert seen(page, "set-room")[0]["locked"] is True


def test_a_press_is_not_lost_because_somebody_speaks_meanwhile(join: OpenPage) -> None:
    page = join(fake={"people": PEOPLE, "permissions": HOST})
    until(page, "clarion.state === 'joined'")
    page.keyboard.press("p")
    page.evaluate("fake.emit({type: 'lobby', waiters: [{id: 'w1', name: 'Cy'}]})")
    for button in ("More about Bo", "Let Cy in"):
        page.get_by_role("button", name=button, exact=True).hover()
        page.mouse.down()
        page.evaluate("fake.emit({type: 'speakers', speakers: [{participant: 'person-1', level: -20}]}, false)")
        expect(page.locator(".people-list .speaking")).to_have_count(1)
        page.evaluate("fake.emit({type: 'speakers', speakers: []}, false)")
        expect(page.locator(".people-list .speaking")).to_have_count(0)
        page.mouse.up()
        if button.startswith("More"):
            expect(page.get_by_role("button", name="Remove", exact=True)).to_be_visible()
            page.keyboard.press("Escape")
    until(page, "fake.sent('admit').length === 1")


def test_who_is_no_host_can_report_and_no_more(join: OpenPage) -> None:
    page = join(fake={"people": PEOPLE})
    until(page, "clarion.state === 'joined'")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Manage the room")).to_be_hidden()
    page.get_by_role("button", name="More about Ada").click()
    assert page.locator("dialog .menu button").count() == 3
    page.get_by_role("button", name="Report").click()
    page.get_by_label("What happened").fill("shouting")
    check(page, "reporting somebody")
    page.locator("dialog").get_by_role("button", name="Report").click()
    until(page, "fake.sent('report').length === 1")
    assert seen(page, "report")[0]["reason"] == "shouting"


def test_one_who_is_muted_by_a_host_stays_so_until_asked(join: OpenPage) -> None:
    page = join(fake={"people": PEOPLE})
    until(page, "clarion.publications.microphone && !clarion.publications.microphone.muted")
    page.evaluate("fake.emit({type: 'role', participant: 'me', role: 'speaker', silenced: ['audio']})")
    expect(page.get_by_role("button", name="Unmute microphone")).to_be_visible()
    page.keyboard.press("m")
    expect(page.locator("#live")).to_have_text("A host has muted you. Wait until you are asked to speak.")
    page.evaluate("""fake.emit({type: 'role', participant: 'me', role: 'speaker'});
        fake.emit({type: 'unmute-asked', by: 'Ada', kind: 'audio'})""")
    expect(page.get_by_text("Ada asks you to.")).to_be_visible()
    check(page, "asked to unmute")
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("button", name="Mute microphone")).to_be_visible()


def test_permissions_change_what_can_be_done_at_once(join: OpenPage) -> None:
    page = join(fake={"people": PEOPLE})
    until(page, "clarion.publications.microphone && clarion.publications.camera")
    listener = {"canPublish": False, "canSubscribe": True, "canPublishData": False, "roomAdmin": False}
    page.evaluate("permissions => fake.emit({type: 'permissions', permissions})", listener)
    expect(page.get_by_role("button", name="Mute microphone")).to_be_hidden()
    page.keyboard.press("c")
    expect(page.get_by_text("You may read along")).to_be_visible()
    page.evaluate("permissions => fake.emit({type: 'permissions', permissions})", HOST)
    expect(page.get_by_role("button", name="Mute microphone")).to_be_visible()
    until(page, "fake.sent('publish').length === 4")


def test_who_waits_in_the_lobby_is_told_so_and_comes_in_with_everything(join: OpenPage) -> None:
    page = join(fake={"people": PEOPLE, "lobby": True})
    expect(page.get_by_text("You are at the door")).to_be_visible()
    check(page, "in the lobby")
    page.evaluate("fake.letIn()")
    expect(page.get_by_text("You are at the door")).to_be_hidden()
    until(page, "clarion.state === 'joined'")
