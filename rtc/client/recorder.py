"""Records a call to a file: the sound of everybody mixed, and the picture of who speaks.

The recorder has a clock of its own: every 20 ms it takes what each audio track has, and 25 times a second
the newest picture, so that the file plays evenly whatever the network did.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from rtc.client.call import Call
from rtc.client.opus import Samples
from rtc.client.tracks import RemoteAudioTrack, RemoteVideoTrack

SAMPLE_RATE = 48000
TICK_SAMPLES = 960
"""Samples of a tick, 20 ms."""

FRAME_RATE = 25
"""Pictures/s in the file: every second tick."""

WIDTH, HEIGHT = 640, 360
"""Size of the picture in the file; others are fitted in with black borders."""

LATE_SECONDS = 0.5
"""A clock that is later than this jumps, and the file has silence there.

The machine was suspended or overloaded.
"""

MAX_PENDING = 250
"""Ticks that wait for the encoder, 5 s; beyond, they are left out."""


@dataclass(frozen=True, slots=True)
class Format:
    """Names of ffmpeg's encoders; no video: sound alone."""

    audio: str
    video: str | None


FORMATS = {
    ".mp4": Format("aac", "libx264"),
    ".mkv": Format("libopus", "libx264"),
    ".webm": Format("libopus", "libvpx"),
    ".ogg": Format("libopus", None),
    ".wav": Format("pcm_s16le", None),
}
"""Codecs by the file's suffix."""

_VIDEO_OPTIONS = {
    "libx264": {"preset": "veryfast", "tune": "zerolatency", "crf": "26"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "800k"},
}


class RecorderError(ValueError):
    """The file cannot be recorded; the message is a sentence for people."""


def output_format(path: Path) -> Format:
    """The codecs for a file of this name.

    Raises RecorderError when there are none, or no folder to put it in.
    """
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        known = ", ".join(FORMATS)
        raise RecorderError(f"cannot record to {path.name!r}: the name must end in one of {known}")
    if not path.absolute().parent.is_dir():
        raise RecorderError(f"cannot record to {path}: there is no folder {path.parent}")
    return file_format


class Recorder:
    """Records `call` from start() to stop(). Raises RecorderError when the file cannot be written."""

    def __init__(self, call: Call, path: str | Path) -> None:
        self.left_out = 0
        """Ticks that the encoder was too slow for."""
        self._call = call
        self._writer = FileWriter(path)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="clarion-record")
        self._picture: av.VideoFrame | None = None
        self._shown = ""  # who spoke last and has a picture
        self._pending = 0
        self._failure: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to record."""
        self._tasks = [asyncio.create_task(self._run(), name="recorder")]
        if self._writer.has_video:
            self._tasks.append(asyncio.create_task(self._watch(), name="recorder picture"))

    async def stop(self) -> None:
        """Finish the file. Raises RecorderError when writing has failed."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._writer.close)
        except (av.FFmpegError, OSError) as problem:
            self._failure = self._failure or problem
        self._executor.shutdown(wait=False)
        failures = [o for o in outcomes if isinstance(o, Exception) and not isinstance(o, MediaStreamError)]
        failure = self._failure or next(iter(failures), None)
        if failure is not None:
            raise RecorderError(f"the recording failed: {failure}")

    async def _run(self) -> None:
        """The clock: one tick every 20 ms."""
        start = time.monotonic()
        tick = 0
        while True:
            wait = start + tick * TICK_SAMPLES / SAMPLE_RATE - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif -wait > LATE_SECONDS:
                tick += int(-wait * SAMPLE_RATE / TICK_SAMPLES)
            self._write(tick, self._mix())
            tick += 1

    def _mix(self) -> Samples:
        tracks = [t for t in self._call.tracks.values() if isinstance(t, RemoteAudioTrack)]
        mixed = np.zeros((TICK_SAMPLES, 2), dtype=np.int32)
        for track in tracks:
            mixed += track.pull(TICK_SAMPLES)
        return np.clip(mixed, -32768, 32767).astype(np.int16)

    def _write(self, tick: int, sound: Samples) -> None:
        if self._pending >= MAX_PENDING:
            self.left_out += 1
            return
        self._pending += 1
        picture = self._picture if tick % 2 == 0 else None
        future = asyncio.get_running_loop().run_in_executor(
            self._executor, self._writer.write, tick, sound, picture
        )
        future.add_done_callback(self._written)

    def _written(self, future: asyncio.Future[None]) -> None:
        self._pending -= 1
        if not future.cancelled() and isinstance(problem := future.exception(), Exception):
            self._failure = self._failure or problem

    async def _watch(self) -> None:
        """Keep the newest picture of who spoke last, or of anybody."""
        while True:
            track = self._wanted()
            if track is None:
                self._picture = None
                await asyncio.sleep(0.1)
                continue
            try:
                async with asyncio.timeout(1.0):
                    self._picture = await track.recv()
            except TimeoutError:
                continue
            except MediaStreamError:
                self._picture = None

    def _wanted(self) -> RemoteVideoTrack | None:
        videos = [t for t in self._call.tracks.values() if isinstance(t, RemoteVideoTrack) and t.receiving]
        for speaker, _ in self._call.speakers:
            if any(video.participant == speaker for video in videos):
                self._shown = speaker
                break
        return next((video for video in videos if video.participant == self._shown), next(iter(videos), None))


