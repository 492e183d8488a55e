"""The WebSocket edge: the handshake, and who may open what. From there on a connection is a `Wire` of our own.

Source: PROTOCOL 1 "Transports and paths", 6 "Token"; RFC 6455 section 4.2.
"""

import msgspec
from aiohttp import HttpVersion11, hdrs, web

from ..memory.effects import error
from ..motion.gateway import Gateway, TurnedAway
from ..words import agents, deflate, encodings, envelope, frames, handshake
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.subscription import ConnectionType, Kind
from ..words.tokens import BadToken, Principal
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
        principal: Principal | None = None
        reason = ""
        try:
            principal = self._admission.principal(request)
        except TooOften:
            return web.Response(status=429, headers={"Retry-After": "60"})
        except BadToken as bad:
            reason = bad.reason
        extensions = None
        if self._gateway.config.server.compression:
            extensions = deflate.negotiate(request.headers.getall(hdrs.SEC_WEBSOCKET_EXTENSIONS, ()))
        encoding = encodings.websocket(batched=request.query.get("batch") == "1", deflated=extensions is not None)
        # Before anything is written, so that it sees the socket fill.
        wire = Wire(self._wires, encoding, handshake.switch(key, extensions))
        taken = take_over(request, wire)
        try:
            if principal is None:
                self._turn_away(wire, None, CloseCode.POLICY_VIOLATION, reason)
            else:
                self._open(request, wire, principal, kind, voice)
            wire.begin()
        except BaseException:
            # Neither aiohttp nor anybody else would end it.
            wire.abort()
            raise
        return taken

    def _open(
        self, request: web.Request, wire: Wire, principal: Principal, kind: Kind | None, voice: str | None
    ) -> None:
        """Open the connection and greet it, or turn it away."""
        try:
            self._admission.check_handshake(request)
            call = msgspec.structs.replace(self._admission.call(request, principal, kind), voice=voice)
            connection = self._gateway.open(call, wire).connection
        except TurnedAway as away:
            self._turn_away(wire, away.refusal, away.code, away.reason)
            return
        if voice is not None and agents.find(voice) is None:
            refusal = Refusal(ErrorCode.AGENT_UNAVAILABLE, "Unknown agent", available=list(agents.AGENTS))
            self._gateway.hub.say(connection, [error(refusal)])

    def _turn_away(self, wire: Wire, refusal: Refusal | None, code: CloseCode, reason: str) -> None:
        """Accept and at once close: a refused upgrade would reach a browser as 1006 without a reason."""
        self._gateway.metrics.error(ErrorCode.AUTHENTICATION_REQUIRED if refusal is None else refusal.code)
        if refusal is not None:
            said = error(refusal)
            wire.write(frames.text(envelope.encode(said.type, said.data, self._gateway.wall())))
        wire.close(code, reason, REFUSED_SECONDS)


def _key(request: web.Request) -> str | None:
    """The key of a sound handshake (RFC 6455 section 4.2.1), None where the request is none."""
    headers = request.headers
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    is_handshake = (
        handshake.has_token(headers.get(hdrs.UPGRADE, ""), "websocket")
        and handshake.has_token(headers.get(hdrs.CONNECTION, ""), "upgrade")
        and headers.get(hdrs.SEC_WEBSOCKET_VERSION) == handshake.VERSION
        and request.version >= HttpVersion11
        and not request.can_read_body
        and handshake.is_key(key)
    )
    return key if is_handshake else None
