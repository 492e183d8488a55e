"""The broker: what is published gets its place in the one order, and is announced from there.

Whoever publishes waits for the broker; whoever receives gets the event only from `announce`. So the same code holds
where the order is made elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..memory.investigations import Investigations
from ..memory.log import Draft, Event, Log


class Broker(Protocol):
    """Where events are ordered."""

    async def publish(self, draft: Draft) -> Event:
        """Append one event and announce it. Raises as `publish_all` does."""

    async def publish_all(self, drafts: Sequence[Draft]) -> list[Event]:
        """Append these events in a row and announce them.

        Raises `Refusal` (`CONFLICT`) if one breaks the order of its investigation; then none was appended.
        """


class MemoryBroker:
    """The order is this process's log. `wall` gives seconds since 1970."""

    def __init__(
        self, log: Log, investigations: Investigations, announce: Callable[[Event], None], wall: Callable[[], float]
    ) -> None:
        self._log = log
        self._investigations = investigations
        self._announce = announce
        self._wall = wall

    async def publish(self, draft: Draft) -> Event:
        """See `Broker.publish`. Never suspends: the event is announced when this returns."""
        now = self._wall()
        self._investigations.check(draft)
        return self._append(draft, now)

    async def publish_all(self, drafts: Sequence[Draft]) -> list[Event]:
        """See `Broker.publish_all`. Never suspends."""
        now = self._wall()
        self._investigations.check_all(drafts)
        return [self._append(draft, now) for draft in drafts]

    def _append(self, draft: Draft, now: float) -> Event:
        event = self._log.append(draft, now)
        self._investigations.apply(draft, now)
        self._announce(event)
        return event
