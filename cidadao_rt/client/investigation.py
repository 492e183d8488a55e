"""An investigation as something to iterate."""

from collections.abc import AsyncIterator
from typing import Protocol

from ..words.events import FINAL, INVESTIGATION_UPDATE, PROGRESS_UPDATE
from .inbox import Follower
from .streams import Stream
from .values import Event


class Canceller(Protocol):
    """Who can stop an investigation."""

    async def cancel_investigation(self, investigation_id: str) -> Event:
        """Stop it."""


class Investigation(Follower):
    """One investigation, from its start. Iterate it for its events; the last is the one with its final status.

    `status` and `progress` (0 to 100) are the newest known, also while nobody iterates.
    """

    def __init__(self, client: Canceller, first: Event, stream: Stream) -> None:
        super().__init__(first.data["investigation_id"], stream)
        self._client = client
        self.status: str = ""
        self.progress: int = 0
        self._read(first)
        if first.id is None and self.is_final:
            # A start that was sent twice and is long over: this is all that there is to tell.
            stream.put(first)
            stream.end()

    @property
    def is_final(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.status in FINAL

    async def cancel(self) -> str:
        """Stop it. Returns its status, `cancelled` or the final one that it had already. Raises as `Client.send`."""
        return str((await self._client.cancel_investigation(self.id)).data.get("status", ""))

    def notice(self, event: Event) -> bool:
        """See `Follower`."""
        self._read(event)
        if event.type == INVESTIGATION_UPDATE and self.is_final:
            self.stream.put(event)
            self.stream.end()
            return False
        return True

    def _read(self, event: Event) -> None:
        if event.type == INVESTIGATION_UPDATE:
            self.status = str(event.data.get("status", self.status))
            self.progress = event.data.get("progress", self.progress)
        elif event.type == PROGRESS_UPDATE:
            self.progress = event.data.get("overall_progress", self.progress)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event. Raises `ClosedError` or `RefusedError` where the client ends before the investigation."""
        return await self.stream.take()

    def __repr__(self) -> str:
        return f"<Investigation {self.id} {self.status} {self.progress}%>"
