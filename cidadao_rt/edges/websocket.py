"""The WebSocket edge: aiohttp does the handshake and reads; frames go out straight to the transport.

Source: PROTOCOL 1 "Transports and paths", 6 "Token"; RFC 6455 sections 5.5 and 7.
"""

import asyncio
import logging
import secrets
from typing import cast

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from ..memory.effects import error
from ..motion.connection import Connection
from ..motion.gateway import Gateway, TurnedAway
from ..motion.hub import Hub
from ..words import agents, envelope, frames
from ..words.encodings import WEBSOCKET, WEBSOCKET_BATCHED, Encoding
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.subscription import ConnectionType, Kind
from ..words.tokens import BadToken
from .admission import Admission, TooOften, problem
from .outlet import TransportOutlet

GOODBYE_SECONDS = 5.0
"""How long a peer may take to answer our close; then the connection is cut."""

REFUSED_SECONDS = 1.0
"""The same for a peer that was turned away, who holds a socket all that time."""

_log = logging.getLogger(__name__)


class WebSocketOutlet(TransportOutlet):
    """The way out to one WebSocket client."""

    expects_pong = True

    def __init__(self, transport: asyncio.Transport, hub: Hub, encoding: Encoding) -> None:
        super().__init__(transport, hub, encoding)
        self._closing = False

    def ping(self, cursor: str) -> None:
        """See `Outlet.ping`. The cursor is not told: a ping frame is for the protocol, not for the client."""
        self._transport.write(frames.PING)

    @property
    def closing(self) -> bool:
        """Whether our close frame has been written."""
        return self._closing

    def close(self, code: int, reason: str = "") -> None:
        """Write our close frame; the peer has `GOODBYE_SECONDS` to answer it."""
        if self._closing:
            return
        self._closing = True
        self._transport.write(frames.close(code, reason))
        asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._transport.abort)


class WebSocketEdge:
    """The three endpoints."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission
        # aiohttp's bound is exclusive; ours lets a message of exactly that size through.
        self._max_bytes = gateway.config.limits.frame_bytes + 1
        self._open: dict[asyncio.Task[object], WebSocketOutlet] = {}

    def routes(self) -> list[web.RouteDef]:
        """The document's paths, and the same under `/api/v1`."""
        return [
            web.get(prefix + path, handler)
            for prefix in ("", "/api/v1")
            for path, handler in (
                ("/ws", self._general),
                ("/ws/investigations/{id:[^/]+}", self._investigation),
                ("/ws/chat", self._chat),
            )
        ]

    async def finish(self, seconds: float) -> None:
        """Give the peers that were told goodbye so long to answer, then cut those that have not."""
        if self._open:
            await asyncio.wait(list(self._open), timeout=seconds)
        for outlet in list(self._open.values()):
            outlet.abort()

    async def _general(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request)

    async def _investigation(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, Kind(ConnectionType.INVESTIGATION, request.match_info["id"]))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, Kind(ConnectionType.CHAT), request.query.get("agent") or None)

    async def _serve(
        self, request: web.Request, kind: Kind | None = None, voice: str | None = None
    ) -> web.StreamResponse:
        ws = web.WebSocketResponse(
            autoclose=False,
            autoping=False,
            compress=False,
            max_msg_size=self._max_bytes,
            timeout=REFUSED_SECONDS,
        )
        if not _is_upgrade(ws, request):
            response = problem(Refusal(ErrorCode.INVALID_REQUEST, "This is a WebSocket endpoint"), status=426)
            response.headers.update({"Upgrade": "websocket", "Connection": "Upgrade"})
            return response
        try:
            principal = self._admission.principal(request)
        except TooOften:
            return web.Response(status=429, headers={"Retry-After": "60"})
        except BadToken as bad:
            await ws.prepare(request)
            await self._turn_away(ws, None, CloseCode.POLICY_VIOLATION, bad.reason)
            return ws
        await ws.prepare(request)
        encoding = WEBSOCKET_BATCHED if request.query.get("batch") == "1" else WEBSOCKET
        outlet = WebSocketOutlet(cast(asyncio.Transport, request.transport), self._gateway.hub, encoding)
        try:
            self._admission.check_handshake(request)
            call = msgspec.structs.replace(self._admission.call(request, principal, kind), voice=voice)
            connection = self._gateway.open(call, outlet).connection
        except TurnedAway as away:
            await self._turn_away(ws, away.refusal, away.code, away.reason)
            return ws
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._open[task] = outlet
        try:
            if voice is not None and agents.find(voice) is None:
                refusal = Refusal(ErrorCode.AGENT_UNAVAILABLE, "Unknown agent", available=list(agents.AGENTS))
                self._gateway.hub.say(connection, [error(refusal)])
            await self._converse(ws, outlet, connection)
        finally:
            del self._open[task]
            self._gateway.left(connection)
            # Closed here, so that aiohttp does not start a second goodbye of its own.
            if request.transport is not None:
                request.transport.close()
        return ws

    async def _converse(self, ws: web.WebSocketResponse, outlet: WebSocketOutlet, connection: Connection) -> None:
        """Read until either side is done. After our own goodbye what still comes is read and let go."""
        while True:
            message = await ws.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    if not outlet.closing:
                        await self._receive(connection, message)
                case WSMsgType.PING:
                    connection.heard_at = self._gateway.clock()
                    # A peer that does not read gets no pongs piled up; it may be told of the newest ping alone.
                    if not connection.paused and not outlet.closing:
                        outlet.write(frames.pong(message.data))
                case WSMsgType.PONG:
                    connection.heard_at = self._gateway.clock()
                case WSMsgType.CLOSE:
                    # A bare close has no code to echo; 1000 is what the client asked for.
                    outlet.close(message.data or CloseCode.NORMAL)
                    return
                case _:
                    # aiohttp has said 1009 by itself.
                    if getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG:
                        self._gateway.metrics.error(ErrorCode.MESSAGE_TOO_LARGE)
                    return

    async def _receive(self, connection: Connection, message: WSMessage) -> None:
        try:
            # aiohttp has checked that a text is UTF-8, as RFC 6455 section 8.1 wants; sizes are those of the wire.
            is_binary = message.type is WSMsgType.BINARY
            frame = message.data if is_binary else message.data.encode()
            await self._gateway.receive(connection, frame, binary=is_binary)
        except Exception:
            # A bug of ours must not be the client's riddle: it learns that it was us, and where to point to.
            incident = f"incident_{secrets.token_hex(8)}"
            _log.exception("bug", extra={"connection_id": connection.id, "correlation_id": incident})
            refusal = Refusal(ErrorCode.INTERNAL_ERROR, "Internal error", incident=incident)
            self._gateway.hub.say(connection, [error(refusal)])
            self._gateway.hub.close(connection, CloseCode.INTERNAL_ERROR, f"Internal error {incident}")

    async def _turn_away(
        self, ws: web.WebSocketResponse, refusal: Refusal | None, code: CloseCode, reason: str
    ) -> None:
        """Accept and at once close: a refused upgrade would reach a browser as 1006 without a reason."""
        self._gateway.metrics.error(ErrorCode.AUTHENTICATION_REQUIRED if refusal is None else refusal.code)
        if refusal is not None:
            said = error(refusal)
            await ws.send_str(envelope.encode(said.type, said.data, self._gateway.wall()).decode())
        await ws.close(code=code, message=reason.encode())


def _is_upgrade(ws: web.WebSocketResponse, request: web.Request) -> bool:
    try:
        return bool(ws.can_prepare(request))
    except ValueError:
        # The key has characters that no base64 has.
        return False
