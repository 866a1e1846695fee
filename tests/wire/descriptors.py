"""Dependency descriptors of every form, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from rtc.wire.dependency_descriptor import DependencyDescriptor, Structure, Template

INDICATIONS = st.integers(0, 3)
MOST_TARGETS, MOST_CHAINS = 9, 4


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """What fits into a header extension."""
    spatial, temporal, layers = 0, 0, [(0, 0)]
    for step in draw(st.lists(st.sampled_from([0, 0, 1, 2]), max_size=12)):
        if (step == 1 and temporal == 7) or (step == 2 and spatial == 3):
            continue
        spatial, temporal = (spatial + 1, 0) if step == 2 else (spatial, temporal + (step == 1))
        layers.append((spatial, temporal))
    targets = draw(st.integers(1, MOST_TARGETS))
    chains = draw(st.integers(0, min(targets, MOST_CHAINS)))
    templates = tuple(
        Template(
            *layer, tuple(draw(INDICATIONS) for _ in range(targets)),
            tuple(draw(st.lists(st.integers(1, 16), max_size=3))),
            tuple(draw(st.integers(0, 15)) for _ in range(chains)),
        )
        for layer in layers
    )
    protected_by = tuple(draw(st.integers(0, chains - 1)) for _ in range(targets)) if chains else ()
    size = st.integers(1, 0x10000)
    resolutions = tuple((draw(size), draw(size)) for _ in range(spatial + 1)) if draw(st.booleans()) else ()
    return Structure.of(draw(st.integers(0, 63)), templates, protected_by, resolutions)


@st.composite
def descriptors(draw: st.DrawFn) -> DependencyDescriptor:
    structure = draw(structures())
    targets = len(structure.targets)
    return DependencyDescriptor(
        draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 0xFFFF)),
        draw(st.integers(0, len(structure.templates) - 1)), structure, draw(st.booleans()),
        draw(st.none() | st.integers(0, (1 << targets) - 1)),
        draw(st.none() | st.tuples(*[INDICATIONS] * targets)),
        draw(st.none() | st.lists(st.integers(1, 4096), max_size=4).map(tuple)),
        draw(st.none() | st.tuples(*[st.integers(0, 255)] * structure.chains)),
    )
