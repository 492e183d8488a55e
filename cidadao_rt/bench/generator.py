"""The load generator: many WebSocket connections and a few publishers in one loop over epoll.

It counts what every connection gets, so that a run is only right if each got all that it follows, once. What is read
the same by many connections is looked at once (`chunks`), which keeps it cheaper than the server it drives.
"""

import errno
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from select import EPOLLIN, EPOLLOUT, epoll
from typing import Protocol

from . import wire
from .chunks import Chunk, Chunks, Inflater
from .payload import COUNT_MASK, payload, stamp, weight
from .target import Target
from .wire import Opcode, WireError

IN_FLIGHT = 64
"""Handshakes that are under way at once."""

READ_BYTES = 16_384
BATCH = 512
TURN_SECONDS = 0.01
BEHIND = 2_000_000
"""Deliveries outstanding past which an open loop publishes no more: the server cannot keep up."""

FALLS_BEHIND = "the server falls behind"
"""What is said then."""

INFLATED = 4
"""Connections of those with a compression context of their own whose messages are read; of others they are counted."""

FAULTS = 20
"""Faults that are kept as text; all are counted."""


class State(Enum):
    """How far a connection is."""

    CONNECTING = auto()
    UPGRADING = auto()
    GREETING = auto()
    OPEN = auto()
    ENDED = auto()


class Connection:
    """A subscriber, or a publisher. `total` is the sum of the weights that it got; `due` that of what it should get,
    beside its topics'."""

    __slots__ = (
        "due", "fd", "greeting", "in_flight", "inflater", "number", "out", "path", "plain", "publishes", "recv", "rest",
        "sock", "state", "topics", "total",
    )  # fmt: skip

    def __init__(self, number: int, topics: Sequence[int], path: str | None, *, publishes: bool = False) -> None:
        self.number = number
        self.topics = topics
        self.path = path
        self.publishes = publishes
        self.state = State.CONNECTING
        self.plain = False
        self.rest = b""
        self.greeting = b""
        self.out = b""
        self.total = 0
        self.due = 0
        self.in_flight = 0
        self.inflater: Inflater | None = None
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.sock.fileno()
        self.recv = self.sock.recv


class Flow(Protocol):
    """What is published, and when."""

    def due(self, generator: "Generator", now: int) -> list[int]:
        """The due times of the events to publish at `now` (ns); the generator numbers them."""
        ...

    def returned(self, count: int) -> None:
        """So many of the last ones could not be sent now, and stay due."""
        ...


