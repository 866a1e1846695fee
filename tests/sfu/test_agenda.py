"""Who is looked after when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.sfu.agenda import Agenda

PEOPLE = st.sampled_from("abcdef")
TIMES = st.integers(0, 30).map(float)


def test_each_is_found_once_at_its_time_and_earliest_first() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("a", 2.0)
    agenda.put("b", 1.0)
    agenda.put("c", 1.0)

    assert agenda.due(now=0.9) == []
    assert agenda.due(now=2.0) == ["b", "c", "a"]
    assert agenda.due(now=9.0) == []


def test_an_appointment_that_was_moved_is_not_kept_twice() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("a", 1.0)
    agenda.put("a", 5.0)

    assert agenda.due(now=4.0) == []
    assert agenda.due(now=5.0) == ["a"]


def test_hurrying_makes_sooner_and_never_later() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("a", 3.0)
    agenda.hurry("a", 5.0)
    agenda.hurry("a", 1.0)

    assert agenda.due(now=1.0) == ["a"]
    agenda.hurry("a", 2.0)
    assert agenda.due(now=2.0) == ["a"], "who is being looked after can be hurried as well"


def test_who_has_left_does_not_come_back_by_being_hurried() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("a", 3.0)
    agenda.remove("a")
    agenda.hurry("a", 0.0)

    assert agenda.due(now=9.0) == []
    assert len(agenda) == 0


@given(st.lists(st.one_of(
    st.tuples(st.just("put"), PEOPLE, TIMES), st.tuples(st.just("hurry"), PEOPLE, TIMES),
    st.tuples(st.just("remove"), PEOPLE, st.just(0.0)), st.tuples(st.just("due"), st.just(""), TIMES),
), max_size=300))
def test_it_finds_what_a_plain_table_would(steps: list[tuple[str, str, float]]) -> None:
    agenda: Agenda[str] = Agenda()
    table: dict[str, float] = {}
    for what, who, at in steps:
        if what == "put":
            agenda.put(who, at)
            table[who] = at
        elif what == "hurry":
            agenda.hurry(who, at)
            if who in table:
                table[who] = min(table[who], at)
        elif what == "remove":
            agenda.remove(who)
            table.pop(who, None)
        else:
            expected = {person for person, time in table.items() if time <= at}
            found = agenda.due(now=at)
            assert sorted(found) == sorted(expected)
            assert [table[person] for person in found] == sorted(table[person] for person in expected)
            table.update(dict.fromkeys(found, float("inf")))
