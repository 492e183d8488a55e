"""The client against a real gateway, over each transport: calls, streams, cuts, restarts."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from client_wire import ALL, client, numbers, publish, take, wire
from conftest import Server
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

from cidadao_rt.client import (
    ClosedError,
    CommandError,
    Event,
    OutcomeUnknownError,
    RefusedError,
    State,
    Status,
    connect,
)
from cidadao_rt.client.streams import FULL
from cidadao_rt.memory.log import Draft
from cidadao_rt.motion.drain import drain
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]
every_transport = pytest.mark.parametrize("transport", ALL)


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> Any:
    """No task of the client's outlives it."""
    yield
    left = [task for task in asyncio.all_tasks() if "/client/" in str(task.get_coro()) and "wire" not in str(task)]
    assert not left


# -- calls and streams ------------------------------------------------------------------------------------------------


@every_transport
async def test_an_investigation_is_started_and_iterated_to_its_end(serve: Serve, transport: str) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        assert (rt.transport, rt.recovered, rt.status.state) == (transport, True, State.OPEN)
        investigation = await rt.start_investigation("Merenda", {"min_value": 10}, ["zumbi"])
        seen = [event async for event in investigation]
        assert seen[0].data["status"] == "started"
        assert seen[-1].data["status"] == "completed"
        assert (investigation.status, investigation.progress, investigation.is_final) == ("completed", 100, True)
        assert all(event.data["investigation_id"] == investigation.id for event in seen)
        # The stream of all events has them as well, the one that was the answer too.
        assert [event.id for event in await take(rt, len(seen))] == [event.id for event in seen]


@every_transport
async def test_an_investigation_is_cancelled(serve: Serve, transport: str) -> None:
    server = await serve(agents={"speed": 0.01})
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        investigation = await rt.start_investigation("Merenda")
        assert await investigation.cancel() == "cancelled"
        assert [event async for event in investigation][-1].data["status"] == "cancelled"
        assert await investigation.cancel() == "cancelled"


@every_transport
async def test_a_chat_is_answered_as_a_value_and_in_pieces(serve: Serve, transport: str) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, transports=[transport], path="/ws/chat") as rt:
        pieces: list[str] = []
        answer = await rt.chat("drummond", "Bom dia", on_chunk=pieces.append)
        assert (answer.agent, answer.agent_name) == ("drummond", "Carlos Drummond de Andrade")
        assert answer.suggested_actions
        if transport != "poll":
            assert "".join(pieces) == answer.message
        # It was for the call; the stream has what comes after it.
        await publish(server, 7)
        assert numbers([await anext(rt)]) == [7]


@every_transport
async def test_an_error_in_answer_is_raised(serve: Serve, transport: str) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        with pytest.raises(CommandError) as caught:
            await rt.cancel_investigation("inv_unknown")
        assert caught.value.code == "NOT_FOUND"
        with pytest.raises(CommandError) as caught:
            await rt.chat("nobody", "m")
        assert caught.value.code == "AGENT_UNAVAILABLE"
        assert "drummond" in caught.value.details["available"]
        with pytest.raises(CommandError, match="UNKNOWN_TYPE"):
            await rt.send("dance", {})
        with pytest.raises(ValueError, match="ack"):
            await rt.send("ack", {"id": "e-1"})
        assert 0 < await rt.ping() < 10


@every_transport
async def test_a_rate_limit_is_the_callers_to_see(serve: Serve, transport: str) -> None:
    server = await serve(limits={"messages_per_minute": 3})
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        for _ in range(3):
            await rt.ping()
        with pytest.raises(CommandError) as caught:
            await rt.ping()
        assert caught.value.code == "RATE_LIMIT_EXCEEDED"
        assert 0 < caught.value.details["retry_after"] <= 60


