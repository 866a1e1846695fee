"""Names of rooms and people: what is accepted and in which form."""

from __future__ import annotations

import pytest

from signaling.names import InvalidNameError, participant_name, room_name

E_ACUTE = "caf\u0065\u0301"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("team", "team"),
        ("Team-1_b.c", "Team-1_b.c"),
        ("会议室", "会议室"),
        ("комната", "комната"),
        ("회의", "회의"),
        ("हिन्दी", "हिन्दी"),
        ("٤٢", "٤٢"),
        (E_ACUTE, "caf\u00e9"),
        ("a" * 64, "a" * 64),
    ],
)
def test_room_names_of_any_script_are_kept_in_nfc(given: str, kept: str) -> None:
    assert room_name(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "", " ", "a b", "a/b", "a\\b", "..", ".", ".a", "-a", "_", "a" * 65, "a\x00", "a\n", "a?b", "a#b",
        "a:b", "a%2fb", "<b>", "\u202eabc", "a\u200b", "😀", "\u0301a",
    ],
)
def test_room_names_that_would_confuse_an_address_are_refused(given: str) -> None:
    with pytest.raises(InvalidNameError):
        room_name(given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ann", "Ann"),
        ("  Ann \t Lee ", "Ann Lee"),
        ("李雷", "李雷"),
        ("O'Neill-Łukasz (QA)", "O'Neill-Łukasz (QA)"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # noqa: RUF001
        ("<script>", "<script>"),
        ("x" * 64, "x" * 64),
        (E_ACUTE, "caf\u00e9"),
    ],
)
def test_names_of_people_are_trimmed_and_kept(given: str, kept: str) -> None:
    assert participant_name(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "", " ", "x" * 65, "a\x07", "a\x00", "\u202egnp.exe",
        "\u200d", "a\u200bb", "\ue000", "\u2066", "\u0301",
    ],
)
def test_names_that_cannot_be_shown_are_refused(given: str) -> None:
    with pytest.raises(InvalidNameError):
        participant_name(given)
