"""What can go wrong for a program that joins a call."""

from __future__ import annotations


class CallError(Exception):
    """The call refused something: `code` as in the signalling protocol, `message` a sentence for people."""

    def __init__(self, code: str, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds after which the same may be accepted; 0: never, or nobody knows."""


class JoinError(CallError):
    """The call could not be entered.

    Codes of the protocol ("room-full", "unauthorized" …), and of this side: "bad-address", "unreachable",
    "timeout" and "no-media" (signalling works, but no UDP packet comes through).
    """
