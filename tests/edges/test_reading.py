"""The read side: who may see what, pages that miss nothing, and what an administrator sees and does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from conftest import Client, Server
from yarl import URL

from cidadao_rt.memory.log import Draft
from cidadao_rt.motion import reading
from cidadao_rt.motion.connection import Connection
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]
Json = dict[str, Any]
Answer = tuple[int, Any]

ADMIN = {"roles": ["admin"]}
SERVICE = {"roles": ["service"]}


class Caller:
    """Somebody who asks over HTTP."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    async def get(self, path: str, sub: str = "ana", claims: Json | None = None, **query: Any) -> Answer:
        return await self.request("GET", path, sub, claims, params=query)

    async def request(
        self, method: str, path: str, sub: str = "ana", claims: Json | None = None, **more: Any
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self.server.token(sub, **(claims or {}))}"}
        # As it is written, so that what was percent-encoded stays so.
        url = URL(f"{self.server.http}/api/v1{path}", encoded=True)
        async with self.http.request(method, url, headers=headers, **more) as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert response.content_type == "application/json"
            answer = await response.json()
            if response.status != 200:
                assert set(answer) == {"code", "message", "details"}
            return response.status, answer

    async def disconnect(self, sub: str, claims: Json | None = None, **more: Any) -> Answer:
        return await self.request("POST", f"/users/{quote(sub, safe='')}/disconnect", "root", claims or ADMIN, **more)


@contextlib.asynccontextmanager
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(server, http)


async def update(server: Server, id_: str, owner: str = "ana", **data: Any) -> None:
    draft = Draft(topics.investigation(id_), owner, "investigation_update", {"status": "started", **data})
    await server.gateway.broker.publish(draft)


async def note(server: Server, topic: topics.Topic, n: int, type_: str = "note", owner: str = "") -> None:
    await server.gateway.broker.publish(Draft(topic, owner, type_, {"n": n}))


def ids(answer: Answer) -> list[str]:
    assert answer[0] == 200, answer
    return [one["investigation_id"] for one in answer[1]["investigations"]]


def numbers(answer: Answer) -> list[int]:
    assert answer[0] == 200, answer
    return [event["data"]["n"] for event in answer[1]["events"]]


# -- investigations ---------------------------------------------------------------------------------------------------


async def test_everyone_sees_their_own_investigations_the_newest_first(serve: Serve) -> None:
    server = await serve()
    for id_, owner in (("a1", "ana"), ("b1", "bia"), ("a2", "ana"), ("c1", "caio"), ("a3", "ana")):
        await update(server, id_, owner, progress=10)
    await update(server, "a1", status="completed", progress=100)
    claims = {"investigations": ["b1", "a1", "nothing"]}
    async with caller(server) as ask:
        answer = await ask.get("/investigations")
        assert ids(answer) == ["a3", "a2", "a1"]
        (_status, found) = answer
        assert found["next"] is None
        done = found["investigations"][2]
        assert (done["owner"], done["status"], done["progress"]) == ("ana", "completed", 100)
        assert done["started_at"] <= done["updated_at"] == done["finished_at"]
        assert done["finished_at"].endswith("Z")
        assert found["investigations"][0]["finished_at"] is None
        assert ids(await ask.get("/investigations", "dora")) == []
        assert ids(await ask.get("/investigations", claims=claims)) == ["a3", "a2", "a1"]
        assert ids(await ask.get("/investigations", claims=claims, shared="1")) == ["a3", "a2", "b1", "a1"]
        assert ids(await ask.get("/investigations", status="completed")) == ["a1"]
        assert ids(await ask.get("/investigations", status="started,processing")) == ["a3", "a2"]
        for role in (ADMIN, SERVICE):
            assert ids(await ask.get("/investigations", "root", role)) == []
            assert ids(await ask.get("/investigations", "root", role, owner="bia")) == ["b1"]
        assert ids(await ask.get("/investigations", owner="ana")) == ["a3", "a2", "a1"]
        assert (await ask.get("/investigations", owner="bia"))[0] == 403
        assert (await ask.get("/investigations", claims=claims, owner="bia"))[0] == 403