@dataclass(slots=True)
class Window:
    """A closed loop: at most `size` events are outstanding at some subscriber; without any, unanswered ones count."""

    size: int

    def due(self, generator: "Generator", now: int) -> list[int]:
        """See `Flow`."""
        audience = generator.audience
        if audience:
            room = int((self.size * audience - generator.outstanding) // audience)
        else:
            room = self.size - generator.unanswered
        return [now] * room

    def returned(self, count: int) -> None:
        """See `Flow`. Nothing is due by time."""


class Rate:
    """An open loop: `per_second` events, each stamped with when it was due, however late it is sent."""

    __slots__ = ("_begin", "_count", "_per_second")

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._begin = 0
        self._count = 0

    def due(self, generator: "Generator", now: int) -> list[int]:
        """See `Flow`."""
        self._begin = self._begin or now
        until = int((now - self._begin) * self._per_second / 1e9) + 1
        times = [self._begin + int(n * 1e9 / self._per_second) for n in range(self._count, until)]
        self._count = max(self._count, until)
        if generator.outstanding > BEHIND:
            generator.fault(FALLS_BEHIND)
            return []
        return times

    def returned(self, count: int) -> None:
        """See `Flow`."""
        self._count -= count


class Generator:
    """One target, and the connections to it. To be closed, by `close` or as a context manager."""

    def __init__(self, target: Target, *, echo: bool = False) -> None:
        self.target = target
        self.chunks = Chunks(target.ping_marker if echo else target.marker)
        self.subscribers: list[Connection] = []
        self.publishers: list[Connection] = []
        self.faults: list[str] = []
        self.faulty = 0
        self.delivered = 0
        self.published = 0
        self.answered = 0
        self.expected = 0
        self.topics = 1
        self.flow: Flow | None = None
        self._echo = echo
        self._echoing = False
        self._epoll = epoll()
        self._by_fd: list[Connection | None] = []
        self._opening = 0
        self._sent: dict[int, int] = {}
        self._audience: dict[int, int] = {}
        self._topic = 0
        self._next = 0
        self._idle: deque[Connection] = deque()
        self._paused: set[Connection] = set()

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it knows --------------------------------------------------------------------------------------------

    @property
    def audience(self) -> float:
        """Subscribers that a topic has, on the average."""
        return sum(self._audience.values()) / self.topics

    @property
    def outstanding(self) -> int:
        """Deliveries still to come."""
        return self.expected - self.delivered

    @property
    def unanswered(self) -> int:
        """Events published over HTTP whose answer has not come."""
        return self.published - self.answered

    def wrong(self) -> list[Connection]:
        """The subscribers that did not get exactly what they follow, or have ended."""
        return [
            one
            for one in self.subscribers
            if one not in self._paused and (one.state is not State.OPEN or not self._has_all(one))
        ]

    def _has_all(self, one: Connection) -> bool:
        due = one.due + sum(self._sent.get(topic, 0) for topic in one.topics)
        if one.inflater is not None and one.inflater.counts_only:
            return one.total & COUNT_MASK == due & COUNT_MASK
        return one.total == due

    def fault(self, text: str) -> None:
        """Something went wrong; the run is not right."""
        self.faulty += 1
        if len(self.faults) < FAULTS and text not in self.faults:
            self.faults.append(text)

    # -- connections ----------------------------------------------------------------------------------------------

    def open(
        self,
        count: int,
        *,
        follows: Callable[[int], Sequence[int]] | None = None,
        path: Callable[[int], str] | None = None,
        in_flight: int = IN_FLIGHT,
        seconds: float = 120.0,
    ) -> list[Connection]:
        """Open `count` more subscribers, with so many handshakes under way at once; what fails is a fault.

        `follows` tells a connection's topics, by default one of all in turn; `path` is the target's own by default.
        """
        path = path or self.target.path
        first = len(self.subscribers)
        made: list[Connection] = []
        deadline = time.monotonic() + seconds
        while (len(made) < count or self._opening) and time.monotonic() < deadline:
            while len(made) < count and self._opening < in_flight:
                number = first + len(made)
                topics = follows(number) if follows is not None else (number % self.topics,)
                made.append(self._connect(Connection(number, topics, path(number))))
                self.subscribers.append(made[-1])
            self.turn()
        failed = count - sum(one.state is State.OPEN for one in made)
        if failed:
            self.fault(f"{failed} connections of {count} were not opened")
        return made

    def open_publishers(self, seconds: float = 30.0) -> None:
        """Open what the target publishes with."""
        publisher = self.target.publisher
        for number in range(publisher.connections):
            self.publishers.append(self._connect(Connection(number, (), publisher.path, publishes=True)))
        deadline = time.monotonic() + seconds
        while self._opening and time.monotonic() < deadline:
            self.turn()

    def drop(self, some: Sequence[Connection]) -> None:
        """Close these without a word; they no longer count."""
        gone = set(some)
        for one in some:
            self._end(one)
        self.subscribers = [one for one in self.subscribers if one not in gone]

    def pause(self, one: Connection) -> None:
        """Read nothing more of it, for now; until `resume` it is not judged."""
        self._paused.add(one)
        self._epoll.unregister(one.fd)
        self._count(one, -1)

    def resume(self, one: Connection) -> None:
        """Read it again, and expect all that it is owed."""
        self._paused.discard(one)
        missing = (one.due + sum(self._sent.get(topic, 0) for topic in one.topics) - one.total) & COUNT_MASK
        self.expected += missing
        self._count(one, 1)
        self._epoll.register(one.fd, EPOLLIN)

    def sent(self, topics: Sequence[int]) -> int:
        """The sum of the weights of all that was published to these."""
        return sum(self._sent.get(topic, 0) for topic in topics)

    def owe(self, one: Connection, since: int, events: int) -> None:
        """Expect of a connection that came back all from `since` on, a value of `sent`, so many events."""
        one.due = -since
        self.expected += events

    def close(self) -> None:
        """Close all."""
        for one in (*self.subscribers, *self.publishers):
            self._end(one)
        self._epoll.close()

    def _connect(self, one: Connection) -> Connection:
        self._opening += 1
        self._by_fd += [None] * (one.fd + 1 - len(self._by_fd))
        self._by_fd[one.fd] = one
        code = one.sock.connect_ex((self.target.host, self.target.port))
        self._epoll.register(one.fd, EPOLLIN | EPOLLOUT)
        if code not in (0, errno.EINPROGRESS):
            self._lost(one, f"no connection: {errno.errorcode.get(code, code)}")
        return one

    def _opened(self, one: Connection) -> None:
        one.state = State.OPEN
        self._opening -= 1
        if one.publishes:
            self._idle.append(one)
            return
        one.plain = not self._echo and one.inflater is None
        # What a subscription brings is what is published from now on.
        one.due -= self.sent(one.topics)
        self._count(one, 1)
        first = self.target.first(one.number)
        if first:
            self._send(one, wire.frame(first, binary=self.target.binary))

    def _count(self, one: Connection, by: int) -> None:
        for topic in one.topics:
            self._audience[topic] = self._audience.get(topic, 0) + by

    def _lost(self, one: Connection, why: str) -> None:
        if one.state is not State.ENDED:
            self.fault(why)
            self._end(one)

    def _end(self, one: Connection) -> None:
        if one.state is State.ENDED:
            return
        if one.state is not State.OPEN:
            self._opening -= 1
        elif not one.publishes:
            self._count(one, -1)
        one.state = State.ENDED
        one.plain = False
        self._by_fd[one.fd] = None
        # A reset leaves no port behind that waits for a minute.
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.sock.close()

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Go on for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()

    def drain(self, seconds: float) -> bool:
        """Publish no more, and wait until all that is owed has come. False if it did not within so long."""
        self.flow = None
        self._echoing = False
        end = time.monotonic() + seconds
        while (self.outstanding > 0 or self.unanswered > 0) and time.monotonic() < end:
            self.turn()
        return self.outstanding == 0 and self.unanswered == 0

    def turn(self) -> None:
        """Publish what is due, and take what has come; wait for it a little."""
        timeout = TURN_SECONDS
        if self.flow is not None:
            self._publish(self.flow)
            timeout = 0.001
        chunks, known = self.chunks, self.chunks.known
        by_fd, clock, delivered = self._by_fd, time.monotonic_ns, 0
        for fd, mask in self._epoll.poll(timeout, BATCH):
            one = by_fd[fd]
            if one is None:
                continue
            if mask != EPOLLIN or not one.plain:
                self._event(one, mask)
                continue
            try:
                data = one.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lost(one, f"a connection broke: {error.strerror}")
                continue
            if not data:
                self._lost(one, "a connection was ended by the server")
                continue
            if one.rest:
                data = one.rest + data
            chunk = known.get(data)
            if chunk is None:
                try:
                    chunk = chunks.read(data)
                except WireError as error:
                    self._lost(one, str(error))
                    continue
            chunk.times.append(clock())
            one.rest = chunk.rest
            one.total += chunk.weight
            delivered += chunk.count
            if chunk.other:
                self._other(one, chunk)
        self.delivered += delivered

    def _event(self, one: Connection, mask: int) -> None:
        if mask & EPOLLOUT:
            self._writable(one)
        if mask & ~EPOLLOUT and one.state is not State.ENDED:
            try:
                data = one.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(one, f"a connection broke: {error.strerror}")
                return
            if not data:
                self._lost(one, "a connection was ended by the server")
                return
            try:
                self._received(one, one.rest + data)
            except WireError as error:
                self._lost(one, str(error))

    def _writable(self, one: Connection) -> None:
        if one.state is not State.CONNECTING:
            data, one.out = one.out, b""
            self._epoll.modify(one.fd, EPOLLIN)
            self._send(one, data)
            return
        code = one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._lost(one, f"no connection: {errno.errorcode.get(code, code)}")
            return
        self._epoll.modify(one.fd, EPOLLIN)
        if one.path is None:
            self._opened(one)
            return
        one.state = State.UPGRADING
        target = self.target
        headers, deflate = ("", "") if one.publishes else (target.headers(one.number), target.deflate)
        self._send(one, wire.upgrade(f"{target.host}:{target.port}", one.path, headers, deflate))

    def _received(self, one: Connection, data: bytes) -> None:
        if one.state is State.UPGRADING:
            answered = wire.answer(data)
            if answered is None:
                one.rest = data
                return
            status, head, data = answered
            if status != 101:
                raise WireError(f"the handshake was answered with {status}")
            if b"permessage-deflate" in head and b"server_no_context_takeover" not in head:
                one.inflater = Inflater(counts_only=one.number >= INFLATED)
            if self.target.deflate and not one.publishes and b"permessage-deflate" not in head:
                self.fault("compression was not accepted")
            if self.target.greeting and not one.publishes:
                one.state = State.GREETING
            else:
                self._opened(one)
        if one.publishes and one.path is None:
            self._answers(one, data)
            return
        chunk = self.chunks.parse(data, one.inflater)
        one.rest = chunk.rest
        if one.publishes:
            # Servers that publish to all may send a publisher its own event.
            return
        if chunk.count:
            chunk.times.append(time.monotonic_ns())
            self.chunks.keep(chunk)
            self.delivered += chunk.count
            one.total += chunk.weight
        self._other(one, chunk)
        if self._echoing and one.state is State.OPEN:
            for _ in range(chunk.count):
                self._ping(one)

    def _answers(self, one: Connection, data: bytes) -> None:
        while data:
            answered = wire.answer(data)
            if answered is None:
                break
            status, _, data = answered
            if not 200 <= status < 300:
                self.fault(f"publishing was answered with {status}")
            self.answered += one.in_flight
            one.in_flight = 0
            self._idle.append(one)
        one.rest = data

    def _other(self, one: Connection, chunk: Chunk) -> None:
        """What is no event."""
        for first, body in chunk.other:
            match first & 0x0F:
                case Opcode.PING:
                    self._send(one, wire.frame(body, opcode=Opcode.PONG))
                case Opcode.CLOSE:
                    code = int.from_bytes(body[:2]) if len(body) >= 2 else 1005
                    self._lost(one, f"closed with {code} {body[2:].decode(errors='replace')}".rstrip())
                    return
                case Opcode.TEXT | Opcode.BINARY if one.state is State.GREETING:
                    if self.target.greeting not in body:
                        self._lost(one, "the greeting was " + body[:200].decode(errors="replace"))
                        return
                    one.greeting = body
                    self._opened(one)
                case _:
                    pass

    def _send(self, one: Connection, data: bytes) -> None:
        if one.state is State.ENDED:
            return
        if not one.out:
            try:
                data = data[one.sock.send(data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._lost(one, f"a connection broke: {error.strerror}")
                return
            if not data:
                return
            self._epoll.modify(one.fd, EPOLLIN | EPOLLOUT)
        one.out += data

    # -- publishing -----------------------------------------------------------------------------------------------

    def _publish(self, flow: Flow) -> None:
        if not self._idle:
            return
        due = flow.due(self, time.monotonic_ns())
        at = 0
        while at < len(due) and self._idle:
            at += self._request(due[at : at + self.target.publisher.batch])
        if at < len(due):
            flow.returned(len(due) - at)

    def publish(self, count: int, topic: int | None = None, *, seconds: float = 60.0) -> None:
        """Publish so many events now, on one topic or on all in turn, and wait until they have been taken."""
        end = time.monotonic() + seconds
        while (count or self.unanswered) and time.monotonic() < end:
            if self._idle and count:
                size = min(count, self.target.publisher.batch)
                count -= self._request([time.monotonic_ns()] * size, topic)
            self.turn()
        if count or self.unanswered:
            self.fault("publishing took too long")

    def _request(self, due: list[int], only: int | None = None) -> int:
        publisher, one = self.target.publisher, self._idle.popleft()
        events = []
        for at in due:
            number, topic = self._next, self._topic if only is None else only
            self._next += 1
            if only is None:
                self._topic = (topic + 1) % self.topics
            events.append((topic, payload(at, number, self.target.payload_bytes)))
            self._sent[topic] = self._sent.get(topic, 0) + weight(number)
            self.expected += self._audience.get(topic, 0)
        self.published += len(due)
        if publisher.path is None:
            one.in_flight = len(due)
        else:
            self.answered += len(due)
            self._idle.append(one)
        self._send(one, publisher.request(events))
        return len(due)

    def echo(self) -> None:
        """Put one message in flight on every connection; each answer brings the next, until `drain`."""
        self._echoing = True
        for one in self.subscribers:
            self._ping(one)

    def _ping(self, one: Connection) -> None:
        number = self._next
        self._next += 1
        one.due += weight(number)
        self.expected += 1
        self._send(one, wire.frame(self.target.ping(stamp(time.monotonic_ns(), number)), binary=self.target.binary))
