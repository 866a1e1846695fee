"""The log of a session, which knows no clock and no socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.protocol import ParticipantChanged, ParticipantLeft, Unpublished
from signaling.session import EventLog, LogFullError

MAX_EVENTS = 8
MAX_CHARACTERS = 600


class LogMachine(RuleBasedStateMachine):
    """The log against the plainest model: a list of all events and two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.log = EventLog(MAX_EVENTS, MAX_CHARACTERS)
        self.sent: list[str] = []
        self.acknowledged = 0

    @rule(participant=st.text(alphabet="ab é中", max_size=120))
    def append(self, participant: str) -> None:
        event = Unpublished(participant=participant, publication="p")
        number = len(self.sent) + 1
        text = json.dumps(
            {"type": "unpublished", "participant": participant, "publication": "p", "seq": number},
            ensure_ascii=False, separators=(",", ":"),
        )
        kept = self.sent[self.acknowledged :]
        try:
            assert self.log.append(event) == number
        except LogFullError:
            assert len(kept) == MAX_EVENTS or len("".join(kept)) + len(text) > MAX_CHARACTERS
            return
        assert len(kept) < MAX_EVENTS
        self.sent.append(text)

    @rule(seq=st.integers(-2, 40))
    def acknowledge(self, seq: int) -> None:
        if seq > len(self.sent):
            with pytest.raises(ValueError, match="acknowledged"):
                self.log.acknowledge(seq)
            return
        self.log.acknowledge(seq)
        self.acknowledged = max(self.acknowledged, seq)

    @rule(seq=st.integers(-2, 40))
    def ask_for_replay(self, seq: int) -> None:
        assert self.log.can_replay_after(seq) == (self.acknowledged <= seq <= len(self.sent))

    @invariant()
    def what_is_not_acknowledged_can_be_had_again_and_nothing_else(self) -> None:
        assert self.log.last_seq == len(self.sent)
        for number in range(-1, len(self.sent) + 3):
            expected = self.sent[number - 1] if self.acknowledged < number <= len(self.sent) else None
            assert self.log.get(number) == expected

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len("".join(self.sent[self.acknowledged :])) <= MAX_CHARACTERS


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_full_log_refuses_and_goes_on_after_an_acknowledgement() -> None:
    log = EventLog(max_events=2)
    log.append(ParticipantLeft(participant="a", reason="left"))
    log.append(ParticipantLeft(participant="b", reason="left"))
    with pytest.raises(LogFullError):
        log.append(ParticipantLeft(participant="c", reason="left"))
    log.acknowledge(1)
    assert log.append(ParticipantLeft(participant="c", reason="left")) == 3


def test_the_number_of_an_event_is_in_its_text() -> None:
    log = EventLog()
    log.append(ParticipantChanged(participant="a", connected=False))
    assert json.loads(log.get(1) or "") == {
        "type": "participant-changed", "participant": "a", "connected": False, "seq": 1,
    }