async def test_one_investigation_is_told_whole_to_who_may_see_it(serve: Serve) -> None:
    server = await serve()
    await update(server, "inv", progress=10, query="q")
    finding = {"pattern": "p", "confidence": 0.5, "evidence_count": 1}
    data = {"agent": "anita", "analysis_type": "t", "findings": [finding], "status": "completed"}
    await server.gateway.broker.publish(Draft(topics.investigation("inv"), "ana", "agent_analysis", data))
    async with caller(server) as ask:
        status, found = await ask.get("/investigations/inv")
        assert (status, found["findings"], found["query"], found["owner"]) == (200, [finding], "q", "ana")
        unknown = await ask.get("/investigations/nothing")
        assert (unknown[0], unknown[1]["code"]) == (404, "NOT_FOUND")
        assert await ask.get("/investigations/inv", "bia") == unknown
        for claims in (ADMIN, SERVICE, {"investigations": ["inv"]}):
            assert await ask.get("/investigations/inv", "bia", claims) == (status, found)
        bad = await ask.http.get(f"{server.http}/api/v1/investigations")
        assert (bad.status, (await bad.json())["code"]) == (401, "AUTHENTICATION_REQUIRED")
        # The path with a slash is another one.
        assert (await ask.http.get(f"{server.http}/api/v1/investigations/?token={server.token()}")).status == 404


@pytest.mark.parametrize("limit", [1, 2, 7, 30])
async def test_pages_walk_everything_once_also_while_more_begins(serve: Serve, limit: int) -> None:
    server = await serve()
    shared = {"investigations": [f"b{n}" for n in range(0, 20, 3)]}
    for n in range(20):
        # In one turn, at one instant: nothing but their order tells them apart.
        await update(server, f"a{n}")
        await update(server, f"b{n}", "bia")
    expected = [f"{name}{n}" for n in reversed(range(20)) for name in "ba" if name == "a" or n % 3 == 0]
    seen: list[str] = []
    query: Json = {}
    async with caller(server) as ask:
        while True:
            answer = await ask.get("/investigations", claims=shared, shared="1", limit=limit, **query)
            assert 1 <= len(ids(answer)) <= limit
            seen += ids(answer)
            await update(server, f"later{len(seen)}")
            if answer[1]["next"] is None:
                break
            query = {"before": answer[1]["next"]}
    assert seen == expected


# -- history ----------------------------------------------------------------------------------------------------------


async def test_a_history_goes_on_from_its_cursor_and_is_the_very_events(serve: Serve) -> None:
    server = await serve()
    topic = topics.investigation("inv")
    async with caller(server) as ask, server.connect() as ana:
        for n in range(25):
            await note(server, topic, n, "odd" if n % 2 else "even", "ana")
            await note(server, topics.user("ana"), -1, owner="ana")
        sent = [m for m in await ana.recv_now() if m["type"] != "note"]
        seen: list[Json] = []
        query: Json = {}
        while True:
            status, page = await ask.get("/topics/investigation:inv/history", limit=4, **query)
            assert (status, page["recovered"]) == (200, True)
            if not page["events"]:
                break
            seen += page["events"]
            query = {"after": page["cursor"]}
        assert seen == sent
        assert numbers(await ask.get("/topics/investigation%3Ainv/history", types="odd", limit=3)) == [1, 3, 5]
        assert numbers(await ask.get("/topics/investigation:inv/history", types="even,none")) == [*range(0, 25, 2)]
        assert numbers(await ask.get("/topics/investigation:inv/history", types="")) == []
        (status, page) = await ask.get("/topics/investigation:inv/history", after="another-3")
        assert (status, page["recovered"], page["events"]) == (200, False, sent), "nothing is known to be missing"
        # A cursor seen on a connection serves here, and the other way round.
        after = sent[20]["id"]
        answer = await ask.get("/topics/investigation:inv/history", after=after)
        assert numbers(answer) == [21, 22, 23, 24]
        async with server.connect(last_event_id=answer[1]["cursor"]) as again:
            assert again.welcome["data"]["replayed"] == 0


async def test_a_history_says_when_something_is_missing(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 3})
    ana = topics.user("ana")
    for n in range(6):
        await note(server, ana, n, "rare" if n == 0 else "note", "ana")
    path = "/topics/user:ana/history"
    epoch, head = server.gateway.log.epoch, server.gateway.log.head
    async with caller(server) as ask:

        async def verdict(**query: Any) -> tuple[list[int], bool]:
            answer = await ask.get(path, **query)
            return numbers(answer), answer[1]["recovered"]

        assert await verdict() == ([3, 4, 5], False)
        assert await verdict(after=f"{epoch}-3") == ([3, 4, 5], True)
        assert await verdict(after=f"{epoch}-2") == ([3, 4, 5], False)
        assert await verdict(after=f"{epoch}-1", types="rare") == ([], True)
        assert await verdict(after=f"{epoch}-0", types="rare") == ([], False)
        assert await verdict(after=f"{epoch}-{head + 1}") == ([3, 4, 5], False)
        assert await verdict(after="another-3") == ([3, 4, 5], False)
        # A quiet topic is not spoilt by what others publish.
        for n in range(10):
            await note(server, topics.EVERYONE, n)
        assert await verdict(after=f"{epoch}-{head}") == ([], True)


