"""The data plane of the load generator: sends what is due, counts and times what arrives, reports as a client does.

Every packet is counted by its header alone, which SFUs leave in the clear: a leg shifts the publisher's sequence
numbers by a constant. One packet in some hundred is decrypted to learn that shift and to check it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from aiortc.rtp import (
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)
from pylibsrtp import Error as SrtpError

from .arrivals import Arrivals, drops
from .endpoint import Endpoint
from .sdp import Kind
from .track import Pace, Track, read_tag

LOOK_SECONDS = 0.02  # between two rounds of receiving: nothing is timed by it, the kernel stamps the packets
TAKE_ROWS = 32  # datagrams from which on they are looked at before more are taken, lest what is to be sent waits long
REPORT_SECONDS = 1.0
CONSENT_SECONDS = 5.0  # RFC 7675
CHECK_EVERY = 509  # packets of a leg, one of which is decrypted
MEMORY = 1 << 21  # packets of a track remembered
UNSURE_SECONDS = 0.0005  # a call of send that takes longer was interrupted: when it sent is not known
SETTLE_SECONDS = 0.3  # after the end of a measurement: what is on the way still counts


@dataclass(slots=True)
class Leg:
    """One track at one endpoint."""

    track: int
    shift: int
    first: int
    highest: int
    received: int = 0
    reported: tuple[int, int] = (0, 0)
    sender_report: tuple[int, float] = (0, 0.0)


@dataclass(slots=True)
class Seat:
    """An endpoint in the engine."""

    endpoint: Endpoint
    tracks: list[Track]
    next_report: float
    next_consent: float
    pretended_loss: float
    """Share of packets that its reports say are lost."""
    newest: bytes = b""
    """The datagram of media that was sent last."""
    legs: dict[int, Leg] = field(default_factory=dict)
    """By SSRC."""


@dataclass(slots=True)
class Result:
    """What a measurement found."""

    seconds: float
    sent: int
    """Packets that publishers sent."""
    forwarded: int
    """Packets that subscribers received, duplicates left out."""
    expected: int
    """Packets that they should have received."""
    duplicates: int
    own_drops: int
    """Datagrams that the generator's own sockets dropped."""
    delays: npt.NDArray[np.float64]
    """Seconds from the send call to the arrival, of all packets."""
    frame_delays: npt.NDArray[np.float64]
    """The same of the last packet of each frame of video."""
    latest: float
    """Most seconds by which a packet was sent later than planned."""

    @property
    def missing(self) -> float:
        """Share of packets that did not arrive."""
        return 1 - self.forwarded / self.expected if self.expected else 0.0


