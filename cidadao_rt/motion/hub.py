"""The hub: the registry of connections, and the one way by which anything reaches a client.

Live delivery is replay that has caught up. A connection at the head is in the fan-out's groups; one whose socket is
full, or that has just resumed, holds a position and pulls from the log, a page a turn, until it is at the head again.
Nothing is queued for it but its direct answers, and past 64 KiB of those it is not read from.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator

from ..memory import cursor
from ..memory.effects import Pong, Say
from ..memory.log import Event, Log
from ..memory.receipts import Receipts
from ..words import envelope
from ..words.errors import CloseCode
from ..words.events import PROGRESS_UPDATE
from ..words.subscription import Interest
from ..words.topics import Topic
from . import crowd
from .connection import NOWHERE, Answer, Connection, Outlet
from .crowd import Crowd
from .fanout import Fanout
from .metrics import Metrics
from .packing import Packing
from .wheel import Wheel

ANSWER_BYTES = 65_536
"""Bytes of answers that wait for a full socket; past it the client is not read from until they are written."""

ANSWER_OVERHEAD = 128
"""Bytes counted for a waiting answer beside its body."""

PUMP_SECONDS = 0.002
"""How long replay may hold a loop turn, so that live events of others are not late by more."""

_log = logging.getLogger(__name__)


class Hub:
    """Every open connection. `wall` gives seconds since 1970, for timestamps alone."""

    def __init__(self, log: Log, metrics: Metrics, wall: Callable[[], float]) -> None:
        self._log = log
        self._metrics = metrics
        self._wall = wall
        self.receipts = Receipts()
        self._part = Packing(self._cursor).part
        self._fanout = Fanout(metrics, self._part, self.receipts)
        self._connections: dict[str, Connection] = {}
        self._of_user: dict[str, Crowd[Connection]] = {}
        self._of_session: dict[str, Connection] = {}
        self._of_address: Counter[str] = Counter()
        self._opened = 0
        # For the watch: when to look at whom, who is paused, and the bytes of all when they were counted last.
        self.wheel = Wheel()
        self.reluctant: OrderedDict[Connection, None] = OrderedDict()
        self.held = 0
        self._behind: deque[Connection] = deque()
        self._pumping = False
        self.deliver = self._fanout.deliver

    # -- registry -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections.values()))

    @property
    def opened(self) -> int:
        """How many connections there have been."""
        return self._opened

    def ids(self) -> list[str]:
        """The ids of all connections, in the order in which they opened."""
        return list(self._connections)

    def get(self, id_: str) -> Connection | None:
        """The connection of this id, if it is open."""
        return self._connections.get(id_)

    @property
    def behind(self) -> int:
        """Connections that wait for a page of the log."""
        return len(self._behind)

    def of_user(self, sub: str) -> int:
        """How many connections a user has."""
        return len(self._of_user.get(sub, ()))

    def connections_of(self, sub: str) -> list[Connection]:
        """A user's connections, the oldest first."""
        return list(self._of_user.get(sub, ()))

    def of_session(self, session_id: str) -> Connection | None:
        """The connection that carries a session now."""
        return self._of_session.get(session_id)

    def of_address(self, address: str) -> int:
        """How many connections come from an address."""
        return self._of_address[address]

    def add(self, connection: Connection, position: int, greeting: Iterable[Say]) -> None:
        """Register a connection, greet it, and deliver from `position` on."""
        self._opened += 1
        connection.number = self._opened
        self._connections[connection.id] = connection
        sub = connection.session.sub
        self._of_user[sub] = crowd.joined(self._of_user.get(sub, ()), connection)
        self._of_session[connection.session.id] = connection
        self._of_address[connection.address] += 1
        self._metrics.opened(connection.outlet.encoding.transport)
        self.wheel.put(connection)
        connection.position = position
        connection.outlet.attach(connection)
        self.say(connection, greeting)
        self._advance(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection; it may be gone already."""
        if self._connections.pop(connection.id, None) is None:
            return
        connection.session.sent(self.position(connection))
        if connection.live:
            connection.live = False
            self._fanout.leave(connection)
        connection.closing = True
        connection.cancel_timers()
        self.wheel.remove(connection)
        self.reluctant.pop(connection, None)
        self.held -= connection.held
        connection.held = 0
        self._notice(connection)
        sub = connection.session.sub
        self._of_user[sub] = crowd.left(self._of_user[sub], connection)
        if not self._of_user[sub]:
            del self._of_user[sub]
        if self._of_session.get(connection.session.id) is connection:
            del self._of_session[connection.session.id]
        self._of_address[connection.address] -= 1
        if not self._of_address[connection.address]:
            del self._of_address[connection.address]
        self._metrics.closed(connection.outlet.encoding.transport)

    def close(self, connection: Connection, code: CloseCode, reason: str) -> None:
        """Write what is owed this turn, say goodbye, and forget the connection at once."""
        if connection.closing:
            return
        self._fanout.flush()
        if connection.answers:
            self._write_waiting(connection)
        self.remove(connection)
        connection.outlet.close(code, reason)
        _log.info(
            "connection closed",
            extra={"connection_id": connection.id, "code": int(code), "reason": reason},
        )

    def prolong(self, connection: Connection, expires_at: float) -> None:
        """The connection ends at `expires_at` and no other time, which may be sooner than before."""
        connection.expires_at = expires_at
        if connection.slot != NOWHERE:
            self.wheel.put(connection)

    # -- delivery -------------------------------------------------------------------------------------------------

    def position(self, connection: Connection) -> int:
        """The offset up to which the connection has been written."""
        return self._fanout.settled(self._log.head) if connection.live else connection.position

    def broadcast(self, topic: Topic, type_: str, body: bytes) -> None:
        """Send a transient message to the connections at the head that follow `type_` on `topic`."""
        self._fanout.broadcast(topic, type_, body, self._log.head)

    def say(self, connection: Connection, messages: Iterable[Say | Pong]) -> None:
        """Answer one connection directly. What it is owed at the head is written before."""
        answers = [self._answer(message) for message in messages]
        if connection.closing or not answers:
            return
        if not connection.paused:
            self._fanout.flush()
        # The flush may have been what filled the socket.
        if connection.paused:
            connection.answers += tuple(answers)
            connection.answer_bytes += sum(len(answer.body or b"") + ANSWER_OVERHEAD for answer in answers)
        elif connection.answers:
            connection.answers += tuple(answers)
            self._write_waiting(connection)
        else:
            self._write_answers(connection, answers)

    def ping(self, connection: Connection) -> None:
        """Give or ask for a sign of life."""
        self._fanout.flush()
        if not connection.paused:
            connection.outlet.ping(self._cursor(self.position(connection)))

    def whisper(self, connection: Connection, message: Say) -> None:
        """Send what may be skipped: a connection that is behind goes without."""
        if connection.live:
            self.say(connection, [message])

    def follow(self, connection: Connection, interest: Interest) -> None:
        """From now on deliver by `interest`. To a connection that is behind it holds for what it still has to pull."""
        if connection.live:
            self._fanout.flush()
        connection.interest = interest
        # The flush may have filled the socket, and the connection is live no more.
        if connection.live:
            self._fanout.leave(connection)
            self._fanout.join(connection, interest)

    def rewire(self, connection: Connection, outlet: Outlet) -> None:
        """From now on reach the client through this outlet, which stands in front of the one so far."""
        if connection.live:
            self._fanout.flush()
        # As in `follow`: the flush may have filled the socket.
        was_live = connection.live
        if was_live:
            self._fanout.leave(connection)
        connection.outlet = outlet
        if was_live:
            self._fanout.join(connection, connection.interest)

    def rewind(self, connection: Connection, offset: int) -> None:
        """Send all that the session follows past `offset` again."""
        if connection.closing:
            return
        if connection.live:
            self._fanout.flush()
        self._fall_behind(connection)
        connection.position = offset
        self._advance(connection)

    def paused(self, connection: Connection) -> None:
        """The outlet's buffer is full: the connection falls behind, and costs its position from here on."""
        connection.paused = True
        connection.progress_at = asyncio.get_running_loop().time()
        connection.buffered = connection.outlet.buffered()
        if not connection.closing:
            self.reluctant[connection] = None
        self._fall_behind(connection)

    def resumed(self, connection: Connection) -> None:
        """The outlet's buffer has drained."""
        connection.paused = False
        self.reluctant.pop(connection, None)
        if not connection.closing:
            self._advance(connection)

    async def room(self, connection: Connection) -> None:
        """Wait while more than `ANSWER_BYTES` of answers are unwritten: who does not read is not read from."""
        while self.is_full(connection):
            await self._change(connection)

    @staticmethod
    def is_full(connection: Connection) -> bool:
        """Whether it is to be read from no further before its answers are written."""
        return connection.answer_bytes > ANSWER_BYTES and not connection.closing

    async def caught_up(self, connection: Connection) -> None:
        """Wait until the connection is at the head, so that a snapshot is not followed by what came before it."""
        while not connection.live and not connection.closing:
            await self._change(connection)

    async def _change(self, connection: Connection) -> None:
        waiter = asyncio.get_running_loop().create_future()
        connection.waiters += (waiter,)
        await waiter

    def _notice(self, connection: Connection) -> None:
        for waiter in connection.waiters:
            if not waiter.done():
                waiter.set_result(None)
        connection.waiters = ()

    def _fall_behind(self, connection: Connection) -> None:
        if connection.live:
            connection.position = self.position(connection)
            connection.live = False
            self._fanout.leave(connection)

    def _advance(self, connection: Connection) -> None:
        """Go live if nothing is owed, else take a place among those that pull."""
        if connection.live or connection.paused or connection.closing or connection.queued:
            return
        if not connection.answers and connection.position == self._log.head:
            self._go_live(connection)
            return
        connection.queued = True
        self._behind.append(connection)
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Give those behind a page each in turn, for a bounded time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PUMP_SECONDS
        while self._behind:
            connection = self._behind.popleft()
            connection.queued = False
            if not connection.closing and not connection.paused:
                self._pull(connection)
                self._advance(connection)
            if loop.time() > until:
                break
        if self._behind:
            loop.call_soon(self._pump)
        else:
            self._pumping = False

    def _pull(self, connection: Connection) -> None:
        """Write one page of what is owed."""
        if connection.answers:
            self._write_waiting(connection)
            if connection.paused:
                return
        interest = connection.interest
        if self._log.lost(connection.position, interest):
            self.close(connection, CloseCode.TRY_AGAIN_LATER, "Too slow: events were lost")
            return
        encoding = connection.outlet.encoding
        page = self._log.since(connection.position, interest, encoding.page_events, encoding.page_bytes)
        # Before the write, which may pause the connection: it holds all of the page.
        connection.position = page.position
        found = self._without_overtaken(page.events) if connection.conflates else page.events
        if found:
            connection.outlet.write(encoding.join([self._part(encoding, event) for event in found]))
            self._count(found, encoding.transport)
            if self.receipts:
                session = (connection.session.id, connection.session.sub)
                for event in found:
                    if event.receipt_for is not None:
                        self.receipts.deliver(event.offset, [session])

    def _without_overtaken(self, found: list[Event]) -> list[Event]:
        """Without the progress that later progress of the same investigation has made worthless (PROTOCOL 4)."""
        newest: dict[Topic, int] = {}
        for event in found:
            if event.type == PROGRESS_UPDATE and event.topic not in newest:
                newest[event.topic] = self._log.newest(event.topic, PROGRESS_UPDATE)
        return [event for event in found if event.type != PROGRESS_UPDATE or event.offset == newest[event.topic]]

    def _go_live(self, connection: Connection) -> None:
        self._fanout.flush()
        if not connection.paused and not connection.closing:
            connection.live = True
            self._fanout.join(connection, connection.interest)
            self._notice(connection)

    def encode(self, message: Say | Pong, transport: str, reached: int) -> bytes:
        """The envelope of a direct answer that goes another way than over a connection. It is counted as sent.

        `reached` is the offset that a `pong` tells.
        """
        answer = self._answer(message)
        self._metrics.sent(answer.type, transport)
        here = self._cursor(reached)
        return answer.body or envelope.encode("pong", {}, self._wall(), id_=here, correlation_id=answer.correlation_id)

    def _answer(self, message: Say | Pong) -> Answer:
        if isinstance(message, Pong):
            return Answer("pong", None, message.correlation_id)
        id_ = None if message.offset is None else self._cursor(message.offset)
        if message.type == "error":
            self._metrics.error(message.data["code"])
        body = envelope.encode(message.type, message.data, self._wall(), id_=id_, correlation_id=message.correlation_id)
        return Answer(message.type, body, message.correlation_id, id_)

    def _write_waiting(self, connection: Connection) -> None:
        answers, connection.answers = connection.answers, ()
        connection.answer_bytes = 0
        self._write_answers(connection, answers)
        self._notice(connection)

    def _write_answers(self, connection: Connection, answers: Iterable[Answer]) -> None:
        encoding = connection.outlet.encoding
        here = self._cursor(self.position(connection))
        parts = []
        for answer in answers:
            body, cursor = answer.body, answer.cursor
            if body is None:
                cursor = here
                body = envelope.encode("pong", {}, self._wall(), id_=cursor, correlation_id=answer.correlation_id)
            parts.append(encoding.part(body, cursor))
        connection.outlet.write(encoding.join(parts))
        for answer in answers:
            self._metrics.sent(answer.type, encoding.transport)

    def _cursor(self, offset: int) -> str:
        return cursor.text(self._log.epoch, offset)

    def _count(self, events: list[Event], transport: str) -> None:
        for type_, count in Counter(event.type for event in events).items():
            self._metrics.sent(type_, transport, count)
