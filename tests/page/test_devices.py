"""Microphone, camera and loudspeaker: chosen, swapped, unplugged, let go and remembered."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import OpenPage, person, seen, until
from playwright.sync_api import Page, expect

WATCH_TRACKS = """
    window.opened = [];
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wish) => {
        const stream = await open(wish);
        for (const track of stream.getTracks()) opened.push(track);
        return stream;
    };
    window.senders = [];
    const add = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (...options) {
        const transceiver = add.apply(this, options);
        if (options[1]?.direction === "sendonly") senders.push(transceiver.sender);
        return transceiver;
    };
    window.sinks = [];
    const route = HTMLMediaElement.prototype.setSinkId;
    HTMLMediaElement.prototype.setSinkId = function (sink) {
        sinks.push(sink);
        return route.call(this, sink);
    };
"""


@pytest.fixture
def call(join: OpenPage) -> Page:
    page = join(fake={"people": [person(1, "Ada")]}, script=WATCH_TRACKS)
    until(page, "clarion.state === 'joined'")
    until(page, "clarion.publications.camera && clarion.publications.microphone")
    return page


def live(page: Page, kind: str) -> list[dict[str, Any]]:
    """The tracks of that kind that still hold a device."""
    return list(page.evaluate("""kind => opened
        .filter((track) => track.kind === kind && track.readyState === 'live')
        .map(({id, label, enabled}) => ({id, label, enabled}))""", kind))


def test_another_microphone_takes_over_in_the_call(call: Page) -> None:
    before = live(call, "audio")[0]
    call.get_by_role("button", name="Devices and settings").click()
    picker = call.get_by_label("Microphone", exact=True)
    label = next(text for text in picker.locator("option").all_inner_texts() if text != before["label"])
    picker.select_option(label=label)
    until(call, f"opened.at(-1).label === '{label}' && senders[0].track === opened.at(-1)")
    assert [track["label"] for track in live(call, "audio")] == [label]
    assert len(seen(call, "offer")) == 1
    assert len(seen(call, "publish")) == 2


def test_a_choice_outlives_the_page(call: Page) -> None:
    call.get_by_role("button", name="Devices and settings").click()
    picker = call.get_by_label("Microphone", exact=True)
    label = picker.locator("option").all_inner_texts()[-1]
    picker.select_option(label=label)
    until(call, f"opened.at(-1).label === '{label}'")
    call.keyboard.press("Escape")
    call.keyboard.press("v")
    until(call, "fake.sent('mute').length === 1")
    call.reload()
    until(call, "window.opened.length > 0")
    assert [track["label"] for track in live(call, "audio")] == [label]
    assert live(call, "video") == []
    expect(call.get_by_label("Your name")).to_have_value("Sofia")
    expect(call.get_by_role("button", name="Turn camera on")).to_have_attribute("aria-pressed", "false")


def test_the_camera_is_let_go_when_off_and_the_microphone_only_muted(call: Page) -> None:
    call.keyboard.press("v")
    until(call, "fake.sent('mute').some(({publication, muted}) => publication === 'own-camera' && muted)")
    assert live(call, "video") == []
    until(call, "senders[1].track === null")
    call.keyboard.press("m")
    until(call, "fake.sent('mute').some(({publication, muted}) => publication === 'own-microphone' && muted)")
    assert [track["enabled"] for track in live(call, "audio")] == [False]
    call.keyboard.press("v")
    until(call, "fake.sent('mute').some(({publication, muted}) => publication === 'own-camera' && !muted)")
    assert call.evaluate("senders[1].track === opened.at(-1)")
    assert len(seen(call, "offer")) == 1


def test_an_unplugged_microphone_gives_way_to_another(call: Page) -> None:
    call.evaluate("""() => {
        const track = opened.find((one) => one.kind === 'audio');
        track.stop();
        track.dispatchEvent(new Event('ended'));
    }""")
    expect(call.locator(".notice")).to_have_text("The microphone was unplugged; another one is in use")
    until(call, "senders[0].track === opened.at(-1) && opened.at(-1).readyState === 'live'")


def test_with_no_other_camera_the_call_goes_on_without(call: Page) -> None:
    call.evaluate("""() => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', 'NotFoundError'));
        const track = opened.find((one) => one.kind === 'video');
        track.stop();
        track.dispatchEvent(new Event('ended'));
    }""")
    expect(call.get_by_role("button", name="Turn camera on")).to_have_attribute("aria-pressed", "false")
    until(call, "fake.sent('mute').some(({publication, muted}) => publication === 'own-camera' && muted)")
    call.keyboard.press("v")
    expect(call.locator(".notice")).to_contain_text("No camera was found.")


def test_the_chosen_loudspeaker_plays_every_voice(call: Page) -> None:
    until(call, "sinks.length === 4")  # one for each voice that there may be
    call.get_by_role("button", name="Devices and settings").click()
    picker = call.get_by_label("Speaker", exact=True)
    value = picker.locator("option").last.get_attribute("value")
    call.evaluate("sinks.length = 0")
    picker.select_option(value=value)
    until(call, "sinks.length === 4")
    assert set(call.evaluate("sinks")) == {value}


def test_every_device_is_let_go_after_leaving(call: Page) -> None:
    call.get_by_role("button", name="Leave the call").click()
    expect(call.locator(".ending")).to_be_visible()
    assert live(call, "audio") == []
    assert live(call, "video") == []


def test_the_level_meter_moves_before_the_call(open_page: OpenPage) -> None:
    page = open_page("/r/test-room", fake={})
    page.locator("#name").click()  # sound may be measured only after a touch
    until(page, "document.querySelectorAll('.meter .lit').length > 1")
