"""What no client should send, and what it comes to: an answer, nobody else's trouble, and nothing in the logs.

Every case runs beside an innocent user's connection, with all loggers at DEBUG. Whatever was sent carries a marker.
"""

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from conftest import SECRET, Client, Server
from websockets.asyncio.client import connect

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]

MARKER = "Zq7marcadorZq7"
NOT_BLIND = "the least of records is seen"
LONG_AGO, FAR_AWAY = 1_000_000_000, 4_000_000_000


# -- what every case is held to -----------------------------------------------------------------------------------


class Witness:
    """The logs of one test, and what must not be in them."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._secrets = [MARKER]

    def keep(self, *secrets: str) -> None:
        """None of these may be logged. Of a token neither its payload nor its signature may be, either."""
        for secret in secrets:
            self._secrets += [part for part in (secret, *secret.split(".")) if len(part) > 8]

    def check(self) -> None:
        """Nothing of what clients sent in any record, and no sign of a bug of ours."""
        records = [record for when in ("setup", "call", "teardown") for record in self._caplog.get_records(when)]
        assert NOT_BLIND in {record.msg for record in records}
        for record in records:
            text = "\n".join([record.getMessage(), *(repr(value) for value in record.__dict__.values())])
            assert not [secret for secret in self._secrets if secret in text], (record.name, record.msg)
            assert record.levelno < logging.ERROR, text
            assert record.exc_info is None, text


@pytest.fixture
def witness(caplog: pytest.LogCaptureFixture) -> Iterator[Witness]:
    """Ask for it before `serve`: then it looks at the logs again when the server has stopped."""
    # Our client's own log is no concern of the server's. Each call sets the level of caplog's handler as well, so that
    # the last one must be DEBUG.
    caplog.set_level(logging.WARNING, "websockets")
    caplog.set_level(logging.DEBUG)
    logging.getLogger(__name__).debug(NOT_BLIND)
    witness = Witness(caplog)
    yield witness
    witness.check()


@pytest.fixture
async def server(witness: Witness, serve: Serve) -> Server:
    """A gateway under observation."""
    assert witness
    return await serve()


@pytest.fixture
async def innocent(server: Server) -> AsyncIterator[Client]:
    """Another user's connection, there before the case begins; at its end it must still be served."""
    token = server.token("bia")
    async with server.connect(token=token) as client:
        yield client
        pong = await client.ask("ping")
        assert pong["type"] == "pong"


@pytest.fixture
async def culprit(server: Server, innocent: Client) -> AsyncIterator[Client]:
    """The connection that misbehaves."""
    assert innocent
    async with server.connect() as client:
        yield client


async def still_there(client: Client) -> None:
    """A ping is answered, and nothing came before the answer."""
    await client.send("ping", correlation_id="still there")
    answer = await client.recv()
    assert (answer["type"], answer.get("correlation_id")) == ("pong", "still there")


async def is_refused(client: Client, code: str, **details: Any) -> dict[str, Any]:
    """The next message is this error, it quotes nothing, and the connection stays."""
    answer = await client.recv()
    assert answer["type"] == "error", answer
    data = answer["data"]
    assert data.keys() == {"code", "message", "details"}
    assert data["code"] == code
    assert {key: data["details"].get(key) for key in details} == details
    assert MARKER not in json.dumps(data, ensure_ascii=False)
    await still_there(client)
    return answer


def sample(type_: str, data: Any, **envelope: Any) -> str:
    """One message as JSON."""
    return json.dumps({"type": type_, "data": data, **envelope})


def padded_ping(size: int) -> str:
    """A valid ping of exactly so many bytes, by an unknown key."""
    empty = sample("ping", {}, correlation_id="padded", padding=MARKER)
    ping = sample("ping", {}, correlation_id="padded", padding=MARKER + "x" * (size - len(empty)))
    assert len(ping.encode()) == size
    return ping


def pieces(text: str, size: int) -> list[str]:
    """The fragments of a message."""
    return [text[at : at + size] for at in range(0, len(text), size)]


# -- no message at all --------------------------------------------------------------------------------------------

