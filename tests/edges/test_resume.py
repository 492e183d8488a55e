"""Acknowledgment, replay, resume: a cut TCP connection loses nothing, repeats nothing, reorders nothing."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from conftest import Client, Server

from cidadao_rt.memory.log import Draft, Event
from cidadao_rt.words import events, topics

Serve = Callable[..., Awaitable[Server]]
Message = dict[str, Any]

CARRIERS = {"connection_established", "pong", "subscribed"}
"""Transient messages that carry an `id` which is a position and no event's own."""


def is_event(message: Message) -> bool:
    return "id" in message and message["type"] not in CARRIERS


def offset(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])


def ids(messages: list[Message]) -> list[str]:
    return [message["id"] for message in messages if is_event(message)]


async def publish(server: Server, name: str, type_: str, *, owner: str = "ana", **data: Any) -> Event:
    """One event of an investigation; its first one makes it known."""
    whole = {"investigation_id": name, **data}
    return await server.gateway.broker.publish(Draft(topics.investigation(name), owner, type_, whole))


async def notify(server: Server, sub: str = "ana", **data: Any) -> str:
    """A notification to one user; its cursor."""
    event = await server.gateway.broker.publish(Draft(topics.user(sub), sub, events.NOTIFICATION, data))
    return str(server.gateway.log.cursor(event.offset))


async def numbered(client: Client, count: int) -> list[int]:
    """The `n` of the next events, as many as `count`."""
    found: list[int] = []
    while len(found) < count:
        message = await client.recv()
        if is_event(message):
            found.append(message["data"]["n"])
    return found


async def left(server: Server, client: Client) -> None:
    """Wait until the server has noticed that this connection is gone."""
    session_id = client.welcome["data"]["session_id"]
    await server.settled(lambda: server.gateway.hub.of_session(session_id) is None)


