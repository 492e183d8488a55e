"""The specs as they are served, held against the official parsers and against everything the gateway really says."""

import copy
import io
import json
import re
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Server, configure
from jsonschema import Draft202012Validator, FormatChecker
from machine import need
from openapi_spec_validator import validate
from samples import CLIENT
from websockets.asyncio.client import ClientConnection

from cidadao_rt import __version__
from cidadao_rt.app import build
from cidadao_rt.edges import pages, poll
from cidadao_rt.motion.drain import drain
from cidadao_rt.motion.publishing import REQUEST_BYTES
from cidadao_rt.words import events, parameters, schemas
from cidadao_rt.words.operations import SERVED

Serve = Callable[..., Awaitable[Server]]
Json = dict[str, Any]
SPECS = Path(__file__).parents[1] / "specs"


async def document(server: Server, name: str) -> Json:
    """One of the two documents, as it is served."""
    async with aiohttp.ClientSession() as http, http.get(f"{server.http}/{name}.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        found: Json = await response.json()
        return found


# -- the official parsers -----------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
async def test_the_official_parser_finds_nothing_wrong_with_the_asyncapi_document(serve: Serve) -> None:
    node, npm = need("node"), need("npm")
    lock = SPECS / "package-lock.json"
    installed = SPECS / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=SPECS, check=True, capture_output=True, timeout=300)
    text = json.dumps(await document(await serve(), "asyncapi"))
    told = subprocess.run(
        [node, "validate.mjs"], cwd=SPECS, input=text, capture_output=True, text=True, check=True, timeout=60
    )
    parsed = json.loads(told.stdout)
    assert parsed["version"] == "3.0.0"
    # That there is a newer version of the specification is no fault of the document.
    assert [one for one in parsed["diagnostics"] if one["code"] != "asyncapi-latest-version"] == []


async def test_the_official_validator_finds_nothing_wrong_with_the_openapi_document(serve: Serve) -> None:
    found = await document(await serve(), "openapi")
    validate(found)
    assert found["info"]["version"] == __version__


# -- routes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metrics_path", ["/metrics", "/internal/metrics"])
def test_every_route_is_described_and_none_is_invented(metrics_path: str) -> None:
    app = build(configure(metrics={"path": metrics_path}))
    routed = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(one.method, metrics_path if one.id == "metrics" else one.path) for one in SERVED}
    # What the console loads for itself is no API.
    routed = {(method, path) for method, path in routed if not path.startswith("/console/")}
    assert routed == described
    assert len({one.id for one in SERVED}) == len(SERVED)


def test_bounds_are_those_of_the_edges() -> None:
    assert parameters.LONGEST_POLL == poll.LONGEST_SECONDS
    assert parameters.PARAMETERS["timeout"].schema["default"] == poll.TIMEOUT_SECONDS


# -- what is really said, against the schemas ---------------------------------------------------------------------


def closed(node: Any) -> Any:
    """The same schemas, in which no key may be that is not named: readers must allow more, we must not send more."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    shut = {key: closed(value) for key, value in node.items()}
    if shut.get("type") == "object" and isinstance(shut.get("properties"), dict):
        shut["additionalProperties"] = False
    return shut


class Held:
    """One document's schemas, to hold values against."""

    def __init__(self, components: Json, *, strict: bool) -> None:
        components = copy.deepcopy(components)
        components["schemas"] = closed(components["schemas"]) if strict else components["schemas"]
        self._components = components

    def faults(self, name: str, value: Any) -> list[str]:
        """What is wrong with a value that should be what a schema says."""
        whole = {"components": self._components, "$ref": f"#/components/schemas/{name}"}
        found = Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(value)
        return [f"{name} at {error.json_path}: {error.message[:300]}" for error in found]

    def message_faults(self, message: Json) -> list[str]:
        """The same for one message of the server."""
        known = message["type"] in events.SERVER_TYPES
        return self.faults(schemas.message(message["type"]) if known else schemas.CUSTOM, message)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """Every message that any WebSocket client of the test is sent."""
    seen: list[Json] = []
    plain = ClientConnection.recv

    async def recv(self: ClientConnection) -> Any:
        text = await plain(self)
        seen.append(json.loads(text))
        return text

    monkeypatch.setattr(ClientConnection, "recv", recv)
    return seen


