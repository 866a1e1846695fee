"""Two real pages, the real service between them: each hears and sees the other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from conftest import SEE, OpenPage, hears, until, wait_to_hear
from playwright.sync_api import Page, expect

TONES = {"Ada": 700, "Bo": 1300}
"""Hz of what each page says."""
COLOURS = {"Ada": (200, 40, 40), "Bo": (40, 60, 200)}
"""RGB of what each page shows, with a bar that moves across it."""
NAMES = tuple(TONES)
COLOUR_TOLERANCE = 40

DEVICES = """
    const make = ({audio, video}) => {
        const stream = new MediaStream();
        if (audio) {
            const context = new AudioContext();
            const gain = new GainNode(context, {gain: 0.4});
            const out = context.createMediaStreamDestination();
            const tone = new OscillatorNode(context, {frequency: TONE});
            tone.connect(gain).connect(out);
            tone.start();
            addEventListener("pointerdown", () => context.resume());
            stream.addTrack(out.stream.getAudioTracks()[0]);
        }
        if (video) {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [320, 240];
            const pen = canvas.getContext("2d");
            let frame = 0;
            setInterval(() => {
                pen.fillStyle = "rgb(COLOUR)";
                pen.fillRect(0, 0, 320, 240);
                pen.fillStyle = "white";
                pen.fillRect((frame++ * 8) % 320, 200, 40, 40);
            }, 66);
            stream.addTrack(canvas.captureStream(15).getVideoTracks()[0]);
        }
        return stream;
    };
    const devices = navigator.mediaDevices ?? {};  // about:blank has none
    devices.getUserMedia = async (wish) => make(wish);
    window.sentOffers = 0;
    window.WebSocket = class extends WebSocket {
        constructor(url) {
            super(window.cut ? url + "-nowhere" : url);
            window.socket = this;
        }
        send(text) {
            if (JSON.parse(text).type === "offer") window.sentOffers += 1;
            super.send(text);
        }
    };
    devices.getDisplayMedia = async () => make({video: true});
"""

@pytest.fixture
def pages(join: OpenPage) -> Iterator[dict[str, Page]]:
    room = f"real-{uuid.uuid4().hex[:8]}"
    opened = {}
    for name in NAMES:
        colour = ",".join(map(str, COLOURS[name]))
        script = DEVICES.replace("TONE", str(TONES[name])).replace("COLOUR", colour)
        opened[name] = join(name, room, script=script)
    yield opened


def other(name: str) -> str:
    return NAMES[1 - NAMES.index(name)]


def tile_of(page: Page, name: str) -> str:
    """The tile of the participant called `name`, once it shows a picture."""
    until(page, f"clarion.participants.some((one) => one.name === '{name}')")
    identity = page.evaluate("name => clarion.participants.find((one) => one.name === name).id", name)
    page.wait_for_selector(f'[data-tile="{identity}"].has-video')
    return str(identity)


def test_two_people_hear_and_see_one_another(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        seen = page.evaluate(SEE, tile_of(page, other(name)))
        assert seen["moves"], f"{name} sees a still picture"
        wanted = COLOURS[other(name)]
        off = max(abs(a - b) for a, b in zip(seen["colour"], wanted, strict=True))
        assert off < COLOUR_TOLERANCE, f"{name} sees {seen['colour']}, not {wanted}"
        wait_to_hear(page, TONES[other(name)])
    speaking = "clarion.participants.some((one) => !one.isSelf && one.speaking)"
    until(pages["Ada"], speaking)


def test_what_is_muted_is_not_heard_and_shown_as_muted(pages: dict[str, Page]) -> None:
    ada, bo = pages["Ada"], pages["Bo"]
    wait_to_hear(ada, TONES["Bo"])
    identity = tile_of(ada, "Bo")
    bo.keyboard.press("m")
    expect(ada.locator(f'[data-tile="{identity}"]')).to_have_attribute("aria-label", "Bo, microphone off")
    assert not hears(ada, TONES["Bo"])
    bo.keyboard.press("m")
    wait_to_hear(ada, TONES["Bo"])


def test_a_camera_goes_off_and_on_and_a_screen_is_shared_without_a_new_offer(pages: dict[str, Page]) -> None:
    ada, bo = pages["Ada"], pages["Bo"]
    identity = tile_of(ada, "Bo")
    offers = bo.evaluate("sentOffers")
    bo.keyboard.press("v")
    expect(ada.locator(f'[data-tile="{identity}"].has-video')).to_have_count(0)
    bo.keyboard.press("v")
    expect(ada.locator(f'[data-tile="{identity}"].has-video')).to_be_visible()
    bo.keyboard.press("s")
    screen = ada.locator(f'[data-tile="{identity}/screen"].has-video.on-stage')
    expect(screen).to_be_visible()
    assert ada.evaluate(SEE, f"{identity}/screen")["moves"]
    bo.keyboard.press("s")
    expect(screen).to_have_count(0)
    assert bo.evaluate("sentOffers") == offers


def test_the_call_goes_on_while_the_websocket_is_away(pages: dict[str, Page]) -> None:
    ada = pages["Ada"]
    wait_to_hear(ada, TONES["Bo"])
    ada.evaluate("cut = true; socket.close()")
    expect(ada.locator(".banner")).to_have_text("Connection lost. Reconnecting…")
    wait_to_hear(ada, TONES["Bo"])
    ada.evaluate("cut = false")
    expect(ada.locator(".banner")).to_be_empty()
    assert ada.evaluate("clarion.state") == "joined"
    pages["Bo"].keyboard.press("m")
    tile = ada.locator(f'[data-tile="{tile_of(ada, "Bo")}"]')
    expect(tile).to_have_attribute("aria-label", "Bo, microphone off")


def test_a_page_that_goes_elsewhere_leaves_the_room_at_once(pages: dict[str, Page]) -> None:
    until(pages["Ada"], "clarion.participants.length === 2")
    pages["Bo"].goto("about:blank")
    expect(pages["Ada"].locator("#live")).to_have_text("Bo left", timeout=5000)


def test_a_page_that_goes_before_it_is_told_that_it_has_joined_leaves_no_ghost(join: OpenPage) -> None:
    room = f"real-{uuid.uuid4().hex[:8]}"
    ada = join("Ada", room, script=DEVICES.replace("TONE", "700").replace("COLOUR", "0,0,0"))
    until(ada, "clarion.state === 'joined'")
    bo = join("Bo", room, ready="body", script="""window.WebSocket = class extends WebSocket {
        set onmessage(_) { /* a computer so busy that it does not come to read */ }
    };""")
    until(ada, "clarion.participants.length === 2")
    bo.goto("about:blank")
    expect(ada.locator("#live")).to_have_text("Bo left", timeout=5000)
