"""The watch: everything that time does to connections, and the bytes that the node holds for them.

One round for all, because a timer each costs memory and heap work. A round looks at those whose time may have come
(`wheel`), and counts the buffers of a bounded number of connections, so that its cost does not grow with how many there
are: deadlines hold the loop for `HOLD_SECONDS` at most before others get their turn, and the counting for about 1 ms.

What is promised: a deadline is noticed in the first round after it, at most `ROUND_SECONDS` late as long as the loop
keeps up. Of n paused connections each is measured every ceil(n / `COUNTED`) rounds, so with `COUNTED` or less in every
one, and a slow reader is closed so much later at most. Of N connections each is counted towards the node's budget every
ceil(N / `COUNTED`) rounds (of 10,000 every 2.5 s; a new one within twice that), and a full buffer as often as its
connection is measured. So the budget may be exceeded by what buffers that are not full took in that time: at most the
transport's high-water mark each.
"""

import time
from collections import deque
from collections.abc import Callable

from ..memory.effects import error
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.tokens import TOKEN_EXPIRED
from .connection import Connection
from .hub import Hub

COUNTED = 1000
"""Connections whose buffers are measured in a round: so many of the paused, and so many of all."""

HOLD_SECONDS = 0.002
"""How long a round may hold a loop turn for what is due; it goes on in the next."""


class Watch:
    """Expiry, inactivity, dead peers, slow readers and the node's buffer budget. Times in seconds, sizes in bytes."""

    def __init__(
        self,
        hub: Hub,
        *,
        inactivity: float,
        ping: float,
        slow_reader: float,
        buffered_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._inactivity = inactivity
        self._ping = ping
        self._slow_reader = slow_reader
        self._buffered_bytes = buffered_bytes
        self._clock = clock
        self._due: deque[Connection] = deque()
        # Ids of those not counted yet in this pass: who ends meanwhile must not be kept for it.
        self._uncounted: list[str] = []

    def round(self, now: float) -> bool:
        """Do what is due. False if there is more of it than fits in a turn: call again once others had theirs."""
        if not self._due:
            self._due.extend(self._hub.wheel.take(now))
        until = self._clock() + HOLD_SECONDS
        while self._due:
            connection = self._due.popleft()
            try:
                self._look(connection, now)
            finally:
                if not connection.closing:
                    self._hub.wheel.put(connection, self._next(connection))
            if self._due and self._clock() > until:
                return False
        for _ in range(min(COUNTED, len(self._hub.reluctant))):
            self._check_reader(next(iter(self._hub.reluctant)), now)
        self._count_some()
        if self._hub.held > self._buffered_bytes:
            self._relieve()
        return True

    def _look(self, connection: Connection, now: float) -> None:
        if connection.closing:
            return
        if now >= connection.expires_at:
            refusal = Refusal(ErrorCode.TOKEN_EXPIRED, TOKEN_EXPIRED)
            self._hub.say(connection, [error(refusal)])
            self._hub.close(connection, CloseCode.POLICY_VIOLATION, TOKEN_EXPIRED)
        elif connection.outlet.expects_pong and now - connection.message_at >= self._inactivity:
            self._hub.close(connection, CloseCode.GOING_AWAY, "Inactivity timeout")
        elif not connection.paused:
            self._check_peer(connection, now)

    def _next(self, connection: Connection) -> float:
        """When something may be due again. One whose ping is overdue because it is paused is looked at every round."""
        at = min(connection.expires_at, connection.pinged_at + self._ping)
        return min(at, connection.message_at + self._inactivity) if connection.outlet.expects_pong else at

    def _check_peer(self, connection: Connection, now: float) -> None:
        if now - connection.pinged_at < self._ping:
            return
        if connection.outlet.expects_pong and connection.heard_at < connection.pinged_at:
            # A whole interval without a sign of life since the last ping: nobody is there to say goodbye to.
            self._hub.remove(connection)
            connection.outlet.abort()
            return
        connection.pinged_at = now
        self._hub.ping(connection)

    def _check_reader(self, connection: Connection, now: float) -> None:
        self._hub.reluctant.move_to_end(connection)
        buffered = connection.outlet.buffered()
        if buffered < connection.buffered:
            connection.progress_at = now
        connection.buffered = buffered
        self._count(connection, buffered)
        if now - connection.progress_at >= self._slow_reader:
            self._hub.close(connection, CloseCode.TRY_AGAIN_LATER, "Too slow: nothing was read")

    def _count_some(self) -> None:
        if not self._uncounted:
            self._uncounted = self._hub.ids()
        for id_ in self._uncounted[-COUNTED:]:
            connection = self._hub.get(id_)
            if connection is not None:
                # Below its mark a socket's buffer is nobody's fault, but it is the node's memory all the same.
                self._count(connection, connection.outlet.buffered())
        del self._uncounted[-COUNTED:]

    def _count(self, connection: Connection, buffered: int) -> None:
        held = buffered + connection.answer_bytes
        self._hub.held += held - connection.held
        connection.held = held

    def _relieve(self) -> None:
        """Count all anew, and close those for whom most is held until the node's budget holds."""
        connections = list(self._hub)
        for connection in connections:
            self._count(connection, connection.outlet.buffered())
        for connection in sorted(connections, key=lambda one: one.held, reverse=True):
            if self._hub.held <= self._buffered_bytes:
                break
            self._hub.close(connection, CloseCode.TRY_AGAIN_LATER, "The server is out of buffer space")
