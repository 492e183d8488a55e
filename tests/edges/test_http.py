"""The fallback transports: the same events by the same cursor over SSE and long polling, and commands over POST."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from conftest import Server

from cidadao_rt.edges import sse
from cidadao_rt.edges.admission import Admission
from cidadao_rt.memory.log import Draft
from cidadao_rt.motion.drain import drain
from cidadao_rt.words import topics
from cidadao_rt.words.tokens import Principal

Serve = Callable[..., Awaitable[Server]]
Json = dict[str, Any]
Stream = AsyncIterator[tuple[str | None, Any]]


class Http:
    """A user of the HTTP edges."""

    def __init__(self, server: Server, session: aiohttp.ClientSession, sub: str) -> None:
        self.server = server
        self.session = session
        self.headers = {"Authorization": f"Bearer {server.token(sub)}"}

    async def poll(self, **query: Any) -> Json:
        url = f"{self.server.http}/api/v1/events/poll"
        async with self.session.get(url, params=query, headers=self.headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()  # type: ignore[no-any-return]

    async def command(
        self, type_: str, data: Any = None, *, query: Json | None = None, **envelope: Any
    ) -> tuple[int, Json]:
        url = f"{self.server.http}/api/v1/messages"
        body = json.dumps({"type": type_, "data": {} if data is None else data, **envelope})
        async with self.session.post(url, params=query or {}, data=body, headers=self.headers) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def listen(self, last: str | None = None, **query: Any) -> AsyncIterator[Stream]:
        """The stream as pairs of id and message; a block without data gives None."""
        headers = {**self.headers, **({"Last-Event-ID": last} if last else {})}
        url = f"{self.server.http}/api/v1/events"
        async with self.session.get(url, params=query, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            yield blocks(response)


async def blocks(response: aiohttp.ClientResponse) -> Stream:
    id_, data = None, None
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("id: "):
            id_ = line[4:]
        elif line.startswith("data: "):
            data = json.loads(line[6:])
        elif line == "" and (id_ or data):
            yield id_, data
            id_, data = None, None


async def until(stream: Stream, type_: str, **data: Any) -> list[tuple[str | None, Json]]:
    seen = []
    async for id_, message in stream:
        if message is None:
            continue
        seen.append((id_, message))
        if message["type"] == type_ and all(message["data"].get(key) == value for key, value in data.items()):
            return seen
    raise AssertionError(f"the stream ended: {seen}")


@asynccontextmanager
async def user(server: Server, sub: str = "ana") -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield Http(server, session, sub)


def first_cursor(server: Server) -> str:
    return str(server.gateway.log.cursor(0))


async def numbered(server: Server, count: int, topic: topics.Topic = topics.EVERYONE) -> None:
    for n in range(count):
        await server.gateway.broker.publish(Draft(topic, "", "numbered", {"n": n}))


async def test_a_listener_sees_what_a_websocket_sees(serve: Serve) -> None:
    server = await serve(agents={"speed": 10.0})
    async with user(server) as ana, ana.listen() as stream, server.connect() as ws:
        id_, welcome = await anext(stream)
        assert welcome["type"] == "connection_established"
        assert id_ == welcome["id"]
        status, answer = await ana.command("start_investigation", {"query": "q"}, correlation_id="c")
        assert status == 200
        (reply,) = answer["replies"]
        assert (reply["correlation_id"], reply["data"]["status"]) == ("c", "started")
        heard = await until(stream, "investigation_update", status="completed")
        seen = await ws.collect("investigation_update", status="completed")
        assert [message for _, message in heard] == seen
        assert all(id_ == message["id"] for id_, message in heard)


async def test_a_listener_that_comes_back_misses_nothing(serve: Serve) -> None:
    """A bare EventSource sends the id of the last event it was given, which wins over the URL's."""
    server = await serve(agents={"speed": 5.0})
    async with user(server) as ana, server.connect() as ws:
        async with ana.listen() as stream:
            await ana.command("start_investigation", {"query": "q"})
            first = await until(stream, "agent_analysis")
        await server.settled(lambda: len(server.gateway.hub) == 1)
        await ws.until("agent_analysis", agent="anita")
        async with ana.listen(first[-1][0], last_event_id="nonsense") as stream:
            _, welcome = await anext(stream)
            assert welcome["data"]["recovered"]
            assert welcome["data"]["replayed"] > 0
            rest = await until(stream, "investigation_update", status="completed")
    async with server.connect(last_event_id=first[0][0]) as ws:
        whole = await ws.collect("investigation_update", status="completed")
    assert [message for _, message in first[1:] + rest] == whole


