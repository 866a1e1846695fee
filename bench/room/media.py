"""What clients in virtual time send and hear: tracks whose packets count, and the m-lines that offer them."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass, field

from rtc.wire.extensions import AUDIO_LEVEL, MID, REPAIRED_RID, RID
from rtc.wire.rtp import RtpPacket

OPUS, VP8, RTX, H264 = 111, 96, 97, 98
MID_ID, LEVEL_ID, RID_ID, REPAIRED_RID_ID = 4, 5, 6, 7
SIMULCAST = ((1, 480), (2, 1000), (6, 1000))
"""Packets a frame and bytes a packet of encodings of 180, 360 and 720 lines: 114, 428 and 1,284 kbit/s on the wire."""
BODY = struct.Struct(">HI")
"""What each payload ends with: the number of its track, and its place in it."""


@dataclass(slots=True, frozen=True)
class Heard:
    """One media packet that a listener got, repairs included."""

    time: float
    sequence: int
    """Extended."""
    timestamp: int
    payload: bytes
    payload_type: int
    marker: bool
    repaired: bool
    extensions: dict[int, bytes]

    @property
    def track(self) -> int:
        """The number of the track that it came from."""
        return int(BODY.unpack(self.payload[-BODY.size :])[0])

    @property
    def number(self) -> int:
        """Its place among the packets of the track, from 0."""
        return int(BODY.unpack(self.payload[-BODY.size :])[1])

    @property
    def is_key(self) -> bool:
        """Whether this begins a key frame of VP8."""
        return self.payload[0] == 0x10 and not self.payload[1] & 1


@dataclass(slots=True)
class Track:
    """A published m-line. `number` is unique in the test, so that a listener can tell whom it hears."""

    number: int
    kind: str
    mid: str
    rid: str = ""
    """Of simulcast, which encoding: each is a track of its own here."""
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    rtx_ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    timestamp: int = field(default_factory=lambda: secrets.randbits(32))
    sent: dict[int, float] = field(default_factory=dict)
    """When each packet was first sent, by its place."""
    newest: tuple[float, int] = (0.0, 0)
    """When the newest packet was sent, and its timestamp."""
    keyframes: list[float] = field(default_factory=list)
    plis: list[float] = field(default_factory=list)
    level: int = -20
    wants_keyframe: bool = True
    active: bool = True
    """Of simulcast: whether this encoding is sent."""
    payload_type: int = 0
    frame: int = -1
    picture: int = field(default_factory=lambda: secrets.randbits(15))
    tl0: int = field(default_factory=lambda: secrets.randbits(8))
    history: dict[int, RtpPacket] = field(default_factory=dict)
    rtx_sequence: int = 0


def media_lines(kind: str, mid: str, direction: str) -> list[str]:
    """An m-line as browsers write it, without SSRCs."""
    lines = [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF " + (f"{OPUS}" if kind == "audio" else f"{VP8} {RTX} {H264}"),
        f"a=mid:{mid}", f"a={direction}", "a=rtcp-mux", f"a=extmap:{MID_ID} {MID}",
    ]
    if kind == "audio":
        return [*lines, f"a=extmap:{LEVEL_ID} {AUDIO_LEVEL}", f"a=rtpmap:{OPUS} opus/48000/2"]
    return [
        *lines, f"a=extmap:{RID_ID} {RID}", f"a=extmap:{REPAIRED_RID_ID} {REPAIRED_RID}",
        f"a=rtpmap:{VP8} VP8/90000", f"a=rtcp-fb:{VP8} nack", f"a=rtcp-fb:{VP8} nack pli",
        f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={VP8}",
        f"a=rtpmap:{H264} H264/90000", f"a=rtcp-fb:{H264} nack", f"a=rtcp-fb:{H264} nack pli",
        f"a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ]
