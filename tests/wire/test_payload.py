from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.payload import Vp8Descriptor, Vp9Descriptor, is_keyframe_start


@pytest.mark.parametrize(
    ("codec", "payload", "expected"),
    [
        ("VP8", "10 00", True),
        ("vp8", "10 50 9d012a", True),
        ("VP8", "10 01", False),  # inter frame
        ("VP8", "00 00", False),  # not the start of a partition
        ("VP8", "11 00", False),  # second partition
        ("VP8", "90 e0 8123 45 40 00", True),  # with picture id, TL0PICIDX and TID
        ("VP8", "90 e0 8123 45 40 01", False),
        ("VP8", "10", False),
        ("VP8", "90 e0 81", False),
        ("VP9", "08 82", True),
        ("VP9", "0c 82", True),
        ("VP9", "48 82", False),  # predicted
        ("VP9", "00 82", False),  # not the beginning of a frame
        ("VP9", "a8 8123 00 07 82", True),  # spatial layer 0
        ("VP9", "a8 8123 03 07 82", False),  # spatial layer 1 of the same picture
        ("VP9", "0a 18 0140 00f0 01 14 01 82", True),  # with a scalability structure
        ("VP9", "08", False),
        ("VP9", "0a 1f 0140", False),
        ("H264", "65 88", True),
        ("H264", "67 42", True),
        ("H264", "68 ce", False),  # PPS alone
        ("H264", "41 9a", False),
        ("H264", "78 0002 09f0 0003 674200 0001 68", True),  # STAP-A: AUD, SPS, PPS
        ("H264", "78 0002 09f0 0002 419a", False),
        ("H264", "78 0000 0001 65", True),
        ("H264", "78 0009 67", False),
        ("H264", "78 00", False),
        ("H264", "7c 85 88", True),  # FU-A, start of an IDR
        ("H264", "7c 05 88", False),
        ("H264", "7c 45 88", False),
        ("H264", "7c 81 88", False),
        ("H264", "7c", False),
        ("AV1", "08 0a", True),  # N
        ("AV1", "88 0a", False),  # N on a continuation makes no sense
        ("AV1", "10 0a0b00", True),  # one element: a sequence header
        ("AV1", "10 3200", False),  # one element: a frame
        ("AV1", "20 02 1200 0a0b", True),  # a temporal delimiter, then a sequence header
        ("AV1", "00 02 1200 02 0a0b", True),  # with all lengths
        ("AV1", "90 0a0b00", False),  # the rest of an OBU that looks like a sequence header
        ("AV1", "a0 01 0a 0a0b", True),  # after such a rest
        ("AV1", "00 09 0a", False),
        ("AV1", "00 8001 12010a" + "00" * 125, False),  # a length of two bytes
        ("AV1", "00 ffffffffffffffff7f 0a", False),
        ("AV1", "08", False),
        ("opus", "10 00", False),
        ("", "", False),
    ],
)
def test_where_a_decoder_can_start(codec: str, payload: str, expected: bool) -> None:
    data = bytes.fromhex(payload)
    assert is_keyframe_start(codec, data) is expected
    assert is_keyframe_start(codec, memoryview(data)) is expected


@given(st.sampled_from(["VP8", "VP9", "H264", "AV1", "rtx"]), st.binary(max_size=60))
def test_garbage_is_never_an_exception(codec: str, payload: bytes) -> None:
    assert is_keyframe_start(codec, payload) in (True, False)


@given(st.binary(max_size=60))
def test_any_bytes_have_a_descriptor_or_are_refused(payload: bytes) -> None:
    for descriptor in (Vp8Descriptor, Vp9Descriptor):
        with contextlib.suppress(WireError):
            assert 0 < descriptor.parse(payload).payload_offset <= len(payload)


picture_ids = (
    st.none() | st.tuples(st.just(7), st.integers(0, 0x7F)) | st.tuples(st.just(15), st.integers(0, 0x7FFF))
)


def picture_id_bytes(picture_id: tuple[int, int]) -> bytes:
    bits, value = picture_id
    return bytes((value,)) if bits == 7 else (0x8000 | value).to_bytes(2, "big")