NOT_JSON = {
    "empty": "",
    "blank": "   ",
    "word": MARKER,
    "cut off": f'{{"type": "ping", "data": {{"x": "{MARKER}',
    "single quotes": f"{{'type': '{MARKER}'}}",
    "two messages": f'{{"type": "ping"}}{{"type": "{MARKER}"}}',
    "trailing text": f'{{"type": "ping"}} {MARKER}',
    "trailing comma": f'{{"type": "ping", "x": "{MARKER}",}}',
    "comment": f'{{"type": "ping"}} // {MARKER}',
    "control character": f'{{"type": "ping", "x": "{MARKER}\x00"}}',
    "byte order mark": f'\ufeff{{"type": "ping", "x": "{MARKER}"}}',
    "NaN": f'{{"type": "ping", "data": {{"{MARKER}": NaN}}}}',
    "Infinity": f'{{"type": "ping", "data": {{"{MARKER}": Infinity}}}}',
    "-Infinity": f'{{"type": "ping", "data": {{"{MARKER}": -Infinity}}}}',
    "10,000 arrays": f'{{"type": "ping", "{MARKER}": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "10,000 objects": '{"type": "ping", "data": ' + '{"x":' * 10_000 + f'"{MARKER}"' + "}" * 10_000 + "}",
    "10,000 open arrays": "[" * 10_000,
    "lone surrogate in the type": f'{{"type": "{MARKER}\\ud800", "data": {{}}}}',
    "lone surrogate in a key": f'{{"type": "ping", "data": {{"{MARKER}\\udc00": 1}}}}',
    "lone surrogate in the query": f'{{"type": "start_investigation", "data": {{"query": "{MARKER}\\ud800"}}}}',
    "surrogates the wrong way round": f'{{"type": "ping", "correlation_id": "{MARKER}\\udc00\\ud800"}}',
}

NO_OBJECT = {
    "array": f'["{MARKER}"]',
    "array of messages": f'[{{"type": "ping", "data": {{"x": "{MARKER}"}}}}]',
    "string": f'"{MARKER}"',
    "number": "7",
    "null": "null",
    "true": "true",
}


@pytest.mark.parametrize("frame", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_what_is_not_json(culprit: Client, witness: Witness, frame: str) -> None:
    await culprit.ws.send(frame)
    await is_refused(culprit, "INVALID_JSON")
    witness.check()


@pytest.mark.parametrize("frame", NO_OBJECT.values(), ids=NO_OBJECT.keys())
async def test_json_that_is_no_object(culprit: Client, witness: Witness, frame: str) -> None:
    await culprit.ws.send(frame)
    await is_refused(culprit, "INVALID_REQUEST")
    witness.check()


@pytest.mark.parametrize(
    "frame",
    [b"", MARKER.encode(), sample("ping", {"x": MARKER}).encode(), b"\x00\xff" + MARKER.encode()],
    ids=["empty", "word", "valid message", "bytes"],
)
async def test_binary_frame(culprit: Client, witness: Witness, frame: bytes) -> None:
    await culprit.ws.send(frame)
    await is_refused(culprit, "INVALID_REQUEST")
    witness.check()


# Huge numbers have no value in most parsers; what they are called then is left open, that they are refused is not.
@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, "-1" + "0" * 400], ids=lambda text: text[:5])
async def test_number_beyond_all_numbers(culprit: Client, witness: Witness, number: str) -> None:
    await culprit.ws.send(
        f'{{"type": "start_investigation", "data": {{"query": "{MARKER}", "filters": {{"min_value": {number}}}}}}}'
    )
    answer = await culprit.recv()
    assert answer["type"] == "error"
    assert answer["data"]["code"] in {"INVALID_JSON", "INVALID_REQUEST"}
    await still_there(culprit)
    witness.check()


# -- the envelope -------------------------------------------------------------------------------------------------

ENVELOPES = {
    "nothing": ("{}", "type", True),
    "no type": (json.dumps({"data": {"x": MARKER}}), "type", True),
    "type null": (json.dumps({"type": None, "data": {"x": MARKER}}), "type", True),
    "type number": (json.dumps({"type": 7, "data": {"x": MARKER}}), "type", True),
    "type array": (json.dumps({"type": [MARKER], "data": {}}), "type", True),
    "type object": (json.dumps({"type": {MARKER: 1}, "data": {}}), "type", True),
    "no data": (json.dumps({"type": "start_investigation", "x": MARKER}), "data", True),
    "data null": (sample("subscribe", None, x=MARKER), "data", True),
    "data array": (sample("start_investigation", [MARKER]), "data", True),
    "data string": (sample("start_investigation", MARKER), "data", True),
    "data number": (sample("ping", 7, x=MARKER), "data", True),
    "correlation_id number": (sample("ping", {"x": MARKER}, correlation_id=7), "correlation_id", None),
    "correlation_id array": (sample("ping", {}, correlation_id=[MARKER]), "correlation_id", None),
    "correlation_id too long": (sample("ping", {}, correlation_id=MARKER.ljust(129, "x")), "correlation_id", None),
    "id too long": (sample("ping", {}, id=MARKER.ljust(129, "x")), "id", None),
}


@pytest.mark.parametrize(("frame", "field", "required"), ENVELOPES.values(), ids=ENVELOPES.keys())
async def test_envelope_with_a_fault(
    culprit: Client, witness: Witness, frame: str, field: str, required: bool | None
) -> None:
    await culprit.ws.send(frame)
    answer = await is_refused(culprit, "INVALID_REQUEST", field=field)
    assert isinstance(answer["data"]["details"]["required"], bool)
    assert required in {None, answer["data"]["details"]["required"]}
    witness.check()


@pytest.mark.parametrize(
    "type_", [MARKER, "", "PING", "pong", "error", "connection_established", "investigation_update", "__class__"]
)
async def test_unknown_type(culprit: Client, witness: Witness, type_: str) -> None:
    await culprit.send(type_, {"x": MARKER}, correlation_id="echoed")
    answer = await is_refused(culprit, "UNKNOWN_TYPE")
    assert answer["correlation_id"] == "echoed"
    witness.check()


async def test_of_a_duplicate_key_the_last_counts(culprit: Client, witness: Witness) -> None:
    """As in `JSON.parse`."""
    await culprit.ws.send(f'{{"type": "{MARKER}", "type": "ping", "data": 7, "data": {{}}, "id": "x", "id": "y"}}')
    answer = await culprit.recv()
    assert (answer["type"], answer["correlation_id"]) == ("pong", "y")
    await culprit.ws.send(f'{{"type": "ping", "type": "{MARKER}", "data": {{}}}}')
    await is_refused(culprit, "UNKNOWN_TYPE")
    witness.check()


# -- the data of each command -------------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    """Filters of so many levels."""
    filters: dict[str, Any] = {"x": MARKER}
    for _ in range(levels - 1):
        filters = {"x": filters}
    return filters


def start(**data: Any) -> tuple[str, dict[str, Any]]:
    """A start with a fault in something but its query."""
    return "start_investigation", {"query": MARKER, **data}


FIELDS: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "query missing": (("start_investigation", {"x": MARKER}), "query"),
    "query null": (("start_investigation", {"query": None, "x": MARKER}), "query"),
    "query number": (("start_investigation", {"query": 7, "x": MARKER}), "query"),
    "query array": (("start_investigation", {"query": [MARKER]}), "query"),
    "query empty": (("start_investigation", {"query": "", "x": MARKER}), "query"),
    "query spaces": (("start_investigation", {"query": "   ", "x": MARKER}), "query"),
    "query tabs and newlines": (("start_investigation", {"query": "\t\r\n", "x": MARKER}), "query"),
    "query spaces of Unicode": (("start_investigation", {"query": "\u00a0\u2003\u3000", "x": MARKER}), "query"),
    "query too long": (("start_investigation", {"query": MARKER.ljust(4001, "é")}), "query"),
    "filters array": (start(filters=[MARKER]), "filters"),
    "filters string": (start(filters=MARKER), "filters"),
    "filters of 20 levels": (start(filters=nested(20)), "filters"),
    "filters of 20 levels of arrays": (start(filters={"x": json.loads("[" * 19 + "]" * 19)}), "filters"),
    "filters of 900 levels": (start(filters={"x": nested(900)}), "filters"),
    "date_range word": (start(filters={"date_range": MARKER}), "filters.date_range"),
    "date_range one date": (start(filters={"date_range": "2020-01-01"}), "filters.date_range"),
    "date_range reversed": (start(filters={"date_range": "2020-12-31/2020-01-01"}), "filters.date_range"),
    "date_range impossible": (start(filters={"date_range": "2020-02-30/2020-12-31"}), "filters.date_range"),
    "date_range array": (start(filters={"date_range": ["2020-01-01", MARKER]}), "filters.date_range"),
    "min_value negative": (start(filters={"min_value": -1}), "filters.min_value"),
    "min_value below 64 bits": (start(filters={"min_value": -(2**70)}), "filters.min_value"),
    "min_value string": (start(filters={"min_value": MARKER}), "filters.min_value"),
    "min_value true": (start(filters={"min_value": True}), "filters.min_value"),
    "min_value object": (start(filters={"min_value": {MARKER: 1}}), "filters.min_value"),
    "agents string": (start(agents=MARKER), "agents"),
    "cancel without id": (("cancel_investigation", {"x": MARKER}), "investigation_id"),
    "cancel number": (("cancel_investigation", {"investigation_id": 7, "x": MARKER}), "investigation_id"),
    "events string": (("subscribe", {"events": MARKER}), "events"),
    "investigation_ids string": (("subscribe", {"investigation_ids": MARKER}), "investigation_ids"),
    "after number": (("subscribe", {"after": 7, "x": MARKER}), "after"),
    "unsubscribe events object": (("unsubscribe", {"events": {MARKER: 1}}), "events"),
    "unsubscribe investigation_ids": (("unsubscribe", {"investigation_ids": MARKER}), "investigation_ids"),
    "subscribe_investigation": (("subscribe_investigation", {"x": MARKER}), "investigation_id"),
    "unsubscribe_investigation": (("unsubscribe_investigation", {"x": MARKER}), "investigation_id"),
    "message missing": (("agent_chat", {"agent": "zumbi", "x": MARKER}), "message"),
    "message number": (("agent_chat", {"agent": "zumbi", "message": 7, "x": MARKER}), "message"),
    "message empty": (("agent_chat", {"agent": "zumbi", "message": "", "x": MARKER}), "message"),
    "message too long": (("agent_chat", {"agent": "zumbi", "message": MARKER.ljust(4001, "é")}), "message"),
    "agent missing": (("agent_chat", {"message": MARKER}), "agent"),
    "agent number": (("agent_chat", {"agent": 7, "message": MARKER}), "agent"),
    "context string": (("agent_chat", {"agent": "zumbi", "message": "oi", "context": MARKER}), "context"),
    "context id": (
        ("agent_chat", {"agent": "zumbi", "message": MARKER, "context": {"investigation_id": 7}}),
        "context.investigation_id",
    ),
    "ack without id": (("ack", {"x": MARKER}), "id"),
    "ack number": (("ack", {"id": 7, "x": MARKER}), "id"),
    "ack word": (("ack", {"id": MARKER}), "id"),
    "ack of another epoch": (("ack", {"id": "0123456789ab-1", "x": MARKER}), "id"),
    "ack of a huge offset": (("ack", {"id": f"0123456789ab-{10**400}", "x": MARKER}), "id"),
    "authenticate without token": (("authenticate", {"x": MARKER}), "token"),
    "authenticate number": (("authenticate", {"token": 7, "x": MARKER}), "token"),
}

