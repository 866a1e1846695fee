"""One packet of a source to all its listeners: transformed once, addressed to each with numpy, protected in place."""

from __future__ import annotations

from struct import Struct

import numpy as np

from rtc.repair.clock import StreamClock
from rtc.repair.history import History
from rtc.repair.redundancy import Protection
from rtc.transport.batch import OUTBOX_ROWS
from rtc.transport.srtp import MAX_PLAINTEXT, protect_equal
from rtc.wire.extensions import TRANSPORT_CC
from rtc.wire.layering import EVERYTHING, Layering, Level, decodable, rewrite
from rtc.wire.rtp import FIXED_HEADER_LENGTH

from .group import Group, Layout
from .packet import CARRIED, SourcePacket
from .red import SENT_PACKETS, Redundancy, Variant
from .sender import Sender
from .slot import Leg, OwnExtensions, Segment, Slot
from .thinning import Thinning

SCALAR_LEGS = 16
"""Below this many legs a loop is faster than numpy: 0.2 µs a leg against 3.5 µs a packet, whatever the number."""

MAX_GROUP = OUTBOX_ROWS
"""Legs written in one go."""

OPUS_SILENCE = b"\xf8\xff\xfe"
"""20 ms of silence (RFC 6716 3.1: CELT, full band, one frame)."""

OPUS_FRAME = 960
"""Ticks of the RTP clock in 20 ms."""

SILENT_FRAMES = 3
"""What a jitter buffer conceals with is the last 60 ms that it played, at most."""

MAX_UNDER_WAY = 2.0
"""Seconds that a packet may have been under way at most to be placed in time by what its publisher reports."""

MAX_AHEAD = 0.1
"""Seconds that it may seem to come before it was sampled: clocks drift."""

_HEADER = Struct("!BBHII")


