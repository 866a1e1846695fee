"""What a listener asks of its slots: packets that it misses, and key frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rtc.repair.holes import Holes
from rtc.repair.pacing import MAX_WAIT_SECONDS
from rtc.repair.redundancy import HEADER_BYTES
from rtc.wire import rtcp

from .counts import FeedbackCounts
from .downlink import Downlink
from .fanout import Fanout
from .leg import Leg
from .packet import SourcePacket
from .sender import Sender
from .slot import Slot
from .source import Source
from .stand_in import ending

MAX_NACKED = 512
"""Packets looked at in one NACK; more is a listener that has lost everything and wants a key frame."""


class Requests:
    """Grants them, as far as one listener may cost the others something."""

    __slots__ = ("_counters", "_downlink", "_drops", "_look_after", "_sender")

    def __init__(
        self, sender: Sender, drops: Counter[str], counters: FeedbackCounts,
        *, downlink: Downlink, look_after: Callable[[Source], None],
    ) -> None:
        self._sender = sender
        self._drops = drops
        self._counters = counters
        self._downlink = downlink
        self._look_after = look_after

    def nack(self, packet: rtcp.GenericNack, slot: Slot | None, *, rtt: float, now: float) -> None:
        """Send again what a slot's receiver asks for, `rtt` seconds away, as far as that is of use and allowed."""
        self._counters.nacks_in += 1
        leg = None if slot is None else slot.leg
        if slot is None or slot.source is None or leg is None:
            return
        source = slot.source
        numbers = packet.lost[:MAX_NACKED]
        if slot.holes is not None:
            numbers = _missing(numbers, slot.holes, source.fanout, leg, rtt=rtt, now=now)
            self.see_to_holes(slot, now=now)
        asked = [source.fanout.source_sequence(leg, number) for number in numbers]
        sent = (number for number in asked if number >= leg.first and number in source.history)
        lost = [leg.outgoing(number) for number in sent if not source.fanout.was_late(number)]
        slot.path.nacked(lost)
        given_up: list[SourcePacket] = []
        for sequence in asked:
            stored = source.history.get(sequence) if sequence >= leg.first else None
            if stored is None:
                continue
            above = stored.layering is not None and stored.layering.spatial > leg.level.spatial
            if not above or slot.holes is not None:
                self._resend(stored, slot, source, leg, rtt=rtt, now=now)
            elif sequence >= source.fanout.last_key:
                given_up.append(stored)
        if given_up and leg.payload_type in slot.rtx_payload_types:
            given_up = ending(given_up, leg, source.history)
        elif given_up and self.want_keyframe(slot, now=now):
            given_up = []  # without RTX a number can only be sent with what it was sent with
        for stored in given_up:
            self._resend(stored, slot, source, leg, rtt=rtt, now=now)

    def _resend(
        self, packet: SourcePacket, slot: Slot, source: Source, leg: Leg, *, rtt: float, now: float
    ) -> None:
        """Send a packet that was asked for, or what stands in for it, if the path has room for that."""
        if not leg.may_resend(packet.sequence, now=now, rtt=rtt):
            return
        size = slot.protection.copies * (HEADER_BYTES + len(packet.payload))
        if slot.kind == "audio" or self._downlink.may_resend(size, now=now):
            octets = source.fanout.resend(leg, packet, self._sender, now=now)
            if octets:
                leaves = self._downlink.free_at if slot.is_numbered(leg.payload_type) else now
                leg.was_resent(packet.sequence, octets, leaves=max(now, leaves), now=now)
                self._counters.resent += 1

    def see_to_holes(self, slot: Slot, *, now: float) -> None:
        """Have a receiver that waits for what is missing say what that is, and ask for a key frame if it is in vain."""
        if slot.holes is None or slot.source is None:
            return
        slot.source.fanout.show_gaps(slot, slot.holes.in_trouble(now=now))
        if slot.holes.given_up:
            self._ask_keyframe(slot, slot.source, now)

    def want_keyframe(self, slot: Slot | None, *, now: float) -> bool:
        """Have a key frame asked for; False when there will be none."""
        if slot is None or slot.source is None or slot.kind != "video":
            return False
        if self._downlink.free_at > now + MAX_WAIT_SECONDS:
            return True  # it may well be under way: of a screen it takes seconds
        if slot.holes is not None and not slot.holes.wants_keyframe(now=now):
            return False
        return self._ask_keyframe(slot, slot.source, now)

    def _ask_keyframe(self, slot: Slot, source: Source, now: float) -> bool:
        if not source.keyframes.pending:
            if not slot.keyframe_budget.take(now=now):
                self._drops["keyframe-flood"] += 1
                return False
            source.keyframes.want()
        self._look_after(source)
        return True


def _missing(
    numbers: Sequence[int], holes: Holes, fanout: Fanout, leg: Leg, *, rtt: float, now: float
) -> tuple[int, ...]:
    """What of a NACK to send again to a receiver that waits for it without end."""
    newest = leg.last_outgoing(fanout.highest)
    behind = sorted(((newest - number) & 0xFFFF for number in numbers), reverse=True)
    sequences = {newest - each: leg.incoming(newest - each) for each in behind if each < 0x8000}
    return tuple(holes.nacked(
        list(sequences),
        lost={number for number, sequence in sequences.items() if sequence < leg.first},
        made={number for number, sequence in sequences.items() if fanout.was_withheld(sequence)},
        now=now, rtt=rtt,
    ))
