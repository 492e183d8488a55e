"""A slow reader loses nothing in silence: what becomes of its session, its chats and its bytes (see also test_lag)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

from conftest import Client, Server
from websockets.asyncio.client import connect

from cidadao_rt.memory.log import Draft
from cidadao_rt.motion.connection import Connection
from cidadao_rt.words import topics
from cidadao_rt.words.encodings import WEBSOCKET

Serve = Callable[..., Awaitable[Server]]

HIGH_WATER = 65_536
"""asyncio's own mark for a transport's buffer."""


@contextlib.asynccontextmanager
async def narrow(server: Server, path: str = "/ws", user: str = "ana", **query: Any) -> AsyncIterator[Client]:
    """A connection whose client takes in little at a time."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        url = server.url(path, token=server.token(user), **query)
        async with connect(url, sock=sock, max_size=None, compression=None, ping_interval=None) as ws:
            client = Client(ws)
            client.welcome = await client.recv()
            try:
                yield client
            finally:
                # With its reading stopped it would wait in vain for the server's goodbye.
                client.cut()


def stop_reading(client: Client) -> None:
    client.ws.transport.pause_reading()


def read_again(client: Client) -> None:
    client.ws.transport.resume_reading()


def connection_of(server: Server, client: Client) -> Connection:
    found = server.gateway.hub.of_session(client.welcome["data"]["session_id"])
    assert found is not None
    return found


async def publish(server: Server, n: int, pad: int = 4000) -> None:
    data = {"n": n, "pad": "x" * pad}
    await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "numbered", data))
    await asyncio.sleep(0)


async def fill(server: Server, connection: Connection) -> int:
    """Publish until the connection's socket is full; returns how many events that took."""
    n = 0
    while not connection.paused and not connection.closing:
        await publish(server, n)
        n += 1
    return n


async def numbered(client: Client, count: int) -> list[int]:
    return [(await client.until("numbered"))["data"]["n"] for _ in range(count)]


async def test_many_slow_readers_cost_their_sockets_and_nothing_more(serve: Serve) -> None:
    server = await serve(limits={"connections_per_user": 20}, buffer={"bytes_per_topic": 1 << 26})
    rng = Random(5)
    async with asyncio.timeout(40), server.connect() as fast, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(narrow(server)) for _ in range(8)]
        connections = [connection_of(server, client) for client in slow]
        for client in slow:
            stop_reading(client)
        total = 0
        while total < 2500 or not all(connection.paused for connection in connections):
            await publish(server, total)
            total += 1
            assert (await numbered(fast, 1)) == [total - 1]
            for connection in connections:
                assert connection.outlet.buffered() <= HIGH_WATER + WEBSOCKET.page_bytes
        # What each holds beside its buffer is a position.
        assert not any(connection.groups or connection.answers for connection in connections)

        async def catch_up(client: Client) -> list[int]:
            read_again(client)
            found: list[int] = []
            while len(found) < total:
                found += await numbered(client, min(rng.randint(1, 200), total - len(found)))
                await asyncio.sleep(0)
            return found

        for found in await asyncio.gather(*[catch_up(client) for client in slow]):
            assert found == list(range(total))
        await server.settled(lambda: all(connection.live for connection in connections))


async def test_one_that_was_closed_for_reading_nothing_resumes_where_it_was(serve: Serve) -> None:
    server = await serve(server={"slow_reader_seconds": 0.5})
    async with asyncio.timeout(20):
        async with narrow(server) as client:
            connection = connection_of(server, client)
            await publish(server, -1)
            last = await client.until("numbered")
            stop_reading(client)
            total = await fill(server, connection)
            await server.settled(lambda: connection.closing)
            assert server.gateway.hub.of_user("ana") == 0
        query = {"session_id": client.welcome["data"]["session_id"], "last_event_id": last["id"]}
        async with server.connect(**query) as again:
            data = again.welcome["data"]
            assert (data["resumed"], data["recovered"], data["replayed"]) == (True, True, total)
            assert await numbered(again, total) == list(range(total))


async def test_it_is_told_1013_where_it_begins_to_read_again(serve: Serve) -> None:
    server = await serve(server={"slow_reader_seconds": 0.5})
    async with asyncio.timeout(20), narrow(server) as client:
        connection = connection_of(server, client)
        stop_reading(client)
        await fill(server, connection)
        await server.settled(lambda: connection.closing)
        read_again(client)
        code, reason = await client.closed()
        assert (code, reason.split(":")[0]) == (1013, "Too slow")