@every_transport
async def test_subscriptions_change_and_outlive_the_session(serve: Serve, transport: str) -> None:
    servers = [await serve()]
    async with asyncio.timeout(12), wire(lambda: servers[-1].port) as between:
        async with client(servers[0], at=between.http, transports=[transport], heartbeat_seconds=1) as rt:
            granted = await rt.subscribe(events=["notification", "progress_update"])
            assert granted["events"] == ["notification", "progress_update"]
            assert (await rt.unsubscribe(events=["notification"]))["events"] == ["notification"]
            servers.append(await serve())
            between.cut()
            # The successor knows nothing of the session; its default would bring notifications.
            assert (await anext(rt)).data["recovered"] is False
            await rt.ping()
            await publish(servers[1], 1)
            await rt.subscribe(events=["notification"])
            await publish(servers[1], 2)
            assert numbers([await anext(rt)]) == [2]


@every_transport
async def test_what_a_lost_session_had_subscribed_to_is_not_missed(serve: Serve, transport: str) -> None:
    """Nor does it come after what was published later, though the new session begins with its default."""
    server = await serve()
    shared = topics.investigation("shared")

    async def say(topic: topics.Topic, n: int) -> None:
        await server.gateway.broker.publish(Draft(topic, "bia", "numbered", {"n": n}))

    async def heard(rt: Any, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            event = await anext(rt)
            found += [event.data["n"]] if event.type == "numbered" else []
        return found

    await say(shared, 0)
    token = server.token("ana", investigations=["shared"])
    options = {"transports": [transport], "token": token, "heartbeat_seconds": 1}
    async with asyncio.timeout(12), wire(server) as between, client(server, at=between.http, **options) as rt:
        await rt.subscribe()
        await rt.subscribe(investigation_ids=["shared"])
        await say(shared, 1)
        assert await heard(rt, 1) == [1]
        between.down = True
        between.cut()
        await server.settled(lambda: len(server.gateway.hub) == 0)
        server.gateway.users.drop("ana")
        for n in range(2, 10):
            await say(shared if n % 2 else topics.user("ana"), n)
        between.down = False
        assert await heard(rt, 8) == list(range(2, 10))
        assert rt.recovered


@every_transport
@pytest.mark.parametrize("options", [{}, {"batch": True}, {"conflate": True}])
async def test_economies_and_filters(serve: Serve, transport: str, options: dict[str, Any]) -> None:
    server = await serve()
    async with asyncio.timeout(12):
        async with client(server, transports=[transport], events=["notification"], **options) as rt:
            await publish(server, *range(600))
            await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "custom", {}))
            await publish(server, 600)
            assert numbers(await take(rt, 601)) == list(range(601))


@every_transport
async def test_a_rewind_brings_what_is_newly_followed_and_nothing_twice(serve: Serve, transport: str) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, transports=[transport], events=["notification"]) as rt:
        start = rt.cursor
        await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "custom", {}))
        await publish(server, 1, 2)
        assert numbers(await take(rt, 2)) == [1, 2]
        answer = await rt.subscribe(events=["custom"], after=start)
        assert (answer["recovered"], answer["replayed"]) == (True, 3)
        assert (await anext(rt)).type == "custom"
        await publish(server, 3)
        assert numbers(await take(rt, 1)) == [3]


async def test_a_command_that_costs_the_connection_is_not_sent_again(serve: Serve) -> None:
    server = await serve(limits={"message_bytes": 1000, "frame_bytes": 2000})
    async with asyncio.timeout(12), client(server) as rt:
        small = asyncio.create_task(rt.chat("drummond", "m" * 100))
        with pytest.raises(CommandError, match="MESSAGE_TOO_LARGE"):
            await rt.chat("drummond", "m" * 3000)
        assert (await small).message
        with pytest.raises(CommandError, match="MESSAGE_TOO_LARGE"):
            await rt.chat("drummond", "m" * 1500)


async def test_the_paths(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.01})
    async with asyncio.timeout(12), client(server) as rt:
        one, other = await rt.start_investigation("a"), await rt.start_investigation("b")
        path = f"/ws/investigations/{one.id}"
        for transport in ALL:
            async with client(server, path=path, transports=[transport]) as bound:
                await other.cancel()
                draft = Draft(topics.investigation(one.id), "ana", "notification", {"investigation_id": one.id})
                await server.gateway.broker.publish(draft)
                seen = await anext(bound)
                while seen.type == "investigation_update":
                    seen = await anext(bound)
                assert seen.data["investigation_id"] == one.id


# -- cuts -------------------------------------------------------------------------------------------------------------


