"""Listeners of a source that are sent the same but for numbers: what is made once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

import numpy as np
import numpy.typing as npt

from rtc.wire import extensions
from rtc.wire.layering import Layering
from rtc.wire.rtp import FIXED_HEADER_LENGTH

from .packet import SourcePacket
from .red import Redundancy
from .slot import Leg, Outlet
from .thinning import Thinning

CACHED_BLOCKS = 512
"""Extension blocks kept ready: audio levels have 256 values, all else changes seldom."""

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


class Group:
    """Legs whose packets differ in the fixed header only."""

    def __init__(
        self, layout: Layout, legs: list[Leg], redundancy: Redundancy | None, thinning: Thinning | None
    ) -> None:
        self.layout = layout
        self.numbered = bool(layout) and layout[0][0] == extensions.TRANSPORT_CC
        """Whether each packet bears a transport-wide number of its listener."""
        self.legs = legs
        self.redundancy = redundancy
        self.protection = legs[0].slot.protection
        self.own_extensions = legs[0].own_extensions
        self.thinning = thinning
        # The sessions own the contexts, which must not go while they stand here.
        self.sessions = [session for leg in legs if (session := leg.slot.outlet.session) is not None]
        self.contexts = [session.context for session in self.sessions]
        self.destinations = np.array([leg.slot.outlet.destination for leg in legs], np.int32)
        self.sequence_deltas = np.array([leg.segment.sequence_delta & 0xFFFF for leg in legs], np.uint16)
        self.picture_deltas = np.array([leg.segment.picture_delta & 0x7FFF for leg in legs], np.uint16)
        self.tl0_deltas = np.array([leg.tl0_delta & 0xFF for leg in legs], np.uint8)
        self.rewrites = thinning is not None or bool(self.picture_deltas.any() or self.tl0_deltas.any())
        """Whether picture ids differ from the source's."""
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
        block = self._blocks.get(packet.extensions)
        if block is None:
            if len(self._blocks) >= CACHED_BLOCKS:
                self._blocks.clear()
            ids = dict(self.layout)
            carried = [(ids[uri], value) for uri, value in packet.extensions if uri in ids]
            if self.numbered:
                carried.insert(0, (self.layout[0][1], _NO_NUMBER))
            profile, data = extensions.pack([*carried, *self.own_extensions])
            block = _EXTENSION_HEADER.pack(profile, len(data) // 4) + data if data else b""
            self._blocks[packet.extensions] = block
        return block

    def headers(
        self, first_byte: int, marker: int, is_red: bool, *, sequence: int, timestamp: int
    ) -> npt.NDArray[np.uint8]:
        """Fixed headers of all legs, good until the next call."""
        headers = self._headers.get((first_byte, marker, is_red))
        if headers is None:
            packed = (
                (leg.slot.red_payload_type or 0 if is_red else leg.payload_type, leg.slot.ssrc) for leg in self.legs
            )
            headers = self._headers[first_byte, marker, is_red] = _Headers(
                b"".join(_HEADER.pack(first_byte, marker | number, 0, 0, ssrc) for number, ssrc in packed)
            )
        np.add(self.sequence_deltas, np.uint16(sequence & 0xFFFF), out=headers.scratch)
        headers.sequences[:] = headers.scratch
        if timestamp != headers.timestamp:  # the packets of a frame share it
            headers.timestamp = timestamp
            headers.timestamps[:] = self.timestamp_deltas + np.uint32(timestamp)
        return headers.rows

    def depart(
        self, rows: Sequence[memoryview], legs: Sequence[Leg], size: int, *, now: float
    ) -> list[tuple[int, Outlet, float]]:
        """Write the transport-wide numbers into packets of so many bytes; which of them are to leave later, and when.

        The number is the first extension, so that it always stands at the same place.
        """
        later = []
        for index, (row, leg) in enumerate(zip(rows, legs, strict=True)):
            outlet = leg.slot.outlet
            if outlet.downlink is None:
                continue
            number, at = outlet.downlink.departs(size, now=now)
            _NUMBER.pack_into(row, _NUMBER_AT[row[FIXED_HEADER_LENGTH]], number)
            if at > now or outlet.held:
                later.append((index, outlet, at))
        return later

    def rewrite(
        self, rows: npt.NDArray[np.uint8], layering: Layering, payload_offset: int, pictures: int
    ) -> None:
        """Move picture ids and TL0PICIDX in packets of all legs of a self."""
        at = payload_offset + layering.picture_id_offset
        ids = self.picture_deltas + np.uint16(layering.picture_id - pictures & 0x7FFF)
        if layering.picture_id_bits == 15:
            rows[:, at] = 0x80 | ids >> 8 & 0x7F
            rows[:, at + 1] = ids & 0xFF
        else:
            rows[:, at] = ids & 0x7F
        if layering.tl0picidx_offset:
            rows[:, payload_offset + layering.tl0picidx_offset] = self.tl0_deltas + np.uint8(layering.tl0picidx)


class _Headers:
    """Fixed headers of all legs, row by row, in which numbers are changed from packet to packet.

    In a place of their own: numpy takes several times as long to add right into rows of the outbox.
    """

    def __init__(self, packed: bytes) -> None:
        self.rows = np.frombuffer(bytearray(packed), np.uint8).reshape(-1, FIXED_HEADER_LENGTH)
        self.sequences = self.rows.view(">u2")[:, 1]
        self.timestamps = self.rows.view(">u4")[:, 1]
        self.scratch = np.zeros(len(self.rows), np.uint16)
        self.timestamp = -1
