"""The watch: one round over all connections for everything that time does to them.

One timer for all of them, because a timer each costs memory and heap work that a comparison in a loop does not.
"""

from ..memory.effects import error
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.tokens import TOKEN_EXPIRED
from .connection import Connection
from .hub import Hub

ROUND_SECONDS = 0.25
"""Between two rounds: how late a deadline may be noticed."""


class Watch:
    """Expiry, inactivity, dead peers, slow readers and the node's buffer budget. Times in seconds, sizes in bytes."""

    def __init__(self, hub: Hub, *, inactivity: float, ping: float, slow_reader: float, buffered_bytes: int) -> None:
        self._hub = hub
        self._inactivity = inactivity
        self._ping = ping
        self._slow_reader = slow_reader
        self._buffered_bytes = buffered_bytes

    def round(self, now: float) -> None:
        """Look at every connection once."""
        buffered = 0
        for connection in self._hub:
            if now >= connection.expires_at:
                refusal = Refusal(ErrorCode.TOKEN_EXPIRED, TOKEN_EXPIRED)
                self._hub.say(connection, [error(refusal)])
                self._hub.close(connection, CloseCode.POLICY_VIOLATION, TOKEN_EXPIRED)
            elif connection.outlet.expects_pong and now - connection.message_at >= self._inactivity:
                self._hub.close(connection, CloseCode.GOING_AWAY, "Inactivity timeout")
            elif connection.paused:
                buffered += self._check_reader(connection, now)
            else:
                # Below its mark a socket's buffer is nobody's fault, but it is the node's memory all the same.
                buffered += connection.outlet.buffered()
                self._check_peer(connection, now)
        if buffered > self._buffered_bytes:
            self._relieve(buffered)

    def _check_reader(self, connection: Connection, now: float) -> int:
        buffered = connection.outlet.buffered()
        if buffered < connection.buffered:
            connection.progress_at = now
        connection.buffered = buffered
        if now - connection.progress_at >= self._slow_reader:
            self._hub.close(connection, CloseCode.TRY_AGAIN_LATER, "Too slow: nothing was read")
            return 0
        return buffered + connection.answer_bytes

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

    def _relieve(self, buffered: int) -> None:
        """Close those for whom most is buffered until the node's budget holds."""
        held = [(connection.outlet.buffered() + connection.answer_bytes, connection) for connection in self._hub]
        for size, connection in sorted(held, key=lambda pair: pair[0], reverse=True):
            if buffered <= self._buffered_bytes:
                break
            buffered -= size
            self._hub.close(connection, CloseCode.TRY_AGAIN_LATER, "The server is out of buffer space")
