"""How often something may be done, by address, token or room."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from rtc.bucket import TokenBucket

MAX_KEYS = 10_000
"""Addresses, tokens or rooms that are counted; the ones not heard of for longest are forgotten."""


class Throttle:
    """A token bucket for each key: `rate` a second, `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def wait(self, key: str, *, now: float) -> float:
        """Count one more under `key`; 0, or the seconds to wait before it would be let through."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._rate, self._burst)
        self._buckets[key] = bucket
        wait = 0.0 if bucket.take(now=now) else bucket.wait(now=now)
        oldest = next(iter(self._buckets))
        if len(self._buckets) > MAX_KEYS or self._buckets[oldest].is_full(now=now):
            del self._buckets[oldest]
        return wait


class AddressThrottle(Throttle):
    """The same for addresses: IPv6 by /64, which is what one household has; of this machine without limit.

    Behind a proxy that is not declared with CLARION_TRUSTED_PROXIES everybody would share the address of the proxy.
    """

    def wait(self, key: str, *, now: float) -> float:
        """See Throttle; `key` is an address, "" for none known."""
        where = household(key)
        return super().wait(where, now=now) if where else 0.0


def household(remote: str) -> str:
    """What counts as one address; "" for this machine."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return "" if address.is_loopback else str(int(address) >> 64)
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)