class Http:
    """An HTTP client that keeps what it was answered: operation, status, media type and body."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.answers: list[tuple[str, str, int, str, bytes]] = []
        self._session = session

    async def ask(
        self, method: str, path: str, user: str | None = "ana", *, roles: tuple[str, ...] = (), **more: Any
    ) -> tuple[int, Any]:
        """The status, and the body, parsed where it is JSON."""
        headers = more.pop("headers", {})
        if user is not None:
            headers["Authorization"] = f"Bearer {self.server.token(user, roles=roles)}"
        async with self._session.request(method, self.server.http + path, headers=headers, **more) as response:
            body = b"" if response.content_type == "text/event-stream" else await response.read()
            self.answers.append((method, path, response.status, response.headers.get("Content-Type", ""), body))
            return response.status, json.loads(body) if response.content_type == "application/json" else body

    async def stream(self, path: str, until: str) -> list[Json]:
        """The messages of an event stream, up to one of this type."""
        headers = {"Authorization": f"Bearer {self.server.token()}"}
        async with self._session.get(self.server.http + path, headers=headers) as response:
            self.answers.append(("get", path, response.status, response.headers["Content-Type"], b""))
            seen = []
            async for line in response.content:
                if line.startswith(b"data: "):
                    message = json.loads(line[6:])
                    seen.append(message)
                    if message["type"] == until:
                        return seen
        raise AssertionError(f"the stream ended: {seen}")


async def converse(server: Server) -> None:
    """A conversation in which everything is said at least once."""
    async with server.connect() as ana:
        for type_, sample in CLIENT.items():
            message = json.loads(sample)
            await ana.ws.send(json.dumps({**message, "correlation_id": type_}))
        await ana.until("subscribed")
        # The document's `subscribe` named investigations that do not exist; from here all is followed again.
        assert (await ana.ask("subscribe"))["type"] == "subscribed"
        started = await ana.ask("start_investigation", {"query": "Merenda escolar 2024"})
        id_ = started["data"]["investigation_id"]
        await ana.until("investigation_update", investigation_id=id_, status="completed")
        await ana.until("metrics_update")
        await ana.send(
            "agent_chat", {"agent": "zumbi", "message": "E os riscos?", "context": {"investigation_id": id_}}
        )
        await ana.until("agent_chat")
        pong = await ana.ask("ping")
        await ana.send("ack", {"id": pong["id"]})
        await ana.ask("subscribe", {"events": ["nonsense!", "pong"]})
        await ana.ask("subscribe", {"events": ["agent_analysis"], "after": started["id"]})
        await ana.ask("subscribe", {"after": "0-0"})
        await ana.ask("subscribe_investigation", {"investigation_id": id_})
        await ana.ask("unsubscribe_investigation", {"investigation_id": id_})
        await ana.ask("unsubscribe", {"events": ["agent_analysis"]})
        await ana.ask("authenticate", {"token": server.token()})
        other = await ana.ask("start_investigation", {"query": "Obras", "filters": {"min_value": 1}})
        await ana.ask("cancel_investigation", {"investigation_id": other["data"]["investigation_id"]})
        for wrong in ("{", '{"type": "nonsense", "data": {}}', '{"type": "cancel_investigation", "data": {}}'):
            await ana.ws.send(wrong)
            await ana.until("error")
        await ana.ask("authenticate", {"token": "x"})
        await ana.ask("agent_chat", {"agent": "nobody", "message": "?"})
    async with server.connect(session_id=ana.welcome["data"]["session_id"], last_event_id="0-0") as resumed:
        assert not resumed.welcome["data"]["recovered"]
        await resumed.recv_now()
    async with server.connect(last_event_id=started["id"]) as behind:
        await behind.recv_now()
    async with server.connect(f"/ws/investigations/{id_}") as bound:
        await bound.recv_now()
    async with server.connect("/ws/chat", agent="nobody") as chat:
        await chat.until("error")
    async with server.connect(connection_type="notifications", events="notification,pong") as few:
        await few.ask("subscribe", {"events": ["agent_analysis"]})


def ours(owner: str = "ana", type_: str = "investigation_update", **data: Any) -> Json:
    return {"to": {"investigation_id": "inv_ours", "owner": owner}, "type": type_, "data": data}


async def publish_all(http: Http) -> None:
    """One event of every type that may be published."""
    stages = dict.fromkeys(events.STAGE_WEIGHTS, 50)
    finding = {"pattern": "p", "confidence": 1, "evidence_count": 0}
    everything = [
        ours(status="processing", progress=10),
        ours(type_="progress_update", overall_progress=50, stages=stages),
        ours(type_="agent_analysis", agent="a", analysis_type="t", findings=[finding], status="completed"),
        ours(type_="contract_signed", value=1),
        {"to": {"everyone": True}, "type": "notification", "data": {"level": "info", "title": "t", "message": "m"}},
    ]
    assert (await http.ask("post", "/api/v1/events", "backend", roles=("service",), json=everything))[0] == 202


async def test_every_message_is_what_its_schema_says_and_every_schema_is_of_a_message(
    serve: Serve, heard: list[Json]
) -> None:
    server = await serve(metrics={"interval_seconds": 0.05}, limits={"messages_per_minute": 1000})
    held = Held((await document(server, "asyncapi"))["components"], strict=True)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        http = Http(server, session)
        await converse(server)
        listener = await stack.enter_async_context(server.connect())
        await publish_all(http)
        await listener.until("notification")
        heard += await http.stream(f"/api/v1/events?last_event_id={listener.welcome['id']}", until="notification")
        _, page = await http.ask("get", f"/api/v1/events/poll?after={listener.welcome['id']}")
        heard += page["events"]
        for type_ in ("ping", "agent_chat", "nonsense"):
            command = {"type": type_, "data": {"agent": "anita", "message": "Olá"}}
            _, answer = await http.ask("post", "/api/v1/messages", json=command)
            heard += answer["replies"]
        await drain(server.gateway, 1.0)
        await listener.until("going_away")
    faults = [(message["type"], fault) for message in heard for fault in held.message_faults(message)]
    assert faults == []
    assert {message["type"] for message in heard} == {*events.SERVER_TYPES, "contract_signed"}


async def test_every_answer_over_http_is_what_the_document_says(serve: Serve) -> None:
    server = await serve(server={"mode": "development"}, auth={"allowed_origins": ["https://app.example"]})
    spec = await document(server, "openapi")
    held = Held(spec["components"], strict=False)
    async with aiohttp.ClientSession() as session:
        http = Http(server, session)
        for path in (one.path for one in SERVED if one.tag == "pages"):
            await http.ask("get", path)
        await http.ask("get", "/metrics", None, headers={"X-Forwarded-For": "203.0.113.9"})
        for path in ("/asyncapi.json", "/openapi.json", "/docs/docs.js", "/docs/docs.css", "/docs/docs.svg"):
            assert (await http.ask("get", path, headers={"If-None-Match": "*"}))[0] == 304
        for prefix in ("", "/api/v1"):
            for path in ("/ws", "/ws/investigations/inv", "/ws/chat"):
                assert (await http.ask("get", prefix + path))[0] == 426
                async with session.ws_connect(f"{server.http}{prefix}{path}") as ws:
                    http.answers.append(("get", prefix + path, ws._response.status, "", b""))
        await http.stream("/api/v1/events", until="connection_established")
        _, page = await http.ask("get", "/api/v1/events/poll")
        await publish_all(http)
        await read_all(server, http)
        for fault, status in (("delay:1ms", 200), ("nonsense", 422)):
            injection = {"fault": fault, "user_id": "ana"}
            assert (await http.ask("post", "/api/v1/faults", json=injection))[0] == status
        await http.ask("get", f"/api/v1/events/poll?after={page['cursor']}&timeout=0")
        await http.ask("get", "/api/v1/events/poll?timeout=99")
        assert (await http.ask("get", "/api/v1/events/poll", headers={"Origin": "https://foe.example"}))[0] == 403
        for body in (
            {"type": "start_investigation", "data": {"query": "Merenda"}},
            {"type": "agent_chat", "data": {"agent": "anita", "message": "Olá"}},
            {"type": "cancel_investigation", "data": {"investigation_id": "none"}},
            {"type": "subscribe", "data": {}},
            {"type": "authenticate", "data": {"token": "x"}},
            {"type": "authenticate", "data": {"token": server.token("bia")}},
            {"type": "agent_chat", "data": {"message": "x" * 70_000}},
        ):
            await http.ask("post", "/api/v1/messages", json=body)
        await http.ask("post", "/api/v1/messages?session_id=none", json={"type": "ping"})
        service = {"user": "backend", "roles": ("service",)}
        await http.ask("post", "/api/v1/events", json=ours(status="processing", progress=50))
        for event in (
            ours(status="processing", progress=1),
            ours("bia", status="processing", progress=60),
            ours(status="late"),
            [ours(type_="custom")] * (schemas.EVENTS_PER_REQUEST + 1),
            [ours(type_="custom")] * schemas.EVENTS_PER_REQUEST,
        ):
            await http.ask("post", "/api/v1/events", **service, json=event)
        for size in (REQUEST_BYTES + 1, REQUEST_BYTES + 2):
            for path in ("/api/v1/events", "/api/v1/messages"):
                assert (await http.ask("post", path, **service, data=io.BytesIO(b"x" * size)))[0] == 413
        for method, path in (("get", "/api/v1/events"), ("get", "/api/v1/events/poll"), ("post", "/api/v1/messages"),
                             ("post", "/api/v1/events")):  # fmt: skip
            assert (await http.ask(method, path, None))[0] == 401
            bad = {"Authorization": f"Bearer {path}{method}"}
            statuses = [(await http.ask(method, path, None, headers=dict(bad)))[0] for _ in range(63)]
            assert statuses[-1] == 429
        server.gateway.draining = True
        await http.ask("get", "/readyz")
        await http.ask("get", "/api/v1/events/poll")
        assert (await http.ask("post", "/api/v1/events", **service, json=ours(type_="custom")))[0] == 503
        await http.ask("post", "/api/v1/messages", json={"type": "start_investigation", "data": {"query": "Obras"}})
    faults = [fault for answer in http.answers for fault in answer_faults(spec, held, answer)]
    assert faults == []
    told = {(method, template(spec, path)) for method, path, status, *_ in http.answers if status < 400}
    assert told == {(method, path) for path, methods in spec["paths"].items() for method in methods}


async def read_all(server: Server, http: Http) -> None:
    """Everything of the read side, by whom it is for, and refused."""
    event = {"to": {"user_id": "ana"}, "type": "custom", "data": {}, "receipt": True}
    async with server.connect() as ana:
        _, published = await http.ask("post", "/api/v1/events", "backend", roles=("service",), json=event)
        receipt = f"/api/v1/receipts/{published['ids'][0]}"
        await ana.until("custom")
        pong = await ana.ask("ping")
        await ana.send("ack", {"id": pong["id"]})
        await ana.recv_now()
        for path in (
            "/api/v1/investigations", "/api/v1/investigations?limit=1", "/api/v1/investigations?status=late",
            "/api/v1/investigations/inv_ours", "/api/v1/investigations/none", "/api/v1/topics/everyone/history?limit=2",
            "/api/v1/topics/investigation:inv_ours/history", "/api/v1/topics/none/history", "/api/v1/connections",
            "/api/v1/connections?limit=0", "/api/v1/presence/everyone", "/api/v1/presence/none", receipt,
            "/api/v1/receipts/none",
        ):  # fmt: skip
            for roles in ((), ("admin",)):
                await http.ask("get", path, roles=roles)
            assert (await http.ask("get", path, None))[0] == 401
        disconnect = "/api/v1/users/ana/disconnect"
        for body in ({"reason": "x" * 101}, {"reason": "done"}):
            for roles in ((), ("admin",)):
                await http.ask("post", disconnect, roles=roles, json=body)
        await ana.closed()


def template(spec: Json, path: str) -> str:
    """The path of the document that a URL's path is."""
    path = path.partition("?")[0]
    patterns = {re.sub(r"\\{[a-z]+\\}", "[^/]+", re.escape(one)): one for one in spec["paths"]}
    found = path if path in spec["paths"] else next(one for key, one in patterns.items() if re.fullmatch(key, path))
    return found


