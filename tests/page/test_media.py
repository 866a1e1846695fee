"""What the page sends arrives, and what it is sent is heard and seen, at a second peer connection."""

from __future__ import annotations

import pytest
from conftest import SEE, OpenPage, person, until, wait_to_hear
from playwright.sync_api import Page


def test_a_voice_is_heard_and_a_picture_seen(join: OpenPage) -> None:
    page = join(fake={"people": [person(1, "Ada")], "tones": True})
    page.wait_for_selector('[data-tile="person-1"].has-video')
    page.locator(".bar-name").click()  # the far side's tone, too, waits for a touch
    wait_to_hear(page, 500)
    until(page, "document.querySelector('[data-tile=\"person-1\"] video').videoWidth === 640")
    assert max(page.evaluate(SEE, "person-1")["colour"]) > 60, "the picture is black"


def test_what_the_microphone_and_camera_give_arrives_at_the_other_end(join: OpenPage) -> None:
    page = join(fake={})
    until(page, "clarion.publications.camera && clarion.publications.microphone")
    sources = page.evaluate("Object.fromEntries(fake.sent('publish').map(({source, mid}) => [source, mid]))")
    assert sources == {"microphone": "0", "camera": "1"}
    arrived = page.evaluate("""async () => {
        const end = performance.now() + 10000;
        for (;;) {
            const seen = await fake.arrived();
            if (seen[0]?.totalAudioEnergy > 1e-4 && seen[1]?.framesDecoded > 5) return seen;
            if (performance.now() > end) return seen;
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
    }""")
    assert arrived["0"]["totalAudioEnergy"] > 1e-4
    assert arrived["1"]["framesDecoded"] > 5


def test_a_muted_microphone_sends_silence_at_once(join: OpenPage) -> None:
    page = join(fake={})
    until(page, "clarion.publications.microphone")
    page.evaluate("""async () => {
        while (!((await fake.arrived())[0]?.totalAudioEnergy > 1e-4)) {
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    }""")
    page.keyboard.press("m")
    until(page, "fake.sent('mute').length === 1")
    heard = page.evaluate("""async () => {
        const energy = async () => (await fake.arrived())[0].totalAudioEnergy;
        const heard = [];
        do {  // what is still on the way may take a while on a busy machine
            const before = await energy();
            await new Promise((resolve) => setTimeout(resolve, 1500));  // the fake microphone beeps once a second
            heard.push(await energy() - before);
        } while (heard.at(-1) >= 1e-6 && heard.length < 5);
        return heard;
    }""")
    assert heard[-1] < 1e-6, heard


@pytest.mark.parametrize(
    ("size", "rids"), [((640, 480), ["q", "h"]), ((1280, 720), ["q", "h", "f"]), ((320, 240), ["q"])]
)
def test_what_stands_in_for_all_sizes_may_take_what_all_would(
    modules: Page, size: tuple[int, int], rids: list[str]
) -> None:
    """A browser probes when that changes, and on a narrow path keeps to what it finds for ten seconds after."""
    width, height = size
    found = modules.evaluate(
        """async ([width, height, all]) => {
            const {layersOf} = await import("/static/js/simulcast.js");
            const total = (...args) => layersOf({width, height}, ...args).filter(({active}) => active)
                .reduce((sum, {maxBitrate}) => sum + maxBitrate, 0);
            const sets = [new Set(all), ...all.map((rid) => new Set([rid]))];
            const largest = new Set(all.slice(-1));
            const one = [total(largest), ...all.map((rid) => total(new Set([rid]), 1, true, largest))];
            return [...sets.map((rids) => [total(rids), total(rids, 1, true)]), one];
        }""",
        [width, height, rids],
    )
    # Where the largest alone was of use, that is what it all may take before and after.
    one = found.pop()
    assert one == [one[0]] * (len(rids) + 1)
    every = found[0][0]
    assert [instead for _, instead in found[1:]] == [every] * len(rids)
    assert sum(alone for alone, _ in found[1:]) == every


@pytest.mark.parametrize(
    ("looks", "factors"),
    [
        ([(1000, 0), (2000, 50)], [1, 1]),
        ([(1000, 50, 0.5)], [1]),  # a narrow link, not a lossy one
        ([(1000, 300, 2)], [1]),
        ([(1000, 500, 2)], [0.9]),  # seven eighths of what is not sent again
        ([(1000, 500)], [1]),  # nobody knows what may be sent
        ([(1000, 900, 0.1)], [0.2]),
        ([(1000, 500, 2), *((2000 + n * 1000, 500, 2) for n in range(4))], [0.9, 0.9, 1, 1, 1]),
        ([(1000, 300, 1), (2000, 900, 1)], [0.6, 0.5]),  # less at once
        ([(9000, 4500, 2), (500, 0, 2), (1500, 500, 2)], [0.9, 0.9, 0.9]),  # another connection counts anew
    ],
)
def test_pictures_make_room_for_what_is_sent_again_at_once_and_take_it_back_slowly(
    modules: Page, looks: list[tuple[float, ...]], factors: list[float]
) -> None:
    found = modules.evaluate(
        """async (looks) => {
            const {RepairRoom} = await import("/static/js/simulcast.js");
            const room = new RepairRoom();
            return looks.map((look) => (room.count(...look), room.factor));
        }""",
        looks,
    )
    assert found == pytest.approx(factors)
