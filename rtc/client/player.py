"""Tracks that play a media file in real time: its first sound and first picture stream, looped or to the end.

Each track opens the file for itself and decodes when it is read, so that neither waits for the other and
nothing is queued. Both follow one clock, which starts with the first frame that is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

VIDEO_CLOCK_RATE = 90000

MAX_WIDTH, MAX_HEIGHT = 1280, 720
"""Larger pictures are scaled down: aiortc's encoders aim at 1.5 Mbit/s at most."""

MAX_FRAME_RATE = 30
"""Frames/s sent at most; of faster files, some are left out."""

LATE_SECONDS = 0.15
"""Pictures later than this are left out, so that the picture keeps up with the sound."""


class PlayerError(ValueError):
    """The file cannot be played; the message is a sentence for people."""


class MediaFile:
    """A file to play. `audio` and `video` are None where it has no such stream. Raises PlayerError."""

    def __init__(self, path: str | Path, *, loop: bool = False) -> None:
        self._path = str(path)
        container = _open(self._path)
        with container:
            streams = container.streams
            has_audio, has_video = bool(streams.audio), bool(streams.video)
            duration = float(container.duration or 0) / av.time_base
        if not has_audio and not has_video:
            raise PlayerError(f"{self._path} has neither sound nor pictures")
        clock = _Clock()
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="clarion-play")
        self.audio = AudioFileTrack(self._path, loop, duration, clock, self._executor) if has_audio else None
        self.video = VideoFileTrack(self._path, loop, duration, clock, self._executor) if has_video else None

    def close(self) -> None:
        """Stop both tracks."""
        for track in (self.audio, self.video):
            if track is not None:
                track.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)


class _Clock:
    """When the file began to play."""

    def __init__(self) -> None:
        self._start: float | None = None

    async def wait_for(self, seconds: float) -> float:
        """Wait until `seconds` of the file are to be shown; return how late that is."""
        now = time.monotonic()
        if self._start is None:
            self._start = now - seconds
        late = now - (self._start + seconds)
        if late < 0:
            await asyncio.sleep(-late)
        return late


class _FileTrack(MediaStreamTrack):
    """Frames of one stream of a file, its time made continuous over loops."""

    def __init__(
        self, path: str, loop: bool, duration: float, clock: _Clock, executor: ThreadPoolExecutor
    ) -> None:
        super().__init__()
        self._path = path
        self._looped = loop
        self._duration = duration
        self._clock = clock
        self._executor = executor
        self._frames: Iterator[tuple[float, av.AudioFrame | av.VideoFrame]] | None = None

    def _decode(self) -> Iterator[tuple[float, av.AudioFrame | av.VideoFrame]]:
        """(seconds since the start, frame); a file that breaks off ends there. Runs in the executor."""
        offset = 0.0
        while True:
            end = offset
            with _open(self._path) as container:
                stream = container.streams.audio[0] if self.kind == "audio" else container.streams.video[0]
                origin: float | None = None
                try:
                    for frame in container.decode(stream):
                        if not isinstance(frame, av.AudioFrame | av.VideoFrame) or frame.time is None:
                            continue
                        origin = frame.time if origin is None else origin
                        seconds = offset + frame.time - origin
                        end = max(end, seconds)
                        yield seconds, frame
                except av.FFmpegError:
                    pass  # the rest of the file is damaged: what came before has been played
            if not self._looped or end == offset:
                return
            offset = max(end, offset + self._duration)

    async def _next(self) -> tuple[float, av.AudioFrame | av.VideoFrame]:
        if self._frames is None:
            self._frames = self._decode()
        if self.readyState != "live":
            raise MediaStreamError
        frames = self._frames
        item = await asyncio.get_running_loop().run_in_executor(self._executor, next, frames, None)
        if item is None:
            self.stop()
            raise MediaStreamError
        return item


class AudioFileTrack(_FileTrack):
    """The sound of a file: mono or stereo at 48 kHz, in frames of 20 ms."""

    kind = "audio"

    def __init__(
        self, path: str, loop: bool, duration: float, clock: _Clock, executor: ThreadPoolExecutor
    ) -> None:
        super().__init__(path, loop, duration, clock, executor)
        self._ready: list[av.AudioFrame] = []
        self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=48000, frame_size=960)
        self._samples = 0

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when their time has come. Raises MediaStreamError at the end."""
        while not self._ready:
            seconds, frame = await self._next()
            gap = round(seconds * 48000) - self._samples
            if not self._samples or gap > 4800:
                self._samples = round(seconds * 48000)
            frame.pts = None
            self._ready = self._resampler.resample(frame) if isinstance(frame, av.AudioFrame) else []
        frame = self._ready.pop(0)
        frame.pts = self._samples
        frame.time_base = Fraction(1, 48000)
        await self._clock.wait_for(self._samples / 48000)
        self._samples += frame.samples
        return frame


class VideoFileTrack(_FileTrack):
    """The pictures of a file, at most 30 a second and 1280x720."""

    kind = "video"

    def __init__(
        self, path: str, loop: bool, duration: float, clock: _Clock, executor: ThreadPoolExecutor
    ) -> None:
        super().__init__(path, loop, duration, clock, executor)
        self._shown = float("-inf")

    async def recv(self) -> av.VideoFrame:
        """The next picture, when its time has come. Raises MediaStreamError at the end."""
        while True:
            seconds, frame = await self._next()
            if not isinstance(frame, av.VideoFrame):
                continue
            if seconds - self._shown < 0.9 / MAX_FRAME_RATE:
                continue
            if await self._clock.wait_for(seconds) <= LATE_SECONDS:
                break
        self._shown = seconds
        scale = min(1.0, MAX_WIDTH / frame.width, MAX_HEIGHT / frame.height)
        width, height = (max(2, int(size * scale) // 2 * 2) for size in (frame.width, frame.height))
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._executor, _reformat, frame, width, height)
        picture.pts = round(seconds * VIDEO_CLOCK_RATE)
        picture.time_base = Fraction(1, VIDEO_CLOCK_RATE)
        return picture


def _reformat(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    return frame.reformat(width=width, height=height, format="yuv420p")


def _open(path: str) -> av.container.InputContainer:
    """Open a file to read. Raises PlayerError."""
    if not Path(path).is_file():
        raise PlayerError(f"there is no file {path}")
    try:
        return av.open(path)
    except av.FFmpegError as problem:
        raise PlayerError(f"{path} cannot be played: {problem.strerror}") from None
