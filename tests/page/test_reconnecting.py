"""The page keeps a call through lost connections, and loses no command on the way."""

from __future__ import annotations

import pytest
from conftest import QUICK_ATTEMPTS, OpenPage, person, seen, until
from playwright.sync_api import Page, expect


@pytest.fixture
def call(join: OpenPage) -> Page:
    page = join(fake={"people": [person(1, "Ada")]})
    until(page, "clarion.state === 'joined' && clarion.publications.camera")
    page.wait_for_selector('[data-tile="person-1"].has-video')
    return page


def test_a_lost_connection_is_resumed_and_the_media_never_stops(call: Page) -> None:
    call.evaluate("fake.track = clarion.track('camera-1'); fake.mode = 'refuse'; fake.told = fake.seq; fake.drop()")
    expect(call.locator(".banner")).to_have_text("Connection lost. Reconnecting…")
    assert call.evaluate("clarion.connection") == "connected"
    call.evaluate("fake.mode = 'accept'")
    expect(call.locator(".banner")).to_be_empty()
    resume = seen(call, "resume")[-1]
    assert resume["session"] == "a-secret-of-the-test"
    assert resume["ack"] == call.evaluate("fake.told")
    assert call.evaluate("fake.track === clarion.track('camera-1')")
    assert len(seen(call, "offer")) == 1


def test_a_command_given_while_away_is_carried_out_once_after_the_return(call: Page) -> None:
    call.evaluate("fake.mode = 'refuse'; fake.drop()")
    expect(call.locator(".banner")).not_to_be_empty()
    call.keyboard.press("m")
    expect(call.get_by_role("button", name="Unmute microphone")).to_be_visible()
    assert seen(call, "mute") == []
    call.evaluate("fake.mode = 'accept'")
    until(call, "fake.sent('mute').length > 0")
    expect(call.locator(".banner")).to_be_empty()
    assert [(mute["publication"], mute["muted"]) for mute in seen(call, "mute")] == [("own-microphone", True)]


def test_a_command_without_an_answer_is_sent_again_under_its_number(call: Page) -> None:
    call.evaluate("fake.take = fake.sockets.at(-1).take; fake.sockets.at(-1).take = () => {}")
    call.keyboard.press("m")
    until(call, "fake.sent('mute').length === 1")
    call.evaluate("fake.drop()")
    until(call, "fake.sent('mute').length === 2")
    first, again = seen(call, "mute")
    assert first == again


def test_an_event_that_comes_twice_counts_once(call: Page) -> None:
    newcomer = person(2, "Bo")
    call.evaluate("participant => fake.emit({type: 'participant-joined', participant})", newcomer)
    until(call, "clarion.participants.length === 3")
    call.evaluate("fake.emit({type: 'participant-left', participant: 'person-2', reason: 'left'})")
    until(call, "clarion.participants.length === 2")
    call.evaluate("""participant => fake.sockets.at(-1).deliver(
        JSON.stringify({type: 'participant-joined', participant, seq: fake.seq - 1}))""", newcomer)
    call.evaluate("fake.emit({type: 'participant-changed', participant: 'person-1', connected: false})")
    expect(call.locator('[data-tile="person-1"]')).to_contain_text("Reconnecting…")
    assert call.evaluate("clarion.participants.length") == 2


def test_every_event_is_acknowledged(call: Page) -> None:
    call.evaluate("fake.emit({type: 'participant-changed', participant: 'person-1', connected: true})")
    until(call, "fake.sent('ack').at(-1)?.seq === fake.seq")


def test_a_session_that_is_gone_is_joined_afresh_with_everything_that_was_published(call: Page) -> None:
    before = len(seen(call, "publish"))
    call.keyboard.press("m")
    call.evaluate("fake.answerResume = false; fake.drop()")
    until(call, "fake.sent('join').length === 2")
    until(call, f"fake.sent('publish').length === {before + 2}")
    assert {(one["source"], one["muted"]) for one in seen(call, "publish")[before:]} == {
        ("microphone", True), ("camera", False)}
    call.wait_for_selector('[data-tile="person-1"].has-video')


def test_a_failed_transport_gets_a_new_peer_connection_in_the_same_session(call: Page) -> None:
    call.evaluate("fake.emit({type: 'transport', state: 'failed'})")
    until(call, "fake.sent('offer').length === 2")
    until(call, "clarion.connection === 'connected'")
    assert len(seen(call, "join")) == 1
    assert len(seen(call, "publish")) == 2, "what was published stays so"


