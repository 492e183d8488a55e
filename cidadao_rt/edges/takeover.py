"""Taking a connection over from aiohttp once the WebSocket handshake has been answered.

aiohttp keeps a task, a request, a parser and a timer for as long as it serves a connection. Here it is told that the
connection has ended, and the transport goes on under a protocol of ours. Everything that rests on how aiohttp is made
inside is in this module, and by names that it has made public: `Request.protocol`, and of that `set_parser`,
`transport`, `connected` and `connection_lost`. Where a release has changed them the transport still is ours, but
aiohttp's objects stay alive behind it until it ends: slower and larger, and nothing else.
"""

import asyncio
from typing import Any

from aiohttp import web


class Taken(web.StreamResponse):
    """What a handler returns for a connection that is aiohttp's no more: nothing is prepared or written."""

    def __init__(self, ended: asyncio.Future[None] | None = None) -> None:
        super().__init__(status=101)
        self._ended = ended
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Return at once; on the slow path, when the connection has ended."""
        if self._ended is not None:
            await self._ended

    async def write_eof(self, data: bytes = b"") -> None:
        """The end of this response is not the end of the connection."""


def take_over(request: web.Request, successor: asyncio.Protocol) -> Taken:
    """Put `successor` in aiohttp's place on the request's transport.

    Its `connection_made` is called, and its `data_received` if something has come after the request already. The
    handler has to return what this returns. Raises `ConnectionResetError` where the client has gone.
    """
    transport, protocol = request.transport, request.protocol
    if transport is None or transport.is_closing():
        raise ConnectionResetError("Connection lost")
    early = _Early()
    # What has come is asked for in the way of aiohttp's own WebSocket, which lets it read on as well.
    protocol.set_parser(early)  # type: ignore[arg-type]
    if _let_go(protocol):
        transport.set_protocol(successor)
        taken = Taken()
    else:
        kept = _Kept(successor, protocol)
        transport.set_protocol(kept)
        taken = Taken(kept.ended)
    successor.connection_made(transport)
    if early.data:
        successor.data_received(bytes(early.data))
    return taken


def _let_go(protocol: Any) -> bool:
    """Tell aiohttp that its connection has ended; False where it would close the transport with it."""
    transport = protocol.transport
    try:
        protocol.transport = None
        if protocol.connected:
            # It knows the transport by another name as well.
            protocol.transport = transport
            return False
    except AttributeError:
        return False
    protocol.connection_lost(None)
    return True


class _Early:
    """Takes what came after the request, in the place where aiohttp has a parser of messages."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


class _Kept(asyncio.Protocol):
    """The slow path: everything goes to the successor, and the end to aiohttp as well."""

    def __init__(self, successor: asyncio.Protocol, inner: asyncio.Protocol) -> None:
        self._successor = successor
        self._inner = inner
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.data_received = successor.data_received  # type: ignore[method-assign]
        self.eof_received = successor.eof_received  # type: ignore[method-assign]
        self.pause_writing = successor.pause_writing  # type: ignore[method-assign]
        self.resume_writing = successor.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        self._successor.connection_lost(exc)
        self._inner.connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)
