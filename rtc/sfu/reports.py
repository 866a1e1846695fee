"""RTCP between the server and one peer: it ends here in both directions (RFC 3550, RFC 4585, RFC 5104)."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping

from rtc.bucket import TokenBucket
from rtc.repair import playout
from rtc.repair.copies import COPY_FROM_LOSS, CopiesController
from rtc.repair.redundancy import NONE, WINDOW_PACKETS
from rtc.wire import rtcp
from rtc.wire.errors import WireError
from rtc.wire.protection import PathReport, ProtectionRequest, read_application

from .counts import FeedbackCounts
from .downlink import Downlink
from .lines import Lines
from .requests import Requests
from .round_trip import RoundTrip
from .sender import Sender
from .sender_reports import SenderReports
from .slot import Slot
from .source import Source
from .uplink import Uplink

INTERVAL_SECONDS = 1.0
"""Between reports: RFC 3550's 5 s are for multicast; repair and lip-sync want fresher figures."""

LOSSY_INTERVAL_SECONDS = 0.25
"""The same on a path that needs protection: it changes with the path, and reports do not all arrive."""

CALM_INTERVAL_SECONDS = 5.0
"""The same to who only listens, has lost nothing lately and hears what it heard before: RFC 3550's, and that of
Chromium's own reports of audio. There is no picture to be in step with, and each report that comes from there measures
the round trip, however old the one of ours is that it answers."""

CALM_AFTER = 5
"""So many reports come at the usual pace first."""

EARLY_SECONDS = 0.5
"""Reports to who only listens go so much before their time when one of its own has come: what they are made of is in
the cache then, and they go with what leaves anyway. RFC 3550 6.3.1 varies the interval by half either way."""

LATE_SECONDS = 0.4
"""So much later than due they go by themselves, should the next of its own not come: else those whose reports always
come in the half second before ours may go early would never meet them."""

FIRST_SECONDS = 0.2
"""The first report comes early: it starts the measurement of the round trip, and lip-sync."""

MAX_LOSS_TOLD = {"audio": 0.09, "video": 0.0}
"""Share lost that a browser is told of at most. From 10 % on, libwebrtc's estimate of the bandwidth falls until it has
no room for what is NACKed: at 50 %, the half of it is not sent again. 9 % suffice for in-band FEC of audio; what the
path carries of video is judged here (`Uplink`)."""

MAX_ASKED = 256
"""Packets asked for in one NACK: even far apart from each other they fit into a datagram, at 4 bytes each."""

NUMBERS_PER_SECOND = 20_000.0
"""Packets that one peer's NACKs and feedback are looked up for: several times those of 20 Mbit/s with much loss. A
message of 24 bytes can speak of 4096, at half a microsecond each."""

BURST_SECONDS = 2.0
"""So much may come at once: a network that stood still delivers what it held."""

COMPOUND_COST = 8
"""Numbers that any compound packet counts for at least: 2,500 of them a second are 40 streams that lose a third."""

MALFORMED_COST = 4096
"""Numbers that one counts for that cannot be read: nobody knows how far the reader came."""

JUDGED_SECONDS = 2.0
"""What is lost for so long after a link was full says nothing of how long repairs take."""

PLAYOUT_STEP_SECONDS = 0.01
"""Unit of the playout-delay extension."""

MAX_BLOCKS = 31
"""Report blocks in one packet: its count has five bits."""


