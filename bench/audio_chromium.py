"""Real Chromium through a lossy relay: how much of the speech has its NetEQ to conceal?

    python -m bench.audio_chromium [--camera] [--json]

A page, or a bare WHIP publisher, speaks; the call page of another tab listens; `clarion serve` is between them, and
between it and one or both of them a network that loses datagrams. Whoever is not to lose anything gets the
server's own address. Losses begin when the call stands, and are independent of one another. With a camera the sound
waits for the picture where that is late: what that costs is in the jitter buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from bench.audio.speech import NoSpeechError, recorded, write
from bench.chromium import ASK_NOBODY, AUTOPLAY, CHROMIUM, FAKE_DEVICES, FLAGS
from bench.service import NEAR, SERVER, Service, service
from rtc.netem import LinkProfile

SPEECH_SECONDS = 15.0  # the recording is said over and over: whole rounds of it have the same size
WARM_UP_SECONDS = 10.0  # of loss, before anything counts: as long as a minute of call deserves
CONNECT_MS = 30_000
SETTLE_SECONDS = 2.0
NOISE = 0.005  # share that a busy machine conceals where nothing is lost
MAX_OVERHEAD = 0.03  # of what the call page sends without loss, over the plain Opus of the WHIP publisher
UDP_IP_BYTES = 28  # of each datagram, beside RTP
SRTP_TAG_BYTES = 16  # AES-GCM

HEADING = f"{'':32} concealed    bar   buffer    late  nacks/s  resent/s   B up   up  down  kbit/s"

DIRECT = """
    window.WebSocket = class extends WebSocket {
        set onmessage(handle) {
            super.onmessage = (event) => handle({data: event.data.replaceAll("NEAR", "SERVER")});
        }
    };
