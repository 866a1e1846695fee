"""What two ends that know each other say about redundancy, as RTCP APP packets: they take the way of the media.

On a path that loses half of all packets a TCP connection stands still for seconds; RTCP does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from rtc.wire.errors import WireError
from rtc.wire.rtcp import Application

NAME = "CLRN"
MAX_DEPTH = 32  # blocks: more than the 14-bit timestamp offset lets anybody use
MAX_COPIES = 8

_REQUEST, _PATH = 1, 2  # subtypes
_REQUEST_BODY = Struct("!IBBxx")
_PATH_BODY = Struct("!IHH")  # media SSRC, share lost in 1/65535, mean burst in 1/256 packets


@dataclass(slots=True, frozen=True)
class ProtectionRequest:
    """A receiver's wish: send the stream `media_ssrc` with `depth` redundant frames (RFC 2198), `copies` times."""

    media_ssrc: int
    depth: int
    copies: int

    def to_rtcp(self, sender_ssrc: int) -> Application:
        """The APP packet that says so."""
        return Application(
            sender_ssrc, NAME, _REQUEST_BODY.pack(self.media_ssrc, self.depth, self.copies), _REQUEST
        )


@dataclass(slots=True, frozen=True)
class PathReport:
    """What a receiver sees of the stream `media_ssrc` before any repair, which a receiver report cannot say.

    `loss` is the share lost, 0 to 1, `burst` the mean number of packets lost in a row, 1 to 255.
    """

    media_ssrc: int
    loss: float
    burst: float

    def to_rtcp(self, sender_ssrc: int) -> Application:
        """The APP packet that says so."""
        burst = min(round(self.burst * 256), 0xFFFF)
        return Application(
            sender_ssrc, NAME, _PATH_BODY.pack(self.media_ssrc, round(self.loss * 0xFFFF), burst), _PATH
        )


def read_application(packet: Application) -> ProtectionRequest | PathReport | None:
    """Read an APP packet; None when it is about something else. Raises WireError for figures that are absurd."""
    if packet.name != NAME or packet.subtype not in (_REQUEST, _PATH):
        return None
    if len(packet.data) != _REQUEST_BODY.size:
        raise WireError("a message about redundancy has 8 bytes")
    if packet.subtype == _PATH:
        ssrc, loss, burst = _PATH_BODY.unpack(packet.data)
        if burst < 256:
            raise WireError("a burst is at least one packet")
        return PathReport(ssrc, loss / 0xFFFF, burst / 256)
    request = ProtectionRequest(*_REQUEST_BODY.unpack(packet.data))
    if request.depth > MAX_DEPTH or not 1 <= request.copies <= MAX_COPIES:
        raise WireError("a request for redundancy asks for the impossible")
    return request
