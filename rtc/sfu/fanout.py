"""One packet of a source to all its listeners: transformed once, addressed to each with numpy, protected in place."""

from __future__ import annotations

from struct import Struct

import numpy as np
import numpy.typing as npt

from rtc.repair.clock import StreamClock
from rtc.repair.history import History
from rtc.repair.redundancy import Protection
from rtc.transport.batch import OUTBOX_ROWS
from rtc.transport.srtp import MAX_PLAINTEXT, protect_equal
from rtc.wire import extensions
from rtc.wire.rtp import FIXED_HEADER_LENGTH

from .packet import CARRIED, SourcePacket
from .red import SENT_PACKETS, Redundancy, Variant
from .sender import Sender
from .slot import Leg, Slot

SCALAR_LEGS = 16
"""Below this many legs a loop is faster than numpy: 0.2 µs a leg against 3.5 µs a packet, whatever the number."""

MAX_GROUP = OUTBOX_ROWS
"""Legs written in one go."""

CACHED_BLOCKS = 512
"""Extension blocks kept ready: audio levels have 256 values, all else changes seldom."""

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

Layout = tuple[tuple[str, int], ...]
"""URI and id of the extensions that a group of listeners agreed on."""

_HEADER = Struct("!BBHII")
_EXTENSION_HEADER = Struct("!HH")