""".replace("NEAR", NEAR).replace("SERVER", SERVER)  # what it is told of the relay leads past it

UNTIL = """([condition, patience]) => new Promise((resolve, reject) => {
    const end = performance.now() + patience;
    const conditions = {
        speaking: () => clarion.publications.microphone && clarion.connection === "connected",
        hearing: () => clarion.slots.some((slot) => slot.publication) && clarion.connection === "connected",
    };
    const look = () => {
        if (conditions[condition]()) resolve();
        else if (performance.now() > end) reject(new Error(`not ${condition} after ${patience} ms`));
        else setTimeout(look, 50);
    };
    look();
})"""

STATISTICS = "() => (window.whip ? whip.getStats().then((report) => [...report.values()]) : clarion.stats())"

WHIP = """async ([room, patience]) => {
    const connection = window.whip = new RTCPeerConnection();
    const media = await navigator.mediaDevices.getUserMedia({audio: true});
    connection.addTransceiver(media.getAudioTracks()[0], {direction: "sendonly", streams: [media]});
    await connection.setLocalDescription();
    if (connection.iceGatheringState !== "complete") {
        await new Promise((resolve) => {
            connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
        });
    }
    const headers = {"Content-Type": "application/sdp"};
    const response = await fetch(`/whip/${room}`, {method: "POST", headers, body: connection.localDescription.sdp});
    if (response.status !== 201) throw new Error(`WHIP: ${response.status} ${await response.text()}`);
    await connection.setRemoteDescription({type: "answer", sdp: await response.text()});
    const end = performance.now() + patience;
    while (connection.connectionState !== "connected") {
        if (performance.now() > end) throw new Error("WHIP does not connect");
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}"""


@dataclass(frozen=True, slots=True)
class Case:
    """A network and who is behind it."""

    name: str
    speaker: Literal["page", "whip"] = "page"
    up: float = 0.0
    """Share lost from the clients on the bad network to the server."""
    down: float = 0.0
    """And back."""
    speaker_suffers: bool = False
    listener_suffers: bool = False
    bar: float = NOISE
    """Largest share that may be concealed."""


CASES = (
    Case("WHIP to page, no loss", "whip"),
    Case("page to page, no loss"),
    Case("to the page, 50 % down", down=0.5, listener_suffers=True, bar=0.02),
    Case("to the page, 80 % down", down=0.8, listener_suffers=True, bar=0.06),
    Case("page to page, 50 % both ways", up=0.5, down=0.5, speaker_suffers=True, listener_suffers=True, bar=0.03),
    Case("WHIP to page, 50 % up", "whip", up=0.5, speaker_suffers=True, bar=0.06),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a case."""

    name: str
    concealed: float
    """Share of what was played."""
    bar: float
    buffer_ms: float
    """Mean time in the listener's jitter buffer."""
    late: float
    """Packets that came too late for it, or once more, as a share of those received."""
    nacks: float
    """Packets asked for by the listener, a second."""
    resent: float
    """Packets that the speaker sent again, a second."""
    up_bytes: float
    """Mean size of a datagram that the speaker sends, with all headers."""
    up_kbits: float
    down_kbits: float
    """On the wire, headers included: from the speaker, and to the listener."""

    @property
    def passed(self) -> bool:
        """Whether the bar was cleared."""
        return self.concealed <= self.bar


async def measure(browser: Browser, case: Case, *, rtt: float, seconds: float, camera: bool) -> Figures:
    """Run one case with a server of its own."""
    async with service() as running, contextlib.AsyncExitStack() as stack:
        listener = await _open(stack, browser, running, direct=not case.listener_suffers)
        speaker = await _open(stack, browser, running, direct=not case.speaker_suffers)
        if case.speaker == "whip":
            await speaker.goto("/")
            await speaker.evaluate(WHIP, ["bench", CONNECT_MS])
        else:
            await _enter(speaker, "Sofia", speaks=True, camera=camera)
            await speaker.evaluate(UNTIL, ["speaking", CONNECT_MS])
        await _enter(listener, "Li", speaks=False, camera=False)
        await listener.evaluate(UNTIL, ["hearing", CONNECT_MS])
        await asyncio.sleep(SETTLE_SECONDS)
        running.udp.up = LinkProfile(loss=case.up, delay=rtt / 2)
        running.udp.down = LinkProfile(loss=case.down, delay=rtt / 2)
        await asyncio.sleep(WARM_UP_SECONDS)
        relayed = running.udp.counters()["down"]["sent"]
        sent = await _busiest(speaker, "outbound-rtp")
        heard = await _busiest(listener, "inbound-rtp")
        await asyncio.sleep(seconds)
        sent = await _since(speaker, "outbound-rtp", sent)
        heard = await _since(listener, "inbound-rtp", heard)
        relayed = running.udp.counters()["down"]["sent"] - relayed
        return _figures(case, sent, heard, relayed if case.listener_suffers else heard["packetsReceived"], seconds)


def _figures(
    case: Case, sent: dict[str, float], heard: dict[str, float], datagrams_down: float, seconds: float
) -> Figures:
    outer = UDP_IP_BYTES + SRTP_TAG_BYTES
    up = sent["bytesSent"] + sent["headerBytesSent"] + sent["packetsSent"] * outer
    down = heard["bytesReceived"] + heard["headerBytesReceived"] + heard["packetsReceived"] * outer
    return Figures(
        name=case.name,
        concealed=heard["concealedSamples"] / max(heard["totalSamplesReceived"], 1),
        bar=case.bar,
        buffer_ms=1000 * heard["jitterBufferDelay"] / max(heard["jitterBufferEmittedCount"], 1),
        late=heard["packetsDiscarded"] / max(heard["packetsReceived"], 1),
        nacks=heard["nackCount"] / seconds,
        resent=sent.get("retransmittedPacketsSent", 0) / seconds,
        up_bytes=up / max(sent["packetsSent"], 1),
        up_kbits=up * 8 / seconds / 1000,
        down_kbits=down / max(heard["packetsReceived"], 1) * datagrams_down * 8 / seconds / 1000,
    )


async def _open(stack: contextlib.AsyncExitStack, browser: Browser, running: Service, *, direct: bool) -> Page:
    context: BrowserContext = await browser.new_context(base_url=running.url)
    stack.push_async_callback(context.close)
    page = await context.new_page()
    if direct:
        await page.add_init_script(DIRECT)
    return page


async def _enter(page: Page, name: str, *, speaks: bool, camera: bool) -> None:
    stored = json.dumps(json.dumps({"name": name, "micOn": speaks, "cameraOn": camera}))
    await page.add_init_script(f"localStorage.setItem('clarion.preferences', {stored})")
    await page.goto("/r/bench")
    await page.fill("#name", name)
    await page.click("form.card button[type=submit]")
    await page.wait_for_selector(".call")


async def _busiest(page: Page, kind: str) -> dict[str, Any]:
    """The statistics of that audio stream of the page which has most packets."""
    report = await page.evaluate(STATISTICS)
    streams = [one for one in report if one["type"] == kind and one["kind"] == "audio"]
    busiest: dict[str, Any] = max(streams, key=lambda one: one.get("packetsReceived", one.get("packetsSent", 0)))
    return busiest


async def _since(page: Page, kind: str, before: dict[str, Any]) -> dict[str, float]:
    """By how much each number of a stream has grown."""
    after = await _busiest(page, kind)
    if after["id"] != before["id"]:
        raise RuntimeError("the stream has been replaced by another: the connection was lost")
    names = [name for name, value in after.items() if isinstance(value, int | float)]
    return {name: after[name] - before.get(name, 0) for name in names}


@contextlib.asynccontextmanager
async def _chromium(speech: Path) -> AsyncIterator[Browser]:
    """Chromium with a microphone that says what is in a file."""
    async with async_playwright() as playwright:
        flags = [*FLAGS, ASK_NOBODY, AUTOPLAY, FAKE_DEVICES, f"--use-file-for-fake-audio-capture={speech}"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


async def run(cases: list[Case], *, rtt: float, seconds: float, camera: bool) -> list[Figures]:
    """Run the cases one after the other, printing each. Raises NoSpeechError."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "speech.wav"
        write(speech, recorded(SPEECH_SECONDS).scored)
        async with _chromium(speech) as browser:
            print(HEADING)
            for case in cases:
                one = await measure(browser, case, rtt=rtt, seconds=seconds, camera=camera)
                figures.append(one)
                print(
                    f"{one.name:32}{one.concealed:10.2%}{one.bar:7.1%}{one.buffer_ms:6.0f} ms{one.late:8.0%}"
                    f"{one.nacks:9.1f}{one.resent:10.1f}{one.up_bytes:7.0f}{one.up_kbits:5.0f}{one.down_kbits:6.0f}",
                    flush=True,
                )
    return figures


def overhead_of(figures: list[Figures]) -> float | None:
    """By how much the page's packets are longer than plain Opus where nothing is lost; None when that was not run."""
    size = {one.name: one.up_bytes for one in figures}
    plain, page = size.get(CASES[0].name), size.get(CASES[1].name)
    return None if plain is None or page is None else page / plain - 1


def main(
    *,
    only: Annotated[str, typer.Option(help="Run the cases that have this in their name.")] = "",
    rtt: Annotated[float, typer.Option(help="Seconds, to and fro, on the lossy network.")] = 0.04,
    seconds: Annotated[float, typer.Option(help="Measured in each case.")] = 30.0,
    camera: Annotated[bool, typer.Option("--camera", help="The page that speaks is seen, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with a line of JSON.")] = False,
) -> None:
    """Print how much a real Chromium conceals; exit with 1 when a bar is missed."""
    cases = [case for case in CASES if only in case.name]
    if not cases:
        raise typer.BadParameter(f"no case has {only!r} in its name")
    try:
        figures = asyncio.run(run(cases, rtt=rtt, seconds=seconds, camera=camera))
    except NoSpeechError as error:
        raise SystemExit(str(error)) from None
    overhead = overhead_of(figures)
    if overhead is not None:
        print(f"without loss a packet of the page is {overhead:.1%} longer than plain Opus (bar {MAX_OVERHEAD:.0%})")
    if as_json:
        print(json.dumps({"cases": [asdict(one) for one in figures], "overhead": overhead}))
    missed = any(not one.passed for one in figures) or (overhead is not None and overhead > MAX_OVERHEAD)
    raise typer.Exit(missed)


if __name__ == "__main__":
    typer.run(main)
