"""Receipts over HTTP: how far a published event got, by every way, and who may ask."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from conftest import Client, Server
from websockets.asyncio.client import connect

from cidadao_rt.memory import receipts
from cidadao_rt.memory.log import Draft
from cidadao_rt.motion import reading
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]
Json = dict[str, Any]


class Publisher:
    """A backend that asks for receipts."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    def headers(self, sub: str = "backend", *roles: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.token(sub, roles=list(roles or ('service',)))}"}

    async def publish(self, *, receipt: Any = True, to: Json | None = None, key: str | None = None, **data: Any) -> str:
        body = {"to": to or {"user_id": "ana"}, "type": "note", "data": data, "receipt": receipt}
        headers = {**self.headers(), **({"Idempotency-Key": key} if key else {})}
        url = f"{self.server.http}/api/v1/events"
        async with self.http.post(url, json=body, headers=headers) as response:
            assert response.status == 202, await response.text()
            answer = await response.json()
            assert set(answer) == {"ids"}
            (id_,) = answer["ids"]
            return str(id_)

    async def ask(self, id_: str, sub: str = "backend", *roles: str) -> tuple[int, Json]:
        url = f"{self.server.http}/api/v1/receipts/{id_}"
        async with self.http.get(url, headers=self.headers(sub, *roles)) as response:
            return response.status, await response.json()

    async def receipt(self, id_: str) -> Json:
        status, found = await self.ask(id_)
        assert status == 200, found
        assert found["id"] == id_
        return found

    async def delivered(self, id_: str) -> tuple[int, int]:
        found = (await self.receipt(id_))["delivered"]
        return found["connections"], found["users"]

    async def acknowledged(self, id_: str) -> list[tuple[str, str]]:
        found = (await self.receipt(id_))["acknowledged"]
        assert found["count"] == len(found["sessions"])
        return [(one["session_id"], one["user_id"]) for one in found["sessions"]]


@contextlib.asynccontextmanager
async def publisher(server: Server) -> AsyncIterator[Publisher]:
    async with aiohttp.ClientSession() as http:
        yield Publisher(server, http)


def session_of(client: Client) -> str:
    return str(client.welcome["data"]["session_id"])


async def ack(client: Client, id_: str) -> None:
    """Acknowledge, and wait until it was processed."""
    await client.send("ack", {"id": id_})
    assert await client.recv_now() == []


async def test_a_live_event_is_delivered_to_each_session_and_acknowledged_by_those_that_ack(serve: Serve) -> None:
    server = await serve()
    async with publisher(server) as backend, server.connect() as one, server.connect() as two:
        async with server.connect(user="bia") as bia:
            before = await backend.publish(to={"everyone": True}, n=1, receipt=False)
            id_ = await backend.publish(to={"everyone": True}, n=2)
            for client in (one, two, bia):
                assert (await client.until("note", n=2))["id"] == id_
            assert await backend.delivered(id_) == (3, 2)
            await ack(one, before)
            assert await backend.acknowledged(id_) == [], "an ack of what was before it"
            await ack(one, id_)
            await ack(bia, id_)
            await ack(bia, id_)
            assert await backend.acknowledged(id_) == [(session_of(one), "ana"), (session_of(bia), "bia")]
            after = await backend.publish(to={"everyone": True}, n=3)
            assert await backend.acknowledged(after) == []
    found = (await backend_receipt(server, id_))["acknowledged"]["sessions"][0]["at"]
    assert found.endswith("Z")


async def backend_receipt(server: Server, id_: str) -> Json:
    async with publisher(server) as backend:
        return await backend.receipt(id_)


async def test_who_was_not_handed_the_event_acknowledges_nothing_of_it(serve: Serve) -> None:
    server = await serve()
    async with publisher(server) as backend, server.connect() as ana, server.connect(user="bia") as bia:
        async with server.connect(connection_type="notifications") as deaf:
            id_ = await backend.publish(n=1)
            await ana.until("note")
            for client in (bia, deaf):
                # A cursor past the event, of a client that it was not for.
                await ack(client, (await client.ask("ping"))["id"])
            assert await backend.delivered(id_) == (1, 1)
            assert await backend.acknowledged(id_) == []


