"""What was agreed for one publishing m-line: how to read its packets."""

from __future__ import annotations

from dataclasses import dataclass

from rtc.wire.extensions import ABS_SEND_TIME, MID, REPAIRED_RID, RID, TRANSPORT_CC
from rtc.wire.sdp import AnsweredMedia, OfferedMedia

from .packet import CARRIED, codec_key


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
    rids: tuple[str, ...]
    """Simulcast encodings in the order of the offer (RFC 8853); empty for a single one."""
    ssrcs: tuple[int, ...]
    rtx_ssrcs: dict[int, int]

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
            rids=answered.rids,
            ssrcs=offered.ssrcs,
            rtx_ssrcs=dict(offered.rtx_ssrcs),
        )
