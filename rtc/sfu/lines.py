"""The m-lines of one peer: slots that it receives on, and what it sends."""

from __future__ import annotations

from collections.abc import Sequence

from rtc.wire.sdp import AnsweredMedia, Offer, OfferedMedia, answer_media

from .counts import MediaCounts
from .intake import Intake
from .media import PublishedMedia
from .outlet import Outlet
from .slot import Slot
from .source import Source

MAX_ENCODINGS = 4
"""Simulcast encodings taken of one m-line; browsers send three at most."""


class Lines:
    """What a peer's latest offer agreed on; slots and sources outlive an offer that has them still."""

    __slots__ = ("_name", "_past", "by_ssrc", "decodes", "intake", "slots", "watches_video")

    def __init__(self, name: str, intake: Intake) -> None:
        self.intake = intake
        """What it sends."""
        self.slots: dict[str, Slot] = {}
        """By MID, in the order of the offer."""
        self.by_ssrc: dict[int, Slot] = {}
        """The same by what reports on them name."""
        self.watches_video = False
        """Whether it has slots for video."""
        self.decodes: frozenset[str] = frozenset()
        """Names of the codecs that these take."""
        self._name = name
        self._past = MediaCounts()

    def agree(
        self, offer: Offer, outlet: Outlet, *, refused: frozenset[str], sends: bool, receives: bool, one_stream: bool
    ) -> tuple[AnsweredMedia, ...]:
        """Take an offer but for m-lines that are `refused`; new slots are for this outlet.

        `sends` and `receives` tell what the server may do; with `one_stream` all slots are of one MediaStream.
        """
        answered: list[AnsweredMedia] = []
        published: list[PublishedMedia] = []
        kept: dict[str, Slot] = {}
        for offered in offer.media:
            slot = self._slot_for(offered, outlet) if offered.receives and offered.mid not in refused else None
            agreed = answer_media(
                offered,
                send=sends and slot is not None,
                receive=receives,
                ssrc=None if slot is None else slot.ssrc,
                rtx_ssrc=None if slot is None else slot.rtx_ssrc,
                cname=self._name,
                stream_id="slots" if one_stream else f"slot-{offered.mid}",
                track_id=f"slot-{offered.mid}",
                rids=offered.rids[:MAX_ENCODINGS] if len(offered.rids) > 1 else (),
                reject=offered.mid in refused,
            )
            answered.append(agreed)
            if agreed.receives and agreed.kind != "application":
                published.append(PublishedMedia.agree(offered, agreed))
            if slot is not None and agreed.sends:
                slot.configure(agreed.codecs, agreed.extensions)
                kept[slot.mid] = slot
        self._drop([slot for slot in self.slots.values() if kept.get(slot.mid) is not slot])
        self.slots.clear()
        self.slots.update(kept)
        self.by_ssrc.update({slot.ssrc: slot for slot in kept.values()})
        watching = [slot for slot in kept.values() if slot.kind == "video"]
        self.watches_video = bool(watching)
        self.decodes = frozenset(key.partition("/")[0] for slot in watching for key in slot.payload_types)
        for source in self.intake.configure(published):
            _add_source(self._past, source)
        return tuple(answered)

    def drop_slots(self) -> None:
        """Take all slots off what they receive, and forget them: what is numbered for their keys goes with these."""
        self._drop(list(self.slots.values()))
        self.watches_video = False

    def counts(self) -> MediaCounts:
        """What has been sent and received since the beginning."""
        counts = MediaCounts()
        for source in self.intake.sources.values():
            _add_source(counts, source)
        for slot in self.slots.values():
            _add_slot(counts, slot)
        counts.add(self._past)
        return counts

    def _slot_for(self, offered: OfferedMedia, outlet: Outlet) -> Slot | None:
        if offered.kind == "application":
            return None
        slot = self.slots.get(offered.mid)
        return slot if slot is not None and slot.kind == offered.kind else Slot(offered.mid, offered.kind, outlet)

    def _drop(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            del self.slots[slot.mid]
            del self.by_ssrc[slot.ssrc]
            slot.listen_to(None)
            _add_slot(self._past, slot)


def _add_source(counts: MediaCounts, source: Source) -> None:
    counts.packets_in[source.kind] += source.packets
    counts.bytes_in[source.kind] += source.octets
    counts.lost[source.kind] += source.nack.given_up


def _add_slot(counts: MediaCounts, slot: Slot) -> None:
    packets, octets = slot.sent()
    counts.packets_out[slot.kind] += packets
    counts.bytes_out[slot.kind] += octets
