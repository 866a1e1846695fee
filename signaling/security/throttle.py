"""How many requests one address may make."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from rtc.bucket import TokenBucket

REQUESTS_PER_SECOND = 20.0
REQUEST_BURST = 200.0
"""From one address: some clients send every candidate by itself, and a whole school may sit behind one NAT."""
MAX_ADDRESSES = 10_000
"""Addresses whose requests are counted."""


class Throttle:
    """A token bucket for each address that asks; IPv6 by /64, which is what one household has."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def admits(self, remote: str, *, now: float) -> bool:
        """Count a request of an address, "" for none known; False when it is one too many."""
        key = _household(remote)
        bucket = self._buckets.pop(key, None) or TokenBucket(REQUESTS_PER_SECOND, REQUEST_BURST)
        self._buckets[key] = bucket
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket.take(now=now)


def _household(remote: str) -> str:
    if ":" not in remote:
        return remote
    address = ipaddress.IPv6Address(remote.partition("%")[0])
    return str(address.ipv4_mapped or int(address) >> 64)
