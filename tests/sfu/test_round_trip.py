"""How far away a peer is, whatever holds up some of its answers."""

from __future__ import annotations

import pytest

from rtc.sfu.round_trip import RoundTrip
from rtc.wire import rtcp


def answered(trip: RoundTrip, *seconds: float) -> None:
    for number, rtt in enumerate(seconds):
        sent = 100.0 + number
        trip.answered(rtcp.middle32(rtcp.ntp_from_seconds(sent)), 0, now=sent + rtt)


@pytest.mark.parametrize(
    ("measured", "seconds"),
    [
        ((0.05,), 0.05),
        ((0.05, 0.05, 0.3), 0.05),  # the browser was busy
        ((0.05, 0.3, 0.05, 0.05, 0.3), 0.05),
        ((0.3, 0.05), 0.05),
        ((*[0.05] * 9, *[0.2] * 5), 0.2),  # another way
    ],
)
def test_answers_that_come_late_now_and_then_do_not_make_the_path_longer(
    measured: tuple[float, ...], seconds: float
) -> None:
    trip = RoundTrip(1, wall_offset=0.0)
    answered(trip, *measured)
    assert trip.seconds == pytest.approx(seconds, abs=0.001)


def test_a_datagram_that_waited_counts_once_however_many_reports_are_in_it() -> None:
    trip = RoundTrip(1, wall_offset=0.0)
    answered(trip, 0.05, 0.05, 0.05)
    for _ in range(20):
        trip.answered(rtcp.middle32(rtcp.ntp_from_seconds(110.0)), 0, now=110.2)
    assert trip.seconds == pytest.approx(0.05, abs=0.001)