def answer_faults(spec: Json, held: Held, answer: tuple[str, str, int, str, bytes]) -> Iterator[str]:
    """Where an answer is not what the document says of its operation and status."""
    method, path, status, media, body = answer
    at = f"{method} {path} {status}"
    told = spec["paths"][template(spec, path)][method]["responses"].get(str(status))
    if told is None:
        yield f"{at}: the status is not in the document"
        return
    content = told.get("content", {})
    kind = media.partition(";")[0]
    if content and kind not in content:
        yield f"{at}: {kind} is not in the document"
    elif body and not content:
        yield f"{at}: a body that is not in the document"
    elif kind == "application/json" and "$ref" in content[kind]["schema"]:
        for fault in held.faults(content[kind]["schema"]["$ref"].split("/")[-1], json.loads(body)):
            yield f"{at}: {fault}"


async def test_what_is_wrong_with_traffic_is_found(serve: Serve) -> None:
    """The nets of the two tests above hold: a key more, a key less, a wrong kind, an unknown status."""
    server = await serve()
    strict = Held((await document(server, "asyncapi"))["components"], strict=True)
    async with server.connect() as ana:
        welcome, pong = ana.welcome, await ana.ask("ping")
    assert strict.message_faults(welcome) == strict.message_faults(pong) == []
    data = welcome["data"]
    for wrong in (
        {**data, "surprise": 1},
        {**data, "replayed": "0"},
        {**data, "server_time": "yesterday"},
        {key: value for key, value in data.items() if key != "session_id"},
    ):
        assert strict.message_faults({**welcome, "data": wrong})
    assert strict.message_faults({key: value for key, value in pong.items() if key != "id"})
    spec = await document(server, "openapi")
    held = Held(spec["components"], strict=False)
    good = ("get", "/healthz", 200, "application/json", b'{"status":"ok"}')
    assert list(answer_faults(spec, held, good)) == []
    for wrong in (
        (*good[:2], 418, *good[3:]),
        (*good[:3], "text/html", b"ok"),
        (*good[:4], b'{"state":"ok"}'),
    ):
        assert len(list(answer_faults(spec, held, wrong))) == 1


