"""What a program reads.

A MediaStreamTrack for each publication of the others, wherever the server sends it.
"""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from rtc.client.audio_receiver import CHANNELS, CLOCK_RATE, AudioReceiver
from rtc.client.opus import Samples
from rtc.client.video_receiver import VideoReceiver

FRAME_SAMPLES = 960
"""Samples in a frame of recv(), 20 ms."""

LATE_SECONDS = 0.2
"""A reader that is later than this has stopped reading: the sound goes on from now, not from where it was."""


class RemoteTrack(MediaStreamTrack):
    """A publication of somebody else. It follows the publication from slot to slot, and ends with it."""

    def __init__(self, publication: str, participant: str) -> None:
        super().__init__()
        self.publication = publication
        self.participant = participant
        self._receiving = asyncio.Event()

    @property
    def receiving(self) -> bool:
        """Whether the server sends this publication now."""
        return self._receiving.is_set()

    async def wait_until_receiving(self) -> None:
        """Wait until the publication is in a slot."""
        await self._receiving.wait()


class RemoteAudioTrack(RemoteTrack):
    """Sound: stereo at 48 kHz in frames of 20 ms, one every 20 ms, silence where nothing comes."""

    kind = "audio"

    def __init__(self, publication: str, participant: str) -> None:
        super().__init__(publication, participant)
        self._receiver: AudioReceiver | None = None
        self._pts = 0
        self._due: float | None = None

    def attach(self, receiver: AudioReceiver | None) -> None:
        """The slot that carries the publication from now on, or none."""
        self._receiver = receiver
        if receiver is None:
            self._receiving.clear()
        else:
            self._receiving.set()

    def pull(self, samples: int) -> Samples:
        """The next `samples` of sound at once, for a mixer with a clock of its own; shape (samples, 2).

        Either pull or recv: both take from the same stream.
        """
        if self._receiver is None:
            return np.zeros((samples, CHANNELS), dtype=np.int16)
        return self._receiver.pull(samples, now=time.monotonic())

    async def recv(self) -> av.AudioFrame:
        """The next frame, when its time has come. Raises MediaStreamError when the track has ended."""
        now = time.monotonic()
        if self._due is None:
            self._due = now
        elif now - self._due > LATE_SECONDS:
            missed = int((now - self._due) * CLOCK_RATE)
            self._pts += missed
            self._due = now
            if self._receiver is not None:
                self._receiver.catch_up(now=now)
        if self._due > now:
            await asyncio.sleep(self._due - now)
        if self.readyState != "live":
            raise MediaStreamError
        frame = av.AudioFrame.from_ndarray(
            self.pull(FRAME_SAMPLES).reshape(1, -1), format="s16", layout="stereo"
        )
        frame.sample_rate = CLOCK_RATE
        frame.pts = self._pts
        frame.time_base = Fraction(1, CLOCK_RATE)
        self._pts += FRAME_SAMPLES
        self._due += FRAME_SAMPLES / CLOCK_RATE
        return frame


class RemoteVideoTrack(RemoteTrack):
    """Pictures as they come, with the sender's timing as pts in 1/90000 s."""

    kind = "video"

    def __init__(self, publication: str, participant: str) -> None:
        super().__init__(publication, participant)
        self._receiver: VideoReceiver | None = None
        self._moved = asyncio.Event()

    def attach(self, receiver: VideoReceiver | None) -> None:
        """The slot that carries the publication from now on, or none."""
        if receiver is self._receiver:
            return
        self._receiver = receiver
        self._moved.set()
        if receiver is None:
            self._receiving.clear()
        else:
            self._receiving.set()

    def stop(self) -> None:
        """End the track: a reader gets MediaStreamError."""
        super().stop()
        self._moved.set()

    async def recv(self) -> av.VideoFrame:
        """The next picture. Raises MediaStreamError when the track has ended."""
        while self.readyState == "live":
            self._moved.clear()
            moved = asyncio.create_task(self._moved.wait())
            picture: asyncio.Task[av.VideoFrame] | None = None
            try:
                waiting: set[asyncio.Future[Any]] = {moved}
                if self._receiver is not None:
                    picture = asyncio.create_task(self._receiver.next_picture())
                    waiting.add(picture)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if picture is not None and picture.done():
                    return picture.result()
            finally:
                moved.cancel()
                if picture is not None:
                    picture.cancel()
        raise MediaStreamError
