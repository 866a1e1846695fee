"""All listeners of a source: who has started, what each receives of it and under which numbers."""

from __future__ import annotations

from rtc.repair.clock import StreamClock
from rtc.repair.history import History
from rtc.repair.redundancy import Protection
from rtc.wire.dependency_descriptor import DependencyDescriptor
from rtc.wire.layering import Layering, decodable
from rtc.wire.level import EVERYTHING, Level

from .delivery import Delivery
from .description import continue_with, latest
from .leg import Leg, Segment
from .packet import SourcePacket
from .sender import Sender
from .slot import Slot
from .thinning import Thinning

OPUS_SILENCE = b"\xf8\xff\xfe"
"""20 ms of silence (RFC 6716 3.1: CELT, full band, one frame)."""

OPUS_FRAME = 960
"""Ticks of the RTP clock in 20 ms."""

SILENT_FRAMES = 3
"""What a jitter buffer conceals with is the last 60 ms that it played, at most."""

MAX_UNDER_WAY = 2.0
"""Seconds that a packet may have been under way at most to be placed in time by what its publisher reports."""

MORE_OF_FIRST = 2
"""How often the packet is sent beforehand with which a receiver leaps."""

MAX_AHEAD = 0.1
"""Seconds that it may seem to come before it was sampled: clocks drift."""


