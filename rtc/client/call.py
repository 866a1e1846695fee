"""A call, as a Python program sees it: join, publish tracks, hear and see the others, leave."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
import weakref
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from aiortc.mediastreams import MediaStreamTrack

from rtc.client import protocol
from rtc.client.audio_sender import FRAME_SECONDS
from rtc.client.errors import CallError, JoinError
from rtc.client.events import (
    CallEvent,
    ConnectionChanged,
    EventStream,
    Participant,
    ParticipantJoined,
    PermissionsChanged,
    Publication,
    PublicationEnded,
    Published,
    SpeakersChanged,
    Unpublished,
)
from rtc.client.governance import Governance
from rtc.client.incoming import Incoming
from rtc.client.media import SENDERS, Media
from rtc.client.messages import Messages, MessageStream
from rtc.client.publication import LocalPublication
from rtc.client.roster import Roster
from rtc.client.signalling import Signalling
from rtc.client.statistics import CallStatistics
from rtc.client.tracks import RemoteTrack
from rtc.repair.redundancy import Protection
from rtc.wire.errors import WireError

logger = logging.getLogger(__name__)

JOIN_SECONDS = 20.0
"""Entering the room and connecting the media may take this long."""

RECONNECT_SECONDS = 10.0
"""One attempt to connect the media anew may take this long."""

RECONNECT_WAITS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each attempt; after the last the call ends."""


@contextlib.asynccontextmanager
async def join(
    url: str,
    room: str,
    *,
    name: str,
    token: str = "",
    audio_slots: int = 4,
    video_slots: int = 4,
    join_seconds: float = JOIN_SECONDS,
) -> AsyncIterator[Call]:
    """Enter `room` of the server at `url` (http or https) under `name`; leave at the end of the block.

    `audio_slots` and `video_slots` bound how many of the others are heard and seen at once. Raises JoinError
    if the room cannot be entered or the media cannot connect within `join_seconds`.
    """
    call = Call(url, audio_slots=audio_slots, video_slots=video_slots)
    try:
        await call._enter(room, name, token, join_seconds)
        yield call
    finally:
        await call.leave()


