"""The government of a room, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.governance.policy import MAX_BANS, MAX_STANDINGS, Charter, Policy, role_of
from signaling.protocol import Ban, RoomSettings
from signaling.tokens import Grants

NOW = 1_000_000.0
GUEST, HOST, LISTENER = Grants("hall"), Grants("hall", room_admin=True), Grants("hall", can_publish=False)


@dataclass(frozen=True)
class Case:
    """Who knocks where, and what becomes of it."""

    outcome: str
    grants: Grants = GUEST
    hosted: bool = True
    vouched: bool = True
    locked: bool = False
    lobby: bool = False
    was_inside: bool = False
    ban: Ban | None = None


FOREVER, OVER = Ban("ann", "Ann"), Ban("ann", "Ann", until=NOW - 1)
CASES = {
    "an open room": Case("enter"),
    "a lobby": Case("wait", lobby=True),
    "a lobby, for a host": Case("enter", grants=HOST, lobby=True),
    "a lobby, for who was inside": Case("enter", lobby=True, was_inside=True),
    "a lobby without a host yet": Case("wait", lobby=True, hosted=False),
    "a lock": Case("locked", locked=True),
    "a lock and a lobby": Case("locked", locked=True, lobby=True),
    "a lock, for a host": Case("enter", grants=HOST, locked=True),
    "a lock, for who was inside": Case("enter", locked=True, was_inside=True),
    "a ban": Case("banned", ban=FOREVER),
    "a ban, for a host": Case("banned", grants=HOST, ban=FOREVER),
    "a ban, for who was inside": Case("banned", was_inside=True, ban=FOREVER),
    "a ban that is over": Case("enter", ban=OVER),
    "without tokens, the first": Case("enter", vouched=False, hosted=False, locked=True, lobby=True),
    "without tokens, a name that was inside": Case("wait", vouched=False, lobby=True, was_inside=True),
    "without tokens, a banned first": Case("banned", vouched=False, hosted=False, ban=FOREVER),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_who_comes_in(case: Case) -> None:
    policy = Policy(Charter(settings=RoomSettings(locked=case.locked, lobby=case.lobby)), vouched=case.vouched)
    if case.was_inside:
        policy.entered("ann")
    if case.ban:
        policy.ban(case.ban, now=NOW - 10)
    verdict = policy.judge("ann", case.grants, hosted=case.hosted, now=NOW)
    assert case.outcome == (verdict.code if verdict.outcome == "refuse" else verdict.outcome)
    assert (verdict.message != "") == (verdict.outcome == "refuse")


@pytest.mark.parametrize(
    ("grants", "decided", "default", "vouched", "hosted", "role"),
    [
        (GUEST, None, "speaker", True, False, "speaker"),
        (GUEST, None, "listener", True, True, "listener"),
        (HOST, None, "listener", True, True, "host"),
        (LISTENER, None, "speaker", True, True, "listener"),
        (LISTENER, "speaker", "listener", True, True, "speaker"),
        (GUEST, "host", "speaker", True, True, "host"),
        (HOST, "listener", "speaker", True, True, "listener"),
        (GUEST, None, "listener", False, False, "host"),
        (GUEST, "host", "speaker", False, True, "speaker"),
        (GUEST, "speaker", "listener", False, True, "listener"),
        (GUEST, "listener", "speaker", False, True, "listener"),
    ],
)
def test_which_role_somebody_comes_in_with(  # noqa: PLR0917 - a table
    grants: Grants, decided: str | None, default: str, vouched: bool, hosted: bool, role: str
) -> None:
    policy = Policy(Charter(), vouched=vouched)
    policy.change(default_role=default)
    if decided:
        policy.set_role("ann", decided)  # type: ignore[arg-type]  # a role
    assert role_of(policy.entitle("ann", grants, hosted=hosted)) == role


def test_a_removal_ends_with_the_room_and_a_ban_with_its_date() -> None:
    policy = Policy(Charter(), vouched=True)
    policy.ban(Ban("ann", "Ann", removal=True), now=NOW)
    policy.ban(Ban("bob", "Bob", until=NOW + 60), now=NOW)
    policy.ban(Ban("cleo", "Cleo"), now=NOW)
    policy.change(locked=True)
    left = policy.end(now=NOW)
    assert left is not None
    assert set(left.bans) == {"bob", "cleo"}
    assert left.settings == RoomSettings()
    stored = msgspec.json.decode(msgspec.json.encode(left), type=Charter)
    assert set(Policy(stored, vouched=True).end(now=NOW + 61).bans) == {"cleo"}  # type: ignore[union-attr]


def test_a_room_without_bans_leaves_nothing_unless_it_is_kept() -> None:
    policy = Policy(Charter(), vouched=True)
    policy.change(lobby=True)
    policy.entered("ann")
    assert policy.end(now=NOW) is None
    policy.charter.kept = True
    assert policy.end(now=NOW) == Charter(settings=RoomSettings(lobby=True), kept=True)


def test_bans_and_roles_are_bounded() -> None:
    policy = Policy(Charter(), vouched=True)
    for number in range(MAX_BANS):
        policy.ban(Ban(str(number), ""), now=NOW)
    with pytest.raises(ValueError, match="bans"):
        policy.ban(Ban("one more", ""), now=NOW)
    policy.ban(Ban("5", "", until=NOW + 1), now=NOW)
    policy.ban(Ban("one more", ""), now=NOW + 2)  # that one is over
    for number in range(MAX_STANDINGS + 10):
        policy.entered(str(number))
    assert len(policy.charter.standings) == MAX_STANDINGS
    assert "9" not in policy.charter.standings


class Government(RuleBasedStateMachine):
    """Bans, removals and silence against the plainest model; stored and read again at any time."""

    PEOPLE = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy(Charter(), vouched=True)
        self.now = NOW
        self.banned: dict[str, float | None] = {}
        self.silenced: dict[str, set[str]] = {}

    @rule(who=PEOPLE, seconds=st.none() | st.floats(1, 100))
    def ban(self, who: str, seconds: float | None) -> None:
        until = None if seconds is None else self.now + seconds
        self.policy.ban(Ban(who, who.upper(), until=until), now=self.now)
        self.banned[who] = until

    @rule(who=PEOPLE)
    def unban(self, who: str) -> None:
        self.policy.unban(who)
        self.banned.pop(who, None)

    @rule(who=PEOPLE, kind=st.sampled_from(["audio", "video"]), silenced=st.booleans())
    def silence(self, who: str, kind: str, silenced: bool) -> None:
        self.policy.silence(who, kind, silenced)  # type: ignore[arg-type]  # a kind
        kinds = self.silenced.setdefault(who, set())
        (kinds.add if silenced else kinds.discard)(kind)

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restart(self) -> None:
        stored = msgspec.json.decode(msgspec.json.encode(self.policy.charter), type=Charter)
        self.policy = Policy(stored, vouched=True)

    @invariant()
    def agrees(self) -> None:
        for who in "abcd":
            until = self.banned.get(who, 0.0)
            refused = self.policy.judge(who, HOST, hosted=True, now=self.now).outcome == "refuse"
            assert refused == (until is None or until > self.now)
            assert set(self.policy.silenced(who)) == self.silenced.get(who, set())


TestGovernment = Government.TestCase
TestGovernment.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)
