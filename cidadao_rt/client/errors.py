"""What the client raises. Beside these, `OverflowError` where one of its bounds is reached."""

from collections.abc import Mapping
from typing import Any


class RealtimeError(Exception):
    """The base of all below."""


class RefusedError(RealtimeError):
    """The gateway refuses for good: coming back with the same would be refused again.

    `code` is a WebSocket close code, on the fallback transports the one that WebSocket would have had; `reason` is the
    gateway's.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class ClosedError(RealtimeError):
    """The client has been closed, or another has taken its session, before an answer or a final status came."""


class CommandError(RealtimeError):
    """A command was answered with an `error`. `code` is one of the gateway's error codes."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details


class OutcomeUnknownError(RealtimeError):
    """Nobody can tell any more. Of a start: it was sent, its answer never came, and it is too long ago to be sent again
    without risking a second. Of an investigation: the gateway could not catch up, and knows it no longer."""
