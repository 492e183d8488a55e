"""The timer wheel: which connections time may have to do something to, without looking at all the others.

Each connection is in one slot, that of the next time at which something may be due. Deadlines that move on meanwhile
leave it there, so activity costs nothing: when its slot comes it is looked at and put further on. A deadline that comes
nearer has to be told (`put`).
"""

from .connection import NOWHERE, Connection

ROUND_SECONDS = 0.25
"""Of one slot, and between two rounds: how late a deadline may be noticed."""

SLOTS = 256
"""Slots of the wheel, 64 seconds; what is due later is looked at once on the way."""


class Wheel:
    """Connections by the time at which to look at them, in seconds of the loop's clock."""

    def __init__(self) -> None:
        self._slots: list[dict[Connection, None]] = [{} for _ in range(SLOTS)]
        # The slot of now, counted since time 0: what is put into it comes with the next round.
        self._tick = 0

    def put(self, connection: Connection, at: float = 0.0) -> None:
        """Look at the connection in the round of `at`, or the next one if that is over, and at no other time."""
        self.remove(connection)
        tick = min(max(int(at / ROUND_SECONDS), self._tick), self._tick + SLOTS - 1)
        connection.slot = tick % SLOTS
        self._slots[connection.slot][connection] = None

    def remove(self, connection: Connection) -> None:
        """Look at it no more; it may be in no slot."""
        if connection.slot != NOWHERE:
            self._slots[connection.slot].pop(connection, None)
            connection.slot = NOWHERE

    def take(self, now: float) -> list[Connection]:
        """The connections to look at now. Who is to be looked at again must be `put`."""
        tick = max(int(now / ROUND_SECONDS), self._tick)
        due: list[Connection] = []
        for one in range(max(self._tick, tick - SLOTS + 1), tick + 1):
            due += self._slots[one % SLOTS]
            # A new one even if it is empty: it may keep the table of thousands who have left it.
            self._slots[one % SLOTS] = {}
        for connection in due:
            connection.slot = NOWHERE
        self._tick = tick
        return due
