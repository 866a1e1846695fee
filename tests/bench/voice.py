"""Something like a voice, for tests without a recording."""

from __future__ import annotations

import numpy as np

from bench.audio.speech import PAUSE_SECONDS, RATE, Speech, Wave


def babble(seconds: float, seed: int, *, rate: int = RATE) -> Wave:
    """Something like a voice: syllables of a buzz whose pitch and colour change, with pauses. No two alike."""
    random = np.random.default_rng(seed)
    out: list[Wave] = []
    while sum(map(len, out)) < seconds * rate:
        time = np.arange(int(random.uniform(0.12, 0.3) * rate)) / rate
        pitch, colour = random.uniform(90, 180), random.uniform(400, 2500)
        harmonics = np.arange(1, int(4000 / pitch)) * pitch
        weights = 1 / (1 + ((harmonics - colour) / 400) ** 2)
        glide = time + random.uniform(-0.3, 0.3) * time**2
        buzz = (np.sin(2 * np.pi * np.outer(glide, harmonics)) * weights).sum(axis=1) * np.hanning(len(time))
        out += [buzz / np.abs(buzz).max() * 0.3, np.zeros(int(random.uniform(0.0, 0.08) * rate))]
    return np.concatenate(out)[: round(seconds * rate)].astype(np.float32)


def speech(seconds: float) -> Speech:
    """What a bench call sends."""
    lead = np.concatenate((babble(4.0, 1), np.zeros(round(PAUSE_SECONDS * RATE), np.float32)))
    return Speech(lead, babble(seconds, 2))
