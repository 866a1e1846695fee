"""One RTP stream that we send.

Numbering, history for retransmission, sender reports, and what comes back. Sans-IO.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from rtc.client.repairs import Repairs
from rtc.repair.history import History
from rtc.wire.extensions import pack_abs_send_time
from rtc.wire.rtcp import DELAY_UNIT, ReportBlock, SenderReport, middle32, ntp_from_seconds
from rtc.wire.rtp import RtpPacket
from rtc.wire.sequence import Unwrapper

HISTORY_PACKETS = 1024
"""Packets kept for retransmission: 20 s of audio, 1.5 to 8 s of video."""

RESEND_SECONDS = 0.01
"""A packet is not sent again within this time: the request crossed its answer."""

MAX_RESENDS = 64
"""Packets sent again for one request, at most: a request that asks for more has no use for them in time."""

LOSS_SMOOTHING = 0.3
"""Weight of the newest report in the smoothed loss."""


@dataclass(slots=True)
class OutgoingStatistics:
    """Counters of one stream since the start, and what the server last reported of it."""

    packets: int = 0
    payload_bytes: int = 0
    retransmitted: int = 0
    fraction_lost: float = 0.0
    """Smoothed share of the packets that the server missed, 0 to 1."""
    packets_lost: int = 0
    jitter_seconds: float = 0.0


def total(streams: Iterable[OutgoingStatistics]) -> OutgoingStatistics:
    """The same of several streams together: sums, and the worst of the shares and times."""
    found = OutgoingStatistics()
    for one in streams:
        found.packets += one.packets
        found.payload_bytes += one.payload_bytes
        found.retransmitted += one.retransmitted
        found.packets_lost += one.packets_lost
        found.fraction_lost = max(found.fraction_lost, one.fraction_lost)
        found.jitter_seconds = max(found.jitter_seconds, one.jitter_seconds)
    return found


@dataclass(slots=True)
class _Sent:
    packet: RtpPacket
    resent_at: float


class OutgoingStream:
    """Numbers payloads of one source.

    `rtx` is (SSRC, payload types by original) of its retransmissions (RFC 4588).
    """

    def __init__(self, *, ssrc: int, clock_rate: int, rtx_ssrc: int | None = None, rid: str = "") -> None:
        self.ssrc = ssrc
        self.rid = rid
        """Which simulcast encoding it is (RFC 8851); empty for the only one."""
        self.clock_rate = clock_rate
        self.rtx_ssrc = rtx_ssrc
        self.rtx_payload_types: dict[int, int] = {}
        self.extensions: dict[int, bytes] = {}
        """Header extensions of every packet: the MID, and of simulcast the RID."""
        self.rtx_extensions: dict[int, bytes] = {}
        """The same of retransmissions (RFC 4588)."""
        self.repairs: Repairs | None = None
        """What bounds retransmissions; None for no bound."""
        self.send_time_id: int | None = None
        """Id of the header extension that says when a packet left; None where none was agreed on."""
        self.statistics = OutgoingStatistics()
        self.rtt: float | None = None
        # Below 2^15, so that a late receiver guesses the SRTP rollover counter right (RFC 3711 3.3.1).
        self._sequence = secrets.randbelow(1 << 15)
        self._rtx_sequence = secrets.randbelow(1 << 15)
        self.timestamp_offset = secrets.randbits(32)
        """Timestamp on the wire of the source's time 0."""
        self._history: History[_Sent] = History(HISTORY_PACKETS)
        self._unwrap = Unwrapper()
        self._last: tuple[int, float] | None = None

    def packet(
        self,
        payload_type: int,
        payload: bytes,
        timestamp: int,
        *,
        now: float,
        marker: bool = False,
        extensions: dict[int, bytes] | None = None,
    ) -> bytes:
        """The next packet, ready for SRTP. `timestamp` is in clock units from any origin."""
        wire_timestamp = (timestamp + self.timestamp_offset) & 0xFFFFFFFF
        packet = RtpPacket(
            payload_type,
            self._sequence,
            wire_timestamp,
            self.ssrc,
            marker,
            payload,
            {**self.extensions, **self._send_time(now), **(extensions or {})},
        )
        self._history.put(self._unwrap.unwrap(self._sequence), _Sent(packet, now))
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._last = wire_timestamp, now
        self.statistics.packets += 1
        self.statistics.payload_bytes += len(payload)
        return packet.serialize()

    @property
    def highest(self) -> int:
        """Extended number of the packet sent last."""
        return self._unwrap.unwrap((self._sequence - 1) & 0xFFFF)

    def extended(self, number: int) -> int:
        """Extended number of a packet sent lately, from its 16 bits."""
        return self.highest - ((self.highest - number) & 0xFFFF)

    def resend(self, lost: Iterable[int], *, now: float) -> list[bytes]:
        """Packets that answer a NACK: as RTX where that was agreed, else the same packets once more."""
        out: list[bytes] = []
        for number in lost:
            if len(out) >= MAX_RESENDS:
                break
            sent = self._find(number)
            if sent is None or now - sent.resent_at < RESEND_SECONDS:
                continue
            again = self._retransmission(sent.packet, now)
            if self.repairs is not None and not self.repairs.take(len(again), now=now):
                break
            sent.resent_at = now
            out.append(again)
        self.statistics.retransmitted += len(out)
        return out

    def sender_report(self, *, now: float, unix_time: float) -> SenderReport | None:
        """The report of this moment; None before the first packet. `unix_time` is the wall clock at `now`."""
        if self._last is None:
            return None
        timestamp, at = self._last
        return SenderReport(
            ssrc=self.ssrc,
            ntp=ntp_from_seconds(unix_time),
            rtp_timestamp=(timestamp + round((now - at) * self.clock_rate)) & 0xFFFFFFFF,
            packet_count=self.statistics.packets & 0xFFFFFFFF,
            octet_count=self.statistics.payload_bytes & 0xFFFFFFFF,
        )

    def reported(self, block: ReportBlock, *, unix_time: float) -> None:
        """Take in what the server reports of this stream."""
        statistics = self.statistics
        statistics.fraction_lost += LOSS_SMOOTHING * (block.fraction_lost / 256 - statistics.fraction_lost)
        statistics.packets_lost = block.packets_lost
        statistics.jitter_seconds = block.jitter / self.clock_rate
        if block.last_sender_report:
            elapsed = (middle32(ntp_from_seconds(unix_time)) - block.last_sender_report) & 0xFFFFFFFF
            rtt = (elapsed - block.delay_since_last_sender_report) * DELAY_UNIT
            if 0 <= rtt < 60:
                self.rtt = rtt if self.rtt is None else 0.8 * self.rtt + 0.2 * rtt

    def _find(self, number: int) -> _Sent | None:
        return self._history.get(self.extended(number))

    def _send_time(self, now: float) -> dict[int, bytes]:
        return {} if self.send_time_id is None else {self.send_time_id: pack_abs_send_time(now)}

    def _retransmission(self, packet: RtpPacket, now: float) -> bytes:
        payload_type = self.rtx_payload_types.get(packet.payload_type)
        if self.rtx_ssrc is None or payload_type is None:
            return packet.serialize()
        sequence = self._rtx_sequence
        self._rtx_sequence = (sequence + 1) & 0xFFFF
        return RtpPacket(
            payload_type,
            sequence,
            packet.timestamp,
            self.rtx_ssrc,
            packet.marker,
            packet.sequence_number.to_bytes(2, "big") + packet.payload,
            {**self.rtx_extensions, **self._send_time(now)},
        ).serialize()
