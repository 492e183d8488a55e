"""Which investigations a user has started lately, by correlation id, so that a repeated command starts nothing twice.

Source: PROTOCOL 3: the same `correlation_id` from the same user within 5 minutes; the last 1,000 are remembered.
"""

import msgspec

PERIOD = 300.0
"""Seconds that a start is remembered."""

REMEMBERED = 1000
"""Starts remembered per user; beyond it the oldest is forgotten, and its repetition would start anew."""


class Start(msgspec.Struct, frozen=True, gc=False):
    """One remembered start: `digest` is what was asked for, exactly."""

    at: float
    digest: bytes
    investigation_id: str


class Starts:
    """One user's recent starts."""

    __slots__ = ("_by_correlation",)

    def __init__(self) -> None:
        self._by_correlation: dict[str, Start] | None = None

    def find(self, correlation_id: str, now: float) -> Start | None:
        """The start that had this correlation id, if it is remembered."""
        start = self._by_correlation.get(correlation_id) if self._by_correlation else None
        return start if start is not None and _is_recent(start, now) else None

    def remember(self, correlation_id: str, digest: bytes, investigation_id: str, now: float) -> None:
        """Remember a start at `now`."""
        if self._by_correlation is None:
            self._by_correlation = {}
        known = self._by_correlation
        known.pop(correlation_id, None)
        known[correlation_id] = Start(now, digest, investigation_id)
        while len(known) > REMEMBERED or not _is_recent(known[next(iter(known))], now):
            del known[next(iter(known))]

    def is_empty(self, now: float) -> bool:
        """Whether nothing recent is remembered."""
        known = self._by_correlation
        return not known or not _is_recent(known[next(reversed(known))], now)


def _is_recent(start: Start, now: float) -> bool:
    return now - start.at < PERIOD
