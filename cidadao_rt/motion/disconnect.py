"""Disconnecting a user: every connection is told why and closed, and none of the user's sessions can be resumed.

It is no ban: a token stays valid until it runs out, and who has one may open a new session.
"""

import logging

from ..memory.effects import error
from ..words.errors import CloseCode, ErrorCode, Refusal
from .gateway import Gateway

REASON = "Disconnected by an administrator"

_log = logging.getLogger(__name__)


def disconnect(gateway: Gateway, sub: str, reason: str | None = None) -> int:
    """Close all connections of user `sub` with 1008 and forget all their sessions; returns how many were closed."""
    connections = gateway.hub.connections_of(sub)
    # Before the connections, whose end would otherwise keep their sessions for a resume.
    sessions = gateway.users.drop(sub)
    told = {} if reason is None else {"reason": reason}
    for connection in connections:
        # Said as well as closed for: a close over SSE or polling carries no reason.
        gateway.hub.say(connection, [error(Refusal(ErrorCode.FORBIDDEN, REASON, **told))])
        gateway.hub.close(connection, CloseCode.POLICY_VIOLATION, REASON)
    _log.info("user disconnected", extra={"connections": len(connections), "sessions": sessions})
    return len(connections)
