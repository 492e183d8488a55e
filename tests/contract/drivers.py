"""What every client must be able to do, whoever wrote it: the one interface behind which the contract suite tests them.

A driver comes back by itself after whatever happens to its connection, resumes, and gives each event once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
Token = str | Callable[[], Awaitable[str]]

CONTROL = ("connection_established", "pong", "subscribed")
"""What carries an `id` and is no event."""

BACKOFF_SECONDS = 0.02
"""The first wait before coming back; tests have no time for the second that is right in life."""


class Refused(Exception):
    """A command was answered with an `error`; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Ended(Exception):
    """The driver has given up for good and will not come back."""


@dataclass(frozen=True)
class Options:
    """What to follow, and how. `batch` asks for arrays; `open_seconds` is the patience of the libraries alone."""

    connection_type: str | None = None
    events: tuple[str, ...] | None = None
    investigation_ids: tuple[str, ...] | None = None
    batch: bool = False
    open_seconds: float = 1.0

    def query(self) -> dict[str, str]:
        """As the query of a URL."""
        asked = {
            "connection_type": self.connection_type,
            "events": None if self.events is None else ",".join(self.events),
            "investigation_ids": None if self.investigation_ids is None else ",".join(self.investigation_ids),
            "batch": "1" if self.batch else None,
        }
        return {key: value for key, value in asked.items() if value is not None}


class Driver(Protocol):
    """One client. `verdicts` are all that it was told about `recovered`, in order; `wire_faults` what it saw go wrong.

    `transport` is the way it got through: websocket, sse or poll.
    """

    transport: str | None
    session_id: str | None
    verdicts: list[bool]
    wire_faults: list[str]

    async def open(self) -> None:
        """Connect. Returns when welcomed; raises `Ended` if there is no use in trying again."""

    async def next(self) -> Json:
        """The next message, as an envelope. Raises `Ended`."""

    async def start(self, query: str) -> str:
        """Start an investigation; its id. Raises `Refused`."""

    async def chat(self, agent: str, message: str) -> str:
        """Ask an agent; the final answer. Raises `Refused`."""

    async def subscribe(self, *, events: list[str] | None = None, investigation_ids: list[str] | None = None) -> None:
        """Follow this instead of the default. Raises `Refused`."""

    async def close(self) -> None:
        """Say goodbye and leave nothing behind."""


@dataclass
class Reader:
    """A driver's events, and a few words for reading them."""

    driver: Driver
    seen: list[Json] = field(default_factory=list)

    async def until(self, matches: Callable[[Json], bool]) -> Json:
        """Read up to and with the first event (with an `id`) that matches."""
        while True:
            message = await self.driver.next()
            # A library may show a welcome that could not catch up; it has an id and is no event.
            if message.get("id") is None or message["type"] in CONTROL:
                continue
            self.seen.append(message)
            if matches(message):
                return message

    async def finished(self, investigation_id: str) -> Json:
        """Read up to the end of an investigation."""
        return await self.until(
            lambda m: (
                m["type"] == "investigation_update"
                and m["data"]["investigation_id"] == investigation_id
                and m["data"]["status"] in ("completed", "failed", "cancelled")
            )
        )

    async def upto(self, id_: str, seconds: float = 20.0) -> list[str]:
        """Read up to the event with this cursor; the cursors of all that was read, in order."""
        async with asyncio.timeout(seconds):
            await self.until(lambda m: m["id"] == id_)
        return self.ids

    @property
    def ids(self) -> list[str]:
        """The cursors of what was read."""
        return [message["id"] for message in self.seen]
