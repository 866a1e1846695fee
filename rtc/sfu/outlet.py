"""Where the packets of one listener go."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rtc.transport.srtp import SrtpSession

from .downlink import Downlink


@dataclass(slots=True)
class Outlet:
    """Where the packets of one listener go: kept up to date by its peer, read on the hot path."""

    destination: int = -1
    """Row of the address table; -1 while the path is not known."""
    session: SrtpSession | None = None
    """What protects packets to this listener; None until the handshake is done."""

    downlink: Downlink | None = None
    """Numbers and paces video for receivers with transport-wide feedback."""
    held: int = 0
    """Packets that leave later: what comes after them must not overtake them."""
    hurry: Callable[[], None] = field(default=lambda: None)
    """Lets its peer be looked after at once."""
    discard: Callable[[Outlet, Collection[int]], None] = field(default=lambda outlet, ssrcs: None)
    """Takes back what waits to be sent here of these SSRCs."""

    @property
    def open(self) -> bool:
        """True when packets can be sent."""
        return self.session is not None and self.destination >= 0