# -- how the documents are served ---------------------------------------------------------------------------------


async def test_the_asyncapi_document_names_the_server_that_was_asked(serve: Serve) -> None:
    server = await serve()
    url = f"{server.http}/asyncapi.json"
    async with aiohttp.ClientSession() as http:
        for headers, host, protocol in (
            ({}, f"127.0.0.1:{server.port}", "ws"),
            ({"Host": "rt.cidadao.example", "X-Forwarded-Proto": "https"}, "rt.cidadao.example", "wss"),
            ({"Host": "[::1]:9"}, "[::1]:9", "ws"),
            ({"Host": '"><script>'}, "localhost", "ws"),
        ):
            async with http.get(url, headers=headers) as response:
                root = (await response.json())["servers"]["root"]
            assert (root["host"], root["protocol"]) == (host, protocol)


async def test_a_document_that_a_client_has_is_not_sent_again(serve: Serve) -> None:
    server = await serve()
    async with aiohttp.ClientSession() as http:
        for path in ("/asyncapi.json", "/openapi.json", "/docs/docs.js"):
            async with http.get(server.http + path) as first:
                etag = first.headers["ETag"]
                assert await first.read()
            for known, status in ((etag, 304), (f'"x", {etag}', 304), ('"x"', 200)):
                async with http.get(server.http + path, headers={"If-None-Match": known}) as again:
                    assert (again.status, again.headers["ETag"]) == (status, etag)


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [
        ("", None, "pt-BR"),
        ("", "en-US,en;q=0.9", "en"),
        ("", "en;q=0.4, pt-PT;q=0.8", "pt-BR"),
        ("", "de, en;q=0.5", "en"),
        ("", "en;q=0", "pt-BR"),
        ("", "de", "pt-BR"),
        ("?lang=en", "pt-BR", "en"),
        ("?lang=pt-BR", "en", "pt-BR"),
        ('?lang="><script>', "en", "pt-BR"),
    ],
)
async def test_the_page_speaks_the_language_asked_for(
    serve: Serve, query: str, accepted: str | None, language: str
) -> None:
    server = await serve()
    headers = {"Accept-Language": accepted} if accepted else {}
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.http}/docs{query}", headers=headers) as response:
            assert response.status == 200
            assert f'<html lang="{language}">' in await response.text()
            assert response.headers["Content-Language"] == language
            assert "Accept-Language" in response.headers["Vary"]
            assert response.headers["Content-Security-Policy"] == pages.SECURITY_HEADERS["Content-Security-Policy"]