class Call:
    """A call that stands. Made by join()."""

    def __init__(self, url: str, *, audio_slots: int, video_slots: int) -> None:
        self.id = ""
        """One's own participant id."""
        self.publications: dict[str, LocalPublication] = {}
        """What one offers, by source."""
        self.speakers: tuple[tuple[str, int], ...] = ()
        """Who is heard now: (participant id, level in dBov), loudest first."""
        self._signalling = Signalling(
            url, handle=self._message, lost=self._signalling_lost, ended=self._session_ended
        )
        self._media = Media(
            loopback=_is_loopback(url),
            audio_slots=audio_slots,
            video_slots=video_slots,
            exchange=self._exchange,
            answered=self._media_answered,
            failed=self._media_failed,
        )
        self._media.remb = self._remb
        self._incoming = Incoming(self._media)
        self._messages = Messages(self._signalling.command)
        self._roster = Roster()
        self.governance = Governance(self._signalling.command)
        """How the room is governed, and what a host may do."""
        self._published: dict[str, LocalPublication] = {}  # the last of each source, for its statistics
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()  # a stream nobody holds is not filled
        self._started = time.monotonic()
        self._reconnect = asyncio.Event()
        self._fresh = False
        self._unpublished = False  # the server does not know of our publications: it was restarted, or the session
        self._reconnects = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._reason = ""

    # --- what a program uses --------------------------------------------------------------------------------

    @property
    def participants(self) -> dict[str, Participant]:
        """Everybody else, by id."""
        return self._roster.participants

    @property
    def tracks(self) -> dict[str, RemoteTrack]:
        """What the others offer, by publication id, to be read."""
        return self._incoming.tracks

    @property
    def connected(self) -> bool:
        """Whether media flows."""
        return self._media.connected and not self._ended.is_set()

    async def publish(
        self,
        track: MediaStreamTrack,
        *,
        source: str | None = None,
        muted: bool = False,
        frame_seconds: float = FRAME_SECONDS,
    ) -> LocalPublication:
        """Offer a track as "microphone", "camera" or "screen"; without `source`, by its kind.

        Sound goes in frames of `frame_seconds`: 0.02, or 0.01 for less delay and more packets. Raises CallError.
        """
        if frame_seconds not in {0.01, 0.02}:
            raise CallError("bad-state", f"frames of {frame_seconds} s cannot be sent: only 0.01 and 0.02")
        source = source or ("microphone" if track.kind == "audio" else "camera")
        if dict(SENDERS).get(source) != track.kind:
            raise CallError("bad-state", f"a track of kind {track.kind!r} cannot be published as {source!r}")
        if source in self.publications:
            raise CallError("bad-state", f"something is published as {source} already")
        sender = self._media.senders[source]
        publication = LocalPublication(
            track,
            sender,
            self._media,
            set_muted=self._set_muted,
            withdraw=self._withdraw,
            ended=self._publication_ended,
            frame_seconds=frame_seconds,
        )
        self.publications[source] = publication
        try:
            await self._announce(publication, muted=muted)
        except BaseException:
            del self.publications[source]
            await publication.stop()
            raise
        self._published[source] = publication
        publication.start(muted=muted)
        return publication

    async def track(self, publication: Publication | str) -> RemoteTrack:
        """The track of a publication of somebody else, once the server sends it.

        Raises CallError if it ends first.
        """
        return await self._incoming.track(publication if isinstance(publication, str) else publication.id)

    async def watch(self, publications: list[str] | None) -> None:
        """Ask for these videos first; None leaves the choice to the server, by who speaks.

        Raises CallError.
        """
        wanted = None if publications is None else tuple(publications)
        await self._signalling.command(lambda number: protocol.Watch(id=number, publications=wanted))

    def reconnect(self, *, fresh: bool = False) -> None:
        """Make a new media path now, say since the machine has another network; publications go on.

        It happens by itself too, about 8 s after the path has died. With `fresh`, DTLS begins anew as well.
        """
        self._fresh = self._fresh or fresh
        self._reconnect.set()

    async def send(
        self, content: str | bytes | object, *, topic: str = "", to: Participant | str = ""
    ) -> int:
        """Send to everybody in the room, or to one participant; the number of the message, once it is stored.

        Without a `topic` it is chat, a string; with one it is data of an application: bytes, or what JSON can say.
        It is sent until it is stored, once, however often the connection breaks. Raises CallError.
        """
        return await self._messages.send(_content(content, topic), to=to if isinstance(to, str) else to.id)

    async def react(self, emoji: str, *, message: int = 0, removed: bool = False) -> int:
        """React to message number `message`, or to what is happening now; or take it back. Raises CallError."""
        return await self._messages.send(protocol.Reaction(emoji, message, removed))

    def messages(self, *, history: int = 0) -> MessageStream:
        """The last `history` messages of before, and then all that come, one's own too, in the order of the room.

        Each comes once. `async for` ends with the call.
        """
        return self._messages.stream(history=history)

    def events(self) -> EventStream:
        """Who and what is there already, and then what happens; `async for` ends with the call."""
        stream = EventStream()
        for participant in self.participants.values():
            stream.put(ParticipantJoined(participant))
            for publication in participant.publications.values():
                stream.put(Published(participant, publication))
        if self._ended.is_set():
            stream.end()
        else:
            self._streams.add(stream)
        return stream

    async def wait_ended(self) -> str:
        """Wait until the call has ended, by leave() or by the server; the reason."""
        await self._ended.wait()
        return self._reason

    def statistics(self) -> CallStatistics:
        """The call in numbers since join()."""
        media = self._media
        pictures = [at for receiver in media.video.values() if (at := receiver.first_frame_at) is not None]
        first_audio = media.first_audio_at
        return CallStatistics(
            seconds=time.monotonic() - self._started,
            connected=self.connected,
            rtt=media.rtt,
            reconnects=self._reconnects,
            wire=replace(media.counters),
            sent=tuple(publication.statistics() for publication in self._published.values()),
            audio={mid: receiver.statistics() for mid, receiver in media.audio.items()},
            video={mid: receiver.statistics() for mid, receiver in media.video.items()},
            first_audio=None if first_audio is None else first_audio - self._started,
            first_video=min(pictures) - self._started if pictures else None,
        )

    async def leave(self) -> None:
        """Leave the room and stop everything; harmless when left already."""
        if self.id and not self._ended.is_set():
            with contextlib.suppress(CallError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._signalling.command(lambda number: protocol.Leave(id=number))
        self._session_ended("left")
        for publication in list(self.publications.values()):
            await publication.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._signalling.close()
        await self._media.close()

    # --- entering and reconnecting --------------------------------------------------------------------------

    async def _enter(self, room: str, name: str, token: str, seconds: float) -> None:
        self._started = time.monotonic()
        # The offer goes out right behind `join`: one round trip less until the first sound.
        connecting = asyncio.create_task(self._media.begin(self._reconnect), name="media connection")
        try:
            joined = await self._signalling.join(
                room=room, name=name, token=token, seconds=seconds, waiting=connecting.cancel
            )
            self.id = joined.you.id
            self.governance.joined(joined)
            if connecting.cancelled():  # its offer may have waited too long
                connecting = asyncio.create_task(self._media.begin(self._reconnect), name="media connection")
            self._messages.joined(joined.last_message)
            for participant in joined.participants:
                for publication in self._roster.enter(participant).publications.values():
                    self._incoming.add(publication)
            async with asyncio.timeout(seconds):
                await connecting
            self._fresh = self._unpublished = False
        except TimeoutError:
            message = "the server answers, but no media comes through: is its UDP port reachable?"
            raise JoinError("no-media", message) from None
        except (ConnectionError, OSError, WireError) as problem:
            raise JoinError("no-media", f"the media connection failed: {problem}") from None
        except JoinError:
            raise
        except CallError as problem:
            raise JoinError(problem.code, problem.message) from None
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
        self._spawn(self._media.run(), "media clock")
        self._spawn(self._keep_connected(), "media reconnection")

    async def _exchange(self, offer: str) -> str:
        reply = await self._signalling.command(lambda number: protocol.Offer(id=number, sdp=offer))
        return reply.sdp

    async def _keep_connected(self) -> None:
        while True:
            await self._reconnect.wait()
            if self._ended.is_set():
                return
            self._emit(ConnectionChanged("reconnecting", "media"))
            for wait in RECONNECT_WAITS:
                await asyncio.sleep(wait)
                self._reconnect.clear()
                try:
                    async with asyncio.timeout(RECONNECT_SECONDS):
                        await self._media.connect(fresh=self._fresh)
                        if self._unpublished:
                            await self._publish_again()
                except (TimeoutError, OSError, WireError, CallError) as problem:
                    logger.info("media reconnection failed: %s", problem)
                    self._fresh = True  # an ICE restart did not help, so everything anew
                else:
                    self._fresh = False
                    break
            else:
                self._session_ended("no-media")
                return
            self._reconnects += 1
            self._emit(ConnectionChanged("connected", "media"))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=problem)
            self._session_ended("internal")

    # --- what the server says -------------------------------------------------------------------------------

    def _message(self, message: protocol.ServerMessage) -> None:
        if isinstance(message, protocol.Slots):
            self._incoming.assign({slot.mid: slot.publication for slot in message.slots if slot.publication})
        elif isinstance(message, protocol.Redundancy):
            self._media.protect(message.mid, Protection(message.depth, message.copies))
        elif isinstance(message, protocol.Encodings):
            self._media.want(message.mid, message.rids)
        elif isinstance(message, protocol.Transport):
            if message.state == "failed":
                self._fresh = True
                self._media_failed()
        elif isinstance(message, protocol.MessageSent):
            self._messages.receive(message.message)
        elif isinstance(message, protocol.Joined):
            self._renewed(message)
        elif isinstance(message, protocol.GovernanceEvent):
            self._happened(self.governance.apply(message) or self._roster.apply(message))
        elif isinstance(message, protocol.Muted) and message.participant == self.id:
            for publication in self.publications.values():
                if publication.id == message.publication:
                    publication.muted_by_host()
        else:
            self._happened(self._roster.apply(message))

    def _happened(self, events: list[CallEvent]) -> None:
        for event in events:
            if isinstance(event, Published):
                self._incoming.add(event.publication)
            elif isinstance(event, Unpublished):
                self._incoming.remove(event.publication)
            elif isinstance(event, SpeakersChanged):
                self.speakers = event.speakers
            elif isinstance(event, PermissionsChanged) and not event.permissions.can_publish:
                self._withdrawn()
            self._emit(event)

    def _renewed(self, state: protocol.Joined) -> None:
        """How everything stands, in place of events that the server could not keep."""
        self.id = state.you.id
        self._happened(self._roster.replace(state.participants))
        self._messages.behind(state.last_message)
        self.governance.joined(state)
        if self._signalling.restarted:
            self._signalling.restarted = False
            self._fresh = self._unpublished = True
            self._reconnect.set()
        else:
            self._incoming.assign({slot.mid: slot.publication for slot in state.slots if slot.publication})

    async def _publish_again(self) -> None:
        """Offer one's tracks to a server that does not know of them. Raises CallError."""
        for publication in list(self.publications.values()):
            await self._announce(publication, muted=publication.muted)
        self._unpublished = False

    def _media_answered(self) -> None:
        self._incoming.attach()

    def _media_failed(self) -> None:
        self._reconnect.set()

    def _signalling_lost(self, lost: bool) -> None:
        self._emit(ConnectionChanged("reconnecting" if lost else "connected", "signalling"))

    def _session_ended(self, reason: str) -> None:
        if self._ended.is_set():
            return
        self._reason = reason
        self._ended.set()
        self._incoming.end()
        self._emit(ConnectionChanged("closed", reason))
        self._messages.end()
        for stream in self._streams:
            stream.end()
        self._streams.clear()

    def _emit(self, event: CallEvent) -> None:
        for stream in self._streams:
            stream.put(event)

    # --- publications of ours -------------------------------------------------------------------------------

    async def _announce(self, publication: LocalPublication, *, muted: bool) -> None:
        mid, source = publication.sender.mid, publication.source
        reply = await self._signalling.command(
            lambda number: protocol.Publish(id=number, mid=mid, source=source, muted=muted)
        )
        if reply.publication is None:
            raise CallError("bad-message", "the server did not name the new publication")
        publication.id = reply.publication.id

    async def _set_muted(self, publication: LocalPublication, muted: bool) -> None:
        await self._signalling.command(
            lambda number: protocol.Mute(id=number, publication=publication.id, muted=muted)
        )

    async def _withdraw(self, publication: LocalPublication) -> None:
        if self.publications.get(publication.source) is publication:
            del self.publications[publication.source]
            await self._signalling.command(
                lambda number: protocol.Unpublish(id=number, publication=publication.id)
            )

    def _withdrawn(self) -> None:
        """The server has withdrawn all publications of this call."""
        for publication in list(self.publications.values()):
            del self.publications[publication.source]
            self._emit(PublicationEnded(publication.source, "a host has ended it"))
            self._spawn(publication.stop(), f"stopping {publication.source}")

    def _publication_ended(self, publication: LocalPublication, error: str) -> None:
        self._emit(PublicationEnded(publication.source, error))
        self._spawn(self._withdraw_ended(publication), f"unpublish {publication.source}")

    async def _withdraw_ended(self, publication: LocalPublication) -> None:
        with contextlib.suppress(CallError):
            await publication.unpublish()

    def _remb(self, bitrate: int) -> None:
        videos = [p for p in self.publications.values() if p.sender.kind == "video" and not p.muted]
        for publication in videos:
            publication.set_bitrate(bitrate // len(videos))


def _content(content: str | bytes | object, topic: str) -> protocol.Content:
    if not topic:
        if not isinstance(content, str):
            raise CallError("bad-message", "only a string is chat; give data a topic")
        return protocol.Text(content)
    return protocol.Bytes(topic, content) if isinstance(content, bytes) else protocol.Json(topic, content)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
