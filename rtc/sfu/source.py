"""The RTP of one publishing m-line, or encoding of simulcast, as it arrives: numbered, repaired, remembered."""

from __future__ import annotations

from collections.abc import Sequence

from rtc.bucket import TokenBucket
from rtc.repair.bandwidth.loss import AWAY_PACKETS
from rtc.repair.clock import SenderClock, StreamClock
from rtc.repair.history import History
from rtc.repair.keyframes import KeyframeCadence, KeyframeRequester
from rtc.repair.nack import NackGenerator, requests_a_round_trip
from rtc.repair.rates import PATIENT_WINDOW_SECONDS, WINDOW_SECONDS, LayerRates
from rtc.repair.reception import Reception
from rtc.repair.redundancy import MAX_COPIES, WINDOW_PACKETS, Frames, LossMeter, ProtectionController
from rtc.wire.dependency_descriptor import DependencyDescriptor
from rtc.wire.errors import WireError
from rtc.wire.layering import Layering, bare, described, read_layering
from rtc.wire.payload import is_keyframe_start
from rtc.wire.red import RedBlock
from rtc.wire.rtp import RtpHeader

from .description import Description
from .fanout import Fanout
from .numbering import MAX_LATE, Numbering
from .packet import SourcePacket

HISTORY_PACKETS = 1024
"""Packets kept for retransmission: 20 s of audio, 4 to 10 s of video; longer than Numbering accepts late packets."""

AUDIO_NACK_SECONDS = 0.4
"""Audio that comes later is of no use to any listener's jitter buffer."""

VIDEO_NACK_SECONDS = 1.0
"""A frame that comes later was given up for a key frame."""

AWAY_SECONDS = 0.5
"""After so long without a packet, and with much lost meanwhile, a key frame is sooner there than all that is missing:
browsers do not even send again what they could not send."""

LIVE_SECONDS = 1.0
"""A source that has sent nothing for this long is not asked for key frames, and may take up a former SSRC."""

STALLED_SECONDS = 0.6
"""An encoding that has sent nothing for this long has stopped: three frames at 5 frames/s."""

PATIENT_STALLED_SECONDS = 5.0
"""The same for a screen, whose encoder leaves out frames for seconds until a page is paid for."""

MAX_FRAME_TICKS = 5760
"""Longest Opus packet, 120 ms, in ticks of its clock (RFC 6716 2.1.4)."""

MAX_PACKETS_PER_SECOND = {"audio": 400.0, "video": 3000.0}
"""Packets taken from a publisher on one m-line: four times Opus at 10 ms frames, and about 25 Mbit/s of video."""

BURST_SECONDS = 4.0
"""So much may come at once: a network that stood still delivers what it held."""

METERED_PACKETS = {"audio": WINDOW_PACKETS, "video": 600}
"""Loss is measured over so many packets: of video, where nothing is decided within a second, it should not waver."""

SIZE_SMOOTHING = 0.1
"""Weight of the frames since the last look against those before, where they are shorter: in pauses they are."""

CLOCK_RATES = {"audio": 48000, "video": 90000}
"""RTP clock of all codecs that are forwarded, Hz (RFC 7587 4.1, RFC 7741 4.1)."""

assert HISTORY_PACKETS > MAX_LATE  # noqa: S101  a duplicate must be found in the history


