from __future__ import annotations

import random

import pytest

from rtc.repair.jitter import CAPACITY, Frame, JitterBuffer, Lost, Silence, Wait

FRAME = 960
TICK = 0.02


def play(
    arrivals: list[tuple[float, int]], *, ticks: int, phase: float = 0.003, jitter: JitterBuffer | None = None
) -> list[str]:
    """Letters of the decisions at each tick of 20 ms; `arrivals` are (seconds, packet number)."""
    jitter = jitter or JitterBuffer()
    waiting = sorted(arrivals)
    out = []
    for tick in range(ticks):
        now = tick * TICK + phase
        while waiting and waiting[0][0] <= now:
            at, number = waiting.pop(0)
            jitter.insert(number & 0xFFFF, number * FRAME & 0xFFFFFFFF, b"%d" % number, FRAME, now=at)
        decision = jitter.pull(now=now)
        match decision:
            case Frame(payload):
                out.append(payload.decode())
            case Lost(_, following):
                out.append("L" if following is None else "F")
            case Wait():
                out.append("W")
            case Silence():
                out.append("-")
    return out


def regular(count: int, *, without: set[int] = frozenset(), delay: float = 0.0) -> list[tuple[float, int]]:  # type: ignore[assignment]
    return [(number * TICK + delay, number) for number in range(count) if number not in without]


def test_on_a_clean_network_every_packet_is_played_at_once_and_in_order() -> None:
    heard = play(regular(50), ticks=50)
    numbers = [int(letter) for letter in heard if letter not in "-WLF"]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 47
    assert heard[:4].count("-") <= 3


def test_a_lost_packet_is_offered_to_fec_and_nothing_else_is_disturbed() -> None:
    jitter = JitterBuffer(min_target=0.03)
    heard = play(regular(50, without={20}), ticks=52, jitter=jitter)
    position = heard.index("19")
    assert heard[position : position + 3] == ["19", "F", "21"]
    assert jitter.statistics.lost == 1
    assert jitter.statistics.late == 0


@pytest.mark.parametrize("burst", [2, 3, 5])
def test_a_burst_is_concealed_and_its_last_frame_offered_to_fec(burst: int) -> None:
    jitter = JitterBuffer(min_target=0.02 * burst + 0.01)
    heard = play(regular(60, without=set(range(20, 20 + burst))), ticks=66, jitter=jitter)
    position = heard.index("19")
    assert heard[position + 1 : position + 1 + burst] == ["L"] * (burst - 1) + ["F"]
    assert heard[position + 1 + burst] == str(20 + burst)


def test_with_an_empty_buffer_a_lost_packet_costs_one_frame_not_delay_for_ever() -> None:
    jitter = JitterBuffer()
    heard = play(regular(100, without={20, 40, 60}), ticks=100, jitter=jitter)
    assert 97 - len([letter for letter in heard if letter.isdigit()]) <= 2
    assert jitter.excess(now=100 * TICK) < 0.045


def test_jitter_grows_the_target_and_packets_stop_being_late() -> None:
    generator = random.Random(7)
    arrivals = [(number * TICK + generator.uniform(0, 0.06), number) for number in range(1000)]
    jitter = JitterBuffer()
    heard = play(arrivals, ticks=1005, jitter=jitter)
    assert 0.045 < jitter.target < 0.08
    tail = heard[200:1000]
    assert sum(letter.isdigit() for letter in tail) / len(tail) > 0.97


def test_the_target_comes_down_within_seconds_after_a_bad_spell() -> None:
    generator = random.Random(3)
    bad = [(number * TICK + generator.uniform(0, 0.15), number) for number in range(300)]
    good = [(number * TICK, number) for number in range(300, 1200)]
    jitter = JitterBuffer()
    heard = play(bad + good, ticks=1200, jitter=jitter)
    assert jitter.target < 0.02
    assert heard[-1].isdigit()


