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
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

HERE = Path(__file__).parent
WEB = HERE.parent.parent / "web"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream", "--disable-features=WebRtcHideLocalIpsWithMdns",
]
START_SECONDS = 30.0
PATIENCE_MS = 10_000
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a running service with a free HTTP and a free media port."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("CLARION_")}
    env |= {"CLARION_HTTP_PORT": "0", "CLARION_UDP_PORT": "0", "PYTHONUNBUFFERED": "1"}
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
        launched = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield launched
        launched.close()


OpenPage = Callable[..., Page]


def refused(text: str) -> list[str]:
    """The message, if it says that the policy refused something."""
    return [text] if "Content Security" in text else []


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[OpenPage]:
    """Opens pages; an error in one fails the test."""
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
