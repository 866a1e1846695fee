"""SRTP (RFC 3711, RFC 7714) in place: libsrtp through the binding that pylibsrtp ships.

pylibsrtp's own calls copy each packet twice and make an object for it; here libsrtp works on rows of batches.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Sequence

from pylibsrtp import ERRORS, Error, Policy, Session
from pylibsrtp._binding import ffi, lib

from rtc.transport.batch import OUTBOX_ROW, Outbox
from rtc.transport.libc import CData

#: libsrtp's number of each profile, and the bytes of its key and salt (RFC 5764 4.1.2, RFC 7714 14.2).
PROFILES: dict[str, tuple[int, int]] = {
    "SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
    "SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    "SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
}
#: Bytes that protecting an RTP packet adds at most: the tag of GCM is 16, that of HMAC-SHA1-80 10.
PROTECT_OVERHEAD = 16
#: Longest RTP packet, in bytes, that `protect_rows` takes.
MAX_PLAINTEXT = OUTBOX_ROW - PROTECT_OVERHEAD
#: Packets, behind the newest one, that can still be received or resent (as aiortc sets it).
WINDOW = 1024

_SCALAR_BUFFER = 2048  # bytes
_RTCP_OVERHEAD = PROTECT_OVERHEAD + 4  # the SRTCP index, RFC 3711 3.4

_protect = lib.srtp_protect
_unprotect = lib.srtp_unprotect
_protect_rtcp = lib.srtp_protect_rtcp
_unprotect_rtcp = lib.srtp_unprotect_rtcp


class SrtpSession:
    """One direction of a DTLS-SRTP association: made from a pylibsrtp Session, or `from_key` material."""

    __slots__ = ("_buffer", "_length", "_session", "_view", "context")

    def __init__(self, session: Session) -> None:
        self._session = session  # owns the context: libsrtp frees it when the Session goes
        #: libsrtp's `srtp_t`; good only as long as this object lives.
        self.context: CData = session._srtp[0]
        self._buffer: CData = None  # made when needed: who works on rows never does
        self._view = memoryview(b"")
        self._length: CData = None

    @classmethod
    def from_key(cls, profile: str, key_and_salt: bytes, *, inbound: bool) -> SrtpSession:
        """For tests and rooms in virtual time. Raises ValueError for an unknown profile or key size."""
        if profile not in PROFILES:
            raise ValueError(f"unknown SRTP profile {profile!r}")
        number, size = PROFILES[profile]
        if len(key_and_salt) != size:
            raise ValueError(f"{profile} wants {size} bytes of key and salt, not {len(key_and_salt)}")
        policy = Policy(
            key=key_and_salt,
            ssrc_type=Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=number,
        )
        policy.allow_repeat_tx = True
        policy.window_size = WINDOW
        return cls(Session(policy))

    def unprotect(self, pointer: CData, length_pointer: CData) -> bool:
        """Verify and decrypt an SRTP packet in place, its length too; False for a forged or replayed one."""
        return _unprotect(self.context, pointer, length_pointer) == 0  # type: ignore[no-any-return]

    def unprotect_rtcp(self, pointer: CData, length_pointer: CData) -> bool:
        """The same for an SRTCP packet."""
        return _unprotect_rtcp(self.context, pointer, length_pointer) == 0  # type: ignore[no-any-return]

    def protect(self, data: bytes) -> bytes:
        """An RTP packet as SRTP. Raises ValueError when it is too long, pylibsrtp.Error when it is no RTP."""
        return self._scalar(_protect, data, PROTECT_OVERHEAD)

    def protect_rtcp_row(self, outbox: Outbox, row: int) -> bool:
        """The compound RTCP packet in this row as SRTCP, in place; False when it cannot be."""
        if outbox.length_view[row] > outbox.row_size - _RTCP_OVERHEAD:
            return False
        return _protect_rtcp(self.context, outbox.pointers[row], outbox.length_pointers[row]) == 0  # type: ignore[no-any-return]

    def protect_rtcp(self, data: bytes) -> bytes:
        """A compound RTCP packet as SRTCP. Raises as `protect` does."""
        return self._scalar(_protect_rtcp, data, _RTCP_OVERHEAD)

    def _scalar(self, function: CData, data: bytes, overhead: int) -> bytes:
        size = len(data)
        if size > _SCALAR_BUFFER - overhead:
            raise ValueError(f"a packet of {size} bytes is too long to protect")
        if self._buffer is None:
            self._buffer = ffi.new("unsigned char[]", _SCALAR_BUFFER)
            self._view = memoryview(ffi.buffer(self._buffer))
            self._length = ffi.new("int *")
        self._view[:size] = data
        self._length[0] = size
        status = function(self.context, self._buffer, self._length)
        if status:
            raise Error(ERRORS[status])
        return self._view[: self._length[0]].tobytes()


def protect_rows(contexts: Sequence[CData], outbox: Outbox, start: int) -> int:
    """Protect RTP packets in place, those in the rows from `start` on, one a context; updates their lengths.

    A row that fails (no RTP packet, longer than MAX_PLAINTEXT, too old to be sent again) gets length 0 and is
    not sent. Returns how many failed.
    """
    end = start + len(contexts)
    lengths = outbox.lengths[start:end]
    if lengths.max(initial=0) > outbox.row_size - PROTECT_OVERHEAD:
        lengths[lengths > outbox.row_size - PROTECT_OVERHEAD] = 0  # libsrtp would write into the next row
    return _protect_all(contexts, outbox, start, end)


def protect_equal(contexts: Sequence[CData], outbox: Outbox, start: int, size: int) -> int:
    """The same for rows that are all `size` bytes long, whose lengths need not have been written."""
    end = start + len(contexts)
    if size > outbox.row_size - PROTECT_OVERHEAD:
        outbox.lengths[start:end] = 0
        return len(contexts)
    outbox.length_view[start:end] = array("i", (size,)) * len(contexts)
    return _protect_all(contexts, outbox, start, end)


def _protect_all(contexts: Sequence[CData], outbox: Outbox, start: int, end: int) -> int:
    statuses = list(map(_protect, contexts, outbox.pointers[start:end], outbox.length_pointers[start:end]))
    if not any(statuses):
        return 0
    failed = [start + i for i, status in enumerate(statuses) if status]
    outbox.lengths[failed] = 0
    return len(failed)


def srtp_pair(profile: str) -> tuple[SrtpSession, SrtpSession]:
    """A sender and the receiver that understands it, under a fresh key: for tests."""
    if profile not in PROFILES:
        raise ValueError(f"unknown SRTP profile {profile!r}")
    key = secrets.token_bytes(PROFILES[profile][1])
    return SrtpSession.from_key(profile, key, inbound=False), SrtpSession.from_key(profile, key, inbound=True)
