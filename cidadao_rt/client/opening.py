"""`connect`: the numbers checked, and the parts put together."""

import random
import secrets
from collections.abc import Sequence

import aiohttp
from yarl import URL

from .client import Client, Plan
from .connection import TRANSPORTS
from .conversation import Conversation
from .following import Following, kind
from .pending import Pending
from .received import Received
from .returning import Returning, Route
from .tokens import Source, Token
from .transport import Call


def connect(
    url: str,
    *,
    token: Source,
    connection_type: str = "general",
    events: Sequence[str] | None = None,
    investigation_ids: Sequence[str] | None = None,
    transports: Sequence[str] = ("websocket", "sse", "poll"),
    session_id: str | None = None,
    last_event_id: str | None = None,
    batch: bool = False,
    conflate: bool = False,
    path: str = "/ws",
    max_pending: int = 100,
    ack_seconds: float = 5.0,
    heartbeat_seconds: float = 30.0,
    backoff_seconds: float = 1.0,
    backoff_max_seconds: float = 30.0,
    open_seconds: float = 10.0,
    http: aiohttp.ClientSession | None = None,
) -> Client:
    """A client of the gateway at `url` (http, https, ws or wss; a `/ws` at its end is taken for `path`'s).

    Use it as `async with connect(…) as rt`. `token` is one, or a function (or coroutine function) that fetches a fresh
    one for each attempt and before the last expires. `events` and `investigation_ids` are what a new session follows;
    `session_id` and `last_event_id` take an earlier one up again. `transports` are tried in this order. `max_pending`
    calls may wait for answers at once. Acks go out at most every `ack_seconds`, pings every `heartbeat_seconds`; two of
    those without a sign of life end a connection. The wait before the n-th attempt is random between 0 and
    `backoff_seconds` * 2**n, at most `backoff_max_seconds`. `http` is used and not closed; without it the client has
    one of its own.

    Raises `ValueError` for a URL, path, transport or connection type that there is not.
    """
    base = URL(url)
    if base.scheme not in ("http", "https", "ws", "wss") or not base.host:
        raise ValueError("url must be http(s):// or ws(s)://, with a host")
    if base.query_string or base.user:
        raise ValueError("url must hold no query and no user; the token is an argument of its own")
    unknown = [name for name in transports if name not in TRANSPORTS]
    if unknown or not transports:
        raise ValueError(f"transports must be some of {', '.join(TRANSPORTS)}")
    if max_pending < 1 or min(heartbeat_seconds, open_seconds) <= 0 or min(ack_seconds, backoff_seconds) < 0:
        raise ValueError("max_pending, heartbeat_seconds and open_seconds must be above 0, the other times not below")
    base = base.with_scheme({"ws": "http", "wss": "https"}.get(base.scheme, base.scheme))
    base = base.with_path(base.path.rstrip("/").removesuffix("/ws").removesuffix("/api/v1"))
    names = None if events is None else tuple(events)
    ids = None if investigation_ids is None else tuple(investigation_ids)
    following = Following(
        kind(path, connection_type), None if names is None else list(names), None if ids is None else list(ids)
    )
    conversation = Conversation(
        secrets.token_hex(8), Received(last_event_id, ack_seconds), Pending(max_pending), following, session_id
    )

    def call(session: aiohttp.ClientSession) -> Call:
        return Call(
            http=session,
            base=base,
            path=path,
            connection_type=connection_type,
            events=names,
            investigation_ids=ids,
            batch=batch,
            conflate=conflate,
            token="",
            session_id=session_id,
            cursor=last_event_id,
            open_seconds=open_seconds,
            heartbeat_seconds=heartbeat_seconds,
        )

    returning = Returning(backoff_seconds, backoff_max_seconds, random.uniform, renewable=Token(token).is_renewable)
    return Client(call, Token(token), Plan(conversation, Route(transports), returning, http))
