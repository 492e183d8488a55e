"""The limits at the edge: what happens at each bound, and that it happens to nobody else."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from conftest import Client, Server
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

Serve = Callable[..., Awaitable[Server]]


async def turned_away(server: Server, **query: str) -> tuple[str, int]:
    """The error code and the close code of a connection that is refused with an error."""
    async with server.raw(**query) as client:
        refused = await client.recv()
        assert refused["type"] == "error"
        return refused["data"]["code"], (await client.closed())[0]


async def flood(client: Client, count: int) -> list[str]:
    """Send pings, and return what each was answered with: the type, or the error's code."""
    for n in range(count):
        await client.send("ping", correlation_id=str(n))
    answers = [await client.recv() for _ in range(count)]
    assert [answer["correlation_id"] for answer in answers] == [str(n) for n in range(count)]
    return [answer["data"].get("code", answer["type"]) for answer in answers]


async def test_the_sixth_connection_of_a_user_is_refused_and_a_place_is_free_again_after_a_cut(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as first, server.connect(), server.connect(), server.connect(), server.connect():
        token = server.token()
        assert await turned_away(server, token=token) == ("CONNECTION_LIMIT", 1013)
        async with server.connect(user="bia"):
            pass
        first.cut()
        await server.settled(lambda: server.gateway.hub.of_user("ana") == 4)
        async with server.connect():
            assert server.gateway.hub.of_user("ana") == 5
    await server.settled(lambda: len(server.gateway.hub) == 0)


async def test_a_hundred_messages_a_minute_over_all_connections_of_a_user(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as one, server.connect() as two, server.connect(user="bia") as other:
        assert set(await flood(one, 60)) == {"pong"}
        answers = await flood(two, 41)
        assert (set(answers[:40]), answers[40]) == ({"pong"}, "RATE_LIMIT_EXCEEDED")
        refused = await one.ask("start_investigation", {"query": "q"})
        assert refused["data"]["code"] == "RATE_LIMIT_EXCEEDED"
        assert 0 < refused["data"]["details"]["retry_after"] <= 60
        assert server.gateway.investigations.running == 0, "it was not processed"
        assert (await other.ask("ping"))["type"] == "pong"


async def test_a_silent_client_is_sent_away_but_not_one_that_pings(serve: Serve) -> None:
    server = await serve(limits={"inactivity_seconds": 0.6, "messages_per_minute": 10_000})
    async with server.connect() as silent, server.connect() as pinging:
        closing = asyncio.ensure_future(silent.closed())
        while not closing.done():
            assert (await pinging.ask("ping"))["type"] == "pong"
            await asyncio.sleep(0.05)
        assert closing.result() == (1001, "Inactivity timeout")
        assert (await pinging.ask("ping"))["type"] == "pong"


async def test_a_dead_peer_is_cut(serve: Serve) -> None:
    """A peer that answers no ping is found; `websockets` answers them, so a bare socket plays the dead."""
    server = await serve(server={"ping_seconds": 0.3})
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    path = server.url().split(str(server.port))[1]
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with server.connect(user="bia") as alive:
        data = b""
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            while True:
                data += await reader.readexactly(1)
        assert b"\x89\x00" in data, "it was asked before it was cut"
        assert (await alive.ask("ping"))["type"] == "pong"
        assert len(server.gateway.hub) == 1
    writer.close()


async def test_a_token_that_runs_out_ends_its_connection_and_a_fresh_one_prolongs_it(serve: Serve) -> None:
    server = await serve()
    # `exp` is in whole seconds.
    ttl = 2.0 - time.time() % 1
    short = server.token(ttl=ttl)
    async with server.connect(token=short) as ending, server.connect(token=short) as prolonged:
        answer = await prolonged.ask("authenticate", {"token": server.token(ttl=600)})
        assert answer["type"] == "authenticated"
        error = await ending.until("error")
        assert error["data"]["code"] == "TOKEN_EXPIRED"
        assert await ending.closed() == (1008, "Token expired")
        assert (await prolonged.ask("ping"))["type"] == "pong"


async def test_the_node_has_a_bound_of_connections(serve: Serve) -> None:
    server = await serve(limits={"max_connections": 2})
    async with server.connect(user="a"), server.connect(user="b"):
        assert await turned_away(server, token=server.token("c")) == ("OVERLOADED", 1013)


async def test_an_address_has_a_bound_and_a_trusted_proxy_is_not_one_address(serve: Serve) -> None:
    server = await serve(limits={"connections_per_address": 1}, server={"trusted_proxies": ["127.0.0.1/32"]})

    def via(chain: str, user: str) -> connect:
        headers = {"X-Forwarded-For": chain}
        return connect(server.url(token=server.token(user)), additional_headers=headers, ping_interval=None)

    async with via("203.0.113.1", "a") as one, via("203.0.113.2", "b") as two:
        assert '"connection_established"' in str(await one.recv())
        assert '"connection_established"' in str(await two.recv())
        async with via("198.51.100.7, 203.0.113.1", "c") as third:
            assert '"OVERLOADED"' in str(await third.recv()), "what a client claims of itself is not believed"


async def test_a_proxy_s_own_line_counts_and_not_the_client_s_above_it(serve: Serve) -> None:
    server = await serve(server={"trusted_proxies": ["127.0.0.1"]})
    lines = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.7")]
    async with connect(server.url(), additional_headers=lines, compression=None) as ws:
        await ws.recv()
        assert [connection.address for connection in server.gateway.hub] == ["198.51.100.7"]


async def test_an_untrusted_peer_cannot_choose_its_address(serve: Serve) -> None:
    server = await serve(limits={"connections_per_address": 1})
    async with server.connect():
        url = server.url(token=server.token("bia"))
        async with connect(url, additional_headers={"X-Forwarded-For": "203.0.113.9"}) as spoofing:
            assert '"OVERLOADED"' in str(await spoofing.recv())


async def test_handshakes_have_a_bound_in_a_second(serve: Serve) -> None:
    server = await serve(limits={"handshakes_per_second": 2})
    async with server.connect(user="a"), server.connect(user="b"):
        assert await turned_away(server, token=server.token("c")) == ("OVERLOADED", 1013)


async def test_a_bad_token_that_comes_too_often_gets_429_and_good_ones_are_not_slowed(serve: Serve) -> None:
    server = await serve()
    for _ in range(61):
        async with server.raw(token="bad") as client:
            assert await client.closed() == (1008, "Invalid token")
    with pytest.raises(InvalidStatus) as refused:
        async with server.raw(token="bad"):
            pass
    assert refused.value.response.status_code == 429
    async with server.connect():
        assert len(server.gateway.hub) == 1, "a bad token registers nothing"


async def test_only_named_origins_may_connect_where_some_are_named(serve: Serve) -> None:
    server = await serve(auth={"allowed_origins": ["https://app.example"]})
    for origin, allowed in (("https://app.example", True), ("https://evil.example", False), (None, True)):
        async with connect(server.url(), origin=origin) as ws:  # type: ignore[arg-type]
            if allowed:
                assert '"connection_established"' in str(await ws.recv())
            else:
                assert code_of(await ws.recv()) == "FORBIDDEN"
                assert await Client(ws).closed() == (1008, "Origin not allowed")


def code_of(frame: str | bytes) -> str:
    return str(json.loads(frame)["data"]["code"])


async def test_running_investigations_and_chats_have_bounds(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.01})
    async with server.connect() as client, server.connect(user="bia") as other:
        for n in range(10):
            started = await client.ask("start_investigation", {"query": f"q{n}"})
            assert started["data"]["status"] == "started"
        refused = await client.ask("start_investigation", {"query": "one more"})
        assert (refused["data"]["code"], refused["data"]["details"]["limit"]) == ("OVERLOADED", 10)
        for n in range(3):
            await client.send("agent_chat", {"agent": "zumbi", "message": "oi"}, correlation_id=f"chat{n}")
            await client.until("typing")
        refused = await client.ask("agent_chat", {"agent": "zumbi", "message": "oi"})
        assert (refused["data"]["code"], refused["data"]["details"]["limit"]) == ("OVERLOADED", 3)
        assert (await other.ask("start_investigation", {"query": "q"}))["data"]["status"] == "started"


async def test_finished_and_idle_investigations_go(serve: Serve) -> None:
    """Housekeeping, by the gateway's own clocks: idle ones fail and are told, finished ones are forgotten."""
    server = await serve(agents={"speed": 0.001}, limits={"investigation_idle_seconds": 0.5, "finished_seconds": 0.5})
    async with server.connect() as client:
        id_ = (await client.ask("start_investigation", {"query": "q"}))["data"]["investigation_id"]
        failed = await client.until("investigation_update", investigation_id=id_, status="failed")
        assert failed["data"]["progress"] == 0
        await server.settled(lambda: server.gateway.investigations.get(id_) is None)
        assert (await client.ask("cancel_investigation", {"investigation_id": id_}))["data"]["code"] == "NOT_FOUND"


async def test_metrics_are_for_this_machine_or_for_the_configured_token(serve: Serve) -> None:
    server = await serve(metrics={"bearer_token": "a token for the metrics"})
    async with aiohttp.ClientSession() as http:

        async def status(**headers: str) -> int:
            async with http.get(f"{server.http}/metrics", headers=headers) as response:
                return response.status

        assert await status() == 200
        assert await status(**{"X-Forwarded-For": "203.0.113.1"}) == 401
        assert await status(**{"X-Forwarded-For": "203.0.113.1", "Authorization": "Bearer wrong"}) == 401
        good = {"X-Forwarded-For": "203.0.113.1", "Authorization": "Bearer a token for the metrics"}
        assert await status(**good) == 200


async def test_metrics_updates_reach_general_connections_alone(serve: Serve) -> None:
    server = await serve(metrics={"interval_seconds": 0.1})
    async with server.connect() as general, server.connect(connection_type="analysis") as analysis:
        update = await general.until("metrics_update")
        assert set(update["data"]) == {"active_investigations", "agents_busy", "avg_response_time", "queue_size"}
        assert "id" not in update
        await general.until("metrics_update")
        assert (await analysis.ask("ping"))["type"] == "pong"
        assert server.gateway.metrics.registry.get_sample_value(
            "cidadao_ai_websocket_messages_total",
            {"direction": "out", "type": "metrics_update", "transport": "websocket"},
        )
