"""The dependency descriptor: which layer a frame belongs to and what it needs, said beside the payload.

AV1 RTP specification, appendix A. Browsers send it with AV1, whose payload a forwarder is not to read.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from rtc.wire.bits import BitReader, BitWriter
from rtc.wire.errors import WireError
from rtc.wire.level import Level

NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)
"""What a frame is to a decode target (table A.2)."""

MAX_BYTES = 240
"""Longer ones are refused: a header extension holds 255, and a listener's may say something more than its source's."""

TEMPLATE_IDS = 64
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
    references: tuple[int, ...] = ()
    """By how many frames back each is that it needs."""
    chains: tuple[int, ...] = ()
    """By how many frames back the frame before it is in each chain; 0: there is none."""


class Structure(msgspec.Struct, frozen=True, gc=False):
    """The templates of one coded video sequence, sent with its key frame."""

    first_id: int
    """Id of the first template; those after it follow, modulo 64."""
    templates: tuple[Template, ...]
    protected_by: tuple[int, ...]
    """The chain that tells of each decode target whether something is missing; empty without chains."""
    resolutions: tuple[tuple[int, int], ...]
    """Width and height of each spatial layer, pixels; empty where nothing is said of them."""
    targets: tuple[Level, ...]
    """Layers of each decode target."""
    peak: Level
    """The highest of all."""

    @classmethod
    def of(
        cls, first_id: int, templates: tuple[Template, ...], protected_by: tuple[int, ...] = (),
        resolutions: tuple[tuple[int, int], ...] = (),
    ) -> Structure:
        """With the layers of the decode targets: the highest of the frames in each (A.8.2.2), of an empty one none."""
        targets = []
        for place in range(len(templates[0].indications)):
            frames = [one for one in templates if one.indications[place] != NOT_PRESENT]
            targets.append(Level(
                max((one.spatial for one in frames), default=0), max((one.temporal for one in frames), default=0)
            ))
        peak = Level(max(one.spatial for one in targets), max(one.temporal for one in targets))
        return cls(first_id, templates, protected_by, resolutions, tuple(targets), peak)

    @property
    def chains(self) -> int:
        """How many there are."""
        return len(self.templates[0].chains)

    def active(self, level: Level) -> int:
        """Bitmask of the decode targets that are within a level, the first being bit 0 (A.8.2.3)."""
        return sum(
            1 << place for place, one in enumerate(self.targets)
            if one.spatial <= level.spatial and one.temporal <= level.temporal
        )


class DependencyDescriptor(msgspec.Struct, frozen=True, gc=False):
    """The descriptor of one packet."""

    start_of_frame: bool
    end_of_frame: bool
    frame_number: int
    """16 bits."""
    place: int
    """Of its template in the structure."""
    structure: Structure
    """What it refers to."""
    begins: bool = False
    """Whether the structure comes with this packet: its frame is a key frame."""
    active: int | None = None
    """Bitmask of the decode targets that are sent from here on; None: as before, after a structure all."""
    own_indications: tuple[int, ...] | None = None
    """These three: None where the frame has those of its template."""
    own_references: tuple[int, ...] | None = None
    own_chains: tuple[int, ...] | None = None

    @property
    def template(self) -> Template:
        """What it has in common with others."""
        return self.structure.templates[self.place]

    @property
    def indications(self) -> tuple[int, ...]:
        """What its frame is to each decode target."""
        return self.template.indications if self.own_indications is None else self.own_indications

    @property
    def switches(self) -> tuple[Level, ...]:
        """Layers of the decode targets that who can decode this frame can take from here on (A.4.4)."""
        return tuple(
            level for level, one in zip(self.structure.targets, self.indications, strict=True) if one == SWITCH
        )


def parse(value: bytes, structure: Structure | None, former: Structure | None = None) -> DependencyDescriptor:
    """Read a descriptor; `structure` is the one that came last, `former` the one before it.

    Raises WireError for any that lies about its length, or without the structure that it refers to.
    """
    if not _MANDATORY_BYTES <= len(value) <= MAX_BYTES:
        raise WireError(f"dependency descriptor of {len(value)} bytes")
    template_id, frame_number = value[0] & 0x3F, value[1] << 8 | value[2]
    start, end = value[0] >= 0x80, bool(value[0] & 0x40)
    if len(value) == _MANDATORY_BYTES:
        found, place = _find(template_id, structure, former)
        return DependencyDescriptor(start, end, frame_number, place, found)
    bits = BitReader(value[_MANDATORY_BYTES:])
    begins, has_active, own_indications, own_references, own_chains = (bool(bits.take(1)) for _ in range(5))
    if begins:
        structure, former = _read_structure(bits), None
    found, place = _find(template_id, structure, former)
    active = indications = chains = references = None
    if has_active:
        active = bits.take(len(found.targets))
    if own_indications:
        indications = tuple(bits.take(2) for _ in found.targets)
    if own_references:
        sizes: list[int] = []
        while size := bits.take(2):
            sizes.append(bits.take(4 * size) + 1)
        references = tuple(sizes)
    if own_chains:
        chains = tuple(bits.take(8) for _ in range(found.chains))
    return DependencyDescriptor(
        start, end, frame_number, place, found, begins, active, indications, references, chains
    )


def write(descriptor: DependencyDescriptor, *, frames: int = 0, templates: int = 0, active: int | None = None) -> bytes:
    """The descriptor with frame number and template ids moved by so many, and this bitmask instead of its own."""
    structure = descriptor.structure
    bits = BitWriter()
    bits.put(descriptor.start_of_frame, 1)
    bits.put(descriptor.end_of_frame, 1)
    bits.put((structure.first_id + descriptor.place + templates) % TEMPLATE_IDS, 6)
    bits.put(descriptor.frame_number + frames & 0xFFFF, 16)
    own = descriptor.own_indications, descriptor.own_references, descriptor.own_chains
    active = descriptor.active if active is None else active
    if not descriptor.begins and active is None and own == (None, None, None):
        return bits.value
    bits.put(descriptor.begins, 1)
    for each in (active, *own):
        bits.put(each is not None, 1)
    if descriptor.begins:
        _write_structure(bits, structure, templates)
    if active is not None:
        bits.put(active, len(structure.targets))
    for one in descriptor.own_indications or ():
        bits.put(one, 2)
    if descriptor.own_references is not None:
        for reference in descriptor.own_references:
            size = max(1, ((reference - 1).bit_length() + 3) // 4)
            bits.put(size, 2)
            bits.put(reference - 1, 4 * size)
        bits.put(0, 2)
    for chain in descriptor.own_chains or ():
        bits.put(chain, 8)
    return bits.value


def _find(template_id: int, *structures: Structure | None) -> tuple[Structure, int]:
    """The structure that has this template, and its place there."""
    for structure in structures:
        if structure is not None:
            place = (template_id - structure.first_id) % TEMPLATE_IDS
            if place < len(structure.templates):
                return structure, place
    raise WireError("dependency descriptor names a template that there is not")


def _read_structure(bits: BitReader) -> Structure:
    first_id, count = bits.take(6), bits.take(5) + 1
    layers = _read_layers(bits)
    indications = [tuple(bits.take(2) for _ in range(count)) for _ in layers]
    references: list[tuple[int, ...]] = []
    for _ in layers:
        found: list[int] = []
        while bits.take(1):
            found.append(bits.take(4) + 1)
        references.append(tuple(found))
    chains = bits.take_up_to(count + 1)
    protected_by: tuple[int, ...] = ()
    if chains:
        protected_by = tuple(bits.take_up_to(chains) for _ in range(count))
    before = [tuple(bits.take(4) for _ in range(chains)) for _ in layers]
    resolutions: list[tuple[int, int]] = []
    if bits.take(1):
        resolutions = [(bits.take(16) + 1, bits.take(16) + 1) for _ in range(layers[-1].spatial + 1)]
    templates = tuple(
        Template(layer.spatial, layer.temporal, *rest)
        for layer, *rest in zip(layers, indications, references, before, strict=True)
    )
    return Structure.of(first_id, templates, protected_by, tuple(resolutions))


def _read_layers(bits: BitReader) -> list[Level]:
    """Layers of each template."""
    spatial = temporal = 0
    layers: list[Level] = []
    while len(layers) < TEMPLATE_IDS:
        layers.append(Level(spatial, temporal))
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


def _write_structure(bits: BitWriter, structure: Structure, moved: int) -> None:
    templates, targets = structure.templates, len(structure.targets)
    bits.put((structure.first_id + moved) % TEMPLATE_IDS, 6)
    bits.put(targets - 1, 5)
    for before, after in pairwise(templates):
        same = _NEXT_TEMPORAL if after.temporal > before.temporal else _SAME_LAYER
        bits.put(_NEXT_SPATIAL if after.spatial > before.spatial else same, 2)
    bits.put(_NO_MORE, 2)
    for one in templates:
        for indication in one.indications:
            bits.put(indication, 2)
    for one in templates:
        for reference in one.references:
            bits.put(1, 1)
            bits.put(reference - 1, 4)
        bits.put(0, 1)
    bits.put_up_to(structure.chains, targets + 1)
    for chain in structure.protected_by:
        bits.put_up_to(chain, structure.chains)
    for one in templates:
        for before_it in one.chains:
            bits.put(before_it, 4)
    bits.put(bool(structure.resolutions), 1)
    for width, height in structure.resolutions:
        bits.put(width - 1, 16)
        bits.put(height - 1, 16)
