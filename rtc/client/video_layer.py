"""One size of a picture that is sent: its encoder, and the numbered stream of its packets."""

from __future__ import annotations

from dataclasses import dataclass

import av
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from av.video.frame import PictureType

from rtc.client.outgoing import OutgoingStream
from rtc.client.simulcast import scaled

KEYFRAME_SECONDS = 0.3
"""Shortest time between two key frames made on request."""


OWED_SECONDS = 0.4
"""Pictures are left out while those before have taken the bit rate of so many seconds to come: a key frame takes half
of that, and each of a grainy picture several times its share where the encoder can be no coarser."""


@dataclass(slots=True)
class VideoLayerStatistics:
    """What one encoder did since the start."""

    rid: str = ""
    active: bool = False
    """Whether the last picture was encoded in this size: it is large enough, somebody wants it, and there is room."""
    frames_encoded: int = 0
    frames_skipped: int = 0
    """Pictures left out, since those before took more than the bit rate allows."""
    keyframes: int = 0
    target_bitrate: int = 0
    width: int = 0
    height: int = 0


class _Unbounded:
    """An encoder for small pictures as well: aiortc's do not go below 250 kbit/s of VP8, 500 of H.264."""

    target_bitrate: int = 0


class _Vp8(_Unbounded, Vp8Encoder):
    pass


class _H264(_Unbounded, H264Encoder):
    pass


class VideoLayer:
    """Encodes pictures in one size, when it is asked to."""

    def __init__(self, stream: OutgoingStream, codec: str) -> None:
        self.stream = stream
        self.statistics = VideoLayerStatistics(stream.rid)
        self._encoder: _Vp8 | _H264
        self._keyframe_wanted = True
        self._keyframe_at = float("-inf")
        self._owed = 0.0
        """Bits sent before their time, as of the last look."""
        self._looked_at = float("-inf")
        self.use(codec)

    def use(self, codec: str) -> None:
        """Begin anew with this codec."""
        self._encoder = _H264() if codec == "H264" else _Vp8()
        self._keyframe_wanted = True

    def request_keyframe(self) -> None:
        """Make the next picture a key frame, at most one every KEYFRAME_SECONDS."""
        self._keyframe_wanted = True

    def rest(self) -> None:
        """A picture is not sent in this size; the next that is begins anew."""
        self.statistics.active = False
        self._keyframe_wanted = True

    def has_room(self, bitrate: int, *, now: float) -> bool:
        """Whether the next picture may be encoded now; it counts as left out if not."""
        self._owed = max(0.0, self._owed - bitrate * (now - self._looked_at))
        self._looked_at = now
        has_room = self._owed <= OWED_SECONDS * bitrate
        self.statistics.frames_skipped += not has_room
        return has_room

    def starts_keyframe(self, *, now: float) -> bool:
        """Whether the next picture is to be a key frame; it is taken for done."""
        if not self._keyframe_wanted or now - self._keyframe_at < KEYFRAME_SECONDS:
            return False
        self._keyframe_wanted, self._keyframe_at = False, now
        self.statistics.keyframes += 1
        return True

    def encode(self, picture: av.VideoFrame, *, scale: int, bitrate: int, keyframe: bool) -> list[bytes]:
        """Payloads of one picture, in a thread; its time and type are changed unless it is made smaller."""
        self._encoder.target_bitrate = bitrate
        if scale > 1:
            width, height = scaled(picture.width, scale), scaled(picture.height, scale)
            picture = picture.reformat(width=width, height=height, format="yuv420p")
        picture.pict_type = PictureType.NONE  # what it was in a file means nothing here
        payloads, _ = self._encoder.encode(picture, keyframe)
        self._owed += 8 * sum(map(len, payloads))
        statistics = self.statistics
        statistics.active = True
        statistics.frames_encoded += 1
        statistics.target_bitrate = bitrate
        statistics.width, statistics.height = picture.width, picture.height
        return payloads
