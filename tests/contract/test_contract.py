"""What every client gets, whoever wrote it and whatever transport it is on: the same scenarios for all of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from conftest import SECRET, Server, configure
from contract.drivers import Driver, Ended, Reader, Refused
from contract.names import NAMES
from contract.proxy import Proxy

from cidadao_rt.app import EDGE, GATEWAY, build
from cidadao_rt.memory.log import Draft, Event
from cidadao_rt.motion.drain import drain
from cidadao_rt.motion.gateway import TurnedAway
from cidadao_rt.words import events, topics
from cidadao_rt.words.tokens import mint

Serve = Callable[..., Awaitable[Server]]
Drive = Callable[..., contextlib.AbstractAsyncContextManager[Driver]]

pytestmark = [pytest.mark.parametrize("name", NAMES), pytest.mark.timeout(60)]


async def publish(server: Server, topic: topics.Topic, type_: str = "numbered", sub: str = "ana") -> str:
    """Publish one event; its cursor."""
    data = {"level": "info", "title": "t", "message": "m"} if type_ == events.NOTIFICATION else {}
    return cursor(server, await server.gateway.broker.publish(Draft(topic, sub, type_, data)))


def cursor(server: Server, event: Event) -> str:
    return str(server.gateway.log.cursor(event.offset))


@contextlib.asynccontextmanager
async def witness(server: Server, drive: Drive, sub: str = "ana") -> AsyncIterator[Reader]:
    """An uninterrupted connection of the same user."""
    async with drive("raw-websocket", server.http, server.token(sub)) as driver:
        await driver.open()
        yield Reader(driver)


async def test_a_story_is_told_from_its_beginning_to_its_end(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve()
    async with asyncio.timeout(30), witness(server, drive) as seen, drive(name, server.http, server.token()) as driver:
        await driver.open()
        assert driver.transport == name.partition("-")[2]
        assert driver.verdicts == [True]
        reader = Reader(driver)
        id_ = await driver.start("Contratos emergenciais de 2020 no Piauí")
        assert (await reader.finished(id_))["data"]["status"] == "completed"
        await seen.finished(id_)
        assert reader.seen == seen.seen
        assert len({message["type"] for message in reader.seen}) == 4


async def test_what_was_missed_in_a_cut_comes_in_its_place(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve(agents={"speed": 5.0})
    async with (
        asyncio.timeout(40),
        Proxy(server.port).running() as proxy,
        witness(server, drive) as seen,
        drive(name, f"http://127.0.0.1:{proxy.port}", server.token()) as driver,
    ):
        await driver.open()
        reader = Reader(driver)
        id_ = await driver.start("Gastos com merenda")
        await reader.until(lambda m: m["type"] == "agent_analysis")
        proxy.refusing = True
        proxy.cut()
        await seen.until(lambda m: m["type"] == "agent_analysis" and m["id"] not in reader.ids)
        proxy.refusing = False
        await reader.until(lambda m: m["type"] == "agent_analysis")
        proxy.cut()
        await asyncio.gather(reader.finished(id_), seen.finished(id_))
        assert reader.seen == seen.seen
        assert set(driver.verdicts) == {True}
        assert driver.wire_faults == []


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["a1", "b1", "a2", "n"]),
    ({"events": ("agent_analysis",)}, ["a1", "b1"]),
    ({"events": ("notification", "numbered")}, ["a2", "n"]),
    ({"investigation_ids": ("a",)}, ["a1", "a2", "n"]),
    ({"investigation_ids": ("b",), "events": ("agent_analysis",)}, ["b1"]),
    ({"connection_type": "analysis"}, ["a1", "b1"]),
    ({"connection_type": "notifications"}, ["n"]),
    ({"connection_type": "investigation"}, ["a1", "b1", "n"]),
    ({"batch": True}, ["a1", "b1", "a2", "n"]),
]


async def publish_labelled(server: Server) -> dict[str, str]:
    """Events of two investigations and outside of any, then for every filter one to end with: cursors by label."""
    a, b, user = topics.investigation("a"), topics.investigation("b"), topics.user("ana")
    found = {
        "a1": await publish(server, a, events.AGENT_ANALYSIS),
        "b1": await publish(server, b, events.AGENT_ANALYSIS),
        "a2": await publish(server, a),
        "n": await publish(server, user, events.NOTIFICATION),
    }
    for topic in (a, b):
        found["end"] = await publish(server, topic, events.AGENT_ANALYSIS)
    found["end"] = await publish(server, user, events.NOTIFICATION)
    return found


@pytest.mark.parametrize(("options", "labels"), FILTERS)
async def test_only_what_was_asked_for_comes(
    serve: Serve, drive: Drive, name: str, options: dict[str, Any], labels: list[str]
) -> None:
    server = await serve()
    for id_ in ("a", "b"):
        await publish(server, topics.investigation(id_))
    async with asyncio.timeout(20), drive(name, server.http, server.token(), **options) as driver:
        await driver.open()
        published = await publish_labelled(server)
        reader = Reader(driver)
        await reader.until(lambda m: m["id"] not in published.values() or m["id"] == published[labels[-1]])
        assert reader.ids == [published[label] for label in labels]


async def test_a_subscription_holds_across_a_cut(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve()
    async with (
        asyncio.timeout(20),
        Proxy(server.port).running() as proxy,
        drive(name, f"http://127.0.0.1:{proxy.port}", server.token()) as driver,
    ):
        await driver.open()
        reader = Reader(driver)
        await driver.subscribe(events=["notification"])
        user = topics.user("ana")
        published = []
        for _ in range(3):
            await publish(server, user)
            published.append(await publish(server, user, events.NOTIFICATION))
            await reader.upto(published[-1])
            proxy.cut()
        assert reader.ids == published


async def test_the_sixth_connection_waits_until_there_is_room(
    serve: Serve, drive: Drive, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    refused: list[str] = []
    admit = server.gateway.open

    def watched(*arguments: Any, **options: Any) -> Any:
        try:
            return admit(*arguments, **options)
        except TurnedAway as away:
            refused.append(away.refusal.code)
            raise

    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(server.connect()) for _ in range(5)]
        monkeypatch.setattr(server.gateway, "open", watched)
        driver = await stack.enter_async_context(drive(name, server.http, server.token()))
        opening = asyncio.create_task(driver.open())
        await server.settled(lambda: len(refused) > 0)
        assert refused[0] == "CONNECTION_LIMIT"
        assert not opening.done()
        await others[0].ws.close()
        await opening
        assert await Reader(driver).upto(await publish(server, topics.user("ana")))


async def test_too_many_commands_are_refused_and_the_connection_stays(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve(limits={"messages_per_minute": 5})
    async with asyncio.timeout(20), drive(name, server.http, server.token()) as driver:
        await driver.open()
        with pytest.raises(Refused, match="RATE_LIMIT_EXCEEDED"):
            for _ in range(6):
                await driver.subscribe(events=["numbered"])
        assert await Reader(driver).upto(await publish(server, topics.user("ana")))
        assert driver.verdicts == [True]


async def test_a_command_that_is_wrong_is_refused_with_its_code(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve()
    async with asyncio.timeout(20), drive(name, server.http, server.token()) as driver:
        await driver.open()
        with pytest.raises(Refused, match="AGENT_UNAVAILABLE"):
            await driver.chat("nobody", "Olá")
        with pytest.raises(Refused, match="INVALID_REQUEST"):
            await driver.start("   ")
        assert (await driver.chat("drummond", "Olá")).strip()


@pytest.mark.parametrize("token", ["", "nonsense", "expired"])
async def test_a_refused_token_is_the_end(serve: Serve, drive: Drive, name: str, token: str) -> None:
    server = await serve()
    if token == "expired":
        token = server.token(ttl=-10)
    async with asyncio.timeout(20), drive(name, server.http, token) as driver:
        with pytest.raises(Ended):
            await driver.open()
        assert len(server.gateway.hub) == 0


async def test_a_token_that_runs_out_is_renewed_without_loss(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve()
    lives: list[float] = []

    async def fresh() -> str:
        # The first one has a second or two left, the others ten minutes.
        lives.append(time.time())
        return mint(SECRET, sub="ana", issued_at=time.time(), ttl=600 if len(lives) > 1 else 2)

    async with asyncio.timeout(30), drive(name, server.http, fresh) as driver:
        await driver.open()
        reader = Reader(driver)
        published = []
        # It is the clock that is waited for: the last of these is long after the end of the first token.
        for _ in range(14):
            published.append(await publish(server, topics.user("ana")))
            await asyncio.sleep(0.25)
        assert await reader.upto(published[-1]) == published
        assert len(lives) > 1
        assert set(driver.verdicts) == {True}


async def test_an_answer_that_was_on_its_way_in_a_cut_arrives(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve(agents={"speed": 10.0})
    async with (
        asyncio.timeout(30),
        Proxy(server.port).running() as proxy,
        drive(name, f"http://127.0.0.1:{proxy.port}", server.token()) as driver,
    ):
        await driver.open()
        asking = asyncio.create_task(driver.chat("drummond", "O que é uma licitação?"))
        await server.settled(lambda: len(server.gateway.chats) > 0)
        proxy.cut()
        assert (await asking).strip()


async def test_a_start_whose_answer_was_lost_starts_nothing_twice(serve: Serve, drive: Drive, name: str) -> None:
    server = await serve()
    async with (
        asyncio.timeout(30),
        Proxy(server.port).running() as proxy,
        drive(name, f"http://127.0.0.1:{proxy.port}", server.token()) as driver,
    ):
        await driver.open()
        proxy.mute()
        starting = asyncio.create_task(driver.start("Diárias de viagem"))
        if name.endswith("websocket"):
            await server.settled(lambda: server.gateway.investigations.running > 0)
        else:
            # The command comes on a connection of its own.
            await asyncio.sleep(0)
        proxy.cut()
        proxy.calm()
        id_ = await starting
        assert [found.id for found in server.gateway.investigations.of("ana")] == [id_]
        assert (await Reader(driver).finished(id_))["data"]["status"] == "completed"


@contextlib.asynccontextmanager
async def gateway_on(port: int) -> AsyncIterator[tuple[Server, web.AppRunner]]:
    """A gateway on this port; its runner may have been cleaned up before it is left."""
    app = build(configure())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        assert runner.server is not None
        yield Server(app[GATEWAY], runner.addresses[0][1], runner.server), runner
    finally:
        await runner.cleanup()


async def test_after_a_drain_the_successor_is_found_and_says_what_it_cannot_know(drive: Drive, name: str) -> None:
    async with asyncio.timeout(40), gateway_on(0) as (server, runner):
        async with drive(name, server.http, server.token()) as driver:
            await driver.open()
            reader = Reader(driver)
            first = driver.session_id
            await reader.upto(await publish(server, topics.user("ana")))
            await drain(server.gateway, 2.0)
            await server_ends(runner)
            async with gateway_on(server.port) as (successor, _):
                await successor.settled(lambda: successor.gateway.hub.of_user("ana") > 0)
                # Another epoch: nothing is replayed, the client knows, and what comes from now on comes.
                await reader.upto(await publish(successor, topics.user("ana")))
                assert driver.verdicts[-1] is False
                assert driver.session_id != first
                id_ = await driver.start("Obras paradas")
                assert (await reader.finished(id_))["data"]["status"] == "completed"
                await driver.close()


async def server_ends(runner: web.AppRunner) -> None:
    """What the process does after a drain."""
    await runner.app[EDGE].finish(1.0)
    await runner.cleanup()