async def read_events(client: Client, count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count:
        message = await client.recv()
        if is_event(message):
            found.append(message)
    return found


# -- one investigation, cut in the middle ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["session and last id", "session after an ack", "session alone", "last id", "after"])
async def test_a_cut_in_an_investigation_shows_in_nothing_that_is_received(serve: Serve, way: str) -> None:
    server = await serve(agents={"speed": 20.0})
    rng = Random(way)
    async with asyncio.timeout(30), server.connect() as witness:
        async with server.connect() as client:
            await client.send("start_investigation", {"query": "merenda escolar"}, correlation_id="once")
            before = await read_events(client, rng.randint(3, 8))
            if way == "session after an ack":
                await client.send("ack", {"id": before[-1]["id"]})
                await client.ask("ping")
                # Received, but never acknowledged: it comes again.
                await read_events(client, 2)
            client.cut()
        last = before[-1]["id"]
        # Something has happened by the time the client is back.
        await server.settled(lambda: server.gateway.log.head > offset(last) + 1)
        session = client.welcome["data"]["session_id"]
        query = {
            "session and last id": {"session_id": session, "last_event_id": last},
            "session after an ack": {"session_id": session},
            "session alone": {"session_id": session},
            "last id": {"last_event_id": last},
            "after": {},
        }[way]
        async with server.connect(**query) as again:
            told = again.welcome
            resumes = "session_id" in query
            assert told["data"]["resumed"] is resumes
            assert (told["data"]["session_id"] == session) is resumes
            if way == "after":
                await again.send("subscribe", {"after": last}, correlation_id="rewind")
                told = await again.until("subscribed")
                assert told["correlation_id"] == "rewind"
            assert told["data"]["recovered"] is True
            after = [m for m in await again.collect("investigation_update", status="completed") if is_event(m)]
            # What was owed at that moment is the beginning of what came.
            assert told["id"] == (client.welcome["id"] if way == "session alone" else last)
            assert 0 < told["data"]["replayed"] <= len(after)
        whole = [m for m in await witness.collect("investigation_update", status="completed") if is_event(m)]
    assert len(whole) > 15
    assert ids(whole) == sorted(set(ids(whole)), key=offset)
    assert (after if way == "session alone" else before + after) == whole


async def test_a_live_connection_rewinds_as_a_whole(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as client:
        sent = [await notify(server, n=n) for n in range(6)]
        assert await numbered(client, 6) == list(range(6))
        answer = await client.ask("subscribe", {"after": sent[2]})
        assert answer["type"] == "subscribed"
        assert (answer["id"], answer["data"]["recovered"], answer["data"]["replayed"]) == (sent[2], True, 3)
        await notify(server, n=6)
        assert await numbered(client, 4) == [3, 4, 5, 6]
        # The session's acknowledgment went back with it.
        client.cut()
        await left(server, client)
        session = client.welcome["data"]["session_id"]
        async with server.connect(session_id=session) as again:
            assert again.welcome["id"] == sent[2]
            assert await numbered(again, 4) == [3, 4, 5, 6]


async def test_rewinding_takes_the_acknowledgment_back(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20):
        async with server.connect() as client:
            sent = [await notify(server, n=n) for n in range(5)]
            await numbered(client, 5)
            await client.send("ack", {"id": sent[4]})
            await client.ask("subscribe", {"after": sent[1]})
            assert await numbered(client, 3) == [2, 3, 4]
            client.cut()
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert await numbered(again, 3) == [2, 3, 4]


# -- storms ---------------------------------------------------------------------------------------------------------


class Story:
    """What was published, for whom, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []

    def after(self, start: int, owner: str) -> list[int]:
        return [at for at, whose in self.events if at > start and whose in (owner, "")]


async def tell(server: Server, story: Story, count: int, rng: Random) -> None:
    """Publish `count` events to two users, their investigations and everyone, a few in each turn of the loop."""
    while len(story.events) < count:
        for _ in range(rng.randint(1, 12)):
            owner = rng.choice(("ana", "bia"))
            topic, whose = rng.choice(
                (
                    (topics.investigation(f"{owner}-{rng.randint(0, 4)}"), owner),
                    (topics.user(owner), owner),
                    (topics.EVERYONE, ""),
                )
            )
            event = await server.gateway.broker.publish(Draft(topic, whose, "tick", {"pad": "x" * rng.randint(0, 200)}))
            story.events.append((event.offset, whose))
        await asyncio.sleep(0)
    event = await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "end", {}))
    story.events.append((event.offset, ""))


async def wander(server: Server, story: Story, user: str, way: str, rng: Random) -> int:
    """Read, be cut at a random point, resume; until the end of the story. Returns how often it was cut."""
    query: dict[str, str] = {}
    cuts = 0
    got: list[int] = []
    while True:
        async with server.connect(user=user, **query) as client:
            welcome = client.welcome
            assert welcome["data"]["recovered"] is True
            assert welcome["data"]["resumed"] is bool(cuts)
            query = {"session_id": welcome["data"]["session_id"]}
            start = offset(welcome["id"])
            seen: list[int] = []
            ended = False
            for _ in range(rng.randint(1, 250)):
                message = await client.recv()
                if is_event(message):
                    seen.append(offset(message["id"]))
                    query["last_event_id"] = message["id"]
                    ended = message["type"] == "end"
                if ended:
                    break
                if way == "ack" and seen and rng.random() < 0.05:
                    await client.send("ack", {"id": query["last_event_id"]})
            # On each connection: all that there is past its welcome, once and in order.
            assert seen == story.after(start, user)[: len(seen)]
            fresh = [at for at in seen if not got or at > got[-1]]
            assert way == "ack" or fresh == seen, "came twice to a client that said where it was"
            got += fresh
            if ended:
                first = got[0]
                assert got == story.after(first - 1, user)
                return cuts
            client.cut()
            cuts += 1
        if way == "ack":
            query.pop("last_event_id", None)
        elif not query.get("last_event_id"):
            query["last_event_id"] = welcome["id"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_in_a_storm_of_cuts_and_resumes(serve: Serve, seed: int) -> None:
    server = await serve(
        limits={"connections_per_user": 10, "messages_per_minute": 100_000, "handshakes_per_second": 100_000},
        buffer={"events_per_topic": 10_000},
    )
    rng = Random(seed)
    story = Story()
    async with asyncio.timeout(45), asyncio.TaskGroup() as group:
        clients = [
            group.create_task(wander(server, story, user, way, Random(rng.random())))
            for user in ("ana", "bia")
            for way in ("last", "last", "last", "last", "last", "last", "last", "ack", "ack", "ack")
        ]
        await server.settled(lambda: len(server.gateway.hub) == len(clients))
        group.create_task(tell(server, story, 4000, rng))
    assert sum(client.result() for client in clients) > 100
    await server.settled(lambda: len(server.gateway.hub) == 0)


async def test_the_replay_of_thousands_is_followed_by_what_came_meanwhile(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 10_000})
    async with asyncio.timeout(30):
        async with server.connect() as client:
            client.cut()
        await left(server, client)
        for n in range(4000):
            await notify(server, n=n)
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["data"]["replayed"] == 4000
            assert again.welcome["id"] == client.welcome["id"]
            # Published while most of the replay is still to be sent.
            for n in range(4000, 4100):
                await notify(server, n=n)
                await asyncio.sleep(0)
            assert await numbered(again, 4100) == list(range(4100))


async def test_a_session_whose_first_connection_began_with_a_replay_resumes_from_that_beginning(serve: Serve) -> None:
    """Or else after the session's first welcome: its id is where its replay started, not the head of that time."""
    server = await serve(buffer={"events_per_topic": 10_000})
    async with asyncio.timeout(30):
        start = await notify(server, n=-1)
        for n in range(3000):
            await notify(server, n=n)
        async with server.connect(last_event_id=start) as client:
            assert client.welcome["id"] == start
            assert await numbered(client, 5) == list(range(5))
            client.cut()
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["data"]["recovered"] is True
            assert again.welcome["id"] == start
            assert await numbered(again, 3000) == list(range(3000))


# -- taking over ----------------------------------------------------------------------------------------------------


async def test_a_resume_takes_over_and_the_older_connection_is_told(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as older:
        first = await notify(server, n=0)
        await numbered(older, 1)
        session = older.welcome["data"]["session_id"]
        async with server.connect(session_id=session, last_event_id=first) as newer:
            assert newer.welcome["data"]["resumed"] is True
            assert await older.closed() == (1000, "Session resumed elsewhere")
            await notify(server, n=1)
            assert await numbered(newer, 1) == [1]
            # The end of the older one did not detach the session from the newer one.
            assert server.gateway.hub.of_user("ana") == 1
            await newer.ask("ping")


async def test_a_resume_takes_over_at_the_limit_of_five(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(server.connect()) for _ in range(4)]
        older = await stack.enter_async_context(server.connect())
        session = older.welcome["data"]["session_id"]
        newer = await stack.enter_async_context(server.connect(session_id=session))
        assert newer.welcome["data"]["session_id"] == session
        assert await older.closed() == (1000, "Session resumed elsewhere")
        assert server.gateway.hub.of_user("ana") == 5
        # A sixth that takes over nothing is one too many, and takes nobody's place.
        async with server.raw(session_id="sess_unknown") as sixth:
            assert (await sixth.recv())["data"]["code"] == "CONNECTION_LIMIT"
            assert (await sixth.closed())[0] == 1013
        for client in (newer, *others):
            await client.ask("ping")


@pytest.mark.parametrize("limit", ["max_connections", "connections_per_address"])
async def test_a_resume_takes_over_at_the_limits_of_the_node(serve: Serve, limit: str) -> None:
    """A resume *always* takes over: the older connection is closed before the new one is counted."""
    server = await serve(limits={limit: 2})
    async with asyncio.timeout(20), server.connect(user="bia"), server.connect() as older:
        async with server.raw(session_id=older.welcome["data"]["session_id"]) as newer:
            welcome = await newer.recv()
            assert welcome["type"] == "connection_established"
            assert welcome["data"]["resumed"] is True
        assert await older.closed() == (1000, "Session resumed elsewhere")


async def test_a_session_is_passed_on_many_times(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        query: dict[str, str] = {}
        clients: list[Client] = []
        for n in range(8):
            clients.append(await stack.enter_async_context(server.connect(**query)))
            query = {"session_id": clients[-1].welcome["data"]["session_id"]}
            last = await notify(server, n=n)
            # Nothing was acknowledged, so each starts from the session's beginning.
            assert await numbered(clients[-1], n + 1) == list(range(n + 1))
        assert [await client.closed() for client in clients[:-1]] == [(1000, "Session resumed elsewhere")] * 7
        assert len(server.gateway.hub) == 1
        await clients[-1].ws.close()
        await left(server, clients[-1])
        async with server.connect(**query, last_event_id=last) as again:
            assert again.welcome["data"]["resumed"] is True
            assert again.welcome["data"]["replayed"] == 0


# -- what a session remembers ---------------------------------------------------------------------------------------


async def test_subscriptions_are_restored(serve: Serve) -> None:
    server = await serve()
    await publish(server, "one", "progress_update", overall_progress=1)
    await publish(server, "two", "progress_update", overall_progress=1)
    async with asyncio.timeout(20):
        async with server.connect() as client:
            wanted = {"events": ["agent_analysis"], "investigation_ids": ["one"]}
            assert (await client.ask("subscribe", wanted))["data"]["denied"] == []
            client.cut()
        await left(server, client)
        for name in ("two", "one"):
            await publish(server, name, "progress_update", overall_progress=2)
            await publish(server, name, "agent_analysis", agent="zumbi", n=name)
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["data"]["replayed"] == 1
            await publish(server, "two", "agent_analysis", agent="zumbi", n="live two")
            await publish(server, "one", "agent_analysis", agent="zumbi", n="live one")
            assert await numbered(again, 2) == ["one", "live one"]


async def test_grants_are_checked_again(serve: Serve) -> None:
    server = await serve()
    await publish(server, "shared", "progress_update", owner="bia", overall_progress=1)
    async with asyncio.timeout(20):
        async with server.connect(token=server.token("ana", investigations=["shared"])) as client:
            await client.ask("subscribe", {})
            answer = await client.ask("subscribe", {"investigation_ids": ["shared"]})
            assert answer["data"]["investigation_ids"] == ["shared"]
            client.cut()
        await left(server, client)
        await publish(server, "shared", "progress_update", owner="bia", overall_progress=2)
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["data"]["resumed"] is True
            assert again.welcome["data"]["replayed"] == 0
            assert again.welcome["data"]["denied"] == [{"investigation_id": "shared", "code": "NOT_FOUND"}]
            await publish(server, "shared", "progress_update", owner="bia", overall_progress=3)
            await notify(server, n=1)
            assert await numbered(again, 1) == [1]


async def test_a_bound_session_is_bound_on_every_path(serve: Serve) -> None:
    """Taken up without its path it must not become a connection that follows nothing in silence."""
    server = await serve()
    await server.gateway.broker.publish(Draft(topics.investigation("i"), "bia", "custom", {}))
    async with server.connect("/ws/investigations/i", token=server.token(investigations=["i"])) as ana:
        session_id = ana.welcome["data"]["session_id"]
    async with server.raw(session_id=session_id) as ana:
        assert (await ana.recv())["data"]["code"] == "NOT_FOUND"
        assert await ana.closed() == (1008, "Investigation not found")


async def test_an_unknown_session_is_a_new_one(serve: Serve) -> None:
    server = await serve()
    await notify(server, n=0)
    async with asyncio.timeout(20), server.connect(session_id="sess_" + "0" * 32) as client:
        data = client.welcome["data"]
        assert (data["resumed"], data["recovered"], data["replayed"]) == (False, True, 0)
        assert data["session_id"] != "sess_" + "0" * 32


async def test_a_foreign_session_is_as_unknown_as_one_that_never_was(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect(user="bia") as bia:
        theirs = bia.welcome["data"]["session_id"]
        sent = await notify(server, "bia", n=0)
        async with server.connect(session_id=theirs) as ana:
            data = ana.welcome["data"]
            assert (data["resumed"], data["recovered"], data["replayed"]) == (False, True, 0)
            assert data["session_id"] != theirs
            await notify(server, "ana", n="ana")
            assert await numbered(ana, 1) == ["ana"]
        # And it harmed nobody.
        await notify(server, "bia", n=1)
        assert await numbered(bia, 2) == [0, 1]
        bia.cut()
        await left(server, bia)
        async with server.connect(user="ana", session_id=theirs, last_event_id=sent) as ana:
            assert ana.welcome["data"]["resumed"] is False
        async with server.connect(user="bia", session_id=theirs, last_event_id=sent) as again:
            assert again.welcome["data"]["resumed"] is True
            assert await numbered(again, 1) == [1]


async def test_a_session_expires(serve: Serve) -> None:
    server = await serve(limits={"session_seconds": 0.05})
    async with asyncio.timeout(20):
        async with server.connect() as client:
            session = client.welcome["data"]["session_id"]
            # However old it is, a session that is carried does not expire.
            await asyncio.sleep(0.1)
            async with server.connect(session_id=session) as again:
                assert again.welcome["data"]["resumed"] is True
                again.cut()
        await left(server, again)
        gateway = server.gateway
        await server.settled(lambda: gateway.users.session("ana", session, gateway.clock()) is None)
        async with server.connect(session_id=session) as again:
            assert again.welcome["data"]["resumed"] is False
            assert again.welcome["data"]["session_id"] != session


# -- ack ------------------------------------------------------------------------------------------------------------


async def test_an_ack_is_cumulative_and_does_not_go_back(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20):
        async with server.connect() as client:
            sent = [await notify(server, n=n) for n in range(5)]
            await numbered(client, 5)
            await client.send("ack", {"id": sent[3]})
            await client.send("ack", {"id": sent[1]})
            # No answer comes: the next message is the pong.
            await client.send("ping")
            assert (await client.recv())["type"] == "pong"
            client.cut()
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["id"] == sent[3]
            assert await numbered(again, 1) == [4]


async def test_an_ack_beyond_what_was_sent_is_refused(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as client:
        sent = await notify(server, n=0)
        await numbered(client, 1)
        for wrong in (f"{sent}0", "x-1", "nothing", server.gateway.log.epoch + "--1"):
            await client.send("ack", {"id": wrong}, correlation_id=wrong)
            answer = await client.recv()
            assert (answer["type"], answer["data"]["code"]) == ("error", "INVALID_REQUEST")
            assert answer["data"]["details"]["field"] == "id"


# -- not recovered --------------------------------------------------------------------------------------------------


async def refused_to_recover(client: Client, server: Server, states: dict[str, str]) -> None:
    """The welcome says so, and in place of the events comes each investigation's state; then what is live."""
    data = client.welcome["data"]
    assert (data["recovered"], data["replayed"]) == (False, 0)
    assert client.welcome["id"] == str(server.gateway.log.cursor(server.gateway.log.head))
    snapshots = [await client.recv() for _ in states]
    assert all(m["type"] == "investigation_update" and "id" not in m for m in snapshots)
    assert {m["data"]["investigation_id"]: m["data"]["status"] for m in snapshots} == states
    unfinished = [m["data"]["status"] != "completed" for m in snapshots]
    assert unfinished == sorted(unfinished, reverse=True)
    await notify(server, n="live")
    following = await client.recv()
    assert (following["data"].get("n"), is_event(following)) == ("live", True)


async def two_investigations(server: Server) -> dict[str, str]:
    await publish(server, "done", "investigation_update", status="started", progress=0)
    await publish(server, "runs", "investigation_update", status="started", progress=0)
    await publish(server, "done", "investigation_update", status="completed", progress=100)
    await publish(server, "runs", "investigation_update", status="processing", progress=30)
    await publish(server, "of bia", "investigation_update", owner="bia", status="started", progress=0)
    return {"done": "completed", "runs": "processing"}


async def cut_with_a_cursor(server: Server) -> tuple[str, str]:
    """A session, and the cursor of the last event it has received."""
    async with server.connect() as client:
        last = await notify(server, n=0)
        await client.until("notification")
        client.cut()
    await left(server, client)
    return client.welcome["data"]["session_id"], last


@pytest.mark.parametrize("with_session", [True, False])
async def test_what_was_trimmed_is_not_recovered(serve: Serve, with_session: bool) -> None:
    server = await serve(buffer={"events_per_topic": 3})
    async with asyncio.timeout(20):
        session, last = await cut_with_a_cursor(server)
        states = await two_investigations(server)
        for n in range(5):
            await notify(server, n=n)
        query = {"session_id": session} if with_session else {}
        async with server.connect(last_event_id=last, **query) as client:
            assert client.welcome["data"]["resumed"] is with_session
            await refused_to_recover(client, server, states)


async def test_what_was_trimmed_of_others_spoils_nothing(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 3})
    async with asyncio.timeout(20):
        session, last = await cut_with_a_cursor(server)
        for n in range(50):
            await notify(server, "bia", n=n)
            await publish(server, "of bia", "agent_analysis", owner="bia", n=n)
        await notify(server, n="mine")
        async with server.connect(session_id=session, last_event_id=last) as client:
            assert (client.welcome["data"]["recovered"], client.welcome["data"]["replayed"]) == (True, 1)
            assert await numbered(client, 1) == ["mine"]


async def test_a_type_that_is_not_followed_may_be_trimmed(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 3})
    async with asyncio.timeout(20):
        async with server.connect(connection_type="analysis") as client:
            for n in range(10):
                await publish(server, "one", "progress_update", overall_progress=n)
            client.cut()
        await left(server, client)
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert again.welcome["data"]["recovered"] is True
        async with server.connect(last_event_id=client.welcome["id"]) as other:
            assert other.welcome["data"]["recovered"] is False


async def test_a_cursor_of_another_life_is_not_recovered(serve: Serve) -> None:
    first, second = await serve(), await serve()
    async with asyncio.timeout(20):
        session, last = await cut_with_a_cursor(first)
        states = await two_investigations(second)
        async with second.connect(session_id=session, last_event_id=last) as client:
            assert client.welcome["data"]["resumed"] is False
            await refused_to_recover(client, second, states)


@pytest.mark.parametrize("wrong", ["past the head", "none", "negative", "empty", "zeros", "long"])
async def test_a_cursor_that_cannot_be_is_not_recovered(serve: Serve, wrong: str) -> None:
    server = await serve()
    async with asyncio.timeout(20):
        states = await two_investigations(server)
        log = server.gateway.log
        cursor = {
            "past the head": f"{log.epoch}-{log.head + 1}",
            "none": "not a cursor",
            "negative": f"{log.epoch}--1",
            "empty": "",
            "zeros": f"{log.epoch}-01",
            "long": f"{log.epoch}-" + "9" * 5000,
        }[wrong]
        async with server.connect(last_event_id=cursor) as client:
            await refused_to_recover(client, server, states)


async def test_more_than_the_most_is_not_recovered(serve: Serve) -> None:
    server = await serve(buffer={"replay_events": 6})
    async with asyncio.timeout(20):
        session, last = await cut_with_a_cursor(server)
        states = await two_investigations(server)
        for n in range(2):
            await notify(server, n=n)
        async with server.connect(session_id=session, last_event_id=last) as client:
            assert (client.welcome["data"]["recovered"], client.welcome["data"]["replayed"]) == (True, 6)
            assert len(await read_events(client, 6)) == 6
            client.cut()
        await left(server, client)
        await notify(server, n=2)
        async with server.connect(session_id=session, last_event_id=last) as client:
            await refused_to_recover(client, server, states)
            client.cut()
        # What is settled by snapshots is not asked for again by a client that says where it was told to go on.
        async with server.connect(session_id=session, last_event_id=client.welcome["id"]) as client:
            assert client.welcome["data"]["recovered"] is True
            assert await numbered(client, 1) == ["live"]


async def test_a_welcome_that_was_lost_on_its_way_settles_nothing(serve: Serve) -> None:
    """Nobody knows whether a client has received what it has not acknowledged: `recovered: true` is never wrong."""
    server = await serve(buffer={"events_per_topic": 3})
    async with asyncio.timeout(20):
        session, _ = await cut_with_a_cursor(server)
        for n in range(10):
            await notify(server, n=n)
        # The client sees nothing of this welcome, which says that events are lost.
        async with server.raw(session_id=session) as client:
            await server.settled(lambda: server.gateway.hub.of_session(session) is not None)
            client.cut()
        await server.settled(lambda: server.gateway.hub.of_session(session) is None)
        async with server.connect(session_id=session) as again:
            assert again.welcome["data"]["resumed"] is True
            assert again.welcome["data"]["recovered"] is False
            await again.send("ack", {"id": again.welcome["id"]})
            await again.ask("ping")
            again.cut()
        async with server.connect(session_id=session) as again:
            assert again.welcome["data"]["recovered"] is True


async def test_a_rewind_that_cannot_be_settles_nothing(serve: Serve) -> None:
    """What was never acknowledged is still owed, although the client had asked for something lost in between."""
    server = await serve()
    async with asyncio.timeout(20):
        async with server.connect() as client:
            for n in range(5):
                await notify(server, n=n)
            await client.send("subscribe", {"after": "gone-1"})
            await client.ask("ping")
            client.cut()
        await left(server, client)
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            assert (again.welcome["data"]["recovered"], again.welcome["data"]["replayed"]) == (True, 5)
            assert await numbered(again, 5) == list(range(5))


async def test_a_subscribe_after_what_was_trimmed_gets_snapshots(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 3})
    async with asyncio.timeout(20), server.connect() as client:
        states = await two_investigations(server)
        for n in range(10):
            await notify(server, n=n)
        await client.until("notification", n=9)
        answer = await client.ask("subscribe", {"after": client.welcome["id"]})
        assert (answer["data"]["recovered"], answer["data"]["replayed"]) == (False, 0)
        seen = [await client.recv() for _ in range(1)]
        assert "id" not in seen[0]
        assert (seen[0]["data"]["investigation_id"], seen[0]["data"]["status"]) == ("runs", states["runs"])


# -- chats and starts -----------------------------------------------------------------------------------------------


async def test_a_chat_cut_in_mid_answer_loses_no_answer(serve: Serve) -> None:
    server = await serve(agents={"speed": 20.0})
    async with asyncio.timeout(20), server.connect() as other:
        async with server.connect("/ws/chat", agent="drummond") as client:
            await client.send("agent_chat", {"message": "Quais são os riscos?"}, correlation_id="asked")
            chunk = await client.until("agent_chat_chunk")
            assert (chunk["correlation_id"], "id" in chunk) == ("asked", False)
            client.cut()
        await left(server, client)
        query = {"session_id": client.welcome["data"]["session_id"], "last_event_id": client.welcome["id"]}
        async with server.connect("/ws/chat", **query) as again:
            final = await again.until("agent_chat")
            assert final["correlation_id"] == "asked"
            assert final["data"]["message"].startswith(chunk["data"]["content"])
            again.cut()
        await left(server, again)
        # It is in the log now; a client that did not get so far is sent it again, the same bytes.
        async with server.connect("/ws/chat", **query) as once_more:
            assert (once_more.welcome["data"]["recovered"], once_more.welcome["data"]["replayed"]) == (True, 1)
            assert await once_more.recv() == final
        # It is the answer to one session, not to the user's others.
        await notify(server, n=0)
        assert (await other.recv())["type"] == "notification"


async def test_the_url_s_agent_answers_also_in_a_session_that_began_with_another(serve: Serve) -> None:
    server = await serve()

    async def who_answers(**query: Any) -> tuple[str, str]:
        async with server.connect("/ws/chat", **query) as ana:
            typing = await ana.ask("agent_chat", {"message": "oi"})
            return ana.welcome["data"]["session_id"], typing["data"]["agent"]

    session_id, agent = await who_answers()
    assert agent == "drummond"
    assert await who_answers(session_id=session_id, agent="zumbi") == (session_id, "zumbi")
    assert await who_answers(session_id=session_id) == (session_id, "zumbi")


async def test_the_same_start_sent_again_after_a_cut_starts_nothing_twice(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.01})
    command = {"query": "merenda escolar", "filters": {"min_value": 10}}
    async with asyncio.timeout(20):
        async with server.connect() as client:
            await client.send("start_investigation", command, correlation_id="start-1")
            started = await client.until("investigation_update", status="started")
            client.cut()
        # With the session and without: it is the user's.
        for query in ({"session_id": client.welcome["data"]["session_id"]}, {}):
            async with server.connect(**query) as again:
                await again.send("start_investigation", command, correlation_id="start-1")
                while "id" in (answer := await again.recv()) or answer.get("correlation_id") != "start-1":
                    pass
                assert answer["type"] == "investigation_update"
                assert answer["data"]["investigation_id"] == started["data"]["investigation_id"]
                await again.send("start_investigation", {"query": "outra"}, correlation_id="start-1")
                answer = await again.until("error")
                assert answer["data"]["code"] == "INVALID_REQUEST"
                assert answer["correlation_id"] == "start-1"
        assert server.gateway.investigations.running == 1
        # Another user's correlation ids are another's.
        async with server.connect(user="bia") as bia:
            await bia.send("start_investigation", command, correlation_id="start-1")
            theirs = await bia.until("investigation_update", status="started")
            assert theirs["data"]["investigation_id"] != started["data"]["investigation_id"]


async def test_a_start_that_was_cut_before_its_answer_is_found_again(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.01})
    async with asyncio.timeout(20):
        async with server.connect() as client:
            await client.send("start_investigation", {"query": "merenda"}, correlation_id="start-1")
            await server.settled(lambda: server.gateway.investigations.running == 1)
            client.cut()
        async with server.connect(session_id=client.welcome["data"]["session_id"]) as again:
            started = await again.recv()
            assert (started["type"], started["data"]["status"]) == ("investigation_update", "started")
            assert started["correlation_id"] == "start-1"
            assert is_event(started)


# -- ids ------------------------------------------------------------------------------------------------------------


async def test_the_welcome_s_id_is_where_its_replay_starts(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20):
        head = await notify(server, n=0)
        async with server.connect() as client:
            assert client.welcome["id"] == head
            sent = [await notify(server, n=n) for n in range(1, 4)]
            await numbered(client, 3)
            client.cut()
        await left(server, client)
        session = client.welcome["data"]["session_id"]
        for last, owed in ((sent[0], 2), (sent[1], 1), (sent[2], 0)):
            async with server.connect(session_id=session, last_event_id=last) as again:
                assert (again.welcome["id"], again.welcome["data"]["replayed"]) == (last, owed)
                again.cut()
        # Nothing is owed: the head, however old the cursor.
        head = await notify(server, "bia", n=0)
        async with server.connect(session_id=session, last_event_id=sent[2]) as again:
            assert (again.welcome["id"], again.welcome["data"]["replayed"]) == (head, 0)


async def test_a_pong_never_passes_an_event_not_yet_received(serve: Serve) -> None:
    server = await serve(
        limits={"messages_per_minute": 100_000, "handshakes_per_second": 100_000},
        buffer={"events_per_topic": 20_000},
    )
    rng = Random(7)
    story = Story()
    pongs_in_mid_replay = 0
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        async with server.connect() as client:
            last = client.welcome["id"]
        telling = group.create_task(tell(server, story, 4000, rng))
        session = client.welcome["data"]["session_id"]
        finished = False
        while not finished:
            async with server.connect(session_id=session, last_event_id=last) as client:
                start = offset(client.welcome["id"])
                seen: list[int] = []
                for _ in range(rng.randint(1, 4)):
                    await client.send("ping")
                    while True:
                        message = await client.recv()
                        if message["type"] == "pong":
                            break
                        seen.append(offset(message["id"]))
                    position = offset(message["id"])
                    # Exactly those up to the pong's id have come before it.
                    assert seen == [at for at in story.after(start, "ana") if at <= position]
                    pongs_in_mid_replay += position < server.gateway.log.head
                finished = telling.done() and position == server.gateway.log.head
                # A client may come back with the pong's id, which is as good as an event's.
                last = message["id"]
                client.cut()
    assert pongs_in_mid_replay > 0


async def test_a_pong_in_the_middle_of_a_replay_is_stamped_there(serve: Serve) -> None:
    """So much is owed that no socket takes it at once: the ping overtakes most of it."""
    server = await serve(buffer={"events_per_topic": 10_000, "bytes_per_topic": 1 << 26})
    async with asyncio.timeout(30):
        start = await notify(server, n=-1)
        for n in range(3000):
            await notify(server, n=n, pad="x" * 5000)
        async with server.connect(last_event_id=start) as client:
            await client.send("ping")
            seen = await client.collect("pong")
            assert seen[-1]["id"] == seen[-2]["id"]
            assert len(seen) < 3000
            assert offset(seen[-1]["id"]) < server.gateway.log.head
            found = [message["data"]["n"] for message in seen[:-1]]
            assert found + await numbered(client, 3000 - len(found)) == list(range(3000))


async def test_a_pong_moves_a_cursor_past_what_is_not_followed(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as client:
        head = ""
        for n in range(3):
            head = await notify(server, "bia", n=n)
        pong = await client.ask("ping")
        assert (pong["id"], pong["data"]) == (head, {})


async def test_events_are_the_same_bytes_live_and_in_replay(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), server.connect() as live:
        start = live.welcome["id"]
        for n in range(4):
            await notify(server, n=n, text="ação \u2028 " + "x" * (1 << (5 * n)))
        frames = [await live.ws.recv(decode=False) for _ in range(4)]
        async with server.connect(last_event_id=start) as replayed:
            assert [await replayed.ws.recv(decode=False) for _ in range(4)] == frames
        assert [json.loads(frame)["data"]["n"] for frame in frames] == [0, 1, 2, 3]
