from __future__ import annotations

import socket
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.transport.addresses import AddressTable, pack_sockaddr
from rtc.transport.batch import Inbox, Outbox
from rtc.transport.segments import MAX_SEGMENTS, WORTHWHILE_ROWS, segment
from rtc.transport.udp import open_udp

linux = pytest.mark.skipif(sys.platform != "linux", reason="UDP GSO is Linux's")


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([100, 1100, 1101])), min_size=WORTHWHILE_ROWS, max_size=200
    )
)
def test_a_message_holds_datagrams_of_one_listener_in_order_and_of_one_size_but_for_the_last(
    rows: list[tuple[int, int]],
) -> None:
    destinations = np.array([destination for destination, _ in rows], np.int32)
    lengths = np.array([length for _, length in rows], np.int32)
    found = segment(destinations, lengths)
    assert found is not None  # more rows than listeners
    order, starts = found
    assert sorted(order.tolist()) == list(range(len(rows)))
    messages = np.split(order, starts[1:])
    for message in messages:
        assert 0 < len(message) <= MAX_SEGMENTS
        assert len(set(destinations[message].tolist())) == 1
        sizes = lengths[message].tolist()
        assert set(sizes[:-1]) <= {sizes[0]}
        assert sizes[-1] <= sizes[0]
    for listener in range(6):
        sent = [row for row in order.tolist() if destinations[row] == listener]
        assert sent == sorted(sent)


def test_a_row_for_each_of_many_listeners_stays_as_it_is() -> None:
    assert segment(np.arange(200, dtype=np.int32), np.full(200, 100, np.int32)) is None


def test_few_rows_are_not_worth_the_sorting() -> None:
    few = WORTHWHILE_ROWS - 1
    assert segment(np.zeros(few, np.int32), np.full(few, 100, np.int32)) is None


@linux
def test_frames_to_several_listeners_arrive_packet_by_packet_and_in_order() -> None:
    listeners = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    addresses, outbox, sender = AddressTable(), Outbox(), open_udp("127.0.0.1", 0, batched=True)
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
            listener.settimeout(5)
            addresses.add(pack_sockaddr("127.0.0.1", listener.getsockname()[1], family=socket.AF_INET))
        sizes = [900] * 10 + [300] + [900] * 3
        for place, size in enumerate(sizes):
            for destination in range(3):
                outbox.append(bytes([destination, place]) * (size // 2), destination)
        sender.send(outbox, addresses)
        assert (sender.sent, sender.errors, sender.dropped) == (3 * len(sizes), 0, 0)
        for destination, listener in enumerate(listeners):
            got = [listener.recv(2048) for _ in sizes]
            assert got == [bytes([destination, place]) * (size // 2) for place, size in enumerate(sizes)]
        outbox.append(b"single", 0)
        sender.send(outbox, addresses)
        assert listeners[0].recv(2048) == b"single"
    finally:
        for listener in listeners:
            listener.close()
        sender.close()


@linux
def test_the_kernel_says_when_a_datagram_came_and_how_many_it_had_to_drop() -> None:
    receiver, inbox = open_udp("127.0.0.1", 0, batched=True), Inbox()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        before = time.time()
        sender.sendto(b"first", ("127.0.0.1", receiver.port))
        assert receiver.receive(inbox) == 1
        assert inbox.arrived is not None
        assert before - 0.001 <= inbox.arrived <= time.time() + 0.001
        assert receiver.overflowed == 0
        for _ in range(receiver.receive_buffer // 1000):
            sender.sendto(bytes(1400), ("127.0.0.1", receiver.port))
        assert receiver.overflowed > 0
    finally:
        sender.close()
        receiver.close()