REQUIRED = {"query", "investigation_id", "message", "id", "token"}


@pytest.mark.parametrize(("command", "field"), FIELDS.values(), ids=FIELDS.keys())
async def test_field_missing_or_wrong(
    culprit: Client, witness: Witness, command: tuple[str, dict[str, Any]], field: str
) -> None:
    await culprit.send(*command, correlation_id="echoed")
    answer = await is_refused(culprit, "INVALID_REQUEST", field=field)
    assert answer["correlation_id"] == "echoed"
    if field in REQUIRED:
        assert answer["data"]["details"]["required"] is True
    if field not in command[1] and field in REQUIRED:
        assert answer["data"]["message"] == f"Missing required field: {field}"
    witness.check()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (start(agents=["zumbi", 7]), "agents"),
        (("subscribe", {"events": ["investigation_update", 7]}), "events"),
        (("subscribe", {"investigation_ids": [None, MARKER]}), "investigation_ids"),
        (("unsubscribe", {"investigation_ids": [[MARKER]]}), "investigation_ids"),
    ],
    ids=["agents", "events", "investigation_ids", "unsubscribe"],
)
async def test_list_with_a_wrong_item(
    culprit: Client, witness: Witness, command: tuple[str, dict[str, Any]], field: str
) -> None:
    """`details.field` names the list; whether it also says which item is left open."""
    await culprit.send(*command)
    answer = await is_refused(culprit, "INVALID_REQUEST")
    assert answer["data"]["details"]["field"].split("[")[0] == field
    witness.check()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("cancel_investigation", {"investigation_id": MARKER}), "NOT_FOUND"),
        (("cancel_investigation", {"investigation_id": MARKER * 1000}), "NOT_FOUND"),
        (("agent_chat", {"agent": "zumbi", "message": "oi", "context": {"investigation_id": MARKER}}), "NOT_FOUND"),
        (("agent_chat", {"agent": MARKER, "message": "oi"}), "AGENT_UNAVAILABLE"),
        (("agent_chat", {"agent": MARKER * 4000, "message": "oi"}), "AGENT_UNAVAILABLE"),
        (start(agents=["zumbi", MARKER]), "AGENT_UNAVAILABLE"),
        (("authenticate", {"token": MARKER}), "AUTHENTICATION_REQUIRED"),
        (("authenticate", {"token": ""}), "AUTHENTICATION_REQUIRED"),
    ],
    ids=[
        "cancel", "cancel long", "context", "agent", "agent long", "agents", "token", "no token",
    ],
)  # fmt: skip
async def test_name_that_nothing_has(
    culprit: Client, witness: Witness, command: tuple[str, dict[str, Any]], code: str
) -> None:
    await culprit.send(*command, correlation_id="echoed")
    answer = await is_refused(culprit, code)
    assert answer["correlation_id"] == "echoed"
    witness.check()