async def test_a_filter_that_matches_little_is_read_to_its_end(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 20_000, "bytes_per_topic": 1 << 26})
    for n in range(9000):
        await note(server, topics.EVERYONE, n, "rare" if n == 8900 else "note")
    async with caller(server) as ask:
        assert numbers(await ask.get("/topics/everyone/history", types="rare")) == [8900]
        _status, page = await ask.get("/topics/everyone/history", types="none")
        assert (page["events"], page["cursor"], page["recovered"]) == ([], f"{server.gateway.log.epoch}-9000", True)


async def test_a_page_of_history_is_bounded_in_bytes(serve: Serve) -> None:
    server = await serve()
    for _ in range(20):
        await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "note", {"pad": "x" * 60_000}))
    async with caller(server) as ask:
        status, page = await ask.get("/topics/everyone/history")
        assert (status, len(page["events"])) == (200, 4)


async def test_a_history_is_for_those_who_could_follow_its_topic(serve: Serve) -> None:
    server = await serve()
    await update(server, "inv")
    async with caller(server) as ask, server.connect() as client:
        session_id = client.welcome["data"]["session_id"]
        who: dict[str, tuple[str, Json]] = {
            "ana": ("ana", {}),
            "bia": ("bia", {}),
            "granted": ("bia", {"investigations": ["inv"]}),
            "service": ("s", SERVICE),
            "admin": ("root", ADMIN),
        }
        may = {
            "investigation:inv": {"ana", "granted", "service", "admin"},
            "investigation:nothing": set(),
            "investigation:": set(),
            "user:ana": {"ana", "admin"},
            "user:": set(),
            f"session:{session_id}": {"ana"},
            "session:nothing": set(),
            "everyone": set(who),
            "own:ana": set(),
            "nothing": set(),
        }
        for topic, allowed in may.items():
            for name, (sub, claims) in who.items():
                status, _ = await ask.get(f"/topics/{quote(topic, safe='')}/history", sub, claims)
                assert status == (200 if name in allowed else 404), (topic, name)
        bia = [await ask.get(f"/topics/investigation:{name}/history", "bia") for name in ("inv", "nothing")]
        assert bia[0] == bia[1]
        bia = [await ask.get(f"/topics/user:{name}/history", "bia") for name in ("ana", "nothing")]
        assert bia[0] == bia[1]


# -- connections and presence -----------------------------------------------------------------------------------------


def connection_of(server: Server, client: Client) -> Connection:
    found = server.gateway.hub.of_session(client.welcome["data"]["session_id"])
    assert found is not None
    return found


async def test_administrators_see_connections_and_who_is_behind(serve: Serve) -> None:
    server = await serve(limits={"connections_per_user": 20})
    async with caller(server) as ask, server.connect() as ana, server.connect("/ws/chat", user="bia"):
        connection = connection_of(server, ana)
        _, found = await ask.get("/connections", "root", ADMIN)
        assert [one["user_id"] for one in found["connections"]] == ["bia", "ana"]
        told = found["connections"][1]
        assert told["id"] == connection.id
        assert told["session_id"] == ana.welcome["data"]["session_id"]
        assert (told["transport"], told["connection_type"], told["address"]) == ("websocket", "general", "127.0.0.1")
        assert (told["behind"], told["lag"], told["owed"], told["buffered_bytes"]) == (False, 0, 0, 0)
        assert told["connected_at"] < told["expires_at"]
        assert 0 <= told["idle_seconds"] < 60
        server.gateway.hub.paused(connection)
        for n in range(3):
            await note(server, topics.user("ana"), n, owner="ana")
        await note(server, topics.user("bia"), 0, owner="bia")
        _status, found = await ask.get("/connections", "root", ADMIN, user_id="ana")
        (told,) = found["connections"]
        assert (told["behind"], told["lag"], told["owed"]) == (True, 4, 3)
        server.gateway.hub.resumed(connection)
        await ana.until("note", n=2)
        assert (await ask.get("/connections", "root", ADMIN, user_id="nobody"))[1] == {"connections": [], "next": None}
        for claims in ({}, SERVICE):
            assert (await ask.get("/connections", claims=claims))[0] == 403
            assert (await ask.get("/presence/everyone", claims=claims))[0] == 403
            assert (await ask.disconnect("bia", claims or {"roles": ["user"]}))[0] == 403
        assert len(server.gateway.hub) == 2


