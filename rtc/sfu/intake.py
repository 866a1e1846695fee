"""From decrypted RTP of one peer to packets of its sources: which m-line, which codec, repair or not."""

from __future__ import annotations

from collections import Counter

from rtc.repair.clock import SenderClock
from rtc.wire.errors import WireError
from rtc.wire.extensions import AUDIO_LEVEL, find, iterate
from rtc.wire.red import unpack
from rtc.wire.rtp import RtpHeader, parse_rtp

from .media import PublishedMedia
from .packet import CARRIED, SourcePacket
from .source import Source

MAX_SSRCS = 64
"""SSRCs learned for one peer; a browser publishing everything with RTX uses about ten."""


class Intake:
    """The publishing m-lines of one peer and their sources."""

    def __init__(self, drops: Counter[str]) -> None:
        self.sources: dict[str, Source] = {}
        """By MID; a source outlives renegotiation."""
        self._media: dict[str, PublishedMedia] = {}
        self._streams: dict[int, tuple[PublishedMedia, Source]] = {}
        self._clock = SenderClock()
        self._drops = drops

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """SSRCs known so far."""
        return tuple(self._streams)

    def configure(self, agreed: list[PublishedMedia]) -> None:
        """Take over what the answer agreed on; sources of m-lines that are gone end."""
        self._media = {media.mid: media for media in agreed}
        self.sources = {
            media.mid: self.sources.get(media.mid) or Source(media.kind, media.mid, self._clock) for media in agreed
        }
        self._streams.clear()
        for media in agreed:
            for ssrc in media.ssrcs:
                self._learn(ssrc, media)
            for ssrc in media.rtx_ssrcs.values():
                self._streams[ssrc] = (media, self.sources[media.mid])

    def by_ssrc(self, ssrc: int) -> Source | None:
        """The source that currently sends with this SSRC."""
        entry = self._streams.get(ssrc)
        return entry[1] if entry is not None and entry[1].ssrc == ssrc else None

    def receive(self, data: memoryview, *, now: float) -> tuple[Source, SourcePacket, int | None] | None:
        """Take one RTP packet: source, packet to forward, audio level in dBov if it says one. None: nothing to do."""
        try:
            header = parse_rtp(data)
            entry = self._streams.get(header.ssrc) or self._identify(header, data)
            if entry is None:
                self._drops["rtp-unknown-ssrc"] += 1
                return None
            media, source = entry
            carried, level = self._extensions(header, data, media)
            return self._receive(media, source, header, data, carried, level, now)
        except WireError:
            self._drops["rtp-malformed"] += 1
            return None

    def _receive(
        self, media: PublishedMedia, source: Source, header: RtpHeader, data: memoryview,
        carried: tuple[tuple[str, bytes], ...], level: int | None, now: float,
    ) -> tuple[Source, SourcePacket, int | None] | None:
        form = media.formats.get(header.payload_type)
        if form is None:
            self._drops["rtp-unknown-payload-type"] += 1
            return None
        payload = bytes(data[header.payload_offset : header.payload_offset + header.payload_length])
        if form.rtx:
            if len(payload) < 2:
                return None
            original = int.from_bytes(payload[:2], "big")
            packet = source.receive_repair(header, original, form.codec, payload[2:], carried, now=now)
        else:
            if header.ssrc != source.ssrc:
                source.use_ssrc(header.ssrc)
            if form.red and payload:
                payload = unpack(payload)[1].payload
            packet = source.receive(header, form.codec, payload, carried, now=now)
        return None if packet is None else (source, packet, level)

    def _extensions(
        self, header: RtpHeader, data: memoryview, media: PublishedMedia
    ) -> tuple[tuple[tuple[str, bytes], ...], int | None]:
        if not header.extension_length or not media.carried:
            return (), None
        block = data[header.extension_offset : header.extension_offset + header.extension_length]
        carried = []
        level = None
        for number, value in iterate(header.extension_profile, block):
            uri = media.carried.get(number)
            if uri is None or len(value) not in CARRIED[uri]:
                continue
            carried.append((uri, value))
            if uri == AUDIO_LEVEL:
                level = -(value[0] & 0x7F)
        return tuple(carried), level

    def _identify(self, header: RtpHeader, data: memoryview) -> tuple[PublishedMedia, Source] | None:
        """Find the m-line of a new SSRC by its MID, else by a payload type that only one m-line has (RFC 8843 9.2)."""
        if len(self._streams) >= MAX_SSRCS:
            return None
        media = self._by_mid(header, data)
        if media is None:
            candidates = [m for m in self._media.values() if header.payload_type in m.formats]
            if len(candidates) != 1:
                return None
            media = candidates[0]
        form = media.formats.get(header.payload_type)
        if form is None:
            return None
        if form.rtx:
            self._streams[header.ssrc] = (media, self.sources[media.mid])
        else:
            self._learn(header.ssrc, media)
        return self._streams[header.ssrc]

    def _by_mid(self, header: RtpHeader, data: memoryview) -> PublishedMedia | None:
        block = data[header.extension_offset : header.extension_offset + header.extension_length]
        for media in self._media.values():
            if media.mid_extension is None:
                continue
            value = find(header.extension_profile, block, media.mid_extension)
            return None if value is None else self._media.get(value.decode("ascii", "replace"))
        return None

    def _learn(self, ssrc: int, media: PublishedMedia) -> None:
        self._streams[ssrc] = (media, self.sources[media.mid])
