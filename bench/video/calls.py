"""Calls of two Chromium pages over a bad network: through Clarion, and through what only passes datagrams on."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from playwright.async_api import Browser, Page, async_playwright

from bench.chromium import ASK_NOBODY, AUTOPLAY, CHROMIUM, FAKE_DEVICES, FLAGS
from bench.relay import Relay
from bench.service import NEAR, service
from rtc.netem import LinkProfile

WATCH = Path(__file__).with_name("watch.js")
MAX_BITRATE = 1_500_000  # bit/s: what the call page asks its encoder for
CONNECT_MS = 20_000
ROOM = "bench"
PLAIN_URL = "http://localhost/"
"""Answered by the bench itself: pages may use a camera on localhost only."""

VISIBLE = """patience => new Promise((resolve, reject) => {
    const end = performance.now() + patience;
    const look = () => {
        const video = document.querySelector(".tile:not(.self) video, #far");
        if (video && video.videoWidth && video.currentTime) {
            watch.begin(video);
            resolve();
        } else if (performance.now() > end) reject(new Error(`no picture after ${patience} ms`));
        else setTimeout(look, 50);
    };
    look();
})"""

STATISTICS = """() => window.connection ? connection.getStats().then((report) => [...report.values()])
    : clarion.stats()"""

OFFER = """async (maxBitrate) => {
    window.connection = new RTCPeerConnection();
    const media = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480, frameRate: 30}});
    const [track] = media.getVideoTracks();
    track.contentHint = "motion";
    connection.addTransceiver(track, {direction: "sendonly", sendEncodings: [{maxBitrate}]});
    await connection.setLocalDescription();
    return connection.localDescription.sdp;
}"""

ANSWER = """async (offer) => {
    window.connection = new RTCPeerConnection();
    connection.ontrack = ({track}) => {
        const video = document.createElement("video");
        Object.assign(video, {id: "far", muted: true, autoplay: true, srcObject: new MediaStream([track])});
        document.body.append(video);
    };
    await connection.setRemoteDescription({type: "offer", sdp: offer});
    await connection.setLocalDescription();
    if (connection.iceGatheringState !== "complete") {
        await new Promise((resolve) => {
            connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
        });
    }
    return connection.localDescription.sdp;
}"""


@dataclass(slots=True)
class Call:
    """A picture on its way from one page to another."""

    sender: Page
    viewer: Page
    set_network: Callable[[LinkProfile], None]
    """What each hop does in each direction from now on."""
    set_ways: Callable[[LinkProfile, LinkProfile], None]
    """What each hop does from now on on the way to the server, or to the viewer, and on the way from it."""

    async def sent(self) -> list[dict[str, Any]]:
        """Statistics of the streams of video that the sender sends: one a layer."""
        return await _streams(self.sender, "outbound-rtp")

    async def seen(self) -> dict[str, Any]:
        """Statistics of the stream of video that the viewer gets."""
        streams = await _streams(self.viewer, "inbound-rtp")
        return max(streams, key=lambda stream: stream.get("framesDecoded", 0))


class Scheme(Protocol):
    """A way to bring the picture over."""

    def __call__(self, browser: Browser, rtt: float, seed: int) -> Any:
        """An asynchronous context of a Call whose viewer sees something; `rtt` is that of one hop, in seconds."""


@asynccontextmanager
async def through_clarion(browser: Browser, rtt: float, seed: int, *scripts: Path) -> AsyncIterator[Call]:
    """The call page, with further scripts that run first, and `clarion serve` between two hops."""
    async with service(rtt=rtt, seed=seed) as running, AsyncExitStack() as stack:

        def set_ways(up: LinkProfile, down: LinkProfile) -> None:
            running.udp.up, running.udp.down = up, down

        viewer = await _page(stack, browser, running.url, *scripts)
        sender = await _page(stack, browser, running.url, *scripts)
        await _enter(sender, "Sofia", camera=True)
        await _enter(viewer, "Li", camera=False)
        await viewer.evaluate(VISIBLE, CONNECT_MS)
        yield Call(sender, viewer, lambda profile: set_ways(profile, profile), set_ways)


@asynccontextmanager
async def passed_on(browser: Browser, rtt: float, seed: int) -> AsyncIterator[Call]:
    """Plain forwarding with honest feedback: between the two hops every datagram goes on as it came.

    All repair and all control of the rate is that of the two browsers, end to end.
    """
    async with AsyncExitStack() as stack:
        sender = await _page(stack, browser, PLAIN_URL)
        viewer = await _page(stack, browser, PLAIN_URL)
        offer = await sender.evaluate(OFFER, MAX_BITRATE)
        # The sender's own addresses are kept from the viewer, and the other way round: there is only the relay.
        answer = await viewer.evaluate(ANSWER, re.sub(r"a=candidate:.*\r\n", "", offer))
        candidates = re.findall(r"a=(candidate:\S+ 1 udp \d+) ([\d.]+) (\d+) typ host", answer)
        _, host, port = next(candidate for candidate in candidates if candidate[1] != "127.0.0.1")
        second = Relay((NEAR, 0), (host, int(port)), seed=2 * seed + 1)
        stack.callback(second.close)
        first = Relay((NEAR, 0), second.address, seed=2 * seed)
        stack.callback(first.close)

        def set_ways(up: LinkProfile, down: LinkProfile) -> None:
            for hop in (first, second):
                hop.up, hop.down = up, down

        def set_network(profile: LinkProfile) -> None:
            set_ways(profile, profile)

        set_network(LinkProfile(delay=rtt / 2))
        near = "a=candidate:1 1 udp 2122260223 {} {} typ host\r\n".format(*first.address)
        lines = re.sub(r"a=candidate:.*\r\n", "", answer)
        sdp = lines.replace("a=ice-ufrag:", f"{near}a=ice-ufrag:", 1)
        await sender.evaluate("sdp => connection.setRemoteDescription({type: 'answer', sdp})", sdp)
        await viewer.evaluate(VISIBLE, CONNECT_MS)
        yield Call(sender, viewer, set_network, set_ways)


@asynccontextmanager
async def chromium(film: Path) -> AsyncIterator[Browser]:
    """A browser whose camera plays a film (YUV4MPEG2) over and over."""
    flags = [*FLAGS, ASK_NOBODY, AUTOPLAY, FAKE_DEVICES, f"--use-file-for-fake-video-capture={film}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


async def _page(stack: AsyncExitStack, browser: Browser, url: str, *scripts: Path) -> Page:
    context = await browser.new_context(base_url=url, locale="en", viewport={"width": 480, "height": 360})
    stack.push_async_callback(context.close)
    context.set_default_timeout(CONNECT_MS)
    page = await context.new_page()
    for script in (WATCH, *scripts):
        await page.add_init_script(path=script)
    if url == PLAIN_URL:
        await page.route("**/*", lambda route: route.fulfill(body="<title>plain</title>", content_type="text/html"))
        await page.goto(url)
    return page


async def _enter(page: Page, name: str, *, camera: bool) -> None:
    stored = json.dumps(json.dumps({"name": name, "micOn": False, "cameraOn": camera}))
    await page.add_init_script(f"localStorage.setItem('clarion.preferences', {stored})")
    await page.goto(f"/r/{ROOM}")
    await page.fill("#name", name)
    await page.click("form.card button[type=submit]")
    await page.wait_for_selector(".call")


async def _streams(page: Page, kind: str) -> list[dict[str, Any]]:
    report = await page.evaluate(STATISTICS)
    return [one for one in report if one["type"] == kind and one["kind"] == "video"]
