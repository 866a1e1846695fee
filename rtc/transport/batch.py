"""Memory for datagrams on their way in and out: numpy arrays, with the pointers that C wants made once.

A datagram is a row. Whoever handles one passes its number on; nothing is copied into an object of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtc.transport.addresses import SOCKADDR_ROW
from rtc.transport.libc import CData, ffi

INBOX_ROWS = 64  # datagrams a receive: one system call for a burst, little memory to walk through for one
INBOX_ROW = 2048  # bytes: more than a datagram that crosses the internet unfragmented
OUTBOX_ROWS = 1024  # datagrams a send: UIO_MAXIOV, the most that sendmmsg takes
OUTBOX_ROW = 1536  # bytes: an Ethernet frame, a multiple of the cache line


class _Rows:
    """Equal rows of bytes, their lengths, and the pointers to both."""

    def __init__(self, capacity: int, row_size: int) -> None:
        self.capacity = capacity
        self.row_size = row_size
        self.buffer: npt.NDArray[np.uint8] = np.zeros((capacity, row_size), np.uint8)
        self.lengths: npt.NDArray[np.int32] = np.zeros(capacity, np.int32)
        #: Each row, writable.
        self.rows: list[memoryview] = [row.data for row in self.buffer]
        # Pointers into the arrays do not keep them alive; these two do.
        self._bytes: CData = ffi.from_buffer("unsigned char[]", self.buffer)
        self._ints: CData = ffi.from_buffer("int[]", self.lengths)
        #: `unsigned char *` of each row, `int *` of each length; good as long as this object lives.
        self.pointers: list[CData] = [self._bytes + i * row_size for i in range(capacity)]
        self.length_pointers: list[CData] = [self._ints + i for i in range(capacity)]


class Inbox(_Rows):
    """Datagrams of one receive: rows 0 to n-1, each of at least one byte.

    `lengths` holds their lengths in bytes, and unprotecting in place updates it; `sizes` those received.
    """

    def __init__(self, capacity: int = INBOX_ROWS, row_size: int = INBOX_ROW) -> None:
        super().__init__(capacity, row_size)
        #: Lengths as received, in bytes, of the last receive.
        self.sizes: list[int] = []
        #: Datagrams that were longer than a row, and so not delivered.
        self.truncated = 0
        #: Raw socket addresses of the senders, of which the first `name_size` bytes count.
        self.names: npt.NDArray[np.uint8] = np.zeros((capacity, SOCKADDR_ROW), np.uint8)
        self.name_size = 0
        #: Unix time when the kernel took in the first of them; None where it does not say.
        self.arrived: float | None = None
        self._names = self.names.data.cast("B")
        self._lengths = self.lengths.data

    def sockaddr(self, i: int) -> bytes:
        """Raw socket address of the sender of row i."""
        start = i * SOCKADDR_ROW
        return self._names[start : start + self.name_size].tobytes()

    def received(self, sizes: list[int]) -> int:
        """Rows of these sizes were written. Drops empty and truncated ones; returns how many stay."""
        if 0 in sizes or (sizes and max(sizes) > self.row_size):
            sizes = self._compact(sizes)
        self.sizes = sizes
        lengths = self._lengths
        for i, size in enumerate(sizes):
            lengths[i] = size
        return len(sizes)

    def _compact(self, sizes: list[int]) -> list[int]:
        kept: list[int] = []
        for i, size in enumerate(sizes):
            if 0 < size <= self.row_size:
                if i > len(kept):
                    self.buffer[len(kept), :size] = self.buffer[i, :size]
                    self.names[len(kept)] = self.names[i]
                kept.append(size)
            elif size:
                self.truncated += 1
        return kept


class Outbox(_Rows):
    """Datagrams to send: rows 0 to `count`-1. A row of length 0 is skipped.

    With numpy: write `buffer`, `lengths` (bytes) and `destinations` (AddressTable index) of up to `free` rows
    from `count` on, then raise `count`.
    """

    def __init__(self, capacity: int = OUTBOX_ROWS, row_size: int = OUTBOX_ROW) -> None:
        super().__init__(capacity, row_size)
        self.destinations: npt.NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.count = 0
        #: The memory of the two arrays: for few rows quicker than numpy, of which much has to be read into the cache.
        self.length_view: memoryview = self.lengths.data
        self.destination_view: memoryview = self.destinations.data

    @property
    def free(self) -> int:
        """Rows that can still be written."""
        return self.capacity - self.count

    def append(self, data: bytes, destination: int) -> None:
        """Add a datagram. Raises ValueError when it is longer than a row, BufferError when no row is free."""
        size = len(data)
        if size > self.row_size:
            raise ValueError(f"a datagram of {size} bytes is too long: {self.row_size} is the most")
        if self.count == self.capacity:
            raise BufferError("the outbox is full")
        self.rows[self.count][:size] = data
        self.length_view[self.count] = size
        self.destination_view[self.count] = destination
        self.count += 1

    def datagrams(self) -> list[tuple[bytes, int]]:
        """What would be sent: bytes and AddressTable index, in order, without the rows of length 0."""
        lengths = self.lengths[: self.count].tolist()
        destinations = self.destinations[: self.count].tolist()
        return [
            (bytes(row[:length]), destination)
            for row, length, destination in zip(self.rows, lengths, destinations, strict=False)
            if length
        ]

    def clear(self) -> None:
        """Forget all rows."""
        self.count = 0
