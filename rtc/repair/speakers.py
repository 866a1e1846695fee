"""Who is speaking, from the audio levels in the packets (RFC 6464)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW_SECONDS = 0.4
"""Speech is judged over this long: shorter than a word pause, longer than a cough."""

ACTIVE_LEVEL = -35
"""dBov from which a packet counts as speech; LiveKit's figure."""

ACTIVE_SHARE = 0.4
"""Share of the packets of the window that must be speech."""

MIN_PACKETS = 4
"""Fewer packets in the window say nothing: a stream that has just begun."""


@dataclass(slots=True)
class _Voice:
    heard: deque[tuple[float, int]] = field(default_factory=deque)
    speaking: bool = False
    spoke_at: float = float("-inf")


class Speakers:
    """Levels of all voices of a room; a voice is any hashable key, here a publication's id."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    def heard(self, voice: str, level: int, *, now: float) -> None:
        """A packet of `voice` arrived with this level, dBov (0 loudest, -127 silence)."""
        state = self._voices.get(voice)
        if state is None:
            state = self._voices[voice] = _Voice()
        state.heard.append((now, level))
        while state.heard[0][0] < now - WINDOW_SECONDS:
            state.heard.popleft()

    def forget(self, voice: str) -> None:
        """The voice is gone or muted."""
        self._voices.pop(voice, None)

    def active(self, *, now: float) -> list[tuple[str, int]]:
        """Voices speaking now with their mean level in dBov, loudest first."""
        found = []
        for key, state in self._voices.items():
            while state.heard and state.heard[0][0] < now - WINDOW_SECONDS:
                state.heard.popleft()
            loud = [level for _, level in state.heard if level >= ACTIVE_LEVEL]
            state.speaking = (
                len(state.heard) >= MIN_PACKETS and len(loud) >= ACTIVE_SHARE * len(state.heard)
            )
            if state.speaking:
                state.spoke_at = now
                found.append((key, round(sum(loud) / len(loud))))
        found.sort(key=lambda pair: -pair[1])
        return found

    def last_spoke(self, voice: str) -> float:
        """When this voice was last found speaking by `active`; minus infinity when never."""
        state = self._voices.get(voice)
        return float("-inf") if state is None else state.spoke_at
