"""What the API document shows, spoken to a real server: every sample, every path, every close code, every metric."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from conftest import Client, Server
from prometheus_client.parser import text_string_to_metric_families
from samples import AGENT_CHAT, CLIENT, ERROR, SERVER, START_INVESTIGATION, SUBSCRIBE

from cidadao_rt.memory.log import Draft
from cidadao_rt.motion.drain import drain
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]

NEVER_ENDING = {"speed": 0.001}
"""Agents so slow that an investigation never goes on by itself."""

ISO_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def faults(sample: Any, real: Any, at: str = "") -> list[str]:
    """Where `real` has not the shape of `sample`: each key with the same JSON type, in nested values and items too."""
    kind = json_type(sample)
    if json_type(real) != kind:
        return [f"{at}: {json_type(real)} instead of {kind}"]
    if kind == "object":
        missing = [f"{at}.{key}: missing" for key in sample.keys() - real.keys()]
        shared = sample.keys() & real.keys()
        return missing + [fault for key in shared for fault in faults(sample[key], real[key], f"{at}.{key}")]
    if kind == "array":
        return [fault for index, item in enumerate(real) for fault in faults(sample[0], item, f"{at}[{index}]")]
    if kind == "string" and ISO_UTC.fullmatch(sample) and not ISO_UTC.fullmatch(real):
        return [f"{at}: no timestamp in UTC"]
    return []


def json_type(value: Any) -> str:
    """What JSON calls the type of a parsed value."""
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number", bool: "boolean"}
    return names.get(type(value), "null")


async def begin(client: Client, query: str = "Contratos emergenciais") -> str:
    """Start an investigation; its id."""
    answer = await client.ask("start_investigation", {"query": query})
    assert answer["type"] == "investigation_update", answer
    id_: str = answer["data"]["investigation_id"]
    return id_


async def everything_until_pong(client: Client) -> list[dict[str, Any]]:
    """All that the server has for the client by now: a pong comes after what is owed."""
    await client.send("ping", correlation_id="the last one")
    seen = []
    while True:
        message = await client.recv()
        if message.get("correlation_id") == "the last one":
            return seen
        seen.append(message)


# -- the shapes ---------------------------------------------------------------------------------------------------


def test_the_comparison_of_shapes_finds_faults() -> None:
    sample = {"a": 1, "b": [{"c": "x"}], "t": "2024-01-15T10:30:00Z"}
    assert not faults(sample, {"a": 0.5, "b": [], "t": "2026-07-01T00:00:00.123Z", "more": None})
    real = {"b": [{"c": "y"}, {"c": None}, {}], "t": "2026-07-01T00:00:00"}
    assert sorted(faults(sample, real)) == [
        ".a: missing",
        ".b[1].c: null instead of string",
        ".b[2].c: missing",
        ".t: no timestamp in UTC",
    ]
    assert faults({"a": 1}, {"a": True}) == [".a: boolean instead of number"]


@pytest.fixture
async def heard(serve: Serve) -> list[dict[str, Any]]:
    """All that a `general` connection is sent in one investigation, with metrics and one error at its end."""
    server = await serve(metrics={"interval_seconds": 0.02})
    async with server.connect(user="user_123") as client:
        await client.ws.send(START_INVESTIGATION)
        seen = await client.collect("investigation_update", status="completed")
        seen += await client.collect("metrics_update")
        await client.send("cancel_investigation", {})
        seen += await client.collect("error")
        return [client.welcome, *seen]


@pytest.mark.parametrize("type_", sorted(SERVER))
async def test_every_message_has_the_shape_of_the_document_sample(heard: list[dict[str, Any]], type_: str) -> None:
    sample = json.loads(SERVER[type_])
    # Two samples leave the timestamp out; the document's base structure has it in every message.
    sample.setdefault("timestamp", "2024-01-15T10:30:00Z")
    real = [message for message in heard if message["type"] == type_]
    assert real
    assert [fault for message in real for fault in faults(sample, message)] == []
    if type_ == "agent_analysis":
        assert {message["data"]["agent"] for message in real} == {"zumbi", "anita", "tiradentes"}
        assert any(message["data"]["findings"] for message in real)


async def test_every_envelope_is_the_document_base_structure(heard: list[dict[str, Any]]) -> None:
    for message in heard:
        assert faults({"type": "", "data": {}, "timestamp": "2024-01-15T10:30:00Z"}, message) == []
        # What is optional is a string where it is there, and `id` is all that was added.
        assert all(isinstance(message.get(key, ""), str) for key in ("user_id", "correlation_id", "id"))
        assert message.keys() <= {"type", "data", "timestamp", "user_id", "correlation_id", "id"}


async def test_the_welcome_says_what_the_document_says(serve: Serve) -> None:
    server = await serve()
    async with server.connect(user="user_123") as client:
        data = client.welcome["data"]
        assert data["message"] == "WebSocket connection established"
        assert (data["user_id"], data["connection_type"]) == ("user_123", "general")


async def test_the_document_error_comes_word_for_word(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as client:
        answer = await client.ask("cancel_investigation", {})
        assert (answer["type"], answer["data"]) == ("error", json.loads(ERROR)["data"])


# -- paths and connection types -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("type_", [None, "general", "investigation", "analysis", "notifications"])
async def test_main_endpoint_serves_every_connection_type(serve: Serve, prefix: str, type_: str | None) -> None:
    server = await serve()
    async with server.connect(f"{prefix}/ws", connection_type=type_) as client:
        assert client.welcome["data"]["connection_type"] == (type_ or "general")
        assert (await client.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_investigation_endpoint_sends_updates_of_that_investigation_alone(serve: Serve, prefix: str) -> None:
    server = await serve(agents=NEVER_ENDING)
    async with server.connect() as owner:
        one, other = await begin(owner, "um"), await begin(owner, "outro")
        async with server.connect(f"{prefix}/ws/investigations/{one}") as client:
            for id_ in (other, one):
                await owner.ask("cancel_investigation", {"investigation_id": id_})
            seen = await everything_until_pong(client)
        assert {message["data"]["investigation_id"] for message in seen} == {one}
        assert seen[-1]["data"]["status"] == "cancelled"


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize(("asked", "answering"), [("abaporu", "abaporu"), (None, "drummond")])
async def test_chat_endpoint_answers_by_the_agent_of_the_url(
    serve: Serve, prefix: str, asked: str | None, answering: str
) -> None:
    server = await serve()
    async with server.connect(f"{prefix}/ws/chat", agent=asked) as client:
        await client.send("agent_chat", {"message": "Quais são os principais riscos encontrados?"})
        answer = await client.until("agent_chat")
        assert (answer["data"]["agent"], answer["data"]["role"]) == (answering, "assistant")


# -- what the document's clients send -----------------------------------------------------------------------------


async def test_start_investigation_sample_runs_to_its_end(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as client:
        await client.ws.send(START_INVESTIGATION)
        seen = await client.collect("investigation_update", status="completed")
    updates = [message["data"] for message in seen if message["type"] == "investigation_update"]
    assert (updates[0]["status"], updates[0]["progress"]) == ("started", 0)
    assert updates[-1]["progress"] == 100
    assert [data["progress"] for data in updates] == sorted(data["progress"] for data in updates)
    assert not [message for message in seen if message["type"] == "error"]


async def test_subscribe_sample_as_it_stands_is_granted_nothing(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as client:
        await client.ws.send(SUBSCRIBE)
        answer = await client.recv()
    assert (answer["type"], answer["data"]) == (
        "subscribed",
        {
            "events": ["investigation_update", "agent_analysis"],
            "investigation_ids": [],
            "denied": [{"investigation_id": id_, "code": "NOT_FOUND"} for id_ in ("inv_123", "inv_456")],
        },
    )


async def test_subscribe_sample_with_real_investigations_follows_them(serve: Serve) -> None:
    server = await serve(agents=NEVER_ENDING)
    async with server.connect() as owner, server.connect() as client:
        ids = [await begin(owner, "um"), await begin(owner, "outro")]
        unfollowed = await begin(owner, "mais um")
        # The default subscription has brought those so far.
        await everything_until_pong(client)
        await client.ws.send(SUBSCRIBE.replace("inv_123", ids[0]).replace("inv_456", ids[1]))
        events = ["investigation_update", "agent_analysis"]
        answer = await client.recv()
        assert (answer["type"], answer["data"]) == (
            "subscribed",
            {"events": events, "investigation_ids": ids, "denied": []},
        )
        snapshots = [await client.recv() for _ in ids]
        assert [(m["data"]["investigation_id"], m["data"]["status"], "id" in m) for m in snapshots] == [
            (ids[0], "started", False),
            (ids[1], "started", False),
        ]
        for id_ in (*ids, unfollowed):
            for type_ in ("progress_update", "agent_analysis"):
                data = {**json.loads(SERVER[type_])["data"], "investigation_id": id_}
                await server.gateway.broker.publish(Draft(topics.investigation(id_), "ana", type_, data, None))
            await owner.ask("cancel_investigation", {"investigation_id": id_})
        seen = await everything_until_pong(client)
    assert [(m["type"], m["data"]["investigation_id"], m["data"]["status"]) for m in seen] == [
        ("agent_analysis", ids[0], "completed"),
        ("investigation_update", ids[0], "cancelled"),
        ("agent_analysis", ids[1], "completed"),
        ("investigation_update", ids[1], "cancelled"),
    ]


async def test_subscribe_to_investigation_sample(serve: Serve) -> None:
    """What the Python client's `subscribe_to_investigation` sends."""
    server = await serve(agents=NEVER_ENDING)
    async with server.connect() as owner, server.connect(connection_type="analysis") as client:
        id_ = await begin(owner)
        asked = {"events": ["investigation_update"], "investigation_ids": [id_]}
        answer = await client.ask("subscribe", asked)
        assert (answer["type"], answer["data"]) == ("subscribed", {**asked, "denied": []})
        assert (await client.until("investigation_update"))["data"]["status"] == "started"
        await owner.ask("cancel_investigation", {"investigation_id": id_})
        assert (await client.until("investigation_update"))["data"]["status"] == "cancelled"


