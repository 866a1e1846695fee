"""RTP header extensions: the general mechanism (RFC 8285) and the elements that browsers use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rtc.wire.errors import WireError

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"  # RFC 9143
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"  # RFC 8852
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"  # RFC 8852
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"  # RFC 6464
TOFFSET = "urn:ietf:params:rtp-hdrext:toffset"  # RFC 5450
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"  # 3GPP TS 26.114
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
COLOR_SPACE = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
CONTENT_TYPE = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
VIDEO_TIMING = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

ONE_BYTE = 0xBEDE  # profile of the one-byte form: ids 1 to 14, 1 to 16 bytes of data
TWO_BYTE = 0x1000  # profile of the two-byte form, low 4 bits "appbits": ids 1 to 255, 0 to 255 bytes of data

_STOP = 15  # one-byte id that ends the list (RFC 8285 section 4.2)
_MAX_LENGTH = 4 * 0xFFFF  # bytes: the length field counts 32-bit words in 16 bits
_ABS_SEND_TIME_STEPS = 1 << 18  # of a second: 24 bits as 6.18 fixed point
MAX_PLAYOUT_DELAY = 0xFFF  # steps of 10 ms


def iterate(profile: int, data: bytes | bytearray | memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield (id, value) of each element; nothing for a profile outside RFC 8285.

    `data` is the extension after its length word. Id 15 in the one-byte form ends the list (RFC 8285 section
    4.2), and so does id 0 with a length, as in libwebrtc. Raises WireError for an element that overruns.
    """
    at, end = 0, len(data)
    if profile == ONE_BYTE:
        while at < end:
            head = data[at]
            at += 1
            if head == 0:
                continue
            key = head >> 4
            if key in (0, _STOP):
                return
            stop = at + (head & 0x0F) + 1
            if stop > end:
                raise WireError("header extension element overruns")
            yield key, bytes(data[at:stop])
            at = stop
    elif profile & 0xFFF0 == TWO_BYTE:
        while at < end:
            key = data[at]
            at += 1
            if key == 0:
                continue
            if at == end:
                raise WireError("header extension element has no length")
            stop = at + 1 + data[at]
            if stop > end:
                raise WireError("header extension element overruns")
            yield key, bytes(data[at + 1 : stop])
            at = stop


def find(profile: int, data: bytes | bytearray | memoryview, wanted: int) -> bytes | None:
    """Return the value of the first element whose id is `wanted`, or None; half the cost of `iterate`.

    Raises WireError for an element before it that overruns.
    """
    at, end = 0, len(data)
    one_byte = profile == ONE_BYTE
    if not one_byte and profile & 0xFFF0 != TWO_BYTE:
        return None
    while at < end:
        head = data[at]
        at += 1
        if head == 0:
            continue
        if one_byte:
            key = head >> 4
            if key in (0, _STOP):
                return None
            stop = at + (head & 0x0F) + 1
        else:
            if at == end:
                raise WireError("header extension element has no length")
            key = head
            stop = at + 1 + data[at]
            at += 1
        if stop > end:
            raise WireError("header extension element overruns")
        if key == wanted:
            return bytes(data[at:stop])
        at = stop
    return None


def pack(pairs: Iterable[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Return (profile, elements padded to 32 bits): the one-byte form if it can;  (0, b"") for none.

    Raises ValueError for an id outside 1 to 255, a value over 255 bytes, or too many elements.
    """
    pairs = list(pairs)
    if not pairs:
        return 0, b""
    out = bytearray()
    if all(0 < key < _STOP and 0 < len(value) <= 16 for key, value in pairs):
        profile = ONE_BYTE
        for key, value in pairs:
            out.append(key << 4 | (len(value) - 1))
            out += value
    else:
        profile = TWO_BYTE
        for key, value in pairs:
            if not 0 < key <= 0xFF or len(value) > 0xFF:
                raise ValueError(f"header extension {key} of {len(value)} bytes does not fit RFC 8285")
            out += bytes((key, len(value)))
            out += value
    out += bytes(-len(out) % 4)
    if len(out) > _MAX_LENGTH:
        raise ValueError("header extension is longer than its length field can say")
    return profile, bytes(out)


def pack_audio_level(voice: bool, level: int) -> bytes:
    """Return an audio level (RFC 6464): `level` in dBov, clamped to 0 (loudest) to -127."""
    return bytes((min(max(-level, 0), 0x7F) | (0x80 if voice else 0),))


def unpack_audio_level(value: bytes) -> tuple[bool, int]:
    """Return (voice, level in dBov, 0 to -127). Raises WireError."""
    _require(value, 1)
    return value[0] >= 0x80, -(value[0] & 0x7F)


def pack_abs_send_time(seconds: float) -> bytes:
    """Return a departure time, in seconds of any clock, modulo 64 s in steps of 2^-18 s."""
    return (int(seconds * _ABS_SEND_TIME_STEPS) & 0xFFFFFF).to_bytes(3, "big")


def unpack_abs_send_time(value: bytes) -> float:
    """Return the departure time in seconds, 0 up to but excluding 64. Raises WireError."""
    _require(value, 3)
    return int.from_bytes(value, "big") / _ABS_SEND_TIME_STEPS


def pack_transport_cc(sequence_number: int) -> bytes:
    """Return a transport-wide sequence number, taken modulo 2^16."""
    return (sequence_number & 0xFFFF).to_bytes(2, "big")


def unpack_transport_cc(value: bytes) -> int:
    """Return the transport-wide sequence number. Raises WireError."""
    _require(value, 2)
    return int.from_bytes(value, "big")


def pack_playout_delay(minimum: int, maximum: int) -> bytes:
    """Return the bounds of a receiver's playout delay, in steps of 10 ms, 0 to 4095. Raises ValueError."""
    if not 0 <= minimum <= maximum <= MAX_PLAYOUT_DELAY:
        raise ValueError(f"playout delay of {minimum} to {maximum} steps is out of order or range")
    return (minimum << 12 | maximum).to_bytes(3, "big")


def unpack_playout_delay(value: bytes) -> tuple[int, int]:
    """Return (minimum, maximum) in steps of 10 ms. Raises WireError."""
    _require(value, 3)
    both = int.from_bytes(value, "big")
    minimum, maximum = both >> 12, both & MAX_PLAYOUT_DELAY
    if minimum > maximum:
        raise WireError("playout delay has its minimum above its maximum")
    return minimum, maximum


def pack_text(text: str) -> bytes:
    """Return a MID, RID or repaired RID. Raises ValueError when it is empty or over 255 bytes."""
    value = text.encode()
    if not 0 < len(value) <= 0xFF or 0 in value:
        raise ValueError("header extension text is empty, too long or has a zero byte")
    return value


def unpack_text(value: bytes) -> str:
    """Return a MID, RID or repaired RID, without the zeros some senders fill it with. Raises WireError."""
    text = value.partition(b"\0")[0]
    if not text:
        raise WireError("header extension text is empty")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise WireError("header extension text is not UTF-8") from None


def _require(value: bytes, length: int) -> None:
    if len(value) != length:
        raise WireError(f"header extension element has {len(value)} bytes instead of {length}")
