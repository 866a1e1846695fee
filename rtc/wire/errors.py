"""The one error that every parser of rtc.wire raises for bytes it cannot accept."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes from the network that do not follow their format: drop them and count the drop."""