@pytest.mark.parametrize("user_id", [None, "ana"])
async def test_pages_of_connections_walk_each_once(serve: Serve, user_id: str | None) -> None:
    server = await serve(limits={"connections_per_user": 20})
    async with caller(server) as ask, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect()) for _ in range(7)]
        expected = [connection_of(server, client).id for client in reversed(clients)]
        query: Json = {} if user_id is None else {"user_id": user_id}
        seen: list[str] = []
        while True:
            status, page = await ask.get("/connections", "root", ADMIN, limit=3, **query)
            assert (status, len(page["connections"]) <= 3) == (200, True)
            seen += [one["id"] for one in page["connections"]]
            # One that leaves in between takes nobody else's place.
            await server.gateway.keep_house()
            if page["next"] is None:
                break
            query["before"] = page["next"]
        assert seen == expected


async def test_presence_counts_those_who_follow_by_name_and_by_all_own(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    for id_ in ("inv", "other"):
        await update(server, id_)
    granted = server.token("bia", investigations=["inv"])
    async with caller(server) as ask, contextlib.AsyncExitStack() as stack:

        async def presence(topic: str) -> Json:
            status, found = await ask.get(f"/presence/{topic}", "root", ADMIN)
            assert (status, found.pop("truncated")) == (200, False)
            return found  # type: ignore[no-any-return]

        general = await stack.enter_async_context(server.connect())
        await stack.enter_async_context(server.connect())
        await stack.enter_async_context(server.connect("/ws/investigations/inv", token=granted))
        await stack.enter_async_context(server.connect(user="caio"))
        assert await presence("investigation:inv") == {"connections": 3, "users": {"ana": 2, "bia": 1}}
        assert await presence("investigation:other") == {"connections": 2, "users": {"ana": 2}}
        assert await presence("investigation:nothing") == {"connections": 0, "users": {}}
        assert await presence("user:bia") == {"connections": 1, "users": {"bia": 1}}
        assert await presence("everyone") == {"connections": 4, "users": {"ana": 2, "bia": 1, "caio": 1}}
        session_id = general.welcome["data"]["session_id"]
        assert await presence(f"session:{session_id}") == {"connections": 1, "users": {"ana": 1}}
        await general.ask("unsubscribe", {"investigation_ids": ["inv"]})
        assert await presence("investigation:inv") == {"connections": 2, "users": {"bia": 1, "ana": 1}}
        # One that is behind follows all the same.
        server.gateway.hub.paused(connection_of(server, general))
        assert (await presence("investigation:other"))["connections"] == 2
        for topic in ("nothing", "own:ana", "user:", "investigation"):
            assert (await ask.get(f"/presence/{topic}", "root", ADMIN))[0] == 404
        monkeypatch.setattr(reading, "LISTED", 2)
        found = (await ask.get("/presence/everyone", "root", ADMIN))[1]
        assert (found["connections"], len(found["users"]), found["truncated"]) == (4, 2, True)


# -- disconnecting ----------------------------------------------------------------------------------------------------


async def test_a_user_is_disconnected_on_every_transport_and_resumes_nothing(serve: Serve) -> None:
    server = await serve()
    gateway = server.gateway
    reason = "Disconnected by an administrator"
    headers = {"Authorization": f"Bearer {server.token('ana')}"}
    async with asyncio.timeout(20), caller(server) as ask, server.connect(user="bia") as bia:
        async with server.connect() as gone:
            await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "note", {}))
        async with server.connect() as ws, ask.http.get(f"{server.http}/api/v1/events", headers=headers) as sse:
            poll_url = f"{server.http}/api/v1/events/poll"

            async def poll(**query: Any) -> Json:
                async with ask.http.get(poll_url, params=query, headers=headers) as response:
                    return await response.json()  # type: ignore[no-any-return]

            first = await poll()
            waiting = asyncio.ensure_future(poll(session_id=first["session_id"], after=first["cursor"]))
            await server.settled(lambda: gateway.hub.of_user("ana") == 3)
            assert await ask.disconnect("ana", json={"reason": "abuso"}) == (200, {"disconnected": 3})
            assert gateway.hub.of_user("ana") == 0
            said = await ws.until("error")
            assert said["data"] == {"code": "FORBIDDEN", "message": reason, "details": {"reason": "abuso"}}
            assert await ws.closed() == (1008, reason)
            heard = await sse.content.read()
            assert reason.encode() in heard
            page = await waiting
            assert [event["data"]["code"] for event in page["events"]] == ["FORBIDDEN"]
        await server.settled(lambda: len(gateway.hub) == 1)
        sessions = [gone.welcome["data"]["session_id"], ws.welcome["data"]["session_id"], first["session_id"]]
        for session_id in sessions:
            assert gateway.users.session("ana", session_id, gateway.clock()) is None
            async with server.connect(session_id=session_id) as again:
                assert again.welcome["data"]["resumed"] is False
            body = {"type": "ping", "data": {}}
            query = {"session_id": session_id}
            url = f"{server.http}/api/v1/messages"
            async with ask.http.post(url, params=query, json=body, headers=headers) as response:
                assert response.status == 404
        assert (await poll(session_id=sessions[2], after=first["cursor"], timeout="0"))["session_id"] != sessions[2]
        # Others have noticed nothing, and the house is in order.
        assert await bia.recv_now() == []
        gateway.users.expire(1e9)
        assert gateway.users.session("bia", bia.welcome["data"]["session_id"], 0.0) is not None
        assert await ask.disconnect("ana") == (200, {"disconnected": 0})
        assert await ask.disconnect("nobody") == (200, {"disconnected": 0})