async def test_an_event_of_an_investigation_reaches_owners_and_those_who_named_it(serve: Serve) -> None:
    server = await serve()
    to = {"investigation_id": "inv", "owner": "ana"}
    async with publisher(server) as backend, server.connect() as ana, server.connect(user="bia"):
        await backend.publish(to=to, n=0, receipt=False)
        async with server.connect("/ws/investigations/inv", token=server.token("caio", investigations=["inv"])) as caio:
            # In the same turn as others, so that groups share one flush.
            ids = await asyncio.gather(*[backend.publish(to=to, n=n, receipt=n % 2 == 1) for n in range(1, 9)])
            for client in (ana, caio):
                await client.until("note", n=8)
            assert [await backend.delivered(id_) for id_ in ids[::2]] == [(2, 2)] * 4
            assert [(await backend.ask(id_))[0] for id_ in ids[1::2]] == [404] * 4


@contextlib.asynccontextmanager
async def narrow(server: Server) -> AsyncIterator[Client]:
    """A connection whose client takes in little at a time."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        url = server.url(token=server.token("ana"))
        async with connect(url, sock=sock, max_size=None, compression=None, ping_interval=None) as ws:
            client = Client(ws)
            client.welcome = await client.recv()
            try:
                yield client
            finally:
                client.cut()


async def test_one_that_is_behind_counts_when_it_gets_there(serve: Serve) -> None:
    server = await serve()
    async with asyncio.timeout(20), publisher(server) as backend, narrow(server) as client:
        connection = server.gateway.hub.of_session(session_of(client))
        assert connection is not None
        client.ws.transport.pause_reading()
        while not connection.paused:
            draft = Draft(topics.user("ana"), "ana", "filler", {"pad": "x" * 4000})
            await server.gateway.broker.publish(draft)
            await asyncio.sleep(0)
        ids = [await backend.publish(n=n) for n in range(3)]
        assert [await backend.delivered(id_) for id_ in ids] == [(0, 0)] * 3
        client.ws.transport.resume_reading()
        await client.until("note", n=2)
        assert [await backend.delivered(id_) for id_ in ids] == [(1, 1)] * 3
        await ack(client, ids[1])
        assert [len(await backend.acknowledged(id_)) for id_ in ids] == [1, 1, 0]


async def test_a_replay_counts_a_session_once(serve: Serve) -> None:
    server = await serve()
    async with publisher(server) as backend:
        async with server.connect() as client:
            seen = await backend.publish(n=1)
            await client.until("note")
            client.cut()
            await server.settled(lambda: len(server.gateway.hub) == 0)
        missed = await backend.publish(n=2)
        assert await backend.delivered(seen) == (1, 1)
        assert await backend.delivered(missed) == (0, 0)
        query = {"session_id": session_of(client), "last_event_id": client.welcome["id"]}
        async with server.connect(**query) as again:
            assert [m["data"]["n"] for m in await again.recv_now()] == [1, 2]
            await again.send("subscribe", {"after": client.welcome["id"]})
            await again.until("note", n=2)
            assert await backend.delivered(seen) == (1, 1)
            assert await backend.delivered(missed) == (1, 1)
            await ack(again, missed)
            assert (
                await backend.acknowledged(seen) == await backend.acknowledged(missed) == [(query["session_id"], "ana")]
            )
        async with server.connect(last_event_id=client.welcome["id"]) as another:
            await another.until("note", n=2)
            assert await backend.delivered(seen) == (2, 1)


async def test_what_an_old_ack_passed_is_acknowledged_only_by_one_that_comes_after_it(serve: Serve) -> None:
    """A filter widened in mid-life, and a resume from before it: what was not sent then is not acknowledged yet."""
    server = await serve()
    async with publisher(server) as backend:
        async with server.connect() as client:
            await client.ask("subscribe", {"events": ["other"]})
            id_ = await backend.publish(n=1)
            await ack(client, (await client.ask("ping"))["id"])
            await client.ask("subscribe", {"events": ["note"]})
        assert await backend.delivered(id_) == (0, 0)
        async with server.connect(session_id=session_of(client), last_event_id=client.welcome["id"]) as again:
            await again.until("note")
            assert (await backend.delivered(id_), await backend.acknowledged(id_)) == ((1, 1), [])
            await ack(again, id_)
            assert await backend.acknowledged(id_) == [(session_of(client), "ana")]


async def test_streams_and_polls_count_like_any_connection(serve: Serve) -> None:
    server = await serve()
    async with publisher(server) as backend, asyncio.timeout(20):
        headers = {"Authorization": f"Bearer {server.token('ana')}"}
        url = f"{server.http}/api/v1/events"

        async def command(session_id: str, id_: str) -> None:
            body = json.dumps({"type": "ack", "data": {"id": id_}})
            query = {"session_id": session_id}
            async with backend.http.post(
                f"{server.http}/api/v1/messages", params=query, data=body, headers=headers
            ) as response:
                assert (response.status, await response.json()) == (200, {"replies": []})

        async def poll(**query: Any) -> Json:
            async with backend.http.get(f"{url}/poll", params=query, headers=headers) as response:
                return await response.json()  # type: ignore[no-any-return]

        first = await poll()
        waiting = asyncio.ensure_future(poll(session_id=first["session_id"], after=first["cursor"]))
        await server.settled(lambda: len(server.gateway.hub) == 1)
        async with backend.http.get(url, headers=headers) as response:
            stream = response.content
            await stream.readuntil(b"connection_established")
            id_ = await backend.publish(n=1)
            page = await waiting
            assert [event["id"] for event in page["events"]] == [id_]
            await stream.readuntil(b'"note"')
            assert await backend.delivered(id_) == (2, 1)
            await command(first["session_id"], id_)
            assert await backend.acknowledged(id_) == [(first["session_id"], "ana")]
        # Between two polls nobody is there; the next poll replays.
        await server.settled(lambda: len(server.gateway.hub) == 0)
        later = await backend.publish(n=2)
        assert await backend.delivered(later) == (0, 0)
        page = await poll(session_id=first["session_id"], after=page["cursor"])
        assert [event["id"] for event in page["events"]] == [later]
        assert await backend.delivered(later) == (1, 1)


async def test_only_its_publisher_and_administrators_are_told(serve: Serve) -> None:
    server = await serve()
    async with publisher(server) as backend:
        id_ = await backend.publish()
        unasked = await backend.publish(receipt=False)
        unknown = await backend.ask(unasked)
        assert unknown[0] == 404
        assert await backend.ask(id_, "another") == unknown, "another's is as unknown as none"
        for odd in (id_ + "0", "x-1", "x", "0", "%00", "epoch-999999999999999999"):
            assert await backend.ask(odd) == unknown
        assert await backend.ask(id_, "root", "admin") == await backend.ask(id_)
        assert (await backend.ask(id_, "ana", "user"))[0] == 403
        assert (await backend.ask(id_, "backend", "user"))[0] == 403


async def test_a_repeated_request_keeps_its_receipt(serve: Serve) -> None:
    server = await serve()
    async with publisher(server) as backend, server.connect() as ana:
        id_ = await backend.publish(key="k")
        await ana.until("note")
        assert await backend.publish(key="k") == id_
        assert await backend.delivered(id_) == (1, 1)
        url = f"{server.http}/api/v1/events"
        body = {"to": {"everyone": True}, "type": "note", "data": {}, "receipt": "yes"}
        async with backend.http.post(url, json=body, headers=backend.headers()) as response:
            assert (response.status, (await response.json())["details"]["field"]) == (422, "receipt")


async def test_the_oldest_is_forgotten_and_long_lists_are_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "EVENTS", 2)
    monkeypatch.setattr(reading, "LISTED", 1)
    server = await serve()
    async with publisher(server) as backend, server.connect() as one, server.connect() as two:
        ids = [await backend.publish(n=n) for n in range(3)]
        for client in (one, two):
            await client.until("note", n=2)
            await ack(client, ids[2])
        assert [(await backend.ask(id_))[0] for id_ in ids] == [404, 200, 200]
        found = (await backend.receipt(ids[2]))["acknowledged"]
        assert (found["count"], len(found["sessions"]), found["truncated"]) == (2, 1, True)
        # What a session was handed of a forgotten one is no hindrance to its acks.
        await ack(one, ids[0])


async def test_a_receipt_is_of_one_life_of_the_log(serve: Serve) -> None:
    first, second = await serve(), await serve()
    async with publisher(first) as backend, publisher(second) as successor:
        id_, other = await backend.publish(), await successor.publish()
        assert id_.split("-")[1] == other.split("-")[1]
        assert (await successor.ask(id_))[0] == 404
        assert (await successor.ask(other))[0] == 200
