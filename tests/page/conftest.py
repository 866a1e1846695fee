"""A real `clarion serve`, a real Chromium, and pages whose server is either that one or `fake_server.js`."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.chromium import ASK_NOBODY, CHROMIUM, FAKE_DEVICES, FLAGS

HERE = Path(__file__).parent
WEB = HERE.parent.parent / "web"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
START_SECONDS = 30.0
PATIENCE_MS = 10_000
TONE_TOLERANCE = 40  # Hz
HEAR = """async () => {
    const context = new AudioContext();
    await context.resume();
    const analyser = new AnalyserNode(context, {fftSize: 8192, smoothingTimeConstant: 0});
    for (const {srcObject} of document.querySelectorAll("audio")) {
        context.createMediaStreamSource(srcObject).connect(analyser);
    }
    const bins = new Float32Array(analyser.frequencyBinCount);
    await new Promise((resolve) => setTimeout(resolve, 400));  // fills the window of the analyser
    analyser.getFloatFrequencyData(bins);
    const peak = bins.indexOf(Math.max(...bins));
    await context.close();
    return [peak * 48000 / 8192 * context.sampleRate / 48000, bins[peak]];
}"""

SEE = """async (tile) => {
    const video = document.querySelector(`[data-tile="${tile}"] video`);
    const canvas = new OffscreenCanvas(320, 240);
    const pen = canvas.getContext("2d", {willReadFrequently: true});
    const bar = () => {
        pen.drawImage(video, 0, 0, 320, 240);
        const row = pen.getImageData(0, 220, 320, 1).data;
        const white = (x) => Math.min(row[x * 4], row[x * 4 + 1], row[x * 4 + 2]) > 190;
        return Array.from({length: 40}, (_, i) => white(i * 8) ? 1 : 0).join("");
    };
    const before = bar();
    const [r, g, b] = pen.getImageData(160, 100, 1, 1).data;
    const end = performance.now() + 3000;
    while (bar() === before && performance.now() < end) await new Promise(requestAnimationFrame);
    return {colour: [r, g, b], moves: bar() !== before};
}"""
QUICK_ATTEMPTS = """
    const later = window.setTimeout;
    window.setTimeout = (run, delay, ...rest) => later(run, delay < 9000 ? 20 : delay, ...rest);
"""
"""The page does not wait between its attempts to connect."""
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a running service with a free HTTP and a free media port."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("CLARION_")}
    env |= {"CLARION_HTTP_PORT": "0", "CLARION_UDP_PORT": "0", "CLARION_DATA_DIR": "", "PYTHONUNBUFFERED": "1"}
    command = [str(Path(sys.executable).with_name("clarion")), "serve"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    addresses: queue.Queue[str] = queue.Queue()
    output: list[str] = []

    def read(lines: Any) -> None:
        for line in lines:
            output.append(line)
            if found := re.search(r"Open\s+(http://\S+)", line):
                addresses.put(found[1])

    reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        try:
            yield addresses.get(timeout=START_SECONDS)
        except queue.Empty:
            pytest.fail(f"clarion serve did not start:\n{''.join(output)}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; one for each module, so that its event loop is gone before the tests of others run theirs."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, ASK_NOBODY, FAKE_DEVICES])
        yield launched
        launched.close()


OpenPage = Callable[..., Page]


def refused(text: str) -> list[str]:
    """The message, if it says that the policy refused something."""
    return [text] if "Content Security" in text else []


@contextmanager
def opening(browser: Browser, server: str) -> Iterator[OpenPage]:
    """What opens pages, and closes them at the end; an error in one is an error there."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_one(
        path: str = "/", *, fake: dict[str, Any] | None = None, script: str = "", theme: str = "light",
        locale: str = "en", viewport: dict[str, int] = WIDE, preferences: dict[str, Any] | None = None,
    ) -> Page:
        context = browser.new_context(
            viewport=viewport, color_scheme=theme, locale=locale,  # type: ignore[arg-type]  # literals
            has_touch=viewport is PHONE, is_mobile=viewport is PHONE,
            reduced_motion="reduce", base_url=server,
        )
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.extend(refused(message.text)))
        if preferences is not None:
            key, stored = "clarion.preferences", json.dumps(json.dumps(preferences))
            page.add_init_script(f"localStorage.getItem('{key}') ?? localStorage.setItem('{key}', {stored})")
        if fake is not None:
            page.add_init_script(path=HERE / "fake_server.js")
            page.add_init_script(f"Object.assign(window.fake, {json.dumps(fake)})")
        if script:
            page.add_init_script(script)
        page.goto(path)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[OpenPage]:
    """Opens pages; an error in one fails the test."""
    with opening(browser, server) as open_one:
        yield open_one


@pytest.fixture(scope="module")
def modules(browser: Browser, server: str) -> Iterator[Page]:
    """A page to import modules in and call their functions: that leaves nothing behind, so one does for a file."""
    with opening(browser, server) as open_one:
        yield open_one()


@pytest.fixture
def join(open_page: OpenPage) -> OpenPage:
    """Opens a page and enters a room with it."""

    def join_one(
        name: str = "Sofia", room: str = "test-room", *, ready: str = ".call", **options: Any
    ) -> Page:
        page = open_page(f"/r/{room}", **options)
        page.fill("#name", name)
        page.click("form.card button[type=submit]")
        page.wait_for_selector(ready)
        return page

    return join_one


def person(
    number: int, name: str = "", *, camera: bool = True, muted: bool = False, screen: bool = False
) -> dict[str, Any]:
    """A participant of the fake server."""
    publications = [{"id": f"mic-{number}", "kind": "audio", "source": "microphone", "muted": muted}]
    if camera:
        publications.append({"id": f"camera-{number}", "kind": "video", "source": "camera", "muted": False})
    if screen:
        publications.append({"id": f"screen-{number}", "kind": "video", "source": "screen", "muted": False})
    return {
        "id": f"person-{number}", "name": name or f"Guest {number}", "kind": "web", "connected": True,
        "publications": publications,
    }


def seen(page: Page, message_type: str) -> list[dict[str, Any]]:
    """What the page sent to the fake server, of one type."""
    return list(page.evaluate("type => fake.sent(type)", message_type))


def until(page: Page, condition: str) -> None:
    """Wait for a condition in the page (its own wait_for_function needs eval: our policy forbids it)."""
    page.evaluate(f"""() => new Promise((resolve, reject) => {{
        const end = performance.now() + {PATIENCE_MS};
        const look = () => {{
            if ({condition}) resolve();
            else if (performance.now() > end) reject(new Error("this never came true"));
            else requestAnimationFrame(look);
        }};
        look();
    }})""")


def hears(page: Page, frequency: float) -> bool:
    """Whether the loudest thing in all that plays on the page is a tone of that frequency."""
    peak, level = page.evaluate(HEAR)
    return bool(abs(peak - frequency) < TONE_TOLERANCE and level > -60)


def wait_to_hear(page: Page, frequency: float) -> None:
    """Wait until that tone is the loudest thing that plays on the page."""
    heard = []
    for _ in range(12):
        heard.append(page.evaluate(HEAR))
        if abs(heard[-1][0] - frequency) < TONE_TOLERANCE and heard[-1][1] > -60:
            return
    pytest.fail(f"wanted {frequency} Hz, heard (Hz, dB) {heard}")
