"""Listeners of a source that are sent the same but for numbers: what is made once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

import msgspec
import numpy as np
import numpy.typing as npt

from rtc.transport.batch import Outbox
from rtc.wire import extensions
from rtc.wire.rtp import FIXED_HEADER_LENGTH

from .leg import Leg
from .outlet import Outlet
from .packet import SourcePacket
from .red import Redundancy
from .thinning import Thinning

CACHED_BLOCKS = 512
"""Extension blocks kept ready: audio levels have 256 values, all else changes seldom."""

SCALAR_LEGS = 16
"""Below this many legs a loop writes one packet faster than numpy does."""

Layout = tuple[tuple[str, int], ...]
"""URI and id of the extensions that a group of listeners agreed on."""

_HEADER = Struct("!BBHII")
_EXTENSION_HEADER = Struct("!HH")
_NUMBER = Struct("!H")
_NO_NUMBER = bytes(_NUMBER.size)
_NUMBER_AT = {
    extensions.ONE_BYTE >> 8: FIXED_HEADER_LENGTH + _EXTENSION_HEADER.size + 1,
    extensions.TWO_BYTE >> 8: FIXED_HEADER_LENGTH + _EXTENSION_HEADER.size + 2,
}
"""Where the value of the first extension stands, by the first byte of the profile (RFC 8285 4.2, 4.3)."""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A packet as a group of legs is sent it, but for what differs between them."""

    first_byte: int
    marker: int
    """The bit in the second byte."""
    is_red: bool
    sequence: int
    """The source's number, less what was left out before."""
    timestamp: int
    block: bytes
    """All that follows the fixed header."""
    size: int
    """Bytes, the fixed header included."""


