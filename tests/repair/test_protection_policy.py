from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.netem import Link, LinkProfile
from rtc.repair.redundancy import (
    BLOCK_HEADER_BYTES,
    CLOCK_RATE,
    HEADER_BYTES,
    MAX_BITRATE,
    MAX_COPIES,
    MAX_DEPTH,
    MAX_FRAMES,
    MAX_PAYLOAD_BYTES,
    NONE,
    WINDOW_PACKETS,
    Frames,
    LossMeter,
    Protection,
    ProtectionController,
    RedHistory,
    choose,
)
from rtc.wire.red import MAX_TIMESTAMP_OFFSET, unpack


def independent(loss: float) -> float:
    """Mean run of losses of a path without memory."""
    return 1 / (1 - loss)


@pytest.mark.parametrize(
    ("loss", "stay", "depth", "copies"),
    [
        (0.0, 0.0, 0, 1),
        (0.002, 0.0, 0, 1),
        (0.01, 0.01, 1, 1),
        (0.1, 0.1, 3, 1),
        (0.3, 0.3, 3, 2),
        (0.5, 0.5, 3, 3),
        (0.8, 0.8, 7, 4),
        (0.3, 2 / 3, 4, 4),
        (0.5, 5 / 6, 7, 4),
        (1.0, 1.0, 7, 4),
    ],
)
def test_protection_fits_the_path(loss: float, stay: float, depth: int, copies: int) -> None:
    assert choose(loss, stay) == Protection(depth, copies)


@pytest.mark.parametrize(("loss", "depth"), [(0.1, 3), (0.3, 6), (0.5, 10), (0.8, MAX_DEPTH)])
def test_who_cannot_send_copies_gets_depth(loss: float, depth: int) -> None:
    assert choose(loss, loss, max_copies=1) == Protection(depth, 1)


@pytest.mark.parametrize(("loss", "copies"), [(0.01, 2), (0.1, MAX_COPIES), (0.8, MAX_COPIES)])
def test_who_cannot_read_redundancy_gets_copies(loss: float, copies: int) -> None:
    assert choose(loss, loss, max_depth=0) == Protection(0, copies)


FRAMES = st.builds(Frames, st.floats(1, 1275), st.sampled_from([0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.12]))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, MAX_DEPTH), st.integers(1, MAX_COPIES), FRAMES)
def test_protection_never_passes_its_limits(
    loss: float, stay: float, depth: int, copies: int, frames: Frames
) -> None:
    chosen = choose(loss, stay, max_depth=depth, max_copies=copies, frames=frames)
    assert 0 <= chosen.depth <= depth
    assert chosen.frames <= MAX_FRAMES
    assert 1 <= chosen.copies <= copies
    if chosen != NONE:
        packet = HEADER_BYTES + 1 + frames.size + chosen.depth * (frames.size + BLOCK_HEADER_BYTES)
        assert chosen.copies * packet * 8 / frames.seconds <= MAX_BITRATE
        assert chosen.depth * frames.seconds * CLOCK_RATE <= MAX_TIMESTAMP_OFFSET


def test_a_listener_of_music_gets_fewer_frames_more_within_the_budget() -> None:
    speech, music = Frames(size=80.0), Frames(size=320.0)
    assert choose(0.8, 0.8, frames=music).frames < choose(0.8, 0.8, frames=speech).frames
    assert choose(0.1, 0.1, frames=music) != NONE


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5, 0.8])
def test_what_protection_leaves_on_a_random_path_is_inaudible(loss: float) -> None:
    protection = choose(loss, loss)
    draw = random.Random(1)
    packets = 20_000
    arrived = [any(draw.random() >= loss for _ in range(protection.copies)) for _ in range(packets)]
    lost = sum(not any(arrived[i : i + protection.depth + 1]) for i in range(packets - MAX_DEPTH))
    assert lost / packets < 0.004


def test_protection_rises_at_once_and_falls_when_less_has_done_for_a_while() -> None:
    controller = ProtectionController()
    assert controller.reported(0.5, 2.0, now=0.0)
    assert controller.protection == choose(0.5, 0.5)
    given = []
    for second in range(1, 60):
        controller.reported(0.0, 1.0, now=float(second))
        given.append(controller.protection)
    assert given[1] == choose(0.5, 0.5)
    assert given[3] != choose(0.5, 0.5)
    assert all(after.frames <= before.frames for before, after in pairwise(given))
    assert given[-1] == NONE


