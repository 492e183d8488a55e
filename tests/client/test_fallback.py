"""Networks that do not let everything through: the client falls back, says so, and comes back later."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from client_wire import client, numbers, publish, wire
from conftest import Server

from cidadao_rt.client import State, Status

Serve = Callable[..., Awaitable[Server]]


async def test_a_proxy_that_refuses_the_upgrade_leads_to_sse(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve()
    states: list[Status] = []
    async with asyncio.timeout(12), wire(server) as between:
        between.refuses_upgrades = True
        rt = client(server, at=between.http)
        rt.on_status(states.append)
        async with rt:
            assert rt.transport == "sse"
            assert (await rt.chat("drummond", "Bom dia")).message
        tried = [status.transport for status in states if status.state is State.CONNECTING]
        assert tried == ["websocket", "websocket", "sse"]
        assert any("trying sse" in status.reason for status in states)
        assert "trying sse" in caplog.text


async def test_a_proxy_that_also_buffers_leads_to_polling(serve: Serve) -> None:
    server = await serve()
    states: list[Status] = []
    async with asyncio.timeout(12), wire(server) as between:
        between.refuses_upgrades = between.holds_streams = True
        rt = client(server, at=between.http, open_seconds=0.3)
        rt.on_status(states.append)
        async with rt:
            assert rt.transport == "poll"
            await publish(server, 1)
            assert numbers([await anext(rt)]) == [1]
        tried = [status.transport for status in states if status.state is State.CONNECTING]
        # What holds a stream back will do so again, so it is tried once.
        assert tried == ["websocket", "websocket", "sse", "poll"]


async def test_it_goes_on_where_it_was_and_websocket_is_tried_again_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    async with asyncio.timeout(12), wire(server) as between, client(server, at=between.http) as rt:
        await publish(server, 1)
        assert numbers([await anext(rt)]) == [1]
        session = rt.session_id
        between.refuses_upgrades = True
        between.cut()
        await publish(server, 2)
        assert numbers([await anext(rt)]) == [2]
        assert (rt.transport, rt.session_id, rt.recovered) == ("sse", session, True)
        between.refuses_upgrades = False
        monkeypatch.setattr("cidadao_rt.client.returning.RETURN_SECONDS", 0.0)
        between.cut()
        await publish(server, 3)
        assert numbers([await anext(rt)]) == [3]
        assert (rt.transport, rt.session_id, rt.recovered) == ("websocket", session, True)


async def test_a_gateway_that_is_not_there_is_no_reason_to_fall_back(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(12), wire(server) as between:
        port, between.port = between.port, 1
        rt = client(server, at=between.http)
        states: list[Status] = []
        rt.on_status(states.append)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), rt:
                pass
        assert {status.transport for status in states} == {"websocket"}
        assert states[-1].state is State.CLOSED
        assert port


async def test_too_many_connections_are_waited_for(serve: Serve) -> None:
    server = await serve(limits={"connections_per_user": 1})
    for transport in ("websocket", "sse", "poll"):
        async with asyncio.timeout(12), server.connect() as other:
            rt = client(server, transports=[transport])
            reasons: list[str] = []
            rt.on_status(lambda status, reasons=reasons: reasons.append(status.reason))  # type: ignore[misc]
            entering = asyncio.create_task(rt.__aenter__())
            await server.settled(lambda reasons=reasons: any("1013" in reason for reason in reasons))  # type: ignore[misc]
            await other.ws.close()
            await entering
            assert rt.transport == transport
            await rt.close()
