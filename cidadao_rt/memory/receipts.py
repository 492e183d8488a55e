"""Receipts: how far an event got, for those whose publisher asked.

An entry is an (event, session) pair: the event's bytes were handed to a connection of that session, live or by replay,
once or more. It is acknowledged when an `ack` of that session passes the event afterwards. What is forgotten is as
unknown as what was never tracked.
"""

from collections.abc import Iterable, Mapping

EVENTS = 10_000
"""Events tracked; past it the oldest is forgotten."""

ENTRIES = 200_000
"""Entries of all tracked events; past it the oldest events are forgotten, whole. An entry costs 100 to 400 bytes."""


class Receipt:
    """One tracked event. `publisher` is the user who asked.

    `delivered` gives each session's user; `acknowledged`, in the order of the acks, when it was, in seconds since 1970.
    """

    __slots__ = ("_acknowledged", "_delivered", "publisher")

    def __init__(self, publisher: str) -> None:
        self.publisher = publisher
        self._delivered: dict[str, str] = {}
        self._acknowledged: dict[str, float] = {}

    @property
    def delivered(self) -> Mapping[str, str]:
        """Users by session."""
        return self._delivered

    @property
    def acknowledged(self) -> Mapping[str, float]:
        """Times by session."""
        return self._acknowledged


class Receipts:
    """The tracked events by offset, the oldest first."""

    def __init__(self) -> None:
        self._receipts: dict[int, Receipt] = {}
        self._entries = 0
        # By session: the offsets it was handed and has not acknowledged.
        self._open: dict[str, set[int]] = {}

    def __len__(self) -> int:
        return len(self._receipts)

    @property
    def entries(self) -> int:
        """Entries of all tracked events."""
        return self._entries

    def find(self, offset: int) -> Receipt | None:
        """The receipt of the event at `offset`, if it is tracked and not forgotten."""
        return self._receipts.get(offset)

    def track(self, offset: int, publisher: str) -> None:
        """Track the event at `offset`, which is the newest."""
        self._receipts[offset] = Receipt(publisher)
        if len(self._receipts) > EVENTS:
            self._forget_oldest()

    def deliver(self, offset: int, sessions: Iterable[tuple[str, str]]) -> None:
        """The event was handed to a connection of each of these (session, user). Of one not tracked nothing is kept."""
        receipt = self._receipts.get(offset)
        if receipt is None:
            return
        for session_id, sub in sessions:
            if session_id not in receipt._delivered:
                receipt._delivered[session_id] = sub
                self._open.setdefault(session_id, set()).add(offset)
                self._entries += 1
        while self._entries > ENTRIES:
            self._forget_oldest()

    def acknowledge(self, session_id: str, offset: int, now: float) -> None:
        """The session acknowledged all up to `offset` at `now`, in seconds since 1970."""
        passed = [one for one in self._open.get(session_id, ()) if one <= offset]
        for one in passed:
            self._receipts[one]._acknowledged[session_id] = now
            self._close(session_id, one)

    def _forget_oldest(self) -> None:
        offset = next(iter(self._receipts))
        receipt = self._receipts.pop(offset)
        self._entries -= len(receipt._delivered)
        for session_id in receipt._delivered.keys() - receipt._acknowledged.keys():
            self._close(session_id, offset)

    def _close(self, session_id: str, offset: int) -> None:
        still_open = self._open[session_id]
        still_open.discard(offset)
        if not still_open:
            del self._open[session_id]
