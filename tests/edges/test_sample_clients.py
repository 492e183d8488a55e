"""The API document's own clients, run against a real server.

Both are verbatim in `sample_client.ts` and `sample_client.py`. The JavaScript one runs as it is. The Python one needs
`websockets` < 14 and stops at faults of its own; each is made good from outside, by a name that says which.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import sample_client
import websockets
from conftest import Server
from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

Serve = Callable[..., Awaitable[Server]]

ESBUILD = "esbuild@0.25.12"
DOCUMENT_URL = "wss://api.cidadao.ai"

# -- JavaScript/TypeScript ----------------------------------------------------------------------------------------

DRIVER = """
// A thousand times faster, so that the heartbeat of 30 seconds beats within the test.
const slowly = globalThis.setInterval;
globalThis.setInterval = ((beat: () => void, ms: number) => slowly(beat, ms / 1000)) as any;
const report = (line: object) => process.stdout.write(JSON.stringify(line) + '\\n');

const ws: any = new CidadaoWebSocket(process.env.TOKEN!);
ws.connect('investigation');
const awaited = new Set(['completed', 'pong']);
const seen = (what: string) => {
  if (awaited.delete(what) && awaited.size === 0) {
    ws.ws.close(1000);
  }
};
ws.onInvestigationUpdate = (data: any) => {
  report({ update: data });
  seen(data.status);
};
ws.ws.addEventListener('message', (event: any) => seen(JSON.parse(event.data).type));
ws.onAgentAnalysis = (data: any) => report({ analysis: data });
ws.onError = (data: any) => report({ error: data });
// The document's example sends at once, before the connection is open, and the sample drops what is sent so early.
ws.ws.addEventListener('open', () => {
  ws.send('cancel_investigation', {});
  ws.send('start_investigation', {
    query: 'Contratos suspeitos 2024'
  });
});
// Before the sample comes back by itself after a second.
ws.ws.addEventListener('close', (event: any) => {
  report({ closed: [event.code, event.reason] });
  process.exit(0);
});
"""


def unavailable(reason: str) -> NoReturn:
    """Skip, but never in silence where all of this has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def esbuild(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that strips the types: esbuild, installed by npm for this run."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        unavailable("node and npm are needed to run the document's JavaScript client")
    probe = [node, "--experimental-websocket", "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if subprocess.run(probe, capture_output=True, timeout=20, check=False).returncode:
        unavailable("Node 20.10 or later is needed for its WebSocket")
    folder = tmp_path_factory.mktemp("esbuild")
    install = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-save", "--fetch-retries=0", ESBUILD]
    try:
        subprocess.run(install, capture_output=True, timeout=40, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        unavailable(f"npm could not install {ESBUILD}: {type(error).__name__}")
    return [node, str(folder / "node_modules/esbuild/bin/esbuild"), "--loader=ts"]


async def run(*command: str, stdin: str = "", **environment: str) -> str:
    """The standard output of a command, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def run_sample(esbuild: list[str], tmp_path: Path, server: Server, token: str) -> list[dict[str, Any]]:
    """What the driver reports of the document's client, in order."""
    sample = Path(__file__).with_name("sample_client.ts").read_text(encoding="utf-8")
    assert sample.count(DOCUMENT_URL) == 1
    source = sample.replace(DOCUMENT_URL, server.http.replace("http://", "ws://")) + DRIVER
    script = tmp_path / "sample_client.mjs"
    script.write_text(await run(*esbuild, stdin=source), encoding="utf-8")
    out = await run(esbuild[0], "--experimental-websocket", str(script), TOKEN=token)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")] + [{"log": out}]


async def test_javascript_client_follows_an_investigation_to_its_end(
    esbuild: list[str], tmp_path: Path, serve: Serve
) -> None:
    server = await serve()
    *reports, last = await run_sample(esbuild, tmp_path, server, server.token())
    assert [line["error"]["message"] for line in reports if "error" in line] == [
        "Missing required field: investigation_id"
    ]
    updates = [line["update"] for line in reports if "update" in line]
    assert (updates[0]["status"], updates[0]["query"]) == ("started", "Contratos suspeitos 2024")
    assert (updates[-1]["status"], updates[-1]["progress"]) == ("completed", 100)
    assert {data["status"] for data in updates[1:-1]} == {"processing"}
    assert len({data["investigation_id"] for data in updates}) == 1
    assert {line["analysis"]["agent"] for line in reports if "analysis" in line} == {"zumbi", "anita", "tiradentes"}
    assert reports[-1] == {"closed": [1000, ""]}
    # What the sample has no handler for it names, and goes on: the answer to its heartbeat is among that.
    assert "WebSocket connected\n" in last["log"]
    assert "Unknown message type: pong\n" in last["log"]


@pytest.mark.parametrize(
    ("ttl", "reason"), [(None, "Authentication required"), (-60, "Token expired")], ids=["no token", "expired"]
)
async def test_javascript_client_is_told_why_its_token_is_refused(
    esbuild: list[str], tmp_path: Path, serve: Serve, ttl: float | None, reason: str
) -> None:
    server = await serve()
    reports = await run_sample(esbuild, tmp_path, server, "" if ttl is None else server.token(ttl=ttl))
    assert reports[:-1] == [{"closed": [1008, reason]}]


# -- Python -------------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class LikeWebsockets13(ClientConnection):
    """A connection with the one thing that the sample uses and `websockets` 14 took away."""

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self.state is State.CLOSED


class Inbox:
    """Handlers that can be awaited, as the sample awaits them (the lambdas of its example cannot)."""

    def __init__(self, client: sample_client.CidadaoWebSocketClient, *types: str) -> None:
        self._queues: dict[str, asyncio.Queue[dict[str, Any]]] = {type_: asyncio.Queue() for type_ in types}
        for type_, queue in self._queues.items():
            client.on(type_, queue.put)

    async def get(self, type_: str, **data: Any) -> dict[str, Any]:
        """The next data of this type that has these values."""
        while True:
            received = await self._queues[type_].get()
            if all(received.get(key) == value for key, value in data.items()):
                return received


@pytest.fixture
def python_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample's surroundings as it expects them, and its heartbeat a thousand times faster."""
    monkeypatch.setattr(websockets, "connect", partial(connect, create_connection=LikeWebsockets13))

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 1000)

    monkeypatch.setattr(sample_client, "asyncio", SimpleNamespace(gather=asyncio.gather, sleep=sleep))


def base_url(server: Server) -> str:
    """What the sample takes as its `base_url`."""
    return server.http.replace("http://", "ws://")


@contextlib.asynccontextmanager
async def connected(client: sample_client.CidadaoWebSocketClient, type_: str) -> AsyncIterator[None]:
    """`connect` of the sample returns only at the end: it runs beside the test."""
    connecting = asyncio.create_task(client.connect(type_))
    try:
        yield
    finally:
        connecting.cancel()
        await asyncio.wait([connecting])
        await client.ws.close()


@pytest.mark.usefixtures("python_sample")
async def test_python_client_follows_an_investigation_to_its_end(serve: Serve) -> None:
    server = await serve()
    client = sample_client.CidadaoWebSocketClient(server.token(), base_url(server))
    inbox = Inbox(client, "connection_established", "investigation_update", "agent_analysis", "pong", "error")
    async with connected(client, "investigation"):
        welcome = await inbox.get("connection_established")
        assert welcome["connection_type"] == "investigation"
        await client.start_investigation(query="Contratos emergenciais 2024", filters={"min_value": 1000000})
        first = await inbox.get("investigation_update")
        assert (first["status"], first["progress"]) == ("started", 0)
        assert (first["query"], first["filters"]) == ("Contratos emergenciais 2024", {"min_value": 1000000})
        assert (await inbox.get("agent_analysis"))["investigation_id"] == first["investigation_id"]
        last = await inbox.get("investigation_update", status="completed")
        assert last["investigation_id"] == first["investigation_id"]
        # Its heartbeat is answered.
        assert await inbox.get("pong") == {}
        await client.send("cancel_investigation", {})
        assert (await inbox.get("error"))["details"] == {"field": "investigation_id", "required": True}


@pytest.mark.usefixtures("python_sample")
async def test_python_client_subscribes_to_an_investigation(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.001})
    client = sample_client.CidadaoWebSocketClient(server.token(), base_url(server))
    inbox = Inbox(client, "connection_established", "subscribed", "investigation_update")
    async with server.connect() as owner, connected(client, "notifications"):
        await inbox.get("connection_established")
        started = await owner.ask("start_investigation", {"query": "Contratos"})
        id_ = started["data"]["investigation_id"]
        await client.subscribe_to_investigation(id_)
        denied = [{"event": "investigation_update", "code": "FORBIDDEN"}]
        assert (await inbox.get("subscribed"))["denied"] == denied
    async with server.connect() as owner, connected(client, "general"):
        await inbox.get("connection_established")
        await client.subscribe_to_investigation(id_)
        answer = await inbox.get("subscribed")
        assert answer == {"events": ["investigation_update"], "investigation_ids": [id_], "denied": []}
        await owner.ask("cancel_investigation", {"investigation_id": id_})
        assert (await inbox.get("investigation_update", status="cancelled"))["investigation_id"] == id_


@pytest.mark.usefixtures("python_sample")
async def test_python_client_with_its_placeholder_token_is_told_why(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await serve()
    client = sample_client.CidadaoWebSocketClient("your_jwt_token", base_url(server))
    # What follows the report of the close is the sample's own fault: it has no `_reconnect`.
    with pytest.raises(AttributeError, match="_reconnect"):
        await client.connect("investigation")
    assert "received 1008 (policy violation) Invalid token" in capsys.readouterr().out


class Repaired(sample_client.CidadaoWebSocketClient):
    """The sample with its faults mended: a `connect` that returns, `_reconnect`, and handlers that may be plain."""

    connecting: asyncio.Task[None]
    connected: asyncio.Event
    completed: asyncio.Event

    async def connect(self, connection_type: str = "general") -> None:
        """Return once the server has greeted."""
        self.connected, self.completed = asyncio.Event(), asyncio.Event()
        self.connecting = asyncio.create_task(super().connect(connection_type))
        await self.connected.wait()

    async def _reconnect(self) -> None:
        raise AssertionError("the connection was lost")

    async def _handle_message(self, message: dict[str, Any]) -> None:
        for handler in filter(None, [self.handlers.get(message["type"])]):
            handler(message["data"])
        if message["type"] == "connection_established":
            self.connected.set()
        if message["data"].get("status") == "completed" and message["type"] == "investigation_update":
            self.completed.set()


@pytest.mark.usefixtures("python_sample")
async def test_python_example_works_once_the_client_is_repaired(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = await serve()
    clients: list[Repaired] = []

    def make(token: str) -> Repaired:
        assert token == "your_jwt_token"
        clients.append(Repaired(server.token(), base_url(server)))
        return clients[0]

    monkeypatch.setattr(sample_client, "CidadaoWebSocketClient", make)
    await sample_client.main()
    (client,) = clients
    completed = asyncio.create_task(client.completed.wait())
    await asyncio.wait([completed, client.connecting], return_when=asyncio.FIRST_COMPLETED)
    assert completed.done()
    client.connecting.cancel()
    await asyncio.wait([client.connecting])
    await client.ws.close()
    printed = capsys.readouterr().out
    assert printed.count("Analysis: {") == 3
    assert "'status': 'started'" in printed
    assert "'status': 'completed'" in printed