@pytest.mark.parametrize("id_", ["inv_${7*7}", "{id}", "ção", "a:b", "%41"])
async def test_an_investigation_is_named_by_its_exact_id(serve: Serve, id_: str) -> None:
    server = await serve()
    await update(server, id_)
    async with caller(server) as ask, server.connect(f"/ws/investigations/{quote(id_, safe='')}") as ws:
        status, found = await ask.get(f"/investigations/{quote(id_, safe='')}")
        assert (status, found["investigation_id"]) == (200, id_)
        assert ws.welcome["data"]["connection_type"] == "investigation"


ODD_SUBS = [
    "a/b",
    "a/../ana",
    "%61na",
    "ana ",
    "ána",
    "👩‍🔬",
    "user:ana",
    "..",
    ".",
    "a?b#c",
    "a+b",
    "x\x00y",
    "%",
    "%2F",
    "{sub}",
    "${7*7}",
]


@pytest.mark.parametrize("sub", ODD_SUBS)
async def test_a_user_is_named_by_their_exact_sub(serve: Serve, sub: str) -> None:
    server = await serve()
    async with asyncio.timeout(10), caller(server) as ask, server.connect() as ana, server.connect(user=sub) as client:
        if sub not in (".", ".."):
            status, found = await ask.get(f"/topics/{quote('user:' + sub, safe='')}/history", sub)
            assert (status, found["events"]) == (200, [])
        assert await ask.disconnect(sub) == (200, {"disconnected": 1})
        assert (await client.closed())[0] == 1008
        assert await ana.recv_now() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 200, None),
        (b"{}", 200, None),
        (b'{"reason": null, "more": 1}', 200, None),
        (b'{"reason": "%s"}' % ("é" * 100).encode(), 200, None),
        (b'{"reason": "%s"}' % (b"x" * 101), 422, "INVALID_REQUEST"),
        (b'{"reason": 1}', 422, "INVALID_REQUEST"),
        (b'{"reason": "\\ud800"}', 422, "INVALID_JSON"),
        (b"[]", 422, "INVALID_REQUEST"),
        (b"{", 422, "INVALID_JSON"),
        (b"\xff", 422, "INVALID_JSON"),
        (b"[" * 100_000, 422, "INVALID_JSON"),
    ],
)
async def test_a_disconnect_takes_a_short_reason(serve: Serve, body: bytes, status: int, code: str | None) -> None:
    server = await serve()
    async with caller(server) as ask, server.connect() as ana:
        answer = await ask.disconnect("ana", data=body)
        assert (answer[0], answer[1].get("code")) == (status, code)
        assert server.gateway.hub.of_user("ana") == (status != 200)
        if status != 200:
            assert await ana.recv_now() == []