@every_transport
async def test_cuts_in_the_middle_lose_and_repeat_nothing(serve: Serve, transport: str) -> None:
    server = await serve(agents={"speed": 5.0})
    async with asyncio.timeout(12), wire(server) as between:
        options: dict[str, Any] = {"transports": [transport]}
        async with client(server, at=between.http, **options) as cut, client(server, **options) as calm:
            states: list[Status] = []
            cut.on_status(states.append)
            investigation = await cut.start_investigation("Merenda")
            seen: list[Event] = []
            async for event in investigation:
                seen.append(event)
                if len(seen) % 4 == 2:
                    between.cut()
            wanted: list[Event] = []
            while not wanted or wanted[-1].id != seen[-1].id:
                wanted.append(await anext(calm))
            assert [event.id for event in seen] == [event.id for event in wanted]
            assert [event.id for event in await take(cut, len(wanted))] == [event.id for event in wanted]
            if transport != "poll":
                # A request that is cut before its answer may be made again by aiohttp itself.
                assert {State.WAITING, State.CONNECTING, State.OPEN} <= {status.state for status in states}
            assert cut.recovered is True


@every_transport
async def test_a_chat_outlives_a_cut_and_is_answered_once(serve: Serve, transport: str) -> None:
    server = await serve(agents={"speed": 2.0})
    async with asyncio.timeout(12), wire(server) as between:
        async with client(server, at=between.http, transports=[transport]) as rt:
            asked = asyncio.create_task(rt.chat("drummond", "Bom dia"))
            await server.settled(lambda: len(server.gateway.chats) == 1)
            # Its sign of life has been read once a later answer has.
            await rt.ping()
            between.cut()
            assert (await asked).message
            assert len(server.gateway.chats) == 0
            events = list(server.gateway.log.since(0, rt_interest(server, rt.session_id), 100, 10**6).events)
            assert [event.type for event in events].count("agent_chat") == 1


def rt_interest(server: Server, session_id: str | None) -> Any:
    session = server.gateway.users.session("ana", str(session_id), server.gateway.clock())
    assert session is not None
    return session.interest


