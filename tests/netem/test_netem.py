"""The seeded network does what its profile says, and the same again for the same seed."""

from __future__ import annotations

import itertools
import math

import pytest

from rtc.netem import HEADER_BYTES, Link, LinkProfile

COUNT = 40_000


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


def numbers(datagrams: list[bytes]) -> list[int]:
    return [int.from_bytes(datagram[:4], "big") for datagram in datagrams]


def carry(profile: LinkProfile, *, seed: int = 1, count: int = COUNT, interval: float = 0.02) -> list[int]:
    """Return the numbers that arrive, in order, of `count` datagrams sent one an interval."""
    link = Link(profile, seed=seed)
    arrived = []
    for number, datagram in enumerate(numbered(count)):
        link.send(datagram, now=number * interval)
        arrived += link.receive(now=number * interval)
    arrived += link.receive(now=math.inf)
    assert link.next_time() is None
    assert link.delivered == len(arrived) == link.sent - link.lost - link.queue_dropped + link.duplicated
    return numbers(arrived)


def arrivals(link: Link) -> list[tuple[float, int]]:
    """Step from event to event; return each datagram's time and number."""
    seen = []
    while (when := link.next_time()) is not None:
        seen += [(when, number) for number in numbers(link.receive(now=when))]
    return seen


def lost_runs(arrived: list[int], count: int) -> list[int]:
    there = set(arrived)
    groups = itertools.groupby(range(count), key=lambda number: number in there)
    return [len(list(group)) for kept, group in groups if not kept]


@pytest.mark.parametrize("loss", [0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.95])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_independent_loss_is_as_frequent_as_asked(loss: float, seed: int) -> None:
    arrived = carry(LinkProfile(loss=loss), seed=seed)
    assert 1 - len(arrived) / COUNT == pytest.approx(loss, abs=5 * math.sqrt(loss * (1 - loss) / COUNT))
    runs = lost_runs(arrived, COUNT)
    assert sum(runs) / len(runs) == pytest.approx(1 / (1 - loss), rel=0.1)


@pytest.mark.parametrize(
    ("loss", "burst"),
    [(0.02, 2), (0.1, 3), (0.1, 6), (0.3, 6), (0.5, 2), (0.5, 6), (0.7, 6), (0.8, 4), (0.8, 10)],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bursts_are_as_long_and_as_frequent_as_asked(loss: float, burst: float, seed: int) -> None:
    arrived = carry(LinkProfile(loss=loss, burst=burst), seed=seed)
    runs = lost_runs(arrived, COUNT)
    # Lengths are geometric, so their mean errs by burst / sqrt(runs); allow five times that.
    assert sum(runs) / len(runs) == pytest.approx(burst, abs=5 * burst / math.sqrt(len(runs)))
    assert 1 - len(arrived) / COUNT == pytest.approx(loss, rel=5 * math.sqrt(2 / len(runs)))


def test_no_loss_and_total_loss_are_exact() -> None:
    assert carry(LinkProfile(), count=500) == list(range(500))
    assert carry(LinkProfile(loss=1), count=500) == []
    assert carry(LinkProfile(loss=1, burst=5), count=500) == []


def test_a_datagram_takes_exactly_the_delay() -> None:
    link = Link(LinkProfile(delay=0.08), seed=1)
    link.send(b"hello", now=5.0)
    assert link.next_time() == 5.08
    assert link.receive(now=math.nextafter(5.08, 0)) == []
    assert link.receive(now=5.08) == [b"hello"]
    assert link.next_time() is None


def test_jitter_spreads_arrivals_and_keeps_their_order() -> None:
    link = Link(LinkProfile(delay=0.2, jitter=0.01), seed=4)
    for number, datagram in enumerate(numbered(5000)):
        link.send(datagram, now=number * 1.0)  # so far apart that none waits for another
    seen = arrivals(link)
    assert [number for _, number in seen] == list(range(5000))
    extra = [when - number * 1.0 - 0.2 for when, number in seen]
    mean = sum(extra) / len(extra)
    assert mean == pytest.approx(0, abs=0.001)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in extra) / len(extra))
    assert deviation == pytest.approx(0.01, rel=0.05)


def test_jitter_longer_than_the_spacing_does_not_reorder() -> None:
    assert carry(LinkProfile(delay=0.1, jitter=0.05), count=5000, interval=0.001) == list(range(5000))


