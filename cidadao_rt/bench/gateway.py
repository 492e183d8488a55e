"""The gateway, and the bare loop, as targets: users, their tokens, what they follow, how events are published."""

import http.client
import json
import time
from collections.abc import Callable, Sequence

from ..tools.errors import ToolError
from ..words import tokens
from .server import Server
from .target import DEFLATE, ApiPublisher, Target, WebSocketPublisher

TTL_SECONDS = 86_400.0
OWNER = "bench-owner"
PUBLISHERS = 400
"""Of whom each may publish 1,000 events a second; requests take turns, so that this bound is not what is measured."""

FRAME_BYTES = 300
AROUND = 140
"""Bytes of an envelope around a payload of ours: type, investigation, time and cursor."""

GREETING = b'"connection_established"'

Follows = Callable[[int], Sequence[int]]
"""The topics of a connection, by its number."""


def nothing(_: int) -> Sequence[int]:
    """Follow nothing by name."""
    return ()


def investigation(topic: int) -> str:
    """The id of a topic's investigation."""
    return f"bench-{topic:06d}"


def target(
    server: Server,
    follows: Follows = nothing,
    *,
    batch: int = 1,
    publishers: int = 1,
    deflate: bool = False,
) -> Target:
    """Distinct users, whose tokens grant what their connections follow. The type of connection is the default."""
    services = [_token(server.secret, f"bench-service-{n}", roles=["service"]) for n in range(PUBLISHERS)]
    return Target(
        server.host,
        server.port,
        path=path(server, follows),
        greeting=GREETING,
        publisher=ApiPublisher(services, investigation, connections=publishers, batch=batch),
        payload_bytes=FRAME_BYTES - AROUND,
        ping=b'{"type":"ping","data":{},"correlation_id":"%s"}'.__mod__,
        ping_marker=b'"correlation_id":"',
        deflate=DEFLATE if deflate else "",
        pids=server.pids,
    )


def path(server: Server, follows: Follows = nothing, query: Callable[[int], str] | None = None) -> Callable[[int], str]:
    """The paths of connections of distinct users. What a token grants is not followed until it is named.

    A `query`, which begins with "&", takes the place of the names.
    """

    def of(number: int) -> str:
        granted = [investigation(topic) for topic in follows(number)]
        named = f"&investigation_ids={','.join(granted)}" if granted and query is None else ""
        token = _token(server.secret, f"bench-user-{number}", granted=granted)
        return f"/ws?token={token}{named}{query(number) if query is not None else ''}"

    return of


def bare_target(server: Server, follows: Follows = nothing, *, checks: bool = False) -> Target:
    """The bare loop; `checks`: with tokens, each of which it checks."""

    def of(number: int) -> str:
        token = f"&token={_token(server.secret, f'bench-user-{number}')}" if checks else ""
        return "/ws?t=" + ",".join(f"{topic:04d}" for topic in follows(number)) + token

    publisher = WebSocketPublisher()
    return Target(server.host, server.port, path=of, publisher=publisher, payload_bytes=FRAME_BYTES, pids=server.pids)


def begin(server: Server, topics: int) -> None:
    """Let these investigations begin, as another user's, so that they can be followed. Raises `ToolError`."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        for first in range(0, topics, 500):
            events = [
                {"to": {"investigation_id": investigation(n), "owner": OWNER}, "type": "bench_begin", "data": {}}
                for n in range(first, min(first + 500, topics))
            ]
            token = _token(server.secret, f"bench-beginner-{first}", roles=["service"])
            connection.request("POST", "/api/v1/events", json.dumps(events), {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
            if answer.status != 202:
                raise ToolError(f"publishing was answered with {answer.status}: {said[:200]}")
    except (OSError, http.client.HTTPException) as error:
        raise ToolError(f"cannot publish: {error}") from None
    finally:
        connection.close()


def _token(secret: str, sub: str, *, roles: Sequence[str] = (), granted: Sequence[str] = ()) -> str:
    return tokens.mint(secret, sub=sub, issued_at=time.time(), ttl=TTL_SECONDS, roles=roles, investigations=granted)