@every_transport
async def test_commands_made_offline_wait_bounded_and_are_carried_out_once(serve: Serve, transport: str) -> None:
    server = await serve(agents={"speed": 0.01})
    async with asyncio.timeout(12), wire(server) as between:
        async with client(server, at=between.http, transports=[transport], max_pending=3) as rt:
            between.down = True
            between.cut()
            calls = [asyncio.create_task(rt.start_investigation(f"q{n}")) for n in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(OverflowError):
                await rt.ping()
            await server.settled(lambda: rt.status.state is State.WAITING)
            between.down = False
            started = await asyncio.gather(*calls)
            assert len({investigation.id for investigation in started}) == 3
            assert server.gateway.investigations.running == 3


@every_transport
async def test_a_start_whose_answer_was_lost_starts_nothing_twice(serve: Serve, transport: str) -> None:
    server = await serve(agents={"speed": 0.01})
    async with asyncio.timeout(12), wire(server) as between:
        async with client(server, at=between.http, transports=[transport]) as rt:
            between.mute = True
            call = asyncio.create_task(rt.start_investigation("q"))
            await server.settled(lambda: server.gateway.investigations.running == 1)
            between.mute = False
            between.cut()
            investigation = await call
            assert server.gateway.investigations.running == 1
            await investigation.cancel()
            assert [event async for event in investigation][-1].data["status"] == "cancelled"


@every_transport
async def test_a_silent_connection_is_cut_and_replaced(
    serve: Serve, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidadao_rt.client.sse.SILENCE_SECONDS", 0.4)
    server = await serve()
    async with asyncio.timeout(12), wire(server) as between:
        async with client(server, at=between.http, transports=[transport], heartbeat_seconds=0.2) as rt:
            between.mute = True
            await publish(server, 1)
            await server.settled(lambda: rt.status.state is State.WAITING)
            between.mute = False
            assert numbers([await anext(rt)]) == [1]


@every_transport
async def test_a_gateway_that_is_drained_is_followed_by_its_successor(serve: Serve, transport: str) -> None:
    servers = [await serve(agents={"speed": 0.01})]
    async with asyncio.timeout(12), wire(lambda: servers[-1].port) as between:
        async with client(servers[0], at=between.http, transports=[transport], heartbeat_seconds=1) as rt:
            states: list[Status] = []
            rt.on_status(states.append)
            investigation = await rt.start_investigation("q")
            old = servers[0]
            servers.append(await serve())
            await drain(old.gateway, 1.0)
            if transport != "poll":
                await old.settled(lambda: rt.status.state is not State.OPEN)
            # Its process would end here, and its connections with it.
            between.cut()
            with contextlib.suppress(OutcomeUnknownError):
                assert [event async for event in investigation][-1].data["status"] == "failed"
                states.append(Status(State.OPEN, "was told"))
            while (event := await anext(rt)).type != "connection_established":
                pass
            assert event.data["recovered"] is False
            assert rt.status == Status(State.OPEN, transport, False)
            if transport != "poll":
                # What is told between two polls is told to nobody.
                assert Status(State.OPEN, "was told") in states
                assert next(status.retry_in for status in states if status.state is State.WAITING) == 0.5
            again = await rt.start_investigation("q")
            assert [event async for event in again][-1].data["status"] == "completed"


@every_transport
async def test_what_was_trimmed_is_admitted_and_snapshots_follow(serve: Serve, transport: str) -> None:
    server = await serve(agents={"speed": 0.01}, buffer={"events_per_topic": 5})
    async with asyncio.timeout(12), wire(server) as between:
        async with client(server, at=between.http, transports=[transport]) as rt:
            investigation = await rt.start_investigation("q")
            # A transient thing, to be past the events of the start.
            await rt.ping()
            before = [await anext(rt)]
            between.down = True
            between.cut()
            await publish(server, *range(50))
            between.down = False
            while before[-1].type != "connection_established":
                before.append(await anext(rt))
            assert before[-1].data["recovered"] is False
            snapshot = await anext(rt)
            assert (snapshot.id, snapshot.data["investigation_id"]) == (None, investigation.id)


@every_transport
async def test_an_investigation_that_the_gateway_has_forgotten_ends(serve: Serve, transport: str) -> None:
    servers = [await serve(agents={"speed": 0.01})]
    async with asyncio.timeout(12), wire(lambda: servers[-1].port) as between:
        async with client(servers[0], at=between.http, transports=[transport], heartbeat_seconds=1) as rt:
            investigation = await rt.start_investigation("q")
            servers.append(await serve(server={"ping_seconds": 0.3}))
            between.cut()
            with pytest.raises(OutcomeUnknownError, match="no longer"):
                await collect(investigation)


# -- acks and bounds --------------------------------------------------------------------------------------------------


@every_transport
async def test_only_what_was_processed_is_acknowledged(serve: Serve, transport: str) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        await publish(server, 1, 2, 3)
        await anext(rt)
        session = server.gateway.users.session("ana", str(rt.session_id), server.gateway.clock())
        assert session is not None
        await anext(rt)
        await server.settled(lambda: session._resume_from == 1)
        await rt.ping()
        assert session._resume_from == 1
    # The end of the block has processed what was taken in it, and the third was not.
    await server.settled(lambda: session._resume_from == 2)


async def test_a_block_that_fails_has_not_processed_what_it_took(serve: Serve) -> None:
    server = await serve()
    rt = client(server, ack_seconds=60)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(12), rt:
            await publish(server, 1, 2)
            await take(rt, 2)
            raise ZeroDivisionError
    session = server.gateway.users.session("ana", str(rt.session_id), server.gateway.clock())
    assert session is not None
    await server.settled(lambda: session._resume_from == 1)


@every_transport
async def test_an_application_that_takes_nothing_stops_the_reading_and_loses_nothing(
    serve: Serve, transport: str
) -> None:
    server = await serve(buffer={"events_per_topic": 10_000, "bytes_per_topic": 100_000_000})
    count = 6 * FULL
    pad = "x" * 2000
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        for n in range(count):
            data = {"level": "info", "title": pad, "message": str(n)}
            await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "notification", data))
            if n % 50 == 0:
                await asyncio.sleep(0)
        stream = rt._inbox.events  # type: ignore[union-attr]
        await server.settled(lambda: stream.is_full)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(stream._events) <= FULL + 300
        assert numbers(await take(rt, count)) == list(range(count))