class Engine:
    """Runs in a thread of its own (`run`); seats may be added meanwhile."""

    def __init__(self) -> None:
        self.seats: list[Seat] = []
        self.malformed = 0
        self.relearned = 0
        self.keyframe_requests = 0
        self.nacks = 0
        self._tracks: list[Track] = []
        self._sent_at: list[npt.NDArray[np.float64]] = []
        self._delays: list[npt.NDArray[np.float64]] = []
        self._frame_delays: list[npt.NDArray[np.float64]] = []
        self._seen: dict[tuple[int, int], npt.NDArray[np.bool_]] = {}
        self._arrivals = Arrivals()
        self._measuring = False
        self._duplicates = 0
        self._latest = 0.0

    def add(
        self, endpoint: Endpoint, sends: list[tuple[Kind, str, int]] | None = None,
        paces: dict[Kind, Pace] | None = None, *, pretended_loss: float = 0.0,
    ) -> Seat:
        """Take over a connected endpoint, with what it sends: kind, MID and SSRC."""
        now = time.time()
        spread = (len(self.seats) * 0.618) % 1
        tracks = []
        for kind, mid, ssrc in sends or ():
            assert paces is not None
            track = Track(len(self._tracks), mid, ssrc, paces[kind], start=now + spread * paces[kind].interval)
            self._sent_at.append(np.zeros(1 << 16))
            self._tracks.append(track)
            tracks.append(track)
        seat = Seat(endpoint, tracks, now + spread * REPORT_SECONDS, now + spread * CONSENT_SECONDS, pretended_loss)
        self.seats.append(seat)
        return seat

    def remove(self, seat: Seat) -> None:
        """Leave this endpoint alone from now on; not while `run` is under way."""
        self.seats.remove(seat)
        for track in seat.tracks:
            track.due = float("inf")

    def set_pace(self, pace: Pace) -> None:
        """Send all tracks of this kind so from now on; not while `run` is under way."""
        now = time.time()
        for i, track in enumerate(self._tracks):
            if track.pace.kind == pace.kind:
                track.change_pace(pace, start=now + (i * 0.618) % 1 * pace.interval)

    def run(self, seconds: float, *, measure: bool = True) -> Result:
        """Send and receive for so long."""
        begin = time.time()
        for track in self._tracks:
            if track.due < begin:  # nobody sent meanwhile
                track.due = begin + (track.number * 0.618) % 1 * track.pace.interval
        self._delays, self._frame_delays, self._seen = [], [], {}
        self._duplicates, self._latest = 0, 0.0
        dropped = sum(drops(seat.endpoint.socket) for seat in self.seats)
        starts = [track.sent for track in self._tracks]
        self._measuring = measure
        end = begin + seconds
        look = begin
        waiting: list[tuple[int, Seat]] = []
        while (now := time.time()) < end:
            wake = self._send_due(now)
            if now >= look and not waiting:
                look = now + LOOK_SECONDS
                waiting = list(enumerate(self.seats))
            if waiting:
                # Little at a time: were all looked at before anything is sent, publishers would send all at once.
                self._receive(waiting)
                if not waiting:
                    self._housekeeping(now)
                continue
            pause = min(wake, look, end) - time.time()
            if pause > 0:
                time.sleep(pause)
        ends = [track.sent for track in self._tracks]
        settled = time.time() + SETTLE_SECONDS
        while time.time() < settled or waiting:
            waiting = waiting or list(enumerate(self.seats))
            self._receive(waiting)
            if not waiting:
                time.sleep(LOOK_SECONDS)
        expected = forwarded = 0
        for seat in self.seats:
            for ssrc, leg in seat.legs.items():
                seen = self._seen.get((id(seat), ssrc))
                first = max(starts[leg.track], leg.first) if leg.track < len(starts) else leg.first
                expected += max(0, ends[leg.track] - first)
                forwarded += 0 if seen is None else int(np.count_nonzero(seen[first : ends[leg.track]]))
        return Result(
            seconds, sum(ends) - sum(starts), forwarded, expected, self._duplicates,
            sum(drops(seat.endpoint.socket) for seat in self.seats) - dropped,
            _joined(self._delays), _joined(self._frame_delays), self._latest,
        )

    def _send_due(self, now: float) -> float:
        wake = float("inf")
        for seat in list(self.seats):
            for track in seat.tracks:
                while track.due <= now:
                    if track.sent:
                        self._latest = max(self._latest, now - track.due)
                    self._send_frame(seat, track)
                wake = min(wake, track.due)
        return wake

    def _send_frame(self, seat: Seat, track: Track) -> None:
        first = track.sent
        protect, send = seat.endpoint.sending.protect, seat.endpoint.socket.send
        packets = [protect(packet) for packet in track.frame()]
        times = self._sent_at[track.number]
        if track.sent > len(times):
            times = self._sent_at[track.number] = np.concatenate([times, np.zeros_like(times)])
        for i, packet in enumerate(packets, first):
            before = times[i] = time.time()
            with contextlib.suppress(OSError):
                send(packet)
            seat.newest = packet
            if time.time() - before > UNSURE_SECONDS:
                times[i] = np.nan

    def _receive(self, waiting: list[tuple[int, Seat]]) -> None:
        """Take what waits for the last of those who wait, and for more of them as long as it is not much."""
        arrivals = self._arrivals
        while waiting and arrivals.count < TAKE_ROWS:
            owner, seat = waiting.pop()
            while arrivals.fill(seat.endpoint.socket.fileno(), owner):
                if not arrivals.free:
                    self._take()
        self._take()

    def _take(self) -> None:
        arrivals = self._arrivals
        count = arrivals.count
        if not count:
            return
        firsts, octets = arrivals.data[:count, 0], arrivals.octets[:count]
        is_rtp = (firsts >= 128) & (firsts < 192) & ((octets < 192) | (octets > 223))
        for row in np.flatnonzero(~is_rtp).tolist():
            self._take_other(self.seats[arrivals.owners[row]], row)
        rows = np.flatnonzero(is_rtp)
        times = arrivals.times()
        keys = arrivals.owners[rows].astype(np.int64) << 32 | arrivals.ssrcs[rows]
        order = np.argsort(keys, kind="stable")
        rows, keys = rows[order], keys[order]
        borders = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(rows)] if len(rows) else [0]
        for start, stop in pairwise(borders):
            owner, ssrc = divmod(int(keys[start]), 1 << 32)
            self._take_leg(self.seats[owner], ssrc, rows[start:stop], times)
        arrivals.clear()

    def _take_leg(
        self, seat: Seat, ssrc: int, rows: npt.NDArray[np.intp], times: npt.NDArray[np.float64]
    ) -> None:
        leg = seat.legs.get(ssrc)
        sequences = self._arrivals.sequences[rows].astype(np.int64)
        if leg is None:
            leg = self._learn(seat, ssrc, int(rows[0]), int(sequences[0]), None)
            if leg is None:
                return
        numbers = leg.highest + ((sequences - leg.shift - leg.highest + 0x8000) & 0xFFFF) - 0x8000
        for place in np.flatnonzero((numbers + ssrc) % CHECK_EVERY == 0).tolist():
            checked = self._learn(seat, ssrc, int(rows[place]), int(sequences[place]), leg)
            if checked is not None and checked is not leg:
                self.relearned += 1
                leg = checked
                numbers = leg.highest + ((sequences - leg.shift - leg.highest + 0x8000) & 0xFFFF) - 0x8000
        sent_at = self._sent_at[leg.track]
        good = (numbers >= 0) & (numbers < self._tracks[leg.track].sent)
        if not good.all():
            self.malformed += int(np.count_nonzero(~good))
            numbers, rows = numbers[good], rows[good]
            if not len(numbers):
                return
        leg.highest = max(leg.highest, int(numbers.max()))
        leg.received += len(numbers)
        if not self._measuring:
            return
        key = (id(seat), ssrc)
        seen = self._seen.get(key)
        if seen is None or len(seen) < len(sent_at):
            grown = np.zeros(len(sent_at), np.bool_)
            if seen is not None:
                grown[: len(seen)] = seen
            seen = self._seen[key] = grown
        self._duplicates += int(np.count_nonzero(seen[numbers]))
        seen[numbers] = True
        delays = times[rows] - sent_at[numbers]
        timed = ~np.isnan(delays)
        self._delays.append(delays[timed])
        if self._tracks[leg.track].pace.kind == "video":
            burst = self._tracks[leg.track].pace.burst
            self._frame_delays.append(delays[timed & (numbers % burst == burst - 1)])

    def _learn(self, seat: Seat, ssrc: int, row: int, sequence: int, leg: Leg | None) -> Leg | None:
        """Decrypt a packet to see which track it is of, and by how much its numbers are shifted."""
        data = self._arrivals.data[row, : self._arrivals.lengths[row]].tobytes()
        try:
            tag = read_tag(seat.endpoint.receiving.unprotect(data))
        except SrtpError:
            self.malformed += 1
            return leg
        if tag is None:
            return leg
        track, number = tag
        shift = (sequence - number) & 0xFFFF
        if leg is not None and (leg.track, leg.shift) == (track, shift):
            return leg
        made = seat.legs[ssrc] = Leg(track, shift, number, number)
        return made

    def _take_other(self, seat: Seat, row: int) -> None:
        data = self._arrivals.data[row, : self._arrivals.lengths[row]].tobytes()
        if not data:
            return
        if data[0] <= 3:
            seat.endpoint.take_stun(data)
            return
        if not 128 <= data[0] <= 191:
            return
        try:
            packets = RtcpPacket.parse(seat.endpoint.receiving.unprotect_rtcp(data))
        except (SrtpError, ValueError):
            self.malformed += 1
            return
        now = time.time()
        for packet in packets:
            if isinstance(packet, RtcpSrPacket) and packet.ssrc in seat.legs:
                seat.legs[packet.ssrc].sender_report = (packet.sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF, now)
            elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (1, 4):
                self.keyframe_requests += 1
                for track in seat.tracks:
                    track.keyframe_wanted = True
            elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == 1:
                self.nacks += 1

    def _housekeeping(self, now: float) -> None:
        for seat in list(self.seats):
            if now >= seat.next_report:
                seat.next_report = max(seat.next_report + REPORT_SECONDS, now)
                self._report(seat, now)
            if now >= seat.next_consent:
                seat.next_consent = max(seat.next_consent + CONSENT_SECONDS, now)
                with contextlib.suppress(OSError):
                    seat.endpoint.socket.send(seat.endpoint.check())

    def _report(self, seat: Seat, now: float) -> None:
        compound = b"".join(bytes(RtcpSrPacket(track.ssrc, RtcpSenderInfo(
            ntp_timestamp=int((now + 2208988800) * 2**32), rtp_timestamp=track.timestamp,
            packet_count=track.sent & 0xFFFFFFFF, octet_count=track.octets & 0xFFFFFFFF,
        ))) for track in seat.tracks if track.sent)
        blocks = [self._block(ssrc, leg, seat.pretended_loss, now) for ssrc, leg in seat.legs.items()]
        for at in range(0, len(blocks), 31):
            compound += bytes(RtcpRrPacket(ssrc=1, reports=blocks[at : at + 31]))
        if compound:
            with contextlib.suppress(OSError):
                seat.endpoint.socket.send(seat.endpoint.sending.protect_rtcp(compound))

    def _block(self, ssrc: int, leg: Leg, pretended: float, now: float) -> RtcpReceiverInfo:
        expected = leg.highest - leg.first + 1
        received = int(leg.received * (1 - pretended))
        lost = max(0, expected - received)
        since = expected - leg.reported[0]
        fraction = min(255, max(0, int(256 * (lost - leg.reported[1]) / since))) if since > 0 else 0
        leg.reported = (expected, lost)
        last, arrived = leg.sender_report
        return RtcpReceiverInfo(
            ssrc=ssrc, fraction_lost=fraction, packets_lost=lost, highest_sequence=leg.highest + leg.shift,
            jitter=0, lsr=last, dlsr=int((now - arrived) * 65536) & 0xFFFFFFFF if last else 0,
        )


def _joined(parts: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.zeros(0)
