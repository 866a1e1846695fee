"""How often each packet of video is sent to one receiver, from what it loses.

A further copy is the same datagram, which a receiver's replay check takes once (RFC 3711 3.3.2): every client of any
kind profits, without a word in the SDP, and half of what NACK would have to repair a round trip later is there at once.
"""

from __future__ import annotations

from rtc.repair.redundancy import NONE, Protection

SPACING_SECONDS = 0.012
"""Between two copies: bursts of losses are past, and the copy is there before NACK could bring another."""

COPY_FROM_LOSS = 0.15
"""Share lost on the path from which all is sent twice; with less, NACK is as good and costs less."""

COPY_UNTIL_LOSS = 0.1
"""Below this share it is sent once again."""

THIRD_FROM_LOSS = 0.4
"""Share from which all is sent three times: of two copies a sixth would be lost, and frames of several packets whole
would be the exception."""

THIRD_UNTIL_LOSS = 0.3
"""Below this share it is sent twice again."""

HOLD_SECONDS = 4.0
"""For as long the loss must have been low before that."""

FALL = 0.1
"""Weight of a new figure that is lower than those before: reports waver, since they tell of some two seconds each."""

MEMORY_PACKETS = 200
"""Packets over which a share lost is averaged: one or two seconds."""


class LossShare:
    """Share of packets lost lately, told by feedback on each of them."""

    __slots__ = ("_expected", "_lost")

    def __init__(self) -> None:
        self._expected = 0.0
        self._lost = 0.0

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(max(self._lost / self._expected, 0.0), 1.0) if self._expected else 0.0

    def counted(self, *, expected: int, lost: int) -> None:
        """Of so many packets so many were lost; fewer than 0 when some came that were thought to be."""
        kept = max(1 - expected / MEMORY_PACKETS, 0.0)
        self._expected = kept * self._expected + expected
        self._lost = kept * self._lost + lost

    def expect(self, share: float) -> None:
        """What is sent has changed, so that so much should be lost from now on."""
        self._lost = share * self._expected


class CopiesController:
    """Follows the reports of one receiver of video."""

    __slots__ = ("_low_since", "path_loss", "protection")

    def __init__(self) -> None:
        self.protection = NONE
        self.path_loss = 0.0
        """Share lost on the path, whatever is done against it: rises at once, falls slowly."""
        self._low_since: float | None = None

    def reported(self, loss: float, *, now: float) -> bool:
        """Take a report (share of packets lost of which no copy came); True when the protection has changed."""
        before = self.protection
        path = loss ** (1 / before.copies)
        path = self.path_loss = max(path, self.path_loss + FALL * (path - self.path_loss))
        wanted = 3 if path >= THIRD_FROM_LOSS else 2 if path >= COPY_FROM_LOSS else 1
        if wanted > before.copies:
            self.protection = Protection(copies=wanted, spacing=SPACING_SECONDS)
        if path >= (THIRD_UNTIL_LOSS if self.protection.copies > 2 else COPY_UNTIL_LOSS):
            self._low_since = None
        elif self._low_since is None:
            self._low_since = now
        elif now - self._low_since >= HOLD_SECONDS:
            self.protection = Protection(copies=2, spacing=SPACING_SECONDS) if path >= COPY_UNTIL_LOSS else NONE
            self._low_since = None
        return self.protection != before
