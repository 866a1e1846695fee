"""The media of a call.

M-lines, senders and receivers over one connection at a time, and the clock that drives them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from rtc.client.audio_receiver import CLOCK_RATE as AUDIO_CLOCK_RATE
from rtc.client.audio_receiver import AudioReceiver
from rtc.client.audio_sender import AudioSender
from rtc.client.connection import Connection, ConnectionCounters
from rtc.client.errors import CallError
from rtc.client.offer import (
    EXTENSION_IDS,
    Answer,
    AnsweredLine,
    Kind,
    OfferedLine,
    read_answer,
    write_offer,
)
from rtc.client.outgoing import OutgoingStream
from rtc.client.simulcast import RIDS
from rtc.client.video_buffer import CLOCK_RATE as VIDEO_CLOCK_RATE
from rtc.client.video_receiver import VideoReceiver
from rtc.repair.bandwidth.arrivals import ArrivalFeedback
from rtc.repair.redundancy import Protection
from rtc.wire import extensions
from rtc.wire.errors import WireError
from rtc.wire.protection import PathReport, ProtectionRequest, read_application
from rtc.wire.rtcp import (
    Application,
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimate,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize,
)
from rtc.wire.rtp import RtpPacket

TICK_SECONDS = 0.01
"""Period of NACKs and deadlines."""

REPORT_SECONDS = 1.0
"""Period of sender and receiver reports (RFC 3550 section 6.2 allows less than 5 s for small sessions.

AVPF).
"""

LOSSY_SHARE = 0.2
"""Share of packets lost from which on reports go out more often, since many do not arrive."""

LOSSY_REPORT_SECONDS = 0.25
"""Period of reports on such a path, and of the first ones: the server has to learn what the path is like."""

REPEATED_SHARES = (LOSSY_SHARE, 0.5)
"""Share of packets lost, on either way, from which on all feedback is sent twice; three times."""

TRANSPORT_SECONDS = 0.05
"""Period of transport-wide feedback: the server paces and chooses video by it."""

EARLY_REPORTS = 12
"""Reports that tell of received packets before the period is the longer one."""

MAX_REPORT_BLOCKS = 31
"""Blocks that one receiver report holds."""

SENDERS: tuple[tuple[str, Kind], ...] = (("microphone", "audio"), ("camera", "video"), ("screen", "video"))
"""Sources that an m-line is offered for at once, so that publishing needs no new offer."""


SIMULCAST = frozenset({"camera"})
"""Those of them that may be sent in several sizes; a screen is sharp first."""


class Sender:
    """An m-line that we may send on."""

    def __init__(self, mid: str, source: str, kind: Kind) -> None:
        self.mid = mid
        self.source = source
        self.kind = kind
        video = kind == "video"
        self.streams = tuple(
            OutgoingStream(
                ssrc=secrets.randbits(32),
                clock_rate=VIDEO_CLOCK_RATE if video else AUDIO_CLOCK_RATE,
                rtx_ssrc=secrets.randbits(32) if video else None,
                rid=rid,
            )
            for rid in (RIDS if source in SIMULCAST else ("",))
        )
        """One for each simulcast encoding, the smallest picture first."""
        self.line = AnsweredLine(mid, accepted=False)
        self.active = False
        """Whether something is published here: reports are sent then."""
        self.audio: AudioSender | None = None
        """What encodes here; None of video, and while nothing is published."""
        self._asked: Protection | None = None
        self.keyframe_requested: Callable[[int], None] = lambda ssrc: None
        """Called with the SSRC of what is to begin with a key frame."""
        self.renegotiated: Callable[[], None] = lambda: None
        self.wanted_changed: Callable[[Collection[str]], None] = lambda rids: None
        """Called with the RIDs of what is of use to anybody."""

    @property
    def stream(self) -> OutgoingStream:
        """Its only stream; of simulcast, that of the smallest picture."""
        return self.streams[0]

    def offered(self) -> OfferedLine:
        """The m-line of the offer."""
        if len(self.streams) > 1:
            return OfferedLine(self.mid, self.kind, rids=tuple(stream.rid for stream in self.streams))
        rtx = () if self.stream.rtx_ssrc is None else (self.stream.rtx_ssrc,)
        return OfferedLine(self.mid, self.kind, (self.stream.ssrc, *rtx))

    @property
    def copies(self) -> int:
        """How often each packet is to be sent."""
        return 1 if self.audio is None else self.audio.protection.copies

    def encodes(self, audio: AudioSender | None) -> None:
        """A publication begins to encode here, or has ended."""
        self.audio = audio
        if audio is not None and self._asked is not None:
            audio.protect(self._asked)

    def protect(self, protection: Protection) -> None:
        """The server asks for this much redundancy, of this publication and of later ones."""
        self._asked = protection
        if self.audio is not None:
            self.audio.protect(protection)

    def reported(self, stream: OutgoingStream, block: ReportBlock, *, now: float, unix_time: float) -> None:
        """The server reports what it received of a stream of this."""
        stream.reported(block, unix_time=unix_time)
        if self.audio is not None:
            self.audio.reported(block, now=now)

    def answered(self, line: AnsweredLine) -> None:
        """Take over what the server accepted."""
        self.line = line
        for stream in self.streams:
            stream.extensions = _naming(line, {extensions.MID: self.mid, extensions.RID: stream.rid})
            stream.rtx_extensions = _naming(line, {extensions.MID: self.mid, extensions.REPAIRED_RID: stream.rid})
            stream.send_time_id = line.extension_ids.get(extensions.ABS_SEND_TIME)
            stream.rtx_payload_types = {original: rtx for rtx, original in line.rtx.items()}
        self.renegotiated()


def _naming(line: AnsweredLine, names: dict[str, str]) -> dict[int, bytes]:
    """Header extensions that name something, as far as they were agreed on."""
    ids = line.extension_ids
    return {ids[uri]: extensions.pack_text(name) for uri, name in names.items() if name and uri in ids}


class Media:
    """Everything that is sent and received.

    `exchange` carries an offer to the server and returns the answer.
    """

    def __init__(
        self,
        *,
        loopback: bool,
        audio_slots: int,
        video_slots: int,
        exchange: Callable[[str], Awaitable[str]],
        answered: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self.counters = ConnectionCounters()
        self.senders = {
            source: Sender(str(index), source, kind) for index, (source, kind) in enumerate(SENDERS)
        }
        self.audio: dict[str, AudioReceiver] = {}
        self.video: dict[str, VideoReceiver] = {}
        self.encoding = ThreadPoolExecutor(1, thread_name_prefix="clarion-encode")
        self.decoding = ThreadPoolExecutor(1, thread_name_prefix="clarion-decode")
        self.remb: Callable[[int], None] = lambda bitrate: None
        self.first_audio_at: float | None = None
        self._loopback = loopback
        self._exchange = exchange
        self._answered = answered
        self._failed = failed
        first = len(SENDERS)
        self._slots: list[tuple[str, Kind]] = [(str(first + i), "audio") for i in range(audio_slots)]
        self._slots += [(str(first + audio_slots + i), "video") for i in range(video_slots)]
        self._ssrc = secrets.randbits(32)
        self._cname = secrets.token_urlsafe(12)
        self._session_id = secrets.randbits(62)
        self._connection: Connection | None = None
        self._by_ssrc: dict[int, AudioReceiver | VideoReceiver] = {}
        self._next_report = 0.0
        self._arrivals = ArrivalFeedback()
        self._next_feedback = 0.0
        self._telling_reports = 0

    @property
    def connected(self) -> bool:
        """Whether media can flow."""
        return self._connection is not None and self._connection.connected

    @property
    def rtt(self) -> float | None:
        """Round trip to the server in seconds: as reports tell it, and while we send nothing, as ICE does."""
        active = [stream for sender in self.senders.values() if sender.active for stream in sender.streams]
        measured = [stream.rtt for stream in active if stream.rtt is not None]
        if measured:
            return min(measured)
        return None if self._connection is None else self._connection.rtt

    async def connect(self, *, fresh: bool) -> None:
        """Connect; a connection that stands gets a new path by ICE restart, or with `fresh` a successor.

        Raises ConnectionError, WireError, or what `exchange` does.
        """
        connection = self._connection
        if connection is None or fresh or not connection.connected:
            if connection is not None:
                await connection.close()
            connection = self._connection = Connection(
                loopback=self._loopback, received=self._received, failed=self._failed, counters=self.counters
            )
        transport = await connection.gather()
        lines = [sender.offered() for sender in self.senders.values()]
        lines += [OfferedLine(mid, kind) for mid, kind in self._slots]
        offer = write_offer(transport, lines, session_id=self._session_id, cname=self._cname)
        answer = read_answer(await self._exchange(offer))
        self._apply(answer)
        self._answered()
        await connection.connect(answer)

    async def begin(self, interrupted: asyncio.Event) -> None:
        """Connect for the first time; anew whenever `interrupted` is set, or about to be. Raises as `connect`."""
        while True:
            interrupted.clear()
            connecting = asyncio.create_task(self.connect(fresh=True), name="first media connection")
            waiting = asyncio.create_task(interrupted.wait(), name="interruption of the first media connection")
            try:
                await asyncio.wait({connecting, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if not interrupted.is_set():
                    problem = connecting.exception()
                    if not isinstance(problem, CallError) or problem.code != "gone":
                        return connecting.result()
                    await waiting  # the server was restarted, and tells next how everything stands
            finally:
                connecting.cancel()
                waiting.cancel()
                await asyncio.gather(connecting, waiting, return_exceptions=True)

    async def run(self) -> None:
        """Drive timers until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.connected:
                self._tick(time.monotonic())

    def send(self, packet: bytes, *, copies: int = 1) -> None:
        """Send an RTP packet of a sender, so many times."""
        if self._connection is not None:
            self._connection.send_rtp(packet, copies=copies)

    def protect(self, mid: str, protection: Protection) -> None:
        """The server asks for this much redundancy of an m-line; nothing happens when there is none of that name."""
        for sender in self.senders.values():
            if sender.mid == mid:
                sender.protect(protection)

    def want(self, mid: str, rids: Collection[str]) -> None:
        """Only these simulcast encodings of an m-line are of use to anybody."""
        for sender in self.senders.values():
            if sender.mid == mid:
                sender.wanted_changed(rids)

    async def close(self) -> None:
        """Free everything; frames being encoded or decoded are waited for."""
        if self._connection is not None:
            await self._connection.close()
        for executor in (self.encoding, self.decoding):
            executor.shutdown(wait=False, cancel_futures=True)

    # --- what the answer says -------------------------------------------------------------------------------

    def _apply(self, answer: Answer) -> None:
        for sender in self.senders.values():
            sender.answered(answer.lines.get(sender.mid, AnsweredLine(sender.mid, accepted=False)))
        self._by_ssrc.clear()
        for mid, kind in self._slots:
            line = answer.lines.get(mid)
            if line is None or not line.accepted or not line.ssrcs:
                continue
            receiver = self._audio_slot(line) if kind == "audio" else self._video_slot(line)
            for ssrc in line.ssrcs:
                self._by_ssrc[ssrc] = receiver

    def _audio_slot(self, line: AnsweredLine) -> AudioReceiver:
        receiver = self.audio.get(line.mid)
        if receiver is None or receiver.ssrc != line.ssrcs[0]:
            receiver = AudioReceiver(ssrc=line.ssrcs[0], local_ssrc=self._ssrc, nack=bool(line.nack))
            self.audio[line.mid] = receiver
        receiver.payload_type = line.payload_type("OPUS") or receiver.payload_type
        receiver.red_payload_type = line.payload_type("RED")
        return receiver

    def _video_slot(self, line: AnsweredLine) -> VideoReceiver:
        receiver = self.video.get(line.mid)
        if receiver is None or receiver.ssrc != line.ssrcs[0]:
            receiver = VideoReceiver(
                ssrc=line.ssrcs[0],
                local_ssrc=self._ssrc,
                codecs={number: name for number, name in line.codecs.items() if name != "RTX"},
                rtx=line.rtx,
                executor=self.decoding,
            )
            self.video[line.mid] = receiver
        return receiver

    # --- packets in -----------------------------------------------------------------------------------------

    def _received(self, data: bytes, rtcp: bool) -> None:
        now = time.monotonic()
        try:
            if rtcp:
                for packet in parse_compound(data):
                    self._feedback(packet, now)
                return
            rtp = RtpPacket.parse(data)
        except WireError:
            self.counters.malformed += 1
            return
        receiver = self._by_ssrc.get(rtp.ssrc)
        if receiver is None:
            self.counters.malformed += 1
            return
        number = rtp.extensions.get(EXTENSION_IDS[extensions.TRANSPORT_CC])
        if number is not None and len(number) == 2:
            self._arrivals.received(extensions.unpack_transport_cc(number), now=now)
        receiver.receive(rtp, now=now)
        if self.first_audio_at is None and isinstance(receiver, AudioReceiver):
            self.first_audio_at = now

    def _feedback(self, packet: RtcpPacket, now: float) -> None:
        if isinstance(packet, SenderReport):
            receiver = self._by_ssrc.get(packet.ssrc)
            if receiver is not None and receiver.ssrc == packet.ssrc:
                receiver.reception.sender_report(packet.ntp, now=now)
        if isinstance(packet, SenderReport | ReceiverReport):
            for block in packet.reports:
                for sender, stream in self._streams(block.ssrc):
                    sender.reported(stream, block, now=now, unix_time=time.time())
        elif isinstance(packet, GenericNack):
            for sender, stream in self._streams(packet.media_ssrc):
                if sender.audio is not None:
                    sender.audio.nacked(packet.lost, now=now)
                for data in stream.resend(packet.lost, now=now):
                    self.send(data, copies=sender.copies)
        elif isinstance(packet, PictureLossIndication):
            self._keyframe(packet.media_ssrc)
        elif isinstance(packet, FullIntraRequest):
            for ssrc, _ in packet.entries:
                self._keyframe(ssrc)
        elif isinstance(packet, ReceiverEstimate):
            self.remb(packet.bitrate)
        elif isinstance(packet, Application):
            request = read_application(packet)
            for sender in self.senders.values():
                if isinstance(request, ProtectionRequest) and sender.stream.ssrc == request.media_ssrc:
                    sender.protect(Protection(request.depth, request.copies))

    def _keyframe(self, ssrc: int) -> None:
        for sender, _ in self._streams(ssrc):
            sender.keyframe_requested(ssrc)

    def _streams(self, ssrc: int) -> list[tuple[Sender, OutgoingStream]]:
        """What we send with this SSRC, and on which m-line."""
        senders = self.senders.values()
        return [(sender, stream) for sender in senders for stream in sender.streams if stream.ssrc == ssrc]

    # --- packets out on time --------------------------------------------------------------------------------

    def _receivers(self) -> list[AudioReceiver | VideoReceiver]:
        return [*self.audio.values(), *self.video.values()]

    def _tick(self, now: float) -> None:
        rtt = self.rtt
        out: list[RtcpPacket] = []
        for receiver in self._receivers():
            out += receiver.feedback(now=now, rtt=rtt)
        if now >= self._next_feedback:
            self._next_feedback = now + TRANSPORT_SECONDS
            arrivals = self._arrivals.feedback(self._ssrc, 0)
            out += [] if arrivals is None else [arrivals]
        if now >= self._next_report:
            lossy = any(receiver.reception.fraction_lost >= LOSSY_SHARE for receiver in self._receivers())
            hears = any(receiver.reception.packets for receiver in self._receivers())
            early = hears and self._telling_reports < EARLY_REPORTS
            self._next_report = now + (LOSSY_REPORT_SECONDS if lossy or early else REPORT_SECONDS)
            out = [*self._reports(now), *out]
        if out and self._connection is not None:
            worst = max((*(receiver.reception.fraction_lost for receiver in self._receivers()),
                         *(stream.statistics.fraction_lost for sender in self.senders.values()
                           for stream in sender.streams)))  # fmt: skip
            for start in range(0, len(out), MAX_REPORT_BLOCKS):
                for _ in range(1 + sum(worst >= share for share in REPEATED_SHARES)):
                    self._connection.send_rtcp(serialize(out[start : start + MAX_REPORT_BLOCKS]))

    def _reports(self, now: float) -> list[RtcpPacket]:
        unix_time = time.time()
        active = [stream for sender in self.senders.values() if sender.active for stream in sender.streams]
        reports = [stream.sender_report(now=now, unix_time=unix_time) for stream in active]
        blocks = [block for r in self._receivers() if (block := r.report_block(now=now)) is not None]
        self._telling_reports += bool(blocks)
        ssrcs = (self._ssrc, *(stream.ssrc for stream in active))
        return [
            *(report for report in reports if report is not None),
            ReceiverReport(self._ssrc, tuple(blocks[:MAX_REPORT_BLOCKS])),
            SourceDescription(tuple((ssrc, self._cname) for ssrc in ssrcs)),
            *(PathReport(r.ssrc, *r.meter.measure()).to_rtcp(self._ssrc) for r in self.audio.values() if r.packets),
        ]