class Fanout:
    """All listeners of one source.

    A slot that is attached waits until the source offers a packet to start with (`starts`), becomes a leg, and gets
    every packet from there on with the same shift of sequence number and timestamp until it is detached.
    """

    def __init__(self, clock: StreamClock, history: History[SourcePacket]) -> None:
        self.clock = clock
        self.waiting: dict[Slot, None] = {}
        self.packets = 0
        """Packets forwarded since the start, each counted once."""
        self.octets = 0
        self.late_packets = 0
        """Those beside them that were lost at first."""
        self._legs: dict[Slot, Leg] = {}
        self._groups: list[Group] | None = []
        self._codec = ""
        self._latest_first = 0
        self.highest = 0
        """Number of the newest packet forwarded to the present legs; 0 before there are any."""
        self._history = history
        self._variants: dict[Variant, Redundancy] = {}
        self._late: History[bool] = History(SENT_PACKETS)
        self._irregular = 0
        """Newest number that did not follow the one before it, or came late."""
        self._thinnings: dict[Level, Thinning] = {}
        self._stepping: list[Leg] = []
        self._last_layering: Layering | None = None
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
        leg.target = target = decodable(self._codec, target)
        if leg.level != target and leg not in self._stepping:
            self._stepping.append(leg)

    def suspend(self) -> None:
        """All legs wait for a new start: the source was muted, or its numbering leapt."""
        for slot in list(self._legs):
            self.suspend_one(slot)
        # The silence of `hush` has numbers that the source will use itself.
        self.highest = 0
        self._variants = {}

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
        """Send the newest packet of the source to all legs; when it `starts`, to those who wait as well."""
        if packet.codec != self._codec:
            self.suspend()
            self._codec = packet.codec
        if starts and self.waiting:
            self._start(packet, now)
        for thinning in self._thinnings.values():
            thinning.take(packet)
        if self._stepping and packet.layering is not None:
            self._step(packet, packet.layering)
        if packet.sequence != self.highest + 1:
            self._irregular = packet.sequence
        self.highest = packet.sequence
        self._last_timestamp = packet.timestamp
        self._last_time = now
        self._last_layering = packet.layering
        self.packets += 1
        self.octets += len(packet.payload)
        if self._groups is None:
            self._regroup()
        for group in self._groups or ():
            if group.thinning is None or group.thinning.keeps(packet.sequence):
                self._write_all(group, packet, sender, now=now)

    def forward_late(self, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        """Send a packet that was lost and came by repair, to the legs that had started before it.

        It goes without redundancy whatever the leg has: what precedes it was sent long ago.
        """
        if packet.codec != self._codec:
            return
        if self._groups is None:
            self._regroup()
        self._late.put(packet.sequence, True)
        self._irregular = max(self._irregular, packet.sequence)
        self.late_packets += 1
        for group in self._groups or ():
            thinning = group.thinning
            plain = thinning is None or (thinning.has_number(packet.sequence) and not thinning.leaves_out(packet))
            if plain and packet.sequence >= self._latest_first:
                self._write_all(group, packet, sender, now=now)
            else:
                legs = [leg for leg in group.legs if packet.sequence >= leg.first]
                self._write_each(group, legs, packet, sender, now=now)

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
            self._groups = None
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
            self._groups = None

    def delay_playout(self, slot: Slot, steps: int) -> None:
        """From the next packet on, ask this receiver to play so many steps of 10 ms after a packet without delay."""
        slot.playout_delay = steps
        self._groups = None

    def resend(self, leg: Leg, packet: SourcePacket, sender: Sender, *, now: float, copied: bool = True) -> None:
        """Send one packet again to one leg: as RTX where agreed (RFC 4588), else as it was; `copied` as its others."""
        slot = leg.slot
        if self._groups is None:
            self._regroup()
        group = next((group for group in self._groups or () if leg in group.legs), None)
        if group is None or packet.codec != self._codec:
            return
        rtx = slot.rtx_payload_types.get(leg.payload_type)
        if rtx is None:
            self._resend_same(group, leg, packet, sender, now)
            return
        form = self._form(leg, packet, packet.payload)
        if form is None:
            return
        original, payload, marker = form
        slot.rtx_sequence += 1
        self._write(
            group, leg, packet, sender,
            payload_type=rtx, ssrc=slot.rtx_ssrc, sequence=slot.rtx_sequence,
            payload=(original & 0xFFFF).to_bytes(2, "big") + payload, marker=marker, now=now, copied=copied,
        )

    def _resend_same(self, group: Group, leg: Leg, packet: SourcePacket, sender: Sender, now: float) -> None:
        """Repeat a packet to the bit, as the cipher demands of one SSRC and number (RFC 3711 9.1)."""
        depth = 0 if packet.sequence in self._late else leg.depth_at(packet.sequence)
        payload_type, payload = leg.payload_type, packet.payload
        if depth != 0:
            variant = self._variants.get((depth, leg.payload_type)) if depth is not None else None
            sent = None if variant is None else variant.sent.get(packet.sequence)
            red = leg.slot.red_payload_type
            if sent is None or red is None:
                return
            payload_type, payload = red, sent
        form = self._form(leg, packet, payload)
        if form is not None:
            sequence, payload, marker = form
            self._write(
                group, leg, packet, sender,
                payload_type=payload_type, ssrc=leg.slot.ssrc, sequence=sequence, payload=payload, marker=marker,
                now=now,
            )

    def _form(self, leg: Leg, packet: SourcePacket, payload: bytes) -> tuple[int, bytes, bool] | None:
        """Number, payload and marker of a packet on a leg, always the same; None when it does not go there.

        Empty is what fills a number that was kept free for it while nobody knew that it is above the leg's level.
        """
        segment = leg.at(packet.sequence)
        if segment is None:
            return None
        thinning = segment.thinning
        shift, pictures, marker = 0, 0, packet.marker
        if thinning is not None:
            marker = thinning.marks(packet)
            if not thinning.has_number(packet.sequence):
                return None
            shift, pictures = thinning.before(packet.sequence)
            if thinning.leaves_out(packet):
                return packet.sequence + segment.sequence_delta - shift, b"", marker
        if packet.layering is not None and (segment.picture_delta or leg.tl0_delta or pictures):
            payload = rewrite(
                payload, packet.layering, pictures=segment.picture_delta - pictures, tl0=leg.tl0_delta
            )
        return packet.sequence + segment.sequence_delta - shift, payload, marker

    def was_late(self, sequence: int) -> bool:
        """Whether a packet came out of order, so that listeners may miss it who have lost nothing."""
        return sequence in self._late

    def out_of_turn(self, packets: int) -> float:
        """Share of the last so many numbers that were forwarded late or never: to a listener they are lost, too."""
        if self._irregular <= self.highest - packets:
            return 0.0
        numbers = range(self.highest - packets + 1, self.highest + 1)
        return sum(number in self._late or number not in self._history for number in numbers) / packets

    def outgoing_timestamp(self, leg: Leg, timestamp: int) -> int:
        """A timestamp of the source as this leg's listener sees it."""
        return (timestamp + leg.timestamp_delta) & 0xFFFFFFFF

    def sent(self, leg: Leg) -> tuple[int, int]:
        """Packets and payload octets sent on a slot since its start, this leg included."""
        slot, thinning = leg.slot, leg.segment.thinning
        packets, octets = self.packets - leg.base_packets, self.octets - leg.base_octets
        if thinning is not None:
            packets -= thinning.packets - leg.base_left_out[0]
            octets -= thinning.octets - leg.base_left_out[1]
        return slot.packets + packets, slot.octets + octets

    def _start(self, packet: SourcePacket, now: float) -> None:
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
            picture_delta = tl0_delta = 0
            if slot.last_picture is not None and packet.layering is not None:
                picture_delta = slot.last_picture[0] + 1 - packet.layering.picture_id
                tl0_delta = slot.last_picture[1] + 1 - packet.layering.tl0picidx
            first = slot.last_sequence + 1
            leg = self._legs[slot] = Leg(
                slot=slot,
                first=packet.sequence,
                timestamp_delta=(timestamp - packet.timestamp) & 0xFFFFFFFF,
                tl0_delta=tl0_delta,
                payload_type=payload_type,
                target=decodable(packet.codec, slot.target),
                segments=[Segment(packet.sequence, first, first - packet.sequence, picture_delta, None)],
                depths=[(packet.sequence, slot.depth)],
                base_packets=self.packets,
                base_octets=self.octets,
            )
            if leg.target != EVERYTHING:
                self._stepping.append(leg)
            self._latest_first = packet.sequence
            self._groups = None

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
        layering, thinning = self._last_layering, leg.segment.thinning
        if layering is not None and layering.picture_id_bits:
            left_out = 0 if thinning is None else thinning.pictures
            picture_id = layering.picture_id + leg.segment.picture_delta - left_out
            slot.last_picture = (picture_id, layering.tl0picidx + leg.tl0_delta)
        slot.last_timestamp = self.outgoing_timestamp(leg, self._last_timestamp)
        slot.last_time = self._sampled(self._last_timestamp, self._last_time)
        self._groups = None

    def _regroup(self) -> None:
        by_treatment: dict[tuple[Layout, OwnExtensions, Variant, Protection, Level], list[Leg]] = {}
        for leg in self._legs.values():
            if not leg.slot.outlet.open:
                continue
            agreed = leg.slot.extensions
            numbers = (TRANSPORT_CC,) if leg.slot.is_numbered(leg.payload_type) else ()
            layout = tuple((uri, agreed[uri]) for uri in (*numbers, *CARRIED) if uri in agreed)
            depth = leg.slot.depth
            variant = (depth, leg.payload_type if depth else 0)
            treatment = layout, leg.own_extensions, variant, leg.slot.protection, leg.level
            by_treatment.setdefault(treatment, []).append(leg)
        self._groups = [
            Group(layout, legs[at : at + MAX_GROUP], self._redundancy(variant), legs[0].segment.thinning)
            for (layout, _, variant, _, _), legs in by_treatment.items()
            for at in range(0, len(legs), MAX_GROUP)
        ]
        in_use = {(depth, leg.payload_type) for leg in self._legs.values() for _, depth in leg.depths}
        self._variants = {variant: kept for variant, kept in self._variants.items() if variant in in_use}
        self._thinnings = {
            thinning.level: thinning for leg in self._legs.values() if (thinning := leg.segment.thinning) is not None
        }

    def _redundancy(self, variant: Variant) -> Redundancy | None:
        depth, payload_type = variant
        if not depth:
            return None
        return self._variants.setdefault(variant, Redundancy(depth, payload_type, self._history))

    def _write_all(self, group: Group, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        extension = group.block(packet)
        payload, is_red = self._payload(group, packet)
        block = extension + payload
        size = FIXED_HEADER_LENGTH + len(block)
        if size > MAX_PLAINTEXT:
            sender.failures += len(group.legs)
            return
        start = sender.reserve(count := len(group.legs))
        end = start + count
        outbox = sender.outbox
        shift, pictures, ends = 0, 0, packet.marker
        if group.thinning is not None:
            shift, pictures = group.thinning.before(packet.sequence)
            ends = group.thinning.marks(packet)
        sequence, timestamp = packet.sequence - shift, packet.timestamp
        first_byte, marker = 0x90 if extension else 0x80, 0x80 if ends else 0
        if count < SCALAR_LEGS:
            pack = _HEADER.pack_into
            for row, fields in zip(outbox.rows[start:end], group.fields, strict=True):
                plain, red, sequence_delta, timestamp_delta, ssrc = fields
                pack(
                    row, 0, first_byte, marker | (red if is_red else plain), sequence + sequence_delta & 0xFFFF,
                    timestamp + timestamp_delta & 0xFFFFFFFF, ssrc,
                )
                row[FIXED_HEADER_LENGTH:size] = block
        else:
            outbox.buffer[start:end, :FIXED_HEADER_LENGTH] = group.headers(
                first_byte, marker, is_red, sequence=sequence, timestamp=timestamp
            )
            outbox.buffer[start:end, FIXED_HEADER_LENGTH:size] = np.frombuffer(block, np.uint8)
        layering = packet.layering
        if group.rewrites and layering is not None and layering.picture_id_bits:
            group.rewrite(outbox.buffer[start:end], layering, FIXED_HEADER_LENGTH + len(extension), pictures)
        outbox.destinations[start:end] = group.destinations
        outbox.count = end
        later = group.depart(outbox.rows[start:end], group.legs, size, now=now) if group.numbered else ()
        sender.failures += protect_equal(group.contexts, outbox, start, size)
        if group.protection.copies > 1:
            held = {index: at for index, _, at in later}
            for index, leg in enumerate(group.legs):
                sender.copy(start + index, leg.slot.outlet, group.protection, now=held.get(index, now))
        for index, outlet, at in later:
            sender.hold(start + index, outlet, at=at)

    def _payload(self, group: Group, packet: SourcePacket) -> tuple[bytes, bool]:
        """What this group gets, and whether it is RED."""
        if group.redundancy is None or packet.sequence in self._late:
            return packet.payload, False
        return group.redundancy.pack(packet), True

    def _write_each(
        self, group: Group, legs: list[Leg], packet: SourcePacket, sender: Sender, *, now: float
    ) -> None:
        payload, is_red = self._payload(group, packet)
        for leg in legs:
            form = self._form(leg, packet, payload)
            if form is None:
                continue
            red = leg.slot.red_payload_type
            self._write(
                group, leg, packet, sender,
                payload_type=red if is_red and red is not None else leg.payload_type, ssrc=leg.slot.ssrc,
                sequence=form[0], payload=form[1], marker=form[2], now=now,
            )

    def _write(
        self, group: Group, leg: Leg, packet: SourcePacket, sender: Sender,
        *, payload_type: int, ssrc: int, sequence: int, payload: bytes, marker: bool, now: float, copied: bool = True,
    ) -> None:
        extension = group.block(packet)
        block = extension + payload
        size = FIXED_HEADER_LENGTH + len(block)
        session = leg.slot.outlet.session
        if session is None or size > MAX_PLAINTEXT:
            sender.failures += 1
            return
        start = sender.reserve(1)
        outbox = sender.outbox
        row = outbox.rows[start]
        _HEADER.pack_into(
            row, 0, 0x90 if extension else 0x80, payload_type | (0x80 if marker else 0),
            sequence & 0xFFFF, self.outgoing_timestamp(leg, packet.timestamp), ssrc,
        )
        row[FIXED_HEADER_LENGTH:size] = block
        outbox.destinations[start] = leg.slot.outlet.destination
        outbox.count = start + 1
        later = group.depart(outbox.rows[start : start + 1], (leg,), size, now=now) if group.numbered else ()
        sender.failures += protect_equal([session.context], outbox, start, size)
        if group.protection.copies > 1 and copied:
            sender.copy(start, leg.slot.outlet, group.protection, now=later[0][2] if later else now)
        for _, outlet, at in later:
            sender.hold(start, outlet, at=at)
