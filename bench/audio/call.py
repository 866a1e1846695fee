"""One call in virtual time: a Python client speaks, a real node forwards, a Python client listens.

Everything between the microphone and the loudspeaker is what runs in production: the client's media and ICE,
DTLS and SRTP, the node with its port and rooms. Only signalling is short-cut, and time and network are virtual.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from unittest import mock

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from bench.audio.network import SERVER, Hops, Network, VirtualSocket
from bench.audio.speech import RATE, Speech, Wave
from bench.virtual import clocks, run
from rtc.client.media import Media
from rtc.client.publication import LocalPublication
from rtc.client.tracks import RemoteAudioTrack
from rtc.sfu import Node, Peer, Quality, Room
from rtc.sfu.publication import SlotView

SPEAKER, LISTENER = "10.0.0.2", "10.0.0.3"

CAPTURE_SAMPLES = 480
"""Samples that the microphone hands over at a time, 10 ms, when the last of them has been heard."""

PLAY_SAMPLES = 480
"""Samples that the loudspeaker asks for at a time, when it plays the first of them."""

FRAME_SAMPLES = 960
"""Samples in a packet, 20 ms."""

CONNECT_SECONDS = 10.0


@dataclass(slots=True)
class Heard:
    """What came of a call."""

    pcm: Wave
    """What was played while `Speech.sent` was captured: sample i was played when sample i was captured."""
    frames: int
    concealed: int
    """Of so many frames due during the scored part, this many were not played but guessed, left out or silence."""
    kbits_up: float
    kbits_down: float
    """On the wire, IP and UDP headers included: speaker to server, server to listener."""
    notes: dict[str, float] = field(default_factory=dict)
    """Other figures: what the engine did."""

    @property
    def concealed_share(self) -> float:
        """0 to 1."""
        return self.concealed / max(1, self.frames)


def hear(speech: Speech, network: Network, *, seed: int) -> Heard:
    """Hold the call. The same seed gives the same losses."""
    hops = Hops(network.rtt / 2)
    state = random.getstate()
    random.seed(seed)  # aioice and the consent checks draw from the global generator
    try:
        return run(_call(speech, network, hops, seed), link_between=hops.between)
    finally:
        random.setstate(state)


class Microphone(MediaStreamTrack):
    """Hands over what it has heard, in real (virtual) time."""

    kind = "audio"

    def __init__(self, pcm: Wave) -> None:
        super().__init__()
        self._pcm = np.clip(np.round(pcm * 32767), -32768, 32767).astype(np.int16)
        self._position = 0
        self.began: float | None = None
        """When sample 0 was captured."""
        self.ended = asyncio.Event()

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it is complete."""
        loop = asyncio.get_running_loop()
        if self.began is None:
            self.began = loop.time()
        samples = self._pcm[self._position : self._position + CAPTURE_SAMPLES]
        if len(samples) < CAPTURE_SAMPLES or self.readyState != "live":
            self.ended.set()
            raise MediaStreamError
        await asyncio.sleep(self.began + (self._position + CAPTURE_SAMPLES) / RATE - loop.time())
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._position, Fraction(1, RATE)
        self._position += CAPTURE_SAMPLES
        return frame


class Listening:
    """What a peer tells of itself (rtc.sfu.PeerEvents), as far as it matters here."""

    def __init__(self) -> None:
        self.carried: dict[str, str | None] = {}
        """Slot by publication."""
        self.connected = asyncio.Event()
        """At the server too: OpenSSL repeats a last flight in real time only."""
        self.wanted: Callable[[str, tuple[str, ...]], None] = lambda mid, rids: None

    def transport_changed(self, state: str) -> None:
        """The network may be spoiled when the handshake is over."""
        if state == "connected":
            self.connected.set()

    def speakers_changed(self, speakers: tuple[tuple[str, int], ...]) -> None:
        """Nothing to do."""

    def qualities_changed(self, qualities: tuple[Quality, ...]) -> None:
        """Nothing to do."""

    def clocks_changed(self, timestamps: Mapping[str, int]) -> None:
        """Nothing to do."""

    def encodings_wanted(self, mid: str, rids: tuple[str, ...], *, instead: bool) -> None:
        """Tell the client, as signalling would."""
        self.wanted(mid, rids)

    def slots_changed(self, slots: tuple[SlotView, ...]) -> None:
        """Note which slot carries what."""
        self.carried = {slot.publication: slot.mid for slot in slots if slot.publication is not None}

    def codecs_changed(self, codecs: tuple[str, ...]) -> None:
        """There is no video."""

    def protection_changed(self, mid: str, depth: int, copies: int) -> None:
        """Nothing to do: clients hear of it over RTCP."""


