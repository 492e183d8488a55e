"""What has been received: the cursor, the duplicates, and how far the application has come. Pure.

Source: PROTOCOL 7 "Acknowledgment, replay, resume".
"""

from collections import OrderedDict
from collections.abc import Iterable

REMEMBERED = 10_000
"""Ids kept to drop duplicates; beyond it the oldest is forgotten. A resume continues after the last id received, so
what can come twice is a rewind (`subscribe` with `after`), and the gateway replays at most 10,000 events at once."""


class Received:
    """One client's place in the log. Every `now` is in seconds of one clock that does not go back."""

    def __init__(self, cursor: str | None, ack_seconds: float) -> None:
        self.cursor = cursor
        self._ack_seconds = ack_seconds
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._processed: str | None = None
        self._acked: str | None = None
        self._acked_at = float("-inf")

    def is_new(self, id_: str) -> bool:
        """Whether this id has not been seen; it has from now on."""
        if id_ in self._seen:
            return False
        self._seen[id_] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def forget(self, ids: Iterable[str]) -> None:
        """These were not handed to the application after all, which may ask for them again."""
        for id_ in ids:
            self._seen.pop(id_, None)

    def processed(self, id_: str) -> None:
        """The application has done with everything up to here."""
        self._processed = id_

    def due(self, now: float) -> float | None:
        """When an ack is due, or None if there is nothing to acknowledge."""
        if self._processed is None or self._processed == self._acked:
            return None
        return max(now, self._acked_at + self._ack_seconds)

    def ack(self, now: float) -> str | None:
        """The cursor to acknowledge now; it counts as acknowledged."""
        if self._processed == self._acked:
            return None
        self._acked, self._acked_at = self._processed, now
        return self._acked

    def resumed(self) -> None:
        """A new connection has taken over, and the last ack may have been lost with the old one."""
        if self._processed is not None:
            self._acked = None

    def restarted(self) -> None:
        """The gateway could not catch up: what was processed is no place in its log any more."""
        self._processed = self._acked = None
