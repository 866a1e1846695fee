"""The numbered events of a session, kept until they are acknowledged. A plain value: no task, no clock."""

from __future__ import annotations

import msgspec

from signaling import protocol

MAX_KEPT_EVENTS = 1000
MAX_KEPT_CHARACTERS = 1 << 20
"""What a session keeps for a client that does not acknowledge; beyond it the client gets a snapshot instead."""

Answer = protocol.Reply | protocol.Error


class LogFullError(Exception):
    """More answers are unacknowledged than the log may keep."""


class EventLog:
    """The events of a session: numbered from 1, written as JSON once, kept until acknowledged.

    A log that would grow too long forgets its events and is `stale`. It then keeps only the answers to commands,
    which nothing else can tell, until `renew` begins it again with a snapshot of how everything else stands.
    """

    def __init__(
        self, max_events: int = MAX_KEPT_EVENTS, max_characters: int = MAX_KEPT_CHARACTERS, *, after: int = 0
    ) -> None:
        """`after`: the number that is as good as sent and acknowledged."""
        self.last_seq = after
        self.acknowledged = after
        self.stale = False
        self._max_events = max_events
        self._max_characters = max_characters
        self._kept: dict[int, str] = {}
        self._characters = 0
        self._answers: dict[int, Answer] = {}
        """Those among what is kept; in a stale log all there is, numbered in vain."""

    def append(self, event: protocol.Event) -> None:
        """Number and keep `event`; a stale log keeps only answers. Raises LogFullError."""
        if self.stale and not isinstance(event, Answer):
            return
        if not self._append(event):
            self.go_stale()
            if isinstance(event, Answer) and not self._append(event):
                raise LogFullError

    def go_stale(self) -> None:
        """Forget everything but the answers: there will be a snapshot."""
        answers = list(self._answers.values())
        self.stale = True
        self._forget_all()
        for answer in answers:
            self._append(answer)

    def renew(self, snapshot: protocol.Event) -> None:
        """Begin again with `snapshot`, and the answers behind it."""
        answers = list(self._answers.values())
        self.stale = False
        self._forget_all()
        for event in (snapshot, *answers):
            self._keep(event, self._numbered(event))

    def acknowledge(self, seq: int) -> None:
        """Forget the events up to and including `seq`. Raises ValueError for one that was never sent."""
        if seq > self.last_seq:
            raise ValueError(f"event {seq} is acknowledged, but the last one is {self.last_seq}")
        if self.stale:
            return
        for number in range(self.acknowledged + 1, seq + 1):
            self._characters -= len(self._kept.pop(number))
            self._answers.pop(number, None)
        self.acknowledged = max(self.acknowledged, seq)

    def can_replay_after(self, seq: int) -> bool:
        """Whether every event after `seq` is still here."""
        return not self.stale and self.acknowledged <= seq <= self.last_seq

    def get(self, seq: int) -> str | None:
        """Event `seq` as JSON; None when it is forgotten or still to come, and in a stale log."""
        return None if self.stale else self._kept.get(seq)

    def _append(self, event: protocol.Event) -> bool:
        text = self._numbered(event)
        if len(self._kept) >= self._max_events or self._characters + len(text) > self._max_characters:
            return False
        self._keep(event, text)
        return True

    def _numbered(self, event: protocol.Event) -> str:
        return protocol.encode(msgspec.structs.replace(event, seq=self.last_seq + 1))

    def _keep(self, event: protocol.Event, text: str) -> None:
        self.last_seq += 1
        self._kept[self.last_seq] = text
        self._characters += len(text)
        if isinstance(event, Answer):
            self._answers[self.last_seq] = event

    def _forget_all(self) -> None:
        self._kept.clear()
        self._answers.clear()
        self._characters = 0
        self.acknowledged = self.last_seq
