"""Playing files into a call and recording one, without a network."""

from __future__ import annotations

import asyncio
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from rich.console import Console

from rtc.client.cli import parse_invite, run
from rtc.client.errors import JoinError
from rtc.client.player import MediaFile, PlayerError
from rtc.client.recorder import FORMATS, HEIGHT, WIDTH, FileWriter, Recorder, RecorderError, fitted
from rtc.client.tracks import RemoteAudioTrack

RATE = 48000


def tone(hertz: float, samples: int, start: int = 0) -> np.ndarray:
    wave = (np.sin(2 * np.pi * hertz * (np.arange(samples) + start) / RATE) * 9000).astype(np.int16)
    return np.repeat(wave[:, None], 2, axis=1)


def strongest_hertz(wave: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * RATE / len(wave))


def green(width: int = 320, height: int = 240) -> av.VideoFrame:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[..., 1] = 200
    return av.VideoFrame.from_ndarray(picture, format="rgb24")


def write_file(path: Path, seconds: float = 1.0, hertz: float = 440.0) -> Path:
    writer = FileWriter(path)
    for tick in range(int(seconds * 50)):
        writer.write(tick, tone(hertz, 960, tick * 960), green())
    writer.close()
    return path


def read_sound(path: Path) -> np.ndarray:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        parts = [
            resampled.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for resampled in resampler.resample(frame)
        ]
    return np.concatenate(parts)


def read_pictures(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_container_holds_the_sound_and_where_it_can_the_picture(tmp_path: Path, suffix: str) -> None:
    path = write_file(tmp_path / f"call{suffix}")
    sound = read_sound(path)
    assert abs(len(sound) / RATE - 1.0) < 0.1
    assert abs(strongest_hertz(sound[9600:40000]) - 440) < 4
    if FORMATS[suffix].video:
        pictures = read_pictures(path)
        assert len(pictures) == 25
        red, green_, blue = pictures[-1].to_ndarray(format="rgb24")[180, 320]
        assert green_ > 150
        assert max(red, blue) < 80


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (240, 320), (641, 361), (16, 16), (3000, 20)])
def test_a_picture_of_any_size_is_fitted_in_with_borders(size: tuple[int, int]) -> None:
    canvas = fitted(green(*size))
    assert canvas.shape == (HEIGHT * 3 // 2, WIDTH)
    shown = av.VideoFrame.from_ndarray(canvas, format="yuv420p").to_ndarray(format="rgb24")
    assert shown[HEIGHT // 2, WIDTH // 2, 1] > 150
    if size == (320, 240):
        assert shown[HEIGHT // 2, 10].max() < 20, "a border beside a picture of 4:3"


@pytest.mark.parametrize("name", ["call.txt", "call", "call.avi"])
def test_an_unknown_container_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecorderError, match="must end in one of"):
        FileWriter(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match="there is no folder"):
        FileWriter(tmp_path / "nowhere" / "call.wav")


def test_a_path_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "call.wav").mkdir()
    with pytest.raises(RecorderError, match="cannot record to"):
        FileWriter(tmp_path / "call.wav")


async def test_a_played_file_gives_its_tone_and_picture_at_the_right_pace(tmp_path: Path) -> None:
    media = MediaFile(write_file(tmp_path / "a.mkv"))
    assert media.audio is not None
    assert media.video is not None
    loop = asyncio.get_running_loop()
    start = loop.time()
    heard, times = [], []
    with pytest.raises(MediaStreamError):
        while True:
            frame = await media.audio.recv()
            heard.append(frame.to_ndarray().reshape(-1, 2)[:, 0])
            times.append(frame.pts)
    assert loop.time() - start > 0.9
    assert {b - a for a, b in itertools.pairwise(times)} == {960}
    assert abs(strongest_hertz(np.concatenate(heard)[9600:40000]) - 440) < 4
    picture = await media.video.recv()
    assert picture.time_base == Fraction(1, 90000)
    assert picture.to_ndarray(format="rgb24")[180, 320, 1] > 150
    media.close()


async def test_a_looped_file_goes_on_with_rising_times(tmp_path: Path) -> None:
    media = MediaFile(write_file(tmp_path / "a.mkv", seconds=0.3), loop=True)
    assert media.audio is not None
    assert media.video is not None

    async def pictures() -> list[int]:
        assert media.video is not None
        return [(await media.video.recv()).pts for _ in range(20)]

    async def sounds() -> list[int]:
        assert media.audio is not None
        return [(await media.audio.recv()).pts for _ in range(40)]

    video, audio = await asyncio.gather(pictures(), sounds())
    assert all(b > a for a, b in itertools.pairwise(video))
    assert all(b > a for a, b in itertools.pairwise(audio))
    assert abs(video[-1] / 90000 - audio[-1] / RATE) < 0.3
    media.close()


async def test_a_file_with_sound_only_has_no_video_track(tmp_path: Path) -> None:
    media = MediaFile(write_file(tmp_path / "a.wav", seconds=0.1))
    assert media.video is None
    media.close()


def test_missing_and_foreign_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PlayerError, match="there is no file"):
        MediaFile(tmp_path / "missing.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("this is no film")
    with pytest.raises(PlayerError, match="cannot be played"):
        MediaFile(text)


class QuietRoom:
    """What a recorder needs of a call: two people who say nothing."""

    tracks = {name: RemoteAudioTrack(name, name) for name in ("a", "b")}  # noqa: RUF012 - read only
    speakers = ()


async def test_a_recording_is_as_long_as_the_call(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    recorder = Recorder(QuietRoom(), path)  # type: ignore[arg-type]
    recorder.start()
    await asyncio.sleep(1.0)  # the time recorded
    await recorder.stop()
    assert abs(len(read_sound(path)) / RATE - 1.0) < 0.25
    assert abs(len(read_pictures(path)) - 25) <= 5


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8080/r/room", ("http://host:8080", "room", "")),
        ("https://host/r/a%20b/", ("https://host", "a b", "")),
        ("https://host/r/x#token=ab.cd_e-f", ("https://host", "x", "ab.cd_e-f")),
    ],
)
def test_an_invite_link_is_understood(url: str, expected: tuple[str, str, str]) -> None:
    assert parse_invite(url) == expected


@pytest.mark.parametrize("url", ["", "host", "http://host", "http://host/r/", "ftp://host/r/x", "http://[/r/x"])
def test_what_is_no_invite_link_is_refused(url: str) -> None:
    with pytest.raises(JoinError, match="not an invite link"):
        parse_invite(url)


async def test_an_unknown_container_is_told_before_the_server_is_asked(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match="must end in one of"):
        await run(
            "http://127.0.0.1:9", "r", None, tmp_path / "x.avi", 1.0,
            name="Ada", token="", loop=False, console=Console(),
        )


async def test_a_missing_file_is_told_before_the_server_is_asked(tmp_path: Path) -> None:
    with pytest.raises(PlayerError, match="there is no file"):
        await run(
            "http://127.0.0.1:9", "r", tmp_path / "x.mp4", None, 1.0,
            name="Ada", token="", loop=False, console=Console(),
        )
