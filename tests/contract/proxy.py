"""A TCP proxy on loopback that misbehaves as networks do, by a seeded schedule or by hand.

Bytes are forwarded in order and never changed: all that can happen is that they stop, come late, come in crumbs, or
that the connection ends, with a goodbye (FIN), with half of one, or without any (RST), anywhere in a frame.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import cast


class Kind(StrEnum):
    """What can happen to a connection."""

    RESET = "reset"
    CLOSE = "close"
    HALF_CLOSE = "half_close"
    STALL = "stall"
    STALL_AND_RESET = "stall_and_reset"
    DELAY = "delay"
    CRUMBS = "crumbs"


@dataclass(frozen=True)
class Fault:
    """What happens once `after` bytes have gone one way: `down` to the client, or up to the gateway.

    `seconds`: how long a stall lasts, how late each read is forwarded, or when a half-closed connection is reset.
    `both` stalls the other way too.
    """

    kind: Kind
    down: bool = True
    after: int = 0
    seconds: float = 0.0
    both: bool = False


class Schedule:
    """Faults for one connection after the other, drawn from a seed. `scale` is the longest stall in seconds."""

    def __init__(self, rng: Random, *, scale: float = 0.03, calm: float = 0.2) -> None:
        self._rng = rng
        self._scale = scale
        self._calm = calm

    def __call__(self) -> list[Fault]:
        """None to two faults. Half of them lie within the handshake and the welcome, the rest in the stream."""
        rng = self._rng
        if rng.random() < self._calm:
            return []
        faults = [self._fault()]
        if faults[0].kind in (Kind.STALL, Kind.DELAY, Kind.CRUMBS) and rng.random() < 0.7:
            faults.append(self._fault())
        return faults

    def _fault(self) -> Fault:
        rng = self._rng
        down = rng.random() < 0.75
        after = rng.randrange(800) if rng.random() < 0.5 else rng.randrange(800, 12_000)
        kind = rng.choice(list(Kind))
        seconds = self._scale * rng.random()
        if kind is Kind.DELAY:
            seconds /= 5
        return Fault(kind, down, after if down else after // 8, seconds, both=rng.random() < 0.3)


class Proxy:
    """Listens on `port` and forwards to `target` of 127.0.0.1, as `schedule` says.

    `refusing` turns new connections away; `narrow` gives the sockets towards the gateway a small receive buffer, so
    that a client that does not read is felt there early. `connections` counts those accepted.
    """

    def __init__(self, target: int, schedule: Callable[[], Sequence[Fault]] | None = None) -> None:
        self.target = target
        self.schedule = schedule
        self.refusing = False
        self.narrow = False
        self.port = 0
        self.connections = 0
        self._links: dict[_Link, None] = {}
        self._held = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Serve on a free port until left."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            # Whoever is being accepted at this moment is turned away first: asyncio cannot close under them.
            self.refusing = True
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
            await asyncio.sleep(0)
            server.close()
            while self._links:
                self.cut()
                await next(iter(self._links)).ended
            await server.wait_closed()

    def cut(self) -> None:
        """Reset all connections now."""
        for link in list(self._links):
            link.reset()

    def stall(self) -> None:
        """Forward nothing, in no direction, until `calm`."""
        self._held = True
        for link in list(self._links):
            link.hold()

    def mute(self) -> None:
        """Let the gateway hear the clients of now, and let them hear nothing of it."""
        for link in list(self._links):
            link.down.hold(1)

    def calm(self) -> None:
        """From now on behave: what is held up goes on its way, and nothing new happens to anyone."""
        self._held = False
        self.schedule = None
        self.refusing = False
        for link in list(self._links):
            link.calm()

    def _accept(self) -> asyncio.Protocol:
        self.connections += 1
        link = _Link(self, [] if self.schedule is None else self.schedule(), self._links)
        if self._held:
            link.hold()
        return link.client


class _End(asyncio.Protocol):
    """One of the two sockets of a connection. What it reads goes into `flow`; it is written to by the other's."""

    def __init__(self, link: "_Link") -> None:
        self.link = link
        self.flow: _Flow
        self.fed_by: _Flow
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.link.made(self)

    def data_received(self, data: bytes) -> None:
        self.flow.feed(data)

    def eof_received(self) -> bool:
        self.flow.end()
        return True

    def pause_writing(self) -> None:
        self.fed_by.block(True)

    def resume_writing(self) -> None:
        self.fed_by.block(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.lost(self, exc)

    def reset(self) -> None:
        """End with RST instead of a goodbye."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


class _Flow:
    """One direction of one connection: what was read and is not forwarded yet. Not read from while it may not go on."""

    def __init__(self, link: "_Link", source: _End, sink: _End) -> None:
        self._link = link
        self._source = source
        self._sink = sink
        self._pending = bytearray()
        self._ended = self._eof_sent = self._blocked = self._reads = False
        self._holds = 0
        self.passed = 0
        self.latency = 0.0
        self.crumbs = False
        self.dead = False
        self._late: asyncio.TimerHandle | asyncio.Handle | None = None

    def ready(self) -> None:
        """Both sockets are there."""
        self._reads = True
        self._move()

    def feed(self, data: bytes) -> None:
        if self.dead:
            return
        self._pending += data
        if self._late is None:
            self._soon()

    def end(self) -> None:
        self._ended = True
        if self._late is None:
            self._soon()

    def hold(self, more: int) -> None:
        self._holds += more
        self._move()

    def block(self, blocked: bool) -> None:
        self._blocked = blocked
        self._move()

    def kill(self) -> None:
        """Nothing more goes this way, and the receiver is told that it is over."""
        self.dead = True
        self._pending.clear()
        self._send_eof()

    def calm(self) -> None:
        self._holds = 0
        self.latency = 0.0
        self.crumbs = False
        self._move()

    def _soon(self) -> None:
        if self.latency:
            self._late = asyncio.get_running_loop().call_later(self.latency, self._later)
        else:
            self._move()

    def _later(self) -> None:
        self._late = None
        self._move()

    def _move(self) -> None:
        """Forward what may be, up to the next fault."""
        while self._may_go() and self._pending:
            size = min(len(self._pending), 7 if self.crumbs else 1 << 18, self._link.bytes_to_fault(self))
            if size:
                self._write(bytes(self._pending[:size]))
                del self._pending[:size]
                self.passed += size
            self._link.passed(self)
            if self.crumbs and self._pending and self._late is None:
                self._late = asyncio.get_running_loop().call_soon(self._later)
                break
        if self._ended and not self._pending and self._may_go():
            self._send_eof()
        transport = self._source.transport
        if transport is not None and not transport.is_closing():
            if self._may_go() and len(self._pending) < 1 << 16:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _may_go(self) -> bool:
        return self._reads and not self._holds and not self._blocked and not self.dead and not self._link.over

    def _write(self, data: bytes) -> None:
        if self._sink.transport is not None and not self._sink.transport.is_closing() and not self._eof_sent:
            self._sink.transport.write(data)

    def _send_eof(self) -> None:
        transport = self._sink.transport
        if self._eof_sent or transport is None or transport.is_closing():
            return
        self._eof_sent = True
        with contextlib.suppress(OSError):
            transport.write_eof()
        self._link.eof_sent()

    @property
    def is_held(self) -> bool:
        return self._holds > 0

    @property
    def is_over(self) -> bool:
        return self._eof_sent


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, faults: Sequence[Fault], links: dict["_Link", None]) -> None:
        self._proxy = proxy
        self._faults = deque(faults)
        self._links = links
        self._timers: list[asyncio.TimerHandle] = []
        self._dialling: asyncio.Task[None] | None = None
        self.over = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.client, self.server = _End(self), _End(self)
        self.up = self.client.flow = self.server.fed_by = _Flow(self, self.client, self.server)
        self.down = self.server.flow = self.client.fed_by = _Flow(self, self.server, self.client)

    # -- its life -------------------------------------------------------------------------------------------------

    def made(self, end: _End) -> None:
        if end is self.server:
            if self.over:
                end.reset()
            return
        self._links[self] = None
        assert end.transport is not None
        end.transport.pause_reading()
        if self._proxy.refusing:
            self.reset()
            return
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        try:
            if self._proxy.narrow:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(sock, ("127.0.0.1", self._proxy.target))
            await loop.create_connection(lambda: self.server, sock=sock)
        except OSError:
            sock.close()
            self.over = True
            self.client.reset()
        self._dialling = None
        if self.over:
            self._forget_if_gone()
            return
        self.passed(self.down)
        self.passed(self.up)
        self.up.ready()
        self.down.ready()

    def lost(self, end: _End, exc: Exception | None) -> None:
        """One socket is gone. The other one learns it as it would from the network."""
        other = self.server if end is self.client else self.client
        if exc is not None:
            self.reset()
        elif not self.over:
            self.over = True
            if other.transport is not None:
                other.transport.close()
        end.transport = None
        self._forget_if_gone()

    def eof_sent(self) -> None:
        if self.up.is_over and self.down.is_over:
            self._close()

    def reset(self) -> None:
        self.over = True
        for end in (self.client, self.server):
            end.reset()

    def _close(self) -> None:
        self.over = True
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.close()

    def _forget_if_gone(self) -> None:
        if self.client.transport is not None or self.server.transport is not None or self._dialling is not None:
            return
        for timer in self._timers:
            timer.cancel()
        self._links.pop(self, None)
        if not self.ended.done():
            self.ended.set_result(None)

    # -- its faults -----------------------------------------------------------------------------------------------

    def hold(self) -> None:
        self.up.hold(1)
        self.down.hold(1)

    def calm(self) -> None:
        self._faults.clear()
        self.up.calm()
        self.down.calm()

    def bytes_to_fault(self, flow: _Flow) -> int:
        if not self._faults or (self.down if self._faults[0].down else self.up) is not flow:
            return 1 << 30
        return max(0, self._faults[0].after - flow.passed)

    def passed(self, flow: _Flow) -> None:
        """Some bytes went through `flow`, perhaps as many as the next fault waits for."""
        while self._faults and not self.over and self.bytes_to_fault(flow) == 0:
            self._happen(self._faults.popleft())

    def _happen(self, fault: Fault) -> None:
        flow = self.down if fault.down else self.up
        match fault.kind:
            case Kind.RESET:
                self.reset()
            case Kind.CLOSE:
                self._close()
            case Kind.HALF_CLOSE:
                flow.kill()
                self._later(fault.seconds, self.reset)
            case Kind.STALL | Kind.STALL_AND_RESET:
                flows = (self.up, self.down) if fault.both else (flow,)
                for held in flows:
                    held.hold(1)
                if fault.kind is Kind.STALL:
                    self._later(fault.seconds, lambda: self._release(flows))
                else:
                    self._later(fault.seconds, self.reset)
            case Kind.DELAY:
                flow.latency = fault.seconds
            case Kind.CRUMBS:
                flow.crumbs = True

    def _release(self, flows: Sequence[_Flow]) -> None:
        for flow in flows:
            # A `calm` in between has released it already.
            if flow.is_held:
                flow.hold(-1)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, act))
