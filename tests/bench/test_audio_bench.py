"""The audio bench: its network repeats itself, its judges know speech from damage, its bars are held to."""

from __future__ import annotations

import wave
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from voice import babble, speech

from bench.audio.baselines import BASELINES, codec_alone
from bench.audio.baselines import hear as hear_baseline
from bench.audio.call import hear
from bench.audio.listen import encode, picture, spoken
from bench.audio.network import Hop, Network
from bench.audio.results import CLARION, Cell
from bench.audio.rows import BAR_ROWS, Bar, Row, matrix, named
from bench.audio.score import JUDGE_RATE, measure_delays, retimed
from bench.audio.speech import RATE, TAIL_SECONDS, Speech, Wave, read, write
from rtc.netem import LinkProfile

SVG = "{http://www.w3.org/2000/svg}"


def delays(said: Speech, pcm: Wave) -> np.ndarray:
    third = RATE // JUDGE_RATE  # nothing above 4 kHz in there, so every third sample will do
    return measure_delays(said.scored[::third], pcm[said.start :][::third])


def test_a_call_on_a_clean_network_conceals_nothing_and_is_heard_soon() -> None:
    said = speech(4.0)
    heard = hear(said, Network(0.0, 1, 0.02), seed=1)
    assert heard.concealed_share == 0
    assert heard.notes["lost_path"] == 0
    found = delays(said, heard.pcm)
    # 20 ms of a frame, 20 ms of the way, 6.5 ms of Opus: the rest is the buffer.
    assert 0.045 < np.median(found) < 0.08
    assert np.ptp(found) < 0.02


def test_the_same_seed_brings_the_same_call() -> None:
    said, network = speech(2.0), Network(0.2, 1, 0.04)
    once, again, other = (hear(said, network, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(once.pcm, again.pcm)
    assert (once.kbits_up, once.kbits_down, once.concealed) == (again.kbits_up, again.kbits_down, again.concealed)
    assert not np.array_equal(once.pcm, other.pcm)


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: baseline.name)
def test_without_loss_nobody_conceals_anything(baseline: object) -> None:
    said = speech(2.0)
    heard = hear_baseline(said, Network(0.0, 1, 0.02), baseline, seed=1)  # type: ignore[arg-type]
    assert heard.concealed == 0
    assert heard.frames == 100


def test_others_conceal_as_arithmetic_says() -> None:
    """Half lost at each of two hops: a quarter arrives; of three copies one does with 1 - (3/4)^3."""
    said, network = speech(16.0), Network(0.5, 1, 0.04)
    stock, red, nack = (hear_baseline(said, network, baseline, seed=1) for baseline in BASELINES)
    assert stock.concealed_share > 0.74
    assert red.concealed_share == pytest.approx(0.75**3, abs=0.1)
    # A request and its answer come through with 1/4, and a few rounds fit: half of what is lost, at each hop.
    assert 0.3 < nack.concealed_share < 0.6


def test_a_hop_loses_the_same_datagrams_whatever_was_sent_before() -> None:
    def outcome(before: int) -> list[bytes]:
        hop = Hop(0.01)
        for _ in range(before):
            hop.send(b"handshake", now=0.0)
        hop.receive(now=1.0)
        hop.spoil(LinkProfile(loss=0.5), seed="1")
        for number in range(100):
            hop.send(bytes([number]), now=2.0)
        return hop.receive(now=3.0)

    assert outcome(3) == outcome(8)
    assert 30 < len(outcome(3)) < 70


def test_the_delay_of_speech_is_found_even_as_it_changes() -> None:
    voice = babble(6.0, 3, rate=JUDGE_RATE)
    half = len(voice) // 2
    heard = np.concatenate(
        (np.zeros(1600, np.float32), voice[:half], np.zeros(3200, np.float32), voice[half:])
    )
    found = measure_delays(voice, heard)
    assert np.count_nonzero(np.abs(found - 0.1) < 0.001) > 0.3 * len(found)
    assert np.count_nonzero(np.abs(found - 0.3) < 0.001) > 0.3 * len(found)
    assert np.all((np.abs(found - 0.1) < 0.001) | (np.abs(found - 0.3) < 0.001))


def test_what_was_late_is_put_back_in_its_place_and_what_was_lost_is_not() -> None:
    voice = babble(6.0, 3, rate=JUDGE_RATE)
    half = len(voice) // 2
    gap = slice(JUDGE_RATE, JUDGE_RATE + 4000)
    heard = np.concatenate((np.zeros(1600, np.float32), voice[:half], np.zeros(3200, np.float32), voice[half:]))
    heard[gap.start + 1600 : gap.stop + 1600] = 0
    back = retimed(voice, heard, 0.2)
    good = np.r_[4000 : gap.start - 1300, gap.stop + 1300 : half - 8000, half + 8000 : len(voice) - 4000]
    assert np.corrcoef(back[good], voice[good])[0, 1] > 0.95
    assert np.abs(back[gap]).max() < 0.01


def test_noise_has_no_delay() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 3 * JUDGE_RATE).astype(np.float32)
    assert len(measure_delays(babble(3.0, 4, rate=JUDGE_RATE), noise)) == 0


