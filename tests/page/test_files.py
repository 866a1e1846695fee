"""The page's files fit together."""

from __future__ import annotations

import json
import re

from conftest import WEB

INDEX = (WEB / "index.html").read_text("utf-8")
SCRIPTS = {path.relative_to(WEB).as_posix(): path.read_text("utf-8") for path in (WEB / "js").rglob("*.js")}

NAMES = {
    "http://www.w3.org/2000/svg",
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
}
"""What looks like an address, but is a name that nobody fetches."""


def test_every_module_is_fetched_at_once_and_not_import_by_import() -> None:
    preloaded = re.findall(r'<link rel="modulepreload" href="/static/([^"]+)">', INDEX)
    in_the_page = re.findall(r'<script src="/static/([^"]+)"', INDEX)
    only_types = ["js/types.js"]
    in_a_worker = ["js/redundancy-worker.js", "js/red.js"]
    assert sorted(preloaded + in_the_page + only_types + in_a_worker) == sorted(SCRIPTS)


def test_the_page_loads_nothing_from_elsewhere_and_has_nothing_inline() -> None:
    styles = [path.read_text("utf-8") for path in (WEB / "css").glob("*.css")]
    text = "\n".join([INDEX, *SCRIPTS.values(), *styles])
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) == NAMES
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=\"", INDEX) == []


def test_every_icon_that_is_asked_for_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (WEB / "icons.svg").read_text("utf-8")))
    asked = set(re.findall(r'icon(?:\(|: )"([a-z-]+)"', "\n".join(SCRIPTS.values())))
    assert asked
    assert asked <= drawn


def test_no_script_is_too_long_to_read_in_one_sitting() -> None:
    assert {name for name, text in SCRIPTS.items() if text.count("\n") > 300} == set()


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((WEB / "package-lock.json").read_text("utf-8"))["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
