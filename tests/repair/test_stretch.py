from __future__ import annotations

import numpy as np
import pytest

from rtc.repair.stretch import OVERLAP, SHORTEST, Samples, lengthened, shortened

RATE = 48000


def voice(hertz: float, samples: int, *, phase: float = 0.3, channels: int = 2) -> Samples:
    """A sound with overtones, as voiced speech has them."""
    time = np.arange(samples) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * time + phase * k) / k for k in range(1, 6))
    return np.repeat((np.asarray(wave) * 4000).astype(np.int16)[:, None], channels, axis=1)


def played(hertz: float, *, faster: bool) -> Samples:
    """Two seconds, one splice in every other frame of 20 ms."""
    whole = voice(hertz, 2 * RATE)
    out = []
    for index, start in enumerate(range(0, len(whole), 960)):
        frame = whole[start : start + 960]
        if index % 2:
            frame = (shortened if faster else lengthened)(frame, most=600, likeness=0.8)
        out.append(frame)
    return np.concatenate(out)


def strongest_hertz(pcm: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(pcm[:, 0] * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * RATE / len(pcm))


@pytest.mark.parametrize("hertz", [90.0, 130.0, 210.0, 330.0])
@pytest.mark.parametrize("faster", [True, False])
def test_the_pitch_is_kept_and_nothing_clicks(hertz: float, faster: bool) -> None:
    heard = played(hertz, faster=faster)
    assert (len(heard) < 1.9 * RATE) if faster else (len(heard) > 2.1 * RATE)
    assert strongest_hertz(heard) == pytest.approx(hertz, abs=1)
    steepest = np.abs(np.diff(voice(hertz, RATE)[:, 0].astype(int))).max()
    assert np.abs(np.diff(heard[:, 0].astype(int))).max() < 1.2 * steepest


@pytest.mark.parametrize("hertz", [120.0, 200.0, 300.0])
def test_a_splice_is_one_or_more_whole_periods_long(hertz: float) -> None:
    period = RATE / hertz
    frame = voice(hertz, 960)
    for result in (shortened(frame, most=720, likeness=0.9), lengthened(frame, most=720, likeness=0.9)):
        periods = abs(len(result) - 960) / period
        assert periods == pytest.approx(round(periods), abs=0.03)
        assert round(periods) >= 1


def test_both_ends_of_a_frame_stay_so_that_it_fits_its_neighbours() -> None:
    frame = voice(140, 960)
    for result in (shortened(frame, most=600, likeness=0.5), lengthened(frame, most=600, likeness=0.5)):
        assert len(result) != 960
        assert (result[0] == frame[0]).all()
        assert (result[-1] == frame[-1]).all()


def test_sound_that_is_nowhere_alike_is_left_as_it_is() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, (960, 2)).astype(np.int16)
    assert shortened(noise, most=600, likeness=0.9) is noise
    assert lengthened(noise, most=600, likeness=0.9) is noise


@pytest.mark.parametrize("most", [SHORTEST, 200, 500])
def test_silence_gives_and_takes_no_more_than_asked(most: int) -> None:
    silence = np.zeros((960, 2), dtype=np.int16)
    assert 960 - most <= len(shortened(silence, most=most, likeness=0.9)) < 960
    assert 960 < len(lengthened(silence, most=most, likeness=0.9)) <= 960 + most


@pytest.mark.parametrize("samples", [0, 120, OVERLAP, OVERLAP + SHORTEST - 1])
def test_too_little_sound_is_left_as_it_is(samples: int) -> None:
    pcm = voice(200, samples) if samples else np.zeros((0, 2), dtype=np.int16)
    assert len(shortened(pcm, most=480, likeness=-1.0)) == samples
    assert len(lengthened(pcm, most=480, likeness=-1.0)) == samples


def test_full_scale_does_not_wrap() -> None:
    loud = np.full((960, 2), 32767, dtype=np.int16)
    assert shortened(loud, most=480, likeness=0.5).min() >= 32766
    assert lengthened(-loud, most=480, likeness=0.5).max() <= -32766
