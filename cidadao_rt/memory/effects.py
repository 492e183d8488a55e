"""What a session asks its surroundings to do, as frozen values: the only way out of the pure layers."""

from typing import Any

import msgspec

from ..words.errors import ErrorCode, Refusal
from ..words.subscription import Interest
from ..words.tokens import Principal


class Say(msgspec.Struct, frozen=True, gc=False):
    """Send one transient message to this connection. `offset` becomes the envelope's `id`."""

    type: str
    data: dict[str, Any]
    correlation_id: str | None = None
    offset: int | None = None


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """Send the state of these investigations as it is then, once the connection is at the head."""

    investigation_ids: list[str]
    correlation_id: str | None


class Pong(msgspec.Struct, frozen=True, gc=False):
    """Send a `pong` whose `id` is the position that this connection has been written to by then."""

    correlation_id: str | None


class Follow(msgspec.Struct, frozen=True, gc=False):
    """What the connection follows has changed; what is owed by the old interest is owed still."""

    interest: Interest


class Acknowledge(msgspec.Struct, frozen=True, gc=False):
    """The client has processed all that it was sent up to `offset`."""

    offset: int


class Rewind(msgspec.Struct, frozen=True, gc=False):
    """Send all that is followed past `offset` again, in order."""

    offset: int


class Start(msgspec.Struct, frozen=True, gc=False):
    """Start an investigation; `digest` tells whether a repetition asks for the same. No `agents`: the usual ones."""

    query: str
    filters: dict[str, Any]
    agents: list[str]
    digest: bytes
    correlation_id: str | None


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Cancel a running investigation."""

    investigation_id: str
    correlation_id: str | None


class Chat(msgspec.Struct, frozen=True, gc=False):
    """Let an agent answer."""

    agent: str
    message: str
    investigation_id: str | None
    correlation_id: str | None


class Renew(msgspec.Struct, frozen=True, gc=False):
    """The connection now lives as long as this principal's token."""

    principal: Principal


class Close(msgspec.Struct, frozen=True, gc=False):
    """Close this connection."""

    code: int
    reason: str


Effect = Say | Snapshot | Pong | Follow | Acknowledge | Rewind | Start | Cancel | Chat | Renew | Close


def error(refusal: Refusal, correlation_id: str | None = None) -> Say:
    """The `error` message of a refusal (PROTOCOL 10)."""
    data = {"code": refusal.code, "message": refusal.message, "details": refusal.details}
    return Say("error", data, refusal.correlation_id if correlation_id is None else correlation_id)


def is_error(effect: Effect) -> ErrorCode | None:
    """The code, if this effect is an `error` message."""
    return effect.data["code"] if isinstance(effect, Say) and effect.type == "error" else None
