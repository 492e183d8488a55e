"""A real gateway on a real loopback socket, and a client that we did not write (`websockets`)."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from aiohttp import web
from machine import need
from playwright.async_api import Browser, async_playwright
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cidadao_rt.app import GATEWAY, build
from cidadao_rt.motion.gateway import Gateway
from cidadao_rt.words.config import Config
from cidadao_rt.words.tokens import mint

SECRET = "a secret of the tests, long enough for HS256"


class Client:
    """A `websockets` connection with a few words for what the tests do all the time."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.welcome: dict[str, Any] = {}

    async def send(self, type_: str, data: Any = None, **envelope: Any) -> None:
        """Send one envelope."""
        await self.ws.send(json.dumps({"type": type_, "data": {} if data is None else data, **envelope}))

    async def recv(self) -> Any:
        """The next message, whatever it is."""
        message: dict[str, Any] = json.loads(await self.ws.recv())
        return message

    async def until(self, type_: str, **data: Any) -> dict[str, Any]:
        """The next message of this type whose data has these values; others are passed over."""
        while True:
            message = await self.recv()
            if message["type"] == type_ and all(message["data"].get(key) == value for key, value in data.items()):
                return message

    async def collect(self, type_: str, **data: Any) -> list[dict[str, Any]]:
        """All messages up to and with the next one of this type whose data has these values."""
        seen: list[dict[str, Any]] = []
        while True:
            message = await self.recv()
            seen.append(message)
            if message["type"] == type_ and all(message["data"].get(key) == value for key, value in data.items()):
                return seen

    async def ask(self, type_: str, data: Any = None) -> dict[str, Any]:
        """Send one command and return the first message that echoes its correlation id."""
        correlation_id = f"ask-{time.monotonic_ns()}"
        await self.send(type_, data, correlation_id=correlation_id)
        while True:
            message = await self.recv()
            if message.get("correlation_id") == correlation_id:
                return message

    async def recv_now(self) -> list[dict[str, Any]]:
        """All that has been sent up to now: what comes before the answer to a ping."""
        await self.send("ping", correlation_id="recv-now")
        seen = await self.collect("pong")
        return seen[:-1]

    async def closed(self) -> tuple[int, str]:
        """Read to the end; the close code and reason that the server sent (1006 and "" if it sent none)."""
        with contextlib.suppress(ConnectionClosed):
            async for _ in self.ws:
                pass
        received = self.ws.protocol.close_rcvd
        return (received.code, received.reason) if received else (1006, "")

    def cut(self) -> None:
        """Cut the TCP connection without a goodbye."""
        self.ws.transport.abort()


class Server:
    """A running gateway."""

    def __init__(self, gateway: Gateway, port: int, http_server: web.Server) -> None:
        self.gateway = gateway
        self.port = port
        self.http_server = http_server
        self.http = f"http://127.0.0.1:{port}"

    def token(self, sub: str = "ana", *, ttl: float = 600, **claims: Any) -> str:
        """A token of the configured secret."""
        return mint(SECRET, sub=sub, issued_at=time.time(), ttl=ttl, **claims)

    def url(self, path: str = "/ws", **query: Any) -> str:
        """A WebSocket URL; `token` is added unless the query has one."""
        query.setdefault("token", self.token())
        return f"ws://127.0.0.1:{self.port}{path}?{urlencode({k: v for k, v in query.items() if v is not None})}"

    @contextlib.asynccontextmanager
    async def connect(self, path: str = "/ws", *, user: str = "ana", **query: Any) -> AsyncIterator[Client]:
        """A connection whose welcome has been read."""
        query.setdefault("token", self.token(user))
        async with connect(self.url(path, **query), max_size=None, compression=None, ping_interval=None) as ws:
            client = Client(ws)
            client.welcome = await client.recv()
            assert client.welcome["type"] == "connection_established", client.welcome
            yield client

    @contextlib.asynccontextmanager
    async def raw(self, path: str = "/ws", **query: Any) -> AsyncIterator[Client]:
        """A connection as it is, nothing read yet."""
        async with connect(self.url(path, **query), max_size=None, compression=None, ping_interval=None) as ws:
            yield Client(ws)

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Wait until the server has noticed: a bounded number of loop turns, no fixed sleep."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)


def configure(**sections: dict[str, Any]) -> Config:
    """A configuration with the tests' secret, fast agents and quiet metrics unless told otherwise."""
    whole: dict[str, dict[str, Any]] = {
        "auth": {"jwt_secrets": [SECRET]},
        "agents": {"speed": 50.0},
        "metrics": {"interval_seconds": 3600.0},
    }
    for section, values in sections.items():
        whole[section] = {**whole.get(section, {}), **values}
    return msgspec.convert(whole, Config)


CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a window."""
    path = need("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Start gateways with `await serve(limits={...}, ...)`; they are stopped at the end of the test."""
    runners: list[web.AppRunner] = []

    async def start(**sections: dict[str, Any]) -> Server:
        app = build(configure(**sections))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        assert runner.server is not None
        return Server(app[GATEWAY], runner.addresses[0][1], runner.server)

    yield start
    for runner in runners:
        await runner.cleanup()