@pytest.mark.parametrize(
    "data",
    [
        {"query": MARKER, "filters": {"min_value": 2**70}},
        {"query": MARKER, "filters": {"min_value": 1e308, "x": [[{"y": MARKER}]]}},
        {"query": MARKER.ljust(4000, "é")},
        {"query": f"{MARKER} \ud83d\udd0c \u202e \x00"},
    ],
    ids=["min_value 2**70", "min_value 1e308", "4,000 characters", "odd characters"],
)
async def test_odd_but_right_starts_run_to_their_end(culprit: Client, witness: Witness, data: dict[str, Any]) -> None:
    started = await culprit.ask("start_investigation", data)
    assert (started["type"], started["data"]["status"]) == ("investigation_update", "started")
    await culprit.until(
        "investigation_update", status="completed", investigation_id=started["data"]["investigation_id"]
    )
    witness.check()


async def test_cursor_that_is_none_recovers_nothing(culprit: Client, witness: Witness) -> None:
    for after in (MARKER, "", "0123456789ab-1", f"0123456789ab-{10**400}"):
        answer = await culprit.ask("subscribe", {"after": after})
        assert (answer["type"], answer["data"]["recovered"]) == ("subscribed", False)
    witness.check()


# -- thousands of ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("count", [129, 3000])
async def test_too_many_investigations_named(culprit: Client, witness: Witness, type_: str, count: int) -> None:
    ids = [f"{MARKER}{number}" for number in range(count)]
    await culprit.send(type_, {"investigation_ids": ids})
    await is_refused(culprit, "INVALID_REQUEST", limit=128)
    witness.check()


async def test_too_many_investigations_named_grant_nothing(server: Server, culprit: Client, witness: Witness) -> None:
    """Not one of them: a right one among them is not followed, and the default subscription stands."""
    async with server.connect(connection_type="analysis") as analysis:
        started = await culprit.ask("start_investigation", {"query": MARKER})
        id_ = started["data"]["investigation_id"]
        ids = [id_, *(f"{MARKER}{number}" for number in range(3000))]
        await analysis.send("subscribe", {"events": ["progress_update"], "investigation_ids": ids})
        refused = await analysis.until("error")
        assert (refused["data"]["code"], refused["data"]["details"]["limit"]) == ("INVALID_REQUEST", 128)
        again = await culprit.ask("start_investigation", {"query": f"{MARKER} outra vez"})
        second = again["data"]["investigation_id"]
        await culprit.until("investigation_update", status="completed", investigation_id=second)
        await analysis.send("ping", correlation_id="the last one")
        seen = []
        while (message := await analysis.recv()).get("correlation_id") != "the last one":
            seen.append(message)
        assert {message["type"] for message in seen} == {"agent_analysis"}
        assert second in {message["data"]["investigation_id"] for message in seen}
    witness.check()


