from __future__ import annotations

import pytest

from rtc.transport.batch import OUTBOX_ROW, Inbox, Outbox
from rtc.transport.libc import ffi


def test_an_outbox_gives_back_what_was_put_in() -> None:
    outbox = Outbox(capacity=4)
    outbox.append(b"one", 7)
    outbox.append(b"", 8)
    outbox.append(b"three", 9)
    assert (outbox.count, outbox.free) == (3, 1)
    assert outbox.datagrams() == [(b"one", 7), (b"three", 9)]
    outbox.clear()
    assert (outbox.count, outbox.free, outbox.datagrams()) == (0, 4, [])


def test_rows_written_with_numpy_are_sent_like_the_others() -> None:
    outbox = Outbox(capacity=8)
    outbox.append(b"first", 1)
    outbox.buffer[1:4, :2] = 0x41
    outbox.buffer[1:4, 1] = [0x61, 0x62, 0x63]
    outbox.lengths[1:4] = 2
    outbox.destinations[1:4] = [4, 5, 6]
    outbox.count += 3
    assert outbox.datagrams() == [(b"first", 1), (b"Aa", 4), (b"Ab", 5), (b"Ac", 6)]


def test_a_datagram_longer_than_a_row_is_refused_and_changes_nothing() -> None:
    outbox = Outbox(capacity=2)
    outbox.append(bytes(OUTBOX_ROW), 0)
    with pytest.raises(ValueError, match="1537 bytes is too long"):
        outbox.append(bytes(OUTBOX_ROW + 1), 0)
    assert outbox.count == 1


def test_a_full_outbox_refuses_one_more() -> None:
    outbox = Outbox(capacity=1)
    outbox.append(b"a", 0)
    with pytest.raises(BufferError):
        outbox.append(b"b", 0)
    assert outbox.datagrams() == [(b"a", 0)]


@pytest.mark.parametrize("box", [Inbox(capacity=3, row_size=16), Outbox(capacity=3, row_size=16)])
def test_pointers_rows_and_arrays_are_the_same_memory(box: Inbox | Outbox) -> None:
    for i in range(3):
        box.rows[i][:4] = b"row" + bytes([48 + i])
        box.length_pointers[i][0] = 4 + i
        assert bytes(ffi.buffer(box.pointers[i], 4)) == b"row%d" % i
        assert box.buffer[i, :4].tobytes() == b"row%d" % i
        assert len(box.rows[i]) == 16
    assert box.lengths.tolist() == [4, 5, 6]
