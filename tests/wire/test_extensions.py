from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire import extensions as ext
from rtc.wire.errors import WireError

small_pairs = st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=6)
large_pairs = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=6)
profiles = st.sampled_from([0xBEDE, 0x1000, 0x100F, 0, 0x1010, 0xBEDF])


@given(small_pairs | large_pairs)
def test_elements_survive_the_wire(pairs: list[tuple[int, bytes]]) -> None:
    profile, data = ext.pack(pairs)
    assert len(data) % 4 == 0
    assert list(ext.iterate(profile, data)) == pairs


@given(small_pairs.filter(bool))
def test_small_elements_take_the_one_byte_form(pairs: list[tuple[int, bytes]]) -> None:
    assert ext.pack(pairs)[0] == ext.ONE_BYTE


@pytest.mark.parametrize("pair", [(15, b"a"), (1, b""), (1, bytes(17))])
def test_one_large_element_brings_the_two_byte_form(pair: tuple[int, bytes]) -> None:
    profile, data = ext.pack([(2, b"x"), pair])
    assert profile == ext.TWO_BYTE
    assert list(ext.iterate(profile, data)) == [(2, b"x"), pair]


@pytest.mark.parametrize("pair", [(0, b"a"), (-1, b"a"), (256, b"a"), (1, bytes(256))])
def test_an_element_that_fits_no_form_is_a_value_error(pair: tuple[int, bytes]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ext.pack([pair])


def test_more_elements_than_the_length_field_can_say_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="length field"):
        ext.pack([(1, bytes(255))] * 1024)


def test_no_elements_pack_to_no_extension() -> None:
    assert ext.pack([]) == (0, b"")


@pytest.mark.parametrize(
    ("profile", "data", "pairs"),
    [
        (0xBEDE, "10aa 00 20bb 0000", [(1, b"\xaa"), (2, b"\xbb")]),  # padding between and after
        (0xBEDE, "10aa f0bb 20cc", [(1, b"\xaa")]),  # id 15 ends the list
        (0xBEDE, "10aa ff", [(1, b"\xaa")]),  # whatever length it claims
        (0xBEDE, "10aa 0720bb", [(1, b"\xaa")]),  # id 0 with a length too
        (0x1000, "01 00 00 02 01 bb 00", [(1, b""), (2, b"\xbb")]),
        (0x100F, "0f 01 aa 00", [(15, b"\xaa")]),  # 15 is an ordinary id here; appbits are ignored
        (0x1010, "01 00 00 00", []),
        (0x0000, "10aa0000", []),
    ],
)
def test_forms_and_padding_of_rfc_8285(profile: int, data: str, pairs: list[tuple[int, bytes]]) -> None:
    assert list(ext.iterate(profile, bytes.fromhex(data))) == pairs


@pytest.mark.parametrize(
    ("profile", "data"),
    [(0xBEDE, "11aa"), (0xBEDE, "10aa3f0000"), (0x1000, "01"), (0x1000, "0102aa"), (0x1000, "010002ff")],
)
def test_an_element_that_overruns_is_refused(profile: int, data: str) -> None:
    with pytest.raises(WireError):
        list(ext.iterate(profile, bytes.fromhex(data)))
    with pytest.raises(WireError):
        ext.find(profile, bytes.fromhex(data), 14)


@given(profiles, st.binary(max_size=80))
def test_any_bytes_parse_or_are_refused(profile: int, data: bytes) -> None:
    with contextlib.suppress(WireError):
        pairs = list(ext.iterate(profile, memoryview(data)))
        assert all(ext.find(profile, data, key) == dict(reversed(pairs))[key] for key, _ in pairs)


def test_find_returns_the_first_of_its_id_or_none() -> None:
    profile, data = ext.pack([(1, b"a"), (2, b"b"), (1, b"c")])
    assert ext.find(profile, data, 1) == b"a"
    assert ext.find(profile, memoryview(data), 2) == b"b"
    assert ext.find(profile, data, 3) is None


@pytest.mark.parametrize(("profile", "data"), [(0xBEDE, "10aa 32010203"), (0x1000, "0100 03 03 010203")])
def test_find_reaches_an_element_that_ends_with_the_extension(profile: int, data: str) -> None:
    assert ext.find(profile, bytes.fromhex(data), 3) == b"\x01\x02\x03"


@pytest.mark.parametrize("profile", [0, 0x1010, 0xBEDF])
def test_find_knows_no_other_profile(profile: int) -> None:
    assert ext.find(profile, bytes.fromhex("10aa0000"), 1) is None


@given(st.booleans(), st.integers(-127, 0))
def test_an_audio_level_survives_the_wire(voice: bool, level: int) -> None:
    assert ext.unpack_audio_level(ext.pack_audio_level(voice, level)) == (voice, level)


@pytest.mark.parametrize(("level", "sent"), [(-200, -127), (12, 0)])
def test_an_audio_level_out_of_range_is_clamped(level: int, sent: int) -> None:
    assert ext.unpack_audio_level(ext.pack_audio_level(False, level)) == (False, sent)


@given(st.floats(0, 4e9))
def test_abs_send_time_is_the_time_modulo_64_seconds(seconds: float) -> None:
    assert 0 <= seconds % 64 - ext.unpack_abs_send_time(ext.pack_abs_send_time(seconds)) < 2**-18


@given(st.integers(0, 1 << 20))
def test_a_transport_wide_sequence_number_wraps(number: int) -> None:
    assert ext.unpack_transport_cc(ext.pack_transport_cc(number)) == number & 0xFFFF


@given(st.lists(st.integers(0, 4095), min_size=2, max_size=2).map(sorted))
def test_a_playout_delay_survives_the_wire(bounds: list[int]) -> None:
    assert ext.unpack_playout_delay(ext.pack_playout_delay(*bounds)) == tuple(bounds)


@pytest.mark.parametrize("bounds", [(-1, 0), (0, 4096), (5, 4)])
def test_a_playout_delay_out_of_range_is_a_value_error(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="playout delay"):
        ext.pack_playout_delay(*bounds)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_mid_survives_the_wire(text: str) -> None:
    assert ext.unpack_text(ext.pack_text(text)) == text


def test_a_mid_filled_with_zeros_is_read_up_to_them() -> None:
    assert ext.unpack_text(b"0\0\0\0") == "0"


@pytest.mark.parametrize("text", ["", "a" * 256, "a\0b"])
def test_a_text_that_cannot_be_read_back_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="text"):
        ext.pack_text(text)


@pytest.mark.parametrize(
    ("unpack", "value"),
    [
        (ext.unpack_audio_level, b""),
        (ext.unpack_audio_level, b"\0\0"),
        (ext.unpack_abs_send_time, b"\0\0"),
        (ext.unpack_transport_cc, b"\0\0\0"),
        (ext.unpack_playout_delay, b"\0"),
        (ext.unpack_playout_delay, b"\x00\x20\x01"),
        (ext.unpack_text, b""),
        (ext.unpack_text, b"\0a"),
        (ext.unpack_text, b"\xff"),
    ],
)
def test_a_value_of_the_wrong_shape_is_refused(unpack: object, value: bytes) -> None:
    assert callable(unpack)
    with pytest.raises(WireError):
        unpack(value)
