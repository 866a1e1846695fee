"""Sound and picture of a person are played together: which is held back, by how much, and when neither is."""

from __future__ import annotations

import pytest
from conftest import OpenPage, person, until
from playwright.sync_api import Page

BAR = 45  # ms
COLLECT = """
    const add = RTCPeerConnection.prototype.addTransceiver;
    window.receivers = {};
    RTCPeerConnection.prototype.addTransceiver = function (...options) {
        const transceiver = add.apply(this, options);
        if (options[1]?.direction === "recvonly") (window.receivers[options[0]] ??= []).push(transceiver.receiver);
        return transceiver;
    };
    window.late = 0; // ms by which the clock of the page goes fast
    const now = performance.now.bind(performance);
    performance.now = () => now() + window.late;
    window.played = (kind) => receivers[kind][0].getSynchronizationSources()[0];
    /** ms by which the picture is behind the sound, by the clocks that the page was told, and what these do not tell:
     * a frame of sound takes 20, looking ahead 6.5, it is decoded 5 early and heard 30 later; the picture 16. */
    window.behind = () => {
        const [sound, picture] = [played("audio"), played("video")];
        const [heard, seen] = [(sound.rtpTimestamp - clocks[0]) / 48, (picture.rtpTimestamp - clocks[1]) / 90];
        return picture.timestamp - seen + 16 - (sound.timestamp - heard + 20 + 6.5 + 5 + 30);
    };
    /** Say that the picture is so much behind, compared with how both are played now. */
    window.tell = (ms) => {
        const [sound, picture] = [played("audio"), played("video")];
        const passed = picture.timestamp - sound.timestamp;
        window.clocks = [sound.rtpTimestamp, Math.round(picture.rtpTimestamp + 90 * (ms - passed))];
        const mids = ["microphone", "camera"].map((source) => {
            const { id } = fake.people[0].publications.find((one) => one.source === source);
            return fake.slots.find((slot) => slot.publication === id).mid;
        });
        const timestamps = Object.fromEntries(mids.map((mid, place) => [mid, clocks[place] >>> 0]));
        fake.emit({type: "clocks", timestamps});
        fake.emit({type: "speakers", speakers: [{participant: fake.people[0].id, level: -20}]});
    };
"""


@pytest.mark.parametrize(
    ("behind", "delays"),
    [
        ([0, 17, -12], [(0, 0)] * 3),  # nobody notices
        ([200, 200, 140, 90, 50, 20, 25], [(100, 0), (200, 0), (291, 0), (347, 0), *[(350, 0)] * 3]),
        ([120, 60, 15, -60, -180, -180], [(77, 0), (112, 0), (112, 0), (63, 0), (0, 0), (0, 100)]),  # the loss is over
        ([-45, -40, -30, -20, -10, 10], [(0, 28), (0, 53), (0, 71), (0, 82), (0, 82), (0, 72)]),
        ([-300, -300, -300], [(0, 100), (0, 200), (0, 200)]),  # a picture is not held back further
        ([-45, 200, 200], [(0, 28), (0, 0), (100, 0)]),
        ([700, 310, 290], [(0, 0), (0, 0), (100, 0)]),  # out of reach
        ([200, 200, 250, *[250] * 4, 330], [(100, 0), (200, 0), (300, 0), *[(350, 0)] * 3, (0, 0), (0, 0)]),  # in vain
        ([200, 200, 250, 250, 250, 90, 120], [(100, 0), (200, 0), (300, 0), *[(350, 0)] * 4]),  # it took a while
        ([*[200] * 6, 250, 160, 140], [(100, 0), (200, 0), (300, 0), *[(350, 0)] * 3, (0, 0), (0, 0), (91, 0)]),
        ([120, None, 120], [(77, 0), (0, 0), (77, 0)]),  # the camera is off for a moment
    ],
)
def test_whichever_is_early_is_held_back_slowly_and_no_more_than_need_be(
    modules: Page, behind: list[float | None], delays: list[tuple[float, float]]
) -> None:
    found = modules.evaluate(
        """async (steps) => {
            const {Alignment} = await import("/static/js/lipsync.js");
            const alignment = new Alignment();
            return steps.map((behind) => (alignment.step(behind), [alignment.sound, alignment.picture]));
        }""",
        behind,
    )
    assert [tuple(each) for each in found] == delays


def test_sound_that_waits_by_itself_is_asked_to_wait_longer_than_that(modules: Page) -> None:
    found = modules.evaluate(
        """async (steps) => {
            const {Alignment} = await import("/static/js/lipsync.js");
            const alignment = new Alignment();
            return steps.map(([behind, own]) => (alignment.step(behind, own), alignment.sound));
        }""",
        [(5, 140), (50, 140), (25, 140), (15, 200), (-40, 200), (30, 200)],
    )
    assert found == [0, 168, 179, 179, 144, 214]


def test_sound_waits_for_a_late_picture_and_no_longer_once_that_is_gone(join: OpenPage) -> None:
    page = join(fake={"people": [person(1, "Ada")], "tones": True}, script=COLLECT)
    page.wait_for_selector('[data-tile="person-1"].has-video')
    page.locator(".bar-name").click()
    until(page, "played('audio') && played('video')")
    assert page.evaluate("receivers.audio[0].jitterBufferTarget") is None
    page.evaluate("tell(250)")
    until(page, "receivers.audio[0].jitterBufferTarget > 0")
    until(page, f"Math.abs(behind()) <= {BAR}")
    page.evaluate("""() => {
        const {id} = fake.people[0].publications.find((one) => one.source === "camera");
        fake.emit({type: "unpublished", participant: fake.people[0].id, publication: id});
    }""")
    until(page, "receivers.audio[0].jitterBufferTarget === null")


def test_sound_waits_for_a_late_picture_of_somebody_who_has_spoken_for_a_minute_without_a_pause(join: OpenPage) -> None:
    page = join(fake={"people": [person(1, "Ada")], "tones": True}, script=COLLECT)
    page.wait_for_selector('[data-tile="person-1"].has-video')
    page.locator(".bar-name").click()
    until(page, "played('audio') && played('video')")
    page.evaluate("tell(250), late += 60_000")
    until(page, "receivers.audio[0].jitterBufferTarget > 0")


def test_a_picture_waits_for_headphones_that_are_late(join: OpenPage) -> None:
    headphones = """
        let samples = 0;
        RTCRtpReceiver.prototype.getStats = async () => {
            samples += 48000;
            const delays = {totalPlayoutDelay: 0.2 * samples, totalSamplesCount: samples};
            return new Map([["P", {type: "media-playout", ...delays}]]);
        };
    """
    page = join(fake={"people": [person(1, "Ada")], "tones": True}, script=COLLECT + headphones)
    page.wait_for_selector('[data-tile="person-1"].has-video')
    page.locator(".bar-name").click()
    until(page, "played('audio') && played('video')")
    page.evaluate("tell(0)")
    until(page, "receivers.video[0].jitterBufferTarget > 120")