def test_the_codec_alone_is_as_long_as_what_was_said() -> None:
    said = speech(1.0)
    decoded = codec_alone(said)
    assert len(decoded) == len(said.sent)
    assert np.abs(decoded[-round(TAIL_SECONDS * RATE / 2) :]).max() < 0.01


@pytest.mark.parametrize(
    ("bar", "value", "codec", "met"),
    [
        (Bar("wer", 0.01, most=True), 0.01, None, True),
        (Bar("wer", 0.01, most=True), 0.011, None, False),
        (Bar("stoi", 0.96, most=False), 0.959, None, False),
        (Bar("stoi", -0.005, most=False, of_codec=True), 0.966, 0.97, True),
        (Bar("stoi", -0.005, most=False, of_codec=True), 0.96, 0.97, False),
        (Bar("stoi", -0.005, most=False, of_codec=True), 0.96, None, None),
        (Bar("stoi", 0.96, most=False), None, None, None),
    ],
)
def test_a_bar_is_met_or_missed_or_not_measured(
    bar: Bar, value: float | None, codec: float | None, met: bool | None
) -> None:
    assert bar.met(value, codec) is met


def test_a_figure_that_one_seed_lacks_has_no_mean() -> None:
    cell = Cell(BAR_ROWS[2], CLARION, [{"stoi": 0.9, "concealed": 0.0}, {"stoi": None, "concealed": 0.02}])
    assert cell.mean("stoi") is None
    assert cell.mean("concealed") == pytest.approx(0.01)
    assert cell.bars(None)["concealed"] is False
    assert cell.bars(None)["stoi"] is None


def test_rows_have_names() -> None:
    assert named("50r40, 50b3r40") == (BAR_ROWS[2], BAR_ROWS[3])
    assert named("12b2r30") == (Row(12, 2, 30),)
    assert {row.key for row in BAR_ROWS} <= {row.key for row in matrix()}
    assert all(row.network.profile for row in matrix())
    for bad in ("", "50", "r40", "100r40", "50b0r40", "50r40;"):
        with pytest.raises(ValueError, match="is no row"):
            named(bad)


def test_sound_files_keep_the_sound(tmp_path: Path) -> None:
    voice = babble(0.5, 5)
    write(tmp_path / "a.wav", voice)
    assert np.abs(read(tmp_path / "a.wav") - voice).max() < 1e-4
    with wave.open(str(tmp_path / "b.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
    with pytest.raises(ValueError, match="not 16-bit mono"):
        read(tmp_path / "b.wav")


def test_what_one_listens_to_is_what_was_heard(tmp_path: Path) -> None:
    voice = babble(2.0, 1)
    encode(tmp_path / "sent.mp3", voice)
    speech = spoken(tmp_path / "sent.mp3")
    assert abs(len(speech.scored) - len(voice)) < RATE / 10  # MP3 pads what it is given
    assert len(speech.lead) > RATE
    silence = np.zeros_like(speech.scored)
    labels = {"sent": "as sent", CLARION: "nothing"}
    shown = ElementTree.fromstring(picture(BAR_ROWS[0], {"sent": speech.scored, CLARION: silence}, labels))  # noqa: S314  our own
    assert [text.text for text in shown.iter(f"{SVG}text")] == ["as sent", "nothing"]
    heights = [{point.split(",")[1] for point in wave.attrib["points"].split()} for wave in shown.iter(f"{SVG}polygon")]
    assert len(heights[0]) > 100
    assert len(heights[1]) == 1
