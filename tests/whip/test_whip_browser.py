"""The spec author's own client, `whip-whep`, in a real Chromium, on a page of another origin than the server's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from broadcasting import SECONDS, SECRET, Service, ffmpeg, hear, see, serving, track_of
from playwright.async_api import Page, async_playwright

from bench.chromium import AUTOPLAY, CHROMIUM, FLAGS
from rtc.client import join
from signaling.tokens import Grants, issue

CLIENTS = Path(__file__).parents[2] / "web" / "node_modules" / "whip-whep"
PAGE = (
    """<!doctype html><title>Player</title><video autoplay muted playsinline></video>
<script type="module">
import {WHEPClient} from "/whep.js";
import {WHIPClient} from "/whip.js";

const video = document.querySelector("video");
const stream = video.srcObject = new MediaStream();
const PATIENCE = MILLISECONDS;
window.rejections = [];
window.streams = new Set();
addEventListener("unhandledrejection", (event) => rejections.push(String(event.reason)));

const connect = () => {
    window.pc = new RTCPeerConnection({bundlePolicy: "max-bundle"});
    pc.ontrack = ({track, streams}) => {
        stream.addTrack(track);
        for (const one of streams) window.streams.add(one.id);
    };
};
const until = async (test) => {
    const end = performance.now() + PATIENCE;
    while (!(await test())) {
        if (performance.now() > end) throw new Error(`never: ${test}`);
        await new Promise(requestAnimationFrame);
    }
};
window.watch = async (url, token, described) => {
    connect();
    pc.addTransceiver("audio", {direction: "recvonly"});
    const slot = pc.addTransceiver("video", {direction: "recvonly"});
    if (described) {
        const extensions = slot.getHeaderExtensionsToNegotiate();
        extensions.find(({uri}) => uri.includes("dependency-descriptor")).direction = "sendrecv";
        slot.setHeaderExtensionsToNegotiate(extensions);
    }
    window.client = new WHEPClient();
    await client.view(pc, url, token);
    await until(() => pc.connectionState === "connected");
};
window.publish = async (url, token, hertz, colour, sendEncodings, codec) => {
    connect();
    const audio = new AudioContext();
    const tone = new OscillatorNode(audio, {frequency: hertz});
    const out = audio.createMediaStreamDestination();
    tone.connect(new GainNode(audio, {gain: 0.4})).connect(out);
    tone.start();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [640, 360];
    const pen = canvas.getContext("2d");
    setInterval(() => { pen.fillStyle = colour; pen.fillRect(0, 0, 640, 360); }, 66);
    pc.addTransceiver(out.stream.getAudioTracks()[0], {direction: "sendonly"});
    const [picture] = canvas.captureStream(15).getVideoTracks();
    const camera = pc.addTransceiver(picture, {direction: "sendonly", sendEncodings});
    const {codecs} = RTCRtpReceiver.getCapabilities("video");
    if (codec) camera.setCodecPreferences(codecs.filter((one) => one.mimeType === codec));
    window.client = new WHIPClient();
    await client.publish(pc, url, token);
    await until(() => pc.connectionState === "connected");
};
window.hear = async (hertz) => {
    const audio = new AudioContext();
    await audio.resume();
    const analyser = new AnalyserNode(audio, {fftSize: 8192, smoothingTimeConstant: 0});
    audio.createMediaStreamSource(stream).connect(analyser);
    const bins = new Float32Array(analyser.frequencyBinCount);
    await until(() => {
        analyser.getFloatFrequencyData(bins);
        const peak = bins.indexOf(Math.max(...bins));
        return Math.abs(peak * audio.sampleRate / 8192 - hertz) < 15 && bins[peak] > -60;
    });
    await audio.close();
};
window.see = async (colours) => {
    const canvas = new OffscreenCanvas(60, 20);
    const pen = canvas.getContext("2d", {willReadFrequently: true});
    await until(() => {
        pen.drawImage(video, 0, 0, 60, 20);
        return [10, 30, 50].every((x, i) => {
            const [r, g, b] = pen.getImageData(x, 10, 1, 1).data;
            const values = [r, g, b];
            const [top, second] = [...values].sort((a, b) => b - a);
            return top - second > 60 && values.indexOf(top) === colours[i];
        });
    });
};
window.decoded = (frames) => until(async () => {
    const stats = [...(await pc.getStats()).values()];
    window.picture = stats.find((one) => one.type === "inbound-rtp" && one.kind === "video");
    return window.picture?.framesDecoded >= frames;
}).then(() => picture);
window.selected = async () => {
    const stats = await pc.getStats();
    const of = (type) => [...stats.values()].find((one) => one.type === type);
    const pair = stats.get(of("transport").selectedCandidatePairId);
    return {ufrag: stats.get(pair.localCandidateId).usernameFragment, packets: of("transport").packetsReceived};
};
window.restart = async () => {
    const before = await selected();
    await client.restart();
    await until(async () => (await selected()).ufrag !== before.ufrag);
    const after = await selected();
    await until(async () => (await selected()).packets > after.packets + 20);
};
</script>"""
).replace("MILLISECONDS", str(int(SECONDS * 1000)))


@asynccontextmanager
async def player() -> AsyncIterator[tuple[str, Page]]:
    """Chromium at a page with the clients; its origin, and the page."""
    app = web.Application()
    app.router.add_get("/", _html)
    app.router.add_get("/{name:whip.js|whep.js}", _script)
    site = TestServer(app, access_log=None)
    await site.start_server()
    origin = str(site.make_url("/")).rstrip("/")
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, AUTOPLAY])
            page = await browser.new_page()
            page.set_default_timeout(SECONDS * 1000)
            await page.goto(origin, wait_until="domcontentloaded")  # "load" would wait for the video
            yield origin, page
            await browser.close()
    finally:
        await site.close()


async def _html(_request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def _script(request: web.Request) -> web.Response:
    text = (CLIENTS / request.match_info["name"]).read_text()
    return web.Response(text=text, content_type="text/javascript")


def token(room: str) -> str:
    return issue(SECRET, Grants(room=room), ttl=60)


async def gone(service: Service) -> None:
    async with asyncio.timeout(SECONDS):
        await service.broadcasts.wait_until_none()


@pytest.mark.parametrize("lenient", [False, True])
async def test_whip_whep_watches_what_ffmpeg_publishes(lenient: bool) -> None:
    """WHIP by one stock tool, WHEP by another; the strict server costs the client a rejection and no more."""
    async with player() as (origin, page), serving(
        allowed_origins=origin, whip_lenient_patch=lenient
    ) as service, ffmpeg(f"{service.url}/whip/stage", 700, (2, 0, 1)):  # fmt: skip
        await page.evaluate("url => watch(url)", f"{service.url}/whep/stage")
        await page.evaluate("hear(700)")
        await page.evaluate("see([2, 0, 1])")
        assert await page.evaluate("streams.size") == 1
        rejections = await page.evaluate("rejections")
        assert set(rejections) == (set() if lenient else {"Error: Request rejected with status 428"})
        await page.evaluate("restart()")
        await page.evaluate("see([2, 0, 1])")
        await page.evaluate("client.stop()")
        assert service.members("stage") == {"Broadcast": "whip"}


async def test_whip_whep_publishes_with_a_token_and_a_participant_hears_and_sees_it() -> None:
    async with player() as (origin, page), serving(secret=SECRET) as service:
        assert origin != service.url
        async with join(service.url, "stage", name="Ada", token=token("stage")) as ada:
            await page.evaluate(
                "([url, token]) => publish(url, token, 900, 'rgb(20, 220, 20)')",
                [f"{service.url}/whip/stage?name=Chromium", token("stage")],
            )
            await hear(await track_of(ada, "Chromium", "microphone"), 900)
            await see(await track_of(ada, "Chromium", "camera"), (1, 1, 1))
            assert await page.evaluate("rejections") == []
            await page.evaluate("client.stop()")
            await gone(service)


async def test_a_viewer_gets_one_of_several_encodings_and_keeps_the_better() -> None:
    """Several encodings taken as one source would be a picture that breaks with every packet."""
    layers = [{"rid": "low", "scaleResolutionDownBy": 4}, {"rid": "high"}]
    async with player() as (origin, page), serving(allowed_origins=origin) as service, join(
        service.url, "stage", name="Ada"
    ) as ada:  # fmt: skip
        await page.evaluate(
            "([url, layers]) => publish(url, '', 900, 'rgb(20, 220, 20)', layers)",
            [f"{service.url}/whip/stage", layers],
        )
        assert "a=simulcast:recv low;high" in await page.evaluate("pc.remoteDescription.sdp")
        camera = await track_of(ada, "Broadcast", "camera")
        await see(camera, (1, 1, 1))
        widths = [(await camera.recv()).width for _ in range(20)]
        assert widths == sorted(widths), "the better picture, once it is there, stays"
        await page.evaluate("client.stop()")


async def test_a_viewer_of_av1_gets_the_larger_picture_if_it_asks_to_be_told_of_frames() -> None:
    """Its decoder would show the key frames at most of it otherwise, since their frames cannot be told apart."""
    async with player() as (origin, page), serving(allowed_origins=origin) as service:
        assert page.context.browser is not None
        await page.evaluate(
            "([url, layers]) => publish(url, '', 900, 'rgb(20, 220, 20)', layers, 'video/AV1')",
            [f"{service.url}/whip/layers", [{"scalabilityMode": "L2T3_KEY"}]],
        )
        for described, height in ((True, 360), (False, 180)):
            viewer = await page.context.browser.new_page()
            viewer.set_default_timeout(SECONDS * 1000)
            await viewer.goto(origin, wait_until="domcontentloaded")
            await viewer.evaluate(
                "([url, described]) => watch(url, '', described)", [f"{service.url}/whep/layers", described]
            )
            await viewer.evaluate("see([1, 1, 1])")
            picture = await viewer.evaluate("decoded(40)")
            assert picture["framesDecoded"] >= 0.9 * picture["framesReceived"]
            assert picture["frameHeight"] == height
            await viewer.close()
        await page.evaluate("client.stop()")


async def test_a_wrong_token_is_told_to_the_page() -> None:
    """Over the CORS boundary, where a response without the right headers would only be a network error."""
    async with player() as (_, page), serving(secret=SECRET) as service:
        url = f"{service.url}/whep/stage"
        message = await page.evaluate("url => watch(url, 'x').catch(String)", url)
        assert message == "Error: Request rejected with status 401"