@every_transport
async def test_a_call_is_answered_past_what_nobody_takes(serve: Serve, transport: str) -> None:
    server = await serve(buffer={"events_per_topic": 10_000})
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        await publish(server, *range(3 * FULL))
        await server.settled(lambda: rt._inbox.events.is_full)  # type: ignore[union-attr]
        assert (await rt.chat("drummond", "Bom dia")).message
        investigation = await rt.start_investigation("q")
        assert [event async for event in investigation][-1].data["status"] == "completed"
        assert numbers(await take(rt, 3 * FULL)) == list(range(3 * FULL))


async def test_a_stream_that_is_never_taken_says_so_and_its_events_can_be_had_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cidadao_rt.client.streams.MOST", 50)
    server = await serve()
    async with asyncio.timeout(12), client(server) as rt:
        start = rt.cursor
        await publish(server, *range(60))
        await rt.ping()
        with pytest.raises(OverflowError, match="50"):
            await anext(rt)
        assert numbers(await take(rt, 10)) == list(range(50, 60))
        assert "not taken in time" in caplog.text
        await rt.subscribe(after=start)
        assert numbers(await take(rt, 50)) == list(range(50))


async def test_a_call_that_is_given_up_makes_room(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(12), wire(server) as between, client(server, at=between.http, max_pending=1) as rt:
        between.down = True
        between.cut()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await rt.start_investigation("q")
        between.down = False
        await rt.ping()
        assert server.gateway.investigations.running == 0


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_takeover_ends_the_older_and_says_so(serve: Serve, transport: str) -> None:
    server = await serve()
    async with asyncio.timeout(12), client(server, transports=[transport]) as rt:
        await publish(server, 1)
        assert numbers([await anext(rt)]) == [1]
        waiting = asyncio.create_task(rt.chat("drummond", "m"))
        await server.settled(lambda: len(server.gateway.chats) == 1)
        async with client(server, session_id=rt.session_id, last_event_id=rt.cursor) as newer:
            assert newer.session_id == rt.session_id
            # Iterating comes to its end; what waits cannot.
            assert [event async for event in rt] == []
            assert rt.status.state is State.CLOSED
            assert rt.status.reason == "Session resumed elsewhere"
            with pytest.raises(ClosedError, match="elsewhere"):
                await waiting
            with pytest.raises(ClosedError, match="elsewhere"):
                await rt.ping()


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_handshake_of_its_own_that_arrives_late_is_no_takeover(serve: Serve, transport: str) -> None:
    server = await serve()
    options = {"transports": [transport], "open_seconds": 0.3}
    async with asyncio.timeout(12), wire(server) as between, client(server, at=between.http, **options) as rt:
        await publish(server, 1)
        assert numbers(await take(rt, 1)) == [1]
        session_id, arrives = rt.session_id, asyncio.Event()
        between.delays = arrives
        opened = between.opened
        between.cut()
        # The first attempt to come back is given up, the second succeeds, and then the first gets there.
        await server.settled(lambda: between.opened > opened + 1 and rt.status.state is State.OPEN)
        assert rt.session_id == session_id
        arrives.set()
        await server.settled(lambda: rt.session_id not in (None, session_id))
        await publish(server, 2)
        assert numbers(await take(rt, 1)) == [2]
        # The session is new, so there is nothing more that could arrive late; now it is somebody else.
        async with client(server, session_id=rt.session_id, last_event_id=rt.cursor):
            assert [event async for event in rt] == []
            assert rt.status.reason == "Session resumed elsewhere"


async def test_closing_ends_whatever_waits(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.01})
    async with asyncio.timeout(12), client(server) as rt:
        investigation = await rt.start_investigation("q")
        iterating = asyncio.create_task(collect(investigation))
        looping = asyncio.create_task(collect(rt))
        await server.settled(lambda: investigation.stream.is_waited_for)
        await rt.close()
        with pytest.raises(ClosedError):
            await iterating
        assert next(event.type for event in await looping) == "investigation_update"
        with pytest.raises(ClosedError):
            await rt.ping()
        assert rt.status == Status(State.CLOSED, "websocket", True, "closed by the application")
        await server.settled(lambda: len(server.gateway.hub) == 0)


