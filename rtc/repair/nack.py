"""Which packets of a stream are missing, and when to ask for them (RFC 4585 6.2.1)."""

from __future__ import annotations

from dataclasses import dataclass

REORDERING_SECONDS = 0.005
"""Wait before the first request: packets that overtake each other on a path arrive within a few milliseconds."""

MIN_INTERVAL_SECONDS = 0.02
"""Shortest time between two requests for one packet: on a very short path the answer still needs the peer's timer."""

INTERVAL_RTTS = 1.1
"""A request is repeated once its answer is overdue by a tenth of a round trip."""

UNHEARD_SHARE = 0.03
"""Share of round trips in which all requests for a packet may be lost: then the answer comes a round trip later."""

MAX_REQUESTS = 6
"""Requests for one packet in a round trip at most."""

DEFAULT_RTT_SECONDS = 0.1
"""Assumed until a round trip was measured or a request answered; what libwebrtc assumes."""

MAX_MISSING = 512
"""Numbers remembered at most, so that a jump in the sequence costs bounded memory; the oldest are given up first."""


@dataclass(slots=True)
class Missing:
    """A number that has not come."""

    after: float
    """When the last one before the gap came."""
    since: float
    next_request: float
    requests: int = 0
    requested: float = 0.0


def requests_a_round_trip(loss: float) -> int:
    """How often to ask for a packet until its answer is due, where this share of all packets is lost.

    For senders that answer once in a round trip however often they are asked, as browsers do: then more requests
    cost nothing but themselves.
    """
    requests, unheard = 1, loss
    while unheard > UNHEARD_SHARE and requests < MAX_REQUESTS:
        requests += 1
        unheard *= loss
    return requests


class NackGenerator:
    """Remembers gaps in one stream of extended (unwrapped) sequence numbers and says when to ask for what.

    Numbers still missing `deadline` seconds after the gap was seen are given up: their repair would come too late.
    """

    __slots__ = (
        "_answer_seconds", "_highest", "_highest_at", "deadline", "given_up", "last_given_up", "missing", "recovered",
    )

    def __init__(self, *, deadline: float) -> None:
        self.deadline = deadline
        self.given_up = 0
        """Packets that no request brought in time, since the start."""
        self.last_given_up = -1
        """The highest number of those that `due` gave up; -1 before the first."""
        self.recovered = 0
        """Packets that arrived after they had been asked for, since the start."""
        self.missing: dict[int, Missing] = {}
        """What is known of each number that has not come; for others than this to look whether there are any."""
        self._highest: int | None = None
        self._highest_at = float("-inf")
        self._answer_seconds = DEFAULT_RTT_SECONDS

    def __len__(self) -> int:
        return len(self.missing)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self.missing

    @property
    def settled(self) -> float:
        """Nobody will ask for anything that was under way before this moment: it has come, or is given up."""
        return next((missing.after for missing in self.missing.values()), self._highest_at)

    def received(self, sequence: int, *, now: float) -> bool:
        """Note that `sequence` arrived; True when it had been asked for, so that it is a repair."""
        highest = self._highest
        if highest is None or sequence == highest + 1:
            self._highest, self._highest_at = sequence, now
            return False
        if sequence <= highest:
            missing = self.missing.pop(sequence, None)
            if missing is None or not missing.requests:
                return False
            self.recovered += 1
            if missing.requests == 1:  # else nobody knows which request it answers
                self._answer_seconds += (now - missing.requested - self._answer_seconds) / 4
            return True
        self._open_gap(highest + 1, sequence, now)
        self._highest, self._highest_at = sequence, now
        return False

    def retract(self, sequence: int) -> None:
        """The newest number received is to be used again: its packet does not count."""
        if self._highest == sequence:
            self._highest = sequence - 1

    def due(self, *, now: float, rtt: float | None, requests: int = 1) -> list[int]:
        """Numbers to ask for now, in order; what has passed its deadline is given up first.

        Each is asked for so many `requests` times in a round trip. Without `rtt`, the time that earlier requests took
        to be answered stands for it.
        """
        if not self.missing:
            return []
        answer = max(MIN_INTERVAL_SECONDS, INTERVAL_RTTS * (self._answer_seconds if rtt is None else rtt))
        expired = [number for number, missing in self.missing.items() if now - missing.since > self.deadline]
        for number in expired:
            del self.missing[number]
            self.last_given_up = max(self.last_given_up, number)
        self.given_up += len(expired)
        wanted = []
        for number, missing in self.missing.items():
            if now >= missing.next_request:
                missing.requests += 1
                missing.requested = now
                missing.next_request = now + answer / requests
                wanted.append(number)
        return wanted

    def next_time(self) -> float | None:
        """When `due` next has something to say, or None when nothing is missing."""
        if not self.missing:
            return None
        return min(min(m.next_request, m.since + self.deadline) for m in self.missing.values())

    def reset(self) -> None:
        """Forget the stream: its numbering starts anew."""
        self.missing.clear()
        self._highest = None

    def _open_gap(self, first: int, end: int, now: float) -> None:
        start = max(first, end - MAX_MISSING)
        self.given_up += start - first
        for number in range(start, end):
            self.missing[number] = Missing(self._highest_at, now, now + REORDERING_SECONDS)
        while len(self.missing) > MAX_MISSING:
            del self.missing[next(iter(self.missing))]
            self.given_up += 1