class Reports:
    """Reads a peer's RTCP, writes ours."""

    __slots__ = (
        "_allowance", "_begun", "_by_ssrc", "_calm_reports", "_cname", "_downlink", "_drops", "_intake", "_requests",
        "_round_trip", "_send", "_sender_reports", "_slots", "_told", "_uplink", "counters", "loss", "next",
        "path_loss", "ssrc",
    )

    def __init__(
        self, lines: Lines, sender: Sender, drops: Counter[str],
        *, uplink: Uplink, downlink: Downlink, cname: str, wall_offset: float,
        send: Callable[[bytes], None], look_after: Callable[[Source], None],
    ) -> None:
        self.ssrc = secrets.randbits(32)
        """Ours, in reports and feedback."""
        self._round_trip = RoundTrip(self.ssrc, wall_offset)
        self.counters = FeedbackCounts()
        self.loss = 0.0
        """Worst share lost on the way to this peer in its last reports, 0 to 1."""
        self.path_loss = 0.0
        """Worst share lost on the way to this peer or from it, 0 to 1."""
        self._intake = lines.intake
        self._uplink = uplink
        self._downlink = downlink
        self._slots: Mapping[str, Slot] = lines.slots
        self._by_ssrc: Mapping[int, Slot] = lines.by_ssrc
        self._drops = drops
        self._cname = cname
        self._sender_reports = SenderReports(cname, wall_offset)
        self._send = send
        self._requests = Requests(sender, drops, self.counters, downlink=downlink, look_after=look_after)
        self._begun = False
        self._calm_reports = 0
        """How many were sent since it was calm and something began on a slot."""
        self.next = 0.0
        """When the next periodic reports are due."""
        self._allowance = TokenBucket(NUMBERS_PER_SECOND, BURST_SECONDS * NUMBERS_PER_SECOND)
        """Numbers that are still looked up: else a peer could keep the whole server busy."""
        self._told: list[bytes] = []
        """What the publisher was last told of its path."""

    def end(self) -> None:
        """Send nothing any more."""
        self._send = _discard

    @property
    def rtt(self) -> float | None:
        """Round trip to the peer in seconds, None until measured."""
        return self._round_trip.seconds

    @property
    def is_calm(self) -> bool:
        """Whether nothing is to be done for this peer until `next`: it only listens, and has lost nothing lately."""
        if self._intake.sources:
            return False
        for slot in self._slots.values():  # noqa: SIM110  a generator would take three times as long
            if slot.kind != "audio" or not _is_clean(slot):
                return False
        return True

    def receive(self, data: memoryview, *, now: float) -> None:
        """Take a compound packet from the peer."""
        if not self._allowance.take(COMPOUND_COST, now=now):
            self._drops["rtcp-flood"] += 1
            return
        try:
            packets = rtcp.parse_compound(data)
        except WireError:
            self._drops["rtcp-malformed"] += 1
            self._allowance.charge(MALFORMED_COST, now=now)
            return
        by_ssrc = self._by_ssrc
        for packet in packets:
            if isinstance(packet, rtcp.ReceiverReport):
                self._report_blocks(packet.reports, now)
            elif isinstance(packet, rtcp.SenderReport):
                self._sender_report(packet, now)
                self._report_blocks(packet.reports, now)
            elif isinstance(packet, rtcp.ExtendedReport):
                self._round_trip.receive(packet, now=now)
            elif isinstance(packet, rtcp.Application):
                self._application(packet, now)
            elif isinstance(packet, rtcp.GenericNack):
                self._allowance.charge(len(packet.lost), now=now)
                self._requests.nack(packet, by_ssrc.get(packet.media_ssrc), rtt=self.rtt or 0.0, now=now)
            elif isinstance(packet, rtcp.TransportFeedback):
                self._allowance.charge(len(packet.received), now=now)
                self._drops["feedback-unknown-packet"] += self._downlink.feedback(packet, now=now)
            elif isinstance(packet, rtcp.ReceiverEstimate):
                self._downlink.remb = packet.bitrate
            elif isinstance(packet, rtcp.PictureLossIndication):
                self.counters.plis_in += 1
                self._requests.want_keyframe(by_ssrc.get(packet.media_ssrc), now=now)
            elif isinstance(packet, rtcp.FullIntraRequest):
                self.counters.firs_in += 1
                for ssrc, _ in packet.entries:
                    self._requests.want_keyframe(by_ssrc.get(ssrc), now=now)

    def repair(self, source: Source, *, forwarded: bool, now: float) -> bool:
        """Ask for what `source` misses now; False when it misses nothing.

        Key frames are for listeners: none is asked for while the source is not `forwarded`.
        """
        if source.ssrc is None:
            return False
        missing = source.missing(now=now, rtt=self.rtt)
        for at in range(0, len(missing), MAX_ASKED):
            for _ in range(source.protection.protection.copies):
                self._ask(rtcp.GenericNack(self.ssrc, source.ssrc, tuple(missing[at : at + MAX_ASKED])))
            self.counters.nacks_out += 1
        if forwarded and source.wants_keyframe(now=now, rtt=self.rtt):
            self._ask(rtcp.PictureLossIndication(self.ssrc, source.ssrc))
            self.counters.plis_out += 1
        return bool(len(source.nack)) or (forwarded and (source.keyframes.pending or source.needs_start))

    def tick(self, now: float) -> None:
        """Send the periodic reports, and what the publisher is to know of its path, when they are due."""
        sources = self._intake.sources.values()
        if sources:
            video = [s for s in sources if s.kind == "video" and s.ssrc is not None]
            told = self._uplink.due(self.ssrc, video, now=now)
            if told:
                # Each by itself: of several messages of transport-wide feedback in one packet browsers read the last.
                before, self._told = self._told, [rtcp.serialize([rtcp.ReceiverReport(self.ssrc), one]) for one in told]
                if any(source.loss >= COPY_FROM_LOSS for source in video):
                    # Once more, since a browser stops sending when it hears nothing of what it has sent for long.
                    for compound in before:
                        self._send(compound)
                for compound in self._told:
                    self._send(compound)
        slots = self._slots.values()
        begun = [slot for slot in slots if slot.begun]
        if begun:
            # What a slot carries now has another clock: until its report comes, sound and picture may be apart.
            self._calm_reports = 0
            self.next = min(self.next, now + INTERVAL_SECONDS)
            for slot in begun:
                slot.begun = False
            for compound in self._sender_reports.compounds(begun, now=now):
                self._send(compound)
        if not self._begun:
            self._begun = True
            self.next = now + FIRST_SECONDS
        if now >= self.next or (self.next > now + INTERVAL_SECONDS and not self.is_calm):
            self._send_all(now, calm=self.is_calm)

    @property
    def latest(self) -> float:
        """When the next periodic reports go by themselves while the peer is calm, if none of its own come."""
        return self.next + LATE_SECONDS if self._calm_reports else self.next

    def send_early(self, now: float) -> bool:
        """Send the periodic reports if they are nearly due, while the peer is calm; True if they were sent."""
        if now < self.next - EARLY_SECONDS:
            return False
        self._send_all(now, calm=True)
        return True

    def _send_all(self, now: float, *, calm: bool) -> None:
        interval, copies = self._pace(calm=calm)
        due = self.next + interval  # of those that went early too, so that there are no more of them
        self.next = due if due > now + interval / 2 else now + interval
        for compound in self._compounds(now):
            for _ in range(copies):
                self._send(compound)

    def _pace(self, *, calm: bool) -> tuple[float, int]:
        """Seconds until the next periodic reports, and how often to send these."""
        if calm:
            self._calm_reports += 1
            return CALM_INTERVAL_SECONDS if self._calm_reports > CALM_AFTER else INTERVAL_SECONDS, 1
        self._calm_reports = 0
        interval, copies = INTERVAL_SECONDS, 1
        protections = [slot.protection for slot in self._slots.values() if slot.protection is not NONE]
        protections += [source.protection.protection for source in self._intake.sources.values()]
        for protection in protections:
            if protection != NONE:
                interval, copies = LOSSY_INTERVAL_SECONDS, max(copies, protection.copies)
        return interval, copies

    def _ask(self, feedback: rtcp.RtcpPacket) -> None:
        self._send(rtcp.serialize([rtcp.ReceiverReport(self.ssrc), feedback]))

    def _compounds(self, now: float) -> list[bytes]:
        sender_reports = self._sender_reports.compounds(self._slots.values(), now=now)
        # An empty receiver report adds nothing to sender reports.
        if self._intake.sources or self._round_trip.owes_answer or not sender_reports:
            first = self._receiver_report(now)
            if len(first) > 2 or not sender_reports:
                return [rtcp.serialize(first), *sender_reports]
        return sender_reports

    def _receiver_report(self, now: float) -> list[rtcp.RtcpPacket]:
        """What arrives here, what is asked for, and times for the round trip."""
        told = now + self._round_trip.untold
        received = [
            s.reception.report(now=told, ceiling=1.0 if s.copies else MAX_LOSS_TOLD[s.kind])
            for s in self._intake.sources.values()
            if s.reception is not None
        ]
        blocks = tuple(block for block in received if block is not None)[: MAX_BLOCKS]
        first: list[rtcp.RtcpPacket] = [
            rtcp.ReceiverReport(self.ssrc, blocks),
            rtcp.SourceDescription(((self.ssrc, self._cname),)),
        ]
        first += [
            ProtectionRequest(source.ssrc, wanted.depth, wanted.copies).to_rtcp(self.ssrc)
            for source in self._intake.sources.values()
            if source.ssrc is not None and source.kind == "audio" and source.copies
            for wanted in [source.protection.protection]
        ]
        if blocks or self._round_trip.owes_answer:
            first.append(self._round_trip.report(now=now))
        return first

    def _sender_report(self, packet: rtcp.SenderReport, now: float) -> None:
        source = self._intake.by_ssrc(packet.ssrc)
        if source is None:
            return
        if source.reception is not None:
            source.reception.sender_report(packet.ntp, now=now)
        source.clock.sender_report(rtcp.seconds_from_ntp(packet.ntp), packet.rtp_timestamp, now=now)

    def _report_blocks(self, blocks: tuple[rtcp.ReportBlock, ...], now: float) -> None:
        losses = []
        for block in blocks:
            slot = self._by_ssrc.get(block.ssrc)
            if slot is None:
                continue
            path, source = slot.path, slot.source
            if slot.holes is None:
                losses.append(block.fraction_lost / 256)
            if source is None:
                pass
            elif slot.kind == "video":
                never_sent = slot.never_sent - source.fanout.late_packets
                share = path.reported(block, now=now, never_sent=never_sent)
                if slot.holes is not None and share is not None:
                    losses.append(share)  # numbers that were left out are none
            elif not path.tells:
                ours = source.fanout.out_of_turn(WINDOW_PACKETS)
                if path.reported(block, now=now, never_sent=slot.never_sent, out_of_turn=ours) is not None:
                    self._protect(slot, now)
            if block.last_sender_report:
                self._round_trip.answered(block.last_sender_report, block.delay_since_last_sender_report, now=now)
        if losses:
            self.loss = max(losses)

    def _application(self, packet: rtcp.Application, now: float) -> None:
        try:
            message = read_application(packet)
        except WireError:
            self._drops["rtcp-malformed"] += 1
            return
        if isinstance(message, PathReport) and message.media_ssrc in self._by_ssrc:
            slot = self._by_ssrc[message.media_ssrc]
            if slot.kind == "audio" and slot.source is not None:
                ours = slot.source.fanout.out_of_turn(WINDOW_PACKETS)
                slot.path.told(message.loss, message.burst, never_sent=ours)
                self._protect(slot, now)

    def hurry(self) -> None:
        """Send the next reports at once: they tell of a change."""
        self.next = 0.0

    def relax(self) -> None:
        """The same while it is calm: what was done against loss is over, and there is nothing else to judge."""
        if self.path_loss:
            self.path_loss = 0.0
            self._round_trip.judge(0.0)

    def judge(self, now: float) -> None:
        """Give each slot the redundancy that the path to this peer needs."""
        self._downlink.judge_copies(now=now)
        for slot in self._slots.values():
            if slot.kind == "video":
                self._requests.see_to_holes(slot, now=now)
                self._protect_video(slot, now)
            elif not slot.path.tells and not _is_clean(slot):
                self._protect(slot, now)
        losses = [source.loss for source in self._intake.sources.values()]
        losses += [self._copies_of(slot).path_loss for slot in self._slots.values()]
        loss = max([self.loss, *losses])
        # Our own client takes reports for what they are.
        self._round_trip.judge(0.0 if self._intake.copies else loss)
        heard = [source.protection.loss for source in self._intake.sources.values()]
        self.path_loss = max([loss, *heard, *(slot.controller.loss for slot in self._slots.values())])

    def judge_uplink(self, source: Source, now: float) -> None:
        """Note how lossy the path of a source of video is, and how late its repairs are."""
        if self._uplink.estimator.is_crowded(now=now, within=JUDGED_SECONDS):
            return
        source.loss = source.meter.level()
        trip = self._round_trip
        source.repair_seconds = playout.uplink_seconds(source.loss, trip.assumed, answers=trip.tries)

    def _protect_video(self, slot: Slot, now: float) -> None:
        if slot.source is None or slot.leg is None:
            return
        copies = self._copies_of(slot)
        # NACKs tell nothing of the path here, since they do not wait for the second copy.
        if copies is slot.copies and copies.reported(slot.path.loss_after_copies, now=now):
            slot.path.expect(copies.path_loss**copies.protection.copies)
        if slot.protection != copies.protection:
            slot.source.fanout.protect(slot, copies.protection)
        trip = self._round_trip
        downlink = playout.downlink_seconds(
            copies.path_loss, trip.assumed, copies=slot.protection.copies, requests=trip.tries
        )
        if slot.playout.update(slot.source.repair_seconds, downlink, now=now):
            slot.source.fanout.delay_playout(slot, round(slot.playout.seconds / PLAYOUT_STEP_SECONDS))

    def _copies_of(self, slot: Slot) -> CopiesController:
        """Feedback on each packet tells of the path sooner and better than reports on a stream."""
        return self._downlink.copies if slot.kind == "video" and self._downlink.knows else slot.copies

    def _protect(self, slot: Slot, now: float) -> None:
        leg = slot.leg
        if slot.source is None or leg is None:
            return
        loss = slot.path.loss(leg.outgoing(slot.source.fanout.highest))
        loss = min(loss, self._downlink.most_by_chance(slot.protection.copies, now=now))
        slot.controller.frames = slot.source.frames
        if slot.controller.reported(loss, slot.path.burst, now=now):
            slot.source.fanout.protect(slot, slot.controller.protection)


def _is_clean(slot: Slot) -> bool:
    """Whether nothing of this slot was lost lately, so that nothing changes until a report says otherwise."""
    return slot.path.is_clean and slot.controller.is_clean


def _discard(compound: bytes) -> None:
    """The peer has left."""