def test_an_ice_restart_follows_a_change_of_network(call: Page) -> None:
    call.evaluate("dispatchEvent(new Event('online'))")
    until(call, "fake.sent('offer').length === 2")
    first, second = (offer["sdp"].split("a=ice-ufrag:")[1].split("\r")[0] for offer in seen(call, "offer"))
    assert first != second


def test_the_page_gives_up_in_the_end_and_says_so(join: OpenPage) -> None:
    page = join(fake={}, script=QUICK_ATTEMPTS)
    until(page, "clarion.state === 'joined'")
    page.evaluate("fake.mode = 'refuse'; fake.drop()")
    expect(page.locator("h1")).to_have_text("The connection is lost")
    assert page.evaluate("fake.sockets.length") == 41, "the first connection and forty attempts"


def test_a_page_that_comes_back_at_the_same_time_as_everybody_else_tries_again(call: Page) -> None:
    me = call.evaluate("clarion.self")
    call.evaluate("fake.mode = {code: 'rate-limited', message: 'Too many at once.', retryAfter: 1}; fake.drop()")
    until(call, "fake.sent('resume').length === 2")
    expect(call.locator(".banner")).to_have_text("Connection lost. Reconnecting…")
    call.evaluate("fake.mode = 'accept'")
    expect(call.locator(".banner")).to_be_empty()
    assert call.evaluate("clarion.self") == me
    assert len(seen(call, "join")) == 1


def test_who_waits_in_the_lobby_waits_on_through_a_restart(join: OpenPage) -> None:
    page = join(fake={"lobby": True}, script=QUICK_ATTEMPTS)
    expect(page.get_by_text("You are at the door")).to_be_visible()
    page.evaluate("fake.mode = 'refuse'; fake.drop()")
    until(page, "fake.sockets.length > 8")
    page.evaluate("fake.mode = 'accept'")
    until(page, "fake.sent('join').length === 2")
    first, second = seen(page, "join")
    assert first["session"] == second["session"], "the same join, not another"
    page.evaluate("fake.letIn()")
    until(page, "clarion.state === 'joined'")


def test_the_token_is_used_to_join_and_does_not_stay_in_the_address(open_page: OpenPage) -> None:
    for path in ("/r/test-room#token=abc.def", "/r/test-room?token=abc.def"):
        page = open_page(path, fake={})
        expect(page.locator("#name")).to_be_visible()
        assert "abc" not in page.url
        page.fill("#name", "Sofia")
        page.locator("form.card button[type=submit]").click()
        until(page, "clarion.state === 'joined'")
        assert seen(page, "join")[0]["token"] == "abc.def"
        page.keyboard.press("i")
        assert "abc" not in page.get_by_label("Link of the call").input_value()


def test_more_slots_are_offered_when_the_room_outgrows_them(call: Page) -> None:
    def sections(offer: dict[str, str]) -> int:
        return offer["sdp"].count("a=recvonly")

    assert sections(seen(call, "offer")[0]) == 8
    for number in range(2, 7):
        newcomer = person(number)
        _microphone, camera = newcomer.pop("publications")
        call.evaluate("event => fake.emit(event)", {"type": "participant-joined", "participant": newcomer})
        call.evaluate("event => fake.emit(event)", {
            "type": "published", "participant": newcomer["id"], "publication": camera})
    until(call, "fake.sent('offer').length === 2")
    assert sections(seen(call, "offer")[1]) == 12


def test_a_snapshot_in_place_of_lost_events_changes_the_people_and_leaves_the_media_alone(call: Page) -> None:
    call.evaluate("fake.track = clarion.track('camera-1')")
    call.evaluate("bo => fake.people.push(bo)", {**person(2, "Bo"), "publications": []})
    call.evaluate("fake.joined({session: '', snapshot: true, slots: fake.slots})")
    until(call, "clarion.participants.length === 3")
    assert call.evaluate("fake.track === clarion.track('camera-1')")
    call.evaluate("fake.told = fake.seq; fake.drop()")
    until(call, "fake.sent('resume').length === 1")
    assert seen(call, "resume")[0]["session"] == "a-secret-of-the-test"
    assert seen(call, "resume")[0]["ack"] == call.evaluate("fake.told")


def test_after_a_restart_of_the_server_the_same_session_gets_new_media(call: Page) -> None:
    call.evaluate("fake.restarted = true; fake.drop()")
    until(call, "fake.sent('offer').length === 2")
    until(call, "clarion.state === 'joined' && fake.sent('publish').filter(p => p.source === 'camera').length === 2")
    assert len(seen(call, "join")) == 1
    until(call, "clarion.connection === 'connected'")
