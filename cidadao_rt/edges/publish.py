"""The publish API: `POST /api/v1/events`. Source: PROTOCOL 8 "Publish"."""

import orjson
from aiohttp import web

from ..motion.gateway import Gateway
from ..words.errors import ErrorCode, Refusal
from .admission import Admission


class PublishEdge:
    """Publishing over HTTP, for tokens with the role `service` or `admin`."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission

    def routes(self) -> list[web.RouteDef]:
        """Its path."""
        return [web.post("/api/v1/events", self._publish)]

    async def _publish(self, request: web.Request) -> web.Response:
        principal = self._admission.principal(request)
        body = await request.read()
        if self._gateway.draining:
            # What is accepted now would end with this process; the successor takes it.
            raise Refusal(ErrorCode.OVERLOADED, "The server is going away")
        ids = await self._gateway.publishing.publish(principal, body, request.headers.get("Idempotency-Key"))
        return web.Response(body=orjson.dumps({"ids": ids}), status=202, content_type="application/json")
