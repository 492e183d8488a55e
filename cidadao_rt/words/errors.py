"""Error codes, close codes, and the one exception that becomes an answer.

Source: PROTOCOL 10 "Errors and close codes"; the API document, "Códigos de Fechamento".
"""

from enum import IntEnum, StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """The `code` of an `error` message; no other value is ever sent."""

    INVALID_JSON = "INVALID_JSON"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    CONNECTION_LIMIT = "CONNECTION_LIMIT"
    AUTHENTICATION_REQUIRED = "AUTHENTICATION_REQUIRED"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a code, not a password
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class CloseCode(IntEnum):
    """WebSocket close codes that we send (RFC 6455 section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class Refusal(Exception):
    """A request that is answered with an `error` instead of being carried out.

    `message` is English and safe to show: it never quotes what the client sent, only names of fields.
    `details` is a JSON object.
    """

    def __init__(self, code: ErrorCode, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.correlation_id: str | None = None

    @classmethod
    def field(cls, field: str, message: str, *, required: bool = False) -> "Refusal":
        """An `INVALID_REQUEST` that names the field at fault, in the document's shape."""
        return cls(ErrorCode.INVALID_REQUEST, message, field=field, required=required)
