"""Events packed for an encoding, and deflated once each, however many connections get them live or replayed."""

from collections.abc import Callable

from ..memory.log import Event
from ..words.deflate import THRESHOLD, deflate
from ..words.encodings import Encoding

KEPT_BYTES = 4 << 20
"""Bytes of deflated events that are kept; past it the one deflated first goes, and is deflated anew if it is asked for
again."""

KEPT_OVERHEAD = 160
"""Bytes counted for a deflated event beside its payload: the objects around it, measured with `tracemalloc`."""


class Packing:
    """The events of one log. `cursor` gives the cursor of an offset."""

    def __init__(self, cursor: Callable[[int], str]) -> None:
        self._cursor = cursor
        self._deflated: dict[int, bytes] = {}
        self._bytes = 0

    def part(self, encoding: Encoding, event: Event) -> bytes:
        """The event as `encoding` joins it."""
        body = event.body
        if encoding.pack is None or len(body) < THRESHOLD:
            return encoding.part(body, self._cursor(event.offset))
        payload = self._deflated.get(event.offset)
        if payload is None:
            payload = self._deflate(event)
        return encoding.pack(payload, body)

    def _deflate(self, event: Event) -> bytes:
        payload = self._deflated[event.offset] = deflate(event.body)
        self._bytes += len(payload) + KEPT_OVERHEAD
        while self._bytes > KEPT_BYTES:
            self._bytes -= len(self._deflated.pop(next(iter(self._deflated)))) + KEPT_OVERHEAD
        return payload