async def test_what_may_pass_is_told_in_band_and_ends_the_stream(serve: Serve) -> None:
    """EventSource gives up for ever on any status but 200."""
    server = await serve(limits={"connections_per_user": 1})
    async with user(server) as ana, ana.listen() as stream:
        await anext(stream)
        async with ana.listen() as second:
            _, refused = await anext(second)
            assert refused["data"]["code"] == "CONNECTION_LIMIT"
            with pytest.raises(StopAsyncIteration):
                await anext(second)
        draining = asyncio.ensure_future(drain(server.gateway, 1.0))
        assert (await until(stream, "going_away"))[-1][1]["data"]["retry_after_ms"] > 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await draining
    await server.settled(lambda: len(server.gateway.hub) == 0)


async def test_a_bad_token_is_a_401(serve: Serve) -> None:
    server = await serve()
    async with aiohttp.ClientSession() as http:
        for path in ("events", "events/poll"):
            async with http.get(f"{server.http}/api/v1/{path}", params={"token": "bad"}) as response:
                assert response.status == 401
                assert (await response.json())["message"] == "Invalid token"
        async with http.post(f"{server.http}/api/v1/messages") as response:
            assert response.status == 401
            assert (await response.json())["message"] == "Authentication required"


async def test_a_quiet_stream_is_kept_alive_by_its_cursor(serve: Serve) -> None:
    server = await serve(server={"ping_seconds": 0.3}, limits={"inactivity_seconds": 0.5})
    async with user(server) as ana, ana.listen(events="notification") as stream:
        await anext(stream)
        await numbered(server, 3)
        for _ in range(3):
            assert await anext(stream) == (str(server.gateway.log.cursor(3)), None), "it moves past what is filtered"


async def test_http_1_0_gets_a_stream_without_chunks(serve: Serve) -> None:
    """nginx speaks it to its upstream unless told otherwise."""
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET /api/v1/events?token={server.token()} HTTP/1.0\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert await reader.readuntil(b"\n\n") == b": cidadao_rt\n\n"
    assert (await reader.readuntil(b"\n\n")).startswith(b"id: ")
    writer.close()
    await writer.wait_closed()


async def test_streams_one_after_another_on_one_connection_leave_nothing_behind(serve: Serve) -> None:
    server = await serve()
    target = f"/api/v1/events?connection_type=made_up&token={server.token()}"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(3):
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"0\r\n\r\n")
    (protocol,) = server.http_server.connections
    await server.settled(lambda: protocol.transport.get_protocol() is protocol)
    writer.close()
    await server.settled(lambda: not server.http_server.connections)


async def test_a_stream_that_nobody_reads_is_cut_when_it_has_been_ended(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "GOODBYE_SECONDS", 0.05)
    server = await serve(server={"slow_reader_seconds": 0.05})
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(f"GET /api/v1/events?token={server.token()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await server.settled(lambda: len(server.gateway.hub) == 1)
    (connection,) = server.gateway.hub
    while not connection.paused:
        await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "filler", {"pad": "x" * 60_000}))
        await asyncio.sleep(0)
    # Its task would otherwise wait for a client that reads nothing, for as long as that client likes.
    await server.settled(lambda: not server.http_server.connections)
    writer.close()


