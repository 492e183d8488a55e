"""The envelope: what is read of a client's message, and what is written to it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cidadao_rt.words.envelope import Incoming, decode, encode, timestamp
from cidadao_rt.words.errors import ErrorCode, Refusal

NOON = 1_705_314_600.0
"""The document's 2024-01-15T10:30:00Z."""


def refused(frame: bytes) -> Refusal:
    with pytest.raises(Refusal) as raised:
        decode(frame)
    return raised.value


def message(**fields: Any) -> bytes:
    return json.dumps({"type": "ping", "data": {}, **fields}).encode()


# -- reading ---------------------------------------------------------------------------------------------------------


def test_the_documents_message_is_read() -> None:
    """What the document's own JavaScript client sends arrives with its type, data and correlation id."""
    frame = json.dumps(
        {
            "type": "start_investigation",
            "data": {"query": "Contratos suspeitos 2024"},
            "timestamp": "2024-01-15T10:30:00.000Z",
            "correlation_id": "1705314600000-k3j9x0q2p",
        }
    ).encode()
    assert decode(frame) == Incoming(
        "start_investigation", {"query": "Contratos suspeitos 2024"}, "1705314600000-k3j9x0q2p"
    )


@pytest.mark.parametrize(
    "extra",
    [
        {"timestamp": "2024-01-15T10:30:00"},
        {"timestamp": "2024-01-15T10:30:00Z"},
        {"timestamp": "yesterday"},
        {"timestamp": 5},
        {"timestamp": None},
        {"user_id": "somebody else"},
        {"user_id": ["x"]},
        {"unknown": {"a": [1]}, "": None},
    ],
)
def test_what_we_do_not_read_does_not_matter(extra: dict[str, Any]) -> None:
    """A naive or odd timestamp, a claimed `user_id` and unknown keys change nothing in what is understood."""
    assert decode(message(**extra)) == Incoming("ping", {}, None)


@pytest.mark.parametrize("frame", [b'{"type":"ping"}', b'{"type":"ping","data":null}'])
def test_data_may_be_missing_here(frame: bytes) -> None:
    """Whether `data` may be missing is for the command to say: `ping` needs none."""
    assert decode(frame) == Incoming("ping", None, None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"correlation_id": "c"}, "c"),
        ({"id": "i"}, "i"),
        ({"correlation_id": "c", "id": "i"}, "c"),
        ({"correlation_id": None, "id": "i"}, "i"),
        ({"correlation_id": "c", "id": 7}, "c"),
        ({"correlation_id": None, "id": None}, None),
        ({"correlation_id": ""}, ""),
        ({"correlation_id": "é" * 128}, "é" * 128),
    ],
)
def test_where_the_correlation_id_is_found(fields: dict[str, Any], expected: str | None) -> None:
    """`id` stands in for a `correlation_id` that is not given, and 128 characters are allowed, not bytes."""
    assert decode(message(**fields)).correlation_id == expected


@pytest.mark.parametrize("field", ["correlation_id", "id"])
@pytest.mark.parametrize("value", ["c" * 129, 7, True, ["c"], {"c": "c"}, 1.5], ids=lambda value: ascii(value)[:16])
def test_a_correlation_id_that_cannot_be_echoed(field: str, value: object) -> None:
    """Too long or no string is `INVALID_REQUEST`, which names the key the client used and echoes nothing."""
    refusal = refused(message(**{field: value}))
    assert refusal.code is ErrorCode.INVALID_REQUEST
    assert refusal.details == {"field": field, "required": False}
    assert refusal.correlation_id is None


@pytest.mark.parametrize(
    ("frame", "field", "text"),
    [
        (b'{"data":{}}', "type", "Missing required field: type"),
        (b'{"type":null,"data":{}}', "type", "Missing required field: type"),
        (b'{"type":5,"data":{}}', "type", "Invalid field: type must be a string"),
        (b'{"type":["ping"]}', "type", "Invalid field: type must be a string"),
        (b'{"type":"ping","data":[]}', "data", "Invalid field: data must be an object"),
        (b'{"type":"ping","data":"x"}', "data", "Invalid field: data must be an object"),
        (b'{"type":"ping","data":0}', "data", "Invalid field: data must be an object"),
        (b'{"type":"ping","data":false}', "data", "Invalid field: data must be an object"),
    ],
)
def test_a_broken_envelope_names_its_field_and_is_answered_to_its_sender(frame: bytes, field: str, text: str) -> None:
    """The error has the document's shape, and a usable `correlation_id` or `id` is echoed even so."""
    refusal = refused(frame)
    assert (refusal.code, refusal.message) == (ErrorCode.INVALID_REQUEST, text)
    assert refusal.details == {"field": field, "required": True}
    assert refusal.correlation_id is None
    for name in (b"correlation_id", b"id"):
        assert refused(frame[:-1] + b',"' + name + b'":"c1"}').correlation_id == "c1"


@pytest.mark.parametrize("frame", [b"[]", b'"ping"', b"5", b"null", b"true", b'[{"type":"ping"}]'])
def test_what_is_no_object_is_an_invalid_request(frame: bytes) -> None:
    """JSON that is not a message is told apart from what is not JSON."""
    refusal = refused(frame)
    assert (refusal.code, refusal.details) == (ErrorCode.INVALID_REQUEST, {})


