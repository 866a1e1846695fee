"""A camera as Chromium sends it, and what a decoder makes of it, to be put behind links that carry only so much."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from bench.room.control import OwnEstimate
from bench.room.media import Heard, Track
from bench.room.participant import Participant

FRAME_SECONDS = 1 / 30
PACKET = 1100
PACING = 2.5
NOTICE_SECONDS = 0.07  # beside half a round trip
"""From when the server says which encodings are wanted until the encoders are set anew: signalling, and a frame."""
LINES = (240, 480)
MOST = (220_000, 1_500_000)
"""bit/s of an encoding of so many lines, as the call page asks for."""
LEAST = (30_000, 150_000)
"""bit/s below which libwebrtc does not send an encoding at all."""
KEYFRAMES = (7, 4)
"""How many times as large as another frame a key frame is, as seen with Chromium."""
LEAST_FRAMES = (300, 4500)
"""Bytes of a frame of so many lines at the coarsest, of a grainy picture; no encoder can make it smaller."""
FITS = 1_000_000
"""bit/s below which the large one is made smaller instead, if it is the only one: at once where encoders are set anew,
else after a while."""
GIVES_IN_SECONDS = 2.0
PATTERN = (0, 2, 1, 2)
SYNCS = (1, 2, 3)
"""Which of eight frames need none of their temporal layer before them."""
FRAME = struct.Struct(">IIBB")  # frame, the one it refers to or itself, parts, part


class Frame(NamedTuple):
    """What a packet says of its frame."""

    track: int
    number: int
    refers_to: int
    parts: int
    part: int


def frame_of(packet: Heard) -> Frame | None:
    """None for padding."""
    if not packet.payload:
        return None
    body = packet.payload[-FRAME.size - 6 : -6]
    return Frame(packet.track, *FRAME.unpack(body))


class Camera(Participant):
    """Two sizes in three temporal layers; encoders are set anew with key frames, and obey the lower of two estimates.

    A third size, for which the picture is too small, is offered and never sent.
    """

    _most = MOST
    _anew = True
    _scaled = False
    _short_since: float | None = None

    @cached_property
    def asked(self) -> list[tuple[float, tuple[str, ...]]]:
        """When it was asked for which encodings."""
        return []

    @cached_property
    def own(self) -> OwnEstimate:
        """What its browser thinks of its path."""
        return OwnEstimate()

    def _scale(self, encodings: Sequence[Track], rates: Sequence[float], *, anew: bool = False) -> None:
        """Make the large one smaller, or large again."""
        alone = not encodings[0].active
        if not alone or rates[1] >= FITS or not encodings[1].active:
            self._short_since = None
            scaled = False
        else:
            self._short_since = self._short_since or self.now
            scaled = self._scaled or anew or self.now - self._short_since >= GIVES_IN_SECONDS
        if scaled != self._scaled:
            self._scaled = scaled
            encodings[1].wants_keyframe = True

    def _sizes(self, encodings: Sequence[Track]) -> list[float]:
        """bit/s of each encoding: the smallest first, a larger one with what is left if that is enough for it."""
        allowed = self.own.allow(self.remb)
        left = allowed - min(self._resent_bits, allowed / 2)
        rates = []
        for place, one in enumerate(encodings):
            rate = min(left, self._most[place]) if one.active and left >= LEAST[place] else 0.0
            rates.append(rate)
            left -= rate
        return rates

    def encodings_wanted(self, mid: str, rids: tuple[str, ...], *, instead: bool) -> None:
        """Set the encoders anew a little later."""
        self.asked.append((self.now, rids))
        asyncio.get_running_loop().call_later(
            self.net.rtt / 2 + NOTICE_SECONDS, self._set_encodings, mid, rids, instead
        )

    def _set_encodings(self, mid: str, rids: tuple[str, ...], instead: bool) -> None:
        for track in self.tracks[: len(LINES)]:
            if track.mid == mid and track.active != (track.rid in rids):
                track.active = track.rid in rids
                for each in self.tracks:
                    each.wants_keyframe |= each.mid == mid
                self._anew = True
        self._most = (sum(MOST), sum(MOST)) if instead else MOST
        most = sum(most for track, most in zip(self.tracks, self._most, strict=False) if track.active)
        self.own.allocate(most, told=self.remb, now=self.now)

    async def film_encodings(self, seconds: float, *, mid: str = "0") -> None:
        """Send 30 frames a second in each active encoding."""
        encodings = [track for track in self.tracks if track.mid == mid][: len(LINES)]
        dice, end = random.Random(self.name), self.now + seconds
        owed = [0.0] * len(encodings)
        references: list[dict[int, int]] = [{} for _ in encodings]
        self.own.allocate(sum(MOST), told=self.remb, now=self.now)
        before, counted = self.now, len(self.bits_sent)
        while self.now < end:
            began = self.now
            sent = sum(bits for _, bits in self.bits_sent[counted:])
            self.own.advance(sent, told=self.remb, elapsed=began - before, now=began)
            before, counted = began, len(self.bits_sent)
            self._resent_bits *= 1 - FRAME_SECONDS
            rates = self._sizes(encodings)
            self._scale(encodings, rates, anew=self._anew)
            self._anew = False
            packets = []
            for place, (one, rate) in enumerate(zip(encodings, rates, strict=True)):
                one.timestamp += 3000
                if not rate:
                    owed[place] = 0.0
                    continue
                usual = rate * FRAME_SECONDS / 8
                owed[place] += usual * dice.uniform(0.7, 1.3)
                if owed[place] < 0 and not one.wants_keyframe:
                    continue  # what a key frame took too much is saved by leaving out frames
                least = LEAST_FRAMES[0 if self._scaled else place]
                size = max(KEYFRAMES[place] * usual if one.wants_keyframe else usual * dice.uniform(0.7, 1.3), least)
                owed[place] -= size
                packets += self._frame(one, place, int(size), references[place])
            for one, payload, last in packets:
                self.publish_packet(one, payload, marker=last)
                await asyncio.sleep((len(payload) + 60) * 8 / (PACING * max(sum(rates), 75_000)))
            await asyncio.sleep(max(0.0, began + FRAME_SECONDS - self.now))

    def _frame(self, one: Track, place: int, size: int, seen: dict[int, int]) -> list[tuple[Track, bytes, bool]]:
        """The packets of a frame; `seen` is the last frame of each temporal layer."""
        key, one.wants_keyframe = one.wants_keyframe, False
        if key:
            one.keyframes.append(self.now)
            one.frame = -1
        one.frame += 1
        layer = PATTERN[one.frame % 4]
        one.picture, one.tl0 = one.picture + 1, one.tl0 + (layer == 0)
        number = one.picture & 0x7FFFFFFF
        lower = max((seen[each] for each in seen if each < layer), default=number)
        reference = number if key else seen.get(0, number) if layer == 0 else lower
        if key:
            seen.clear()
        seen[layer] = number
        parts = -(-size // PACKET)
        packets = []
        for part in range(parts):
            head = bytes([
                0x90 if part == 0 else 0x80, 0xE0, 0x80 | one.picture >> 8 & 0x7F, one.picture & 0xFF, one.tl0 & 0xFF,
                layer << 6 | (one.frame % 8 in SYNCS) << 5,
            ])
            height = LINES[0 if self._scaled else place].to_bytes(2, "little")
            body = bytes([not key, 0, 0, 0x9D, 1, 0x2A, 0, 0]) + height if part == 0 else b""
            filling = bytes(max(min(size - part * PACKET, PACKET) - len(body), 0))
            payload = head + body + filling + FRAME.pack(number, reference, parts, part)
            packets.append((one, payload, part == parts - 1))
        return packets


def shown(heard: Sequence[Heard]) -> list[tuple[float, int]]:
    """When a decoder could show which frames (time, number of the track): whole ones whose references it has."""
    parts: dict[tuple[int, int], set[int]] = {}
    decoded: set[tuple[int, int]] = set()
    waiting: dict[tuple[int, int], Frame] = {}
    found: list[tuple[float, int]] = []
    for packet in heard:
        frame = frame_of(packet)
        if frame is None:
            continue
        name = frame.track, frame.number
        parts.setdefault(name, set()).add(frame.part)
        if len(parts[name]) == frame.parts and name not in decoded:
            waiting[name] = frame
        for ready in sorted(waiting):
            one = waiting[ready]
            if one.refers_to == one.number or (one.track, one.refers_to) in decoded:
                del waiting[ready]
                decoded.add(ready)
                found.append((packet.time, one.track))
    return found
