"""The read side over HTTP, and what administrators do: investigations, histories, connections, presence, receipts."""

import re

import orjson
from aiohttp import hdrs, web

from ..motion.disconnect import disconnect
from ..motion.gateway import Gateway
from ..motion.reading import Reading, require
from ..words import messages
from ..words.errors import ErrorCode, Refusal
from ..words.payloads import Disconnection
from ..words.tokens import ADMIN, Principal
from .admission import Admission, names

LIMIT = 100
MOST = 500
"""Entries of a page: without `limit`, and at the most."""

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class ReadingEdge:
    """`GET` of investigations, histories, connections, presence and receipts, and the disconnecting of a user."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission
        self._reading = Reading(
            gateway.log, gateway.investigations, gateway.hub, gateway.users, gateway.clock, gateway.wall
        )

    def routes(self) -> list[web.RouteDef]:
        """Their paths."""
        return [
            web.get("/api/v1/investigations", self._investigations),
            web.get("/api/v1/investigations/{id:[^/]+}", self._investigation),
            web.get("/api/v1/topics/{topic:[^/]+}/history", self._history),
            web.get("/api/v1/connections", self._connections),
            web.get("/api/v1/presence/{topic:[^/]+}", self._presence),
            web.get("/api/v1/receipts/{cursor:[^/]+}", self._receipt),
            web.post("/api/v1/users/{sub:[^/]+}/disconnect", self._disconnect),
        ]

    async def _investigations(self, request: web.Request) -> web.Response:
        query = request.query
        found = self._reading.investigations(
            self._admit(request),
            _limit(request),
            owner=query.get("owner"),
            statuses=names(query.getall("status", [])),
            shared=query.get("shared") == "1",
            before=query.get("before"),
        )
        return _json(orjson.dumps(found))

    async def _investigation(self, request: web.Request) -> web.Response:
        return _json(orjson.dumps(self._reading.investigation(self._admit(request), request.match_info["id"])))

    async def _history(self, request: web.Request) -> web.Response:
        principal, topic = self._admit(request), request.match_info["topic"]
        after, types = request.query.get("after"), names(request.query.getall("types", []))
        return _json(await self._reading.history(principal, topic, _limit(request), after=after, types=types))

    async def _connections(self, request: web.Request) -> web.Response:
        principal, query = self._admit(request), request.query
        user_id, before = query.get("user_id"), query.get("before")
        found = await self._reading.connections(principal, _limit(request), user_id=user_id, before=before)
        return _json(orjson.dumps(found))

    async def _presence(self, request: web.Request) -> web.Response:
        return _json(orjson.dumps(self._reading.presence(self._admit(request), request.match_info["topic"])))

    async def _receipt(self, request: web.Request) -> web.Response:
        return _json(orjson.dumps(self._reading.receipt(self._admit(request), request.match_info["cursor"])))

    async def _disconnect(self, request: web.Request) -> web.Response:
        require(self._admit(request), {ADMIN})
        try:
            asked = orjson.loads(await request.read() or b"{}")
        except orjson.JSONDecodeError:
            raise Refusal(ErrorCode.INVALID_JSON, "Body is not valid JSON") from None
        reason = messages.convert(asked, Disconnection).reason
        return _json(orjson.dumps({"disconnected": disconnect(self._gateway, request.match_info["sub"], reason)}))

    def _admit(self, request: web.Request) -> Principal:
        principal = self._admission.principal(request)
        self._reading.admit(principal)
        return principal


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LIMIT))
    if _NUMBER.fullmatch(text) is None or not 1 <= int(text) <= MOST:
        raise Refusal.field("limit", f"Invalid field: limit must be 1 to {MOST}")
    return int(text)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"})
