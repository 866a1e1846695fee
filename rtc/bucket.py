"""A token bucket: how often something may happen. Sans-IO."""

from __future__ import annotations


class TokenBucket:
    """`rate` tokens a second flow in, at most `burst` are held."""

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = float("-inf")

    def take(self, amount: float = 1.0, *, now: float) -> bool:
        """Take `amount` tokens; False when there are not as many, and then none is taken."""
        self._fill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def wait(self, amount: float = 1.0, *, now: float) -> float:
        """Seconds until `amount` tokens are there."""
        self._fill(now)
        return max(0.0, amount - self._tokens) / self._rate

    def is_full(self, *, now: float) -> bool:
        """Whether nothing has been taken for so long that it makes no difference."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + self._rate * max(0.0, now - self._filled_at))
        self._filled_at = now
