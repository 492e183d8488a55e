"""A drain as many see it, and the process around it; its plain course is in test_leaving."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from conftest import SECRET, Client, Server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cidadao_rt.memory.log import Draft
from cidadao_rt.motion.drain import drain
from cidadao_rt.words import events, topics
from cidadao_rt.words.tokens import mint

Serve = Callable[..., Awaitable[Server]]


async def test_everyone_is_told_a_time_of_their_own_and_nothing_after_it(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.001}, limits={"connections_per_user": 60})
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect(user=f"user {n % 10}")) for n in range(50)]
        for client in clients[:10]:
            await client.ask("start_investigation", {"query": "q"})
        await asyncio.gather(drain(server.gateway, 3.0), *[settle(client, n) for n, client in enumerate(clients)])
        waits = [client.welcome["waits"] for client in clients]
        assert len(set(waits)) == len(waits)
        assert all(0 < wait < 60_000 for wait in waits)
        assert server.gateway.investigations.running == 0
        assert len(server.gateway.hub) == 0


async def settle(client: Client, n: int) -> None:
    """Read one client's conversation to its end: its investigation has failed before it is told to go."""
    seen = await client.collect("going_away")
    ended = [m for m in seen if m["type"] == "investigation_update" and m["data"]["status"] == "failed"]
    assert len(ended) == 1, f"client {n}"
    assert "id" in ended[0]
    going = seen[-1]
    assert ("id" in going, set(going["data"])) == (False, {"reason", "retry_after_ms"})
    client.welcome["waits"] = going["data"]["retry_after_ms"]
    # Its goodbye is the very next thing.
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert await client.closed() == (1001, "Server going away")


async def test_a_drain_of_nobody_ends_at_once(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(5):
        await drain(server.gateway, 3600.0)
        async with aiohttp.ClientSession() as http, http.get(f"{server.http}/readyz") as response:
            assert (response.status, (await response.json())["reasons"]) == (503, ["draining"])


async def test_a_client_that_reads_nothing_holds_up_no_drain(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as stuck, server.connect(user="bia") as other:
        connection = server.gateway.hub.of_session(stuck.welcome["data"]["session_id"])
        assert connection is not None
        stuck.ws.transport.pause_reading()
        while not connection.paused:
            draft = Draft(topics.user("ana"), "ana", events.NOTIFICATION, {"pad": "x" * 60_000})
            await server.gateway.broker.publish(draft)
            await asyncio.sleep(0)
        _, seen = await asyncio.gather(drain(server.gateway, 2.0), other.until("going_away"))
        assert seen["data"]["reason"] == "restart"
        assert (await other.closed())[0] == 1001
        stuck.cut()


async def test_whoever_comes_during_a_drain_is_told_to_come_again(serve: Serve) -> None:
    """Also one who would take over, and whose older connection is not harmed by the attempt; a bad token is bad."""
    server = await serve(agents={"speed": 1.0})
    async with asyncio.timeout(20), server.connect() as client:
        await client.send("agent_chat", {"agent": "anita", "message": "oi"}, correlation_id="chat")
        await client.until("typing")
        draining = asyncio.ensure_future(drain(server.gateway, 40.0))
        await server.settled(lambda: server.gateway.draining)
        session = client.welcome["data"]["session_id"]
        for path, query in (("/ws", {}), ("/ws/chat", {}), ("/api/v1/ws", {"session_id": session})):
            async with server.raw(path, **query) as late:
                refused = await late.recv()
                assert (refused["type"], refused["data"]["code"]) == ("error", "OVERLOADED")
                assert (await late.closed())[0] == 1013
        async with server.raw(token="bad") as bad:
            assert await bad.closed() == (1008, "Invalid token")
        assert (await client.until("agent_chat"))["correlation_id"] == "chat"
        await client.until("going_away")
        assert (await client.closed())[0] == 1001
        await draining


# -- the process ----------------------------------------------------------------------------------------------------


class Process:
    """`python -m cidadao_rt serve` on a port of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    def url(self, sub: str = "ana") -> str:
        token = mint(SECRET, sub=sub, issued_at=time.time(), ttl=600)
        return f"ws://127.0.0.1:{self.port}/ws?token={token}"


@contextlib.asynccontextmanager
async def running(directory: Path, *settings: str) -> AsyncIterator[Process]:
    options = [option for setting in settings for option in ("--set", setting)]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cidadao_rt", "serve", "--port", "0", *options),
        env={**kept, "JWT_SECRET_KEY": SECRET, "LOG_FORMAT": "json"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=directory,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while not (line := (await process.stdout.readline()).decode()).startswith("WebSocket"):
                assert line, "it ended before it was ready"
        yield Process(process, int(line.split(":")[-1].split("/")[0]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_url_it_prints_is_where_it_listens(tmp_path: Path) -> None:
    async with asyncio.timeout(30), running(tmp_path) as gateway, connect(gateway.url()) as ws:
        assert json.loads(await ws.recv())["type"] == "connection_established"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_politely_and_in_time(tmp_path: Path, number: signal.Signals) -> None:
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(running(tmp_path, "server.drain_seconds=5", "agents.speed=0.01"))
        clients = [Client(await stack.enter_async_context(connect(gateway.url(f"u{n}")))) for n in range(20)]
        for client in clients:
            await client.until("connection_established")
        await clients[0].ask("start_investigation", {"query": "q"})
        began = time.monotonic()
        gateway.process.send_signal(number)
        await clients[0].until("investigation_update", status="failed")
        waits = {(await client.until("going_away"))["data"]["retry_after_ms"] for client in clients}
        assert len(waits) == 20
        assert {await client.closed() for client in clients} == {(1001, "Server going away")}
        assert gateway.process.stderr is not None
        err = (await gateway.process.stderr.read()).decode()
        assert await gateway.process.wait() == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in err
        records = [json.loads(line) for line in err.splitlines()]
        assert not [record for record in records if record["level"] not in ("info", "debug")]
        assert SECRET not in err
        assert "eyJ" not in err


async def test_a_second_signal_ends_it_at_once_though_clients_are_stuck(tmp_path: Path) -> None:
    async with asyncio.timeout(30), running(tmp_path, "server.drain_seconds=3600") as gateway:
        async with connect(gateway.url()) as ws:
            await ws.recv()
            # It will neither read the goodbye nor answer it.
            ws.transport.pause_reading()
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.stderr is not None
            while json.loads(await gateway.process.stderr.readline())["event"] != "draining":
                pass
            assert gateway.process.returncode is None
            began = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            assert await gateway.process.wait() == 128 + signal.SIGTERM
            assert time.monotonic() - began < 1
            ws.transport.abort()
