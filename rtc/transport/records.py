"""DTLS 1.2 records (RFC 6347 section 4.1): packed into datagrams, and sealed and opened once the handshake is over.

OpenSSL keeps some 90 kB for each connection, most of it for handshakes to come. Between two peers of a call there is
none: what follows the first are data-channel packets, if any, and a goodbye. For these the keys suffice.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23
"""Content types."""

CLOSE_NOTIFY = bytes((1, 0))
"""The alert that says goodbye (RFC 5246 section 7.2.1): level warning, description 0."""

FIRST_SEQUENCE = 1 << 32
"""Number of the first record sealed here: OpenSSL has used some of those below, and none may be used twice."""

REPLAY_WINDOW = 64
"""Records behind the newest that are still told apart from repetitions (RFC 6347 section 4.1.2.6)."""

_HEADER = struct.Struct("!BHQH")  # content type, version, epoch and sequence number as one number, length
_VERSION = 0xFEFD
_EPOCH = 1 << 48
_TAG_SIZE = 16
_FATAL = 2


@dataclass(frozen=True, slots=True)
class Suite:
    """How a cipher suite protects a record."""

    aead: Callable[[bytes], AESGCM | ChaCha20Poly1305]
    key_size: int
    iv_size: int
    explicit_size: int
    """Bytes of the nonce that each record carries; without, it is the IV and the sequence number xored."""


SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": Suite(AESGCM, 16, 4, 8),  # RFC 5288
    "ECDHE-ECDSA-CHACHA20-POLY1305": Suite(ChaCha20Poly1305, 32, 12, 0),  # RFC 7905
}
"""Those known here, by OpenSSL's names."""


class Records:
    """Both directions of an association of DTLS 1.2 after its handshake: epoch 1."""

    __slots__ = ("_newest", "_next", "_read", "_seen", "_suite", "_write", "refused")

    def __init__(self, suite: Suite, *, read: tuple[bytes, bytes], write: tuple[bytes, bytes]) -> None:
        """Keys and IVs are those of the suite's sizes."""
        self.refused = 0
        """Records that were not opened: forged, repeated, or of the handshake."""
        self._suite = suite
        self._read, self._write = read, write
        self._next = FIRST_SEQUENCE
        self._newest = -1
        self._seen = 0  # bit n: the record n before the newest has come

    @classmethod
    def derive(
        cls, suite: Suite, *, role: Literal["client", "server"], master: bytes, client_random: bytes,
        server_random: bytes,
    ) -> Records:
        """Compute the keys from what the handshake left (RFC 5246 section 6.3)."""
        key, iv = suite.key_size, suite.iv_size
        block = prf(master, b"key expansion", server_random + client_random, 2 * (key + iv))
        client = block[:key], block[2 * key : 2 * key + iv]
        server = block[key : 2 * key], block[2 * key + iv :]
        if role == "client":
            return cls(suite, read=server, write=client)
        return cls(suite, read=client, write=server)

    def seal(self, kind: int, body: bytes) -> bytes:
        """Return `body` as a record of content type `kind`."""
        number = _EPOCH | self._next
        self._next += 1
        key, iv = self._write
        explicit = number.to_bytes(8, "big") if self._suite.explicit_size else b""
        sealed = self._suite.aead(key).encrypt(_nonce(iv, number, explicit), body, _additional(number, kind, len(body)))
        return _HEADER.pack(kind, _VERSION, number, len(explicit) + len(sealed)) + explicit + sealed

    def open(self, datagram: bytes) -> list[tuple[int, bytes]]:
        """Return content type and body of each record in `datagram` that the peer has sealed, once."""
        opened = []
        position = 0
        while position + _HEADER.size <= len(datagram):
            kind, version, number, size = _HEADER.unpack_from(datagram, position)
            position += _HEADER.size
            sealed = datagram[position : position + size]
            position += size
            body = None
            if version == _VERSION and number >> 48 == 1 and len(sealed) == size and not self._is_repeated(number):
                body = self._open(kind, number, sealed)
            if body is None:
                self.refused += 1
            else:
                self._mark(number)
                opened.append((kind, body))
        return opened

    def _open(self, kind: int, number: int, sealed: bytes) -> bytes | None:
        explicit, sealed = sealed[: self._suite.explicit_size], sealed[self._suite.explicit_size :]
        size = len(sealed) - _TAG_SIZE
        if size < 0:
            return None
        key, iv = self._read
        try:
            return self._suite.aead(key).decrypt(_nonce(iv, number, explicit), sealed, _additional(number, kind, size))
        except InvalidTag:
            return None

    def _is_repeated(self, number: int) -> bool:
        age = self._newest - number
        return age >= REPLAY_WINDOW or (age >= 0 and bool(self._seen >> age & 1))

    def _mark(self, number: int) -> None:
        if number > self._newest:
            ahead = min(number - self._newest, REPLAY_WINDOW)
            self._seen = (self._seen << ahead | 1) & (1 << REPLAY_WINDOW) - 1
            self._newest = number
        else:
            self._seen |= 1 << self._newest - number


def ends_connection(alert: bytes) -> bool:
    """Whether nothing follows this alert: a goodbye, or an error that is fatal."""
    return alert == CLOSE_NOTIFY or alert[:1] == bytes((_FATAL,))


def prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """The pseudorandom function of TLS 1.2 with SHA-256 (RFC 5246 section 5)."""
    seed = label + seed
    block, output = seed, b""
    while len(output) < size:
        block = hmac.digest(secret, block, "sha256")
        output += hmac.digest(secret, block + seed, "sha256")
    return output[:size]


def pack_records(written: bytes, mtu: int) -> Iterator[bytes]:
    """Yield the DTLS records in `written` as datagrams of at most `mtu` bytes.

    A memory BIO keeps no borders between writes. A record longer than `mtu` goes alone; so does all that
    follows a header which DTLS 1.2 does not know.
    """
    start = end = 0
    while end < len(written):
        known = CHANGE_CIPHER_SPEC <= written[end] <= APPLICATION_DATA
        body = int.from_bytes(written[end + 11 : end + 13], "big")
        length = _HEADER.size + body if known else len(written) - end
        if end > start and end + length - start > mtu:
            yield written[start:end]
            start = end
        end += length
    if end > start:
        yield written[start:end]


def _nonce(iv: bytes, number: int, explicit: bytes) -> bytes:
    if explicit:
        return iv + explicit
    return (int.from_bytes(iv, "big") ^ number).to_bytes(len(iv), "big")


def _additional(number: int, kind: int, size: int) -> bytes:
    """What a record authenticates besides its body (RFC 5246 section 6.2.3.3)."""
    return struct.pack("!QBHH", number, kind, _VERSION, size)