class Fanout:
    """All listeners of one source.

    A slot that is attached waits until the source offers a packet to start with (`starts`), becomes a leg, and gets
    every packet from there on with the same shift of sequence number and timestamp until it is detached.
    """

    __slots__ = (
        "_codec", "_delivery", "_history", "_irregular", "_last_descriptor", "_last_time", "_last_timestamp",
        "_latest_first", "_legs", "_out_of_turn", "_stepping", "_thinnings", "clock", "highest", "last_key",
        "late_packets", "octets", "packets", "waiting",
    )

    def __init__(self, clock: StreamClock, history: History[SourcePacket]) -> None:
        self.clock = clock
        self.waiting: dict[Slot, None] = {}
        self.packets = 0
        """Packets forwarded since the start, each counted once."""
        self.octets = 0
        self.late_packets = 0
        """Those beside them that were lost at first."""
        self._legs: dict[Slot, Leg] = {}
        self._delivery = Delivery(self._legs, history)
        self._codec = ""
        self._latest_first = 0
        self.highest = 0
        """Number of the newest packet forwarded to the present legs; 0 before there are any."""
        self.last_key = 0
        """Number of the packet with which the newest key frame began, or a layer of it; where its codec tells."""
        self._history = history
        self._irregular = 0
        """Newest number that did not follow the one before it, or came late."""
        self._out_of_turn: tuple[tuple[int, int, int], float] = (0, 0, 0), 0.0
        """What was last looked at and found by the method of this name."""
        self._thinnings: dict[Level, Thinning] = {}
        self._stepping: list[Leg] = []
        self._last_descriptor: DependencyDescriptor | None = None
        self._last_timestamp = 0
        self._last_time = 0.0

    def __len__(self) -> int:
        return len(self._legs) + len(self.waiting)

    @property
    def has_newcomers(self) -> bool:
        """Whether somebody waits who sees nothing yet and could start with the next fitting packet."""
        return bool(self.waiting) and any(
            slot.outlet.open
            and (slot.upcoming is None or slot.upcoming.fanout is not self)
            and (not self._codec or slot.payload_type(self._codec) is not None)
            for slot in self.waiting
        )

    @property
    def codec(self) -> str:
        """`codec_key` of what is forwarded now, empty before the first packet."""
        return self._codec

    def leg(self, slot: Slot) -> Leg | None:
        """The leg of a slot that has started."""
        return self._legs.get(slot)

    def be_patient(self, patient: bool) -> None:
        """Whether packets may wait for long where a path is narrow."""
        self._delivery.be_patient(patient)

    def attach(self, slot: Slot) -> None:
        """Let `slot` listen, from the next packet that one can start with."""
        if slot not in self._legs:
            self.waiting[slot] = None

    def detach(self, slot: Slot) -> None:
        """Take `slot` off; it remembers where it was."""
        self.waiting.pop(slot, None)
        self._stop(slot)

    def aim(self, slot: Slot, target: Level) -> None:
        """Send to `slot` up to these layers, from the next picture on at which its decoder can follow."""
        leg = self._legs.get(slot)
        if leg is None:
            return
        leg.target = target = decodable(self._codec, target, described=leg.moved is not None)
        if leg.level != target and leg not in self._stepping:
            self._stepping.append(leg)

    def suspend(self) -> None:
        """All legs wait for a new start: the source was muted, or its numbering leapt."""
        for slot in list(self._legs):
            self.suspend_one(slot)
        # The silence of `hush` has numbers that the source will use itself.
        self.highest = 0
        self._delivery.restart()

    def hush(self, sender: Sender, *, now: float) -> None:
        """End on silence, to be called before the source stops: else listeners conceal the gap with its last sound."""
        if self._codec != "opus" or not self._legs:
            return
        for _ in range(SILENT_FRAMES):
            timestamp = (self._last_timestamp + OPUS_FRAME) & 0xFFFFFFFF
            packet = SourcePacket(self.highest + 1, timestamp, False, self._codec, OPUS_SILENCE, ())
            self.forward(packet, sender, starts=False, now=now)

    def suspend_one(self, slot: Slot) -> None:
        """This slot waits for a new start: its listener has a new path."""
        if slot in self._legs:
            self._stop(slot)
            self.waiting[slot] = None

    def forward(self, packet: SourcePacket, sender: Sender, *, starts: bool, now: float) -> None:
        """Send the newest packet of the source to all legs; when it `starts`, to those who wait as well.

        It is in the outbox once the sender has settled.
        """
        if packet.codec != self._codec:
            self.suspend()
            self._codec = packet.codec
        leapt = self._leap(packet, now) if starts and self._codec != "opus" else []
        if starts and self.waiting:
            leapt += self._start(packet, now)
        for thinning in self._thinnings.values():
            thinning.take(packet)
        if self._stepping and packet.layering is not None:
            self._step(packet, packet.layering)
        if packet.sequence != self.highest + 1:
            self._irregular = packet.sequence
        self.highest = packet.sequence
        self._last_timestamp = packet.timestamp
        self._last_time = now
        if packet.layering is not None and packet.layering.key:
            self.last_key = packet.sequence
        if packet.descriptor is not None:
            self._last_descriptor = latest(packet.descriptor, self._last_descriptor)
        self.packets += 1
        self.octets += len(packet.payload)
        if leapt:
            self._delivery.keep_turn(now=now)
        for leg in leapt:
            # Should what comes behind it be the first to arrive, a buffer that leaps there takes this no more.
            for _ in range(MORE_OF_FIRST):
                self._delivery.resend(leg, packet, sender, now=now, copied=False)
        # A packet of audio is a frame of its own, those of a frame of video come together.
        send = self._delivery.send if self._codec == "opus" else self._delivery.put_off
        send(packet, sender, now=now)

    def forward_late(self, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        """Send a packet that was lost and came by repair, to the legs that had started before it.

        It goes without redundancy whatever the leg has: what precedes it was sent long ago.
        """
        if packet.codec != self._codec:
            return
        self._irregular = max(self._irregular, packet.sequence)
        self.late_packets += 1
        self._delivery.send_late(packet, sender, latest_first=self._latest_first, now=now)

    def _step(self, packet: SourcePacket, layering: Layering) -> None:
        """Take legs that are to receive other layers as far as their decoders can follow at this packet."""
        for leg in list(self._stepping):
            level = layering.step(leg.level, leg.target)
            if level == leg.level:
                continue
            thinning = None
            if level != EVERYTHING:
                thinning = self._thinnings.get(level)
                if thinning is None:
                    thinning = self._thinnings[level] = Thinning(level)
                    thinning.take(packet)
            before = leg.segment.thinning
            if before is not None:
                leg.base_packets += before.packets - leg.base_left_out[0]
                leg.base_octets += before.octets - leg.base_left_out[1]
            leg.base_left_out = (0, 0) if thinning is None else (thinning.packets, thinning.octets)
            leg.change_level(packet.sequence, thinning)
            self._latest_first = packet.sequence
            self._change()
            if level == leg.target:
                self._stepping.remove(leg)

    def source_sequence(self, leg: Leg, sequence_number: int) -> int:
        """The source's number of what went out on a leg as this 16-bit number; -1 when that is forgotten."""
        newest = leg.outgoing(self.highest)
        return leg.incoming(newest + ((sequence_number - newest + 0x8000) & 0xFFFF) - 0x8000)

    def protect(self, slot: Slot, protection: Protection) -> None:
        """From the next packet on, send to `slot` with this redundancy and this many copies."""
        slot.protection = protection
        leg = self._legs.get(slot)
        if leg is not None:
            leg.change_depth(self.highest + 1, slot.depth)
            self._change()

    def delay_playout(self, slot: Slot, steps: int) -> None:
        """From the next packet on, ask this receiver to play so many steps of 10 ms after a packet without delay."""
        slot.playout_delay = steps
        self._change()

    def give_up(self) -> bool:
        """What is missing will not come: whoever waits for it has to leap. False if nobody does."""
        waiting = [slot.holes for slot in self._legs if slot.holes is not None]
        for holes in waiting:
            holes.given_up = True
        return bool(waiting)

    def show_gaps(self, slot: Slot, shows: bool) -> None:
        """From now on, send to `slot` a packet out of turn now and then, or no more."""
        if slot.shows_gaps != shows:
            slot.shows_gaps = shows
            self._change()

    def was_withheld(self, sequence: int) -> bool:
        """Whether a packet was sent out of turn so that receivers speak."""
        return sequence in self._delivery.withheld

    def resend(self, leg: Leg, packet: SourcePacket, sender: Sender, *, now: float, copied: bool = True) -> int:
        """Send one packet again to one leg, `copied` as often as its others; the bytes that takes on the wire."""
        if packet.codec != self._codec:
            return 0
        return self._delivery.resend(leg, packet, sender, now=now, copied=copied)

    def was_late(self, sequence: int) -> bool:
        """Whether a packet came out of order, so that listeners may miss it who have lost nothing."""
        return sequence in self._delivery.late

    def out_of_turn(self, packets: int) -> float:
        """Share of the last so many numbers that were forwarded late or never: to a listener they are lost, too."""
        if self._irregular <= self.highest - packets:
            return 0.0
        looked_at = self.highest, self.late_packets, packets
        if self._out_of_turn[0] != looked_at:  # else another listener's report came since the last packet
            late, history = self._delivery.late, self._history
            numbers = range(self.highest - packets + 1, self.highest + 1)
            share = sum(number in late or number not in history for number in numbers) / packets
            self._out_of_turn = looked_at, share
        return self._out_of_turn[1]

    def sent(self, leg: Leg) -> tuple[int, int]:
        """Packets and payload octets sent on a slot since its start, this leg included."""
        slot, thinning = leg.slot, leg.segments[-1].thinning
        packets, octets = self.packets - leg.base_packets, self.octets - leg.base_octets
        if thinning is not None:
            packets -= thinning.packets - leg.base_left_out[0]
            octets -= thinning.octets - leg.base_left_out[1]
        return slot.packets + packets, slot.octets + octets

    def _leap(self, packet: SourcePacket, now: float) -> list[Leg]:
        """With this key frame, give much higher numbers to those whose receivers wait in vain; returns these legs."""
        leapt = [leg for leg in self._legs.values() if leg.leap(packet.sequence, now=now)]
        if leapt:
            self._latest_first = packet.sequence
            self._change()
        return leapt

    def _start(self, packet: SourcePacket, now: float) -> list[Leg]:
        """Make legs of those who wait; returns those of them that leap."""
        leapt = []
        for slot in list(self.waiting):
            payload_type = slot.payload_type(packet.codec)
            if payload_type is None or not slot.outlet.open:
                continue
            del self.waiting[slot]
            slot.start_on(self)
            slot.begun = True
            slot.outlet.hurry()
            timestamp = slot.last_timestamp
            if slot.last_time is not None:
                passed = self._sampled(packet.timestamp, now) - slot.last_time
                timestamp += max(1, round(passed * self.clock.rate))
            moved, said = None, packet.descriptor
            if said is not None and said.begins and slot.takes_descriptors and payload_type in slot.rtx_payload_types:
                moved = continue_with(said, slot.last_described)
            if slot.holes is not None and slot.last_time is None:
                slot.holes.starts(slot.last_sequence + 1)
            first = slot.leap(slot.last_sequence + 1, now=now)
            leg = self._legs[slot] = Leg(
                slot=slot,
                first=packet.sequence,
                timestamp_delta=(timestamp - packet.timestamp) & 0xFFFFFFFF,
                payload_type=payload_type,
                target=decodable(packet.codec, slot.target, described=moved is not None),
                segments=[Segment(packet.sequence, first, first - packet.sequence, None)],
                depths=[(packet.sequence, slot.depth)],
                base_packets=self.packets,
                base_octets=self.octets,
                moved=moved,
            )
            if first != slot.last_sequence + 1:
                leapt.append(leg)
            if leg.target != EVERYTHING:
                self._stepping.append(leg)
            self._latest_first = packet.sequence
            self._change()
        return leapt

    def _change(self) -> None:
        """Legs have come or gone, or receive something else from here on."""
        self._delivery.change()
        if self._thinnings:
            in_use = [leg.segment.thinning for leg in self._legs.values()]
            self._thinnings = {thinning.level: thinning for thinning in in_use if thinning is not None}

    def _sampled(self, timestamp: int, arrived: float) -> float:
        """When of ours a packet was sampled; near its arrival, whatever its publisher's reports say."""
        moment = self.clock.moment_of(timestamp)
        return arrived if moment is None or not -MAX_UNDER_WAY <= moment - arrived <= MAX_AHEAD else moment

    def _stop(self, slot: Slot) -> None:
        leg = self._legs.pop(slot, None)
        if leg is None:
            return
        if leg in self._stepping:
            self._stepping.remove(leg)
        slot.packets, slot.octets = self.sent(leg)
        slot.last_sequence = leg.last_outgoing(self.highest)
        if leg.moved is not None and self._last_descriptor is not None:
            slot.last_described = leg.moved.apply(self._last_descriptor)
        slot.last_timestamp = leg.outgoing_timestamp(self._last_timestamp)
        slot.last_time = self._sampled(self._last_timestamp, self._last_time)
        self._change()

