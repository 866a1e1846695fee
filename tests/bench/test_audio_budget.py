"""What protection costs: nothing where nothing is lost, and a bounded rate whatever a listener says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from voice import babble, speech

from bench.audio.baselines import PLAIN
from bench.audio.baselines import hear as hear_baseline
from bench.audio.call import LISTENER, SPEAKER, Client, Microphone, hear, meeting
from bench.audio.network import Hops, Network
from bench.virtual import run
from rtc.netem import LinkProfile
from rtc.repair.redundancy import MAX_BITRATE, NONE, Protection
from rtc.sfu.slot import RESEND_BITRATE, RESEND_BURST_BYTES, Slot
from rtc.wire.protection import PathReport
from rtc.wire.rtcp import GenericNack, ReceiverReport, ReportBlock, serialize

OTHER = "10.0.0.4"
RTT = 0.04
FEEDBACK = 12_000
"""Bit/s for what goes beside media: reports and checks."""


def call(scenario: Callable[[Hops, list[Client]], Awaitable[None]], *hosts: str) -> None:
    """A call in which somebody speaks all the time."""
    hops = Hops(RTT / 2)

    async def held() -> None:
        async with meeting(*hosts) as clients:
            publication = await clients[0].publish(Microphone(babble(40.0, 3)))
            await asyncio.sleep(0.5)
            await scenario(hops, clients)
            await publication.stop()

    run(held(), link_between=hops.between)


def slot_of(client: Client) -> Slot:
    return next(iter(client.peer.slots.values()))


async def rates(hops: Hops, seconds: float, *hosts: str) -> list[float]:
    """Bit/s on the way down to each of these hosts, and up from the speaker at the end."""
    links = [*(hops.down(host) for host in hosts), hops.up(SPEAKER)]
    before = [link.octets for link in links]
    await asyncio.sleep(seconds)
    return [(link.octets - earlier) * 8 / seconds for link, earlier in zip(links, before, strict=True)]


def test_a_clean_listener_beside_one_who_loses_half_pays_nothing() -> None:
    async def scenario(hops: Hops, clients: list[Client]) -> None:
        clean, lossy = clients[1:]
        hops.down(OTHER).spoil(LinkProfile(loss=0.5, delay=RTT / 2), seed="down")
        hops.up(OTHER).spoil(LinkProfile(loss=0.5, delay=RTT / 2), seed="up")
        given: list[Protection] = []
        for _ in range(40):
            await asyncio.sleep(0.1)
            given.append(slot_of(clean).protection)
        to_clean, to_lossy, spoken = await rates(hops, 6.0, LISTENER, OTHER)
        assert set(given) == {NONE}
        assert slot_of(lossy).protection.frames >= 8
        assert to_clean == pytest.approx(spoken, rel=0.03)
        assert 3 * spoken < to_lossy < MAX_BITRATE

    call(scenario, SPEAKER, LISTENER, OTHER)


@pytest.mark.parametrize("loss", [0.1, 0.5])
def test_a_clean_listener_of_a_speaker_who_loses_packets_pays_nothing(loss: float) -> None:
    """Frames that come back out of redundancy are forwarded late, and numbers never used look lost to the listener."""

    async def scenario(hops: Hops, clients: list[Client]) -> None:
        hops.up(SPEAKER).spoil(LinkProfile(loss=loss, delay=RTT / 2), seed="up")
        worst = 0
        for _ in range(100):
            await asyncio.sleep(0.1)
            worst = max(worst, slot_of(clients[1]).protection.frames)
        assert worst <= 2, "a report and the packets it tells of may be a few apart"
        assert slot_of(clients[1]).protection == NONE

    call(scenario, SPEAKER, LISTENER)


def test_without_loss_the_wire_rate_is_that_of_plain_opus() -> None:
    said, network = speech(10.0), Network(0.0, 1, 0.02)
    heard, plain = hear(said, network, seed=1), hear_baseline(said, network, PLAIN, seed=1)
    assert heard.kbits_up <= 1.03 * plain.kbits_up
    assert heard.kbits_down <= 1.03 * plain.kbits_down


def test_a_listener_that_lies_and_asks_for_everything_again_gets_a_bounded_rate() -> None:
    async def scenario(hops: Hops, clients: list[Client]) -> None:
        (liar,) = clients[1:]
        slot = slot_of(liar)
        connection = liar.media._connection
        assert connection is not None

        async def lie() -> None:
            while True:
                newest = slot.sent()[0] + slot.last_sequence
                asked = tuple((newest - back) & 0xFFFF for back in range(400))
                connection.send_rtcp(serialize([
                    ReceiverReport(1, (ReportBlock(slot.ssrc, 255, (1 << 23) - 1, newest & 0xFFFFFFFF, 0, 0, 0),)),
                    GenericNack(1, slot.ssrc, asked),
                    PathReport(slot.ssrc, 1.0, 255.0).to_rtcp(1),
                ]))  # fmt: skip
                await asyncio.sleep(0.01)

        lying = asyncio.create_task(lie())
        await asyncio.sleep(2.0)
        seconds = 8.0
        down, spoken = await rates(hops, seconds, LISTENER)
        lying.cancel()
        again = RESEND_BITRATE["audio"] + 8 * RESEND_BURST_BYTES["audio"] / seconds
        assert 5 * spoken < down <= MAX_BITRATE + again + FEEDBACK * slot.protection.copies
        assert spoken < 100_000, "the speaker does not pay for it"
        assert liar.peer.counts().feedback.resent > 20

    call(scenario, SPEAKER, LISTENER)