async def test_agent_chat_sample_as_it_stands_finds_no_investigation(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as client:
        await client.ws.send(AGENT_CHAT)
        answer = await client.recv()
        assert (answer["type"], answer["data"]["code"]) == ("error", "NOT_FOUND")
        assert (await client.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("path", ["/ws", "/ws/chat"])
async def test_agent_chat_sample_with_a_real_investigation_is_answered(serve: Serve, path: str) -> None:
    server = await serve()
    async with server.connect() as owner, server.connect(path) as client:
        id_ = await begin(owner)
        await client.ws.send(AGENT_CHAT.replace("inv_789", id_))
        seen = await client.collect("agent_chat")
    chat = [m for m in seen if m["type"] in {"typing", "agent_chat_chunk", "agent_chat"}]
    assert (chat[0]["type"], chat[0]["data"]) == ("typing", {"agent": "abaporu", "is_typing": True})
    chunks = [m["data"] for m in chat if m["type"] == "agent_chat_chunk"]
    assert [data["index"] for data in chunks] == list(range(len(chunks)))
    answer = chat[-1]["data"]
    assert (answer["agent"], answer["investigation_id"], answer["role"]) == ("abaporu", id_, "assistant")
    assert answer["message"] == "".join(data["content"] for data in chunks) != ""
    assert isinstance(answer["suggested_actions"], list)
    assert isinstance(answer["agent_name"], str)


@pytest.mark.parametrize("sample", sorted(CLIENT))
async def test_samples_echo_a_correlation_id_and_take_any_timestamp(serve: Serve, sample: str) -> None:
    """The document's clients put their samples into an envelope with a timestamp, one of them with a correlation id."""
    server = await serve()
    now = datetime.now(UTC)
    stamps = {"javascript": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "python": naive(now)}
    async with server.connect() as client:
        for language, stamp in stamps.items():
            message = {**json.loads(CLIENT[sample]), "timestamp": stamp, "correlation_id": f"1705314600000-{language}"}
            await client.ws.send(json.dumps(message))
            while (await client.recv()).get("correlation_id") != message["correlation_id"]:
                pass


def naive(moment: datetime) -> str:
    """What the Python client's `datetime.utcnow().isoformat()` gives."""
    return moment.replace(tzinfo=None).isoformat()


@pytest.mark.parametrize(
    "envelope",
    [
        {"timestamp": "2024-01-15T10:30:00.000Z", "correlation_id": "1705314600000-k3j9x0q2z"},
        {"timestamp": naive(datetime.now(UTC))},
        {},
    ],
    ids=["javascript", "python", "bare"],
)
async def test_ping_of_the_document_clients(serve: Serve, envelope: dict[str, str]) -> None:
    server = await serve()
    async with server.connect() as client:
        await client.send("ping", {}, **envelope)
        pong = await client.recv()
        assert (pong["type"], pong["data"]) == ("pong", {})
        assert pong.get("correlation_id") == envelope.get("correlation_id")
        assert isinstance(pong["id"], str)


# -- close codes --------------------------------------------------------------------------------------------------


async def test_1000_normal_closure(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as client:
        await client.ws.close(1000)
        assert await client.closed() == (1000, "")
        await server.settled(lambda: len(server.gateway.hub) == 0)


async def test_1001_going_away_when_the_server_stops(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as client:
        await drain(server.gateway, 1.0)
        assert (await client.recv())["type"] == "going_away"
        assert (await client.closed())[0] == 1001


async def test_1001_after_the_document_inactivity(serve: Serve) -> None:
    server = await serve(limits={"inactivity_seconds": 0.01})
    async with server.connect() as client:
        assert await client.closed() == (1001, "Inactivity timeout")


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("path", ["/ws", "/ws/investigations/inv_789", "/ws/chat"])
async def test_1008_authentication_required_without_a_token(serve: Serve, prefix: str, path: str) -> None:
    server = await serve()
    async with server.raw(prefix + path, token=None) as client:
        assert await client.closed() == (1008, "Authentication required")


async def test_1013_for_the_sixth_connection_of_a_user(serve: Serve) -> None:
    server = await serve()
    async with AsyncExitStack() as stack:
        five = [await stack.enter_async_context(server.connect()) for _ in range(5)]
        async with server.raw() as sixth:
            refused = await sixth.recv()
            assert (refused["type"], refused["data"]["code"]) == ("error", "CONNECTION_LIMIT")
            assert (await sixth.closed())[0] == 1013
        async with server.connect(user="bia"):
            assert [(await client.ask("ping"))["type"] for client in five] == ["pong"] * 5


# -- metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def scrape(http: aiohttp.ClientSession, server: Server) -> tuple[dict[str, str], dict[str, float]]:
    """The type of each metric family, and the sums of the samples by name over all labels."""
    async with http.get(f"{server.http}/metrics") as response:
        assert response.status == 200
        text = await response.text()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return types, sums


async def test_the_document_metrics_are_exposed_by_their_exact_names(serve: Serve, http: aiohttp.ClientSession) -> None:
    """The document's PromQL: the gauge, two counters under `rate`, and a histogram for `histogram_quantile`."""
    server = await serve()
    async with server.connect() as client:
        await client.ask("ping")
        await client.ask("cancel_investigation", {})
        types, sums = await scrape(http, server)
    assert types["cidadao_ai_websocket_connections_active"] == "gauge"
    assert types["cidadao_ai_websocket_messages_total"] == "counter"
    assert types["cidadao_ai_websocket_errors_total"] == "counter"
    assert types["cidadao_ai_websocket_message_duration_seconds"] == "histogram"
    assert sums["cidadao_ai_websocket_connections_active"] == 1
    # Out: the welcome, the pong, the error; in: the ping and the cancel.
    assert sums["cidadao_ai_websocket_messages_total"] == 5
    assert sums["cidadao_ai_websocket_errors_total"] == 1
    assert sums["cidadao_ai_websocket_message_duration_seconds_count"] == 2
    assert sums["cidadao_ai_websocket_message_duration_seconds_bucket"] >= 2


async def test_connections_active_is_back_at_zero_when_all_have_left(serve: Serve, http: aiohttp.ClientSession) -> None:
    server = await serve(agents=NEVER_ENDING)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(server.connect())
        id_ = await begin(first)
        for path in ("/ws/chat", f"/ws/investigations/{id_}", "/api/v1/ws"):
            await stack.enter_async_context(server.connect(path))
        cut = await stack.enter_async_context(server.connect())
        # Turned away: by the limit, and for want of a token. Neither is ever counted.
        for query in ({}, {"token": None}):
            async with server.raw(**query) as refused:
                await refused.closed()
        _, sums = await scrape(http, server)
        assert sums["cidadao_ai_websocket_connections_active"] == 5
        cut.cut()
    await server.settled(lambda: len(server.gateway.hub) == 0)
    _, sums = await scrape(http, server)
    assert sums["cidadao_ai_websocket_connections_active"] == 0