async def test_the_limit_of_named_investigations_holds_over_several_subscribes(
    server: Server, culprit: Client, witness: Witness
) -> None:
    ids = [f"inv_{MARKER}{number}" for number in range(129)]
    for id_ in ids:
        data = {"investigation_id": id_, "status": "started", "progress": 0, "current_agent": "zumbi", "message": ""}
        await server.gateway.broker.publish(Draft(topics.investigation(id_), "ana", "investigation_update", data, None))
    assert (await culprit.ask("subscribe", {"investigation_ids": ids[:100]}))["data"]["investigation_ids"] == ids[:100]
    refused = await culprit.ask("subscribe", {"investigation_ids": ids[100:]})
    assert (refused["data"]["code"], refused["data"]["details"]["limit"]) == ("INVALID_REQUEST", 128)
    # The ones that it would have had room for are not granted, either: it has room for them still.
    assert (await culprit.ask("subscribe", {"investigation_ids": ids[101:]}))["data"]["denied"] == []
    # Reads what is left: a client that is full of unread messages is slow to close.
    await culprit.ask("ping")
    witness.check()


async def test_128_investigations_may_be_named(culprit: Client, witness: Witness) -> None:
    ids = [f"{MARKER}{number}" for number in range(128)]
    answer = await culprit.ask("subscribe", {"investigation_ids": ids})
    assert answer["type"] == "subscribed"
    assert answer["data"]["denied"] == [{"investigation_id": id_, "code": "NOT_FOUND"} for id_ in ids]
    witness.check()


# -- sizes --------------------------------------------------------------------------------------------------------

FRAGMENTS = [None, 1000, 65_536, 200_000]


def cut(text: str, fragment: int | None) -> str | list[str]:
    """A message whole, or in its fragments."""
    return text if fragment is None else pieces(text, fragment)


@pytest.mark.parametrize("fragment", FRAGMENTS[:2])
async def test_message_of_exactly_64_kib_is_served(culprit: Client, witness: Witness, fragment: int | None) -> None:
    await culprit.ws.send(cut(padded_ping(65_536), fragment))
    answer = await culprit.recv()
    assert (answer["type"], answer["correlation_id"]) == ("pong", "padded")
    witness.check()


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("size", [65_537, 262_144])
async def test_message_too_large_leaves_the_connection(
    culprit: Client, witness: Witness, size: int, fragment: int | None
) -> None:
    await culprit.ws.send(cut(padded_ping(size), fragment))
    await is_refused(culprit, "MESSAGE_TOO_LARGE")
    witness.check()


async def test_binary_message_too_large(culprit: Client, witness: Witness) -> None:
    await culprit.ws.send(padded_ping(65_537).encode())
    await is_refused(culprit, "MESSAGE_TOO_LARGE")
    witness.check()


async def test_size_is_counted_in_bytes(culprit: Client, witness: Witness) -> None:
    """Fewer characters than the limit, and more bytes."""
    ping = json.dumps({"type": "ping", "padding": MARKER + "é" * 40_000}, ensure_ascii=False)
    assert len(ping) < 65_536 < len(ping.encode())
    await culprit.ws.send(ping)
    await is_refused(culprit, "MESSAGE_TOO_LARGE")
    witness.check()


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("size", [262_145, 1_000_000])
async def test_message_past_the_hard_bound_closes_its_connection(
    culprit: Client, witness: Witness, size: int, fragment: int | None
) -> None:
    await send_past_the_bound(culprit, cut(padded_ping(size), fragment))
    assert (await culprit.closed())[0] == 1009
    witness.check()


async def test_bound_holds_after_decompression(server: Server, innocent: Client, witness: Witness) -> None:
    """For whoever offers compression, whether it is agreed on or not."""
    assert innocent
    async with connect(server.url(), compression="deflate") as ws:
        client = Client(ws)
        await client.until("connection_established")
        await send_past_the_bound(client, padded_ping(262_145))
        assert (await client.closed())[0] == 1009
    witness.check()


async def send_past_the_bound(client: Client, message: str | list[str]) -> None:
    """The server may hang up before all is sent; `closed` says how."""
    try:
        await client.ws.send(message)
    except ConnectionError:
        return


# -- frames that break the rules of WebSocket ---------------------------------------------------------------------


def raw_frame(first_byte: int, payload: bytes) -> bytes:
    """A masked frame as it is on the wire; the mask of zeros changes nothing."""
    assert len(payload) < 126
    return bytes([first_byte, 0x80 | len(payload)]) + bytes(4) + payload


