"""What a forwarder reads of video payloads: key frame starts, and the VP8 and VP9 payload descriptors."""

from __future__ import annotations

import msgspec

from rtc.wire.errors import WireError

_H264_IDR, _H264_SPS, _H264_STAP_A, _H264_FU_A = 5, 7, 24, 28  # NAL unit types (RFC 6184 section 5.2)
_AV1_SEQUENCE_HEADER = 1  # OBU type
_VP8_LONGEST = 6  # bytes of a descriptor with all there can be
_VP9_MAX_REFERENCES = 3  # P_DIFF bytes of one picture (RFC 9628 section 4.2)


class Vp8Descriptor(msgspec.Struct, gc=False):
    """The VP8 payload descriptor (RFC 7741 section 4.2).

    A field that the packet lacks is None. Offsets are bytes in the payload, 0 for a field that it lacks;
    `picture_id_bits` is 7 or 15 (0 when absent). The frame's own bytes begin at `payload_offset`.
    """

    start_of_frame: bool
    non_reference: bool
    picture_id: int | None = None
    picture_id_bits: int = 0
    picture_id_offset: int = 0
    tl0picidx: int | None = None
    tl0picidx_offset: int = 0
    temporal_id: int | None = None
    layer_sync: bool = False
    key_index: int | None = None
    payload_offset: int = 0

    @classmethod
    def parse(cls, payload: bytes | memoryview) -> Vp8Descriptor:
        """Parse the start of an RTP payload. Raises WireError when it ends inside the descriptor."""
        # What is read beyond the end is found out at last: a check for each byte takes twice as long.
        head = payload if len(payload) >= _VP8_LONGEST else bytes(payload) + bytes(_VP8_LONGEST)
        first = head[0]
        # S with partition index 0: the first packet of the first partition
        descriptor = cls(first & 0x17 == 0x10, bool(first & 0x20))
        at = 1
        if first & 0x80:
            present = head[1]
            at = 2
            if present & 0x80:
                descriptor.picture_id_offset = at
                picture_id = head[at]
                if picture_id & 0x80:
                    descriptor.picture_id, descriptor.picture_id_bits = (picture_id & 0x7F) << 8 | head[at + 1], 15
                    at += 2
                else:
                    descriptor.picture_id, descriptor.picture_id_bits = picture_id, 7
                    at += 1
            if present & 0x40:
                descriptor.tl0picidx_offset = at
                descriptor.tl0picidx = head[at]
                at += 1
            if present & 0x30:
                layers = head[at]
                at += 1
                if present & 0x20:
                    descriptor.temporal_id = layers >> 6
                    descriptor.layer_sync = bool(layers & 0x20)
                if present & 0x10:
                    descriptor.key_index = layers & 0x1F
        if at > len(payload):
            raise WireError("VP8 payload ends inside its descriptor")
        descriptor.payload_offset = at
        return descriptor


class Vp9Descriptor(msgspec.Struct, gc=False):
    """The VP9 payload descriptor (RFC 9628 section 4.2).

    A field that the packet lacks is None. Offsets are bytes in the payload, 0 for a field that it lacks;
    `picture_id_bits` is 7 or 15 (0 when absent). The frame's own bytes begin at `payload_offset`.
    """

    inter_predicted: bool
    flexible: bool
    start_of_frame: bool
    end_of_frame: bool
    not_reference_for_upper: bool
    picture_id: int | None = None
    picture_id_bits: int = 0
    picture_id_offset: int = 0
    temporal_id: int | None = None
    switching_up: bool = False
    spatial_id: int | None = None
    inter_layer: bool = False
    tl0picidx: int | None = None
    tl0picidx_offset: int = 0
    payload_offset: int = 0

    @classmethod
    def parse(cls, payload: bytes | memoryview) -> Vp9Descriptor:
        """Parse the start of an RTP payload. Raises WireError when it ends inside the descriptor."""
        first = _byte(payload, 0)
        inter_predicted, flexible = bool(first & 0x40), bool(first & 0x10)
        descriptor = cls(inter_predicted, flexible, bool(first & 8), bool(first & 4), bool(first & 1))
        at = 1
        if first & 0x80:
            descriptor.picture_id_offset = at
            descriptor.picture_id, descriptor.picture_id_bits, at = _picture_id(payload, at)
        if first & 0x20:
            layers = _byte(payload, at)
            at += 1
            descriptor.temporal_id = layers >> 5
            descriptor.switching_up = bool(layers & 0x10)
            descriptor.spatial_id = layers >> 1 & 7
            descriptor.inter_layer = bool(layers & 1)
            if not flexible:
                descriptor.tl0picidx_offset = at
                descriptor.tl0picidx = _byte(payload, at)
                at += 1
        if flexible and inter_predicted:
            at = _skip_vp9_references(payload, at)
        if first & 2:
            at = _skip_vp9_structure(payload, at)
        descriptor.payload_offset = at
        return descriptor


