"""Faults on connections under way: `POST /api/v1/faults`. Source: docs/faults.md."""

import orjson
from aiohttp import web

from ..motion.connection import Connection
from ..motion.gateway import Gateway
from ..words import messages
from ..words.errors import ErrorCode, Refusal
from ..words.faults import Injection
from ..words.tokens import ADMIN, Principal
from .admission import Admission


class FaultsEdge:
    """Injecting faults, in development: into one's own connections, and as an admin into anybody's."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission

    def routes(self) -> list[web.RouteDef]:
        """Its path."""
        return [web.post("/api/v1/faults", self._inject)]

    async def _inject(self, request: web.Request) -> web.Response:
        principal = self._admission.principal(request)
        asked = messages.convert(_json(await request.read()), Injection)
        faults = self._gateway.faults(asked.fault)
        found = self._connections(asked, principal)
        if asked.everyone:
            self._gateway.faulting.of_all = faults
        for connection in found:
            self._gateway.faulting.inject(connection, faults)
        return web.Response(body=orjson.dumps({"connections": len(found)}), content_type="application/json")

    def _connections(self, asked: Injection, principal: Principal) -> list[Connection]:
        """Those that are meant. Raises `Refusal`."""
        if (asked.session_id is not None) + (asked.user_id is not None) + asked.everyone != 1:
            raise Refusal.field("session_id", "Name one of session_id, user_id and everyone", required=True)
        is_admin = ADMIN in principal.roles
        hub = self._gateway.hub
        if asked.session_id is not None:
            found = hub.of_session(asked.session_id)
            if found is None or not (is_admin or found.session.sub == principal.sub):
                raise Refusal(ErrorCode.NOT_FOUND, "No connection carries this session")
            return [found]
        if not is_admin and asked.user_id != principal.sub:
            raise Refusal(ErrorCode.FORBIDDEN, "Faults of others need the role admin")
        return [connection for connection in hub if asked.everyone or connection.session.sub == asked.user_id]


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(ErrorCode.INVALID_JSON, "Body is not valid JSON") from None