class FileWriter:
    """A media file with one stream of sound and perhaps one of pictures. Used from one thread at a time."""

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        file_format = output_format(path)
        try:
            self._container = av.open(str(path), "w")
            audio = self._container.add_stream(file_format.audio, rate=SAMPLE_RATE)
        except (av.FFmpegError, OSError) as problem:
            raise RecorderError(f"cannot record to {path}: {problem.strerror}") from None
        self._audio = cast("av.AudioStream", audio)
        self._audio.layout = "stereo"
        self._video: av.VideoStream | None = None
        if file_format.video is not None:
            options = _VIDEO_OPTIONS[file_format.video]
            video = self._container.add_stream(file_format.video, rate=FRAME_RATE, options=options)
            video = cast("av.VideoStream", video)
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.codec_context.time_base = Fraction(1, FRAME_RATE)
            self._video = video
        self._shown = fitted(None)
        try:
            self._container.start_encoding()
        except (av.FFmpegError, OSError) as problem:
            raise RecorderError(f"cannot record to {path}: {problem.strerror}") from None

    @property
    def has_video(self) -> bool:
        """Whether the container takes pictures."""
        return self._video is not None

    def write(self, tick: int, sound: Samples, picture: av.VideoFrame | None) -> None:
        """Write 20 ms of sound at `tick`.

        At even ticks a picture too, the last one when there is no newer.
        """
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = tick * TICK_SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._container.mux(self._audio.encode(frame))
        if self._video is None or tick % 2:
            return
        if picture is not None:
            self._shown = fitted(picture)
        shown = av.VideoFrame.from_ndarray(self._shown, format="yuv420p")
        shown.pts = tick // 2
        shown.time_base = Fraction(1, FRAME_RATE)
        self._container.mux(self._video.encode(shown))

    def close(self) -> None:
        """Write what the encoders hold and the end of the file."""
        self._container.mux(self._audio.encode(None))
        if self._video is not None:
            self._container.mux(self._video.encode(None))
        self._container.close()


def fitted(picture: av.VideoFrame | None) -> NDArray[np.uint8]:
    """The picture as planes of WIDTH x HEIGHT in yuv420p, with black borders; black without a picture."""
    canvas = np.empty((HEIGHT * 3 // 2, WIDTH), dtype=np.uint8)
    canvas[:HEIGHT] = 16
    canvas[HEIGHT:] = 128
    if picture is None:
        return canvas
    scale = min(WIDTH / picture.width, HEIGHT / picture.height)
    width, height = (max(4, round(size * scale) // 4 * 4) for size in (picture.width, picture.height))
    width, height = min(width, WIDTH), min(height, HEIGHT)
    planes = picture.reformat(width=width, height=height, format="yuv420p").to_ndarray()
    left, top = (WIDTH - width) // 4 * 2, (HEIGHT - height) // 4 * 2
    canvas[top : top + height, left : left + width] = planes[:height]
    for index in range(2):
        source = planes[height + index * height // 4 : height + (index + 1) * height // 4]
        target = canvas[HEIGHT + index * HEIGHT // 4 : HEIGHT + (index + 1) * HEIGHT // 4]
        plane = target.reshape(HEIGHT // 2, WIDTH // 2)
        plane[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = source.reshape(
            height // 2, width // 2
        )
    return canvas
