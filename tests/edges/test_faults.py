"""Faults on demand: what goes wrong is what was asked for, and a client that resumes loses nothing by it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from conftest import Client, Server
from websockets.exceptions import ConnectionClosed

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]
DEVELOPMENT = {"mode": "development"}


async def publish(server: Server, count: int, start: int = 0) -> None:
    for n in range(start, start + count):
        await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "numbered", {"n": n}))


async def inject(server: Server, body: Any, *, sub: str = "ana", roles: tuple[str, ...] = ()) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {server.token(sub, roles=roles)}"}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{server.http}/api/v1/faults", json=body, headers=headers) as response:
            return response.status, await response.json()


async def numbers(client: Client, count: int) -> list[int]:
    return [(await client.until("numbered"))["data"]["n"] for _ in range(count)]


async def survive(server: Server, fault: str, count: int) -> tuple[list[int], int]:
    """What a client sees that resumes and drops duplicates, and how often it had to connect."""
    seen: dict[str, int] = {}
    query: dict[str, Any] = {"fault": fault}
    attempts = 0
    while len(seen) < count:
        attempts += 1
        assert attempts < 200
        async with server.connect(**query) as client:
            query["session_id"] = client.welcome["data"]["session_id"]
            query.setdefault("last_event_id", client.welcome["id"])
            assert client.welcome["data"]["recovered"]
            if attempts == 1:
                await publish(server, count)
            try:
                while len(seen) < count:
                    message = await client.recv()
                    if message["type"] == "numbered":
                        seen.setdefault(message["id"], message["data"]["n"])
                    query["last_event_id"] = message.get("id", query["last_event_id"])
            except ConnectionClosed:
                pass
    return list(seen.values()), attempts


async def test_dropped_events_are_replayed_and_a_seed_repeats_it(serve: Serve) -> None:
    attempts = []
    for seed in (3, 3, 4):
        server = await serve(server=DEVELOPMENT)
        seen, count = await survive(server, f"drop:0.3,seed:{seed}", 40)
        assert seen == list(range(40))
        attempts.append(count)
    assert attempts[0] == attempts[1] > 3
    assert attempts[2] != attempts[0]


async def test_duplicates_are_duplicates(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect(fault="duplicate:0.5") as client:
        await publish(server, 50)
        seen = [message["data"]["n"] for message in await client.recv_now()]
    assert sorted(set(seen)) == list(range(50))
    assert seen == sorted(seen)
    assert 60 < len(seen) < 90


async def test_a_delay_holds_everything_back_in_order(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    began = time.monotonic()
    async with server.connect(fault="delay:100ms") as client, server.connect(user="bia") as other:
        assert time.monotonic() - began >= 0.1
        sent = time.monotonic()
        await publish(server, 3)
        await client.send("ping")
        assert await numbers(other, 3) == [0, 1, 2]
        assert await numbers(client, 3) == [0, 1, 2]
        assert time.monotonic() - sent >= 0.1
        assert (await client.recv())["type"] == "pong"


async def test_a_slow_client_falls_behind_and_catches_up(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect(fault="slow:500kb") as client:
        (connection,) = server.gateway.hub
        for n in range(40):
            await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "numbered", {"n": n, "pad": "x" * 10_000}))
            # A turn for each, so that they are written one by one.
            await asyncio.sleep(0)
        assert not connection.live
        assert connection.outlet.buffered() < 200_000
        assert await numbers(client, 40) == list(range(40))


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1013])
async def test_a_close_comes_when_asked_for_and_the_client_resumes(serve: Serve, code: int) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect(fault=f"close:{code}@50ms") as client:
        await publish(server, 1)
        assert (await client.closed())[0] == code
    await publish(server, 1, 1)
    query = {"session_id": client.welcome["data"]["session_id"], "last_event_id": client.welcome["id"]}
    async with server.connect(**query) as client:
        assert await numbers(client, 2) == [0, 1]


async def test_an_early_expiry_is_an_expiry_and_a_fresh_token_averts_it(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect(fault="expire@100ms") as client:
        assert (await client.until("error"))["data"]["code"] == "TOKEN_EXPIRED"
        assert await client.closed() == (1008, "Token expired")
    async with server.connect(fault="expire@300ms") as client:
        assert (await client.ask("authenticate", {"token": server.token()}))["type"] == "authenticated"
        (connection,) = server.gateway.hub
        assert connection.expires_at > asyncio.get_running_loop().time() + 60


async def test_limits_can_be_reached_at_once(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.raw(fault="limit:connections") as client:
        assert (await client.recv())["data"]["code"] == "CONNECTION_LIMIT"
        assert (await client.closed())[0] == 1013
    async with server.connect(fault="limit:messages") as client:
        refused = await client.ask("ping")
        assert refused["data"]["code"] == "RATE_LIMIT_EXCEEDED"
        assert 0 < refused["data"]["details"]["retry_after"] <= 60


async def test_what_is_no_fault_is_refused(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.raw(fault="explode") as client:
        message = await client.recv()
        assert (message["data"]["code"], message["data"]["details"]["field"]) == ("INVALID_REQUEST", "fault")
        assert (await client.closed())[0] == 1008


async def test_production_knows_no_faults(serve: Serve) -> None:
    server = await serve()
    async with server.raw(fault="delay:1s") as client:
        assert (await client.recv())["data"]["code"] == "FORBIDDEN"
        assert (await client.closed())[0] == 1008
    assert (await inject(server, {"fault": "", "everyone": True}, roles=("admin",)))[0] == 403
    assert (await listen(server, fault="delay:1s"))[-1]["data"]["code"] == "FORBIDDEN"
    async with aiohttp.ClientSession() as http:
        url = f"{server.http}/api/v1/events/poll"
        async with http.get(url, params={"token": server.token(), "fault": "drop:0.1"}) as response:
            assert response.status == 403


async def test_faults_are_injected_into_a_connection_under_way_and_end(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect() as client, server.connect(user="bia") as other:
        session = client.welcome["data"]["session_id"]
        assert await inject(server, {"fault": "duplicate:0.9,seed:1", "session_id": session}) == (
            200,
            {"connections": 1},
        )
        await publish(server, 20)
        assert len(await client.recv_now()) > 25
        assert len(await other.recv_now()) == 20
        assert await inject(server, {"fault": "delay:50ms", "user_id": "ana"}) == (200, {"connections": 1})
        await publish(server, 5)
        assert await inject(server, {"fault": "", "session_id": session}) == (200, {"connections": 1})
        await publish(server, 5, 5)
        assert await numbers(client, 10) == list(range(10))
        await inject(server, {"fault": "close:1006", "session_id": session})
        assert (await client.closed())[0] == 1006


async def test_the_end_of_a_delay_lets_go_of_what_it_held_back(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect() as client:
        await inject(server, {"fault": "delay:60m", "user_id": "ana"})
        await publish(server, 5)
        await inject(server, {"fault": "", "user_id": "ana"})
        await publish(server, 5, 5)
        assert await numbers(client, 10) == list(range(10))


async def test_what_was_still_to_come_ends_with_the_connection(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect(fault="close:1006@60m,limit:messages@60m") as client:
        (connection,) = server.gateway.hub
        timers = list(connection.timers)
        assert len(timers) == 2
        client.cut()
        await server.settled(lambda: not len(server.gateway.hub))
        assert all(timer.cancelled() for timer in timers)


async def test_a_poll_that_is_over_takes_its_faults_with_it(serve: Serve) -> None:
    """The next request of the same socket is not cut, nor is the user's limit used up by then."""
    server = await serve(server=DEVELOPMENT)
    after = server.gateway.log.cursor(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for query in ("fault=close:1006@300ms,limit:messages@300ms", f"after={after}&timeout=0.6"):
        path = f"/api/v1/events/poll?token={server.token()}&{query}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()
    async with server.connect() as client:
        assert await client.recv_now() == []


async def test_all_connections_present_and_future(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect() as client:
        everyone = {"fault": "close:1013", "everyone": True}
        assert (await inject(server, everyone))[0] == 403
        assert await inject(server, everyone, roles=("admin",)) == (200, {"connections": 1})
        assert (await client.closed())[0] == 1013
    async with server.connect(user="bia") as client:
        assert (await client.closed())[0] == 1013
    await inject(server, {"fault": "", "everyone": True}, roles=("admin",))
    async with server.connect(user="bia") as client:
        assert await client.recv_now() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"fault": "drop:0.1"}, 422),
        ({"fault": "drop:0.1", "user_id": "ana", "everyone": True}, 422),
        ({"fault": "drop:7", "user_id": "ana"}, 422),
        ({"user_id": "ana"}, 422),
        ({"fault": 3, "user_id": "ana"}, 422),
        ([], 422),
        ({"fault": "", "session_id": "sess_unknown"}, 404),
        ({"fault": "", "user_id": "bia"}, 403),
    ],
)
async def test_who_may_inject_what(serve: Serve, body: Any, status: int) -> None:
    server = await serve(server=DEVELOPMENT)
    async with server.connect(user="bia") as other:
        assert (await inject(server, body))[0] == status
        session = other.welcome["data"]["session_id"]
        assert (await inject(server, {"fault": "", "session_id": session}))[0] == 404


