"""The addresses of this machine."""

from __future__ import annotations

import ipaddress

import ifaddr


def discover_addresses(host: str) -> tuple[str, ...]:
    """Addresses under which clients can reach a socket bound to `host`, global ones first, loopback last."""
    bound = ipaddress.ip_address(host)
    if not bound.is_unspecified:
        return (host,)
    found = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            address = ipaddress.ip_address(entry.ip if isinstance(entry.ip, str) else entry.ip[0])
            if address.is_link_local or (bound.version == 4 and address.version == 6):
                continue
            found.append(address)
    found.sort(key=lambda address: (address.is_loopback, address.version))
    return tuple(str(address) for address in dict.fromkeys(found))
