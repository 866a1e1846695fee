"""What the others publish: a track for each publication, attached to the slot that carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtc.client.errors import CallError
from rtc.client.events import Publication
from rtc.client.media import Media
from rtc.client.tracks import RemoteAudioTrack, RemoteTrack, RemoteVideoTrack


class Incoming:
    """The tracks of the others in one call."""

    def __init__(self, media: Media) -> None:
        self.tracks: dict[str, RemoteTrack] = {}
        """By publication id."""
        self._media = media
        self._assigned: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._ended = False

    async def track(self, publication: str) -> RemoteTrack:
        """The track of a publication, once the server sends it. Raises CallError if it ends first."""
        while not self._ended:
            track = self.tracks.get(publication)
            if track is None:
                raise CallError("not-found", "there is no such publication in the room")
            if track.receiving:
                return track
            self._changed.clear()
            await self._changed.wait()
        raise CallError("closed", "the call has ended")

    def add(self, publication: Publication) -> None:
        """Somebody publishes."""
        make: Callable[[str, str], RemoteTrack]
        make = RemoteAudioTrack if publication.kind == "audio" else RemoteVideoTrack
        self.tracks[publication.id] = make(publication.id, publication.participant)
        self.attach()

    def remove(self, publication: Publication) -> None:
        """Somebody has ended a publication."""
        track = self.tracks.pop(publication.id, None)
        if track is not None:
            track.stop()
        self._changed.set()

    def assign(self, publications: dict[str, str]) -> None:
        """What the slots carry from now on: `publications` by m-line."""
        self._assigned = publications
        self.attach()

    def attach(self) -> None:
        """Attach each track to the receiver of its slot, as far as there is one."""
        mids = {publication: mid for mid, publication in self._assigned.items()}
        for identifier, track in self.tracks.items():
            mid = mids.get(identifier, "")
            if isinstance(track, RemoteAudioTrack):
                track.attach(self._media.audio.get(mid))
            elif isinstance(track, RemoteVideoTrack):
                track.attach(self._media.video.get(mid))
        self._changed.set()

    def end(self) -> None:
        """The call has ended."""
        self._ended = True
        self._changed.set()
        for track in self.tracks.values():
            track.stop()
