"""Ringing as people know it from telephones, and as a state machine that is never in a state nobody wants."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signaling.calls.switchboard import (
    MAX_DEVICES,
    MAX_PEOPLE,
    RING_SECONDS,
    CallChanged,
    PresenceChanged,
    Switchboard,
    SwitchboardError,
)


def switchboard(*devices: str) -> Switchboard:
    """A switchboard with these devices, `ann/phone` being one of ann's."""
    numbers = count(1)
    board = Switchboard(lambda: f"id{next(numbers)}")
    for device in devices:
        board.arrive(device, device.partition("/")[0], device.partition("/")[0].title())
    return board


def ring(board: Switchboard, device: str, *people: str, now: float = 0.0, into: str = "") -> str:
    """Call people; the number of the call."""
    return board.ring(device, [(person, "") for person in people], now=now, into=into)[0].id


Step = Callable[[Switchboard], Any]


@pytest.mark.parametrize(
    ("steps", "state", "callee"),
    [
        ([], "ringing", "ringing"),
        ([lambda board: board.accept("bo/a", "id1", now=1)], "active", "accepted"),
        ([lambda board: board.decline("bo/a", "id1", now=1)], "ended", "declined"),
        ([lambda board: board.hang_up("ann/a", "id1", now=1)], "ended", "cancelled"),
        ([lambda board: board.tick(now=RING_SECONDS - 0.1)], "ringing", "ringing"),
        ([lambda board: board.tick(now=RING_SECONDS)], "ended", "missed"),
        ([lambda board: board.depart("ann/a", now=1)], "ended", "cancelled"),
        ([lambda board: board.depart("bo/a", now=1)], "ringing", "ringing"),  # the other device still rings
        ([lambda board: (board.depart("bo/a", now=1), board.depart("bo/b", now=1))], "ended", "offline"),
        ([lambda board: board.accept("bo/a", "id1", now=1),
          lambda board: board.tick(now=RING_SECONDS)], "active", "accepted"),
        ([lambda board: board.accept("bo/a", "id1", now=1),
          lambda board: board.accept("bo/a", "id1", now=2)], "active", "accepted"),
        ([lambda board: board.accept("bo/a", "id1", now=1),
          lambda board: board.depart("bo/b", now=2)], "active", "accepted"),
        ([lambda board: board.accept("bo/a", "id1", now=1),
          lambda board: board.hang_up("bo/a", "id1", now=2)], "ended", "left"),
        ([lambda board: board.accept("bo/a", "id1", now=1),
          lambda board: board.depart("bo/a", now=2)], "ended", "left"),
        ([lambda board: board.accept("bo/a", "id1", now=1),
          lambda board: board.hang_up("ann/a", "id1", now=2)], "ended", "accepted"),
    ],
)  # fmt: skip
def test_a_call_to_somebody_with_two_devices(steps: list[Step], state: str, callee: str) -> None:
    board = switchboard("ann/a", "bo/a", "bo/b")
    call, _ = board.ring("ann/a", [("bo", "")], now=0)
    for step in steps:
        step(board)
    assert (call.state, call.callees["bo"].state) == (state, callee)
    assert (call.id in board.calls) == (state != "ended")
    free = "available" if state == "ended" else "busy"
    assert board.presence("bo") in {free, "offline"}


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (lambda board: board.accept("bo/b", "id1", now=1), "bad-state"),  # the other device was first
        (lambda board: board.decline("bo/b", "id1", now=1), "bad-state"),
        (lambda board: board.hang_up("bo/b", "id1", now=1), "bad-state"),
        (lambda board: board.accept("ann/a", "id1", now=1), "bad-state"),
        (lambda board: board.accept("cy/a", "id1", now=1), "not-found"),  # a stranger learns nothing
        (lambda board: board.decline("cy/a", "id1", now=1), "not-found"),
        (lambda board: board.hang_up("cy/a", "id1", now=1), "not-found"),
        (lambda board: board.ring("cy/a", [("bo", "")], now=1, into="id1"), "not-found"),
        (lambda board: board.ring("bo/a", [("cy", "")], now=1, into="id1"), "bad-state"),
        (lambda board: board.accept("bo/b", "nonsense", now=1), "not-found"),
        (lambda board: board.ring("ann/a", [("cy", "")], now=1), "bad-state"),
        (lambda board: board.ring("cy/a", [("cy", "")], now=1), "not-found"),
        (lambda board: board.ring("cy/a", [], now=1), "not-found"),
        (lambda board: board.ring("cy/a", [(f"p{n}", "") for n in range(MAX_PEOPLE + 1)], now=1), "too-large"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(step: Step, code: str) -> None:
    board = switchboard("ann/a", "bo/a", "bo/b", "cy/a")
    call, _ = board.ring("ann/a", [("bo", "")], now=0)
    board.accept("bo/a", call.id, now=0)
    before = repr(call)
    with pytest.raises(SwitchboardError) as refusal:
        step(board)
    assert refusal.value.code == code
    assert repr(call) == before


def test_the_first_of_several_people_to_answer_does_not_silence_the_others() -> None:
    board = switchboard("ann/a", "bo/a", "cy/a", "di/a")
    call, _ = board.ring("ann/a", [("bo", ""), ("cy", ""), ("di", "")], now=0)
    board.accept("bo/a", call.id, now=1)
    board.decline("di/a", call.id, now=1)
    assert {who: callee.state for who, callee in call.callees.items()} == {
        "bo": "accepted", "cy": "ringing", "di": "declined"}
    board.accept("cy/a", call.id, now=2)
    board.hang_up("ann/a", call.id, now=3)
    assert call.state == "active", "two are still talking"
    assert board.presence("ann") == "available"
    board.hang_up("cy/a", call.id, now=4)
    assert (call.state, call.answered, call.ended) == ("ended", 1, 4)


def test_who_is_busy_or_away_does_not_ring() -> None:
    board = switchboard("ann/a", "bo/a", "cy/a", "di/a", "di/b")
    ring(board, "ann/a", "bo")
    board.set_busy("di/b", True)
    call, _ = board.ring("cy/a", [("ann", ""), ("bo", ""), ("di", ""), ("eve", "Eve")], now=1)
    assert {who: (callee.name, callee.state) for who, callee in call.callees.items()} == {
        "ann": ("Ann", "busy"), "bo": ("Bo", "busy"), "di": ("Di", "busy"), "eve": ("Eve", "offline")}
    assert call.state == "ended"
    board.set_busy("di/b", False)
    assert board.ring("cy/a", [("di", "")], now=2)[0].state == "ringing"


def test_two_who_call_one_another_at_the_same_time_are_connected() -> None:
    board = switchboard("ann/a", "bo/a")
    first = ring(board, "ann/a", "bo")
    call, changes = board.ring("bo/a", [("ann", "")], now=1)
    assert (call.id, call.state) == (first, "active")
    assert CallChanged(call) in changes


def test_somebody_is_called_into_a_call_that_is_going_on() -> None:
    board = switchboard("ann/a", "bo/a", "cy/a")
    call = ring(board, "ann/a", "bo")
    board.accept("bo/a", call, now=1)
    assert ring(board, "ann/a", "cy", now=100, into=call) == call
    assert board.next_timeout() == 100 + RING_SECONDS
    board.tick(now=100 + RING_SECONDS)
    assert board.calls[call].state == "active"
    ring(board, "ann/a", "bo", "cy", now=200, into=call)  # who missed it is called again, who is there is not
    assert [callee.state for callee in board.calls[call].callees.values()] == ["accepted", "ringing"]


def test_a_person_has_a_bounded_number_of_devices() -> None:
    board = switchboard(*(f"ann/{number}" for number in range(MAX_DEVICES)))
    with pytest.raises(SwitchboardError, match="already"):
        board.arrive("ann/x", "ann", "Ann")


PEOPLE = ("ann", "bo", "cy", "di")


class SwitchboardMachine(RuleBasedStateMachine):
    """Anything that four people with two devices each can do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.board = switchboard()
        self.now = 0.0
        self.here: set[str] = set()
        self.shown: dict[str, str] = {}
        self.ids: list[str] = ["nonsense"]
        self.ended: set[str] = set()

    def note(self, changes: list[Any]) -> None:
        for change in changes:
            if isinstance(change, PresenceChanged):
                assert self.shown.get(change.person, "offline") != change.presence, "told twice"
                self.shown[change.person] = change.presence
            else:
                assert change.call.id not in self.ended, "a call that has ended changes no more"
                if change.call.state == "ended":
                    self.ended.add(change.call.id)

    def attempt(self, work: Callable[[], list[Any]]) -> None:
        before = repr(self.board.calls)
        try:
            self.note(work())
        except SwitchboardError:
            assert repr(self.board.calls) == before

    @rule(person=st.sampled_from(PEOPLE), device=st.sampled_from("ab"))
    def arrive(self, person: str, device: str) -> None:
        name = f"{person}/{device}"
        if name not in self.here:
            self.here.add(name)
            self.note(self.board.arrive(name, person, person))

    @precondition(lambda self: self.here)
    @rule(data=st.data(), people=st.lists(st.sampled_from(PEOPLE), max_size=3), add=st.booleans())
    def ring(self, data: st.DataObject, people: list[str], add: bool) -> None:
        device = data.draw(st.sampled_from(sorted(self.here)))
        into = data.draw(st.sampled_from(self.ids)) if add else ""

        def work() -> list[Any]:
            call, changes = self.board.ring(device, [(one, one) for one in people], now=self.now, into=into)
            self.ids.append(call.id)
            return changes

        self.attempt(work)

    @precondition(lambda self: self.here)
    @rule(data=st.data(), what=st.sampled_from(["accept", "decline", "hang_up"]))
    def act(self, data: st.DataObject, what: str) -> None:
        device, call = data.draw(st.sampled_from(sorted(self.here))), data.draw(st.sampled_from(self.ids))
        self.attempt(lambda: getattr(self.board, what)(device, call, now=self.now))

    @precondition(lambda self: self.here)
    @rule(data=st.data(), busy=st.booleans())
    def set_busy(self, data: st.DataObject, busy: bool) -> None:
        self.note(self.board.set_busy(data.draw(st.sampled_from(sorted(self.here))), busy))

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def depart(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(sorted(self.here)))
        self.here.discard(device)
        self.note(self.board.depart(device, now=self.now))

    @rule(seconds=st.sampled_from([1.0, 20.0, RING_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.note(self.board.tick(now=self.now))

    @invariant()
    def what_was_told_is_what_is(self) -> None:
        for person in PEOPLE:
            assert self.shown.get(person, "offline") == self.board.presence(person)

    @invariant()
    def nobody_is_in_two_calls(self) -> None:
        for person in PEOPLE:
            assert sum(call.engages(person) for call in self.board.calls.values()) <= 1

    @invariant()
    def nothing_rings_for_ever_or_for_nobody(self) -> None:
        for call in self.board.calls.values():
            assert call.ended is None
            assert sum(call.engages(person) for person in call.people()) >= 2
            for callee in call.ringing():
                assert self.now < callee.until
                assert self.board.presence(callee.person) == "busy"
                assert not call.caller_left
        assert (self.board.next_timeout() is None) == (not any(c.ringing() for c in self.board.calls.values()))

    @invariant()
    def who_is_in_a_call_is_in_it_with_a_device_that_is_here(self) -> None:
        for call in self.board.calls.values():
            assert call.caller_left or call.device in self.here
            for callee in call.callees.values():
                assert callee.state != "accepted" or callee.device in self.here


TestSwitchboardMachine = SwitchboardMachine.TestCase
TestSwitchboardMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
