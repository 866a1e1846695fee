"""A film for Chromium's fake camera: it moves and it is grainy, so that an encoder wants all the rate it may have."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FPS = 640, 480, 30
FRAMES = 240
"""The film is played over and over, and ends where it begins."""

GRAIN = 5.0
"""Standard deviation of the noise, in steps of luma: a webcam in a dim room."""

GRAINS = 16
"""Different pictures of noise."""

_SEED = 4


def write(path: Path) -> None:
    """Write the film as YUV4MPEG2: a patterned wall moves past, and a large disc before it."""
    random = np.random.default_rng(_SEED)
    wall = _wall(random)
    grains = random.normal(0, GRAIN, (GRAINS, HEIGHT, WIDTH)).astype(np.float32)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(FRAMES):
            turn = 2 * np.pi * number / FRAMES
            luma = np.roll(wall, number * WIDTH // FRAMES, axis=1) + grains[number * 7 % GRAINS]
            x, y = WIDTH / 2 + 180 * np.sin(turn), HEIGHT / 2 + 120 * np.sin(3 * turn)
            disc = (columns - x) ** 2 + (rows - y) ** 2 < 80**2
            luma[disc] = 255 - luma[disc]
            film.write(b"FRAME\n")
            film.write(np.clip(luma, 0, 255).astype(np.uint8).tobytes())
            for shift in (1, 2):
                chroma = 128 + 40 * np.sin(columns[::2, ::2] / 60 + shift * turn)
                film.write(chroma.astype(np.uint8).tobytes())


def _wall(random: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A picture with detail of all sizes whose right edge goes on at its left."""
    spectrum = np.fft.rfft2(random.normal(0, 1, (HEIGHT, WIDTH)))
    down, across = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    spectrum /= np.maximum(np.hypot(down, across), 1 / WIDTH)
    picture = np.fft.irfft2(spectrum, (HEIGHT, WIDTH))
    scaled: np.ndarray[tuple[int, int], np.dtype[np.float32]] = (
        128 + 45 * (picture - picture.mean()) / picture.std()
    ).astype(np.float32)
    return scaled
