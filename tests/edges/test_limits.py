"""What the limits do over time, to whom they do it, and what they leave alone; their plain bounds are in test_bounds.

Minutes pass by moving the gateway's clock, so that nothing here waits for one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from conftest import Client, Server
from websockets.exceptions import InvalidStatus

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import events, topics

Serve = Callable[..., Awaitable[Server]]


class Clock:
    """The gateway's own clock, which goes on by itself and can be moved."""

    def __init__(self, server: Server) -> None:
        self._real = server.gateway.clock
        self._moved = 0.0
        server.gateway.clock = self

    def __call__(self) -> float:
        return self._real() + self._moved

    def move(self, seconds: float) -> None:
        self._moved += seconds


async def fill(client: Client, count: int) -> None:
    """Use up `count` messages, each answered."""
    for n in range(count):
        await client.send("ping", correlation_id=f"fill-{n}")
    for n in range(count):
        answer = await client.recv()
        assert (answer["type"], answer["correlation_id"]) == ("pong", f"fill-{n}")


# -- messages -------------------------------------------------------------------------------------------------------


async def test_every_message_counts_also_what_is_wrong_with_it(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as client, server.connect(user="bia") as other:
        wrong: list[str | bytes] = ["not json", "[]", '{"type":"nonsense","data":{}}', b"binary", "x" * 70_000]
        for frame in wrong * 20:
            await client.ws.send(frame)
            assert (await client.recv())["data"]["code"] != "RATE_LIMIT_EXCEEDED"
        for frame in ('{"type":"ping"}', *wrong):
            await client.ws.send(frame)
            answer = await client.recv()
            assert (answer["type"], answer["data"]["code"]) == ("error", "RATE_LIMIT_EXCEEDED")
        assert (await other.ask("ping"))["type"] == "pong"


async def test_the_window_slides_and_what_was_refused_does_not_count(serve: Serve) -> None:
    server = await serve()
    clock = Clock(server)
    async with asyncio.timeout(20), server.connect() as client:
        await fill(client, 50)
        clock.move(30)
        await fill(client, 50)
        for _ in range(40):
            refused = await client.ask("ping")
            assert refused["data"]["code"] == "RATE_LIMIT_EXCEEDED"
        retry_after = refused["data"]["details"]["retry_after"]
        assert 25 < retry_after <= 30
        # To the word: not sooner, and then the first half is free again, whatever was refused in between.
        clock.move(retry_after - 1)
        assert (await client.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED"
        clock.move(5)
        await fill(client, 50)
        assert (await client.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED"


async def test_a_new_connection_brings_no_new_messages(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20):
        async with server.connect() as client:
            await fill(client, 100)
        for path in ("/ws", "/api/v1/ws", "/ws/chat"):
            async with server.connect(path) as client:
                assert (await client.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED"


async def test_the_hundredth_refusal_and_not_the_one_before_it_closes(serve: Serve) -> None:
    server = await serve(limits={"messages_per_minute": 1})
    async with asyncio.timeout(20), server.connect() as client, server.connect() as sister:
        await fill(client, 1)
        for _ in range(99):
            assert (await client.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED"
        # It is an open connection like any other.
        event = Draft(topics.user("ana"), "ana", events.NOTIFICATION, {"title": "t"})
        await server.gateway.broker.publish(event)
        assert (await client.recv())["type"] == "notification"
        await client.send("ping")
        assert (await client.recv())["data"]["code"] == "RATE_LIMIT_EXCEEDED"
        assert await client.closed() == (1008, "Too many refused messages")
        assert (await sister.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED", "it has its own count"


async def test_refusals_are_counted_for_a_connection_and_not_for_those_after_it(serve: Serve) -> None:
    """It is a *connection* that is refused 100 times: one that resumes its session starts at none."""
    server = await serve(limits={"messages_per_minute": 1, "refusals_per_minute": 3})
    async with asyncio.timeout(20):
        async with server.connect() as client:
            await fill(client, 1)
            for _ in range(3):
                await client.send("ping")
            assert (await client.closed())[0] == 1008
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["data"]["resumed"] is True
            for _ in range(2):
                assert (await again.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED"
            await again.send("ping")
            assert (await again.closed())[0] == 1008


async def test_refusals_of_more_than_a_minute_ago_are_forgotten(serve: Serve) -> None:
    server = await serve(limits={"messages_per_minute": 1, "refusals_per_minute": 3})
    clock = Clock(server)
    async with asyncio.timeout(20), server.connect() as client:
        for _ in range(4):
            await fill(client, 1)
            for _ in range(2):
                assert (await client.ask("ping"))["data"]["code"] == "RATE_LIMIT_EXCEEDED"
            clock.move(61)


# -- connections ----------------------------------------------------------------------------------------------------


async def test_a_user_s_connections_count_over_all_paths_and_a_goodbye_frees_one(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        for path in ("/ws", "/api/v1/ws", "/ws/chat", "/api/v1/ws/chat"):
            await stack.enter_async_context(server.connect(path))
        fifth = await stack.enter_async_context(server.connect(connection_type="analysis"))
        for path in ("/ws", "/ws/chat"):
            async with server.raw(path) as sixth:
                refused = await sixth.recv()
                assert (refused["data"]["code"], refused["data"]["details"]) == ("CONNECTION_LIMIT", {"limit": 5})
                assert (await sixth.closed())[0] == 1013
        # Who was refused has left nothing behind, neither a place nor a session.
        assert server.gateway.hub.of_user("ana") == 5
        assert len(server.gateway.users.get("ana").sessions) == 5
        await fifth.ws.close()
        await server.settled(lambda: server.gateway.hub.of_user("ana") == 4)
        async with server.connect():
            pass


async def test_twenty_detached_sessions_are_kept_and_the_oldest_goes(serve: Serve) -> None:
    server = await serve()
    sessions: list[str] = []
    async with asyncio.timeout(20):
        for _ in range(21):
            async with server.connect() as client:
                sessions.append(client.welcome["data"]["session_id"])
                client.cut()
            await server.settled(lambda: sessions[-1] in [one.id for one in server.gateway.users.get("ana").detached])
        async with server.connect(user="bia"):
            pass
        # The oldest last, since what it gets instead is one session more.
        for n, resumed in ((1, True), (20, True), (0, False)):
            async with server.connect(session_id=sessions[n]) as again:
                assert again.welcome["data"]["resumed"] is resumed


async def test_handshakes_are_free_again_after_a_second_and_bad_tokens_use_none(serve: Serve) -> None:
    server = await serve(limits={"handshakes_per_second": 2})
    clock = Clock(server)
    stopped = clock()
    server.gateway.clock = lambda: stopped
    async with asyncio.timeout(20):
        for n in range(20):
            async with server.raw(token=f"bad {n}") as bad:
                assert await bad.closed() == (1008, "Invalid token")
        async with server.connect(), server.connect():
            async with server.raw() as third:
                assert (await third.recv())["data"]["code"] == "OVERLOADED"
                assert (await third.closed())[0] == 1013
            server.gateway.clock = lambda: stopped + 1.001
            async with server.connect():
                pass


@pytest.mark.parametrize("kind", ["invalid", "expired"])
async def test_a_bad_token_is_told_why_again_after_a_minute(serve: Serve, kind: str) -> None:
    server = await serve()
    clock = Clock(server)
    token, reason = ("bad", "Invalid token") if kind == "invalid" else (server.token(ttl=-60), "Token expired")
    async with asyncio.timeout(30):
        told = 0
        with pytest.raises(InvalidStatus) as refused:
            while told < 100:
                async with server.raw(token=token) as client:
                    assert await client.closed() == (1008, reason)
                told += 1
        assert 60 <= told <= 61
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) > 0
        # Others are told as before, good and bad.
        async with server.raw(token="another") as client:
            assert await client.closed() == (1008, "Invalid token")
        async with server.connect():
            pass
        clock.move(61)
        async with server.raw(token=token) as client:
            assert await client.closed() == (1008, reason)


# -- time -----------------------------------------------------------------------------------------------------------


async def test_only_messages_are_activity(serve: Serve) -> None:
    """Events that are sent to it and protocol pings do not keep a silent client; a message does, also a bad one."""
    server = await serve(server={"ping_seconds": 1e6})
    clock, token = Clock(server), server.token(ttl=9000)
    async with asyncio.timeout(20), server.connect(token=token) as silent, server.connect(token=token) as active:
        clock.move(200)
        await (await silent.ws.ping())
        await active.ws.send("not json")
        await active.until("error")
        await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", events.NOTIFICATION, {}))
        clock.move(101)
        assert await silent.closed() == (1001, "Inactivity timeout")
        await active.ask("ping")
        clock.move(301)
        assert await active.closed() == (1001, "Inactivity timeout")


async def test_who_answers_pings_stays_for_ever(serve: Serve) -> None:
    server = await serve(server={"ping_seconds": 0.3})
    async with asyncio.timeout(20), aiohttp.ClientSession() as http, server.connect(user="bia") as answering:
        async with http.ws_connect(server.url().replace("ws:", "http:"), autoping=False) as mute:
            seen = [(await mute.receive()).type for _ in range(2)]
            assert seen == [aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING]
            # One interval after a ping that nobody answered: gone, without a goodbye.
            assert (await mute.receive()).type is aiohttp.WSMsgType.CLOSED
            assert mute.close_code == 1006
        assert (await answering.ask("ping"))["type"] == "pong"
        assert server.gateway.hub.of_user("ana") == 0


async def test_a_pong_nobody_asked_for_is_a_sign_of_life(serve: Serve) -> None:
    server = await serve(server={"ping_seconds": 0.4})
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        async with http.ws_connect(server.url().replace("ws:", "http:"), autoping=False) as mute:
            await mute.receive()
            for _ in range(3):
                assert (await mute.receive()).type is aiohttp.WSMsgType.PING
                await mute.pong(b"unasked")


# -- tokens ---------------------------------------------------------------------------------------------------------


async def test_a_connection_ends_with_its_token_and_not_before(serve: Serve) -> None:
    server = await serve(limits={"inactivity_seconds": 1e6}, server={"ping_seconds": 1e6})
    clock = Clock(server)
    async with asyncio.timeout(20), server.connect(token=server.token(ttl=1000)) as client:
        clock.move(990)
        await asyncio.sleep(0.3)
        assert (await client.ask("ping"))["type"] == "pong"
        clock.move(11)
        error = await client.recv()
        assert (error["type"], error["data"]["code"]) == ("error", "TOKEN_EXPIRED")
        assert await client.closed() == (1008, "Token expired")


async def test_authenticate_prolongs_only_with_a_good_token_of_the_same_user(serve: Serve) -> None:
    server = await serve(limits={"inactivity_seconds": 1e6}, server={"ping_seconds": 1e6})
    clock = Clock(server)
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        tokens = {
            "FORBIDDEN": server.token("bia", ttl=9000),
            "AUTHENTICATION_REQUIRED": "bad",
            "TOKEN_EXPIRED": server.token(ttl=-10),
        }
        for code, token in tokens.items():
            client = await stack.enter_async_context(server.connect(token=server.token(ttl=1000)))
            answer = await client.ask("authenticate", {"token": token})
            assert (answer["type"], answer["data"]["code"]) == ("error", code)
            assert (await client.ask("ping"))["type"] == "pong"
            tokens[code] = client  # type: ignore[assignment]
        prolonged = await stack.enter_async_context(server.connect(token=server.token(ttl=1000)))
        answer = await prolonged.ask("authenticate", {"token": server.token(ttl=5000)})
        assert answer["data"]["expires_at"].endswith("Z")
        clock.move(1001)
        for client in tokens.values():
            assert await client.closed() == (1008, "Token expired")  # type: ignore[attr-defined]
        assert (await prolonged.ask("ping"))["type"] == "pong"
        clock.move(4000)
        assert await prolonged.closed() == (1008, "Token expired")


async def test_authenticate_checks_grants_again(serve: Serve) -> None:
    server = await serve()
    data = {"investigation_id": "shared", "status": "started", "progress": 0}
    shared = Draft(topics.investigation("shared"), "bia", events.INVESTIGATION_UPDATE, data)
    await server.gateway.broker.publish(shared)
    granted, bare = server.token(investigations=["shared"]), server.token()
    async with (
        asyncio.timeout(20),
        server.connect(token=granted) as client,
        server.connect("/ws/investigations/shared", token=granted) as bound,
    ):
        await client.ask("subscribe", {"investigation_ids": ["shared"]})
        await client.until("investigation_update")
        answer = await client.ask("authenticate", {"token": bare})
        assert answer["data"]["denied"] == [{"investigation_id": "shared", "code": "NOT_FOUND"}]
        await bound.send("authenticate", {"token": bare})
        assert (await bound.until("error"))["data"]["code"] == "NOT_FOUND"
        assert (await bound.closed())[0] == 1008
        await server.gateway.broker.publish(shared)
        assert await client.recv_now() == []


# -- work -----------------------------------------------------------------------------------------------------------


async def test_the_eleventh_investigation_begins_when_one_has_ended(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.001})
    async with asyncio.timeout(20), server.connect() as client, server.connect() as sister:
        started = [(await client.ask("start_investigation", {"query": f"q {n}"})) for n in range(10)]
        for one in (client, sister):
            refused = await one.ask("start_investigation", {"query": "one more"})
            assert (refused["type"], refused["data"]["code"]) == ("error", "OVERLOADED")
        assert server.gateway.investigations.running == 10
        id_ = started[3]["data"]["investigation_id"]
        cancelled = await client.ask("cancel_investigation", {"investigation_id": id_})
        assert cancelled["data"]["status"] == "cancelled"
        again = await sister.ask("start_investigation", {"query": "one more"})
        assert again["data"]["status"] == "started"


async def test_what_was_refused_for_want_of_room_may_be_sent_again(serve: Serve) -> None:
    """A refused start has not used up its correlation id."""
    server = await serve(agents={"speed": 0.001}, limits={"investigations_per_user": 1})
    async with asyncio.timeout(20), server.connect() as client:
        first = await client.ask("start_investigation", {"query": "first"})
        await client.send("start_investigation", {"query": "second"}, correlation_id="second")
        assert (await client.until("error"))["data"]["code"] == "OVERLOADED"
        await client.ask("cancel_investigation", {"investigation_id": first["data"]["investigation_id"]})
        await client.send("start_investigation", {"query": "second"}, correlation_id="second")
        started = await client.until("investigation_update", status="started")
        assert started["correlation_id"] == "second"


async def test_chats_of_a_user_count_together_and_a_place_is_free_when_one_has_ended(serve: Serve) -> None:
    server = await serve(agents={"speed": 5.0})
    async with asyncio.timeout(20), server.connect("/ws/chat") as client:
        async with server.connect() as cut:
            for n in range(3):
                asking = cut if n < 2 else client
                await asking.send("agent_chat", {"agent": "anita", "message": "oi"}, correlation_id=f"chat {n}")
                await asking.until("typing")
            for one in (client, cut):
                refused = await one.ask("agent_chat", {"agent": "anita", "message": "oi"})
                assert (refused["type"], refused["data"]["code"]) == ("error", "OVERLOADED")
            cut.cut()
        await client.until("agent_chat")
        # Those whose asker is gone end as well, and their places are free.
        await server.settled(lambda: not len(server.gateway.chats))
        for n in range(3):
            await client.send("agent_chat", {"agent": "anita", "message": "oi"}, correlation_id=f"again {n}")
        seen = [await client.until("agent_chat") for _ in range(3)]
        assert {message["correlation_id"] for message in seen} == {"again 0", "again 1", "again 2"}