def is_keyframe_start(codec: str, payload: bytes | memoryview) -> bool:
    """Tell whether a decoder can start at this RTP payload; False for garbage and for unknown codecs.

    `codec` is the encoding name of SDP in any case: VP8, VP9, H264 or AV1. For H264 each packet that holds or
    begins a sequence parameter set or an IDR slice counts.
    """
    try:
        match codec.upper():
            case "VP8":
                return _is_vp8_keyframe_start(payload)
            case "VP9":
                return _is_vp9_keyframe_start(payload)
            case "H264":
                return _is_h264_keyframe_start(payload)
            case "AV1":
                return _is_av1_keyframe_start(payload)
            case _:
                return False
    except WireError:
        return False


def _is_vp8_keyframe_start(payload: bytes | memoryview) -> bool:
    descriptor = Vp8Descriptor.parse(payload)
    return descriptor.start_of_frame and _byte(payload, descriptor.payload_offset) & 1 == 0


def _is_vp9_keyframe_start(payload: bytes | memoryview) -> bool:
    descriptor = Vp9Descriptor.parse(payload)
    return (
        descriptor.start_of_frame
        and not descriptor.inter_predicted
        and not descriptor.spatial_id
        and len(payload) > descriptor.payload_offset
    )


def _is_h264_keyframe_start(payload: bytes | memoryview) -> bool:
    kind = _byte(payload, 0) & 0x1F
    if kind == _H264_STAP_A:
        at = 1
        while at < len(payload):
            start, at = at + 2, at + 2 + (_byte(payload, at) << 8 | _byte(payload, at + 1))
            if at > len(payload):
                raise WireError("STAP-A unit overruns")
            if at > start and payload[start] & 0x1F in (_H264_IDR, _H264_SPS):
                return True
        return False
    if kind == _H264_FU_A:
        header = _byte(payload, 1)
        return header >= 0x80 and header & 0x1F in (_H264_IDR, _H264_SPS)
    return kind in (_H264_IDR, _H264_SPS)


def _is_av1_keyframe_start(payload: bytes | memoryview) -> bool:
    """Follow the aggregation header of the AV1 RTP specification, section 4.4."""
    head = _byte(payload, 0)
    continued, count = bool(head & 0x80), head >> 4 & 3
    if head & 0x08 and not continued:
        return len(payload) > 1
    at, element = 1, 0
    while at < len(payload):
        element += 1
        if element == count:  # the last of a known number of elements has no length
            length = len(payload) - at
        else:
            length, at = _leb128(payload, at)
        if at + length > len(payload):
            raise WireError("AV1 OBU element overruns")
        is_start = element > 1 or not continued
        if is_start and length and payload[at] >> 3 & 0x0F == _AV1_SEQUENCE_HEADER:
            return True
        at += length
    return False


def _byte(payload: bytes | memoryview, at: int) -> int:
    if at >= len(payload):
        raise WireError("video payload ends inside its header")
    return payload[at]


def _picture_id(payload: bytes | memoryview, at: int) -> tuple[int, int, int]:
    """Return (picture id, its bits, the offset after it): VP8 and VP9 share the format."""
    first = _byte(payload, at)
    if first & 0x80:
        return (first & 0x7F) << 8 | _byte(payload, at + 1), 15, at + 2
    return first, 7, at + 1


def _skip_vp9_references(payload: bytes | memoryview, at: int) -> int:
    for place in range(at, at + _VP9_MAX_REFERENCES):
        if not _byte(payload, place) & 1:
            return place + 1
    raise WireError("VP9 picture has more than three references")


def _skip_vp9_structure(payload: bytes | memoryview, at: int) -> int:
    """Return the offset after the scalability structure (RFC 9628 section 4.2.1)."""
    head = _byte(payload, at)
    at += 1
    if head & 0x10:
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:
        pictures = _byte(payload, at)
        at += 1
        for _ in range(pictures):
            at += 1 + (_byte(payload, at) >> 2 & 3)
    if at > len(payload):
        raise WireError("VP9 scalability structure overruns")
    return at


def _leb128(payload: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return (value, the offset after it) of an AV1 leb128 number of at most 8 bytes."""
    value = 0
    for place in range(8):
        byte = _byte(payload, at + place)
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise WireError("AV1 length is over 8 bytes")