async def test_one_that_reads_a_little_now_and_then_stays(serve: Serve) -> None:
    buffer = {"bytes_per_topic": 1 << 28, "total_bytes": 1 << 28, "events_per_topic": 100_000}
    server = await serve(server={"slow_reader_seconds": 1.0}, buffer=buffer)
    async with asyncio.timeout(30), narrow(server) as client:
        connection = connection_of(server, client)
        stop_reading(client)
        await fill(server, connection)
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 2.2:
            # Progress is what the socket takes, so as much is read as makes it take something.
            before = connection.outlet.buffered(), connection.position
            read_again(client)
            while (connection.outlet.buffered(), connection.position) == before:
                await client.recv()
            stop_reading(client)
            await fill(server, connection)
            assert not connection.closing
            await asyncio.sleep(0.1)
        assert server.gateway.hub.of_user("ana") == 1


async def test_one_message_may_take_its_time_as_long_as_some_of_it_is_taken(serve: Serve) -> None:
    """The buffer stays full all the time, and shrinks: that is reading."""
    server = await serve(server={"slow_reader_seconds": 0.8}, buffer={"bytes_per_topic": 1 << 28})
    async with asyncio.timeout(30), narrow(server) as client:
        connection = connection_of(server, client)
        stop_reading(client)
        await publish(server, 0, pad=30 << 20)
        assert connection.paused
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 2.0:
            before = connection.outlet.buffered()
            read_again(client)
            await server.settled(lambda: connection.outlet.buffered() < before)  # noqa: B023
            stop_reading(client)
            assert connection.paused, "too little for this test"
            await asyncio.sleep(0.2)
        assert not connection.closing
        await server.settled(lambda: connection.closing)


async def test_a_stuck_connection_is_taken_over_at_once(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), narrow(server) as stuck:
        connection = connection_of(server, stuck)
        stop_reading(stuck)
        total = await fill(server, connection)
        async with server.connect(session_id=stuck.welcome["data"]["session_id"]) as newer:
            assert newer.welcome["id"] == stuck.welcome["id"]
            assert await numbered(newer, total) == list(range(total))
            assert server.gateway.hub.of_user("ana") == 1
            await publish(server, total)
            assert await numbered(newer, 1) == [total]


async def test_a_chat_s_pieces_are_skipped_and_its_answer_is_not(serve: Serve) -> None:
    server = await serve(agents={"speed": 1000.0})
    async with asyncio.timeout(20), narrow(server) as client:
        connection = connection_of(server, client)
        stop_reading(client)
        total = await fill(server, connection)
        await client.send("agent_chat", {"agent": "anita", "message": "Quais são os riscos?"}, correlation_id="asked")
        await client.send("ping", correlation_id="pinged")
        await server.settled(lambda: bool(connection.answers) and not len(server.gateway.chats))
        server.gateway.tell_metrics()
        read_again(client)
        seen = [await client.recv() for _ in range(total + 2)]
        kinds = {message["type"] for message in seen}
        assert kinds == {"numbered", "pong", "agent_chat"}
        assert [m["data"]["n"] for m in seen if m["type"] == "numbered"] == list(range(total))
        final = next(m for m in seen if m["type"] == "agent_chat")
        assert (final["correlation_id"], seen[-1]) == ("asked", final)
        # The pong stands for no more than what came before it.
        place = [m["type"] for m in seen].index("pong")
        before = [m["id"] for m in seen[:place]]
        assert before[-1] == seen[place]["id"]


async def test_a_subscribe_of_one_behind_is_answered_when_it_has_caught_up(serve: Serve) -> None:
    """What it was owed by what it followed before comes first, all of it."""
    server = await serve()
    async with asyncio.timeout(20), narrow(server) as client:
        connection = connection_of(server, client)
        stop_reading(client)
        total = await fill(server, connection)
        for n in range(total, total + 300):
            await publish(server, n)
        await client.send("subscribe", {"events": ["notification"]}, correlation_id="less")
        read_again(client)
        seen = await client.collect("subscribed")
        assert [m["data"]["n"] for m in seen[:-1]] == list(range(total + 300))
        await publish(server, -1)
        assert await client.recv_now() == []
