"""Client commands over HTTP, for clients that listen by SSE or polling. Source: PROTOCOL 8 "HTTP shapes"."""

import orjson
from aiohttp import web

from ..motion.gateway import Gateway
from ..words.errors import ErrorCode
from .admission import Admission, http_status, whole_seconds


class CommandsEdge:
    """`POST /api/v1/messages`."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission

    def routes(self) -> list[web.RouteDef]:
        """Its path."""
        return [web.post("/api/v1/messages", self._serve)]

    async def _serve(self, request: web.Request) -> web.Response:
        principal = self._admission.principal(request)
        replies = await self._gateway.command(principal, request.query.get("session_id"), await request.read())
        status = 200
        retry_after = 1
        for reply in map(orjson.loads, replies):
            if reply["type"] == "error":
                status = http_status(ErrorCode(reply["data"]["code"]))
                retry_after = reply["data"]["details"].get("retry_after", 1)
        response = web.Response(
            body=b'{"replies":[%b]}' % b",".join(replies), status=status, content_type="application/json"
        )
        if status in (429, 503):
            response.headers["Retry-After"] = whole_seconds(retry_after)
        return response
