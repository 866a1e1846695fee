"""From decrypted RTP of one peer to packets of its sources: which m-line, which codec, repair or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from rtc.repair.clock import SenderClock
from rtc.repair.keyframes import KeyframeCadence
from rtc.wire.errors import WireError
from rtc.wire.extensions import iterate, unpack_text
from rtc.wire.red import RedBlock, unpack
from rtc.wire.rtp import RtpHeader, parse_rtp

from .media import Format, PublishedMedia, ReadExtensions, read_extensions
from .packet import SourcePacket
from .source import Source
from .uplink import Uplink

MAX_SSRCS = 64
"""SSRCs learned for one peer; a browser publishing everything with RTX uses about ten."""


MAX_READ = 512
"""Blocks of header extensions remembered for one m-line of audio."""

OPUS = Format("opus")
"""What the blocks of RED must be."""


class Received(msgspec.Struct, frozen=True):
    """What one RTP packet brought."""

    source: Source
    packets: list[SourcePacket]
    """To forward, oldest first: its own, and those lost before it that its redundancy brings back."""
    level: int | None
    """Audio level in dBov, if it says one."""


class Intake:
    """The publishing m-lines of one peer and their sources."""

    __slots__ = ("_clock", "_drops", "_media", "_streams", "_uplink", "copies", "sends_video", "sources")

    def __init__(self, drops: Counter[str], *, copies: bool, uplink: Uplink | None = None) -> None:
        self.sources: dict[tuple[str, str], Source] = {}
        """By MID and, of simulcast, RID; a source outlives renegotiation."""
        self._media: dict[str, PublishedMedia] = {}
        self._streams: dict[int, tuple[PublishedMedia, Source]] = {}
        self._clock = SenderClock()
        self.copies = copies
        self._uplink = uplink
        self.sends_video = False
        """Whether an m-line for video was agreed on."""
        self._drops = drops

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """SSRCs known so far."""
        return tuple(self._streams)

    def configure(self, agreed: list[PublishedMedia]) -> list[Source]:
        """Take over what the answer agreed on; returns the sources that end, since their m-lines are gone."""
        before, known = self.sources, self._streams
        self._media = {media.mid: media for media in agreed}
        self.sends_video = any(media.kind == "video" for media in agreed)
        self.sources = {}
        for media in agreed:
            cadence = KeyframeCadence()
            for rid in media.rids or ("",):
                source = before.get((media.mid, rid))
                if source is None or source.kind != media.kind:
                    source = Source(
                        media.kind, media.mid, self._clock, copies=self.copies, rid=rid, cadence=cadence
                    )
                self.sources[media.mid, rid] = source
        # Browsers name the m-line in the first packets of an SSRC only: what was learned from them stays.
        self._streams = {
            ssrc: (self._media[source.mid], source)
            for ssrc, (_, source) in known.items()
            if self.sources.get((source.mid, source.rid)) is source
        }
        for media in agreed:
            if not media.rids:
                for ssrc in (*media.ssrcs, *media.rtx_ssrcs.values()):
                    self._streams[ssrc] = (media, self.sources[media.mid, ""])
        return [source for key, source in before.items() if self.sources.get(key) is not source]

    def encodings(self, mid: str) -> tuple[Source, ...]:
        """What is sent on one m-line: its simulcast encodings in the order of the offer, or its only source."""
        return tuple(source for source in self.sources.values() if source.mid == mid)

    def by_ssrc(self, ssrc: int) -> Source | None:
        """The source that currently sends with this SSRC."""
        entry = self._streams.get(ssrc)
        return entry[1] if entry is not None and entry[1].ssrc == ssrc else None

    def receive(self, data: memoryview, *, now: float) -> Received | None:
        """Take one RTP packet; None when there is nothing to forward in it."""
        try:
            header = parse_rtp(data)
            entry = self._streams.get(header.ssrc) or self._identify(header, data)
            if entry is None:
                return None
            media, source = entry
            read = self._extensions(header, data, media, now)
            packets = self._accept(media, source, header, data, read, now=now)
            return Received(source, packets, read.level) if packets else None
        except WireError:
            self._drops["rtp-malformed"] += 1
            return None

    def _accept(
        self, media: PublishedMedia, source: Source, header: RtpHeader, data: memoryview,
        read: ReadExtensions, *, now: float,
    ) -> list[SourcePacket]:
        form = media.formats.get(header.payload_type)
        if form is None:
            self._drops["rtp-unknown-payload-type"] += 1
            return []
        payload = bytes(data[header.payload_offset : header.payload_offset + header.payload_length])
        if not source.may_take(now=now):
            self._drops["rtp-flood"] += 1
            return []
        if form.rtx:
            if len(payload) < 2:
                return []
            original = int.from_bytes(payload[:2], "big")
            packet = source.receive_repair(
                header, original, form.codec, payload[2:], read.carried, descriptor=read.descriptor, now=now
            )
            return [] if packet is None else [packet]
        redundant: list[RedBlock] = []
        if form.red and payload:
            redundant, primary = unpack(payload)
            payload = primary.payload
            if any(media.formats.get(block.payload_type) != OPUS for block in (*redundant, primary)):
                self._drops["red-foreign-block"] += 1
                return []
        if header.ssrc != source.ssrc and not source.use_ssrc(header.ssrc, now=now):
            self._drops["rtp-former-ssrc"] += 1
            return []
        return source.receive(
            header, form.codec, payload, read.carried, redundant, descriptor=read.descriptor, now=now
        )

    def _extensions(
        self, header: RtpHeader, data: memoryview, media: PublishedMedia, now: float
    ) -> ReadExtensions:
        block = bytes(data[header.extension_offset : header.extension_offset + header.extension_length])
        if media.kind == "audio":
            if self.sends_video and self._uplink is not None:
                self._uplink.audio(len(data), now=now)
            # A voice has some hundred levels, and often nothing else that changes.
            key = header.extension_profile, block
            known = media.read.get(key)
            if known is None:
                if len(media.read) >= MAX_READ:
                    media.read.clear()
                known = media.read[key] = read_extensions(header.extension_profile, block, media)
            return known
        read = read_extensions(header.extension_profile, block, media)
        if self._uplink is not None:
            self._uplink.video(
                len(data), header.ssrc, header.sequence_number,
                send_time=read.send_time, transport_sequence=read.transport_sequence, now=now,
            )
        return read

    def _identify(self, header: RtpHeader, data: memoryview) -> tuple[PublishedMedia, Source] | None:
        """Find the m-line of a new SSRC by its MID, without one by a payload type that only one has (RFC 8843 9.2).

        Of simulcast the RID tells which encoding it is, for RTX that of what it repairs (RFC 8852).
        """
        candidates = []
        if len(self._streams) < MAX_SSRCS:
            named = dict(iterate(
                header.extension_profile,
                data[header.extension_offset : header.extension_offset + header.extension_length],
            ))
            candidates = [
                media for media in self._media.values()
                if header.payload_type in media.formats
                and _text(named, media.mid_extension) in ("", media.mid)
            ]
        if len(candidates) != 1:
            self._drops["rtp-unknown-ssrc"] += 1
            return None
        media = candidates[0]
        rid = ""
        if media.rids:
            is_repair = media.formats[header.payload_type].rtx
            rid = _text(named, media.repaired_rid_extension if is_repair else media.rid_extension)
        source = self.sources.get((media.mid, rid))
        if source is None:
            self._drops["rtp-unknown-rid"] += 1
            return None
        entry = self._streams[header.ssrc] = (media, source)
        return entry


def _text(named: Mapping[int, bytes], identifier: int | None) -> str:
    """Value of a header extension that names something; empty where it is absent."""
    value = None if identifier is None else named.get(identifier)
    return "" if value is None else unpack_text(value)