def test_protection_does_not_waver_with_chance() -> None:
    """At 30 % loss, what is asked for stays the same nearly all the time, and never doubles."""
    draw = random.Random(5)
    controller, meter = ProtectionController(), LossMeter()
    given = []
    for number in range(50 * 60):
        copies = controller.protection.copies
        if any(draw.random() >= 0.3 for _ in range(copies)):
            meter.received(number)
        if number % 25 == 24:
            controller.reported(*meter.measure(), now=number * 0.02)
            given.append(controller.protection)
    settled = given[20:]
    assert max(each.frames for each in settled) <= 1.5 * choose(0.3, 0.3).frames
    assert min(each.frames for each in settled) >= choose(0.2, 0.2).frames
    assert controller.loss == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("loss", [0.3, 0.5, 0.8])
def test_loss_from_before_the_copies_is_not_taken_for_loss_in_spite_of_them(loss: float) -> None:
    draw = random.Random(8)
    controller, meter = ProtectionController(), LossMeter()
    most = 0.0
    for number in range(50 * 20):
        if any(draw.random() >= loss for _ in range(controller.protection.copies)):
            meter.received(number)
        if number % 25 == 24:
            controller.reported(*meter.measure(), now=number * 0.02)
            most = max(most, controller.loss)
    assert most < loss + 0.2
    assert controller.loss == pytest.approx(loss, abs=0.12)


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5, 0.7])
def test_copies_that_help_do_not_make_the_path_look_better(loss: float) -> None:
    # What is lost is reported after the copies: with three of them an eighth at 50 %.
    controller = ProtectionController()
    for second in range(60):
        remaining = loss**controller.protection.copies
        controller.reported(remaining, independent(remaining), now=float(second))
    assert controller.protection == choose(loss, loss)
    assert controller.loss == pytest.approx(loss, abs=0.02)


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


def test_steady_loss_is_measured_as_steady_and_a_change_at_once() -> None:
    chance, meter = random.Random(4), LossMeter(window=600)
    levels = []
    for number in range(9000):
        loss = 0.0 if number < 1000 or number >= 7000 else 0.3
        if chance.random() >= loss:
            meter.received(number)
        levels.append(meter.level())
    assert levels[999] == 0
    assert min(levels[1110:1700]) >= 0.15, "as soon as a hundred packets tell"
    assert min(levels[1700:7000]) >= 0.24
    assert max(levels[1700:7000]) <= 0.36, "a hundred alone waver by a half"
    assert max(levels[7110:7600]) <= 0.15
    assert max(levels[7700:]) == 0


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


def test_where_copies_hide_all_loss_fewer_are_tried_one_at_a_time_and_ever_more_seldom() -> None:
    """Without RED, four copies leave nothing to be seen of 10 % loss: all of them must not go at once."""
    draw = random.Random(3)
    controller, meter = ProtectionController(max_depth=0), LossMeter()
    given = []
    lost = 0
    for number in range(50 * 120):
        if any(draw.random() >= 0.1 for _ in range(controller.protection.copies)):
            meter.received(number)
        else:
            lost += number >= 50 * 10
        if number % 25 == 24:
            controller.reported(*meter.measure(), now=number * 0.02)
            given.append(controller.protection.copies)
    assert all(before - after <= 1 for before, after in pairwise(given))
    assert lost < 0.005 * 50 * 110


def test_frames_that_grow_take_redundancy_with_them_out_of_the_budget() -> None:
    controller = ProtectionController()
    controller.reported(0.8, 5.0, now=0.0)
    controller.frames = Frames(size=200.0)
    controller.reported(0.8 ** controller.protection.copies, 1.0, now=1.0)
    depth, copies = controller.protection.depth, controller.protection.copies
    assert depth <= controller.frames.deepest(copies)


@given(st.lists(st.sampled_from([-120, -50, -7, -1, 1, 1, 1, 1, 2, 3, 250])))
def test_the_meter_finds_what_a_list_of_all_numbers_shows(steps: list[int]) -> None:
    meter, highest, seen = LossMeter(), 1 << 16, set[int]()
    for step in steps:
        number = highest + step
        highest = max(highest, number)
        meter.received(number)
        seen.add(number)
    numbers = sorted(number for number in seen if number > max(seen) - WINDOW_PACKETS)
    gaps = [after - before - 1 for before, after in pairwise(numbers) if after > before + 1]
    if len(numbers) > 1:
        assert meter.measure() == (sum(gaps) / (numbers[-1] - numbers[0] + 1), sum(gaps) / len(gaps) if gaps else 1.0)
