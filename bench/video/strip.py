"""Pictures of what viewers see with each scheme, side by side in time, for people who do not read tables."""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path

from playwright.async_api import Browser, Page

PICTURES = 6
INTERVAL_SECONDS = 0.4
WIDTH, HEIGHT = 200, 150  # of a picture, px
STYLE = f"""
    body {{ margin: 0; font: 15px sans-serif; background: #fff; width: max-content; padding: 8px; }}
    p {{ margin: 6px 2px 4px; }}
    img {{ width: {WIDTH}px; height: {HEIGHT}px; margin: 0 2px; display: inline-block; }}
    div {{ white-space: nowrap; font-size: 0; }}
"""


async def take(viewer: Page) -> list[str]:
    """Pictures that a page shows, one after another, as base64 PNG."""
    pictures = []
    for _ in range(PICTURES):
        pictures.append(await viewer.evaluate(f"watch.picture({WIDTH}, {HEIGHT})"))
        await asyncio.sleep(INTERVAL_SECONDS)
    return pictures


async def write(browser: Browser, strips: dict[str, list[str]], path: Path) -> None:
    """Lay out the pictures of each scheme in a row, under its name, as one PNG."""
    rows = "".join(
        f"<p>{escape(name)}</p><div>"
        + "".join(f'<img src="data:image/png;base64,{picture}">' for picture in pictures)
        + "</div>"
        for name, pictures in strips.items()
    )
    page = await browser.new_page(viewport={"width": (WIDTH + 4) * PICTURES + 16, "height": 100})
    try:
        await page.set_content(f"<style>{STYLE}</style>{rows}")
        await page.screenshot(path=path, full_page=True)
    finally:
        await page.close()
