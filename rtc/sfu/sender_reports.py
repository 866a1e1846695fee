"""What a listener is told of its slots: sender reports, each with a name that ties sound and picture together."""

from __future__ import annotations

from collections.abc import Iterable

from rtc.wire import rtcp

from .slot import Slot

SLOTS_A_COMPOUND = 12
"""Sender reports in one datagram, so that with descriptions it stays below 1,200 bytes."""


class SenderReports:
    """Writes them for one peer, by the thousand each second: so as bytes, with what never changes kept."""

    __slots__ = ("_cname", "_names", "_wall_offset")

    def __init__(self, cname: str, wall_offset: float) -> None:
        self._cname = cname
        self._wall_offset = wall_offset
        self._names: dict[int, bytes] = {}

    def compounds(self, slots: Iterable[Slot], *, now: float) -> list[bytes]:
        """Compound packets about those slots on which something is sent."""
        compounds: list[bytes] = []
        reports: list[bytes] = []
        names: list[bytes] = []
        ntp = rtcp.ntp_from_seconds(now + self._wall_offset)
        for slot in slots:
            report = _report(slot, ntp, now)
            if report is None:
                continue
            reports.append(report)
            names.append(self._name(slot.ssrc))
            if len(reports) == SLOTS_A_COMPOUND:
                compounds.append(b"".join((*reports, *names)))
                reports, names = [], []
        if reports:
            compounds.append(b"".join((*reports, *names)))
        return compounds

    def _name(self, ssrc: int) -> bytes:
        name = self._names.get(ssrc)
        if name is None:
            # One chunk a packet: stock aiortc misreads a second one.
            name = self._names[ssrc] = rtcp.serialize([rtcp.SourceDescription(((ssrc, self._cname),))])
        return name


def _report(slot: Slot, ntp: int, now: float) -> bytes | None:
    source, leg = slot.source, slot.leg
    if source is None or leg is None:
        return None
    timestamp = source.clock.timestamp_at(now)
    if timestamp is None:
        return None
    packets, octets = source.fanout.sent(leg)
    return rtcp.pack_sender_report(
        slot.ssrc, ntp, leg.outgoing_timestamp(timestamp), packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
    )
