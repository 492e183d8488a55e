"""One WebSocket connection: the protocol that reads the client and the outlet that writes to it, in one small object.

There is no task: a message is carried out where it is read, and only one that has to wait gets a task for that long.
What the client sends meanwhile waits for its turn, in order. Source: RFC 6455 sections 5.5 and 7; PROTOCOL 9, 10.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, cast

from ..memory.effects import error
from ..motion.connection import Connection
from ..motion.gateway import Gateway
from ..words import frames, framing
from ..words.deflate import inflate
from ..words.encodings import Encoding
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.framing import FramingError, Reader

GOODBYE_SECONDS = 5.0
"""How long a peer may take to answer our close; then the connection is cut."""

REFUSED_SECONDS = 1.0
"""The same for a peer that was turned away or broke the protocol, who holds a socket all that time."""

TURN_FRAMES = 32
"""Frames of one client that are read before others get their turn of the loop."""

HELD_BYTES = 65_536
"""Bytes that wait while a message is being waited for; past it the socket is not read, until they have had their turn.
Up to there it is, so that a client that leaves is noticed."""

_OPEN, _CLOSING, _DEAF = range(3)

_log = logging.getLogger(__name__)


class Wires:
    """What the wires of a gateway share, and those that only wait for their peer's goodbye."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.most = gateway.config.limits.frame_bytes
        self._leaving: dict[Wire, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: asyncio.Future[None] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the rest of a message be waited for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self, wire: "Wire", seconds: float) -> None:
        """A wire has said goodbye: cut it in so many seconds, unless it has ended by then."""
        self._leaving[wire] = asyncio.get_running_loop().call_later(seconds, wire.abort)

    def left(self, wire: "Wire") -> None:
        """A wire has ended."""
        timer = self._leaving.pop(wire, None)
        if timer is not None:
            timer.cancel()
        if not self._leaving and self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def finish(self, seconds: float) -> None:
        """Give the peers that were told goodbye so long to answer, then cut those that have not, and all others."""
        if self._leaving:
            self._changed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._changed], timeout=seconds)
        for wire in list(self._leaving):
            wire.abort()
        for connection in self.gateway.hub:
            # Of those that answer pings, all are ours.
            if connection.outlet.expects_pong:
                connection.outlet.abort()
        if self._tasks:
            # Their connections end in the next turn, and hardly anything that they wait for outlasts that.
            _, late = await asyncio.wait(self._tasks, timeout=REFUSED_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class Wire(asyncio.Protocol):
    """The way to and from one WebSocket client.

    `preface` goes out before, and with, the first that is written. Until `begin` nothing is read.
    """

    __slots__ = (
        "_connection", "_is_busy", "_preface", "_reader", "_state", "_transport", "_wires", "encoding", "write",
    )  # fmt: skip

    write: Callable[[bytes], None]
    expects_pong = True

    def __init__(self, wires: Wires, encoding: Encoding, preface: bytes) -> None:
        self.encoding = encoding
        self.write = self._write_first
        self._wires = wires
        self._preface = preface
        self._connection: Connection | None = None
        # Only while something is not whole yet, or has to wait.
        self._reader: Reader | None = None
        self._state = _OPEN
        # Whether a message is being waited for, or the loop.
        self._is_busy = True

    # -- writing --------------------------------------------------------------------------------------------------

    def _write_first(self, data: bytes) -> None:
        self.write = self._transport.write
        preface, self._preface = self._preface, b""
        self._transport.write(preface + data)

    def begin(self) -> None:
        """Write the preface, if nothing has taken it along, and hear the client."""
        if self._preface:
            self.write(b"")
        self._go_on()

    def attach(self, connection: Connection) -> None:
        """See `Outlet.attach`."""
        self._connection = connection

    def ping(self, cursor: str) -> None:
        """See `Outlet.ping`. The cursor is not told: a ping frame is for the protocol, not for the client."""
        self.write(frames.PING)

    def buffered(self) -> int:
        """See `Outlet.buffered`."""
        return self._transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "", seconds: float | None = None) -> None:
        """Write our close frame; the peer has `seconds`, or else `GOODBYE_SECONDS`, to answer it."""
        if self._state == _OPEN:
            self._state = _CLOSING
            self.write(frames.close(code, reason))
            self._wires.leave(self, GOODBYE_SECONDS if seconds is None else seconds)

    def abort(self) -> None:
        """See `Outlet.abort`."""
        self._transport.abort()

    # -- the transport --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is ours."""
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        """The transport's buffer is over its high-water mark."""
        if self._connection is not None:
            self._wires.gateway.hub.paused(self._connection)

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        if self._connection is not None:
            self._wires.gateway.hub.resumed(self._connection)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: the connection's place is free at once, whatever is being waited for."""
        self._state = _DEAF
        self._reader = None
        self._leave()
        self._wires.left(self)

    def data_received(self, data: bytes) -> None:
        """Read what has come, or keep it until what came before has had its turn."""
        reader = self._reader
        if reader is None:
            if self._state == _DEAF:
                return
            # What may be over the bound is for the reader, which knows it.
            if not self._is_busy and len(data) <= self._wires.most:
                try:
                    text = framing.whole_text(data)
                except FramingError as wrong:
                    self._fail(wrong)
                    return
                if text is not None:
                    self._receive(text, is_binary=False)
                    return
            # Whoever gets deflated events may send deflated messages.
            reader = self._reader = Reader(self._wires.most, self._inflate if self.encoding.pack is not None else None)
        reader.feed(data)
        if not self._is_busy:
            self._read(reader)
            return
        if self._connection is not None:
            # Its pong may be in there: who waits for us is not to be taken for dead.
            self._connection.heard_at = self._wires.gateway.clock()
        if len(reader) > HELD_BYTES:
            self._transport.pause_reading()

    # -- reading --------------------------------------------------------------------------------------------------

    def _read(self, reader: Reader) -> None:
        """Act upon what is whole, until something has to be waited for."""
        try:
            for _ in range(TURN_FRAMES):
                frame = reader.read()
                if frame is None:
                    break
                self._act(*frame)
                if self._is_busy or self._reader is None:
                    return
            else:
                self._is_busy = True
                asyncio.get_running_loop().call_soon(self._go_on)
                return
        except FramingError as wrong:
            self._fail(wrong)
            return
        if reader.is_idle:
            self._reader = None

    def _go_on(self) -> None:
        """What was waited for is over."""
        self._is_busy = False
        if self._reader is not None:
            self._read(self._reader)
        if not self._is_busy and self._state != _DEAF:
            self._transport.resume_reading()

    def _act(self, opcode: int, payload: bytes) -> None:
        if opcode in (framing.TEXT, framing.BINARY):
            self._receive(payload, is_binary=opcode == framing.BINARY)
        elif opcode == framing.CLOSE:
            # A bare close has no code to echo; 1000 is what the client asked for.
            self.close(framing.close_code(payload) or CloseCode.NORMAL)
            self._end()
        elif self._connection is not None and opcode != framing.CONTINUATION:
            self._connection.heard_at = self._wires.gateway.clock()
            # A peer that does not read gets no pongs piled up; it may be told of the newest ping alone.
            if opcode == framing.PING and not self._connection.paused and self._state == _OPEN:
                self.write(frames.pong(payload))

    def _inflate(self, payload: bytes, most: int) -> bytes:
        # What is let go anyway is not worth its unpacking, and whoever was turned away may send a lot of it.
        return inflate(payload, most) if self._connection is not None and self._state == _OPEN else b""

    def _receive(self, payload: bytes, *, is_binary: bool) -> None:
        """Carry out one message. After our own goodbye what still comes is read and let go."""
        connection = self._connection
        if connection is None or self._state != _OPEN:
            return
        try:
            rest = self._wires.gateway.receive(connection, payload, binary=is_binary)
        except Exception:
            self._blame(connection)
            return
        if rest is not None:
            self._is_busy = True
            self._wires.start(self._wait(connection, rest))

    async def _wait(self, connection: Connection, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except Exception:
            self._blame(connection)
        self._go_on()

    def _blame(self, connection: Connection) -> None:
        """A bug of ours must not be the client's riddle: it learns that it was us, and where to point to."""
        incident = f"incident_{secrets.token_hex(8)}"
        _log.exception("bug", extra={"connection_id": connection.id, "correlation_id": incident})
        refusal = Refusal(ErrorCode.INTERNAL_ERROR, "Internal error", incident=incident)
        hub = self._wires.gateway.hub
        hub.say(connection, [error(refusal)])
        hub.close(connection, CloseCode.INTERNAL_ERROR, f"Internal error {incident}")

    # -- the end --------------------------------------------------------------------------------------------------

    def _fail(self, wrong: FramingError) -> None:
        """Say what is wrong, and hear nothing more: where the next frame begins is not known any more."""
        if wrong.code == CloseCode.MESSAGE_TOO_BIG:
            self._wires.gateway.metrics.error(ErrorCode.MESSAGE_TOO_LARGE)
        self.close(wrong.code, wrong.reason, REFUSED_SECONDS)
        self._leave()
        self._deafen()
        # Closed from our side alone: to close with something unread would reset the connection, and the peer might
        # never see the frame that tells it why.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()

    def _end(self) -> None:
        self._leave()
        self._deafen()
        self._transport.close()

    def _deafen(self) -> None:
        self._state = _DEAF
        self._reader = None
        self.write = _drop

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wires.gateway.left(connection)


def _drop(data: bytes) -> None:
    """Whatever a late timer still wants to say, the peer has been told that nothing follows."""
