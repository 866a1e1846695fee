"""The dependency descriptor: which layer a frame belongs to and what it needs, said beside the payload.

AV1 RTP specification, appendix A. Browsers send it with AV1, whose payload a forwarder is not to read.
"""

from __future__ import annotations

import msgspec

from rtc.wire.errors import WireError

NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)
"""What a frame is to a decode target (table A.2)."""

_TEMPLATE_IDS = 64
_MAX_SPATIAL_ID, _MAX_TEMPORAL_ID = 3, 7
_MANDATORY_BYTES = 3
_SAME_LAYER, _NEXT_TEMPORAL, _NEXT_SPATIAL, _NO_MORE = range(4)
"""Values of next_layer_idc (table A.3)."""


class Template(msgspec.Struct, frozen=True, gc=False):
    """What frames have in common that name it."""

    spatial: int
    temporal: int
    indications: tuple[int, ...]
    """What the frame is to each decode target."""


class Structure(msgspec.Struct, frozen=True, gc=False):
    """The templates of one coded video sequence, sent with its key frame."""

    first_id: int
    """Id of the first template; those after it follow, modulo 64."""
    templates: tuple[Template, ...]
    chains: int
    heights: tuple[int, ...]
    """Pixels of each spatial layer; empty where nothing is said of them."""

    @property
    def decode_targets(self) -> int:
        """How many there are."""
        return len(self.templates[0].indications)


class DependencyDescriptor(msgspec.Struct, frozen=True, gc=False):
    """The descriptor of one packet."""

    start_of_frame: bool
    end_of_frame: bool
    frame_number: int
    """16 bits."""
    spatial: int
    temporal: int
    indications: tuple[int, ...]
    structure: Structure | None
    """The one that begins with this packet: its frame is a key frame."""

    @property
    def opens(self) -> bool:
        """Who can decode this frame can take all targets above its own from here on (A.4.4)."""
        present = [one for one in self.indications if one != NOT_PRESENT]
        return bool(present) and all(one == SWITCH for one in present[1:])


def parse(value: bytes, structure: Structure | None) -> DependencyDescriptor:
    """Read a descriptor; `structure` is the one that came last. Raises WireError for any that lies about its length.

    Without the structure that a frame refers to, it cannot be read either.
    """
    if len(value) < _MANDATORY_BYTES:
        raise WireError("dependency descriptor is shorter than three bytes")
    bits = _Bits(value)
    start, end = bool(bits.take(1)), bool(bits.take(1))
    template_id, frame_number = bits.take(6), bits.take(16)
    begins = has_targets = own_indications = own_differences = own_chains = False
    if len(value) > _MANDATORY_BYTES:
        begins, has_targets, own_indications, own_differences, own_chains = (bool(bits.take(1)) for _ in range(5))
    if begins:
        structure = _read_structure(bits)
    if structure is None:
        raise WireError("dependency descriptor came before its structure")
    if has_targets:
        bits.take(structure.decode_targets)
    index = (template_id - structure.first_id) % _TEMPLATE_IDS
    if index >= len(structure.templates):
        raise WireError("dependency descriptor names a template that there is not")
    template = structure.templates[index]
    indications = template.indications
    if own_indications:
        indications = tuple(bits.take(2) for _ in indications)
    if own_differences:
        while size := bits.take(2):
            bits.take(4 * size)
    if own_chains:
        bits.take(8 * structure.chains)
    return DependencyDescriptor(
        start, end, frame_number, template.spatial, template.temporal, indications, structure if begins else None
    )


def _read_structure(bits: _Bits) -> Structure:
    first_id, targets = bits.take(6), bits.take(5) + 1
    layers = _read_layers(bits)
    indications = [tuple(bits.take(2) for _ in range(targets)) for _ in layers]
    for _ in layers:
        while bits.take(1):
            bits.take(4)
    chains = bits.take_up_to(targets + 1)
    if chains:
        for _ in range(targets):
            bits.take_up_to(chains)
        bits.take(4 * chains * len(layers))
    heights: list[int] = []
    if bits.take(1):
        for _ in range(layers[-1][0] + 1):
            bits.take(16)
            heights.append(bits.take(16) + 1)
    templates = tuple(Template(*layer, each) for layer, each in zip(layers, indications, strict=True))
    return Structure(first_id, templates, chains, tuple(heights))


def _read_layers(bits: _Bits) -> list[tuple[int, int]]:
    """Spatial and temporal id of each template."""
    spatial = temporal = 0
    layers: list[tuple[int, int]] = []
    while len(layers) < _TEMPLATE_IDS:
        layers.append((spatial, temporal))
        step = bits.take(2)
        if step == _NO_MORE:
            return layers
        if step == _NEXT_TEMPORAL:
            temporal += 1
        elif step == _NEXT_SPATIAL:
            spatial, temporal = spatial + 1, 0
        if spatial > _MAX_SPATIAL_ID or temporal > _MAX_TEMPORAL_ID:
            raise WireError("dependency descriptor has more layers than there can be")
    raise WireError("dependency descriptor has more templates than there are ids")


class _Bits:
    """Reads numbers of any size, the highest bit first."""

    def __init__(self, value: bytes) -> None:
        self._bits = int.from_bytes(value, "big")
        self._left = 8 * len(value)

    def take(self, count: int) -> int:
        """The next `count` bits. Raises WireError when there are fewer."""
        self._left -= count
        if self._left < 0:
            raise WireError("dependency descriptor ends inside a field")
        return self._bits >> self._left & (1 << count) - 1

    def take_up_to(self, count: int) -> int:
        """A number below `count` in as few bits as it needs: ns(n) of the specification."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.take(width - 1)
        return value if value < short else (value << 1) - short + self.take(1)
