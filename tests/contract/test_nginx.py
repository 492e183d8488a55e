"""Behind nginx: configured well everything passes, and configured badly every client finds a way that still works."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from conftest import Server
from contract.drivers import Driver, Reader
from contract.names import NAMES
from contract.nginx import BUFFERS, STREAMS, UPGRADE, nginx

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]
Drive = Callable[..., contextlib.AbstractAsyncContextManager[Driver]]

pytestmark = pytest.mark.timeout(90)

LIBRARIES = [pytest.param(f"{written}-websocket,sse,poll", id=written) for written in ("python", "javascript")]
"""Both client libraries with all the transports they have."""


async def publish(server: Server, count: int = 1) -> list[str]:
    """Publish so many events; their cursors."""
    found = []
    for n in range(count):
        event = await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "numbered", {"n": n}))
        found.append(str(server.gateway.log.cursor(event.offset)))
    return found


async def works(server: Server, driver: Driver) -> None:
    """Events come at once and in order, commands are answered, and a story is told to its end."""
    reader = Reader(driver)
    published = []
    for _ in range(20):
        published += await publish(server)
        await reader.upto(published[-1], 5.0)
    assert reader.ids == published
    assert (await driver.chat("drummond", "Olá")).strip()
    id_ = await driver.start("Licitações")
    assert (await reader.finished(id_))["data"]["status"] == "completed"
    assert set(driver.verdicts) == {True}


@pytest.mark.parametrize("name", NAMES)
async def test_configured_well_every_transport_passes(serve: Serve, drive: Drive, tmp_path: Path, name: str) -> None:
    server = await serve()
    async with asyncio.timeout(60), nginx(tmp_path, server.port, UPGRADE + STREAMS) as base:
        async with drive(name, base, server.token(), open_seconds=4.0) as driver:
            await driver.open()
            await works(server, driver)
            assert driver.transport == name.partition("-")[2]


@pytest.mark.parametrize("name", LIBRARIES)
async def test_without_an_upgrade_clients_end_on_a_stream(
    serve: Serve, drive: Drive, tmp_path: Path, name: str
) -> None:
    server = await serve()
    async with asyncio.timeout(60), nginx(tmp_path, server.port, STREAMS) as base:
        async with drive(name, base, server.token(), open_seconds=4.0) as driver:
            await driver.open()
            assert driver.transport == "sse"
            await works(server, driver)


@pytest.mark.parametrize("name", LIBRARIES)
async def test_where_streams_are_held_back_clients_end_on_polling(
    serve: Serve, drive: Drive, tmp_path: Path, name: str
) -> None:
    server = await serve()
    async with asyncio.timeout(60), nginx(tmp_path, server.port, BUFFERS) as base:
        async with drive(name, base, server.token(), open_seconds=4.0) as driver:
            await driver.open()
            assert driver.transport == "poll"
            await works(server, driver)


async def test_what_holds_streams_back_lets_polls_through(serve: Serve, drive: Drive, tmp_path: Path) -> None:
    """The two above prove something only if this nginx does hold a stream back."""
    server = await serve()
    async with asyncio.timeout(60), nginx(tmp_path, server.port, BUFFERS) as base:
        async with drive("raw-poll", base, server.token()) as polling:
            await polling.open()
            await works(server, polling)
        async with drive("raw-sse", base, server.token()) as listening:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(listening.open(), 0.5)


async def test_what_refuses_the_upgrade_is_told_what_it_lacks(serve: Serve, drive: Drive, tmp_path: Path) -> None:
    server = await serve()
    async with asyncio.timeout(60), nginx(tmp_path, server.port, STREAMS) as base:
        async with drive("raw-websocket", base, server.token()) as refused:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(refused.open(), 0.5)
        async with drive("raw-sse", base, server.token()) as listening:
            await listening.open()
            await works(server, listening)


@pytest.mark.parametrize("name", NAMES)
async def test_a_quiet_stream_outlives_the_proxys_patience(
    serve: Serve, drive: Drive, tmp_path: Path, name: str
) -> None:
    """nginx cuts what has said nothing for `proxy_read_timeout`, 60 s if nobody says otherwise; here it is 1 s."""
    server = await serve(server={"ping_seconds": 0.3})
    impatient = UPGRADE + "proxy_read_timeout 1s; proxy_send_timeout 1s;"
    async with asyncio.timeout(60), nginx(tmp_path, server.port, impatient) as base:
        async with drive(name, base, server.token(), open_seconds=4.0) as driver:
            await driver.open()
            first = [connection.id for connection in server.gateway.hub]
            # It is nginx's clock that is waited for.
            await asyncio.sleep(3)
            if not name.endswith("poll"):
                assert [connection.id for connection in server.gateway.hub] == first
            published = await publish(server, 3)
            assert await Reader(driver).upto(published[-1], 10.0) == published
            if not name.endswith("poll"):
                assert driver.verdicts == [True]
