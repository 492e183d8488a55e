"""The load: one process, one thread, epoll and raw sockets, so that it stays cheaper than what it measures.

What arrives is not parsed into frames: a payload is found by its marker and stamp (`cidadao_rt.bench.payload`), which
costs a search in C for each read. Frames matter only while a connection opens.
"""

import errno
import os
import re
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cidadao_rt.bench.payload import STAMP_LENGTH, payload
from cidadao_rt.bench.target import Target
from cidadao_rt.bench.wire import answer, frame, upgrade

READ = 1 << 18
IN_FLIGHT = 64
"""Handshakes outstanding at once."""

OPEN_SECONDS = 90.0
DRAIN_SECONDS = 5.0
BEHIND = 2_000_000
"""Deliveries owed at which a server has fallen behind a rate; no more is offered."""

_TICK = os.sysconf("SC_CLK_TCK")
_END = ord("}")


class LoadError(Exception):
    """The server refused a connection, closed one or answered wrongly; the message says which."""


@dataclass(slots=True)
class Measured:
    """What one measurement gave. Times of the server are seconds of processor time of its processes."""

    seconds: float
    server_seconds: float
    generator_seconds: float
    published: int
    delivered: int
    latencies_ms: Sequence[float]
    complete: bool


def processor_seconds(pids: Sequence[int]) -> float:
    """Time in user and kernel mode of all threads of these processes, to one tick (10 ms)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def resident_kib(pids: Sequence[int]) -> int:
    """Resident memory of these processes, in KiB."""
    found = [re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()) for pid in pids]
    return sum(int(one[1]) for one in found if one)


class _Connection:
    __slots__ = ("busy", "count", "number", "out", "rest", "sock", "state", "wants")

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.state = "handshake"
        self.rest = b""
        self.out = b""
        self.count = 0
        self.busy = False
        self.wants = False


class Load:
    """Connections to one server, and what goes through them."""

    def __init__(self, target: Target, connections: int, topics: int, receivers: int) -> None:
        """`receivers`: how many of the connections an event reaches."""
        self._target = target
        self._topics = topics
        self._receivers = receivers
        self._count = connections
        self._epoll = select.epoll()
        self._all: dict[int, _Connection] = {}
        self._subscribers: list[_Connection] = []
        self._publishers: list[_Connection] = []
        self._opened = 0
        self._find = re.compile(re.escape(target.marker) + rb"(\d{19})\d{12}")
        self._find_echo = re.compile(re.escape(target.ping_marker) + rb"(\d{19})\d{12}")
        self._keep = len(target.marker) + STAMP_LENGTH - 1
        self._delivered = 0
        self._published = 0
        self._latencies: list[float] | None = None
        self._answered: Callable[[_Connection], None] | None = None

    def close(self) -> None:
        """Drop all connections at once."""
        for one in self._all.values():
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.sock.close()
        self._epoll.close()

    # --- opening

    def open(self) -> float:
        """Open all subscribers; returns the seconds it took. Raises `LoadError`."""
        begun = time.monotonic()
        self._open_all(self._subscribers, self._count, self._upgrade_subscriber)
        return time.monotonic() - begun

    def open_publishers(self) -> None:
        """Open what publishes. Raises `LoadError`."""
        publisher = self._target.publisher
        self._open_all(self._publishers, publisher.connections, self._upgrade_publisher)

    def _open_all(self, into: list[_Connection], count: int, hello: Callable[[_Connection], None]) -> None:
        deadline, self._opened = time.monotonic() + OPEN_SECONDS, 0
        while self._opened < count:
            while len(into) < count and len(into) - self._opened < IN_FLIGHT:
                sock = socket.create_connection((self._target.host, self._target.port))
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one = _Connection(sock, len(into))
                into.append(one)
                self._all[sock.fileno()] = one
                self._epoll.register(sock.fileno(), select.EPOLLIN)
                hello(one)
            self._turn(0.1)
            if time.monotonic() > deadline:
                raise LoadError(f"{self._opened} of {count} connections opened within {OPEN_SECONDS:.0f} s")

    def _upgrade_subscriber(self, one: _Connection) -> None:
        target = self._target
        self._send(one, upgrade(target.host, target.path(one.number), target.headers(one.number), target.deflate))

    def _upgrade_publisher(self, one: _Connection) -> None:
        path = self._target.publisher.path
        if path is None:
            one.state = "http"
            self._opened += 1
        else:
            self._send(one, upgrade(self._target.host, path, "", ""))

    def _handshake(self, one: _Connection, data: bytes) -> None:
        found = answer(data)
        if found is None:
            one.rest = data
            return
        status, _, rest = found
        if status != 101:
            raise LoadError(f"a handshake was answered with {status}")
        publishes = one in self._publishers
        first = self._target.first(one.number) if not publishes or self._target.first(0).isdigit() else b""
        if first:
            self._send(one, frame(first, binary=self._target.binary))
        one.state = "greeting" if self._target.greeting and not (publishes and not first) else "open"
        if one.state == "open":
            self._opened += 1
        if rest:
            self._take(one, rest)

    def _take(self, one: _Connection, data: bytes) -> None:
        if one.state == "greeting":
            whole = one.rest + data
            if self._target.greeting not in whole:
                one.rest = whole
                return
            one.rest, one.state = b"", "open"
            self._opened += 1
        elif one.state == "handshake":
            self._handshake(one, one.rest + data if one.rest else data)
        else:
            self._answer(one, one.rest + data if one.rest else data)

    def _answer(self, one: _Connection, data: bytes) -> None:
        found = answer(data)
        if found is None:
            one.rest = data
            return
        status, _, one.rest = found
        if not 200 <= status < 300:
            raise LoadError(f"a request was answered with {status}")
        one.busy = False

    # --- bytes

    def _send(self, one: _Connection, data: bytes) -> None:
        if one.out:
            one.out += data
            return
        try:
            sent = one.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise LoadError(f"a connection broke: {errno.errorcode.get(error.errno or 0, '?')}") from None
        if sent < len(data):
            one.out = data[sent:]
        self._want(one)

    def _want(self, one: _Connection) -> None:
        if one.wants != bool(one.out):
            one.wants = bool(one.out)
            self._epoll.modify(one.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if one.wants else 0))

    def _turn(self, timeout: float) -> None:
        for number, event in self._epoll.poll(timeout, 512):
            one = self._all[number]
            if event & select.EPOLLOUT and one.out:
                pending, one.out = one.out, b""
                self._send(one, pending)
            if event & ~select.EPOLLOUT:
                self._read(one)

    def _read(self, one: _Connection) -> None:
        try:
            data = one.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise LoadError(f"the server closed a connection ({one.state})")
        if one.state != "open":
            self._take(one, data)
            return
        if one.rest:
            data = one.rest + data
        # What ends like a payload or an envelope cannot end within a stamp.
        one.rest = b"" if data[-1] == _END else data[-self._keep :]
        if self._latencies is None:
            found = data.count(self._target.marker) if not one.rest else len(self._find.findall(data))
            # A match that ends in what is kept would be found twice.
        else:
            now = time.monotonic_ns()
            stamps = self._find.findall(data)
            found = len(stamps)
            self._latencies += [(now - int(due)) / 1e6 for due in stamps]
        one.count += found
        self._delivered += found

    # --- measuring

    def fan(self, seconds: float, warm: float, *, outstanding: int = 0, rate: float = 0) -> Measured:
        """Publish and receive: `outstanding` events in flight, or `rate` events a second whatever happens."""
        publisher, receivers, size = self._target.publisher, self._receivers, self._target.payload_bytes
        for one in self._subscribers:
            one.count = 0
        self._delivered = self._published = turn = 0
        begun = time.monotonic_ns()
        measure_at, end = begun + int(warm * 1e9), begun + int((warm + seconds) * 1e9)
        step, due = (1e9 / rate, begun) if rate else (0.0, begun)
        start: tuple[int, float, float, int, int] | None = None
        behind = False
        while (now := time.monotonic_ns()) < end:
            if start is None and now >= measure_at:
                start = now, processor_seconds(self._target.pids), time.process_time(), self._published, self._delivered
                self._latencies = [] if rate or outstanding == 1 else None
                end = now + int(seconds * 1e9)
            while True:
                owed = self._published * receivers - self._delivered
                if rate:
                    free = int((now - due) // step) + 1 if due <= now else 0
                    if owed > BEHIND:
                        behind = True
                        break
                else:
                    free = outstanding - -(-owed // receivers)
                if free <= 0:
                    break
                one = self._idle_publisher(turn)
                if one is None:
                    break
                turn += 1
                events = []
                for _ in range(min(free, publisher.batch)):
                    stamp = int(due) if rate else now
                    events.append((self._published % self._topics, payload(stamp, self._published, size)))
                    self._published += 1
                    due += step
                one.busy = publisher.path is None
                self._send(one, publisher.request(events))
            wait = max(0.0, min((due - now) / 1e9, 0.01)) if rate else 0.01
            self._turn(wait)
        assert start is not None
        now = time.monotonic_ns()
        measured = Measured(
            (now - start[0]) / 1e9,
            processor_seconds(self._target.pids) - start[1],
            time.process_time() - start[2],
            self._published - start[3],
            self._delivered - start[4],
            self._latencies or (),
            complete=False,
        )
        self._latencies = None
        measured.complete = self._drained() and not behind
        return measured

    def _idle_publisher(self, turn: int) -> _Connection | None:
        count = len(self._publishers)
        for offset in range(count):
            one = self._publishers[(turn + offset) % count]
            if not one.busy:
                return one
        return None

    def _drained(self) -> bool:
        """Whether all that was published reached everybody, each the same number of times."""
        deadline, expected = time.monotonic() + DRAIN_SECONDS, self._published * self._receivers
        while self._delivered < expected and time.monotonic() < deadline:
            self._turn(0.05)
        return self._delivered == expected

    def echo(self, seconds: float, warm: float) -> Measured:
        """Each connection sends again what has come back; a delivery is one round."""
        ping, find = self._target.ping, self._find_echo
        latencies: list[float] = []
        rounds = 0

        def send(one: _Connection) -> None:
            self._send(one, frame(ping(b"%019d%012d" % (time.monotonic_ns(), rounds))))

        for one in self._subscribers:
            one.rest = b""
            send(one)
        begun = time.monotonic()
        start: tuple[float, float, float, int] | None = None
        while (now := time.monotonic()) < begun + warm + seconds:
            if start is None and now >= begun + warm:
                start = now, processor_seconds(self._target.pids), time.process_time(), rounds
                latencies.clear()
            for number, _ in self._epoll.poll(0.05, 512):
                one = self._all[number]
                data = one.rest + one.sock.recv(READ)
                if not data:
                    raise LoadError("the server closed a connection")
                stamps = find.findall(data)
                one.rest = b"" if stamps else data
                for due in stamps:
                    latencies.append((time.monotonic_ns() - int(due)) / 1e6)
                    rounds += 1
                    send(one)
        assert start is not None
        return Measured(
            now - start[0],
            processor_seconds(self._target.pids) - start[1],
            time.process_time() - start[2],
            rounds - start[3],
            rounds - start[3],
            latencies,
            complete=True,
        )