class Client:
    """A participant: the client's media, and in place of signalling its peer in the room."""

    def __init__(self, host: str, room: Room, *, audio_slots: int = 0, video_slots: int = 0) -> None:
        self.host = host
        self.room = room
        self.events = Listening()
        self.lost_path = 0
        self.media = Media(
            loopback=False, audio_slots=audio_slots, video_slots=video_slots,
            exchange=self._exchange, answered=lambda: None, failed=self._failed,
        )
        self.events.wanted = self.media.want
        self.peer: Peer = room.join(host, self.events, sends_copies=True)
        self._ticking: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Connect, and begin to run."""
        with mock.patch("aioice.ice.get_host_addresses", lambda **_: [self.host]):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self.media.connect(fresh=True)
                await self.events.connected.wait()
        self._ticking = asyncio.create_task(self.media.run())

    async def publish(self, track: MediaStreamTrack, source: str = "microphone") -> LocalPublication:
        """Publish a track under the name of its source."""

        async def nothing(*_: object) -> None:
            """Signalling would tell the room."""

        sender = self.media.senders[source]
        self.peer.publish(sender.mid, publication_id=source)
        publication = LocalPublication(
            track, sender, self.media, set_muted=nothing, withdraw=nothing, ended=lambda *_: None
        )
        self.media.remb = publication.set_bitrate
        publication.start(muted=False)
        return publication

    async def close(self) -> None:
        """Stop everything."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await self.media.close()
        await self.peer.close()

    async def _exchange(self, offer: str) -> str:
        return self.peer.answer(offer)

    def _failed(self) -> None:
        self.lost_path += 1


@contextlib.asynccontextmanager
async def meeting(*hosts: str) -> AsyncIterator[list[Client]]:
    """A node with a room, and connected clients on these hosts: the first is to speak, the others listen."""
    with clocks():
        node = Node(await VirtualSocket.open(), (SERVER[0],))
        room = node.create_room("bench")
        clients = [Client(host, room, audio_slots=int(place > 0)) for place, host in enumerate(hosts)]
        try:
            for client in clients:
                await client.connect()
            yield clients
        finally:
            for client in clients:
                await client.close()
            await node.close()


async def _call(speech: Speech, network: Network, hops: Hops, seed: int) -> Heard:
    async with meeting(SPEAKER, LISTENER) as (speaker, listener):
        hops.spoil(network, seed=seed)
        return await _talk(speech, speaker, listener, hops)


async def _talk(speech: Speech, speaker: Client, listener: Client, hops: Hops) -> Heard:
    loop = asyncio.get_running_loop()
    sent = speech.sent
    microphone = Microphone(sent)
    publication = await speaker.publish(microphone)
    track = RemoteAudioTrack("microphone", SPEAKER)
    track.attach(listener.media.audio[listener.events.carried["microphone"]])
    began = loop.time()
    played: list[Wave] = []
    counted: list[tuple[int, int, int, int, float]] = []
    edges = [speech.start, speech.start + len(speech.scored)]
    for position in range(0, len(sent), PLAY_SAMPLES):
        await asyncio.sleep(began + position / RATE - loop.time())
        if edges and position >= edges[0]:
            edges.pop(0)
            counted.append((*_frames(listener), hops.up(SPEAKER).octets, hops.down(LISTENER).octets, loop.time()))
        played.append(track.pull(PLAY_SAMPLES)[:, 0].astype(np.float32) / 32768)
    await publication.stop()
    frames, concealed, up, down, seconds = (after - before for before, after in zip(*counted, strict=True))
    return Heard(
        pcm=np.concatenate(played)[: len(sent)],
        frames=frames,
        concealed=concealed,
        kbits_up=up * 8 / seconds / 1000,
        kbits_down=down * 8 / seconds / 1000,
        notes={"lost_path": speaker.lost_path + listener.lost_path},
    )


def _frames(listener: Client) -> tuple[int, int]:
    """Frames due so far, and those of them guessed, left out or silent: the speaker never pauses."""
    receiver = next(iter(listener.media.audio.values()))
    statistics = receiver.statistics()
    missed = statistics.concealed + statistics.skipped + receiver.player.statistics.silent_samples // FRAME_SAMPLES
    return statistics.played + statistics.recovered + missed, missed