BAD_JSON = {
    "nothing": b"",
    "spaces": b"  ",
    "cut short": b'{"type":"ping"',
    "single quotes": b"{'type':'ping'}",
    "trailing comma": b'{"type":"ping",}',
    "two messages": b'{"type":"ping"}{"type":"ping"}',
    "a comment": b'{"type":"ping"} // now',
    "NaN": b'{"type":"ping","data":{"a":NaN}}',
    "Infinity": b'{"type":"ping","data":{"a":-Infinity}}',
    "too large a number": b'{"type":"ping","data":{"a":1e999}}',
    "invalid UTF-8": b'{"type":"\xff\xfe"}',
    "overlong UTF-8": b'{"type":"\xc0\xaf"}',
    "an encoded surrogate": b'{"type":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"type":"ping","data":{"query":"\\ud800"}}',
    "a lone surrogate as a key": b'{"type":"ping","data":{"\\udc00":1}}',
    "a raw control character": b'{"type":"pi\x00ng"}',
    "a byte order mark": b'\xef\xbb\xbf{"type":"ping"}',
    "UTF-16": '{"type":"ping"}'.encode("utf-16"),
    "10,000 lists": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "10,000 lists in data": b'{"type":"ping","data":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
    "10,000 levels never closed": b'{"type":' + b"[" * 10_000,
}


@pytest.mark.parametrize("frame", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_what_is_not_json_is_refused_in_fixed_words(frame: bytes) -> None:
    """Every malformed frame gets one and the same text, which quotes neither the input nor a position in it."""
    refusal = refused(frame)
    assert (refusal.code, refusal.message, refusal.details) == (
        ErrorCode.INVALID_JSON,
        "Message is not valid JSON",
        {},
    )
    assert refusal.__cause__ is None
    assert refusal.__suppress_context__


def test_of_a_key_given_twice_the_last_counts() -> None:
    """Duplicate keys are read as every JavaScript client writes them: the last one wins, in all of the message."""
    frame = b'{"type":"a","type":"ping","data":{"x":1},"data":{"x":2,"x":3},"correlation_id":"c","correlation_id":"d"}'
    assert decode(frame) == Incoming("ping", {"x": 3}, "d")


def attempt(frame: bytes) -> Incoming | Refusal:
    try:
        return decode(frame)
    except Refusal as refusal:
        return refusal


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_do_anything_but_decode_or_be_refused(frame: bytes) -> None:
    """Whatever a client sends, reading it raises nothing other than a `Refusal`."""
    result = attempt(frame)
    assert isinstance(result, Incoming) or result.code in (ErrorCode.INVALID_JSON, ErrorCode.INVALID_REQUEST)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["type", "data", "correlation_id", "id", "user_id", "timestamp"]), json_values))
def test_no_envelope_does_anything_but_decode_or_be_refused(fields: dict[str, Any]) -> None:
    """An object with any values in the envelope's keys is either sound, with the right types, or refused."""
    result = attempt(json.dumps(fields).encode())
    if isinstance(result, Refusal):
        assert result.code is ErrorCode.INVALID_REQUEST
        assert result.details["field"] in ("type", "data", "correlation_id", "id")
    else:
        assert isinstance(result.type, str)
        assert result.data is None or isinstance(result.data, dict)
        assert result.correlation_id is None or isinstance(result.correlation_id, str)


# -- writing ---------------------------------------------------------------------------------------------------------


def test_a_transient_message_has_the_documents_three_fields() -> None:
    """Without a cursor and a correlation id there is nothing beside type, data and timestamp."""
    assert json.loads(encode("pong", {}, NOON)) == {
        "type": "pong",
        "data": {},
        "timestamp": "2024-01-15T10:30:00.000Z",
    }


def test_cursor_and_correlation_id_are_top_level() -> None:
    """An event's `id` and an answer's `correlation_id` stand beside the data, not in it, even if empty."""
    written = json.loads(encode("x", {"a": 1}, NOON, id_="e-7", correlation_id=""))
    assert written == {
        "type": "x",
        "data": {"a": 1},
        "timestamp": "2024-01-15T10:30:00.000Z",
        "id": "e-7",
        "correlation_id": "",
    }


def test_text_is_written_as_utf8() -> None:
    """Portuguese is written as it is, not as escapes, and error codes as their names."""
    body = encode("error", {"code": ErrorCode.NOT_FOUND, "message": "Investigação não encontrada"}, NOON)
    assert "Investigação não encontrada".encode() in body
    assert json.loads(body)["data"]["code"] == "NOT_FOUND"


def test_a_timestamp_is_utc_with_z_and_milliseconds() -> None:
    """ISO 8601 as the document writes it, to the millisecond."""
    assert timestamp(NOON) == "2024-01-15T10:30:00.000Z"
    assert timestamp(NOON + 0.25) == "2024-01-15T10:30:00.250Z"
    assert timestamp(0.0) == "1970-01-01T00:00:00.000Z"


moments = st.floats(0, 4e9)


@settings(deadline=None)
@given(moments)
@example(NOON + 0.999999)
@example(1_700_000_000.9999998)
def test_a_timestamp_is_the_time_it_was_given(now: float) -> None:
    """Read back, a timestamp is at most a millisecond off, also in the last microsecond of a second."""
    read = datetime.strptime(timestamp(now), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs(read.timestamp() - now) <= 0.001_001


@settings(deadline=None)
@given(moments, st.floats(0, 2))
@example(1_700_000_000.9999998, 0.1)
def test_timestamps_sort_as_the_times_do(now: float, later: float) -> None:
    """A client that sorts by timestamp never sees a later message before an earlier one."""
    assert timestamp(now) <= timestamp(now + later)
