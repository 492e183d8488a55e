"""What the three ways through have in common. Each opens with a `Call` and raises `Ended`, whatever went wrong."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from yarl import URL

from ..words.errors import CloseCode, ErrorCode
from .returning import ABNORMAL, MOVED, Ended

GOODBYE_SECONDS = 2.0
"""How long the other end may take over a goodbye; then the connection is cut."""

Envelope = dict[str, Any]

_LATER = frozenset({ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.CONNECTION_LIMIT, ErrorCode.OVERLOADED})
_BEHIND_A_PROXY = frozenset({502, 504})
"""Statuses of a proxy whose gateway is down: no other transport would get through."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a transport needs to open. `base` is the gateway's address over http(s); times are in seconds."""

    http: aiohttp.ClientSession
    base: URL
    path: str
    connection_type: str
    events: tuple[str, ...] | None
    investigation_ids: tuple[str, ...] | None
    batch: bool
    conflate: bool
    token: str
    session_id: str | None
    cursor: str | None
    open_seconds: float
    heartbeat_seconds: float

    @property
    def headers(self) -> dict[str, str]:
        """The token stands in a header, so that it is in nobody's access log."""
        return bearer(self.token)

    def query(self, **more: str | None) -> dict[str, str]:
        """The query of a connection; keys whose value is None are left out."""
        query: dict[str, str | None] = {"session_id": self.session_id, **more}
        for key, names in (("events", self.events), ("investigation_ids", self.investigation_ids)):
            if names is not None:
                query[key] = ",".join(names)
        if self.batch:
            query["batch"] = "1"
        if self.conflate:
            query["conflate"] = "1"
        return {key: value for key, value in query.items() if value is not None}

    def fallback_query(self, **more: str | None) -> dict[str, str]:
        """The query by which HTTP comes nearest to the path: an investigation is named, a chat has notifications.

        A session that is taken up again keeps its own kind, so none is asked for.
        """
        bound = self.path.rpartition("/")[2] if self.path.startswith("/ws/investigations/") else None
        type_: str | None = self.connection_type
        if self.path != "/ws":
            type_ = "notifications" if bound is None and self.session_id is None else None
        query = self.query(connection_type=type_, **more)
        return query | {"investigation_ids": bound} if bound is not None else query


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came at once. `cursor` is where the client is after it; `ids_move` tells whether the ids of the messages
    move the cursor as well."""

    messages: tuple[Envelope, ...]
    cursor: str | None = None
    ids_move: bool = True


class Link(Protocol):
    """One open connection. `token` is the newest, for what asks anew with each request."""

    token: str
    asks_pings: bool
    renews: bool

    async def receive(self, cursor: str | None) -> Delivery:
        """What comes next, for a client that is at `cursor`. Raises `Ended`."""

    async def send(self, text: str, session_id: str | None) -> list[Envelope]:
        """Send one command; returns the replies that come beside the stream. Raises `Ended`."""

    def abort(self) -> None:
        """Break what is open off, without a goodbye. What has not been read yet is lost."""

    async def close(self) -> None:
        """Say goodbye, and give everything back. Raises nothing."""


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def read(text: str | bytes) -> tuple[Envelope, ...]:
    """The envelopes of a text that holds one, or with `batch=1` an array of them. Raises `Ended` for anything else."""
    try:
        found = json.loads(text)
    except ValueError:
        raise Ended(ABNORMAL, "unreadable message") from None
    envelopes = found if isinstance(found, list) else [found]
    if not all(isinstance(envelope, dict) for envelope in envelopes):
        raise Ended(ABNORMAL, "unreadable message")
    return tuple(envelopes)


def broken(error: BaseException, *, opening: bool = False) -> Ended:
    """The end that a network error means. Where nothing listens at all no other transport would fare better."""
    unreachable = isinstance(error, aiohttp.ClientConnectorError)
    reason = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
    return Ended(ABNORMAL, reason, blocked=opening and not unreachable)


def told(error: Envelope) -> Ended:
    """The end that an `error` in the data of an envelope, or in an HTTP answer, announces."""
    code, details = error.get("code"), error.get("details")
    retry = details.get("retry_after") if isinstance(details, dict) else None
    close = CloseCode.TRY_AGAIN_LATER if code in _LATER else CloseCode.POLICY_VIOLATION
    if code == ErrorCode.INTERNAL_ERROR:
        close = CloseCode.INTERNAL_ERROR
    reason = str(error.get("message", ""))
    if reason == MOVED:
        close = CloseCode.NORMAL
    return Ended(close, reason, retry_in=float(retry) if isinstance(retry, int | float) else None)


async def refused(response: aiohttp.ClientResponse, *, opening: bool = True) -> Ended:
    """The end that an HTTP status other than the one wanted means. An answer of the gateway says why; another's is a
    sign of something between."""
    retry = response.headers.get("Retry-After", "")
    retry_in = float(retry) if retry.isascii() and retry.isdigit() else None
    try:
        body = json.loads(await response.read())
    except (aiohttp.ClientError, ValueError, OSError):
        body = None
    if isinstance(body, dict) and body.get("code") in ErrorCode.__members__:
        ended = told(body)
        if ended.retry_in is None:
            ended.retry_in = retry_in
        return ended
    later = response.status in (429, 503)
    blocked = opening and not later and response.status not in _BEHIND_A_PROXY
    code = CloseCode.TRY_AGAIN_LATER if later else ABNORMAL
    return Ended(code, f"HTTP status {response.status}", retry_in=retry_in, blocked=blocked)


class Posting:
    """Commands by POST, for the transports that only listen."""

    renews = True
    asks_pings = False

    def __init__(self, call: Call) -> None:
        self._call = call
        self.token = call.token

    async def send(self, text: str, session_id: str | None) -> list[Envelope]:
        """See `Link.send`."""
        call = self._call
        query = {"session_id": session_id} if session_id is not None else {}
        headers = bearer(self.token) | {"Content-Type": "application/json"}
        url = call.base / "api/v1/messages"
        try:
            async with (
                asyncio.timeout(2 * call.heartbeat_seconds),
                call.http.post(
                    url, params=query, data=text.encode(), headers=headers, allow_redirects=False
                ) as response,
            ):
                body = await response.read()
                try:
                    replies = json.loads(body).get("replies")
                except (ValueError, AttributeError):
                    replies = None
                if isinstance(replies, list):
                    return [reply for reply in replies if isinstance(reply, dict)]
                if response.status == 404:
                    # The session is gone; the stream comes back with a new one.
                    raise Ended(ABNORMAL, "Session not found")
                raise await refused(response, opening=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise broken(error) from error
