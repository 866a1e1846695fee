"""What a listener is sent who gets a picture's upper layers no more and has lost a part of them: what ends it there."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from test_fanout import VIDEO, Wire, listener, pass_on, source_of
from test_layers import AV1_KEY, VP9

from rtc.sfu.stand_in import ending, stand_in
from rtc.wire.layering import described, empty_frame, read_layering
from rtc.wire.level import EVERYTHING, Level
from rtc.wire.rtp import RtpHeader
from rtc.wire.sdp import Codec

LAYERS, PARTS = 3, 2
Place = tuple[int, int, int]
"""Picture, layer and packet of it."""


def descriptor_of(picture: int, spatial: int, part: int) -> bytes:
    """VP9's, in non-flexible mode (RFC 9628 4.2), with a picture id of 7 bits."""
    head = 0xA0 | (0x40 if picture else 0) | (0x08 if part == 0 else 0) | (0x04 if part == PARTS - 1 else 0)
    return bytes([head, picture, spatial << 1 | (spatial > 0), 0])


@pytest.mark.parametrize(
    ("lost", "sent"),
    [
        # In place of the first that is missing of the highest layer, a frame with nothing in it that ends the picture.
        ([(1, 2, 0)], [((1, 2, 0), True)]),
        ([(1, 2, 1)], [((1, 2, 1), True)]),
        ([(1, 2, 0), (1, 2, 1)], [((1, 2, 0), True)]),
        # A layer in the middle is left out with that above it, and sent if that has come.
        ([(1, 1, 1), (1, 2, 0)], [((1, 1, 1), False), ((1, 2, 0), True)]),
        ([(1, 1, 0), (1, 1, 1)], [((1, 1, 0), None), ((1, 1, 1), None)]),
        # Each picture for itself.
        ([(1, 1, 0), (2, 2, 1)], [((1, 1, 0), None), ((2, 2, 1), True)]),
        ([(1, 2, 1), (2, 2, 0), (2, 2, 1)], [((1, 2, 1), True), ((2, 2, 0), True)]),
    ],
)  # fmt: skip
def test_a_picture_ends_below_what_is_missing_of_it(lost: list[Place], sent: list[tuple[Place, bool | None]]) -> None:
    wire, slot = Wire(), listener("video")
    slot.configure((*VIDEO[:1], Codec("VP9", VP9, 90_000, rtx_payload_type=VP9 + 1)), {})
    source = source_of("video")
    slot.listen_to(source)
    slot.show(source, EVERYTHING)
    numbers: dict[Place, int] = {}
    for picture in range(4):
        if picture == 3:
            slot.show(source, Level(0, 255))
        for spatial in range(LAYERS):
            for part in range(PARTS):
                numbers[picture, spatial, part] = len(numbers)
                last = (spatial, part) == (LAYERS - 1, PARTS - 1)
                header = RtpHeader(last, VP9, len(numbers), 3000 * picture, 7, (), 0, 0, 0, 12, 1, 0)
                payload = descriptor_of(picture, spatial, part) + b"frame"
                pass_on(source, source.receive(header, "VP9/0", payload, (), now=0.0), wire, 0.0)
    leg = slot.leg
    assert leg is not None and leg.level == Level(0, 255)
    begin = source.fanout.highest - len(numbers) + 1
    stored = {place: source.history.get(begin + number) for place, number in numbers.items()}
    found = ending([one for place in lost if (one := stored[place]) is not None], leg, source.history)
    assert [one.sequence - begin for one in found] == [numbers[place] for place, _ in sent]
    for one, (place, ends) in zip(found, sent, strict=True):
        if ends is None:
            assert one is stored[place]
            continue
        layering = read_layering("VP9", one.payload)
        assert layering is not None and one.marker == ends
        assert (layering.spatial, layering.begins, layering.ends) == (place[1], True, True)
        assert one.payload[1:] == descriptor_of(*place)[1:] + b"\0"


def test_a_description_says_that_it_is_a_whole_frame() -> None:
    source = source_of("video")
    header = RtpHeader(False, 45, 1, 0, 7, (), 0, 0, 0, 12, 1, 0)
    source.receive(header, "AV1", b"\x18\x0a\x00", (), descriptor=AV1_KEY, now=0.0)
    header = RtpHeader(False, 45, 2, 0, 7, (), 0, 0, 0, 12, 1, 0)
    (middle,) = source.receive(header, "AV1", b"\x90\x00\x00", (), descriptor=bytes([0x05, 0, 2]), now=0.0)
    instead = stand_in(middle, ends=True)
    assert instead is not None and instead.descriptor is not None and middle.descriptor is not None
    layering = described(instead.descriptor)
    assert (layering.begins, layering.ends, layering.spatial) == (True, True, 1)
    assert instead.descriptor.frame_number == middle.descriptor.frame_number


def test_of_codecs_without_such_layers_nothing_stands_in() -> None:
    assert empty_frame("VP8", b"\x90\xe0\x80\x01\x02\x00\x00") is None
    assert empty_frame("H264", b"\x65\x00") is None


@pytest.mark.parametrize(
    ("encoder", "decoder", "nothing"),
    [("libvpx-vp9", "libvpx-vp9", empty_frame("VP9", b"\x00")), ("libsvtav1", "libdav1d", empty_frame("AV1", b""))],
)
def test_decoders_skip_it(encoder: str, decoder: str, nothing: bytes | None) -> None:
    """Libwebrtc hands them all layers of a picture in one piece, each OBU of AV1 with its length."""
    assert nothing is not None
    behind = nothing[1:]
    if decoder == "libdav1d":
        behind = bytes([behind[0] | 0x02, len(behind) - 1]) + behind[1:]
    coder = av.CodecContext.create(encoder, "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.width, coder.height, coder.pix_fmt, coder.time_base = 160, 96, "yuv420p", Fraction(1, 30)
    dice = np.random.default_rng(1)
    packets = []
    for number in range(6):
        frame = av.VideoFrame.from_ndarray(dice.integers(0, 255, (144, 160), np.uint8), format="yuv420p")
        frame.pts = number
        packets += coder.encode(frame)
    packets += coder.encode(None)

    def decoded(more: bytes) -> list[np.ndarray]:
        context = av.CodecContext.create(decoder, "r")
        assert isinstance(context, av.VideoCodecContext)
        frames = [frame for packet in packets for frame in context.decode(av.Packet(bytes(packet) + more))]
        return [frame.to_ndarray() for frame in [*frames, *context.decode(None)]]

    plain, extended = decoded(b""), decoded(behind)
    assert len(plain) == 6
    assert all(np.array_equal(*pair) for pair in zip(plain, extended, strict=True))
