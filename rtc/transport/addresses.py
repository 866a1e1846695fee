"""Socket addresses as raw `sockaddr` bytes: the hot path compares and copies them and never builds a tuple.

The layout is that of Linux (sockaddr_in, sockaddr_in6): the batched socket hands it to the kernel as it is.
Elsewhere it is merely our own notation: the plain socket turns it back into Python's tuples.
"""

from __future__ import annotations

import socket
import struct

import numpy as np
import numpy.typing as npt

from rtc.transport.libc import row_addresses

SOCKADDR_IN_SIZE = 16  # bytes: family, port, address, 8 of padding
SOCKADDR_IN6_SIZE = 28  # bytes: family, port, flow label, address, scope
SOCKADDR_ROW = 32  # bytes a row of the table: the larger of the two, aligned

_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 2.5.5.2
_PORT = struct.Struct(">H")
_FAMILY = struct.Struct("=H")
_SCOPE = struct.Struct("=I")


def sockaddr_size(family: int) -> int:
    """Bytes of a socket address of this family (AF_INET or AF_INET6)."""
    return SOCKADDR_IN6_SIZE if family == socket.AF_INET6 else SOCKADDR_IN_SIZE


def pack_sockaddr(host: str, port: int, *, family: int) -> bytes:
    """The address as a socket of `family` takes it: on AF_INET6 an IPv4 host is mapped (RFC 4291 2.5.5.2).

    `host` is a numeric address, an IPv6 one with `%` and a numeric scope if it needs one. Raises ValueError
    for anything else, for a port out of range, and for an IPv6 host on AF_INET unless it is a mapped one.
    """
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"{port} is not a UDP port")
    numeric, percent, scope = host.partition("%")
    try:
        if ":" in numeric:
            address = socket.inet_pton(socket.AF_INET6, numeric)
        elif percent:
            raise OSError
        else:
            address = _MAPPED + socket.inet_pton(socket.AF_INET, numeric)
        scope_id = _SCOPE.pack(int(scope)) if percent else bytes(4)
    except (OSError, ValueError, struct.error):
        raise ValueError(f"{host!r} is not an IP address") from None
    if family == socket.AF_INET6:
        return _FAMILY.pack(socket.AF_INET6) + _PORT.pack(port) + bytes(4) + address + scope_id
    if not address.startswith(_MAPPED):
        raise ValueError(f"{host!r} cannot be reached from an IPv4 socket")
    return _FAMILY.pack(socket.AF_INET) + _PORT.pack(port) + address[12:] + bytes(8)


def unpack_sockaddr(raw: bytes) -> tuple[str, int]:
    """Host and port for people and candidates: a mapped IPv4 address is shown as IPv4. Raises ValueError."""
    address = socket_address(raw)
    host, port = address[:2]
    if len(address) == 4 and raw[8:20] == _MAPPED:
        return socket.inet_ntop(socket.AF_INET, raw[20:24]), port
    return (f"{host}%{address[3]}" if len(address) == 4 and address[3] else host), port


def socket_address(raw: bytes) -> tuple[str, int] | tuple[str, int, int, int]:
    """The tuple that Python's own socket calls take for an address. Raises ValueError when it is none."""
    family = _FAMILY.unpack_from(raw)[0] if len(raw) >= SOCKADDR_IN_SIZE else None
    if family == socket.AF_INET and len(raw) == SOCKADDR_IN_SIZE:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), _PORT.unpack_from(raw, 2)[0]
    if family == socket.AF_INET6 and len(raw) == SOCKADDR_IN6_SIZE:
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        return host, _PORT.unpack_from(raw, 2)[0], 0, _SCOPE.unpack_from(raw, 24)[0]
    raise ValueError("not a socket address")


def _check(sockaddr: bytes) -> None:
    if len(sockaddr) not in (SOCKADDR_IN_SIZE, SOCKADDR_IN6_SIZE):
        raise ValueError("not a socket address")


class AddressTable:
    """Destinations by small number: rows of `sockaddr` in one array that doubles as it fills.

    An index stays good until `remove`; `add` may then give it out again, so first send what waits for it.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._sizes: list[int] = []  # bytes used in each row; 0 = free
        self._free: list[int] = []
        self._grow(np.zeros((capacity, SOCKADDR_ROW), np.uint8))

    def _grow(self, rows: npt.NDArray[np.uint8]) -> None:
        self._rows = rows
        #: Address in memory of each row; a new array after growth, so look it up when sending.
        self.pointers: npt.NDArray[np.uint64] = row_addresses(rows)

    def __len__(self) -> int:
        return len(self._sizes) - len(self._free)

    def add(self, sockaddr: bytes) -> int:
        """Remember an address; returns its index. Raises ValueError for bytes of another length."""
        _check(sockaddr)
        if self._free:
            index = self._free.pop()
        else:
            index = len(self._sizes)
            self._sizes.append(0)
            if index == len(self._rows):
                self._grow(np.concatenate([self._rows, np.zeros_like(self._rows)]))
        self._write(index, sockaddr)
        return index

    def replace(self, index: int, sockaddr: bytes) -> None:
        """Let an index mean another address from now on. Raises as `add` and `get` do."""
        _check(sockaddr)
        self._used(index)
        self._write(index, sockaddr)

    def remove(self, index: int) -> None:
        """Give an index back. Raises LookupError for an index not in use."""
        self._used(index)
        self._sizes[index] = 0
        self._rows[index] = 0
        self._free.append(index)

    def get(self, index: int) -> bytes:
        """The address of an index. Raises LookupError for an index not in use."""
        return self._rows[index, : self._used(index)].tobytes()

    def _used(self, index: int) -> int:
        size = self._sizes[index] if 0 <= index < len(self._sizes) else 0
        if not size:
            raise LookupError(f"address {index} is not in use")
        return size

    def _write(self, index: int, sockaddr: bytes) -> None:
        self._rows[index, : len(sockaddr)] = np.frombuffer(sockaddr, np.uint8)
        self._sizes[index] = len(sockaddr)
