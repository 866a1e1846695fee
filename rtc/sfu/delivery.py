"""Packets of one source on their way into the outbox: those that follow each other in one pass, protected in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from struct import Struct

from rtc.repair.history import History
from rtc.repair.pacing import MAX_WAIT_SECONDS, PATIENT_SECONDS
from rtc.repair.redundancy import Protection
from rtc.transport.batch import OUTBOX_ROWS
from rtc.transport.srtp import MAX_PLAINTEXT, protect_equal, protect_rows
from rtc.wire.extensions import TRANSPORT_CC
from rtc.wire.level import Level
from rtc.wire.rtp import FIXED_HEADER_LENGTH

from .description import Moved
from .group import Group, Layout, Placed
from .leg import Leg, OwnExtensions
from .outlet import Outlet
from .packet import CARRIED, SourcePacket
from .red import SENT_PACKETS, Redundancy, Variant
from .sender import Sender
from .slot import Slot

MAX_GROUP = OUTBOX_ROWS
"""Legs written in one go."""

MAX_RUN = 32
"""Packets written in one go: what the kernel is handed as one message (`MAX_SEGMENTS`)."""

GAP_SECONDS = 0.25
"""A packet goes out of turn this often, to those that are to say what they miss."""

MEMORY_OF_GAPS = 8
"""Packets remembered that went out of turn: 2 s."""

OVERHEAD_BYTES = 28 + 16
"""IPv4, UDP and the tag of SRTP, beside the RTP packet."""

Treatment = tuple[Layout, OwnExtensions, tuple[int, Moved] | None, Variant, Protection, Level, bool]
"""What legs have in common whose packets differ in the fixed header only."""

_HEADER = Struct("!BBHII")


class Delivery:
    """Writes packets for legs, which it has in groups of those that are sent the same but for numbers.

    What is to leave at once with others is `put_off` until the sender settles, after all datagrams that came together
    were read. Until then `change` has to be called whenever legs come, go or are sent something else.
    """

    __slots__ = (
        "_groups", "_history", "_legs", "_longest_wait", "_next_gap", "_now", "_sender", "_variants", "_waiting",
        "late", "withheld",
    )

    def __init__(self, legs: Mapping[Slot, Leg], history: History[SourcePacket]) -> None:
        self.late: History[bool] = History(SENT_PACKETS)
        """Packets that came out of turn: they go without redundancy, since what precedes them was sent long ago."""
        self._legs = legs
        self._history = history
        self._groups: list[Group] | None = []
        self._variants: dict[Variant, Redundancy] = {}
        self._longest_wait = MAX_WAIT_SECONDS
        self._waiting: list[SourcePacket] = []
        self.withheld: deque[int] = deque(maxlen=MEMORY_OF_GAPS)
        """Packets that went out of turn on purpose."""
        self._next_gap = 0.0
        self._sender: Sender | None = None
        self._now = 0.0

    def be_patient(self, patient: bool) -> None:
        """Whether packets may wait for long where a path is narrow."""
        self._longest_wait = PATIENT_SECONDS if patient else MAX_WAIT_SECONDS
        self.change()

    def send(self, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        """Send the newest packet of the source to all legs."""
        if self._groups is None:
            self._regroup()
        for group in self._groups or ():
            if group.thinning is None or group.thinning.keeps(packet.sequence):
                self._write_all(group, packet, sender, now=now)

    def put_off(self, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        """The same once the sender settles."""
        if self._groups is None:
            self._regroup()
        self._sender, self._now = sender, now
        if not self._waiting:
            sender.put_off(self.settle)
        self._waiting.append(packet)
        if len(self._waiting) >= MAX_RUN:
            self.settle()

    def settle(self) -> None:
        """Write what was put off."""
        waiting, sender = self._waiting, self._sender
        if not waiting or sender is None:
            return
        self._waiting = []
        makes_gap = self._now >= self._next_gap
        for group in self._groups or ():
            thinning = group.thinning
            kept = waiting if thinning is None else [one for one in waiting if thinning.keeps(one.sequence)]
            if group.shows_gaps:
                kept = self._out_of_turn(group, kept, makes_gap)
            if len(kept) == 1:
                self._write_all(group, kept[0], sender, now=self._now)
                continue
            at_once = MAX_GROUP // len(group.legs)
            for at in range(0, len(kept), at_once):
                self._write_run(group, kept[at : at + at_once], sender, now=self._now)

    def change(self) -> None:
        """Legs come, go, or are to be sent something else from the next packet on."""
        self.settle()
        for group in self._groups or ():
            if group.withheld is not None and self._sender is not None:
                self._write_all(group, group.withheld, self._sender, now=self._now)
        self._groups = None

    def keep_turn(self, *, now: float) -> None:
        """Nothing goes out of turn for now."""
        self._next_gap = now + GAP_SECONDS

    def _out_of_turn(self, group: Group, packets: list[SourcePacket], makes_gap: bool) -> list[SourcePacket]:
        """The order in which a group is sent these packets, which may leave one to the end, or to the next time."""
        if group.withheld is not None and packets:
            packets, group.withheld = [*packets, group.withheld], None
        elif makes_gap and packets:
            self._next_gap = self._now + GAP_SECONDS
            if packets[0].sequence not in self.withheld:
                self.withheld.append(packets[0].sequence)
            packets = [*packets[1:], packets[0]]
            if len(packets) == 1:
                packets, group.withheld = [], packets[0]
        return packets

    def restart(self) -> None:
        """The source will use numbers again that were made up for it."""
        self._variants = {}

    def send_late(self, packet: SourcePacket, sender: Sender, *, latest_first: int, now: float) -> None:
        """Send a packet out of turn to the legs that had started before it, the latest of them with `latest_first`."""
        self.late.put(packet.sequence, True)
        if self._groups is None:
            self._regroup()
        for group in self._groups or ():
            thinning = group.thinning
            plain = thinning is None or (thinning.has_number(packet.sequence) and not thinning.leaves_out(packet))
            if plain and packet.sequence >= latest_first:
                self._write_all(group, packet, sender, now=now)
            else:
                legs = [leg for leg in group.legs if packet.sequence >= leg.first]
                self._write_each(group, legs, packet, sender, now=now)

    def resend(self, leg: Leg, packet: SourcePacket, sender: Sender, *, now: float, copied: bool = True) -> int:
        """Send one packet again to one leg: as RTX where agreed (RFC 4588), else as it was; `copied` as its others.

        Returns the bytes that this takes on the wire, 0 when the packet cannot be sent again.
        """
        slot = leg.slot
        if self._groups is None:
            self._regroup()
        group = next((group for group in self._groups or () if leg in group.legs), None)
        if group is None:
            return 0
        rtx = slot.rtx_payload_types.get(leg.payload_type)
        if rtx is None:
            return self._resend_same(group, leg, packet, sender, now)
        form = self._form(leg, packet, packet.payload)
        if form is None:
            return 0
        original, payload, marker = form
        slot.rtx_sequence += 1
        return self._write(
            group, leg, packet, sender,
            payload_type=rtx, ssrc=slot.rtx_ssrc, sequence=slot.rtx_sequence,
            payload=(original & 0xFFFF).to_bytes(2, "big") + payload, marker=marker, now=now, copied=copied,
        )

    def _resend_same(self, group: Group, leg: Leg, packet: SourcePacket, sender: Sender, now: float) -> int:
        """Repeat a packet to the bit, as the cipher demands of one SSRC and number (RFC 3711 9.1)."""
        depth = 0 if packet.sequence in self.late else leg.depth_at(packet.sequence)
        payload_type, payload = leg.payload_type, packet.payload
        if depth != 0:
            variant = self._variants.get((depth, leg.payload_type)) if depth is not None else None
            sent = None if variant is None else variant.sent.get(packet.sequence)
            red = leg.slot.red_payload_type
            if sent is None or red is None:
                return 0
            payload_type, payload = red, sent
        form = self._form(leg, packet, payload)
        if form is None:
            return 0
        sequence, payload, marker = form
        return self._write(
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
        shift, marker = 0, packet.marker
        if thinning is not None:
            marker = thinning.marks(packet)
            if not thinning.has_number(packet.sequence):
                return None
            shift = thinning.before(packet.sequence)
            if thinning.leaves_out(packet):
                return packet.sequence + segment.sequence_delta - shift, b"", marker
        return packet.sequence + segment.sequence_delta - shift, payload, marker

    def _regroup(self) -> None:
        by_treatment: dict[Treatment, list[Leg]] = {}
        for leg in self._legs.values():
            if not leg.slot.outlet.open:
                continue
            agreed = leg.slot.extensions
            numbers = (TRANSPORT_CC,) if leg.slot.is_numbered(leg.payload_type) else ()
            layout = tuple((uri, agreed[uri]) for uri in (*numbers, *CARRIED) if uri in agreed)
            depth = leg.slot.depth
            variant = (depth, leg.payload_type if depth else 0)
            treatment = (
                layout, leg.own_extensions, leg.description, variant, leg.slot.protection, leg.level,
                leg.slot.shows_gaps,
            )
            by_treatment.setdefault(treatment, []).append(leg)
        self._groups = [
            Group(
                layout, legs[at : at + MAX_GROUP], self._redundancy(variant), legs[0].segment.thinning,
                self._longest_wait,
            )
            for (layout, _, _, variant, *_), legs in by_treatment.items()
            for at in range(0, len(legs), MAX_GROUP)
        ]
        in_use = {(depth, leg.payload_type) for leg in self._legs.values() for _, depth in leg.depths}
        self._variants = {variant: kept for variant, kept in self._variants.items() if variant in in_use}

    def _redundancy(self, variant: Variant) -> Redundancy | None:
        depth, payload_type = variant
        if not depth:
            return None
        return self._variants.setdefault(variant, Redundancy(depth, payload_type, self._history))

    def _write_all(self, group: Group, packet: SourcePacket, sender: Sender, *, now: float) -> None:
        """Write a packet for all legs of a group."""
        placed = self._place(group, packet, sender)
        if placed is None:
            return
        start = sender.reserve(count := len(group.legs))
        end = start + count
        outbox, size = sender.outbox, placed.size
        group.write(outbox, start, placed)
        outbox.destination_view[start:end] = group.destination_view
        outbox.count = end
        later = (
            group.depart(outbox.rows[start:end], group.legs, repeat(size, count), now=now) if group.numbered else ()
        )
        sender.failures += protect_equal(group.contexts, outbox, start, size)
        if later or group.protection.copies > 1:
            self._defer(group, group.legs, start, later, sender, now=now)

    def _write_run(self, group: Group, packets: Sequence[SourcePacket], sender: Sender, *, now: float) -> None:
        """The same for several in one pass, leg by leg: what is for one listener stands together."""
        placed = [one for packet in packets if (one := self._place(group, packet, sender)) is not None]
        if not placed:
            return
        start = sender.reserve(count := len(group.legs) * len(placed))
        end = start + count
        outbox = sender.outbox
        legs = [leg for leg in group.legs for _ in placed]
        sizes = [one.size for one in placed] * len(group.legs)
        group.write_run(outbox, start, placed)
        outbox.destinations[start:end] = group.destinations.repeat(len(placed))
        outbox.lengths[start:end] = sizes
        outbox.count = end
        later = group.depart(outbox.rows[start:end], legs, sizes, now=now) if group.numbered else ()
        sender.failures += protect_rows([context for context in group.contexts for _ in placed], outbox, start)
        if later or group.protection.copies > 1:
            self._defer(group, legs, start, later, sender, now=now)

    def _place(self, group: Group, packet: SourcePacket, sender: Sender) -> Placed | None:
        """What a group is sent of a packet, but for what differs between its legs; None for what is too long."""
        extension = group.block(packet)
        payload, is_red = packet.payload, False
        if group.redundancy is not None and packet.sequence not in self.late:
            payload, is_red = group.redundancy.pack(packet), True
        block = extension + payload
        size = FIXED_HEADER_LENGTH + len(block)
        if size > MAX_PLAINTEXT:
            sender.failures += len(group.legs)
            return None
        sequence, ends = packet.sequence, packet.marker
        if group.thinning is not None:
            sequence -= group.thinning.before(sequence)
            ends = group.thinning.marks(packet)
        return Placed(
            0x90 if extension else 0x80, 0x80 if ends else 0, is_red, sequence, packet.timestamp, block, size,
        )

    def _defer(
        self, group: Group, legs: Sequence[Leg], start: int, later: Sequence[tuple[int, Outlet, float]],
        sender: Sender, *, now: float,
    ) -> None:
        """See to copies of protected packets, and to those that are to leave `later`."""
        if group.protection.copies > 1:
            held = {index: at for index, _, at in later}
            for index, leg in enumerate(legs):
                sender.copy(start + index, leg.slot.outlet, group.protection, now=held.get(index, now))
        for index, outlet, at in later:
            sender.hold(start + index, outlet, at=at)

    def _write_each(
        self, group: Group, legs: list[Leg], packet: SourcePacket, sender: Sender, *, now: float
    ) -> None:
        for leg in legs:
            form = self._form(leg, packet, packet.payload)
            if form is not None:
                self._write(
                    group, leg, packet, sender,
                    payload_type=leg.payload_type, ssrc=leg.slot.ssrc,
                    sequence=form[0], payload=form[1], marker=form[2], now=now,
                )

    def _write(
        self, group: Group, leg: Leg, packet: SourcePacket, sender: Sender,
        *, payload_type: int, ssrc: int, sequence: int, payload: bytes, marker: bool, now: float, copied: bool = True,
    ) -> int:
        extension = group.block(packet)
        block = extension + payload
        size = FIXED_HEADER_LENGTH + len(block)
        session = leg.slot.outlet.session
        if session is None or size > MAX_PLAINTEXT:
            sender.failures += 1
            return 0
        start = sender.reserve(1)
        outbox = sender.outbox
        row = outbox.rows[start]
        _HEADER.pack_into(
            row, 0, 0x90 if extension else 0x80, payload_type | (0x80 if marker else 0),
            sequence & 0xFFFF, leg.outgoing_timestamp(packet.timestamp), ssrc,
        )
        row[FIXED_HEADER_LENGTH:size] = block
        outbox.destinations[start] = leg.slot.outlet.destination
        outbox.count = start + 1
        later = group.depart(outbox.rows[start : start + 1], (leg,), (size,), now=now) if group.numbered else ()
        sender.failures += protect_equal([session.context], outbox, start, size)
        copies = group.protection.copies if copied else 1
        if copies > 1:
            sender.copy(start, leg.slot.outlet, group.protection, now=later[0][2] if later else now)
        for _, outlet, at in later:
            sender.hold(start, outlet, at=at)
        return copies * (size + OVERHEAD_BYTES)
