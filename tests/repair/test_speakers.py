"""Who counts as speaking."""

from __future__ import annotations

import pytest

from rtc.repair.speakers import ACTIVE_LEVEL, WINDOW_SECONDS, Speakers


def say(speakers: Speakers, voice: str, levels: list[int], *, start: float = 0.0) -> float:
    """One packet each 20 ms; returns the time of the last."""
    for place, level in enumerate(levels):
        speakers.heard(voice, level, now=start + 0.02 * place)
    return start + 0.02 * (len(levels) - 1)


@pytest.mark.parametrize(
    ("levels", "speaks"),
    [
        ([-20] * 20, True),
        ([-127] * 20, False),
        ([ACTIVE_LEVEL] * 4, True),
        ([ACTIVE_LEVEL - 1] * 20, False),
        ([-10] * 3, False),  # a click
        ([-20] * 8 + [-90] * 12, True),  # the end of a word
        ([-20] * 7 + [-90] * 13, False),
    ],
)
def test_speech_is_told_from_noise_and_clicks(levels: list[int], speaks: bool) -> None:
    speakers = Speakers()
    now = say(speakers, "a", levels)
    assert [voice for voice, _ in speakers.active(now=now)] == (["a"] if speaks else [])


def test_the_loudest_come_first_with_their_level() -> None:
    speakers = Speakers()
    for voice, level in (("soft", -30), ("loud", -10), ("middle", -20)):
        now = say(speakers, voice, [level] * 10)
    assert speakers.active(now=now) == [("loud", -10), ("middle", -20), ("soft", -30)]


def test_who_stops_is_not_speaking_but_is_remembered() -> None:
    speakers = Speakers()
    now = say(speakers, "a", [-20] * 10)
    assert speakers.last_spoke("a") == float("-inf"), "nobody has judged yet"
    speakers.active(now=now)
    assert speakers.active(now=now + WINDOW_SECONDS + 0.01) == []
    assert speakers.last_spoke("a") == now


def test_who_was_muted_is_forgotten() -> None:
    speakers = Speakers()
    now = say(speakers, "a", [-20] * 10)
    speakers.active(now=now)
    speakers.forget("a")
    speakers.forget("nobody")
    assert speakers.active(now=now) == [] and speakers.last_spoke("a") == float("-inf")


def test_silence_says_nothing_of_the_seconds_before() -> None:
    speakers = Speakers()
    say(speakers, "a", [-10] * 100)
    now = say(speakers, "a", [-90] * 20, start=3.0)
    assert speakers.active(now=now) == []
