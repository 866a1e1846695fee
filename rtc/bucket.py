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
        passed = now - self._filled_at  # as in `_fill`, a call of which is half of what this takes
        if passed > 0:
            tokens = self._tokens + self._rate * passed
            self._tokens = tokens if tokens < self._burst else self._burst
            self._filled_at = now
        tokens = self._tokens - amount
        if tokens < 0:
            return False
        self._tokens = tokens
        return True

    def charge(self, amount: float, *, now: float) -> None:
        """Take `amount` tokens that may not be there: until they have flowed in, `take` gets none."""
        self._fill(now)
        self._tokens -= amount

    def wait(self, amount: float = 1.0, *, now: float) -> float:
        """Seconds until `amount` tokens are there."""
        self._fill(now)
        return max(0.0, amount - self._tokens) / self._rate

    def is_full(self, *, now: float) -> bool:
        """Whether nothing has been taken for so long that it makes no difference."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        passed = now - self._filled_at
        if passed > 0:
            tokens = self._tokens + self._rate * passed
            self._tokens = tokens if tokens < self._burst else self._burst  # min() takes twice as long: each packet
            self._filled_at = now
