"""The codes a client may see, and the exception that becomes an `error` message."""

import orjson
import pytest

from cidadao_rt.words.errors import CloseCode, ErrorCode, Refusal

# PROTOCOL 10, in its order.
CODES = [
    "INVALID_JSON", "INVALID_REQUEST", "UNKNOWN_TYPE", "MESSAGE_TOO_LARGE", "RATE_LIMIT_EXCEEDED", "CONNECTION_LIMIT",
    "AUTHENTICATION_REQUIRED", "TOKEN_EXPIRED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "AGENT_UNAVAILABLE",
    "OVERLOADED", "INTERNAL_ERROR",
]  # fmt: skip


def test_the_error_codes_are_those_of_the_protocol() -> None:
    """Clients switch over a closed list of codes, and each is written as its own name."""
    assert [code.value for code in ErrorCode] == CODES
    assert orjson.loads(orjson.dumps([*ErrorCode])) == CODES


def test_the_close_codes_are_those_of_the_protocol() -> None:
    """Nothing but the close codes of PROTOCOL 10 exists to be sent; 1006 is never one of them."""
    assert [int(code) for code in CloseCode] == [1000, 1001, 1008, 1009, 1011, 1013]


def test_a_refusal_of_a_field_has_the_documents_shape() -> None:
    """The API document's own example of an `error` comes out of it word for word."""
    refusal = Refusal.field("investigation_id", "Missing required field: investigation_id", required=True)
    assert orjson.loads(
        orjson.dumps({"code": refusal.code, "message": refusal.message, "details": refusal.details})
    ) == {
        "code": "INVALID_REQUEST",
        "message": "Missing required field: investigation_id",
        "details": {"field": "investigation_id", "required": True},
    }


def test_a_field_is_optional_unless_said_otherwise() -> None:
    """A refused optional field says `required: false`, so that a client knows it may leave it out."""
    assert Refusal.field("after", "no").details == {"field": "after", "required": False}


def test_a_refusal_carries_its_details_and_no_correlation_id() -> None:
    """It can be raised anywhere: the details given are kept, and the id is put on where the envelope is known."""
    with pytest.raises(Refusal, match=r"^Too many$") as raised:
        raise Refusal(ErrorCode.RATE_LIMIT_EXCEEDED, "Too many", retry_after=1.5, limit=100)
    assert raised.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert raised.value.details == {"retry_after": 1.5, "limit": 100}
    assert raised.value.correlation_id is None
    assert Refusal(ErrorCode.NOT_FOUND, "x").details == {}
