"""What was agreed for one publishing m-line: how to read its packets."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from rtc.wire.extensions import (
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    DEPENDENCY_DESCRIPTOR,
    MID,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    iterate,
)
from rtc.wire.sdp import AnsweredMedia, OfferedMedia

from .packet import CARRIED, codec_key

Carried = tuple[tuple[str, bytes], ...]
"""Header extensions that are passed on: URIs and values."""


@dataclass(slots=True, frozen=True)
class Format:
    """What a payload type stands for."""

    codec: str
    """`codec_key` of the media; of what is repaired, when it is RTX."""
    rtx: bool = False
    red: bool = False
    """RFC 2198: the primary block is media of the first Opus format."""


@dataclass(slots=True, frozen=True)
class PublishedMedia:
    """The receiving half of an m-line."""

    mid: str
    kind: str
    formats: dict[int, Format]
    carried: dict[int, str]
    """Header extension ids that are passed on, with their URIs."""
    mid_extension: int | None
    rid_extension: int | None
    repaired_rid_extension: int | None
    send_time_extension: int | None
    transport_extension: int | None
    descriptor_extension: int | None
    rids: tuple[str, ...]
    """Simulcast encodings in the order of the offer (RFC 8853); empty for a single one."""
    ssrcs: tuple[int, ...]
    rtx_ssrcs: dict[int, int]
    read: dict[tuple[int, bytes], ReadExtensions] = field(default_factory=dict)
    """What was found in blocks of header extensions that have come before."""

    @classmethod
    def agree(cls, offered: OfferedMedia, answered: AnsweredMedia) -> PublishedMedia:
        """From an m-line that the client sends on, and our answer to it."""
        formats: dict[int, Format] = {}
        for codec in answered.codecs:
            key = codec_key(codec)
            is_red = codec.name == "red"
            formats[codec.payload_type] = Format("opus" if is_red else key, red=is_red)
            if codec.rtx_payload_type is not None:
                formats[codec.rtx_payload_type] = Format(key, rtx=True)
        return cls(
            mid=offered.mid,
            kind=offered.kind,
            formats=formats,
            carried={number: uri for uri, number in answered.extensions.items() if uri in CARRIED},
            mid_extension=answered.extensions.get(MID),
            rid_extension=answered.extensions.get(RID),
            repaired_rid_extension=answered.extensions.get(REPAIRED_RID),
            send_time_extension=answered.extensions.get(ABS_SEND_TIME),
            transport_extension=answered.extensions.get(TRANSPORT_CC),
            descriptor_extension=answered.extensions.get(DEPENDENCY_DESCRIPTOR),
            rids=answered.rids,
            ssrcs=offered.ssrcs,
            rtx_ssrcs=dict(offered.rtx_ssrcs),
        )


class ReadExtensions(msgspec.Struct, frozen=True, gc=False):
    """What the header extensions of one packet say."""

    carried: Carried
    level: int | None
    """dBov."""
    send_time: int | None
    """abs-send-time, 24 bits."""
    transport_sequence: int | None
    descriptor: bytes
    """The dependency descriptor; empty without one."""


def read_extensions(profile: int, block: bytes, media: PublishedMedia) -> ReadExtensions:
    """Read a block of header extensions but for those of a wrong length. Raises WireError for one that overruns."""
    carried: list[tuple[str, bytes]] = []
    level = send_time = transport_sequence = None
    descriptor = b""
    for number, value in iterate(profile, block):
        if number == media.transport_extension and len(value) == 2:
            transport_sequence = int.from_bytes(value, "big")
        elif number == media.send_time_extension and len(value) == 3:
            send_time = int.from_bytes(value, "big")
        elif number == media.descriptor_extension:
            descriptor = value
        else:
            uri = media.carried.get(number)
            if uri is not None and len(value) in CARRIED[uri]:
                carried.append((uri, value))
                if uri == AUDIO_LEVEL:
                    level = -(value[0] & 0x7F)
    return ReadExtensions(tuple(carried), level, send_time, transport_sequence, descriptor)
