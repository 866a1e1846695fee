"""A receiver's wish for redundancy, as an RTCP APP packet: it takes the way of the media, not that of signalling.

On a path that loses half of all packets a TCP connection stands still for seconds; RTCP does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from rtc.wire.errors import WireError
from rtc.wire.rtcp import Application

NAME = "CLRN"
SUBTYPE = 1
MAX_DEPTH = 32  # blocks: more than the 14-bit timestamp offset lets anybody use
MAX_COPIES = 4

_BODY = Struct("!IBBxx")


@dataclass(slots=True, frozen=True)
class ProtectionRequest:
    """Send the stream `media_ssrc` with `depth` redundant frames (RFC 2198), each packet `copies` times."""

    media_ssrc: int
    depth: int
    copies: int

    def to_rtcp(self, sender_ssrc: int) -> Application:
        """The APP packet that says so."""
        return Application(sender_ssrc, NAME, _BODY.pack(self.media_ssrc, self.depth, self.copies), SUBTYPE)

    @classmethod
    def from_rtcp(cls, packet: Application) -> ProtectionRequest | None:
        """Read an APP packet; None when it is about something else. Raises WireError for figures that are absurd."""
        if packet.name != NAME or packet.subtype != SUBTYPE:
            return None
        if len(packet.data) != _BODY.size:
            raise WireError("a protection request has 8 bytes")
        request = cls(*_BODY.unpack(packet.data))
        if request.depth > MAX_DEPTH or not 1 <= request.copies <= MAX_COPIES:
            raise WireError("a protection request asks for the impossible")
        return request
