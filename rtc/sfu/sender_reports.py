"""What a listener is told of its slots: sender reports, each with a name that ties sound and picture together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rtc.wire import rtcp

from .slot import Slot

SLOTS_A_COMPOUND = 12
"""Sender reports in one datagram, so that with descriptions it stays below 1,200 bytes."""


class SenderReports:
    """Writes them for one peer, by the thousand each second: so as bytes, with what never changes kept."""

    def __init__(self, cname: str, wall_offset: float) -> None:
        self._cname = cname
        self._wall_offset = wall_offset
        self._names: dict[int, bytes] = {}

    def compounds(self, slots: Iterable[Slot], *, now: float) -> Iterator[bytes]:
        """Compound packets about those slots on which something is sent."""
        reports: list[bytes] = []
        names: list[bytes] = []
        for slot in slots:
            report = self._report(slot, now)
            if report is None:
                continue
            reports.append(report)
            names.append(self._name(slot.ssrc))
            if len(reports) == SLOTS_A_COMPOUND:
                yield b"".join((*reports, *names))
                reports, names = [], []
        if reports:
            yield b"".join((*reports, *names))

    def _report(self, slot: Slot, now: float) -> bytes | None:
        timestamp = slot.timestamp_at(now)
        if timestamp is None:
            return None
        packets, octets = slot.sent()
        return rtcp.pack_sender_report(
            slot.ssrc, rtcp.ntp_from_seconds(now + self._wall_offset),
            timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF,
        )

    def _name(self, ssrc: int) -> bytes:
        name = self._names.get(ssrc)
        if name is None:
            # One chunk a packet: stock aiortc misreads a second one.
            name = self._names[ssrc] = rtcp.serialize([rtcp.SourceDescription(((ssrc, self._cname),))])
        return name
