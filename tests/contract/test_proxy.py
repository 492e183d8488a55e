"""The proxy does what it says, or the tests that use it prove nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from contract.proxy import Fault, Kind, Proxy, Schedule

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says back what it is told, and goodbye to a goodbye."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def through(*faults: Fault) -> AsyncIterator[tuple[Proxy, Streams]]:
    async with asyncio.timeout(10), echo() as port, Proxy(port, lambda: faults).running() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield proxy, (reader, writer)
        finally:
            writer.transport.abort()


async def test_nothing_is_changed_where_nothing_happens() -> None:
    said = Random(1).randbytes(3_000_000)
    async with through() as (_, (reader, writer)):
        writer.write(said)
        assert await reader.readexactly(len(said)) == said
        writer.write_eof()
        assert await reader.read() == b""


async def test_a_reset_comes_after_so_many_bytes_and_without_a_goodbye() -> None:
    async with through(Fault(Kind.RESET, after=5)) as (_, (reader, writer)):
        writer.write(b"0123456789")
        assert await reader.readexactly(5) == b"01234"
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_close_is_a_goodbye_after_so_many_bytes() -> None:
    async with through(Fault(Kind.CLOSE, down=False, after=5)) as (_, (reader, writer)):
        writer.write(b"0123456789")
        assert await reader.read() == b""


async def test_half_a_goodbye_leaves_the_other_way_open_for_a_time() -> None:
    async with through(Fault(Kind.HALF_CLOSE, after=5, seconds=0.05)) as (_, (reader, writer)):
        writer.write(b"0123456789")
        assert await reader.read() == b"01234"
        began = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0)
        assert asyncio.get_running_loop().time() - began > 0.03


async def test_a_stall_ends_and_loses_nothing() -> None:
    said = Random(2).randbytes(1_000_000)
    async with through(Fault(Kind.STALL, after=70_000, seconds=0.1, both=True)) as (_, (reader, writer)):
        began = asyncio.get_running_loop().time()
        writer.write(said)
        assert await reader.readexactly(70_000) == said[:70_000]
        assert await reader.readexactly(len(said) - 70_000) == said[70_000:]
        assert asyncio.get_running_loop().time() - began > 0.09


async def test_a_stall_may_end_in_a_reset() -> None:
    async with through(Fault(Kind.STALL_AND_RESET, after=3, seconds=0.05)) as (_, (reader, writer)):
        writer.write(b"0123456789")
        assert await reader.readexactly(3) == b"012"
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_late_and_in_crumbs_but_whole() -> None:
    said = Random(3).randbytes(2000)
    faults = Fault(Kind.DELAY, down=False, seconds=0.01), Fault(Kind.CRUMBS, after=10)
    async with through(*faults) as (_, (reader, writer)):
        writer.write(said)
        assert await reader.readexactly(10) == said[:10]
        assert len(await reader.read(4096)) <= 7
        assert len(await reader.readexactly(1900)) == 1900


async def test_by_hand() -> None:
    async with through() as (proxy, (reader, writer)):
        proxy.stall()
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.05)
        proxy.calm()
        assert await reader.readexactly(4) == b"held"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        proxy.refusing = True
        with pytest.raises(ConnectionResetError):
            late, _ = await asyncio.open_connection("127.0.0.1", proxy.port)
            await late.read()
        assert proxy.connections == 2


def test_a_seed_is_a_schedule() -> None:
    def drawn(seed: int) -> list[list[Fault]]:
        schedule = Schedule(Random(seed))
        return [schedule() for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {fault.kind for faults in drawn(1) for fault in faults} == set(Kind)
