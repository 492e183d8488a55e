"""Events on their way to the application: streams that wait to be iterated, and how much may wait in them.

A stream in which `FULL` events wait stops the reading from the gateway, which then keeps no more than a cursor for this
client. Unless somebody waits for something that has to be read past those events: the answer of a call, or an event of
another stream. Then more may wait; at `MOST` the stream lets its events go, and its next step raises `OverflowError`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from .errors import RealtimeError
from .values import Event

FULL = 1_000
"""Events."""

MOST = 10_000
"""Events."""


class Stream:
    """One iterator's events. `changed` is called when the application takes one or begins to wait for one."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._events: deque[Event] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self._ended = False
        self._error: RealtimeError | BaseException | None = None
        self._lost = 0
        self.in_hand: Event | None = None

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for its next event."""
        return bool(self._waiters)

    @property
    def is_full(self) -> bool:
        """Whether `FULL` events wait."""
        return len(self._events) >= FULL

    def put(self, event: Event) -> list[Event]:
        """Add an event. Returns those that were let go instead, if it came to that."""
        if self._ended:
            return []
        dropped: list[Event] = []
        if len(self._events) >= MOST:
            dropped = list(self._events)
            self._events.clear()
            self._lost += len(dropped)
        self._events.append(event)
        self._wake()
        return dropped

    def end(self, error: BaseException | None = None) -> None:
        """No more will come. What waits can be taken still; then iterating stops, or raises `error`."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def take(self) -> Event:
        """The next event. Raises `StopAsyncIteration` at the end, `OverflowError` once for what was let go."""
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                raise OverflowError(f"{lost} events were not taken in time and have been let go")
            if self._events:
                self.in_hand = self._events.popleft()
                self._changed()
                return self.in_hand
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            self._changed()
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)


async def room(streams: Callable[[], Iterable[Stream]], is_asked: Callable[[], bool], changed: asyncio.Event) -> None:
    """Wait while a stream is full and nobody waits for what lies behind it. `is_asked`: whether a call waits."""
    while True:
        changed.clear()
        present = list(streams())
        if not any(stream.is_full for stream in present):
            return
        if is_asked() or any(stream.is_waited_for for stream in present):
            return
        await changed.wait()
