"""The log of a session, which knows no clock and no socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.event_log import EventLog, LogFullError
from signaling.protocol import Joined, Participant, ParticipantChanged, ParticipantLeft, Permissions, Reply, Unpublished

MAX_EVENTS = 8
MAX_CHARACTERS = 600
SNAPSHOT = Joined(
    room="hall", session="", you=Participant(id="a", name="Ann"), participants=(), permissions=Permissions(),
    snapshot=True,
)


class LogMachine(RuleBasedStateMachine):
    """The log and a client behind a connection that breaks, against what the client has to know in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.log = EventLog(MAX_EVENTS, MAX_CHARACTERS)
        self.events: list[str] = []
        """Everything that happened and is no answer, in order."""
        self.answers = 0
        self.unacknowledged = 0
        """At least as many answers as are not acknowledged."""
        self.received = 0
        """The last number that the client has."""
        self.knows = 0
        """How many events the client has, or a snapshot that has them in it."""
        self.in_snapshot = 0
        self.answered: set[int] = set()

    @rule(participant=st.text(alphabet="ab é中", max_size=120))
    def happens(self, participant: str) -> None:
        self.events.append(participant)
        self.log.append(Unpublished(participant=participant, publication="p"))

    @rule()
    def answer(self) -> None:
        try:
            self.log.append(Reply(re=self.answers + 1))
        except LogFullError:
            assert self.unacknowledged >= MAX_EVENTS
            return
        self.answers += 1
        self.unacknowledged += 1

    @rule(count=st.integers(1, 12))
    def deliver(self, count: int) -> None:
        if self.log.stale:
            self.log.renew(SNAPSHOT)
            self.in_snapshot = len(self.events)
        self.received = max(self.received, self.log.acknowledged)  # what the client had acknowledged, it has
        for _ in range(count):
            text = self.log.get(self.received + 1)
            if text is None:
                return
            message = json.loads(text)
            self.received += 1
            assert message["seq"] == self.received
            if message["type"] == "unpublished":
                assert message["participant"] == self.events[self.knows]
                self.knows += 1
            elif message["type"] == "reply":
                self.answered.add(message["re"])
            else:
                assert message["snapshot"]
                self.knows = self.in_snapshot

    @rule(back=st.integers(0, 3))
    def acknowledge(self, back: int) -> None:
        self.log.acknowledge(max(0, self.received - back))
        self.unacknowledged = min(self.unacknowledged, self.log.last_seq - self.log.acknowledged)

    @rule()
    def acknowledge_what_was_never_sent(self) -> None:
        with pytest.raises(ValueError, match="acknowledged"):
            self.log.acknowledge(self.log.last_seq + 1)

    @rule()
    def catch_up(self) -> None:
        self.deliver(4 * MAX_EVENTS)
        assert self.knows == len(self.events)
        assert self.answered == set(range(1, self.answers + 1))

    @invariant()
    def a_client_can_go_on_where_it_is_or_needs_a_snapshot(self) -> None:
        assert self.log.can_replay_after(self.received) or self.log.stale or self.received < self.log.acknowledged

    @invariant()
    def memory_is_bounded(self) -> None:
        kept = [self.log.get(number) or "" for number in range(self.log.acknowledged + 1, self.log.last_seq + 1)]
        assert len(kept) <= MAX_EVENTS + 1
        assert len("".join(kept)) <= MAX_CHARACTERS + 300


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_a_log_that_is_too_long_gives_way_to_a_snapshot_and_the_answers() -> None:
    log = EventLog(max_events=3)
    log.append(Reply(re=1))
    log.append(ParticipantLeft(participant="a", reason="left"))
    log.append(Reply(re=2))
    log.acknowledge(1)
    log.append(ParticipantLeft(participant="b", reason="left"))
    log.append(ParticipantLeft(participant="c", reason="left"))
    assert log.stale
    assert not log.can_replay_after(1)
    assert log.get(2) is None
    log.append(Reply(re=3))
    log.append(ParticipantLeft(participant="d", reason="left"))
    log.renew(SNAPSHOT)
    first = log.acknowledged + 1
    texts = [json.loads(log.get(number) or "") for number in range(first, log.last_seq + 1)]
    assert [(text["type"], text.get("re")) for text in texts] == [("joined", None), ("reply", 2), ("reply", 3)]
    assert [text["seq"] for text in texts] == list(range(first, first + 3))


def test_answers_alone_can_fill_a_log() -> None:
    log = EventLog(max_events=2)
    log.append(Reply(re=1))
    log.append(Reply(re=2))
    with pytest.raises(LogFullError):
        log.append(Reply(re=3))


def test_the_number_of_an_event_is_in_its_text() -> None:
    log = EventLog()
    log.append(ParticipantChanged(participant="a", connected=False))
    assert json.loads(log.get(1) or "") == {
        "type": "participant-changed", "participant": "a", "connected": False, "seq": 1,
    }
