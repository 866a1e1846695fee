"""Receiving for hundreds of sockets: rows filled by recvmmsg, each with the kernel's time of its arrival."""

from __future__ import annotations

import ctypes
import socket
import struct

import numpy as np
import numpy.typing as npt

from rtc.transport.libc import ffi, load, row_addresses

ROWS = 2048  # datagrams looked at together
ROW = 1600  # bytes
AT_ONCE = 256  # datagrams that one socket may give a round, so that none waits for another
_CONTROL = 64  # bytes of control data a datagram: one cmsghdr with a timespec
_STAMP_AT = ctypes.sizeof(ctypes.c_size_t) + 8  # in the control data: behind length, level and type
_SO_MEMINFO, _DROPS = 55, 8  # asm-generic/socket.h, linux/sock_diag.h


class Arrivals:
    """The rows of one round. `count` of them are filled; `owners` says by which of the sockets."""

    def __init__(self) -> None:
        library = load()
        if library is None:
            raise RuntimeError("the load generator needs 64-bit Linux")
        self._recvmmsg = library.recvmmsg
        self.count = 0
        self.data: npt.NDArray[np.uint8] = np.zeros((ROWS, ROW), np.uint8)
        self.owners: npt.NDArray[np.int32] = np.zeros(ROWS, np.int32)
        control = np.zeros((ROWS, _CONTROL), np.uint8)
        self._headers = ffi.new("struct mmsghdr[]", ROWS)
        buffers = ffi.new("struct iovec[]", ROWS)
        self._keep = control, buffers
        for i, (base, ancillary) in enumerate(
            zip(row_addresses(self.data).tolist(), row_addresses(control).tolist(), strict=True)
        ):
            buffers[i].iov_base, buffers[i].iov_len = ffi.cast("void *", base), ROW
            header = self._headers[i].msg_hdr
            header.msg_iov, header.msg_iovlen = buffers + i, 1
            header.msg_control, header.msg_controllen = ffi.cast("void *", ancillary), _CONTROL
        words = np.frombuffer(ffi.buffer(self._headers), np.uint64).reshape(ROWS, -1)
        halves = np.frombuffer(ffi.buffer(self._headers), np.uint32).reshape(ROWS, -1)
        self._control_sizes = words[:, ffi.offsetof("struct msghdr", "msg_controllen") // 8]
        self.lengths = halves[:, ffi.offsetof("struct mmsghdr", "msg_len") // 4]
        stamps = control.view(np.int64)
        self._seconds, self._nanoseconds = stamps[:, _STAMP_AT // 8], stamps[:, _STAMP_AT // 8 + 1]
        self.octets = self.data[:, 1]
        self.sequences = self.data[:, 2:4].view(">u2")[:, 0]
        self.ssrcs = self.data[:, 8:12].view(">u4")[:, 0]

    @property
    def free(self) -> int:
        """Rows left in this round."""
        return ROWS - self.count

    def times(self) -> npt.NDArray[np.float64]:
        """When each arrived, Unix time."""
        return self._seconds[: self.count] + self._nanoseconds[: self.count] * 1e-9

    def fill(self, descriptor: int, owner: int) -> int:
        """Take what waits at a socket; returns how many datagrams."""
        taken: int = self._recvmmsg(
            descriptor, self._headers + self.count, min(AT_ONCE, self.free), socket.MSG_DONTWAIT, ffi.NULL
        )
        if taken <= 0:
            return 0
        self.owners[self.count : self.count + taken] = owner
        self.count += taken
        return taken

    def clear(self) -> None:
        """Begin the next round."""
        self._control_sizes[: self.count] = _CONTROL
        self.count = 0


def drops(sock: socket.socket) -> int:
    """Datagrams that the kernel dropped because this socket's buffer was full."""
    info = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
    return int(struct.unpack_from("I", info, 4 * _DROPS)[0])
