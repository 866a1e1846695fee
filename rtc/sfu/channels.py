"""Data channels of a room: what one participant sends on a label reaches all others with that label."""

from __future__ import annotations

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

MAX_LABEL = 64
"""Characters of a label that is relayed."""

MAX_BUFFERED = 1 << 20
"""Bytes that may wait for a slow receiver on one channel; what comes while it is full is dropped for that receiver."""


class Channels:
    """The open data channels of one room, by label."""

    def __init__(self) -> None:
        self.relayed = 0
        """Messages passed on, each counted for every receiver."""
        self.dropped = 0
        """Messages not passed on to a receiver that is too slow."""
        self._channels: dict[str, dict[RTCDataChannel, str]] = {}

    def add(self, peer_id: str, channel: RTCDataChannel) -> None:
        """Relay a channel that a peer has opened, until it closes."""
        label = channel.label
        if len(label) > MAX_LABEL:
            channel.close()
            return
        self._channels.setdefault(label, {})[channel] = peer_id
        channel.on("message", lambda message: self._relay(peer_id, label, message))
        channel.on("close", lambda: self._forget(label, channel))

    def remove(self, peer_id: str) -> None:
        """The peer has left."""
        for label, members in list(self._channels.items()):
            for channel in [channel for channel, owner in members.items() if owner == peer_id]:
                self._forget(label, channel)

    def _relay(self, sender: str, label: str, message: str | bytes) -> None:
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

    def _forget(self, label: str, channel: RTCDataChannel) -> None:
        members = self._channels.get(label)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self._channels[label]
