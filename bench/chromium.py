"""How benches and tests start Chromium."""

from __future__ import annotations

CHROMIUM = "/usr/bin/chromium"
# Each window would load the two pages behind its address bar, which takes longer than the page under test.
_WITHOUT = ("WebRtcHideLocalIpsWithMdns", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--disable-features={','.join(_WITHOUT)}",
]  # fmt: skip
ASK_NOBODY = "--use-fake-ui-for-media-stream"  # may a page use the microphone: yes
FAKE_DEVICES = "--use-fake-device-for-media-stream"  # a microphone that beeps, a camera with a clock
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
