"""Two users in parallel never see a byte of each other's."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

import pytest
from conftest import Client, Server

from cidadao_rt.memory.log import Draft
from cidadao_rt.words import events, topics

Serve = Callable[..., Awaitable[Server]]
MARKS = {"ana": "ANAS-SECRET", "bia": "BIAS-SECRET"}


async def converse(client: Client, server: Server, sub: str, others: list[str], rng: random.Random) -> list[str]:
    """A few dozen random commands, some with ids of others, and every frame that came back."""
    frames: list[str] = []
    mine: list[str] = []

    async def read() -> None:
        async for frame in client.ws:
            frames.append(str(frame))
            message = json.loads(frame)
            if message["type"] == "investigation_update" and message["data"]["status"] == "started":
                mine.append(message["data"]["investigation_id"])
                others.append(message["data"]["investigation_id"])

    reading = asyncio.ensure_future(read())
    for n in range(40):
        any_id = rng.choice(others) if others else "inv_unknown"
        command = rng.choice(
            ["start", "chat", "subscribe", "subscribe_all", "cancel", "unsubscribe", "notify", "after"]
        )
        match command:
            case "start":
                await client.send("start_investigation", {"query": f"{MARKS[sub]} {n}"}, correlation_id=f"c{n}")
            case "chat":
                data = {"agent": "anita", "message": MARKS[sub], "context": {"investigation_id": any_id}}
                await client.send("agent_chat", data, correlation_id=f"c{n}")
            case "subscribe":
                await client.send("subscribe", {"investigation_ids": [any_id]})
            case "subscribe_all":
                await client.send("subscribe")
            case "cancel":
                await client.send("cancel_investigation", {"investigation_id": any_id}, correlation_id=f"c{n}")
            case "unsubscribe":
                await client.send("unsubscribe", {"investigation_ids": [any_id]})
            case "notify":
                data = {"level": "info", "title": MARKS[sub], "message": "m"}
                await server.gateway.broker.publish(Draft(topics.user(sub), sub, events.NOTIFICATION, data))
            case "after":
                await client.send("subscribe", {"after": client.welcome["id"]})
        await asyncio.sleep(0)
    await server.settled(lambda: not server.gateway.runs and not server.gateway.chats)
    await client.send("ping", correlation_id="last")
    await server.settled(lambda: any('"last"' in frame for frame in frames))
    reading.cancel()
    return frames


@pytest.mark.parametrize("seed", range(5))
async def test_two_users_in_parallel_never_see_a_byte_of_each_others(serve: Serve, seed: int) -> None:
    server = await serve(limits={"messages_per_minute": 10_000, "investigations_per_user": 100, "chats_per_user": 100})
    ids: list[str] = []
    async with server.connect(user="ana") as ana, server.connect(user="bia") as bia:
        seen = await asyncio.gather(
            converse(ana, server, "ana", ids, random.Random(seed)),
            converse(bia, server, "bia", ids, random.Random(seed + 100)),
        )
    for frames, own, foreign in ((seen[0], "ana", "bia"), (seen[1], "bia", "ana")):
        text = "".join(frames)
        assert MARKS[own] in text
        assert MARKS[foreign] not in text
        owners = {inv.id for inv in server.gateway.investigations.of(foreign)}
        named = {json.loads(frame)["data"].get("investigation_id") for frame in frames}
        assert not named & owners


async def test_sharing_by_claim_shows_one_investigation_and_no_other(serve: Serve) -> None:
    server = await serve(agents={"speed": 5.0})
    async with server.connect(user="ana") as ana:
        ids = [(await ana.ask("start_investigation", {"query": f"q{n}"}))["data"]["investigation_id"] for n in range(2)]
        token = server.token("bia", investigations=[ids[0]])
        async with (
            server.connect(token=token) as bia,
            server.connect(f"/ws/investigations/{ids[0]}", token=token) as one,
        ):
            subscribed = await bia.ask("subscribe", {"investigation_ids": ids})
            assert subscribed["data"]["investigation_ids"] == ids[:1]
            assert subscribed["data"]["denied"] == [{"investigation_id": ids[1], "code": "NOT_FOUND"}]
            for client in (bia, one):
                seen = await client.collect("investigation_update", status="completed")
                assert {m["data"]["investigation_id"] for m in seen if "investigation_id" in m["data"]} == {ids[0]}


async def test_an_admin_may_follow_all_but_follows_its_own_by_default(serve: Serve) -> None:
    server = await serve(agents={"speed": 20.0})
    async with server.connect(token=server.token("root", roles=["admin"])) as admin, server.connect() as ana:
        id_ = (await ana.ask("start_investigation", {"query": "q"}))["data"]["investigation_id"]
        await ana.until("investigation_update", status="completed")
        assert (await admin.recv_now()) == []
        await admin.send("subscribe", {"investigation_ids": [id_]})
        assert (await admin.until("investigation_update"))["data"]["status"] == "completed"
