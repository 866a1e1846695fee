"""A packet of a source on its way through the server: decrypted, numbered, stripped of all that is not media."""

from __future__ import annotations

import msgspec

from rtc.wire import extensions
from rtc.wire.dependency_descriptor import DependencyDescriptor
from rtc.wire.layering import Layering
from rtc.wire.sdp import Codec

CARRIED: dict[str, frozenset[int]] = {
    extensions.AUDIO_LEVEL: frozenset({1}),
    extensions.VIDEO_ORIENTATION: frozenset({1}),
    extensions.CONTENT_TYPE: frozenset({1}),
    extensions.COLOR_SPACE: frozenset({4, 28}),
}
"""Header extensions passed on from source to listener, with the lengths in bytes that are valid.

All others end here: a wrong length kills a stock aiortc client, and some say what only the server may say.
"""


class SourcePacket(msgspec.Struct, frozen=True, gc=False):
    """One RTP packet of a source; no dataclass, since those take ten times as long to make."""

    sequence: int
    """Extended and without holes: padding-only packets are not counted, restarts go on where the stream was."""
    timestamp: int
    """As the publisher sent it, 32 bit."""
    marker: bool
    codec: str
    """Which `codec_key` the payload is in."""
    payload: bytes
    extensions: tuple[tuple[str, bytes], ...]
    """Carried header extensions by URI."""
    layering: Layering | None = None
    """Of video whose codec tells: where it stands among the layers."""
    descriptor: DependencyDescriptor | None = None
    """Of video whose publisher describes it: what each listener who asked for that is told in other numbers."""


def codec_key(codec: Codec) -> str:
    """Name under which two descriptions mean the same bitstream, such as `VP9/0` or `H264/42e0/1`.

    Profile and packetization mode count (RFC 6184 8.2.2, RFC 9628 6.3); the H.264 level does not.
    """
    parameters = {name: value.lower() for name, value in codec.parameters.items()}
    if codec.name == "H264":
        profile = parameters.get("profile-level-id", "420010")[:4]
        return f"H264/{profile}/{parameters.get('packetization-mode', '0')}"
    if codec.name == "VP9":
        return f"VP9/{parameters.get('profile-id', '0')}"
    return codec.name


def find_payload_type(key: str, payload_types: dict[str, int]) -> int | None:
    """The listener's payload type for a codec; for H.264 the nearest it has, since decoders are more able than SDP."""
    exact = payload_types.get(key)
    if exact is not None or not key.startswith("H264/"):
        return exact
    mode = key.rpartition("/")[2]
    same_codec = [other for other in payload_types if other.startswith("H264/")]
    same_codec.sort(key=lambda other: other.rpartition("/")[2] != mode)
    return payload_types[same_codec[0]] if same_codec else None