class Group:
    """Legs whose packets differ in the fixed header only."""

    __slots__ = (
        "_blocks", "_headers", "contexts", "description", "destination_view", "destinations", "fields", "layout",
        "legs", "level", "longest_wait", "numbered", "own_extensions", "protection", "redundancy", "sequence_deltas",
        "sessions", "shows_gaps", "thinning", "timestamp_deltas", "withheld",
    )

    def __init__(
        self, layout: Layout, legs: list[Leg], redundancy: Redundancy | None, thinning: Thinning | None,
        longest_wait: float,
    ) -> None:
        self.layout = layout
        self.numbered = bool(layout) and layout[0][0] == extensions.TRANSPORT_CC
        """Whether each packet bears a transport-wide number of its listener."""
        self.legs = legs
        self.redundancy = redundancy
        self.protection = legs[0].slot.protection
        self.own_extensions = legs[0].own_extensions
        self.description = legs[0].description
        self.shows_gaps = legs[0].slot.shows_gaps
        self.withheld: SourcePacket | None = None
        """What these legs are to be sent out of turn, after the next packet."""
        self.thinning = thinning
        self.longest_wait = longest_wait
        """Seconds for which pacing may hold a packet back."""
        self.level = legs[0].level
        # The sessions own the contexts, which must not go while they stand here.
        self.sessions = [session for leg in legs if (session := leg.slot.outlet.session) is not None]
        self.contexts = [session.context for session in self.sessions]
        self.destinations = np.array([leg.slot.outlet.destination for leg in legs], np.int32)
        self.destination_view = self.destinations.data
        self.sequence_deltas = np.array([leg.segment.sequence_delta & 0xFFFF for leg in legs], np.uint16)
        self.timestamp_deltas = np.array([leg.timestamp_delta for leg in legs], np.uint32)
        self.fields = [
            (
                leg.payload_type, leg.slot.red_payload_type or 0, leg.segment.sequence_delta, leg.timestamp_delta,
                leg.slot.ssrc,
            )
            for leg in legs
        ]
        """Payload types without and with RED, what is added to sequence number and timestamp, and SSRC of each."""
        self._headers: dict[tuple[int, int, bool], _Headers] = {}
        self._blocks: dict[tuple[tuple[str, bytes], ...], bytes] = {}

    def block(self, packet: SourcePacket) -> bytes:
        """The header extension for this packet, empty when there is none to send."""
        if self.description is not None and packet.descriptor is not None:
            number, moved = self.description
            return self._pack_block(packet, (number, moved.write(packet.descriptor, self.level)))
        block = self._blocks.get(packet.extensions)
        if block is None:
            if len(self._blocks) >= CACHED_BLOCKS:
                self._blocks.clear()
            block = self._blocks[packet.extensions] = self._pack_block(packet)
        return block

    def _pack_block(self, packet: SourcePacket, *more: tuple[int, bytes]) -> bytes:
        ids = dict(self.layout)
        carried = [(ids[uri], value) for uri, value in packet.extensions if uri in ids]
        if self.numbered:
            carried.insert(0, (self.layout[0][1], _NO_NUMBER))
        profile, data = extensions.pack([*carried, *self.own_extensions, *more])
        return _EXTENSION_HEADER.pack(profile, len(data) // 4) + data if data else b""

    def write(self, outbox: Outbox, start: int, packet: Placed) -> None:
        """Write a packet for all legs into the rows from `start` on."""
        end = start + len(self.legs)
        first_byte, marker, is_red, block = packet.first_byte, packet.marker, packet.is_red, packet.block
        sequence, timestamp, size = packet.sequence, packet.timestamp, packet.size
        if end - start < SCALAR_LEGS:
            pack = _HEADER.pack_into
            for row, (plain, red, sequence_delta, timestamp_delta, ssrc) in zip(
                outbox.rows[start:end], self.fields, strict=True
            ):
                pack(
                    row, 0, first_byte, marker | (red if is_red else plain), sequence + sequence_delta & 0xFFFF,
                    timestamp + timestamp_delta & 0xFFFFFFFF, ssrc,
                )
                row[FIXED_HEADER_LENGTH:size] = block
        else:
            outbox.buffer[start:end, :FIXED_HEADER_LENGTH] = self._headers_of(packet)
            outbox.buffer[start:end, FIXED_HEADER_LENGTH:size] = np.frombuffer(block, np.uint8)

    def _headers_of(self, packet: Placed) -> npt.NDArray[np.uint8]:
        """Fixed headers of all legs, good until the next call."""
        headers = self._kept(packet.first_byte, packet.marker, packet.is_red)
        np.add(self.sequence_deltas, np.uint16(packet.sequence & 0xFFFF), out=headers.scratch)
        headers.sequences[:] = headers.scratch
        headers.timestamps[:] = self.timestamp_deltas + np.uint32(packet.timestamp)
        return headers.rows

    def write_run(self, outbox: Outbox, start: int, packets: Sequence[Placed]) -> None:
        """Write several packets for all legs into the rows from `start` on, leg by leg."""
        legs, count = len(self.legs), len(packets)
        first = packets[0]
        # In a place of their own, and numbers swapped before: into rows far apart numpy does neither quickly.
        headers = self._kept(first.first_byte, 0, first.is_red).rows.repeat(count, 0).reshape(legs, count, -1)
        sequences = self.sequence_deltas[:, None] + np.array([one.sequence & 0xFFFF for one in packets], np.uint16)
        headers.view(np.uint16)[:, :, 1] = sequences.byteswap(inplace=True)
        timestamps = self.timestamp_deltas[:, None] + np.array([one.timestamp for one in packets], np.uint32)
        headers.view(np.uint32)[:, :, 1] = timestamps.byteswap(inplace=True)
        rows = outbox.buffer[start : start + legs * count].reshape(legs, count, -1)
        for place, packet in enumerate(packets):
            if packet.marker:
                headers[:, place, 1] |= packet.marker
            if packet.first_byte != first.first_byte:
                headers[:, place, 0] = packet.first_byte
            rows[:, place, FIXED_HEADER_LENGTH : packet.size] = np.frombuffer(packet.block, np.uint8)
        rows[:, :, :FIXED_HEADER_LENGTH] = headers

    def _kept(self, first_byte: int, marker: int, is_red: bool) -> _Headers:
        """Fixed headers of all legs, in which the numbers are those of some packet before."""
        key = first_byte, marker, is_red
        headers = self._headers.get(key)
        if headers is None:
            packed = [
                _HEADER.pack(first_byte, marker | (red if is_red else plain), 0, 0, ssrc)
                for plain, red, *_, ssrc in self.fields
            ]
            rows = np.frombuffer(bytearray().join(packed), np.uint8).reshape(-1, FIXED_HEADER_LENGTH)
            headers = self._headers[key] = _Headers(rows)
        return headers

    def depart(
        self, rows: Sequence[memoryview], legs: Sequence[Leg], sizes: Iterable[int], *, now: float
    ) -> list[tuple[int, Outlet, float]]:
        """Write the transport-wide numbers into packets of these sizes (bytes); which are to leave later, and when.

        The number is the first extension, so that it always stands at the same place.
        """
        later = []
        for index, (row, leg, size) in enumerate(zip(rows, legs, sizes, strict=True)):
            outlet = leg.slot.outlet
            if outlet.downlink is None:
                continue
            number, at = outlet.downlink.departs(size, now=now, most=self.longest_wait)
            _NUMBER.pack_into(row, _NUMBER_AT[row[FIXED_HEADER_LENGTH]], number)
            if at > now or outlet.held:
                later.append((index, outlet, at))
        return later


class _Headers:
    """Fixed headers of all legs, row by row, in which numbers are changed from packet to packet.

    In a place of their own: numpy takes several times as long to add right into rows of the outbox.
    """

    __slots__ = ("rows", "scratch", "sequences", "timestamps")

    def __init__(self, rows: npt.NDArray[np.uint8]) -> None:
        self.rows = rows
        self.sequences = rows.view(">u2")[:, 1]
        self.timestamps = rows.view(">u4")[:, 1]
        self.scratch = np.zeros(len(rows), np.uint16)
