"""Whom a request really comes from, when it comes through a proxy that we trust."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web

from signaling.config import is_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse addresses and networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def unproxied(request: web.Request, trusted: tuple[Network, ...]) -> web.Request:
    """The request as the client made it: X-Forwarded-* count when a trusted proxy sent it."""
    if not trusted or not _is_trusted(request.remote, trusted):
        return request
    remote = request.remote
    # Each proxy appends the address that it saw; the last one that is no proxy of ours is the client.
    for text in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        address = text.strip()
        if not is_address(address):
            break
        remote = address
        if not _is_trusted(address, trusted):
            break
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme).split(",")[-1].strip().lower()
    host = request.headers.get("X-Forwarded-Host", request.host).split(",")[-1].strip()
    return request.clone(
        remote=remote or "", scheme=scheme if scheme in {"http", "https"} else request.scheme, host=host
    )


def _is_trusted(text: str | None, trusted: tuple[Network, ...]) -> bool:
    if not text or not is_address(text):
        return False
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in trusted)
