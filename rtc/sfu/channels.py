"""Data channels of a room: what one participant sends on a label reaches all others with that label."""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from rtc.bucket import TokenBucket

MAX_LABEL = 64
"""Characters of a label that is relayed."""
MAX_CHANNELS = 16
"""Open channels of one participant; more are closed at once."""
MAX_BUFFERED = 1 << 20
"""Bytes that may wait for a slow receiver on one channel; what comes while it is full is dropped for that receiver."""
MESSAGES_PER_SECOND, MESSAGE_BURST = 200.0, 400.0
BYTES_PER_SECOND, BYTE_BURST = 256 * 1024.0, 1024 * 1024.0
"""What one participant may send on all channels: each message costs everybody else in the room as much again."""


class Channels:
    """The open data channels of one room, by label. `now` is the clock, seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.relayed = 0
        """Messages passed on, each counted for every receiver."""
        self.dropped = 0
        """Messages not passed on: to a receiver that is too slow, or from a sender that is too fast."""
        self.refused = 0
        """Messages of participants who may not send any."""
        self._now = now
        self._channels: dict[str, dict[RTCDataChannel, str]] = {}
        self._buckets: dict[str, tuple[TokenBucket, TokenBucket]] = {}
        self._silent: set[str] = set()

    def add(self, peer_id: str, channel: RTCDataChannel) -> None:
        """Relay a channel that a peer has opened, until it closes."""
        label = channel.label
        theirs = sum(owner == peer_id for members in self._channels.values() for owner in members.values())
        if len(label) > MAX_LABEL or theirs >= MAX_CHANNELS:
            channel.close()
            return
        self._channels.setdefault(label, {})[channel] = peer_id
        channel.on("message", lambda message: self._relay(peer_id, label, message))
        channel.on("close", lambda: self._forget(label, channel))

    def allow(self, peer_id: str, allowed: bool) -> None:
        """Say whether what a peer sends is passed on; it receives in any case."""
        if allowed:
            self._silent.discard(peer_id)
        else:
            self._silent.add(peer_id)

    def remove(self, peer_id: str) -> None:
        """The peer has left."""
        self._silent.discard(peer_id)
        self._buckets.pop(peer_id, None)
        for label, members in list(self._channels.items()):
            for channel in [channel for channel, owner in members.items() if owner == peer_id]:
                self._forget(label, channel)

    def _relay(self, sender: str, label: str, message: str | bytes) -> None:
        if sender in self._silent:
            self.refused += 1
            return
        if not self._admits(sender, len(message)):
            self.dropped += 1
            return
        for channel, owner in list(self._channels.get(label, {}).items()):
            if owner == sender or channel.readyState != "open":
                continue
            if channel.bufferedAmount > MAX_BUFFERED:
                self.dropped += 1
                continue
            try:
                channel.send(message)
            except (InvalidStateError, ValueError):
                self.dropped += 1
            else:
                self.relayed += 1

    def _admits(self, sender: str, size: int) -> bool:
        messages, octets = self._buckets.setdefault(
            sender,
            (TokenBucket(MESSAGES_PER_SECOND, MESSAGE_BURST), TokenBucket(BYTES_PER_SECOND, BYTE_BURST)),
        )
        now = self._now()
        return messages.take(now=now) and octets.take(size, now=now)

    def _forget(self, label: str, channel: RTCDataChannel) -> None:
        members = self._channels.get(label)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self._channels[label]