def test_reordering_lets_some_be_overtaken_and_loses_none() -> None:
    arrived = carry(LinkProfile(delay=0.05, reorder=0.1, reorder_delay=0.05), count=10_000)
    assert sorted(arrived) == list(range(10_000))
    late = sum(1 for before, after in itertools.pairwise(arrived) if after < before)
    assert late / 10_000 == pytest.approx(0.09, abs=0.02)  # two held back in a row keep their order


def test_a_duplicate_follows_its_original() -> None:
    arrived = carry(LinkProfile(delay=0.01, duplicate=0.2), count=10_000)
    assert sorted(set(arrived)) == list(range(10_000)) == list(dict.fromkeys(arrived))
    assert len(arrived) / 10_000 == pytest.approx(1.2, abs=0.02)


def test_the_bottleneck_sends_at_its_rate() -> None:
    link = Link(LinkProfile(bandwidth=1_000_000, queue=10, delay=0.03), seed=1)
    for datagram in numbered(100, size=1250 - HEADER_BYTES):  # 10 ms each
        link.send(datagram, now=2.0)
    seen = arrivals(link)
    assert [number for _, number in seen] == list(range(100))
    assert [when for when, _ in seen] == pytest.approx([2.03 + 0.01 * (n + 1) for n in range(100)])


def test_a_full_queue_drops_the_newest() -> None:
    link = Link(LinkProfile(bandwidth=1_000_000, queue=0.05), seed=1)
    for datagram in numbered(20, size=1250 - HEADER_BYTES):
        link.send(datagram, now=0.0)
    assert link.queue_dropped == 14  # one under way, five waiting up to 50 ms
    link.send(b"later", now=1.0)
    assert numbers(link.receive(now=1.0)) == list(range(6))
    assert link.receive(now=2.0) == [b"later"]
    assert link.queue_dropped == 14


def test_an_idle_bottleneck_saves_nothing_up() -> None:
    link = Link(LinkProfile(bandwidth=80_000), seed=1)
    link.send(bytes(100 - HEADER_BYTES), now=100.0)
    assert link.next_time() == pytest.approx(100.01)


def test_the_same_seed_gives_the_same_result() -> None:
    profile = LinkProfile(
        loss=0.2, burst=3, delay=0.05, jitter=0.02, reorder=0.05, duplicate=0.05, bandwidth=64_000, queue=0.1
    )

    def once(seed: int) -> list[tuple[float, int]]:
        link = Link(profile, seed=seed)
        for number, datagram in enumerate(numbered(2000)):
            link.send(datagram, now=number * 0.01)
        return arrivals(link)

    assert once(7) == once(7)
    assert once(7) != once(8)


def test_the_losses_of_a_seed_do_not_depend_on_delay() -> None:
    near = carry(LinkProfile(loss=0.3, burst=4), seed=9, count=3000)
    far = carry(LinkProfile(loss=0.3, burst=4, delay=0.3, jitter=0.02), seed=9, count=3000)
    assert near == far


def test_a_link_can_change_while_it_runs() -> None:
    link = Link(LinkProfile(delay=0.5), seed=1)
    link.send(b"slow", now=0.0)
    link.profile = LinkProfile(loss=1)
    link.send(b"lost", now=0.1)
    link.profile = LinkProfile(delay=0.01)
    link.send(b"behind", now=0.2)
    assert link.receive(now=0.4) == []  # a faster profile does not overtake what is under way
    assert link.receive(now=0.5) == [b"slow", b"behind"]
    assert (link.sent, link.lost, link.delivered) == (3, 1, 2)


def test_a_buffer_that_is_used_again_is_not_seen_changed() -> None:
    link = Link(LinkProfile(), seed=1)
    buffer = bytearray(b"first")
    link.send(buffer, now=0.0)
    buffer[:] = b"other"
    assert link.receive(now=0.0) == [b"first"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"loss": 1.1}, "loss is a share"),
        ({"loss": math.nan}, "loss is a share"),
        ({"duplicate": -0.1}, "duplicate is a share"),
        ({"delay": -1}, "delay is a time"),
        ({"queue": math.nan}, "queue is a time"),
        ({"bandwidth": 0}, "bandwidth is more"),
        ({"burst": 0.5}, "burst is a mean"),
        ({"loss": 0.8, "burst": 2}, "bursts are 4 datagrams or longer"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(wrong: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LinkProfile(**wrong)