@given(
    picture_ids,
    st.none() | st.integers(0, 255),
    st.none() | st.tuples(st.integers(0, 3), st.booleans()),
    st.none() | st.integers(0, 31),
)
def test_every_shape_of_vp8_descriptor_is_read(
    picture_id: tuple[int, int] | None,
    tl0picidx: int | None,
    layer: tuple[int, bool] | None,
    key_index: int | None,
) -> None:
    present = (picture_id is not None) << 7 | (tl0picidx is not None) << 6
    present |= (layer is not None) << 5 | (key_index is not None) << 4
    data = bytes((0x90, present))
    if picture_id is not None:
        data += picture_id_bytes(picture_id)
    if tl0picidx is not None:
        data += bytes((tl0picidx,))
    if layer is not None or key_index is not None:
        temporal_id, sync = layer or (0, False)
        data += bytes((temporal_id << 6 | sync << 5 | (key_index or 0),))

    parsed = Vp8Descriptor.parse(data + b"frame")
    assert parsed.start_of_frame
    assert not parsed.non_reference
    assert (parsed.picture_id_bits, parsed.picture_id) == (picture_id or (0, None))
    assert parsed.tl0picidx == tl0picidx
    assert (parsed.temporal_id, parsed.layer_sync) == (layer or (None, False))
    assert parsed.key_index == key_index
    assert parsed.payload_offset == len(data)
    if picture_id is not None:
        assert data[parsed.picture_id_offset :].startswith(picture_id_bytes(picture_id))
    if tl0picidx is not None:
        assert data[parsed.tl0picidx_offset] == tl0picidx
    for cut in range(len(data)):
        with pytest.raises(WireError):
            Vp8Descriptor.parse(data[:cut])


@given(
    picture_ids,
    st.none() | st.tuples(st.integers(0, 7), st.booleans(), st.integers(0, 7), st.booleans()),
    st.integers(0, 255),
    st.none() | st.lists(st.integers(0, 127), min_size=1, max_size=3),
    st.none()
    | st.tuples(st.integers(0, 7), st.booleans(), st.none() | st.lists(st.integers(0, 3), max_size=5)),
)
def test_every_shape_of_vp9_descriptor_is_read(
    picture_id: tuple[int, int] | None,
    layer: tuple[int, bool, int, bool] | None,
    tl0picidx: int,
    references: list[int] | None,  # flexible mode when there are some
    structure: tuple[int, bool, list[int] | None] | None,
) -> None:
    flexible = references is not None
    first = (picture_id is not None) << 7 | flexible << 6 | (layer is not None) << 5 | flexible << 4
    data = bytes((first | 0x0C | (structure is not None) << 1,))
    if picture_id is not None:
        data += picture_id_bytes(picture_id)
    if layer is not None:
        temporal_id, switching_up, spatial_id, inter_layer = layer
        data += bytes((temporal_id << 5 | switching_up << 4 | spatial_id << 1 | inter_layer,))
        if not flexible:
            data += bytes((tl0picidx,))
    for place, reference in enumerate(references or (), 1):
        data += bytes((reference << 1 | (place < len(references or ())),))
    if structure is not None:
        layers, sizes, group = structure
        data += bytes((layers << 5 | sizes << 4 | (group is not None) << 3,))
        data += bytes(4 * (layers + 1)) if sizes else b""
        if group is not None:
            data += bytes((len(group),)) + b"".join(bytes((count << 2, *[9] * count)) for count in group)

    parsed = Vp9Descriptor.parse(data + b"frame")
    assert (parsed.start_of_frame, parsed.end_of_frame) == (True, True)
    assert (parsed.inter_predicted, parsed.flexible) == (flexible, flexible)
    assert (parsed.picture_id_bits, parsed.picture_id) == (picture_id or (0, None))
    expected = layer or (None, False, None, False)
    assert (parsed.temporal_id, parsed.switching_up, parsed.spatial_id, parsed.inter_layer) == expected
    assert parsed.tl0picidx == (tl0picidx if layer is not None and not flexible else None)
    assert parsed.payload_offset == len(data)
    if parsed.picture_id_offset:
        assert picture_id is not None
        assert data[parsed.picture_id_offset :].startswith(picture_id_bytes(picture_id))
    if parsed.tl0picidx_offset:
        assert data[parsed.tl0picidx_offset] == tl0picidx
    for cut in range(len(data)):
        with pytest.raises(WireError):
            Vp9Descriptor.parse(data[:cut])


@pytest.mark.parametrize("flags", range(16))
def test_each_flag_of_a_vp9_descriptor_is_its_own(flags: int) -> None:
    predicted, start, end, upper = (bool(flags & bit) for bit in (8, 4, 2, 1))
    parsed = Vp9Descriptor.parse(bytes((predicted << 6 | start << 3 | end << 2 | upper,)))
    assert parsed == Vp9Descriptor(predicted, False, start, end, upper, payload_offset=1)


@pytest.mark.parametrize(
    ("first", "start", "droppable"), [(0x10, True, False), (0x30, True, True), (0x20, False, True)]
)
def test_each_flag_of_a_vp8_descriptor_is_its_own(first: int, start: bool, droppable: bool) -> None:
    assert Vp8Descriptor.parse(bytes((first,))) == Vp8Descriptor(start, droppable, payload_offset=1)


def test_a_vp9_picture_with_four_references_is_refused() -> None:
    with pytest.raises(WireError):
        Vp9Descriptor.parse(bytes.fromhex("50 03 03 03 02 00"))
