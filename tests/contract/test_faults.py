"""Both client libraries under every fault on demand, on every transport: nothing is lost, doubled or out of order."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable

import pytest
from conftest import Server
from contract.drivers import Driver, Reader
from contract.names import NAMES

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import faults, topics

Serve = Callable[..., Awaitable[Server]]
Drive = Callable[..., contextlib.AbstractAsyncContextManager[Driver]]

pytestmark = [
    pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("raw")]),
    pytest.mark.timeout(60),
]

FAULTS = [
    "drop:0.3,seed:1",
    "duplicate:0.5,seed:2",
    "delay:5ms-60ms",
    "slow:4kb",
    "close:1001@100ms",
    "close:1006@100ms",
    "close:1011@100ms",
    "close:1013@100ms",
    "expire@100ms",
    "limit:connections",
    "limit:messages",
    "drop:0.1,duplicate:0.1,delay:1ms-20ms,close:1006@200ms,seed:3",
]


def afflict(server: Server, text: str) -> None:
    """Let this go wrong on all connections, present and future."""
    found = faults.parse(text)
    server.gateway.faulting.of_all = found
    for connection in server.gateway.hub:
        server.gateway.faulting.inject(connection, found)


def refusals(server: Server) -> float:
    """How often somebody was told CONNECTION_LIMIT."""
    registry = server.gateway.metrics.registry
    return registry.get_sample_value("cidadao_ai_websocket_errors_total", {"code": "CONNECTION_LIMIT"}) or 0.0


async def publish(server: Server, n: int) -> str:
    data = {"n": n, "pad": "x" * 300}
    event = await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "numbered", data))
    return str(server.gateway.log.cursor(event.offset))


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_client_library_survives(serve: Serve, drive: Drive, name: str, fault: str) -> None:
    server = await serve(server={"mode": "development"})
    # A token for each attempt, so that an early end of one is no end of the client.
    ttls = itertools.count(600)

    async def token() -> str:
        return server.token(ttl=next(ttls))

    async with (
        asyncio.timeout(50),
        drive(name, server.http, token) as driver,
    ):
        await driver.open()
        reader = Reader(driver)
        reading = asyncio.create_task(reader.until(lambda message: message["data"].get("n") == 99))
        afflict(server, fault)
        if fault == "limit:connections":
            for connection in server.gateway.hub:
                server.gateway.faulting.inject(connection, faults.parse("close:1006"))
            await server.settled(lambda: refusals(server) > 0)
        published = []
        for n in range(30):
            published.append(await publish(server, n))
            # The pace of the events, not a wait for anything.
            await asyncio.sleep(0.015)
        afflict(server, "")
        published.append(await publish(server, 99))
        await reading
        assert reader.ids == published
        assert set(driver.verdicts) == {True}
        assert driver.wire_faults == []
