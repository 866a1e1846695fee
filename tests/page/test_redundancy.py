"""Redundancy on what the page says: how packets are re-made, and that what is asked for is what is sent."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import OpenPage, until
from playwright.sync_api import Page

from rtc.wire.red import RedBlock, pack, unpack

OPUS = 111
SENT = """async ([packets, depths]) => {
    const {Packer} = await import("/static/js/red.js");
    const packer = new Packer();
    for (const depth of depths) packer.ask(depth);
    return packets.map(([payload, timestamp]) => [...packer.repack(Uint8Array.from(payload), timestamp)]);
}"""
MEASURE = """async () => {
    const report = await fake.answerer.getStats();
    const one = [...report.values()].find((each) => each.type === "inbound-rtp" && each.kind === "audio");
    return {packets: one.packetsReceived, bytes: one.bytesReceived, energy: one.totalAudioEnergy};
}"""


def repack(page: Page, packets: list[tuple[bytes, Any]], *depths: Any) -> list[bytes]:
    made = page.evaluate(SENT, [[[list(payload), timestamp] for payload, timestamp in packets], list(depths)])
    return [bytes(payload) for payload in made]


def frame(number: int, size: int = 80) -> bytes:
    return bytes([number]) * size


def stream(count: int, size: int = 80, *, start: int = 0) -> list[tuple[bytes, int]]:
    """As Chromium makes it: each packet with the frame before."""
    return [
        (
            pack(OPUS, frame(n, size), [RedBlock(OPUS, 960, frame(n - 1, size))] if n else []),
            (start + n * 960) & 0xFFFFFFFF,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("depth", [0, 1, 4, 10])
def test_a_packet_carries_as_many_frames_as_were_asked_for(modules: Page, depth: int) -> None:
    for number, payload in enumerate(repack(modules, stream(20), depth)):
        redundant, primary = unpack(payload)
        assert primary == RedBlock(OPUS, 0, frame(number))
        carried = range(max(0, number - depth), number)
        assert redundant == [RedBlock(OPUS, (number - n) * 960, frame(n)) for n in carried]


def test_the_wrap_of_the_timestamp_does_not_break_the_chain(modules: Page) -> None:
    made = repack(modules, stream(8, start=0xFFFFFFFF - 3000), 4)
    assert [len(unpack(payload)[0]) for payload in made] == [0, 1, 2, 3, 4, 4, 4, 4]


def test_a_packet_stays_within_what_the_formats_allow(modules: Page) -> None:
    for size in (1, 20, 80, 300, 600, 1023):
        for payload in repack(modules, stream(40, size), 1000)[20:]:
            redundant, _ = unpack(payload)
            assert len(redundant) == max(0, min(17, (999 - size) // (size + 4)))
            assert len(payload) <= max(1000, size + 1)


def test_frames_from_before_a_pause_are_not_sent_again(modules: Page) -> None:
    packets = [*stream(5), (pack(OPUS, frame(9)), 100_000)]
    assert unpack(repack(modules, packets, 4)[-1])[0] == []


@pytest.mark.parametrize("depth", [None, -1, 1.5, "4", {}, [], True])
def test_a_nonsensical_depth_is_ignored(modules: Page, depth: Any) -> None:
    assert all(len(unpack(payload)[0]) <= 2 for payload in repack(modules, stream(6), 2, depth))
    assert len(unpack(repack(modules, stream(6), 2, depth)[-1])[0]) == 2


@pytest.mark.parametrize("payload", [b"", b"\xef", b"\xef\x0f\x00", b"\xef\x0f\x03\xff\x6f\x01", b"\xef" * 40, b"\x6f"])
def test_a_malformed_payload_goes_out_as_it_is(modules: Page, payload: bytes) -> None:
    first, damaged, after = repack(modules, [stream(1)[0], (payload, 960), stream(3)[2]], 4)
    assert damaged == payload
    assert unpack(after) == ([RedBlock(OPUS, 1920, frame(0))], RedBlock(OPUS, 0, frame(2)))
    assert first == pack(OPUS, frame(0))


@pytest.mark.parametrize("timestamp", [None, "960", {}, 0.5])
def test_a_frame_without_a_timestamp_goes_out_as_it_is(modules: Page, timestamp: Any) -> None:
    payload = stream(2)[1][0]
    assert repack(modules, [(payload, timestamp)], 4) == [payload]


def bytes_a_packet(page: Page, seconds: float = 1.5) -> tuple[float, dict[str, Any]]:
    """Mean bytes of the packets that arrive at the far end in a while, and its figures after it."""
    before = page.evaluate(MEASURE)
    page.wait_for_timeout(seconds * 1000)
    after: dict[str, Any] = page.evaluate(MEASURE)
    return (after["bytes"] - before["bytes"]) / (after["packets"] - before["packets"]), after


def test_the_page_sends_as_much_redundancy_as_the_server_asks_for(join: OpenPage) -> None:
    page = join(fake={})
    until(page, "clarion.publications.microphone && clarion.connection === 'connected'")
    page.wait_for_timeout(500)
    assert first_codec(page) == "red"
    plain, _ = bytes_a_packet(page)
    page.evaluate("fake.emit({type: 'redundancy', mid: '0', depth: 4, copies: 1})")
    page.wait_for_timeout(300)
    protected, figures = bytes_a_packet(page)
    assert protected > 4 * plain
    page.evaluate("fake.emit({type: 'redundancy', mid: '0', copies: 1})")
    page.wait_for_timeout(300)
    assert bytes_a_packet(page)[0] < plain * 1.3
    assert figures["energy"] > 1e-4, "what arrives is silence"


def first_codec(page: Page) -> str:
    """The codec that the page prefers for its microphone."""
    sdp = page.evaluate("fake.sent('offer')[0].sdp")
    number = sdp.partition("m=audio ")[2].split()[2]
    return str(sdp.partition(f"a=rtpmap:{number} ")[2].partition("/")[0])


def wait_for_a_voice(page: Page) -> None:
    page.evaluate("""async () => {
        while (!((await fake.arrived())[0]?.totalAudioEnergy > 1e-4)) {
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    }""")


@pytest.mark.parametrize("missing", ["RTCRtpScriptTransform", "Worker"])
def test_a_browser_that_cannot_do_it_still_sends_its_voice(join: OpenPage, missing: str) -> None:
    page = join(fake={}, script=f"delete window.{missing}")
    until(page, "clarion.publications.microphone && clarion.connection === 'connected'")
    page.evaluate("fake.emit({type: 'redundancy', mid: '0', depth: 4, copies: 1})")
    wait_for_a_voice(page)
    assert first_codec(page) == "opus"


def test_a_worker_that_does_not_load_does_not_silence_the_voice(join: OpenPage) -> None:
    page = join(fake={}, script="""
        window.Worker = class extends Worker {
            constructor(url, options) { super(url + "-nowhere", options); }
        };
    """)
    until(page, "clarion.publications.microphone && clarion.connection === 'connected'")
    wait_for_a_voice(page)
