"""Human speech to send: a recording that comes with a package of the `bench` dependency group."""

from __future__ import annotations

import importlib.util
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
"""Mono sound, full scale 1."""

RATE = 48000
"""Hz of all sound in here."""

RECORDING = ("moonshine_voice", "assets/two_cities.wav")
"""Dickens, read aloud: 44 s, one voice, 48 kHz mono. The package is MIT; it is read from there, not copied."""

LEAD_SECONDS = 5.5
"""Speech before the part that is scored: the call has begun, and each end has measured its path."""

PAUSE_SECONDS = 0.5
"""Silence between the two, so that no word straddles the border."""

TAIL_SECONDS = 1.0
"""Silence after it, so that the longest buffer runs dry."""

LOUDNESS = 0.06
"""RMS that the recording is brought to, about -24 dBFS: speech at a normal level."""


class NoSpeechError(Exception):
    """There is no recording to send; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What is sent: `lead`, then `scored`, then silence."""

    lead: Wave
    scored: Wave

    @property
    def sent(self) -> Wave:
        """All of it."""
        return np.concatenate((self.lead, self.scored, np.zeros(round(TAIL_SECONDS * RATE), np.float32)))

    @property
    def start(self) -> int:
        """Sample of `sent` at which the scored part begins."""
        return len(self.lead)


def recorded(seconds: float | None = None) -> Speech:
    """The recording, or its first `seconds`. Raises NoSpeechError when the package is not installed."""
    package, name = RECORDING
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise NoSpeechError(f"the speech is in the package {package}: install the bench group (make bench)")
    pcm = read(Path(found.origin).parent / name)
    pcm *= LOUDNESS / np.sqrt(np.mean(pcm**2))
    lead = np.concatenate((pcm[-round(LEAD_SECONDS * RATE) :], np.zeros(round(PAUSE_SECONDS * RATE), np.float32)))
    return Speech(lead, pcm if seconds is None else pcm[: round(seconds * RATE)])


def read(path: Path) -> Wave:
    """A 16-bit mono file at 48 kHz. Raises ValueError for another kind."""
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{path.name} is not 16-bit mono sound at {RATE} Hz")
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768


def write(path: Path, pcm: Wave) -> None:
    """Save as a 16-bit mono file at 48 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(np.round(pcm * 32767), -32768, 32767).astype("<i2").tobytes())