# -- whatever comes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/investigations", {"limit": "0"}, "limit"),
        ("/investigations", {"limit": "501"}, "limit"),
        ("/investigations", {"limit": "-1"}, "limit"),
        ("/investigations", {"limit": "1_0"}, "limit"),
        ("/investigations", {"limit": "٣"}, "limit"),
        ("/investigations", {"limit": ""}, "limit"),
        ("/investigations", {"status": "late"}, "status"),
        ("/investigations", {"before": "x"}, "before"),
        ("/investigations", {"before": "another-3"}, "before"),
        ("/topics/everyone/history", {"limit": "9" * 5000}, "limit"),
        ("/topics/everyone/history", {"after": "x"}, "after"),
        ("/topics/everyone/history", {"after": ""}, "after"),
        ("/connections", {"limit": "x"}, "limit"),
        ("/connections", {"before": "x"}, "before"),
    ],
)
async def test_what_is_wrong_is_named(serve: Serve, path: str, query: Json, field: str) -> None:
    server = await serve()
    async with caller(server) as ask:
        status, problem = await ask.get(path, "root", ADMIN, **query)
        assert (status, problem["code"], problem["details"]["field"]) == (422, "INVALID_REQUEST", field)


async def test_nothing_that_is_asked_is_a_bug_of_ours(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READS_PER_SECOND", 10_000)
    server = await serve()
    rng = Random(3)
    await update(server, "inv")
    epoch = server.gateway.log.epoch
    odd = [
        "inv",
        "everyone",
        "user:ana",
        "investigation:inv",
        "session:x",
        f"{epoch}-1",
        f"{epoch}-0",
        "-1",
        "0",
        "1",
        "500",
    ]
    odd += [
        "%ff",
        "%00",
        "%F0%9F%91%A9",
        "%",
        "%zz",
        "a%2Fb",
        "..",
        "%2E%2E",
        "x" * 3000,
        ":",
        "%3A",
        "%25",
        "+",
        "%ED%A0%80",
    ]
    odd += ["started", "completed,failed", ",", "null", "[]", "%22", "&", "=", ";", "1e3", "NaN", "ana", "own:ana"]
    paths = [
        "/investigations",
        "/investigations/{}",
        "/topics/{}/history",
        "/connections",
        "/presence/{}",
        "/receipts/{}",
    ]
    keys = ["limit", "before", "after", "status", "owner", "shared", "types", "user_id", "token", "{}", ""]
    roles: list[Json] = [{}, ADMIN, SERVICE, {"investigations": ["inv"]}]
    headers = [{"Authorization": f"Bearer {server.token('ana', **claims)}"} for claims in roles]
    async with aiohttp.ClientSession() as http:
        for _ in range(600):
            path = rng.choice([*paths, "/users/{}/disconnect"]).format(rng.choice(odd))
            query = "&".join(f"{rng.choice(keys)}={rng.choice(odd)}" for _ in range(rng.randint(0, 3)))
            method = rng.choice(["GET", "GET", "GET", "HEAD", "POST", "DELETE"])
            url = URL(f"{server.http}/api/v1{path}?{query}", encoded=True)
            async with http.request(method, url, headers=rng.choice(headers), allow_redirects=False) as response:
                assert response.status in (200, 400, 401, 403, 404, 405, 422), (method, url)
                if response.status in (401, 403, 422) and method != "HEAD":
                    assert set(await response.json()) == {"code", "message", "details"}


async def test_reads_of_one_user_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READS_PER_SECOND", 2)
    server = await serve()
    async with caller(server) as ask:
        answers = [await ask.get("/investigations") for _ in range(3)]
        assert [status for status, _ in answers] == [200, 200, 429]
        assert answers[2][1]["code"] == "RATE_LIMIT_EXCEEDED"
        assert 0 < answers[2][1]["details"]["retry_after"] <= 1
        assert (await ask.get("/investigations", "bia"))[0] == 200


async def test_pages_elsewhere_may_read(serve: Serve) -> None:
    server = await serve()
    origin = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with aiohttp.ClientSession() as http:
        for path in ("/investigations", "/topics/everyone/history", "/users/a%2Fb/disconnect"):
            async with http.options(URL(f"{server.http}/api/v1{path}", encoded=True), headers=origin) as response:
                assert response.status == 204
                assert response.headers["Access-Control-Allow-Methods"] == "GET, POST"
                assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
