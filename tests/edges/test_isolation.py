"""Nothing of one user's reaches another: not by their ids, their sessions, their cursors, nor by an odd name."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from conftest import Client, Server

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import events, topics

Serve = Callable[..., Awaitable[Server]]

USERS = ("ana", "bia")
MARKS = {"ana": "JACARANDA", "bia": "SUCUPIRA"}


class Loot:
    """Every id that either user has come to know; the other one tries them all."""

    def __init__(self) -> None:
        self.investigations: dict[str, list[str]] = {user: [] for user in USERS}
        self.sessions: dict[str, list[str]] = {user: [] for user in USERS}
        self.cursors: list[str] = []


class Intruder:
    """One user's client, which uses whatever the other user's has seen. Keeps every frame."""

    def __init__(self, server: Server, user: str, loot: Loot, rng: Random) -> None:
        self.server, self.user, self.loot, self.rng = server, user, loot, rng
        self.other = USERS[1 - USERS.index(user)]
        self.mark = MARKS[user]
        self.frames: list[str] = []

    def pick(self, ids: list[str]) -> str:
        return self.rng.choice(ids) if ids else "nothing"

    async def live(self, lives: int) -> None:
        for _ in range(lives):
            query: dict[str, Any] = {"session_id": self.pick(self.loot.sessions[self.other])}
            if self.rng.random() < 0.5:
                query["last_event_id"] = self.pick(self.loot.cursors)
            async with self.server.connect(user=self.user, **query) as client:
                assert client.welcome["data"]["resumed"] is False
                self.hear(json.dumps(client.welcome))
                self.loot.sessions[self.user].append(client.welcome["data"]["session_id"])
                reading = asyncio.ensure_future(self.read(client))
                for n in range(25):
                    await self.act(client, n)
                    await asyncio.sleep(0)
                client.cut()
                await reading

    async def read(self, client: Client) -> None:
        # The cut ends it.
        with contextlib.suppress(Exception):
            while True:
                self.hear(str(await client.ws.recv()))

    def hear(self, frame: str) -> None:
        self.frames.append(frame)
        message = json.loads(frame)
        if "id" in message:
            self.loot.cursors.append(message["id"])
        if message["type"] == "investigation_update" and message["data"]["status"] == "started":
            self.loot.investigations[self.user].append(message["data"]["investigation_id"])

    async def act(self, client: Client, n: int) -> None:
        theirs = self.pick(self.loot.investigations[self.other])
        mine = self.pick(self.loot.investigations[self.user])
        asked = f"{self.mark}-{n}"
        chat = {"agent": "anita", "message": self.mark, "context": {"investigation_id": theirs}}
        commands: list[tuple[str, dict[str, Any]]] = [
            ("start_investigation", {"query": f"{self.mark} {n}", "filters": {"secret": self.mark}}),
            ("start_investigation", {"query": f"{self.mark} {n}", "agents": ["abaporu"]}),
            ("subscribe", {"investigation_ids": [theirs, mine]}),
            ("subscribe", {}),
            ("subscribe", {"after": self.pick(self.loot.cursors)}),
            ("subscribe_investigation", {"investigation_id": theirs}),
            ("unsubscribe", {"investigation_ids": [theirs]}),
            ("cancel_investigation", {"investigation_id": theirs}),
            ("agent_chat", chat),
            ("agent_chat", {"agent": "zumbi", "message": self.mark}),
            ("ack", {"id": self.pick(self.loot.cursors)}),
        ]
        type_, data = self.rng.choice(commands)
        await client.send(type_, data, correlation_id=asked)
        draft = Draft(topics.user(self.user), self.user, events.NOTIFICATION, {"title": self.mark})
        await self.server.gateway.broker.publish(draft)


@pytest.mark.parametrize("seed", range(3))
async def test_another_s_ids_sessions_and_cursors_open_nothing(serve: Serve, seed: int) -> None:
    server = await serve(
        limits={"messages_per_minute": 10_000, "investigations_per_user": 1000, "chats_per_user": 1000}
    )
    loot = Loot()
    crowd = [Intruder(server, user, loot, Random(f"{seed} {user} {n}")) for user in USERS for n in range(2)]
    async with asyncio.timeout(40):
        await asyncio.gather(*[intruder.live(4) for intruder in crowd])
    for intruder in crowd:
        theirs = {found.id for found in server.gateway.investigations.of(intruder.other)}
        assert len(theirs) > 5
        sessions = set(loot.sessions[intruder.other])
        assert any(intruder.mark in frame for frame in intruder.frames)
        for frame in intruder.frames:
            assert MARKS[intruder.other] not in frame
            assert not any(session in frame for session in sessions)
            message = json.loads(frame)
            # In an answer its own question may come back; as the subject of a message nothing of another's stands.
            assert message["data"].get("investigation_id") not in theirs
            assert message["type"] != "subscribed" or not theirs & set(message["data"]["investigation_ids"] or ())
            assert message.get("user_id", intruder.user) == intruder.user
            assert message["data"].get("user_id", intruder.user) == intruder.user
    # And nobody has stopped what is not theirs.
    states = {found.status for user in USERS for found in server.gateway.investigations.of(user)}
    assert "cancelled" not in states


async def test_names_that_look_like_topics_or_like_each_other_are_just_names(serve: Serve) -> None:
    server = await serve(limits={"connections_per_user": 1})
    subs = ["ana", "Ana", " ana", "ana ", "ana\n", "user:ana", "own:ana", "everyone", "session:x", "investigation:x"]
    subs += ["user:", "own:", "a/../ana", "ána", "a\u0301na", "%61na", "ana\x00", "null", "*", "#", "👩‍🔬"]
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect(user=sub)) for sub in subs]
        for sub, client in zip(subs, clients, strict=True):
            assert client.welcome["data"]["user_id"] == sub
            name = f"x{subs.index(sub)}"
            for topic, type_ in ((topics.user(sub), events.NOTIFICATION), (topics.investigation(name), "note")):
                await server.gateway.broker.publish(Draft(topic, sub, type_, {"whose": sub}))
        for sub, client in zip(subs, clients, strict=True):
            assert [message["data"]["whose"] for message in await client.recv_now()] == [sub, sub]


async def test_a_share_shows_and_does_not_own(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.001})
    async with asyncio.timeout(20), server.connect() as ana:
        id_ = (await ana.ask("start_investigation", {"query": "q"}))["data"]["investigation_id"]
        async with server.connect(token=server.token("bia", investigations=[id_])) as bia:
            # By default what is one's own, which it is not.
            topic = topics.investigation(id_)
            await server.gateway.broker.publish(Draft(topic, "ana", "note", {"n": 1}))
            assert await bia.recv_now() == []
            refused = await bia.ask("cancel_investigation", {"investigation_id": id_})
            assert refused["data"]["code"] == "FORBIDDEN"
            await bia.ask("subscribe", {"investigation_ids": [id_]})
            assert (await bia.recv())["data"]["investigation_id"] == id_
            await server.gateway.broker.publish(Draft(topic, "ana", "note", {"n": 2}))
            assert (await bia.recv())["data"] == {"n": 2}
            # What is ana's beside it stays hers.
            await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", events.NOTIFICATION, {"n": 3}))
            assert await bia.recv_now() == []
        assert [m["data"].get("n") for m in await ana.recv_now() if m["type"] != "investigation_update"] == [1, 2, 3]


@pytest.mark.parametrize("role", ["admin", "service"])
async def test_who_sees_all_follows_what_is_named_live_and_may_stop_it(serve: Serve, role: str) -> None:
    server = await serve(agents={"speed": 0.001})
    token = server.token("root", roles=[role])
    async with asyncio.timeout(20), server.connect() as ana, server.connect(token=token) as root:
        ids = [(await ana.ask("start_investigation", {"query": "q"}))["data"]["investigation_id"] for _ in range(2)]
        answer = await root.ask("subscribe", {"investigation_ids": ids[:1]})
        assert (answer["data"]["investigation_ids"], answer["data"]["denied"]) == (ids[:1], [])
        await root.until("investigation_update")
        for id_ in reversed(ids):
            await server.gateway.broker.publish(Draft(topics.investigation(id_), "ana", "note", {"of": id_}))
        assert [message["data"]["of"] for message in await root.recv_now()] == ids[:1]
        async with server.connect(f"/ws/investigations/{ids[1]}", token=token) as bound:
            stopped = await bound.ask("cancel_investigation", {"investigation_id": ids[1]})
            assert stopped["data"]["status"] == "cancelled"
        assert (await ana.until("investigation_update", status="cancelled"))["data"]["investigation_id"] == ids[1]


async def test_a_role_is_a_role_only_where_the_token_says_so(serve: Serve) -> None:
    server = await serve(agents={"speed": 0.001})
    async with asyncio.timeout(20), server.connect() as ana:
        id_ = (await ana.ask("start_investigation", {"query": "q"}))["data"]["investigation_id"]
        for claims in (
            {"roles": ["user"]},
            {"roles": ["administrator", "ADMIN"]},
            {"investigations": [id_ + "x", "*"]},
        ):
            async with server.connect(token=server.token("bia", **claims)) as bia:
                answer = await bia.ask("subscribe", {"investigation_ids": [id_]})
                assert answer["data"]["denied"] == [{"investigation_id": id_, "code": "NOT_FOUND"}]
