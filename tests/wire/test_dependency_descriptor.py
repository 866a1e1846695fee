"""The dependency descriptor of the AV1 RTP specification: as Chromium writes it, as the syntax says, and malformed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.dependency_descriptor import Structure, Template, parse
from rtc.wire.errors import WireError
from rtc.wire.layering import Layering, described

KEY = bytes.fromhex(
    "c00001800514853aaaa8018004004002a02a0060010015d34514174d144c700874321651118543276809f8077813f80ef8"
)
"""Of Chromium 156, AV1 in L2T3_KEY, 640x480."""
TEMPLATES = (
    (0, 0, (2, 2, 2, 2, 2, 2)), (0, 0, (2, 2, 2, 0, 0, 0)), (0, 1, (0, 1, 2, 0, 0, 0)), (0, 2, (0, 0, 1, 0, 0, 0)),
    (0, 2, (0, 0, 1, 0, 0, 0)), (1, 0, (0, 0, 0, 2, 2, 2)), (1, 0, (0, 0, 0, 2, 2, 2)), (1, 1, (0, 0, 0, 0, 1, 2)),
    (1, 2, (0, 0, 0, 0, 0, 1)), (1, 2, (0, 0, 0, 0, 0, 1)),
)  # fmt: skip


def structure() -> Structure:
    found = parse(KEY, None).structure
    assert found is not None
    return found


def test_a_key_frame_of_chromium_brings_the_templates() -> None:
    assert structure() == Structure(0, tuple(Template(*one) for one in TEMPLATES), 2, (240, 480))
    assert described(parse(KEY, None)) == Layering(begins=True, ends=True, key=True, opens=True, height=480)


@pytest.mark.parametrize(
    ("value", "number", "layering"),
    [
        ("c50002", 2, Layering(spatial=1, begins=True, ends=True, opens=True)),
        ("830003", 3, Layering(temporal=2, begins=True, opens=True)),
        ("48ffff", 0xFFFF, Layering(spatial=1, temporal=2, ends=True, opens=True)),
        ("c200281a201000", 40, Layering(temporal=1, begins=True, ends=True, opens=True)),  # own differences and chains
        ("c10005" + "40e0", 5, Layering(begins=True, ends=True, opens=True)),  # active decode targets: the lower three
        ("c10005" + "20abea" + "aa", 5, Layering(begins=True, ends=True, opens=False)),  # custom indications
    ],
)  # fmt: skip
def test_later_packets_refer_to_them(value: str, number: int, layering: Layering) -> None:
    found = parse(bytes.fromhex(value), structure())
    assert (found.frame_number, found.structure) == (number, None)
    assert described(found) == layering


@pytest.mark.parametrize("value", ["", "c000", "cb0001", "ff0001", "c00001ff", KEY[:-5].hex(), "c2000521"])
def test_what_is_short_or_refers_to_nothing_is_refused(value: str) -> None:
    with pytest.raises(WireError):
        parse(bytes.fromhex(value), structure())


def test_without_its_structure_a_packet_cannot_be_read() -> None:
    with pytest.raises(WireError):
        parse(bytes.fromhex("c50002"), None)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"\xc0\x00\x01\x80" + rest)))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    with contextlib.suppress(WireError):
        found = parse(value, structure())
        assert 0 <= found.spatial <= 3 and 0 <= found.temporal <= 7
        assert len(found.indications) <= 32


class Writer:
    """Writes what the parser reads."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> None:
        self.bits += f"{value:0{count}b}" if count else ""

    def put_up_to(self, value: int, count: int) -> None:
        width = count.bit_length()
        short = (1 << width) - count
        if value < short:
            self.put(value, width - 1)
        else:
            self.put(value + short, width)

    @property
    def value(self) -> bytes:
        padded = self.bits + "0" * (-len(self.bits) % 8)
        return int(padded, 2).to_bytes(len(padded) // 8, "big")


@given(st.data())
def test_whatever_structure_is_written_is_read(data: st.DataObject) -> None:
    draw = data.draw
    steps = draw(st.lists(st.sampled_from([0, 0, 1, 2]), max_size=20))
    spatial, temporal, layers = 0, 0, [(0, 0)]
    kept: list[int] = []
    for step in steps:
        if (step == 1 and temporal == 7) or (step == 2 and spatial == 3):
            continue
        spatial, temporal = (spatial + 1, 0) if step == 2 else (spatial, temporal + (step == 1))
        layers.append((spatial, temporal))
        kept.append(step)
    targets, first = draw(st.integers(1, 32)), draw(st.integers(0, 63))
    chains = draw(st.integers(0, targets))
    indications = [tuple(draw(st.integers(0, 3)) for _ in range(targets)) for _ in layers]
    heights = draw(st.none() | st.tuples(*[st.integers(1, 0x10000)] * (spatial + 1)))
    chosen = draw(st.integers(0, len(layers) - 1))
    out = Writer()
    for value, count in ((3, 2), ((first + chosen) % 64, 6), (77, 16), (0b10000, 5), (first, 6), (targets - 1, 5)):
        out.put(value, count)
    for step in (*kept, 3):
        out.put(step, 2)
    for each in indications:
        for one in each:
            out.put(one, 2)
    for _ in layers:
        for difference in draw(st.lists(st.integers(0, 15), max_size=3)):
            out.put(16 | difference, 5)
        out.put(0, 1)
    out.put_up_to(chains, targets + 1)
    if chains:
        for _ in range(targets):
            out.put_up_to(draw(st.integers(0, chains - 1)), chains)
        out.put(0, 4 * chains * len(layers))
    out.put(heights is not None, 1)
    for height in heights or ():
        out.put(319, 16)
        out.put(height - 1, 16)
    found = parse(out.value, None)
    assert (found.frame_number, found.spatial, found.temporal) == (77, *layers[chosen])
    templates = tuple(Template(*layer, each) for layer, each in zip(layers, indications, strict=True))
    assert found.structure == Structure(first, templates, chains, heights or ())