async def listen(server: Server, **query: Any) -> list[Any]:
    """All that a stream says until it ends."""
    found = []
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.http}/api/v1/events", params={"token": server.token(), **query}) as response:
            try:
                async for line in response.content:
                    if line.startswith(b"data: "):
                        found.append(json.loads(line[6:]))
            except aiohttp.ClientPayloadError:
                found.append({"type": "cut"})
    return found


async def test_streams_have_faults_too(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    start = str(server.gateway.log.cursor(0))
    await publish(server, 10)
    seen = await listen(server, last_event_id=start, fault="drop:0.5,seed:2")
    assert seen[-1]["type"] == "cut"
    got = [message["data"]["n"] for message in seen if message["type"] == "numbered"]
    assert got == list(range(len(got)))
    assert len(got) < 10
    seen = await listen(server, last_event_id=start, fault="close:1013@100ms,duplicate:0.9")
    assert seen[-1]["type"] != "cut"
    assert {message["data"]["n"] for message in seen[1:]} == set(range(10))
    assert len(seen) > 15


async def test_a_poll_that_loses_its_answer_is_asked_again(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    await publish(server, 10)
    cursor, lost = str(server.gateway.log.cursor(0)), 0
    got: dict[str, int] = {}
    async with aiohttp.ClientSession() as http:
        while len(got) < 10:
            query = {"token": server.token(), "after": cursor, "fault": "drop:0.2,duplicate:0.2,delay:5ms,slow:1mb"}
            try:
                async with http.get(f"{server.http}/api/v1/events/poll", params=query) as response:
                    page = await response.json()
            except aiohttp.ClientConnectionError:
                lost += 1
                continue
            assert page["recovered"]
            cursor = page["cursor"]
            got |= {event["id"]: event["data"]["n"] for event in page["events"]}
    assert list(got.values()) == list(range(10))
    assert lost > 0
    await server.settled(lambda: len(server.gateway.hub) == 0)
