"""One client's connection as the hub sees it: a session, an outlet, and either a place at the head or a position."""

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

import msgspec

from ..memory.session import Session
from ..words.encodings import Encoding

if TYPE_CHECKING:
    from .fanout import Group, Owed


NOWHERE = -1
"""The `slot` of a connection that is not in the wheel."""


class Outlet(Protocol):
    """What an edge gives the hub to reach one client. None of its methods waits.

    Once attached, an outlet calls `Hub.paused` when its buffer is full and `Hub.resumed` when it has drained.
    """

    @property
    def encoding(self) -> Encoding:
        """How messages are packed for this client."""

    def attach(self, connection: "Connection") -> None:
        """This is the connection whose outlet you are."""

    def write(self, data: bytes) -> None:
        """Hand over what the encoding has joined."""

    @property
    def expects_pong(self) -> bool:
        """Whether the peer answers a ping. If not, its silence proves nothing, and no messages are expected of it."""

    def ping(self, cursor: str) -> None:
        """Give or ask for a sign of life; `cursor` is how far this client has been written to."""

    def buffered(self) -> int:
        """Bytes handed over that the socket has not taken yet."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was written; ends by itself within a bounded time."""

    def abort(self) -> None:
        """Cut the connection at once and forget what is buffered."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A direct answer ready to be written. Without `body` it is a `pong`, stamped when it is written."""

    type: str
    body: bytes | None
    correlation_id: str | None = None
    cursor: str | None = None


class Connection:
    """A live connection is in its groups and its position is the head; one behind has nothing but its position.

    `number` counts connections in the order in which they opened. Times are in seconds of the loop's clock: `opened_at`
    the beginning, `message_at` the last message, `heard_at` the last sign of life, `progress_at` the last time its full
    buffer shrank to `buffered` bytes, `expires_at` the end of its token. One that `conflates` is spared, while it is
    behind, the progress that later progress has overtaken.

    There are as many of these as clients, so what most have none of is an empty tuple, which costs nothing.
    """

    __slots__ = (
        "address", "answer_bytes", "answers", "buffered", "closing", "conflates", "expires_at", "groups", "heard_at",
        "held", "id", "interest", "live", "message_at", "number", "opened_at", "outlet", "owed", "paused", "pinged_at",
        "position", "progress_at", "queued", "session", "slot", "timers", "waiters",
    )  # fmt: skip

    def __init__(
        self, id_: str, session: Session, outlet: Outlet, address: str, now: float, *, conflates: bool = False
    ) -> None:
        self.id = id_
        self.session = session
        self.interest = session.interest
        self.outlet = outlet
        # Thousands may come from one proxy.
        self.address = sys.intern(address)
        self.conflates = conflates
        self.position = 0
        self.live = self.paused = self.closing = self.queued = False
        self.answers: tuple[Answer, ...] = ()
        self.answer_bytes = 0
        self.waiters: tuple[asyncio.Future[None], ...] = ()
        # What is to happen to it later; they end with it.
        self.timers: tuple[asyncio.TimerHandle, ...] = ()
        self.groups: tuple[Group, ...] = ()
        # The fan-out's, while it writes what a turn owes.
        self.owed: Owed | None = None
        self.expires_at = float("inf")
        self.number = 0
        self.opened_at = self.message_at = self.heard_at = self.pinged_at = self.progress_at = now
        self.buffered = 0
        # The watch's: its bytes in the node's total when they were counted last, and its place in the wheel.
        self.held = 0
        self.slot = NOWHERE

    def cancel_timers(self) -> None:
        """What was to happen to it will not."""
        for timer in self.timers:
            timer.cancel()
        self.timers = ()
