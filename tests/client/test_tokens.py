"""Tokens: fetched anew for each attempt, renewed before they expire, and refused for good."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from client_wire import ALL, client, numbers, publish, wire
from conftest import Server

from cidadao_rt.client import RefusedError, State, Status

Serve = Callable[..., Awaitable[Server]]
every_transport = pytest.mark.parametrize("transport", ALL)


@every_transport
@pytest.mark.parametrize(("token", "reason"), [("no token", "Invalid token"), (None, "Token expired")])
async def test_a_bad_token_is_refused_for_good(serve: Serve, transport: str, token: str | None, reason: str) -> None:
    server = await serve()
    bad = token or server.token(ttl=-10)
    async with asyncio.timeout(12):
        with pytest.raises(RefusedError) as caught:
            async with client(server, token=bad, transports=[transport]):
                pass
        assert (caught.value.code, caught.value.reason) == (1008, reason)


@every_transport
async def test_a_source_of_the_same_bad_token_is_asked_twice(serve: Serve, transport: str) -> None:
    server = await serve()
    asked: list[int] = []

    def source() -> str:
        asked.append(1)
        return "no token"

    async with asyncio.timeout(12):
        with pytest.raises(RefusedError, match="Invalid token"):
            async with client(server, token=source, transports=[transport]):
                pass
    assert len(asked) == 2


@every_transport
async def test_a_fresh_token_mends_a_refusal(serve: Serve, transport: str) -> None:
    server = await serve()
    tokens = [server.token(ttl=-10), server.token()]

    async def source() -> str:
        return tokens.pop(0)

    async with asyncio.timeout(12), client(server, token=source, transports=[transport]) as rt:
        assert rt.status.state is State.OPEN
        assert tokens == []


@every_transport
async def test_a_token_is_renewed_before_it_expires_and_the_connection_lives_on(serve: Serve, transport: str) -> None:
    server = await serve()
    states: list[Status] = []
    count = 0

    def source() -> str:
        nonlocal count
        count += 1
        return server.token(ttl=2 if count == 1 else 600)

    async with asyncio.timeout(12), client(server, token=source, transports=[transport], heartbeat_seconds=1) as rt:
        rt.on_status(states.append)
        await asyncio.sleep(2.5)
        assert count == 2
        await publish(server, 1)
        assert numbers([await anext(rt)]) == [1]
        assert states == []


async def test_a_token_that_expires_ends_a_client_that_has_no_other(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, token=server.token(ttl=1)) as rt:
        seen = []
        with pytest.raises(RefusedError, match="Token expired"):
            async for event in rt:
                seen.append(event.data.get("code"))
        assert seen == ["TOKEN_EXPIRED"]
        with pytest.raises(RefusedError):
            await rt.ping()


async def test_an_issuer_that_is_away_is_asked_again(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve()
    answers: list[str | None] = [None, None, server.token()]

    def source() -> str:
        token = answers.pop(0)
        if token is None:
            raise ConnectionError("away")
        return token

    async with asyncio.timeout(12), client(server, token=source) as rt:
        assert rt.transport == "websocket"
    assert "no token to be had" in caplog.text


async def test_each_attempt_asks_for_a_token(serve: Serve) -> None:
    server = await serve()
    asked: list[str] = []

    def source() -> str:
        asked.append(server.token())
        return asked[-1]

    async with asyncio.timeout(12), wire(server) as between, client(server, at=between.http, token=source) as rt:
        between.cut()
        await server.settled(lambda: rt.status.state is State.WAITING)
        await rt.ping()
        assert len(asked) >= 2