async def collect(events: Any) -> list[Event]:
    return [event async for event in events]


async def test_closing_while_nobody_answers_is_quick(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(12), wire(server) as between:
        async with client(server, at=between.http, backoff_seconds=3600, backoff_max_seconds=3600) as rt:
            between.down = True
            between.cut()
            await server.settled(lambda: rt.status.state is State.WAITING)
            assert rt.status.retry_in is not None


@pytest.mark.parametrize("url", ["ftp://host", "http://", "ws://host/ws?token=x", "ws://user@host/", "host"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        connect(url, token="t")


@pytest.mark.parametrize(
    "options",
    [{"transports": []}, {"transports": ["carrier pigeon"]}, {"max_pending": 0}, {"connection_type": "x"}],
)
def test_options_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each names its own
        connect("http://host", token="t", **options)


async def test_urls_of_the_endpoint_are_taken_for_the_gateways_and_a_session_is_left_open(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(12), aiohttp.ClientSession() as http:
        for tail in ("", "/", "/ws", "/api/v1/ws"):
            for scheme in ("http", "ws"):
                url = f"{scheme}://127.0.0.1:{server.port}{tail}"
                async with connect(url, token=server.token(), http=http) as rt:
                    assert rt.transport == "websocket"
        assert not http.closed


async def test_a_client_connects_once_and_not_before_it_is_entered(serve: Serve) -> None:
    server = await serve()
    rt = client(server)
    with pytest.raises(RuntimeError):
        await rt.ping()
    async with asyncio.timeout(12), rt:
        with pytest.raises(RuntimeError):
            await rt.__aenter__()


async def test_a_listener_that_fails_costs_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve()
    rt = client(server)
    states: list[str] = []

    def fail(status: Status) -> None:
        states.append(status.state)
        raise ZeroDivisionError

    stop = rt.on_status(fail)
    caplog.set_level(logging.CRITICAL)
    async with asyncio.timeout(12), rt:
        stop()
        assert states == ["connecting", "open"]
    assert states == ["connecting", "open"]


async def test_a_resource_that_is_refused_is_refused_for_good(serve: Serve) -> None:
    server = await serve()
    for transport in ("websocket", "sse"):
        async with asyncio.timeout(12):
            with pytest.raises(RefusedError) as caught:
                async with client(server, path="/ws/investigations/inv_unknown", transports=[transport]):
                    pass
        assert (caught.value.code, caught.value.reason) == (1008, "Investigation not found")


@every_transport
async def test_a_connection_that_is_cut_on_purpose_comes_back_with_what_it_missed(serve: Serve, transport: str) -> None:
    server = await serve()
    rt = client(server, transports=[transport])
    assert not rt.cut()
    async with asyncio.timeout(12), rt:
        states: list[Status] = []
        rt.on_status(states.append)
        await publish(server, 1)
        assert numbers([await anext(rt)]) == [1]
        assert rt.cut()
        await publish(server, 2, 3)
        assert numbers(await take(rt, 2)) == [2, 3]
        assert [status.state for status in states] == [State.WAITING, State.CONNECTING, State.OPEN]
        assert states[0].reason.startswith("1006")
        assert rt.recovered


async def test_a_cut_says_no_goodbye() -> None:
    ends: list[Any] = []

    async def gateway(socket: ServerConnection) -> None:
        data = {"session_id": "s", "resumed": False, "recovered": True}
        await socket.send(json.dumps({"type": "connection_established", "data": data}))
        await socket.wait_closed()
        ends.append(socket.protocol.close_rcvd)

    async with websockets_serve(gateway, "127.0.0.1", 0) as listener:
        port = next(iter(listener.sockets)).getsockname()[1]
        async with asyncio.timeout(12), connect(f"http://127.0.0.1:{port}", token="t", backoff_seconds=0.01) as rt:
            assert rt.cut()
            while not ends:
                await asyncio.sleep(0)
    assert ends[0] is None
