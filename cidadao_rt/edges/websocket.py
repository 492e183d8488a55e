"""The WebSocket edge: the handshake, and who may open what. From there on a connection is a `Wire` of our own.

Source: PROTOCOL 1 "Transports and paths", 6 "Token"; RFC 6455 section 4.2.
"""

from aiohttp import HttpVersion11, hdrs, web

from ..memory.effects import error
from ..motion.gateway import Call, Gateway, TurnedAway
from ..words import agents, deflate, encodings, envelope, frames, handshake
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.subscription import ConnectionType, Kind
from ..words.tokens import BadToken
from .admission import Admission, TooOften, problem
from .takeover import take_over
from .wire import REFUSED_SECONDS, Wire, Wires

_UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": handshake.VERSION}


class WebSocketEdge:
    """The three endpoints."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission
        self._wires = Wires(gateway)

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
        """See `Wires.finish`."""
        await self._wires.finish(seconds)

    async def _general(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request)

    async def _investigation(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, Kind(ConnectionType.INVESTIGATION, request.match_info["id"]))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, Kind(ConnectionType.CHAT), request.query.get("agent") or None)

    async def _serve(
        self, request: web.Request, kind: Kind | None = None, voice: str | None = None
    ) -> web.StreamResponse:
        key = _key(request)
        if key is None:
            response = problem(Refusal(ErrorCode.INVALID_REQUEST, "This is a WebSocket endpoint"), status=426)
            response.headers.update(_UPGRADE)
            return response
        # All that is asked of the request is asked before it loses its transport.
        call: Call | None = None
        away: TurnedAway | BadToken | None = None
        try:
            principal = self._admission.principal(request)
            self._admission.check_handshake(request)
            call = self._admission.call(request, principal, kind, voice)
        except TooOften:
            return web.Response(status=429, headers={"Retry-After": "60"})
        except (TurnedAway, BadToken) as why:
            away = why
        extensions = None
        if self._gateway.config.server.compression:
            extensions = deflate.negotiate(request.headers.getall(hdrs.SEC_WEBSOCKET_EXTENSIONS, ()))
        encoding = encodings.websocket(batched=request.query.get("batch") == "1", deflated=extensions is not None)
        wire = Wire(self._wires, encoding, handshake.switch(key, extensions))
        # Before anything is written, so that the wire sees its transport fill.
        taken = take_over(request, wire)
        try:
            if call is not None:
                away = self._open(call, wire)
            if away is not None:
                self._turn_away(wire, away)
            wire.begin()
        except BaseException:
            # Neither aiohttp nor anybody else would end it.
            wire.abort()
            raise
        return taken

    def _open(self, call: Call, wire: Wire) -> TurnedAway | None:
        """Open the connection and greet it; returns why not."""
        try:
            connection = self._gateway.open(call, wire).connection
        except TurnedAway as away:
            return away
        if call.voice is not None and agents.find(call.voice) is None:
            refusal = Refusal(ErrorCode.AGENT_UNAVAILABLE, "Unknown agent", available=list(agents.AGENTS))
            self._gateway.hub.say(connection, [error(refusal)])
        return None

    def _turn_away(self, wire: Wire, away: TurnedAway | BadToken) -> None:
        """Accept and at once close: a refused upgrade would reach a browser as 1006 without a reason."""
        if isinstance(away, BadToken):
            self._gateway.metrics.error(ErrorCode.AUTHENTICATION_REQUIRED)
            wire.close(CloseCode.POLICY_VIOLATION, away.reason, REFUSED_SECONDS)
            return
        self._gateway.metrics.error(away.refusal.code)
        said = error(away.refusal)
        wire.write(frames.text(envelope.encode(said.type, said.data, self._gateway.wall())))
        wire.close(away.code, away.reason, REFUSED_SECONDS)


def _key(request: web.Request) -> str | None:
    """The key of a sound handshake (RFC 6455 section 4.2.1), None where the request is none."""
    headers = request.headers
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    is_handshake = (
        # Nothing else beside it: aiohttp would read what follows such a request as another one.
        headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        and handshake.has_token(",".join(headers.getall(hdrs.CONNECTION, ())), "upgrade")
        and headers.get(hdrs.SEC_WEBSOCKET_VERSION) == handshake.VERSION
        and request.version >= HttpVersion11
        and not request.can_read_body
        and handshake.is_key(key)
    )
    return key if is_handshake else None
