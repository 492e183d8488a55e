"""The envelope of every message: `{type, data, timestamp, user_id?, correlation_id?}`, plus `id` on events.

Source: the API document, "Formato de Mensagens"; PROTOCOL 2 "Envelope".
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from .errors import ErrorCode, Refusal

CORRELATION_ID_LENGTH = 128
"""Characters; a longer `correlation_id` is `INVALID_REQUEST`."""


class Incoming(msgspec.Struct, frozen=True):
    """A client's message whose envelope is sound; its `data` is not looked at yet."""

    type: str
    data: dict[str, Any] | None
    correlation_id: str | None


def timestamp(now: float) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`, for `now` in seconds since 1970."""
    # In whole milliseconds first: a float's own fraction would be cut here and rounded there.
    return _millisecond(round(now * 1000))


@lru_cache(maxsize=8)
def _millisecond(total: int) -> str:
    # Made once a millisecond, in which a busy server sends many messages, and its larger part once a second.
    seconds, milliseconds = divmod(total, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def encode(
    type_: str,
    data: Any,
    now: float,
    *,
    id_: str | None = None,
    correlation_id: str | None = None,
) -> bytes:
    """The JSON text of one message. `id_` is its cursor, only for what can be replayed."""
    envelope = {"type": type_, "data": data, "timestamp": timestamp(now)}
    if id_ is not None:
        envelope["id"] = id_
    if correlation_id is not None:
        envelope["correlation_id"] = correlation_id
    return orjson.dumps(envelope)


def decode(frame: bytes) -> Incoming:
    """Read the envelope of one client message.

    Accepted beyond the document: no `timestamp`, a missing `data` (the message type decides), `id` in place of
    `correlation_id`, unknown keys. A client's own `user_id` and `timestamp` are not read.

    Raises `Refusal` (`INVALID_JSON`, `INVALID_REQUEST`); where the message had a usable `correlation_id`, the
    refusal carries it, so that the error can echo it.
    """
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        # The parser's own text quotes positions and input; a client needs neither, and a log must not have it.
        raise Refusal(ErrorCode.INVALID_JSON, "Message is not valid JSON") from None
    if not isinstance(message, dict):
        raise Refusal(ErrorCode.INVALID_REQUEST, "Message must be a JSON object")
    correlation_id = _correlation_id(message)
    try:
        type_ = message.get("type")
        if type_ is None:
            raise Refusal.field("type", "Missing required field: type", required=True)
        if not isinstance(type_, str):
            raise Refusal.field("type", "Invalid field: type must be a string", required=True)
        data = message.get("data")
        if data is not None and not isinstance(data, dict):
            raise Refusal.field("data", "Invalid field: data must be an object", required=True)
    except Refusal as refusal:
        refusal.correlation_id = correlation_id
        raise
    return Incoming(type_, data, correlation_id)


def _correlation_id(message: dict[str, Any]) -> str | None:
    field = "correlation_id" if message.get("correlation_id") is not None else "id"
    value = message.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > CORRELATION_ID_LENGTH:
        raise Refusal.field(
            field, f"Invalid field: {field} must be a string of at most {CORRELATION_ID_LENGTH} characters"
        )
    return value