class Source:
    """What arrives on one m-line of a publisher, whatever SSRC it currently has; of simulcast, one encoding."""

    __slots__ = (
        "_allowance", "_description", "_former_ssrcs", "_frame_ticks", "_goes_on", "_measured", "_newest_timestamp",
        "_numbering", "_restarts", "clock", "clock_rate", "copies", "duplicates", "fanout", "frames", "height",
        "history", "keyframes", "kind", "last_time", "loss", "meter", "mid", "nack", "octets", "packets", "protection",
        "rates", "reception", "recovered", "repair_seconds", "rid", "ssrc", "stalls_after", "strays", "unwanted",
    )

    def __init__(
        self, kind: str, mid: str, clock: SenderClock, *, copies: bool,
        rid: str = "", cadence: KeyframeCadence | None = None,
    ) -> None:
        self.kind = kind
        self.mid = mid
        self.rid = rid
        """Which simulcast encoding this is (RFC 8851); empty for the only one."""
        self.clock_rate = CLOCK_RATES[kind]
        self.ssrc: int | None = None
        self.nack = NackGenerator(deadline=AUDIO_NACK_SECONDS if kind == "audio" else VIDEO_NACK_SECONDS)
        self.keyframes = KeyframeRequester(cadence)
        self.history: History[SourcePacket] = History(HISTORY_PACKETS)
        self.clock = StreamClock(clock, self.clock_rate)
        self.fanout = Fanout(self.clock, self.history)
        self.reception: Reception | None = None
        self.stalls_after = STALLED_SECONDS
        self.packets = 0
        self.octets = 0
        self.last_time = float("-inf")
        """When the last packet arrived."""
        self.duplicates = 0
        self.strays = 0
        """Packets dropped because their sequence number fits nothing."""
        self.recovered = 0
        """Packets that were lost and came back out of the redundancy of later ones."""
        self.meter = LossMeter(window=METERED_PACKETS[kind])
        self.rates = LayerRates()
        """Of video, what each layer takes."""
        self.height = 0
        """Of video, pixels of the largest layer; 0 until known."""
        self.loss = 0.0
        """Share lately lost on the way from the publisher, before repair, as last judged."""
        self.repair_seconds = 0.0
        """By how much what is repaired on that way is late at most."""
        self.unwanted = False
        """Whether its publisher was asked to leave it out."""
        self.copies = copies
        """Whether the publisher can send each packet several times."""
        self.protection = ProtectionController(max_copies=MAX_COPIES if copies else 1)
        """What the publisher is asked for."""
        self.frames = Frames()
        """What is forwarded, as last measured."""
        self._measured = (0, 0)
        self._frame_ticks = 0
        self._newest_timestamp = 0
        most = MAX_PACKETS_PER_SECOND[kind]
        self._allowance = TokenBucket(most, BURST_SECONDS * most)
        self._numbering = Numbering()
        self._restarts = 0
        self._former_ssrcs: set[int] = set()
        self._description = Description()
        self._goes_on = -1
        """Of video, from which number on listeners go on without what is given up: a key frame, had or wanted."""

    def use_ssrc(self, ssrc: int, *, now: float) -> bool:
        """The m-line is now sent with this SSRC; False for a former one while another is alive (reordering)."""
        if ssrc == self.ssrc:
            return True
        if ssrc in self._former_ssrcs and self.is_live(now=now):
            return False
        if self.ssrc is not None:
            self._former_ssrcs.add(self.ssrc)
        self.ssrc = ssrc
        self.clock.reset()
        self._numbering.leap()
        self._restart(ssrc)
        return True

    def receive(
        self, header: RtpHeader, codec: str, payload: bytes, carried: tuple[tuple[str, bytes], ...],
        redundant: Sequence[RedBlock] = (), *, descriptor: bytes = b"", now: float,
    ) -> list[SourcePacket]:
        """Take a packet of the current SSRC; returns what can be forwarded now, oldest first.

        `redundant` are the frames before this one that it carries (RFC 2198): those that were lost come back.
        `descriptor` is its dependency descriptor, if it has one.
        """
        if header.sequence_number == self._numbering.next and payload and not redundant:
            return [self._follow(header, codec, payload, carried, descriptor=descriptor, now=now)]
        before = self._numbering.highest
        number = self._numbering.place(header.sequence_number)
        if number is None:
            self.strays += 1
            return []
        if self._numbering.restarts != self._restarts:
            self._restarts = self._numbering.restarts
            self._restart(header.ssrc)
        if number in self.history:
            self.duplicates += 1
            return []
        newest = number == self._numbering.highest
        repaired = self.nack.received(number, now=now)
        if self.kind == "video" and number - before > AWAY_PACKETS and now - self.last_time >= AWAY_SECONDS:
            self.keyframes.want()
            self.meter.forget()
        if self.reception is not None:
            self.reception.received(header.sequence_number, header.timestamp, now=now, repaired=repaired)
        self.last_time = now
        if newest:
            self.clock.received(header.timestamp, now=now)
        if newest and not payload and not len(self.nack):
            self._numbering.skip()
            self.nack.retract(number)
            return []
        if not repaired:
            self.meter.received(number)
        if number == before + 1:
            self._measure_frame(header.timestamp)
        if newest:
            if header.timestamp != self._newest_timestamp and self.kind == "video":
                self.rates.frame()
            self._newest_timestamp = header.timestamp
        packet = self._accept(
            number, header.timestamp, codec, payload, marker=header.marker, carried=carried, descriptor=descriptor
        )
        if not redundant:
            return [packet]
        return [*self._recover(packet, redundant), packet]

    def receive_repair(
        self, header: RtpHeader, sequence_number: int, codec: str, payload: bytes,
        carried: tuple[tuple[str, bytes], ...], *, descriptor: bytes = b"", now: float,
    ) -> SourcePacket | None:
        """Take a retransmission (RFC 4588) of the packet with this original sequence number."""
        number = self._numbering.place_repair(sequence_number)
        if number is None or number > self._numbering.highest:
            self.strays += 1
            return None
        if number in self.history:
            self.duplicates += 1
            return None
        self.nack.received(number, now=now)
        return self._accept(
            number, header.timestamp, codec, payload, marker=header.marker, carried=carried, descriptor=descriptor
        )

    def missing(self, *, now: float, rtt: float | None) -> list[int]:
        """16-bit sequence numbers to ask the publisher for now."""
        if self.unwanted:
            self.nack.reset()  # repairs would only take the room of what is sent instead
        requests = requests_a_round_trip(self.loss) if self.kind == "video" else 1
        given_up = self.nack.given_up
        due = self.nack.due(now=now, rtt=rtt, requests=requests)
        if self.kind == "video" and self.nack.given_up > given_up:
            # Listeners cannot go on without it, and would find out seconds later; some have to leap even then.
            stand = self.nack.last_given_up > self._goes_on
            if stand:
                self._goes_on = self._numbering.highest
            if self.fanout.give_up() or stand:
                self.keyframes.want()
        return [self._numbering.sequence_number(number) for number in due]

    def starts_here(self, packet: SourcePacket) -> bool:
        """Whether a listener can begin with this packet: any of audio, the first of a key frame of video."""
        if self.kind == "audio":
            return True
        if not (self.fanout.waiting or self.keyframes.pending or packet.codec != self.fanout.codec):
            return False
        if not is_keyframe_start(packet.codec.partition("/")[0], packet.payload):
            return False
        self.keyframes.arrived()
        self._goes_on = max(self._goes_on, packet.sequence)
        return True

    def be_patient(self, patient: bool) -> None:
        """Whether it is a screen: of use however late it comes, and a page many times what comes until the next."""
        self.rates.window = PATIENT_WINDOW_SECONDS if patient else WINDOW_SECONDS
        self.rates.silence = PATIENT_STALLED_SECONDS if patient else 0.0
        self.stalls_after = PATIENT_STALLED_SECONDS if patient else STALLED_SECONDS
        self.fanout.be_patient(patient)

    def is_live(self, *, now: float) -> bool:
        """Whether packets are coming."""
        return now - self.last_time < max(LIVE_SECONDS, self.stalls_after)

    @property
    def needs_start(self) -> bool:
        """Whether listeners of video wait for a key frame to begin with."""
        return bool(self.fanout.waiting) and self.kind == "video" and self.fanout.has_newcomers

    def wants_keyframe(self, *, now: float, rtt: float | None) -> bool:
        """Whether to send a PLI now."""
        if self.needs_start:
            self.keyframes.want()
        return self.is_live(now=now) and self.keyframes.due(now=now, rtt=rtt)

    def may_take(self, *, now: float) -> bool:
        """Police the publisher: what it sends is multiplied by its listeners."""
        return self._allowance.take(now=now)

    def judge(self, *, most: float = 1.0, now: float) -> bool:
        """Look at what the path from the publisher loses, and at the frames; True when it is to protect otherwise.

        What is lost beyond `most`, a share, is no reason to.
        """
        packets, octets = self._measured
        if self.packets == packets:
            return False
        size = (self.octets - octets) / (self.packets - packets)
        self._measured = self.packets, self.octets
        size = max(size, self.frames.size + (size - self.frames.size) * SIZE_SMOOTHING)
        self.frames = Frames(size, self._frame_ticks / self.clock_rate or self.frames.seconds)
        loss, burst = self.meter.measure()
        return self.protection.reported(min(loss, most), burst, now=now)

    def _follow(
        self, header: RtpHeader, codec: str, payload: bytes, carried: tuple[tuple[str, bytes], ...],
        *, descriptor: bytes, now: float,
    ) -> SourcePacket:
        """Take the packet that follows the newest one: nearly all do, and little is to be done for them."""
        number, timestamp = self._numbering.follow(), header.timestamp
        self.nack.received(number, now=now)
        if self.reception is not None:
            self.reception.received(header.sequence_number, timestamp, now=now)
        self.last_time = now
        if not self.clock.is_reported:
            self.clock.received(timestamp, now=now)
        self.meter.received(number)
        if timestamp != self._newest_timestamp:
            if self.kind == "video":
                self.rates.frame()
            else:
                self._measure_frame(timestamp)
            self._newest_timestamp = timestamp
        return self._accept(
            number, timestamp, codec, payload, marker=header.marker, carried=carried, descriptor=descriptor
        )

    def _measure_frame(self, timestamp: int) -> None:
        """Note the length of a frame, from two packets in a row."""
        ticks = (timestamp - self._newest_timestamp) & 0xFFFFFFFF
        if 0 < ticks <= MAX_FRAME_TICKS:
            self._frame_ticks = ticks

    def _recover(self, packet: SourcePacket, redundant: Sequence[RedBlock]) -> list[SourcePacket]:
        """Packets before `packet` that were lost and whose frames it carries."""
        recovered = []
        lowest = max(self._numbering.floor, self._numbering.highest - MAX_LATE)
        for place, block in enumerate(redundant):
            ago, odd = divmod(block.timestamp_offset, self._frame_ticks) if self._frame_ticks else (0, 1)
            number = packet.sequence - (len(redundant) - place if odd else ago)
            if not lowest <= number < packet.sequence or not block.payload or number in self.history:
                continue
            self.nack.received(number, now=self.last_time)
            self.recovered += 1
            timestamp = (packet.timestamp - block.timestamp_offset) & 0xFFFFFFFF
            recovered.append(self._accept(number, timestamp, packet.codec, block.payload))
        return recovered

    def _accept(
        self, number: int, timestamp: int, codec: str, payload: bytes,
        *, marker: bool = False, carried: tuple[tuple[str, bytes], ...] = (), descriptor: bytes = b"",
    ) -> SourcePacket:
        layering, said = self._layering(codec, payload, descriptor)
        payload = payload if layering is None else bare(payload, layering)
        packet = SourcePacket(number, timestamp, marker, codec, payload, carried, layering, said)
        self.history.put(number, packet)
        self.packets += 1
        self.octets += len(payload)
        return packet

    def _layering(
        self, codec: str, payload: bytes, descriptor: bytes
    ) -> tuple[Layering | None, DependencyDescriptor | None]:
        if self.kind == "audio" or not payload:
            return None, None
        said = layering = None
        try:
            if descriptor:
                said = self._description.read(descriptor)
                layering = described(said)
            else:
                layering = read_layering(codec.partition("/")[0], payload)
        except WireError:
            self.strays += 1  # passed on: it harms nobody, and decoders are more able than we
        if layering is None:
            self.rates.add(0, 0, len(payload))
            return None, None
        self.rates.add(layering.spatial, layering.temporal, len(payload))
        if layering.height:
            self.height = layering.height
        return layering, said

    def _restart(self, ssrc: int) -> None:
        self.reception = Reception(ssrc, self.clock_rate)
        self.meter.forget()
        self._frame_ticks = 0
        self.nack.reset()
        self.fanout.suspend()
