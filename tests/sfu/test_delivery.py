"""Packets that leave in one pass are those that would have left one by one, whatever happens between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from test_fanout import Wire, listener, send, source_of, vp8

from rtc.repair.redundancy import Protection
from rtc.sfu.delivery import MAX_RUN
from rtc.sfu.downlink import Downlink
from rtc.sfu.group import SCALAR_LEGS
from rtc.sfu.slot import Slot
from rtc.sfu.source import Source
from rtc.transport.batch import OUTBOX_ROWS
from rtc.wire.extensions import TRANSPORT_CC
from rtc.wire.level import Level

Sent = dict[int, list[bytes]]
"""Plaintext by destination."""


def numbered(count: int) -> list[Slot]:
    """Listeners whose numbers and SSRCs are known; each second one has transport-wide numbers too."""
    slots = [listener("video", destination) for destination in range(count)]
    for place, slot in enumerate(slots):
        if place % 2:
            slot.extensions = {TRANSPORT_CC: 3}
            slot.outlet.downlink = Downlink()
        slot.ssrc, slot.last_sequence, slot.last_timestamp = 1000 + place, 100 + place, 0xFFFFF000 + place
    return slots


def sent_by(play: Callable[[Source, list[Slot], Callable[[int], None]], None], count: int, *, at_once: bool) -> Sent:
    """What `play` sends to so many listeners, settled after each packet or only at the end."""
    source, wire, slots = source_of("video"), Wire(), numbered(count)
    for slot in slots:
        slot.listen_to(source)

    def packet(sequence: int) -> None:
        """Packet of a picture of four, its last shorter and marked; temporal layers take turns."""
        picture, place = divmod(sequence, 4)
        payload = vp8(picture % 2, picture, key=not sequence, tl0=picture // 2, sync=True)
        if place:
            payload = b"\x80" + payload[1:]
        send(
            source, wire, 65530 + sequence, payload + bytes(30 if place == 3 else 80 + sequence % 2),
            timestamp=4_294_960_000 + picture * 3000, marker=place == 3, now=1.0,
        )
        if not at_once:
            wire.flush()

    play(source, slots, packet)
    wire.flush()
    wire.sender.send_due(now=2.0)
    wire.flush()
    sent: Sent = {}
    for to, plain in wire.plain:
        sent.setdefault(to, []).append(plain)
    return sent


def frames(source: Source, slots: list[Slot], packet: Callable[[int], None]) -> None:
    for sequence in range(3 * MAX_RUN // 2):
        packet(sequence)


def changes(source: Source, slots: list[Slot], packet: Callable[[int], None]) -> None:
    """In the middle of pictures: one leaves, one is sent copies, one fewer layers, packets are lost, all stop."""
    packet(0)
    packet(1)
    slots[0].listen_to(None)
    packet(2)
    source.fanout.protect(slots[1], Protection(copies=2))
    packet(3)
    source.fanout.aim(slots[2], Level(255, 0))
    for sequence in (4, 5, 8, 9, 10, 11, 12, 14):
        packet(sequence)
    source.fanout.suspend_one(slots[2])
    source.fanout.suspend()
    packet(15)


@pytest.mark.parametrize("play", [frames, changes])
@pytest.mark.parametrize("count", [3, 2 * SCALAR_LEGS])
def test_a_frame_in_one_pass_is_that_of_one_packet_after_the_other(
    play: Callable[[Source, list[Slot], Callable[[int], None]], None], count: int
) -> None:
    together = sent_by(play, count, at_once=True)
    assert together == sent_by(play, count, at_once=False)
    assert len(together) == count


def test_packets_for_one_listener_stand_together_so_that_the_kernel_takes_them_as_one() -> None:
    source, wire, slots = source_of("video"), Wire(), [listener("video", place) for place in range(3)]
    for slot in slots:
        source.fanout.attach(slot)
    send(source, wire, 1, b"\x10\x00key")
    wire.flush()
    wire.plain.clear()
    for sequence in (2, 3, 4):
        send(source, wire, sequence, b"\x00rest")
    wire.flush()
    assert [to for to, _ in wire.plain] == [0] * 3 + [1] * 3 + [2] * 3


def test_more_listeners_than_the_outbox_has_rows_for_a_frame_all_get_it() -> None:
    count = OUTBOX_ROWS // 4 + 1
    source, wire, slots = source_of("video"), Wire(), [listener("video", place) for place in range(count)]
    for slot in slots:
        source.fanout.attach(slot)
    for sequence in range(8):
        send(source, wire, sequence, b"\x10\x00key")
    wire.flush()
    got: dict[int, int] = {}
    for to, _ in wire.plain:
        got[to] = got.get(to, 0) + 1
    assert got == dict.fromkeys(range(count), 8)
