"""An ICE-lite agent without I/O: binding requests in, binding responses out (RFC 8445 section 2.5, RFC 8489).

A lite agent gathers host candidates only, sends no checks and is always controlled. It answers the checks of
a full agent, and learns from them the one address that it may send to.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
import zlib

import msgspec
from aioice import stun

from rtc.transport.addresses import SOCKADDR_IN6_SIZE, SOCKADDR_IN_SIZE

SILENCE_SECONDS = 15.0
"""A peer silent for so long is gone. Full agents check every 2.5 to 6 s; RFC 7675 lets consent live 30 s."""

MOVE_AFTER_SECONDS = 0.5
"""How long the selected address must be silent before an address that was not nominated may replace it."""

MAX_ATTRIBUTES = 32
"""Attributes read in one message: agents send about eight, and a forged message shall not buy a long walk."""

_HEADER = struct.Struct("!HHI")
_ATTRIBUTE = struct.Struct("!HH")
_XOR_ADDRESS = struct.Struct("!xBH")  # family, port
_MAPPED_IPV4 = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 2.5.5.2

_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_BINDING_ERROR = 0x0111

_USERNAME = 0x0006
_MESSAGE_INTEGRITY = 0x0008
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_XOR_MAPPED_ADDRESS = 0x0020
_PRIORITY = 0x0024
_USE_CANDIDATE = 0x0025
_FINGERPRINT = 0x8028
_ICE_CONTROLLED = 0x8029
_FINGERPRINT_MASK = 0x5354554E
_INTEGRITY_SIZE, _FINGERPRINT_SIZE = 24, 8  # bytes of the two attributes, headers included

_UNDERSTOOD = frozenset({_USERNAME, _MESSAGE_INTEGRITY, _PRIORITY, _USE_CANDIDATE})
_COMPREHENSION_OPTIONAL = 0x8000


class IceLite:
    """The local agent of one peer connection: one component, one stream (bundle, rtcp-mux).

    Addresses are raw sockaddrs as in `rtc.transport.addresses`; `now` is in seconds of a steady clock.
    """

    __slots__ = (
        "_previous",
        "last_heard",
        "local_pwd",
        "local_ufrag",
        "remote_pwd",
        "remote_ufrag",
        "selected",
    )

    def __init__(self, *, ufrag: str | None = None, pwd: str | None = None) -> None:
        self.local_ufrag = _random_ice_chars(8) if ufrag is None else ufrag
        self.local_pwd = _random_ice_chars(24) if pwd is None else pwd
        self.remote_ufrag = ""
        """Empty until the offer is known: nothing is answered before."""
        self.remote_pwd = ""
        """Kept for completeness of the session: a lite agent sends no checks, so never signs with it."""
        self.selected: bytes | None = None
        """Where to send; None before the first authenticated check."""
        self.last_heard: float | None = None
        """When `selected` was last heard; the owner also stores the time of its authenticated media here."""
        # The local ufrag, local pwd and remote ufrag from before a restart.
        self._previous: tuple[str, str, str] | None = None

    @property
    def local_ufrags(self) -> tuple[str, ...]:
        """The local ufrags that checks may bear now: two while an ICE restart is under way."""
        return (self.local_ufrag,) if self._previous is None else (self.local_ufrag, self._previous[0])

    def restart(self, ufrag: str, pwd: str) -> tuple[str, str]:
        """Begin an ICE restart (RFC 8445 section 9) with the peer's new ufrag and pwd; return ours.

        Media keeps flowing to `selected`. The old credentials stay valid until a check bears the new ones.
        """
        if self._previous is None:  # else nobody has used the credentials in between
            self._previous = (self.local_ufrag, self.local_pwd, self.remote_ufrag)
        self.local_ufrag, self.local_pwd = _random_ice_chars(8), _random_ice_chars(24)
        self.remote_ufrag, self.remote_pwd = ufrag, pwd
        return self.local_ufrag, self.local_pwd

    def receive(self, message: bytes, source: bytes, *, now: float) -> bytes | None:
        """Take one STUN message from `source`; return the response to send back, None when dropped.

        What does not authenticate changes nothing and gets no 400 or 401 (RFC 8489 section 9.1.3).
        """
        request = _read_request(message)
        if request is None:
            return None
        username, present = request.username, request.attributes
        if username == f"{self.local_ufrag}:{self.remote_ufrag}".encode() and self.remote_ufrag:
            pwd, current = self.local_pwd, True
        elif self._previous is not None and username == f"{self._previous[0]}:{self._previous[2]}".encode():
            pwd, current = self._previous[1], False
        else:
            return None

        key = pwd.encode()
        if not request.is_authentic(message, key):
            return None

        unknown = [kind for kind in present if kind < _COMPREHENSION_OPTIONAL and kind not in _UNDERSTOOD]
        if unknown:
            body = _attribute(_ERROR_CODE, stun.pack_error_code((420, "Unknown Attribute")))
            body += _attribute(_UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown))
            return _signed(_BINDING_ERROR, message, body, key)
        if _ICE_CONTROLLED in present:
            # A lite agent stays controlled whatever the tie-breakers say (RFC 8445 section 6.1.1).
            body = _attribute(_ERROR_CODE, stun.pack_error_code((487, "Role Conflict")))
            return _signed(_BINDING_ERROR, message, body, key)
        mapped = _xor_address(source, message[4 : stun.HEADER_LENGTH])
        if mapped is None:
            return None

        if current:
            self._previous = None
        self._heard(source, now=now, nominated=_USE_CANDIDATE in present)
        return _signed(_BINDING_SUCCESS, message, _attribute(_XOR_MAPPED_ADDRESS, mapped), key)

    def heard(self, source: bytes, *, now: float) -> bool:
        """Note that authenticated media came from `source`; return whether `selected` moved there.

        This follows a NAT that rebinds between two consent checks. SRTP's replay protection makes it safe.
        """
        before = self.selected
        self._heard(source, now=now, nominated=False)
        return self.selected != before

    def expired(self, now: float) -> bool:
        """Whether the peer was heard once and has been silent for SILENCE_SECONDS (consent, RFC 7675)."""
        return self.last_heard is not None and now - self.last_heard > SILENCE_SECONDS

    def _heard(self, source: bytes, *, now: float, nominated: bool) -> None:
        if source != self.selected and not (
            nominated or self.last_heard is None or now - self.last_heard > MOVE_AFTER_SECONDS
        ):
            return
        self.selected = source
        self.last_heard = now


class _Request(msgspec.Struct, frozen=True, gc=False):
    """What a binding request bears."""

    username: bytes
    """The first USERNAME."""
    attributes: list[int]
    """Types, as far as integrity goes: what follows is not authenticated, and is ignored (RFC 8489 section 14.5)."""
    integrity: int
    """Where MESSAGE-INTEGRITY stands in it."""
    fingerprint: int
    """The same of FINGERPRINT; 0 without one."""

    def is_authentic(self, message: bytes, key: bytes) -> bool:
        """Whether both are right (RFC 8489 sections 14.5 and 14.7)."""
        at = self.integrity
        expected = hmac.digest(key, _shortened(message, at, _INTEGRITY_SIZE), "sha1")
        if not hmac.compare_digest(_ATTRIBUTE.pack(_MESSAGE_INTEGRITY, len(expected)) + expected,
                                   message[at : at + _INTEGRITY_SIZE]):
            return False
        at = self.fingerprint
        if not at:
            return True
        checksum = zlib.crc32(_shortened(message, at, _FINGERPRINT_SIZE)) ^ _FINGERPRINT_MASK
        return message[at : at + _FINGERPRINT_SIZE] == _ATTRIBUTE.pack(_FINGERPRINT, 4) + checksum.to_bytes(4, "big")


def peek_username(data: bytes) -> str | None:
    """Return the local ufrag in a binding request, to find its peer before anything is authenticated.

    None for any other datagram.
    """
    position = stun.HEADER_LENGTH
    for _ in range(MAX_ATTRIBUTES if _is_request(data) else 0):
        if position + _ATTRIBUTE.size > len(data):
            break
        attribute, length = _ATTRIBUTE.unpack_from(data, position)
        if attribute == _USERNAME:
            ufrag, colon, _ = data[position + _ATTRIBUTE.size :][:length].partition(b":")
            # Latin-1 reads any bytes, and those of no ufrag of ours find none.
            return ufrag.decode("latin-1") if colon else None
        if attribute == _MESSAGE_INTEGRITY:
            break
        position += _ATTRIBUTE.size + (length + 3 & ~3)
    return None


def _is_request(data: bytes) -> bool:
    if len(data) < stun.HEADER_LENGTH:
        return False
    return _HEADER.unpack_from(data) == (_BINDING_REQUEST, len(data) - stun.HEADER_LENGTH, stun.COOKIE)


def _read_request(data: bytes) -> _Request | None:
    """None for what is no binding request with a username and an integrity, or has too many attributes."""
    username: bytes | None = None
    attributes: list[int] = []
    integrity = fingerprint = 0
    position = stun.HEADER_LENGTH
    for _ in range(MAX_ATTRIBUTES + 1 if _is_request(data) else 0):
        if position + _ATTRIBUTE.size > len(data):
            break
        attribute, length = _ATTRIBUTE.unpack_from(data, position)
        if attribute == _FINGERPRINT:  # the last one
            fingerprint = position
            break
        if not integrity:
            attributes.append(attribute)
            if attribute == _MESSAGE_INTEGRITY:
                integrity = position
            elif attribute == _USERNAME and username is None:
                username = data[position + _ATTRIBUTE.size :][:length]
        position += _ATTRIBUTE.size + (length + 3 & ~3)
    else:
        return None
    return _Request(username, attributes, integrity, fingerprint) if username is not None and integrity else None


def _shortened(message: bytes, at: int, size: int) -> bytes:
    """What is before an attribute of `size` bytes, header included, as if that were the last of the message."""
    return message[:2] + (at + size - stun.HEADER_LENGTH).to_bytes(2, "big") + message[4:at]


def _xor_address(source: bytes, mask: bytes) -> bytes | None:
    """The value of XOR-MAPPED-ADDRESS for a raw sockaddr (RFC 8489 section 14.2); None when it is none."""
    port, address = source[2:4], b""
    if len(source) == SOCKADDR_IN_SIZE:
        address = source[4:8]
    elif len(source) == SOCKADDR_IN6_SIZE:
        address = source[8:24]
        if address.startswith(_MAPPED_IPV4):
            address = address[12:]
    if not address:
        return None
    masked = int.from_bytes(address, "big") ^ int.from_bytes(mask[: len(address)], "big")
    masked_port = int.from_bytes(port, "big") ^ int.from_bytes(mask[:2], "big")
    return _XOR_ADDRESS.pack(1 if len(address) == 4 else 2, masked_port) + masked.to_bytes(len(address), "big")


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _signed(kind: int, request: bytes, body: bytes, key: bytes) -> bytes:
    """Return a response to `request` with MESSAGE-INTEGRITY and FINGERPRINT."""
    size = len(body) + _INTEGRITY_SIZE
    message = _HEADER.pack(kind, size, stun.COOKIE) + request[8 : stun.HEADER_LENGTH] + body
    message += _attribute(_MESSAGE_INTEGRITY, hmac.digest(key, message, "sha1"))
    message = message[:2] + (size + _FINGERPRINT_SIZE).to_bytes(2, "big") + message[4:]
    checksum = zlib.crc32(message) ^ _FINGERPRINT_MASK
    return message + _attribute(_FINGERPRINT, checksum.to_bytes(4, "big"))


def _random_ice_chars(length: int) -> str:
    """Return `length` (a multiple of 4) random ice-chars: base64's alphabet (RFC 8839 section 5.4)."""
    return base64.b64encode(secrets.token_bytes(length * 3 // 4)).decode()
