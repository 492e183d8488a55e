"""The long-polling edge: one request, one page of the same log by the same cursor.

Source: PROTOCOL 8 "HTTP shapes".
"""

import asyncio
from typing import cast

import msgspec
import orjson
from aiohttp import web

from ..motion.faults import FaultyOutlet
from ..motion.gateway import Gateway, TurnedAway
from ..motion.hub import Hub
from ..words import encodings
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.limits import Windows
from .admission import Admission
from .outlet import TransportOutlet

TIMEOUT_SECONDS = 25.0
LONGEST_SECONDS = 55.0
"""Below the 60 s after which most proxies cut a silent request."""

POLLS_PER_SECOND = 100
"""Of one user; more are 429. A poll is no message, so the limit of messages does not hold for it."""


class PollOutlet(TransportOutlet):
    """The way out to one waiting request: it takes one write, and is full from then on. What it takes is answered by
    the edge, so nothing is written to the transport here; its end is watched for, so that who left holds no place."""

    expects_pong = False

    def __init__(self, transport: asyncio.Transport, hub: Hub) -> None:
        super().__init__(transport, hub, encodings.POLL)
        self.write = self._take  # type: ignore[assignment]
        self.buffered = lambda: 0
        self.events = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `TransportOutlet.connection_lost`."""
        super().connection_lost(exc)
        self._end()

    def ping(self, cursor: str) -> None:
        """See `Outlet.ping`. A poll is too short to need one."""

    def close(self, code: int, reason: str) -> None:
        """Answer with what there is."""
        self._end()

    def _take(self, data: bytes) -> None:
        # What comes after the first write stays in the log, for the next poll.
        self.events += b"," + data if self.events else data
        if self._connection is not None and not self._connection.paused:
            self._hub.paused(self._connection)
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class PollEdge:
    """`GET /api/v1/events/poll`."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._admission = admission
        self._polls = Windows(1.0)

    def routes(self) -> list[web.RouteDef]:
        """Its path."""
        return [web.get("/api/v1/events/poll", self._serve, allow_head=False)]

    async def _serve(self, request: web.Request) -> web.Response:
        principal = self._admission.principal(request)
        self._admission.check_origin(request)
        now = self._gateway.clock()
        retry_after = self._polls.admit(principal.sub, POLLS_PER_SECOND, now)
        if retry_after is not None:
            reason = f"More than {POLLS_PER_SECOND} polls in a second"
            raise Refusal(ErrorCode.RATE_LIMIT_EXCEEDED, reason, limit=POLLS_PER_SECOND, retry_after=retry_after)
        call = self._admission.call(request, principal)
        after = request.query.get("after")
        seconds = _timeout(request.query.get("timeout"))
        if after is None:
            # The newest cursor at once; a first poll has nothing to wait for that it could tell from the past.
            seconds = 0.0
        outlet = PollOutlet(cast(asyncio.Transport, request.transport), self._gateway.hub)
        try:
            opened = self._gateway.open(msgspec.structs.replace(call, last_event_id=after), outlet, greets=False)
        except TurnedAway:
            outlet.detach()
            raise
        connection = opened.connection
        try:
            # Who could not be caught up, and follows nothing to be shown instead, has to know that now.
            if after is not None and opened.verdict.recovered:
                await asyncio.wait([outlet.done], timeout=seconds)
            position = self._gateway.hub.position(connection)
        finally:
            outlet.detach()
            self._gateway.left(connection)
        if isinstance(connection.outlet, FaultyOutlet):
            await asyncio.sleep(connection.outlet.hold(len(outlet.events)))
            if connection.outlet.lost:
                # Its position is past what was dropped: it must not be told.
                outlet.abort()
        body = b'{"events":[%b],"cursor":%b,"recovered":%b,"session_id":%b%b}' % (
            outlet.events if after is not None else b"",
            orjson.dumps(str(self._gateway.log.cursor(position))),
            orjson.dumps(opened.verdict.recovered),
            orjson.dumps(connection.session.id),
            b',"denied":%b' % orjson.dumps(opened.denied) if opened.denied else b"",
        )
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _timeout(text: str | None) -> float:
    try:
        seconds = TIMEOUT_SECONDS if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_SECONDS:
        reason = f"Invalid field: timeout must be 0 to {LONGEST_SECONDS:g} seconds"
        raise TurnedAway(Refusal.field("timeout", reason), CloseCode.POLICY_VIOLATION, reason)
    return seconds