class _Group:
    """Legs whose packets differ in the fixed header only."""

    def __init__(self, layout: Layout, legs: list[Leg], redundancy: Redundancy | None, copies: int) -> None:
        self.layout = layout
        self.legs = legs
        self.redundancy = redundancy
        self.copies = copies
        # The sessions own the contexts, which must not go while they stand here.
        self.sessions = [session for leg in legs if (session := leg.slot.outlet.session) is not None]
        self.contexts = [session.context for session in self.sessions]
        self.destinations = np.array([leg.slot.outlet.destination for leg in legs], np.int32)
        self.sequence_deltas = np.array([leg.sequence_delta & 0xFFFF for leg in legs], np.uint16)
        self.timestamp_deltas = np.array([leg.timestamp_delta for leg in legs], np.uint32)
        self.fields = [
            (leg.payload_type, leg.slot.red_payload_type or 0, leg.sequence_delta, leg.timestamp_delta, leg.slot.ssrc)
            for leg in legs
        ]
        """Payload types without and with RED, what is added to sequence number and timestamp, and SSRC of each."""
        self._headers: dict[tuple[int, int, bool], npt.NDArray[np.uint8]] = {}
        self._blocks: dict[tuple[tuple[str, bytes], ...], bytes] = {}

    def block(self, packet: SourcePacket) -> bytes:
        """The header extension for this packet, empty when there is none to send."""
        block = self._blocks.get(packet.extensions)
        if block is None:
            if len(self._blocks) >= CACHED_BLOCKS:
                self._blocks.clear()
            ids = dict(self.layout)
            profile, data = extensions.pack((ids[uri], value) for uri, value in packet.extensions if uri in ids)
            block = _EXTENSION_HEADER.pack(profile, len(data) // 4) + data if data else b""
            self._blocks[packet.extensions] = block
        return block

    def headers(self, first_byte: int, marker: int, is_red: bool) -> npt.NDArray[np.uint8]:
        """Fixed headers of all legs but for sequence number and timestamp."""
        rows = self._headers.get((first_byte, marker, is_red))
        if rows is None:
            packed = b"".join(
                _HEADER.pack(
                    first_byte, marker | ((leg.slot.red_payload_type or 0) if is_red else leg.payload_type),
                    0, 0, leg.slot.ssrc,
                )
                for leg in self.legs
            )
            rows = np.frombuffer(packed, np.uint8).reshape(len(self.legs), FIXED_HEADER_LENGTH)
            self._headers[first_byte, marker, is_red] = rows
        return rows


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
        self._legs: dict[Slot, Leg] = {}
        self._groups: list[_Group] | None = []
        self._codec = ""
        self._latest_first = 0
        self.highest = 0
        """Number of the newest packet forwarded to the present legs; 0 before there are any."""
        self._history = history
        self._variants: dict[Variant, Redundancy] = {}
        self._late: History[bool] = History(SENT_PACKETS)
        self._last_timestamp = 0
        self._last_time = 0.0

    def __len__(self) -> int:
        return len(self._legs) + len(self.waiting)

    @property
    def has_newcomers(self) -> bool:
        """Whether somebody waits who could start with the next fitting packet."""
        return any(
            slot.outlet.open and (not self._codec or slot.payload_type(self._codec) is not None)
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
        self.highest = packet.sequence
        self._last_timestamp = packet.timestamp
        self._last_time = now
        self.packets += 1
        self.octets += len(packet.payload)
        if self._groups is None:
            self._regroup()
        for group in self._groups or ():
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
        for group in self._groups or ():
            if packet.sequence >= self._latest_first:
                self._write_all(group, packet, sender, now=now)
            else:
                legs = [leg for leg in group.legs if packet.sequence >= leg.first]
                self._write_each(group, legs, packet, sender, now=now)

    def source_sequence(self, leg: Leg, sequence_number: int) -> int:
        """The source's number of what went out on a leg as this 16-bit number."""
        newest = self.highest + leg.sequence_delta
        return self.highest + ((sequence_number - newest + 0x8000) & 0xFFFF) - 0x8000

    def protect(self, slot: Slot, protection: Protection) -> None:
        """From the next packet on, send to `slot` with this redundancy and this many copies."""
        slot.protection = protection
        leg = self._legs.get(slot)
        if leg is not None:
            leg.change_depth(self.highest + 1, slot.depth)
            self._groups = None

    def resend(self, leg: Leg, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        """Send one packet again to one leg: as RTX where agreed (RFC 4588), else exactly as it was."""
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
        original = (packet.sequence + leg.sequence_delta) & 0xFFFF
        slot.rtx_sequence += 1
        self._write(
            group, leg, packet, sender,
            payload_type=rtx, ssrc=slot.rtx_ssrc, sequence=slot.rtx_sequence,
            payload=original.to_bytes(2, "big") + packet.payload, now=now,
        )

    def _resend_same(self, group: _Group, leg: Leg, packet: SourcePacket, sender: Sender, now: float) -> None:
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
        self._write(
            group, leg, packet, sender,
            payload_type=payload_type, ssrc=leg.slot.ssrc,
            sequence=packet.sequence + leg.sequence_delta, payload=payload, now=now,
        )

    def was_late(self, sequence: int) -> bool:
        """Whether a packet came out of order, so that listeners may miss it who have lost nothing."""
        return sequence in self._late

    def outgoing_timestamp(self, leg: Leg, timestamp: int) -> int:
        """A timestamp of the source as this leg's listener sees it."""
        return (timestamp + leg.timestamp_delta) & 0xFFFFFFFF

    def sent(self, leg: Leg) -> tuple[int, int]:
        """Packets and payload octets sent on a slot since its start, this leg included."""
        slot = leg.slot
        return slot.packets + self.packets - leg.base_packets, slot.octets + self.octets - leg.base_octets

    def _start(self, packet: SourcePacket, now: float) -> None:
        for slot in list(self.waiting):
            payload_type = slot.payload_type(packet.codec)
            if payload_type is None or not slot.outlet.open:
                continue
            del self.waiting[slot]
            slot.start_on(self)
            timestamp = slot.last_timestamp
            if slot.last_time is not None:
                passed = self._sampled(packet.timestamp, now) - slot.last_time
                timestamp += max(1, round(passed * self.clock.rate))
            self._legs[slot] = Leg(
                slot=slot,
                first=packet.sequence,
                sequence_delta=slot.last_sequence + 1 - packet.sequence,
                timestamp_delta=(timestamp - packet.timestamp) & 0xFFFFFFFF,
                payload_type=payload_type,
                depths=[(packet.sequence, slot.depth)],
                base_packets=self.packets,
                base_octets=self.octets,
            )
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
        slot.packets, slot.octets = self.sent(leg)
        slot.last_sequence = self.highest + leg.sequence_delta
        slot.last_timestamp = self.outgoing_timestamp(leg, self._last_timestamp)
        slot.last_time = self._sampled(self._last_timestamp, self._last_time)
        self._groups = None

    def _regroup(self) -> None:
        by_treatment: dict[tuple[Layout, Variant, int], list[Leg]] = {}
        for leg in self._legs.values():
            if not leg.slot.outlet.open:
                continue
            agreed = leg.slot.extensions
            layout = tuple((uri, agreed[uri]) for uri in CARRIED if uri in agreed)
            depth = leg.slot.depth
            variant = (depth, leg.payload_type if depth else 0)
            by_treatment.setdefault((layout, variant, leg.slot.protection.copies), []).append(leg)
        self._groups = [
            _Group(layout, legs[at : at + MAX_GROUP], self._redundancy(variant), copies)
            for (layout, variant, copies), legs in by_treatment.items()
            for at in range(0, len(legs), MAX_GROUP)
        ]
        in_use = {(depth, leg.payload_type) for leg in self._legs.values() for _, depth in leg.depths}
        self._variants = {variant: kept for variant, kept in self._variants.items() if variant in in_use}

    def _redundancy(self, variant: Variant) -> Redundancy | None:
        depth, payload_type = variant
        if not depth:
            return None
        return self._variants.setdefault(variant, Redundancy(depth, payload_type, self._history))

    def _write_all(self, group: _Group, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        extension = group.block(packet)
        payload, is_red = self._payload(group, packet)
        block = extension + payload
        size = FIXED_HEADER_LENGTH + len(block)
        if size > MAX_PLAINTEXT:
            sender.failures += len(group.legs)
            return
        count = len(group.legs)
        start = sender.reserve(count)
        end = start + count
        outbox = sender.outbox
        first_byte, marker = 0x90 if extension else 0x80, 0x80 if packet.marker else 0
        if count < SCALAR_LEGS:
            pack, sequence, timestamp = _HEADER.pack_into, packet.sequence, packet.timestamp
            for row, fields in zip(outbox.rows[start:end], group.fields, strict=True):
                plain, red, sequence_delta, timestamp_delta, ssrc = fields
                pack(
                    row, 0, first_byte, marker | (red if is_red else plain), sequence + sequence_delta & 0xFFFF,
                    timestamp + timestamp_delta & 0xFFFFFFFF, ssrc,
                )
                row[FIXED_HEADER_LENGTH:size] = block
        else:
            self._write_headers(group, packet, sender, group.headers(first_byte, marker, is_red), start)
            outbox.buffer[start:end, FIXED_HEADER_LENGTH:size] = np.frombuffer(block, np.uint8)
        outbox.destinations[start:end] = group.destinations
        outbox.count = end
        sender.failures += protect_equal(group.contexts, outbox, start, size)
        if group.copies > 1:
            for row_number, leg in enumerate(group.legs, start):
                sender.copy(row_number, leg.slot.outlet, group.copies, now=now)

    @staticmethod
    def _write_headers(
        group: _Group, packet: SourcePacket, sender: Sender, headers: npt.NDArray[np.uint8], start: int
    ) -> None:
        end = start + len(headers)
        sender.outbox.buffer[start:end, :FIXED_HEADER_LENGTH] = headers
        np.add(
            group.sequence_deltas, np.uint16(packet.sequence & 0xFFFF),
            out=sender.sequences[start:end], casting="unsafe",
        )
        np.add(
            group.timestamp_deltas, np.uint32(packet.timestamp),
            out=sender.timestamps[start:end], casting="unsafe",
        )

    def _payload(self, group: _Group, packet: SourcePacket) -> tuple[bytes, bool]:
        """What this group gets, and whether it is RED."""
        if group.redundancy is None or packet.sequence in self._late:
            return packet.payload, False
        return group.redundancy.pack(packet), True

    def _write_each(
        self, group: _Group, legs: list[Leg], packet: SourcePacket, sender: Sender, *, now: float
    ) -> None:
        payload, is_red = self._payload(group, packet)
        for leg in legs:
            red = leg.slot.red_payload_type
            self._write(
                group, leg, packet, sender,
                payload_type=red if is_red and red is not None else leg.payload_type, ssrc=leg.slot.ssrc,
                sequence=packet.sequence + leg.sequence_delta, payload=payload, now=now,
            )

    def _write(
        self, group: _Group, leg: Leg, packet: SourcePacket, sender: Sender,
        *, payload_type: int, ssrc: int, sequence: int, payload: bytes, now: float,
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
            row, 0, 0x90 if extension else 0x80, payload_type | (0x80 if packet.marker else 0),
            sequence & 0xFFFF, self.outgoing_timestamp(leg, packet.timestamp), ssrc,
        )
        row[FIXED_HEADER_LENGTH:size] = block
        outbox.destinations[start] = leg.slot.outlet.destination
        outbox.count = start + 1
        sender.failures += protect_equal([session.context], outbox, start, size)
        if group.copies > 1:
            sender.copy(start, leg.slot.outlet, group.copies, now=now)
