"""What a publication offers to who shows it at some size: a table."""

from __future__ import annotations

import pytest

from rtc.repair.clock import SenderClock
from rtc.sfu.demand import Demand
from rtc.sfu.publication import Publication
from rtc.sfu.selection import PATIENT_BETTER, PATIENT_LEAST, ladder_of
from rtc.sfu.source import Source


def publication(*encodings: tuple[int, int], patient: bool = False) -> Publication:
    """Of encodings of this height at this bit rate."""
    sources = []
    for place, (height, bitrate) in enumerate(encodings):
        source = Source("video", "0", SenderClock(), copies=False, rid="qhf"[place])
        source.height, source.rates.layers = height, ((0, 0, bitrate),)
        sources.append(source)
    return Publication(
        "p", "peer", "0", "video", tuple(sources), Demand(sources, now=0.0), patient=patient
    )


CAMERA = publication((180, 100_000), (360, 400_000), (720, 1_500_000))
ALIKE = publication((720, 150_000), (720, 2_000_000))
TEXT = publication((720, 180_000), (720, 90_000), patient=True)
PAGES = publication((720, 90_000), (720, 2_000_000), patient=True)


@pytest.mark.parametrize(
    ("offered", "height", "bitrates"),
    [
        (CAMERA, None, [100_000, 400_000, 1_500_000]),
        (CAMERA, 360, [100_000, 400_000]),
        (CAMERA, 150, [100_000]),
        (ALIKE, 720, [150_000, 2_000_000]),  # of one size both are of use
        (ALIKE, 300, [150_000, 2_000_000]),
        (TEXT, None, [180_000 // 3, PATIENT_BETTER]),  # while nothing moves, the sharp one takes less
        (PAGES, None, [PATIENT_LEAST, 2_000_000]),
    ],
)
def test_what_is_of_use_at_a_height_and_what_it_costs(
    offered: Publication, height: int | None, bitrates: list[int]
) -> None:
    ladder = ladder_of(offered, height=height, described=False, now=1.0)
    assert [option.layer.bitrate for option in ladder.options] == bitrates
