"""A track of ours in the room: reads it, encodes, sends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from rtc.client.audio_sender import FRAME_SECONDS, AudioSender
from rtc.client.errors import CallError
from rtc.client.media import Media, Sender
from rtc.client.offer import AnsweredLine
from rtc.client.outgoing import total
from rtc.client.statistics import SentStatistics
from rtc.client.video_sender import BURST_PACKETS, BURST_SECONDS, VideoSender
from rtc.wire import extensions

logger = logging.getLogger(__name__)


class LocalPublication:
    """The handle that call.publish() returns."""

    def __init__(
        self,
        track: MediaStreamTrack,
        sender: Sender,
        media: Media,
        *,
        set_muted: Callable[[LocalPublication, bool], Awaitable[None]],
        withdraw: Callable[[LocalPublication], Awaitable[None]],
        ended: Callable[[LocalPublication, str], None],
        frame_seconds: float = FRAME_SECONDS,
    ) -> None:
        self.id = ""
        """The server's name of the publication; empty until it has answered."""
        self.track = track
        self.source = sender.source
        self.sender = sender
        self._media = media
        self._set_muted = set_muted
        self._withdraw = withdraw
        self._ended = ended
        self._task: asyncio.Task[None] | None = None
        self._encoding: asyncio.Task[None] | None = None
        self._audio: AudioSender | None = None
        self._video: VideoSender | None = None
        if sender.kind == "audio":
            payload_type, red, level_id = _audio_parameters(sender.line)
            self._audio = AudioSender(
                sender.stream,
                payload_type=payload_type,
                red_payload_type=red,
                level_id=level_id,
                frame_seconds=frame_seconds,
            )
        else:
            codec, payload_type = _video_parameters(sender.line)
            # A server that takes no simulcast takes the first for the only one.
            streams = sender.streams if sender.line.rids else sender.streams[:1]
            self._video = VideoSender(
                streams, codec=codec, payload_type=payload_type, executor=media.encoding
            )
            sender.keyframe_requested = self._video.request_keyframe
            sender.wanted_changed = self._video.want
        sender.renegotiated = self._renegotiated

    @property
    def muted(self) -> bool:
        """Whether nothing is sent, though the track runs on."""
        encoder = self._audio or self._video
        return encoder is not None and encoder.muted

    async def mute(self) -> None:
        """Stop sending, at once, and tell the others."""
        self._apply_muted(True)
        await self._set_muted(self, True)

    async def unmute(self) -> None:
        """Send again and tell the others."""
        await self._set_muted(self, False)
        self._apply_muted(False)

    def muted_by_host(self) -> None:
        """Stop sending: the server does not pass it on any more. Unmuting is refused until a host allows it."""
        self._apply_muted(True)

    async def unpublish(self) -> None:
        """Withdraw the track from the room. The track itself is not stopped."""
        await self.stop()
        await self._withdraw(self)

    def start(self, *, muted: bool) -> None:
        """Begin to read the track."""
        self._apply_muted(muted)
        self.sender.active = True
        self.sender.encodes(self._audio)
        self._task = asyncio.create_task(self._run(), name=f"publish {self.source}")

    async def stop(self) -> None:
        """Stop reading the track."""
        self.sender.active = False
        self.sender.encodes(None)
        self.sender.renegotiated = lambda: None
        self.sender.keyframe_requested = lambda ssrc: None
        self.sender.wanted_changed = lambda rids: None
        tasks = [t for t in (self._task, self._encoding) if t is not None and t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def set_bitrate(self, bitrate: int) -> None:
        """What the server allows for this video; bit/s."""
        if self._video is not None:
            self._video.set_bitrate(bitrate)

    def statistics(self) -> SentStatistics:
        """Counters since the start."""
        stream = total(stream.statistics for stream in self.sender.streams)
        if self._video is not None:
            video = self._video.statistics
            return SentStatistics(self.source, self._video.codec, video.target_bitrate, stream, video)
        bitrate = self._audio.encoder.bitrate if self._audio is not None else 0
        return SentStatistics(self.source, "OPUS", bitrate, stream)

    async def _run(self) -> None:
        """Until the track ends; whatever fails is told, not lost."""
        error = ""
        try:
            if self._audio is not None:
                await self._run_audio(self._audio)
            elif self._video is not None:
                await self._run_video(self._video)
        except MediaStreamError:
            pass
        except ValueError as problem:
            error = str(problem)
        except Exception as problem:  # the track is the program's own code: it may raise anything
            logger.exception("the track published as %s failed", self.source)
            error = f"{type(problem).__name__}: {problem}"
        self._ended(self, error)

    async def _run_audio(self, sender: AudioSender) -> None:
        while True:
            frame = await self.track.recv()
            if not isinstance(frame, av.AudioFrame):
                raise ValueError(f"an audio track gave a {type(frame).__name__}")
            for packet in sender.send(frame, now=time.monotonic()):
                self._media.send(packet, copies=self.sender.copies)

    async def _run_video(self, sender: VideoSender) -> None:
        while True:
            picture = await self.track.recv()
            if not isinstance(picture, av.VideoFrame):
                raise ValueError(f"a video track gave a {type(picture).__name__}")
            if sender.busy:
                sender.frames_dropped += 1
                continue
            if self._encoding is not None:
                await self._encoding
            self._encoding = asyncio.create_task(self._send_picture(sender, picture))

    async def _send_picture(self, sender: VideoSender, picture: av.VideoFrame) -> None:
        packets = await sender.encode(picture, now=time.monotonic())
        for index, packet in enumerate(packets):
            if index and index % BURST_PACKETS == 0:
                await asyncio.sleep(BURST_SECONDS)
            self._media.send(packet)

    def _apply_muted(self, muted: bool) -> None:
        if self._audio is not None:
            self._audio.muted = muted
        if self._video is not None:
            self._video.muted = muted
            if not muted:
                self._video.request_keyframe()

    def _renegotiated(self) -> None:
        if not self.sender.line.accepted:
            return
        if self._audio is not None:
            payload_type, red, level_id = _audio_parameters(self.sender.line)
            self._audio.renegotiated(payload_type=payload_type, red_payload_type=red, level_id=level_id)
        if self._video is not None:
            codec, payload_type = _video_parameters(self.sender.line)
            self._video.renegotiated(codec=codec, payload_type=payload_type)


def _audio_parameters(line: AnsweredLine) -> tuple[int, int | None, int | None]:
    """Payload types of Opus and RED, and the id of the audio level."""
    payload_type = line.payload_type("OPUS")
    if not line.accepted or payload_type is None:
        raise CallError("bad-sdp", "the server does not accept Opus audio")
    return payload_type, line.payload_type("RED"), line.extension_ids.get(extensions.AUDIO_LEVEL)


def _video_parameters(line: AnsweredLine) -> tuple[str, int]:
    """Codec and payload type."""
    chosen = next(((n, name) for n, name in line.codecs.items() if name in {"VP8", "H264"}), None)
    if not line.accepted or chosen is None:
        raise CallError("bad-sdp", "the server accepts neither VP8 nor H.264 video")
    return chosen[1], chosen[0]
