"""Faults on demand: an outlet in front of a connection's own that loses, repeats, delays and cuts.

Everything behind it is the production path: the same hub, log, limits and token checks. A dropped event is never
written, nor is anything after it, and the connection is cut in the same turn, so that a client which resumes gets it
replayed: what a network does, on demand. Only in development mode.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from ..words.encodings import POLL, Encoding
from ..words.errors import CloseCode
from ..words.faults import NONE, Faults
from .connection import Connection, Outlet
from .hub import Hub

QUEUE_BYTES = 65_536
"""Bytes that a delayed connection holds back before it counts as full, and falls behind like any slow reader."""

NAMED = 1000
"""Users whose connections are counted for their seeds; beyond it the oldest count starts anew."""

_ANSWERS = tuple(b'{"type":"%b"' % type_ for type_ in (b"connection_established", b"pong", b"subscribed"))
"""How the answers begin that have a cursor although they are no events."""


class _Event(bytes):
    """A packed event, as opposed to a transient message: only these are dropped and repeated."""


class FaultyOutlet:
    """What goes wrong on one connection; `rng` makes the draws.

    A poll's answer tells a position, so nothing of it may be held back here: its edge waits `hold` seconds instead.
    """

    def __init__(self, inner: Outlet, faults: Faults, rng: Random, hub: Hub) -> None:
        self.inner = inner
        self._faults = faults
        self._rng = rng
        self._hub = hub
        self._holds = False
        self._connection: Connection | None = None
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()
        self._queued = 0
        self._full = self._over = False
        self.lost = False
        self._waiting: asyncio.TimerHandle | None = None
        base = inner.encoding
        # An encoding of its own puts the connection into groups of its own, so every join is for it alone.
        self._encoding = Encoding(base.transport, self._part, self._join, base.page_events, base.page_bytes)

    @property
    def encoding(self) -> Encoding:
        """See `Outlet.encoding`."""
        return self._encoding

    @property
    def expects_pong(self) -> bool:
        """See `Outlet.expects_pong`."""
        return self.inner.expects_pong

    def attach(self, connection: Connection) -> None:
        """See `Outlet.attach`. From here on its time runs."""
        self.inner.attach(connection)
        self.begin(connection, self._faults)

    def begin(self, connection: Connection, faults: Faults) -> None:
        """Let these faults, instead of any before, happen from now on. What is held back still goes out in order."""
        connection.cancel_timers()
        self._connection, self._faults = connection, faults
        is_slow = faults.delay[1] > 0 or faults.bytes_per_second is not None
        self._holds = bool(self._queue) or (is_slow and self.inner.encoding is not POLL)
        loop = asyncio.get_running_loop()
        if faults.close is not None:
            connection.timers += (loop.call_later(faults.close[1], self._close_now, faults.close[0]),)
        if faults.flood is not None:
            connection.timers += (loop.call_later(faults.flood, self._flood),)
        if self._waiting is not None:
            # What waits for a delay that holds no more waits anew, and all behind it with it.
            self._waiting.cancel()
            self._wait()
        if faults.expire is not None:
            self._hub.prolong(connection, min(connection.expires_at, loop.time() + faults.expire))

    def hold(self, size: int) -> float:
        """Seconds that an answer of `size` bytes is to wait."""
        seconds = self._rng.uniform(*self._faults.delay)
        return seconds if self._faults.bytes_per_second is None else seconds + size / self._faults.bytes_per_second

    def write(self, data: bytes) -> None:
        """See `Outlet.write`."""
        if not self._over and data:
            self._later(len(data), lambda: self.inner.write(data))
        if self.lost and not self._over:
            # In a call of its own, so that whoever is writing finds its connection as it was.
            asyncio.get_running_loop().call_soon(self._close_now, 1006)
            self._over = True

    def ping(self, cursor: str) -> None:
        """See `Outlet.ping`. In order with what is held back: it may carry the cursor."""
        if not self._over:
            self._later(0, lambda: self.inner.ping(cursor))

    def buffered(self) -> int:
        """See `Outlet.buffered`."""
        return self.inner.buffered() + self._queued

    def close(self, code: int, reason: str) -> None:
        """See `Outlet.close`."""
        if not self._over:
            self._later(0, lambda: self.inner.close(code, reason))
            self._over = True

    def abort(self) -> None:
        """See `Outlet.abort`."""
        self._over = True
        self._forget()
        self.inner.abort()

    def _part(self, body: bytes, cursor: str | None) -> bytes:
        part = self.inner.encoding.part(body, cursor)
        return part if cursor is None or body.startswith(_ANSWERS) else _Event(part)

    def _join(self, parts: Sequence[bytes]) -> bytes:
        kept: list[bytes] = []
        for part in parts:
            if isinstance(part, _Event):
                if self._rng.random() < self._faults.drop:
                    self.lost = True
                    break
                if self._rng.random() < self._faults.duplicate:
                    kept.append(part)
            kept.append(part)
        return self.inner.encoding.join(kept) if kept else b""

    def _later(self, size: int, work: Callable[[], None]) -> None:
        if not self._holds:
            work()
            return
        self._queue.append((size, work))
        self._queued += size
        if len(self._queue) == 1:
            self._wait()
        if self._queued > QUEUE_BYTES and not self._full and self._connection is not None:
            self._full = True
            self._hub.paused(self._connection)

    def _wait(self) -> None:
        self._waiting = asyncio.get_running_loop().call_later(self.hold(self._queue[0][0]), self._next)

    def _next(self) -> None:
        self._waiting = None
        if self._connection is not None and self._connection.closing and not self._over:
            # The client left, and nobody said goodbye.
            self._forget()
            return
        size, work = self._queue.popleft()
        self._queued -= size
        work()
        if self._queue:
            self._wait()
        if self._full and self._queued <= QUEUE_BYTES // 2 and self._connection is not None:
            self._full = False
            self._hub.resumed(self._connection)

    def _forget(self) -> None:
        self._queue.clear()
        self._queued = 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _flood(self) -> None:
        if self._connection is not None:
            self._connection.session.use_up(asyncio.get_running_loop().time())

    def _close_now(self, code: int) -> None:
        if self._connection is None:
            return
        if code == 1006:
            self._hub.remove(self._connection)
            self.abort()
        else:
            self._hub.close(self._connection, CloseCode(code), "Fault on demand")


class Faulting:
    """All faults of a node. `of_all` are those of new connections that ask for none themselves."""

    def __init__(self, hub: Hub) -> None:
        self.of_all = NONE
        self._hub = hub
        self._counts: dict[tuple[str, int], int] = {}

    def outlet(self, inner: Outlet, faults: Faults, sub: str) -> Outlet:
        """An outlet with these faults for a new connection of a user."""
        return inner if faults == NONE else FaultyOutlet(inner, faults, self._rng(faults.seed, sub), self._hub)

    def inject(self, connection: Connection, faults: Faults) -> None:
        """Let these go wrong on a connection under way, instead of what did so far."""
        outlet = connection.outlet
        if not isinstance(outlet, FaultyOutlet):
            outlet = FaultyOutlet(outlet, NONE, self._rng(faults.seed, connection.session.sub), self._hub)
            self._hub.rewire(connection, outlet)
        outlet.begin(connection, faults)

    def _rng(self, seed: int, sub: str) -> Random:
        # Each further connection of the user draws anew: the same draws again would drop the same event for ever.
        key = (sub, seed)
        count = self._counts.pop(key, 0)
        self._counts[key] = count + 1
        while len(self._counts) > NAMED:
            del self._counts[next(iter(self._counts))]
        return Random(f"{seed} {sub} {count}")  # noqa: S311 - repeatable, not secret
