from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.netem import Link, LinkProfile
from rtc.repair.redundancy import (
    MAX_COPIES,
    MAX_DEPTH,
    MAX_FRAMES,
    MAX_PAYLOAD_BYTES,
    NONE,
    LossMeter,
    Protection,
    ProtectionController,
    RedHistory,
    choose,
)
from rtc.wire.red import unpack


def independent(loss: float) -> float:
    """Mean run of losses of a path without memory."""
    return 1 / (1 - loss)


@pytest.mark.parametrize(
    ("loss", "stay", "depth", "copies"),
    [
        (0.0, 0.0, 0, 1),
        (0.002, 0.0, 0, 1),
        (0.01, 0.01, 1, 1),
        (0.1, 0.1, 2, 1),
        (0.3, 0.3, 2, 2),
        (0.5, 0.5, 2, 3),
        (0.8, 0.8, 5, 5),
        (0.3, 2 / 3, 3, 4),
        (0.5, 5 / 6, 6, 5),
        (1.0, 1.0, 6, 5),
    ],
)
def test_protection_fits_the_path(loss: float, stay: float, depth: int, copies: int) -> None:
    assert choose(loss, stay) == Protection(depth, copies)


@pytest.mark.parametrize(("loss", "depth"), [(0.1, 2), (0.3, 5), (0.5, 8), (0.8, MAX_DEPTH)])
def test_who_cannot_send_copies_gets_depth(loss: float, depth: int) -> None:
    assert choose(loss, loss, max_copies=1) == Protection(depth, 1)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, MAX_DEPTH), st.integers(1, MAX_COPIES))
def test_protection_never_passes_its_limits(loss: float, stay: float, depth: int, copies: int) -> None:
    chosen = choose(loss, stay, max_depth=depth, max_copies=copies)
    assert 0 <= chosen.depth <= depth
    assert chosen.copies * (chosen.depth + 1) <= MAX_FRAMES
    assert 1 <= chosen.copies <= copies


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5, 0.8])
def test_what_protection_leaves_on_a_random_path_is_inaudible(loss: float) -> None:
    protection = choose(loss, loss)
    draw = random.Random(1)
    packets = 20_000
    arrived = [any(draw.random() >= loss for _ in range(protection.copies)) for _ in range(packets)]
    lost = sum(not any(arrived[i : i + protection.depth + 1]) for i in range(packets - MAX_DEPTH))
    assert lost / packets < 0.004


def test_protection_rises_at_once_and_falls_step_by_step() -> None:
    controller = ProtectionController()
    assert controller.reported(0.5, 2.0, now=0.0)
    assert controller.protection == choose(0.5, 0.5)
    strengths = []
    for second in range(1, 120):
        controller.reported(0.0, 1.0, now=float(second))
        strengths.append(controller.protection.copies * (controller.protection.depth + 1))
    assert strengths[2] == strengths[0]
    assert all(after <= before for before, after in pairwise(strengths))
    assert controller.protection == NONE


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5, 0.7])
def test_copies_that_help_do_not_make_the_path_look_better(loss: float) -> None:
    # What is lost is reported after the copies: with three of them an eighth at 50 %.
    controller = ProtectionController()
    for second in range(60):
        remaining = loss**controller.protection.copies
        controller.reported(remaining, independent(remaining), now=float(second))
    assert controller.protection == choose(loss, loss)


@pytest.mark.parametrize(("loss", "burst"), [(0.1, 1.0), (0.3, 3.0), (0.5, 6.0)])
def test_the_meter_finds_loss_and_bursts(loss: float, burst: float) -> None:
    link = Link(LinkProfile(loss=loss, burst=burst), seed=3)
    meter = LossMeter(window=4000)
    for number in range(4000):
        link.send(number.to_bytes(4, "big"), now=number * 0.02)
        for datagram in link.receive(now=number * 0.02):
            meter.received(int.from_bytes(datagram, "big"))
    found_loss, found_burst = meter.measure()
    assert found_loss == pytest.approx(loss, rel=0.15)
    assert found_burst == pytest.approx(max(burst, independent(loss)), rel=0.2)


@given(st.lists(st.integers(1 << 16, (1 << 16) + 5000)))
def test_the_meter_stays_within_reason_whatever_arrives(numbers: list[int]) -> None:
    meter = LossMeter()
    for number in numbers:
        meter.received(number)
    loss, burst = meter.measure()
    assert 0 <= loss <= 1
    assert burst >= 1


def test_redundancy_is_the_frames_before_oldest_first() -> None:
    history = RedHistory()
    for number in range(5):
        history.add(960 * number, bytes([number]) * 10)
    redundant, primary = unpack(history.pack(111, 960 * 5, b"now", depth=3))
    assert [(block.timestamp_offset, block.payload[0]) for block in redundant] == [(2880, 2), (1920, 3), (960, 4)]
    assert primary.payload == b"now"


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.binary(max_size=1200)), max_size=40),
    st.integers(0, MAX_DEPTH),
)
def test_redundancy_always_fits_a_packet(frames: list[tuple[int, bytes]], depth: int) -> None:
    history = RedHistory()
    timestamp = 0
    for step, frame in frames:
        timestamp += step
        history.add(timestamp, frame)
    payload = history.pack(111, timestamp + 960, b"now", depth=depth)
    assert len(payload) <= MAX_PAYLOAD_BYTES
    redundant, primary = unpack(payload)
    assert len(redundant) <= depth
    assert primary.payload == b"now"
