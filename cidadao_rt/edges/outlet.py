"""What the edges that stream share: a way out that sees its transport fill, drain and end."""

import asyncio
from typing import cast

from ..motion.connection import Connection
from ..motion.hub import Hub
from ..words.encodings import Encoding


class TransportOutlet(asyncio.Protocol):
    """Stands in front of aiohttp's protocol to see the transport's buffer fill and drain.

    Everything else is passed through by the very methods of the protocol behind, so that reading costs nothing more.
    """

    def __init__(self, transport: asyncio.Transport, hub: Hub, encoding: Encoding) -> None:
        self._transport = transport
        self._hub = hub
        self._connection: Connection | None = None
        self.encoding = encoding
        self._inner = cast(asyncio.Protocol, transport.get_protocol())
        self.write = transport.write
        self.abort = transport.abort
        self.buffered = transport.get_write_buffer_size
        self.data_received = self._inner.data_received  # type: ignore[method-assign]
        self.eof_received = self._inner.eof_received  # type: ignore[method-assign]
        transport.set_protocol(self)

    def attach(self, connection: Connection) -> None:
        """See `Outlet.attach`."""
        self._connection = connection

    def detach(self) -> None:
        """Step aside: the transport is aiohttp's again, and may serve another request."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._inner)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: the connection's place is free at once, whatever its task is waiting for."""
        self._inner.connection_lost(exc)
        # Let go of, because they refer to each other and nobody may look for cycles for a long time.
        connection, self._connection = self._connection, None
        if connection is not None:
            self._hub.remove(connection)

    def pause_writing(self) -> None:
        """The transport's buffer is over its high-water mark."""
        self._inner.pause_writing()
        if self._connection is not None:
            self._hub.paused(self._connection)

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self._inner.resume_writing()
        if self._connection is not None:
            self._hub.resumed(self._connection)
