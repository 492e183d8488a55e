"""The Server-Sent Events edge.

A bare `EventSource` gives up for ever on any status but 200, so what may pass is answered with 200, a `retry:`, one
`error`, and the end of the stream. Source: PROTOCOL 8 "HTTP shapes"; the HTML standard, "Server-sent events".
"""

import asyncio
import random
from typing import cast

import msgspec
from aiohttp import HttpVersion11, hdrs, web

from ..memory.effects import error
from ..motion.gateway import Gateway, TurnedAway
from ..motion.hub import Hub
from ..words import encodings, envelope
from ..words.encodings import Encoding
from ..words.tokens import Principal
from .admission import Admission
from .outlet import TransportOutlet

RETRY_MS = (1000, 4000)
"""Between these, at random, lies the time after which a browser comes back, so that they do not come all at once."""

GOODBYE_SECONDS = 5.0
"""How long a client may take to read the end of its stream; then the connection is cut."""

HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    # nginx would otherwise hold events back until it has a buffer full.
    "X-Accel-Buffering": "no",
}


class SseOutlet(TransportOutlet):
    """The way out to one client that listens. Written in chunks, unless its HTTP version has none."""

    expects_pong = False

    def __init__(self, transport: asyncio.Transport, hub: Hub, encoding: Encoding) -> None:
        super().__init__(transport, hub, encoding)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `TransportOutlet.connection_lost`."""
        super().connection_lost(exc)
        self._end()

    def ping(self, cursor: str) -> None:
        """A bare `id:`, which keeps proxies from cutting a quiet stream and moves the browser's cursor."""
        self._transport.write(self._pack(b"id: %b\n\n" % cursor.encode()))

    def close(self, code: int, reason: str) -> None:
        """Tell when to come back, and end the stream. A browser comes back by itself unless it is refused then."""
        self._transport.write(self._pack(retry()))
        self._end()

    def _pack(self, block: bytes) -> bytes:
        return encodings.chunk(block) if self.encoding in (encodings.SSE, encodings.SSE_BATCHED) else block

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class SseEdge:
    """`GET /api/v1/events`."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission

    def routes(self) -> list[web.RouteDef]:
        """Its path."""
        return [web.get("/api/v1/events", self._serve, allow_head=False)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        principal = self._admission.principal(request)
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        # The headers go out with the first bytes of the body.
        await response.write(b": cidadao_rt\n\n")
        batched = request.query.get("batch") == "1"
        outlet = SseOutlet(
            cast(asyncio.Transport, request.transport),
            self._gateway.hub,
            encodings.sse(batched=batched, chunked=request.version >= HttpVersion11),
        )
        try:
            return await self._stream(request, response, outlet, principal)
        finally:
            # Streams of one kept-alive connection would otherwise stand in front of each other.
            outlet.detach()

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, outlet: SseOutlet, principal: Principal
    ) -> web.StreamResponse:
        try:
            self._admission.check_handshake(request)
            call = self._admission.call(request, principal)
            # A browser that comes back knows better than the URL it was once given.
            last = request.headers.get("Last-Event-ID") or call.last_event_id
            connection = self._gateway.open(msgspec.structs.replace(call, last_event_id=last), outlet).connection
        except TurnedAway as away:
            self._gateway.metrics.error(away.refusal.code)
            said = error(away.refusal)
            body = envelope.encode(said.type, said.data, self._gateway.wall())
            await response.write(retry() + b"data: %b\n\n" % body)
            return response
        try:
            await outlet.ended
        finally:
            self._gateway.left(connection)
        try:
            await asyncio.wait_for(response.write_eof(), GOODBYE_SECONDS)
        except TimeoutError:
            outlet.abort()
        return response


def retry() -> bytes:
    """The line that tells a browser when to come back."""
    return b"retry: %d\n\n" % random.randint(*RETRY_MS)  # noqa: S311 - spread, not secrecy