async def test_filters_and_batches_on_the_stream(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana, ana.listen(events="numbered,notification", batch="1") as stream:
        (welcome,) = (await anext(stream))[1]
        assert welcome["type"] == "connection_established"
        await numbered(server, 5)
        id_, batch = await anext(stream)
        assert [message["data"]["n"] for message in batch] == list(range(5))
        assert id_ == batch[-1]["id"]


async def test_polling_sees_everything_in_order_from_the_first_cursor(serve: Serve) -> None:
    server = await serve(agents={"speed": 5.0})
    async with user(server) as ana, server.connect() as ws:
        first = await ana.poll()
        assert (first["events"], first["recovered"]) == ([], True)
        session = first["session_id"]
        await ana.command("start_investigation", {"query": "q"}, query={"session_id": session})
        cursor, polled = first["cursor"], []
        while not polled or polled[-1]["data"].get("status") != "completed" or polled[-1]["type"] == "agent_analysis":
            page = await ana.poll(after=cursor, session_id=session)
            assert page["recovered"]
            assert page["session_id"] == session
            cursor = page["cursor"]
            polled += page["events"]
        assert polled == await ws.collect("investigation_update", status="completed")
        assert server.gateway.hub.of_user("ana") == 1, "between two polls there is no connection"


async def test_a_poll_waits_and_a_newer_one_of_its_session_ends_it(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana:
        first = await ana.poll()
        query = {"after": first["cursor"], "session_id": first["session_id"]}
        assert (await ana.poll(**query, timeout=0))["events"] == []
        older = asyncio.ensure_future(ana.poll(**query, timeout=50))
        await server.settled(lambda: server.gateway.hub.of_user("ana") == 1)
        newer = asyncio.ensure_future(ana.poll(**query, timeout=50))
        assert (await older)["events"] == []
        assert (await older)["cursor"] == first["cursor"]
        await numbered(server, 2)
        assert [event["data"]["n"] for event in (await newer)["events"]] == [0, 1]


async def test_a_stream_is_told_that_its_session_moved(serve: Serve) -> None:
    """The end of a stream carries no code, and who does not know why it ended comes back and takes the session away."""
    server = await serve()
    async with user(server) as ana, ana.listen() as older:
        session = (await anext(older))[1]["data"]["session_id"]
        async with ana.listen(session_id=session) as newer:
            assert (await anext(newer))[1]["data"]["resumed"]
            _, moved = await anext(older)
            assert (moved["type"], moved["data"]["code"]) == ("error", "CONFLICT")
            assert moved["data"]["message"] == "Session resumed elsewhere"
            with pytest.raises(StopAsyncIteration):
                await anext(older)


async def test_a_poll_tells_at_once_what_is_lost_and_what_is_denied(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(5), user(server) as ana:
        page = await ana.poll(after="otherepoch-5", timeout=50)
        assert (page["recovered"], page["events"]) == (False, [])
        page = await ana.poll(investigation_ids="inv_foreign")
        assert page["denied"] == [{"investigation_id": "inv_foreign", "code": "NOT_FOUND"}]


async def test_who_leaves_a_poll_gives_up_its_place_at_once(serve: Serve) -> None:
    server = await serve(limits={"connections_per_user": 1})
    async with user(server) as ana:
        first = await ana.poll()
        for _ in range(3):
            poll = asyncio.ensure_future(ana.poll(after=first["cursor"], timeout=50))
            await server.settled(lambda: server.gateway.hub.of_user("ana") == 1)
            poll.cancel()
            await server.settled(lambda: server.gateway.hub.of_user("ana") == 0)


async def test_polls_of_one_kept_alive_connection_leave_nothing_in_front_of_it(serve: Serve) -> None:
    server = await serve()
    protocols = set()
    async with user(server) as ana:
        for _ in range(20):
            await ana.poll()
            (held,) = server.http_server.connections
            protocols.add(held.transport.get_protocol())
    assert len(protocols) == 1


async def test_pages_that_may_not_and_who_polls_too_often_are_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidadao_rt.edges.poll.POLLS_PER_SECOND", 3)
    server = await serve(auth={"allowed_origins": ["https://app.example"]})
    async with user(server) as ana, user(server, "bia") as bia:
        url = f"{server.http}/api/v1/events/poll"
        headers = {**ana.headers, "Origin": "https://evil.example"}
        async with ana.session.get(url, headers=headers) as response:
            assert response.status == 403
        for _ in range(3):
            await ana.poll()
        async with ana.session.get(url, headers=ana.headers) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "1")
            assert (await response.json())["code"] == "RATE_LIMIT_EXCEEDED"
        await bia.poll()


async def test_a_long_backlog_comes_in_bounded_pages(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana:
        first = await ana.poll()
        await numbered(server, 1200)
        cursor, got, sizes = first["cursor"], [], []
        while len(got) < 1200:
            page = await ana.poll(after=cursor, session_id=first["session_id"])
            cursor = page["cursor"]
            got += [event["data"]["n"] for event in page["events"]]
            sizes.append(len(page["events"]))
        assert got == list(range(1200))
        assert sizes == [500, 500, 200]


async def test_a_page_of_large_events_is_bounded_in_bytes(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana:
        first = await ana.poll()
        for n in range(10):
            data = {"n": n, "pad": "x" * 60_000}
            await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "numbered", data))
        cursor, got = first["cursor"], []
        while len(got) < 10:
            page = await ana.poll(after=cursor, session_id=first["session_id"])
            assert sum(len(json.dumps(event)) for event in page["events"]) <= 262_144
            cursor = page["cursor"]
            got += [event["data"]["n"] for event in page["events"]]
        assert got == list(range(10))


@pytest.mark.parametrize("conflate", ["1", None])
async def test_who_conflates_is_spared_overtaken_progress_on_every_transport(
    serve: Serve, conflate: str | None
) -> None:
    """Of two investigations' progress only the newest of each is left; all else stays, and so does the cursor."""
    server = await serve()
    publish = server.gateway.broker.publish
    start = server.gateway.log.head
    for n in range(5):
        for id_ in ("a", "b"):
            progress = {"investigation_id": id_, "overall_progress": n, "stages": {}}
            await publish(Draft(topics.investigation(id_), "ana", "progress_update", progress))
        await publish(Draft(topics.investigation("a"), "ana", "agent_analysis", {"findings": [], "n": n}))
    head = server.gateway.log.head
    kept = [3, 6, 9, 12, 13, 14, 15] if conflate else list(range(1, 16))
    query = {"last_event_id": str(server.gateway.log.cursor(start)), **({"conflate": "1"} if conflate else {})}
    async with user(server) as ana:
        async with server.connect(**query) as ws:
            seen = [message for message in await ws.recv_now() if "id" in message]
            assert (await ws.ask("ping"))["id"] == str(server.gateway.log.cursor(head))
        async with ana.listen(**query) as stream:
            await anext(stream)
            heard = [(await anext(stream))[1] for _ in kept]
        page = await ana.poll(after=query["last_event_id"], **({"conflate": "1"} if conflate else {}))
    assert [int(message["id"].split("-")[1]) for message in seen] == kept
    assert seen == heard == page["events"]
    assert page["cursor"] == str(server.gateway.log.cursor(head))


async def test_who_conflates_gets_every_progress_while_it_keeps_up(serve: Serve) -> None:
    server = await serve()
    async with server.connect(conflate="1") as ws:
        for n in range(3):
            progress = {"investigation_id": "a", "overall_progress": n, "stages": {}}
            await server.gateway.broker.publish(Draft(topics.investigation("a"), "ana", "progress_update", progress))
        seen = await ws.recv_now()
    assert [message["data"]["overall_progress"] for message in seen] == [0, 1, 2]


async def test_a_poll_that_cannot_continue_says_so_and_gets_snapshots(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.01})
    async with user(server) as ana:
        await ana.command("start_investigation", {"query": "q"})
        page = await ana.poll(after="otherepoch-5")
        assert not page["recovered"]
        assert [(event["type"], event["data"]["status"]) for event in page["events"]] == [
            ("investigation_update", "started")
        ]
        assert page["cursor"] == str(server.gateway.log.cursor(server.gateway.log.head))


@pytest.mark.parametrize("timeout", ["56", "-1", "x", "nan"])
async def test_a_wrong_timeout_is_refused(serve: Serve, timeout: str) -> None:
    server = await serve()
    async with user(server) as ana:
        url = f"{server.http}/api/v1/events/poll"
        async with ana.session.get(url, params={"timeout": timeout}, headers=ana.headers) as response:
            assert response.status == 422
            assert (await response.json())["details"]["field"] == "timeout"


async def test_commands_with_a_session_act_on_its_stream(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana, ana.listen(events="notification") as stream:
        session = {"session_id": (await anext(stream))[1]["data"]["session_id"]}
        status, answer = await ana.command("subscribe", {"events": ["numbered"]}, query=session, correlation_id="c")
        assert status == 200
        assert [(r["type"], r["correlation_id"]) for r in answer["replies"]] == [("subscribed", "c")]
        await numbered(server, 1)
        id_, message = await anext(stream)
        assert message["data"] == {"n": 0}
        assert (await ana.command("ack", {"id": id_}, query=session)) == (200, {"replies": []})
        status, answer = await ana.command("agent_chat", {"agent": "zumbi", "message": "oi"}, query=session)
        assert answer == {"replies": []}
        chat = await until(stream, "agent_chat")
        assert chat[-1][0] is not None, "the final answer is an event"


async def test_commands_without_a_session(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana, user(server, "bia") as bia:
        status, answer = await ana.command("agent_chat", {"agent": "zumbi", "message": "oi"}, correlation_id="c")
        assert (status, [reply["type"] for reply in answer["replies"]]) == (200, ["agent_chat"])
        for type_ in ("subscribe", "unsubscribe", "subscribe_investigation", "unsubscribe_investigation", "ack"):
            status, answer = await ana.command(type_, {"investigation_id": "x", "id": first_cursor(server)})
            assert (status, answer["details"]) == (422, {"field": "session_id"})
        assert (await ana.command("made_up"))[0] == 422
        assert (await ana.command("cancel_investigation", {"investigation_id": "x"}))[0] == 404
        first = await ana.poll()
        stolen = await bia.command("ping", query={"session_id": first["session_id"]})
        assert stolen[0] == 404
        assert stolen[1]["code"] == "NOT_FOUND"


async def test_a_command_is_carried_out_by_its_own_token_and_not_by_its_session_s(serve: Serve) -> None:
    server = await serve()
    await server.gateway.broker.publish(Draft(topics.investigation("i"), "bia", "custom", {}))
    async with user(server) as ana, server.connect(token=server.token(roles=["admin"])) as ws:
        query = {"session_id": ws.welcome["data"]["session_id"]}
        cancel = ("cancel_investigation", {"investigation_id": "i"})
        assert (await ana.command(*cancel, query=query))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/api/v1/none", {}, 404, "NOT_FOUND"),
        ("PUT", "/api/v1/messages", {}, 405, "INVALID_REQUEST"),
        ("POST", "/api/v1/messages", {"Content-Encoding": "gzip"}, 422, "INVALID_REQUEST"),
        ("POST", "/api/v1/messages", {"Content-Encoding": "deflate"}, 422, "INVALID_REQUEST"),
        ("POST", "/api/v1/events", {"Content-Encoding": "gzip"}, 422, "INVALID_REQUEST"),
    ],
)
async def test_what_is_no_request_of_ours_is_told_in_the_one_shape(
    serve: Serve, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    server = await serve()
    headers = {"Authorization": f"Bearer {server.token(roles=['service'])}", **headers}
    async with aiohttp.ClientSession() as http:
        body = io.BytesIO(b"not packed as the headers say")
        async with http.request(method, server.http + path, data=body, headers=headers) as response:
            problem = await response.json()
            assert (response.status, problem.keys()) == (status, {"code", "message", "details"})
            assert problem["code"] == code
            assert response.headers.get("Allow") == ("POST" if status == 405 else None)


async def test_a_body_beyond_any_bound_is_not_read_to_its_end(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana:
        body = io.BytesIO(b" " * (3 << 20))
        async with ana.session.post(f"{server.http}/api/v1/messages", data=body, headers=ana.headers) as response:
            assert (response.status, (await response.json())["code"]) == (413, "MESSAGE_TOO_LARGE")


async def test_a_bug_is_told_with_an_incident_that_the_log_has_too(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()
    monkeypatch.setattr(server.gateway, "command", None)
    async with user(server) as ana:
        status, problem = await ana.command("ping")
    assert (status, problem["code"]) == (500, "INTERNAL_ERROR")
    assert [vars(record)["correlation_id"] for record in caplog.records] == [problem["details"]["incident"]]


async def test_a_client_that_has_left_is_no_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()
    handled = asyncio.Event()

    def principal(_: Admission, request: web.BaseRequest) -> Principal:
        assert request.transport is not None
        request.transport.abort()
        handled.set()
        return Principal("ana", 1e12)

    monkeypatch.setattr(Admission, "principal", principal)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await handled.wait()
    await server.settled(lambda: not server.http_server.connections)
    assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []
    assert len(server.gateway.hub) == 0
    writer.close()


async def test_refusals_over_http_are_counted(serve: Serve) -> None:
    server = await serve()
    async with user(server) as ana:
        await ana.command("ping", query={"session_id": "made up"})
        async with ana.session.get(f"{server.http}/metrics") as response:
            assert 'cidadao_ai_websocket_errors_total{code="NOT_FOUND"} 1.0' in await response.text()


async def test_a_pong_by_post_never_tells_a_cursor_that_its_session_has_not_come_to(serve: Serve) -> None:
    """Between two polls something is published: who resumed at the pong would miss it."""
    server = await serve()
    async with user(server) as ana:
        first = await ana.poll()
        session = {"session_id": first["session_id"]}
        await numbered(server, 2)
        (pong,) = (await ana.command("ping", query=session))[1]["replies"]
        assert pong["id"] == first["cursor"]
        page = await ana.poll(after=pong["id"], **session)
        assert [event["data"]["n"] for event in page["events"]] == [0, 1]
        await ana.command("ack", {"id": page["cursor"]}, query=session)
        (pong,) = (await ana.command("ping", query=session))[1]["replies"]
        assert pong["id"] == page["cursor"]


async def test_messages_over_http_count_like_any_other(serve: Serve) -> None:
    server = await serve(limits={"messages_per_minute": 2})
    async with user(server) as ana:
        assert (await ana.command("ping"))[1]["replies"][0]["type"] == "pong"
        await ana.command("ping")
        # What is left of the minute is no whole number of seconds, and must not be rounded down.
        later = server.gateway.clock() + 0.6
        server.gateway.clock = lambda: later
        body = b'{"type":"ping"}'
        async with ana.session.post(f"{server.http}/api/v1/messages", data=body, headers=ana.headers) as response:
            (reply,) = (await response.json())["replies"]
            assert (response.status, reply["data"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
            assert int(response.headers["Retry-After"]) >= reply["data"]["details"]["retry_after"]


async def test_what_there_is_no_room_for_may_come_again_and_is_told_when(serve: Serve) -> None:
    server = await serve(limits={"investigations_per_user": 1}, agents={"speed": 0.01})
    async with user(server) as ana:
        assert (await ana.command("start_investigation", {"query": "q"}))[0] == 200
        body = b'{"type":"start_investigation","data":{"query":"another"}}'
        async with ana.session.post(f"{server.http}/api/v1/messages", data=body, headers=ana.headers) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_pages_of_allowed_origins_may_use_it(serve: Serve) -> None:
    server = await serve(auth={"allowed_origins": ["https://app.example"]})
    async with aiohttp.ClientSession() as http:
        for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
            asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            async with http.options(f"{server.http}/api/v1/messages", headers=asks) as response:
                assert response.status == 204
                assert response.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
                assert ("Access-Control-Allow-Methods" in response.headers) == allowed