def test_a_pause_without_lost_packets_is_silence_not_loss() -> None:
    """Mute or DTX: sequence numbers go on where they were, timestamps jump."""
    jitter = JitterBuffer()
    for number in range(20):
        jitter.insert(number, number * FRAME, b"x", FRAME, now=number * TICK)
        jitter.pull(now=number * TICK + 0.001)
    for tick in range(20, 70):
        jitter.pull(now=tick * TICK + 0.001)
    for number in range(20, 60):
        now = (number + 50) * TICK
        jitter.insert(number, (number + 50) * FRAME, b"y", FRAME, now=now)
        jitter.pull(now=now + 0.001)
    assert jitter.statistics.lost == 0
    assert jitter.statistics.waited_samples == 0
    assert jitter.statistics.played >= 57


def test_after_an_outage_the_missing_packets_are_counted_and_sound_goes_on() -> None:
    jitter = JitterBuffer()
    heard = play(regular(200, without=set(range(50, 100))), ticks=200, jitter=jitter)
    assert heard[110:200] == [str(n) for n in range(int(heard[110]), int(heard[110]) + 90)]
    assert 45 <= jitter.statistics.lost + jitter.statistics.waited_samples // FRAME <= 52


@pytest.mark.parametrize("start", [0, 65500, 65535])
def test_wrapping_numbers_are_no_gap(start: int) -> None:
    jitter = JitterBuffer()
    timestamp = 2**32 - 30 * FRAME
    played = 0
    for number in range(100):
        now = number * TICK
        sequence, time = (start + number) & 0xFFFF, (timestamp + number * FRAME) & 0xFFFFFFFF
        jitter.insert(sequence, time, b"x", FRAME, now=now)
        played += isinstance(jitter.pull(now=now + 0.001), Frame)
    assert played >= 97
    assert jitter.statistics.lost == 0


def test_a_jump_of_the_timestamp_starts_anew_instead_of_playing_an_hour_of_silence() -> None:
    jitter = JitterBuffer()
    for number in range(100):
        timestamp = number * FRAME + (3600 * 48000 if number >= 50 else 0)
        jitter.insert(number, timestamp, b"x", FRAME, now=number * TICK)
        jitter.pull(now=number * TICK + 0.001)
    assert jitter.statistics.played >= 94


def test_a_duplicate_is_counted_and_not_played_twice() -> None:
    jitter = JitterBuffer(min_target=0.1)
    assert jitter.insert(1, FRAME, b"x", FRAME, now=0.0)
    assert not jitter.insert(1, FRAME, b"x", FRAME, now=0.01)
    assert jitter.statistics.duplicates == 1


def test_a_consumer_that_does_not_pull_costs_bounded_memory_and_comes_back_to_the_present() -> None:
    jitter = JitterBuffer()
    for number in range(5000):
        jitter.insert(number & 0xFFFF, number * FRAME, b"%d" % number, FRAME, now=number * TICK)
    assert jitter.held <= CAPACITY * TICK + 0.001
    now = 4999 * TICK + 0.01
    first = next(d for i in range(10) if isinstance(d := jitter.pull(now=now + i * TICK), Frame))
    assert int(first.payload) > 4990


@pytest.mark.parametrize("seed", range(5))
def test_whatever_arrives_packets_are_played_in_order_and_at_most_once(seed: int) -> None:
    generator = random.Random(seed)
    copies = [generator.choice([0, 1, 1, 1, 2]) for _ in range(600)]
    sent = [number for number in range(600) for _ in range(copies[number])]
    arrivals = [(number * TICK + generator.expovariate(20), number) for number in sent]
    heard = [int(letter) for letter in play(arrivals, ticks=620) if letter.isdigit()]
    assert heard == sorted(set(heard))
    assert len(heard) > 300


def test_ten_millisecond_frames_work() -> None:
    jitter = JitterBuffer()
    played = 0
    for number in range(200):
        jitter.insert(number, number * 480, b"x", 480, now=number * 0.01)
        played += isinstance(jitter.pull(now=number * 0.01 + 0.001), Frame)
    assert played >= 195


def test_a_consumer_that_paused_for_half_a_second_goes_on_in_the_present_at_once() -> None:
    jitter = JitterBuffer()
    for number in range(100):
        jitter.insert(number, number * FRAME, b"%d" % number, FRAME, now=number * TICK)
        if number < 50:
            jitter.pull(now=number * TICK + 0.001)
    now = 99 * TICK + 0.001
    jitter.catch_up(now=now)
    decision = jitter.pull(now=now)
    assert isinstance(decision, Frame)
    assert int(decision.payload) >= 97
