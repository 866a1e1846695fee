"""recvmmsg and sendmmsg, which Python does not offer: cffi on the C library (ABI mode, so no compiler)."""

from __future__ import annotations

import functools
import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from cffi import FFI

# What cffi returns has no static types: pointers, structs and libraries are all this.
CData: TypeAlias = Any

ffi = FFI()
# Layouts of Linux, 64 bit (recvmmsg(2), sendmmsg(2), recvmsg(2)).
ffi.cdef(
    """
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; unsigned int msg_namelen;
        struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen;
        int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, void *timeout);
    int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags);
    """
)


@functools.cache
def load() -> CData | None:
    """The C library with recvmmsg and sendmmsg, or None where there is none (anything but 64-bit Linux)."""
    if sys.platform != "linux" or sys.maxsize <= 2**32:
        return None
    library = ffi.dlopen(None)
    return library if hasattr(library, "recvmmsg") and hasattr(library, "sendmmsg") else None


def row_addresses(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Where each row of a two-dimensional array stands in memory; good as long as the array lives."""
    base = int(ffi.cast("uintptr_t", ffi.from_buffer(array)))
    return np.arange(len(array), dtype=np.uint64) * np.uint64(array.strides[0]) + np.uint64(base)
