"""The catalogues of strings hold what the page asks for, in every language, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

WEB = Path(__file__).parent.parent.parent / "web"
CATALOGUES: dict[str, dict[str, str]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WEB / "locales").glob("*.json"))
}
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted((WEB / "js").rglob("*.js")))
KEY = re.compile(r'"([a-z][a-z-]*(?:\.[a-z][a-z-]*)+)"')
NOT_KEYS = {"clarion.preferences", "clarion.recent", "dialog.sound"}
"""Other strings of that shape: names in storage, a selector."""


def test_there_are_both_languages() -> None:
    assert set(CATALOGUES) == {"en", "zh-CN"}


def test_the_languages_have_the_same_keys() -> None:
    assert CATALOGUES["en"].keys() == CATALOGUES["zh-CN"].keys()


def test_every_string_that_the_page_asks_for_exists() -> None:
    assert set(KEY.findall(SOURCE)) - NOT_KEYS - CATALOGUES["en"].keys() == set()


def test_no_string_is_unused() -> None:
    assert CATALOGUES["en"].keys() - set(KEY.findall(SOURCE)) == set()


def test_a_translation_keeps_the_placeholders_and_is_not_empty() -> None:
    for key, english in CATALOGUES["en"].items():
        chinese = CATALOGUES["zh-CN"][key]
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), key
        assert english.strip(), key
        assert chinese.strip(), key


def test_strings_that_look_english_in_the_chinese_catalogue_are_names_only() -> None:
    same = {key for key, text in CATALOGUES["zh-CN"].items() if not re.search(r"[\u4e00-\u9fff]", text)}
    assert same == {"app.room-title"}
