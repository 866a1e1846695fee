"""Something to listen to, and a picture beside what was sent: python -m bench.audio.listen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer

from bench.audio.baselines import BASELINES, PLAIN
from bench.audio.results import CLARION, hold
from bench.audio.rows import Row, named
from bench.audio.speech import LEAD_SECONDS, LOUDNESS, PAUSE_SECONDS, RATE, Speech, Wave

BITRATE = 64_000
"""bit/s of the files: what is heard in them is the network, not this codec."""

WIDTH, HEIGHT, LABEL = 960, 76, 20
"""px of a wave in the picture, and of the line of text above it."""

COLUMNS = 640
"""Columns of a wave: each shows the least and the greatest sample in it."""

INK, PAPER, WAVE = "#1c2430", "#ffffff", {"sent": "#64748b", CLARION: "#0f766e"}
OTHERS = "#b91c1c"
"""Colour of what is neither sent nor ours."""

app = typer.Typer(add_completion=False)


@app.command()
def main(
    recording: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Speech, in any format and rate.")],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where the files go.")],
    *,
    network: Annotated[str, typer.Option(help="A row of bench.audio.")] = "50r40",
    seed: Annotated[int, typer.Option(help="Of the losses.")] = 1,
) -> None:
    """Hold one call over a bad network with Clarion and with what others do: sound files and a picture."""
    try:
        (row,) = named(network)
        speech = spoken(recording)
    except (ValueError, av.FFmpegError) as error:
        raise typer.BadParameter(str(error)) from None
    folder.mkdir(parents=True, exist_ok=True)
    waves = {"sent": speech.scored}
    labels = {"sent": "sent"}
    red = next(baseline for baseline in BASELINES if baseline.red)
    for name, scheme in ((PLAIN.name, PLAIN), (red.name, red), (CLARION, None)):
        heard = hold(speech, row, scheme, seed=seed)
        waves[name] = heard.pcm[speech.start :][: len(speech.scored) + round(RATE / 2)]
        labels[name] = f"{name}: {heard.concealed_share:.1%} of the speech concealed"
        print(f"{row}, {labels[name]}")
    for name in (PLAIN.name, CLARION):
        encode(folder / f"{name.lower()}.mp3", waves[name])
    (folder / "waves.svg").write_text(picture(row, waves, labels))


def spoken(path: Path) -> Speech:
    """A recording as the speech of a call; its end comes first, too: paths are measured then. Raises ValueError."""
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(str(path)) as file:
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    if not frames:
        raise ValueError(f"{path.name} holds no sound")
    pcm = np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)
    pcm *= LOUDNESS / max(1e-6, float(np.sqrt(np.mean(pcm**2))))
    # As much as it takes, however short the recording is.
    lead = np.resize(pcm[::-1], round(LEAD_SECONDS * RATE))[::-1]
    return Speech(np.concatenate((lead, np.zeros(round(PAUSE_SECONDS * RATE), np.float32))), pcm)


def encode(path: Path, pcm: Wave) -> None:
    """Save as MP3, mono."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mp3", rate=RATE, layout="mono", bit_rate=BITRATE)
        assert isinstance(stream, av.AudioStream)
        samples = np.clip(pcm * 32767, -32768, 32767).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def picture(row: Row, waves: dict[str, Wave], labels: dict[str, str]) -> str:
    """The waves one above the other, over the same time, as SVG."""
    longest = max(map(len, waves.values()))
    loudest = max(float(np.abs(wave).max()) for wave in waves.values())
    lines = []
    for place, (name, wave) in enumerate(waves.items()):
        top = place * (HEIGHT + LABEL)
        middle = top + LABEL + HEIGHT / 2
        columns = np.array_split(np.pad(wave, (0, longest - len(wave))), COLUMNS)
        x = np.arange(COLUMNS) * WIDTH / COLUMNS
        high, low = (np.array([pick(column) for column in columns]) for pick in (np.max, np.min))
        y = middle - np.concatenate((high, low[::-1])) / loudest * HEIGHT / 2
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(np.concatenate((x, x[::-1])), y, strict=True))
        colour = WAVE.get(name, OTHERS)
        lines += [
            f'<text x="4" y="{top + 15}" fill="{INK}">{labels[name]}</text>',
            f'<polygon points="{points}" fill="{colour}" stroke="{colour}" stroke-width="0.6"/>',
        ]
    height = len(waves) * (HEIGHT + LABEL)
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="14">',
        f"<title>Speech over a lossy network, each hop: {row}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        *lines,
        "</svg>\n",
    ))  # fmt: skip


if __name__ == "__main__":
    app()
