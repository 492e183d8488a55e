"""A TCP proxy that can be cut, and a few words for the tests of the client against a real gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from conftest import Server

from cidadao_rt.client import Client, Event, connect
from cidadao_rt.memory.log import Draft
from cidadao_rt.words import topics

ALL = ("websocket", "sse", "poll")
FAST = {"backoff_seconds": 0.02, "backoff_max_seconds": 0.1, "ack_seconds": 0.05}


class Wire:
    """Between client and gateway: passes bytes on until it is cut, and none from then on while it is down."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.down = False
        self.mute = False
        self.refuses_upgrades = False
        self.holds_streams = False
        self.delays: asyncio.Event | None = None
        self.opened = 0
        self.port = 0

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self.down:
            writer.transport.abort()
            return
        try:
            other_reader, other = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            writer.transport.abort()
            return
        self._pairs.add((writer, other))
        head = await self._head(reader)
        if self.delays is not None:
            # What was asked arrives, however late, and the goodbye of who has given up later still.
            delay, self.delays = self.delays, None
            await delay.wait()
            other.write(head)
            await self._pump(other_reader, writer)
            other.close()
            return
        if self.refuses_upgrades and b"upgrade: websocket" in head.lower():
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            head = b""
            writer.write_eof()
        holds = self.holds_streams and head.startswith(b"GET /api/v1/events?")
        other.write(head)
        await asyncio.gather(self._pump(reader, other), self._pump(other_reader, writer, back=True, holds=holds))
        self._pairs.discard((writer, other))
        for end in (writer, other):
            end.close()

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return b""

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool = False, holds: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if not holds and not (back and self.mute):
                    sink.write(piece)
                    await sink.drain()
            sink.write_eof()

    def cut(self) -> None:
        """Reset every connection."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()


@contextlib.asynccontextmanager
async def wire(target: Server | Callable[[], int]) -> AsyncIterator[Wire]:
    between = Wire(target if callable(target) else lambda: target.port)
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        between.cut()


def client(server: Server, *, user: str = "ana", at: str | None = None, **options: Any) -> Client:
    """A client in a hurry."""
    token = options.pop("token", None) or server.token(user)
    return connect(at or server.http, token=token, **{**FAST, **options})


async def publish(server: Server, *numbers: int, user: str = "ana") -> None:
    """Notifications that carry a number."""
    for n in numbers:
        data = {"level": "info", "title": "n", "message": str(n)}
        await server.gateway.broker.publish(Draft(topics.user(user), user, "notification", data))


async def take(rt: Client, count: int) -> list[Event]:
    """The next events."""
    return [await anext(rt) for _ in range(count)]


def numbers(events: list[Event]) -> list[int]:
    """Of the notifications among these, the numbers."""
    return [int(event.data["message"]) for event in events if event.type == "notification"]