BROKEN_FRAMES = {
    "invalid UTF-8": (raw_frame(0x81, b'{"type":"ping","x":"\xff' + MARKER.encode() + b'"}'), 1007),
    "surrogate in UTF-8": (raw_frame(0x81, b'{"type":"ping","x":"\xed\xa0\x80' + MARKER.encode() + b'"}'), 1007),
    "cut off UTF-8": (raw_frame(0x81, MARKER.encode() + b"\xc3"), 1007),
    "invalid UTF-8 over two fragments": (raw_frame(0x01, MARKER.encode() + b"\xc3") + raw_frame(0x80, b"("), 1007),
    "reserved bit": (raw_frame(0xC1, MARKER.encode()), 1002),
    "unknown opcode": (raw_frame(0x83, MARKER.encode()), 1002),
    "continuation of nothing": (raw_frame(0x80, MARKER.encode()), 1002),
    "fragmented ping": (raw_frame(0x09, MARKER.encode()), 1002),
    "close with a reserved code": (raw_frame(0x88, b"\x03\xed" + MARKER.encode()), 1002),
    "close with half a code": (raw_frame(0x88, b"\x03"), 1002),
}


@pytest.mark.parametrize(("frame", "code"), BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
async def test_broken_frame_closes_its_connection_alone(
    culprit: Client, witness: Witness, frame: bytes, code: int
) -> None:
    culprit.ws.transport.write(frame)
    async with asyncio.timeout(5):
        assert (await culprit.closed())[0] == code
    witness.check()


async def test_utf8_cut_between_two_fragments_is_no_fault(culprit: Client, witness: Witness) -> None:
    """RFC 6455 section 5.6: what has to be valid is the whole message."""
    ping = json.dumps({"type": "ping", "correlation_id": "é"}, ensure_ascii=False).encode()
    middle = ping.index("é".encode()) + 1
    culprit.ws.transport.write(raw_frame(0x01, ping[:middle]) + raw_frame(0x80, ping[middle:]))
    answer = await culprit.recv()
    assert (answer["type"], answer["correlation_id"]) == ("pong", "é")
    witness.check()


async def test_connection_cut_in_the_middle_of_a_message(server: Server, culprit: Client, witness: Witness) -> None:
    culprit.ws.transport.write(raw_frame(0x01, MARKER.encode()))
    await still_there_between_fragments(culprit)
    culprit.cut()
    await server.settled(lambda: len(server.gateway.hub) == 1)
    witness.check()


async def still_there_between_fragments(client: Client) -> None:
    """A control frame may come between fragments (RFC 6455 section 5.4)."""
    await (await client.ws.ping())


# -- tokens -------------------------------------------------------------------------------------------------------

CLAIMS = {"sub": MARKER, "exp": FAR_AWAY, "type": "access"}


def jwt(claims: Any, *, key: str = SECRET, algorithm: str = "HS256", digest: str = "sha256", header: Any = None) -> str:
    """A token made by hand: no library would sign most of these."""
    head = {"alg": algorithm, "typ": "JWT"} if header is None else header
    text = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{_base64(hmac.digest(key.encode(), text.encode(), digest))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def without(claim: str) -> dict[str, Any]:
    """The claims but this one."""
    return {key: value for key, value in CLAIMS.items() if key != claim}


def unsigned(token: str) -> str:
    """The token without its signature."""
    return token.rpartition(".")[0] + "."


REQUIRED_TEXT, INVALID, EXPIRED = "Authentication required", "Invalid token", "Token expired"

BAD_TOKENS: dict[str, tuple[str | None, str]] = {
    "missing": (None, REQUIRED_TEXT),
    "empty": ("", REQUIRED_TEXT),
    "expired": (jwt({**CLAIMS, "exp": LONG_AGO}), EXPIRED),
    "word": (MARKER, INVALID),
    "dots": (f"{MARKER}..{MARKER}.", INVALID),
    "not ASCII": (f"{MARKER}é.é.é", INVALID),
    "control characters": (f"{MARKER}\r\n\x00", INVALID),
    "lone surrogate": (f"{MARKER}%ED%A0%80", INVALID),
    "claims array": (jwt([MARKER]), INVALID),
    "claims deep": (unsigned(jwt({})).split(".")[0] + "." + _base64(b"[" * 2000) + "." + MARKER, INVALID),
    "alg none": (unsigned(jwt(CLAIMS, algorithm="none")), INVALID),
    "alg None, signed": (jwt(CLAIMS, algorithm="None"), INVALID),
    "no alg": (jwt(CLAIMS, header={"typ": "JWT"}), INVALID),
    "alg array": (jwt(CLAIMS, header={"alg": ["HS256"]}), INVALID),
    "alg unknown": (jwt(CLAIMS, algorithm=MARKER), INVALID),
    "HS384": (jwt(CLAIMS, algorithm="HS384", digest="sha384"), INVALID),
    "HS512": (jwt(CLAIMS, algorithm="HS512", digest="sha512"), INVALID),
    "RS256 by the secret": (jwt(CLAIMS, algorithm="RS256"), INVALID),
    "another key": (jwt(CLAIMS, key=SECRET[::-1]), INVALID),
    "empty key": (jwt(CLAIMS, key=""), INVALID),
    "another key in the header": (
        jwt(CLAIMS, key=MARKER, header={"alg": "HS256", "jwk": {"kty": "oct", "k": _base64(MARKER.encode())}}),
        INVALID,
    ),
    "no signature": (unsigned(jwt(CLAIMS)), INVALID),
    "critical extension": (jwt(CLAIMS, header={"alg": "HS256", "crit": [MARKER]}), INVALID),
    "expired, another key": (jwt({**CLAIMS, "exp": LONG_AGO}, key=SECRET[::-1]), INVALID),
    "no sub": (jwt({**without("sub"), "x": MARKER}), INVALID),
    "sub null": (jwt({**CLAIMS, "sub": None, "x": MARKER}), INVALID),
    "sub number": (jwt({**CLAIMS, "sub": 7, "x": MARKER}), INVALID),
    "sub array": (jwt({**CLAIMS, "sub": [MARKER]}), INVALID),
    "sub empty": (jwt({**CLAIMS, "sub": "", "x": MARKER}), INVALID),
    "sub of 257 characters": (jwt({**CLAIMS, "sub": MARKER.ljust(257, "x")}), INVALID),
    "no exp": (jwt(without("exp")), INVALID),
    "exp null": (jwt({**CLAIMS, "exp": None}), INVALID),
    "exp word": (jwt({**CLAIMS, "exp": "amanhã"}), INVALID),
    "exp true": (jwt({**CLAIMS, "exp": True}), INVALID),
    "exp NaN": (jwt({**CLAIMS, "exp": float("nan")}), INVALID),
    "exp infinite": (jwt({**CLAIMS, "exp": float("inf")}), INVALID),
    "exp 10**400": (jwt({**CLAIMS, "exp": 10**400}), INVALID),
    "refresh": (jwt({**CLAIMS, "type": "refresh"}), INVALID),
    "not yet valid": (jwt({**CLAIMS, "nbf": FAR_AWAY - 1}), INVALID),
}


@pytest.mark.parametrize(("token", "reason"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_bad_token_in_the_url(
    server: Server, innocent: Client, witness: Witness, token: str | None, reason: str
) -> None:
    assert innocent
    witness.keep(token or "")
    for path in ("/ws", f"/ws/investigations/{MARKER}", "/ws/chat"):
        async with server.raw(path, token=token) as client:
            assert await client.closed() == (1008, reason)
    assert len(server.gateway.hub) == 1
    witness.check()


IN_A_HEADER = {
    name: case for name, case in BAD_TOKENS.items() if case[0] and case[0].isascii() and case[0].isprintable()
}


@pytest.mark.parametrize(("token", "reason"), IN_A_HEADER.values(), ids=IN_A_HEADER.keys())
async def test_bad_token_in_the_header(
    server: Server, innocent: Client, witness: Witness, token: str, reason: str
) -> None:
    assert innocent
    witness.keep(token)
    async with by_header(server, f"Bearer {token}") as client:
        assert await client.closed() == (1008, reason)
    assert len(server.gateway.hub) == 1
    witness.check()


@pytest.mark.parametrize(("token", "reason"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_bad_token_to_authenticate(culprit: Client, witness: Witness, token: str | None, reason: str) -> None:
    """The connection keeps the token that it has."""
    witness.keep(token or "")
    await culprit.send("authenticate", {"token": token or ""}, correlation_id="echoed")
    answer = await is_refused(culprit, "TOKEN_EXPIRED" if reason == EXPIRED else "AUTHENTICATION_REQUIRED")
    assert answer["correlation_id"] == "echoed"
    witness.check()


async def test_token_of_another_user_to_authenticate(server: Server, culprit: Client, witness: Witness) -> None:
    token = server.token("caio")
    witness.keep(token)
    await culprit.send("authenticate", {"token": token})
    await is_refused(culprit, "FORBIDDEN")
    witness.check()


async def test_the_tokens_made_by_hand_are_good_but_for_their_fault(
    server: Server, innocent: Client, witness: Witness
) -> None:
    assert innocent
    witness.keep(good := jwt(CLAIMS))
    async with server.connect(token=good) as client:
        assert client.welcome["data"]["user_id"] == MARKER
    longest = MARKER.ljust(256, "x")
    async with server.connect(token=jwt({**CLAIMS, "sub": longest})) as client:
        assert client.welcome["data"]["user_id"] == longest
    witness.check()


@asynccontextmanager
async def by_header(server: Server, authorization: str, path: str = "/ws") -> AsyncIterator[Client]:
    """A connection without a token in its URL."""
    headers = {"Authorization": authorization}
    async with connect(server.url(path, token=None), additional_headers=headers, compression=None) as ws:
        yield Client(ws)


# -- tokens that are good -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
@pytest.mark.parametrize("path", ["/ws", "/api/v1/ws/chat"])
async def test_token_in_the_header(server: Server, innocent: Client, witness: Witness, scheme: str, path: str) -> None:
    assert innocent
    token = server.token("ana")
    witness.keep(token)
    async with by_header(server, f"{scheme} {token}", path) as client:
        assert (await client.until("connection_established"))["data"]["user_id"] == "ana"
        await still_there(client)
    witness.check()


async def test_no_log_holds_a_good_token(server: Server, innocent: Client, witness: Witness) -> None:
    """On every path, in a resume, in a takeover, in a renewal, and in what is turned away after the token was read."""
    assert innocent
    token, fresh = server.token(), server.token(ttl=1200)
    witness.keep(token, fresh)
    async with server.connect(token=token) as client:
        started = await client.ask("start_investigation", {"query": MARKER})
        id_ = started["data"]["investigation_id"]
        session = client.welcome["data"]["session_id"]
        for path in (f"/ws/investigations/{id_}", "/ws/chat", "/api/v1/ws"):
            async with server.connect(path, token=token) as other:
                assert (await other.ask("authenticate", {"token": fresh}))["type"] == "authenticated"
                other.cut()
        async with server.connect(token=token, session_id=session) as taker:
            assert taker.welcome["data"]["resumed"] is True
            assert await client.closed() == (1000, "Session resumed elsewhere")
    async with server.raw(token=token, connection_type=MARKER) as client:
        await client.closed()
    async with aiohttp.ClientSession() as http, http.get(f"{server.http}/ws", params={"token": token}) as response:
        assert response.status == 426
    await server.settled(lambda: len(server.gateway.hub) == 1)
    witness.check()


# -- the address --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", [MARKER, "chat", "GENERAL", "general,analysis"])
async def test_unknown_connection_type(server: Server, innocent: Client, witness: Witness, type_: str) -> None:
    assert innocent
    async with server.raw(connection_type=type_) as client:
        refused = await client.recv()
        assert (refused["type"], refused["data"]["code"]) == ("error", "INVALID_REQUEST")
        assert (await client.closed())[0] == 1008
    assert len(server.gateway.hub) == 1
    witness.check()


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("path", ["/ws", f"/ws/investigations/{MARKER}", "/ws/chat"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "h2c", "Connection": "Upgrade"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "é"},
    ],
    ids=["plain", "h2c", "key"],
)
async def test_request_without_an_upgrade(
    server: Server, innocent: Client, witness: Witness, prefix: str, path: str, headers: dict[str, str]
) -> None:
    assert innocent
    witness.keep(token := server.token())
    url = f"{server.http}{prefix}{path}"
    async with aiohttp.ClientSession() as http:
        async with http.get(url, params={"token": token}, headers=headers) as response:
            assert response.status == 426
            assert (await response.json()).keys() == {"code", "message", "details"}
        async with http.post(url, data=MARKER) as response:
            assert response.status == 405
    witness.check()


@pytest.mark.parametrize("agent", [MARKER, "gpt", "x" * 4000])
async def test_unknown_agent_in_the_url(server: Server, innocent: Client, witness: Witness, agent: str) -> None:
    """It is told so, stays, and may name another agent."""
    assert innocent
    async with server.connect("/ws/chat", agent=agent) as client:
        await is_refused(client, "AGENT_UNAVAILABLE")
        await client.send("agent_chat", {"message": MARKER})
        await is_refused(client, "AGENT_UNAVAILABLE")
        await client.send("agent_chat", {"agent": "Santos-Dumont", "message": MARKER})
        assert (await client.until("agent_chat"))["data"]["agent"] == "santos_dumont"
    witness.check()


async def test_unknown_and_foreign_investigations_get_the_same_answer(
    server: Server, innocent: Client, witness: Witness
) -> None:
    started = await innocent.ask("start_investigation", {"query": MARKER})
    foreign = started["data"]["investigation_id"]
    unknown = foreign[:-4] + "0123"
    answers = []
    for id_ in (foreign, unknown, MARKER, "%00", "..%2F..", "é" * 500):
        async with server.raw(f"/ws/investigations/{id_}") as client:
            error = await client.recv()
            del error["timestamp"]
            answers.append((error, await client.closed()))
    error, (code, _) = answers[0]
    assert (error["type"], error["data"]["code"], code) == ("error", "NOT_FOUND", 1008)
    assert answers == [answers[0]] * len(answers)
    async with server.connect() as client:
        commands = [
            ("cancel_investigation", lambda id_: {"investigation_id": id_}),
            ("subscribe", lambda id_: {"investigation_ids": [id_]}),
            ("agent_chat", lambda id_: {"agent": "zumbi", "message": "oi", "context": {"investigation_id": id_}}),
        ]
        for type_, data in commands:
            one, other = [json.dumps((await client.ask(type_, data(id_)))["data"]) for id_ in (foreign, unknown)]
            assert one.replace(foreign, unknown) == other
            assert "NOT_FOUND" in one
    witness.check()


@pytest.mark.parametrize("query", ["last_event_id", "session_id"])
@pytest.mark.parametrize("value", [MARKER, "0123456789ab-1", "0123456789ab-" + "9" * 400, "-", "\x00é"])
async def test_odd_resume_simply_starts_anew(
    server: Server, innocent: Client, witness: Witness, query: str, value: str
) -> None:
    assert innocent
    async with server.connect(**{query: value}) as client:
        data = client.welcome["data"]
        assert (data["resumed"], data["recovered"], data["replayed"]) == (False, query == "session_id", 0)
        await still_there(client)
    witness.check()


# -- the sum of it ------------------------------------------------------------------------------------------------


async def test_flood_of_bad_messages_closes_its_connection_alone(
    culprit: Client, innocent: Client, witness: Witness
) -> None:
    """Invalid messages count: the 101st is refused for its rate, the 200th closes; the other user's window is free."""
    for _ in range(200):
        await culprit.ws.send(MARKER)
    codes = [json.loads(await culprit.ws.recv())["data"]["code"] for _ in range(200)]
    assert codes == ["INVALID_JSON"] * 100 + ["RATE_LIMIT_EXCEEDED"] * 100
    assert (await culprit.closed())[0] == 1008
    await still_there(innocent)
    witness.check()
