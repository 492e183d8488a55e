"""Publishing over HTTP: by whom, to whom, all or nothing, and not twice."""

import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from conftest import Server

from cidadao_rt.motion import publishing

Serve = Callable[..., Awaitable[Server]]
UPDATE = {"status": "processing", "progress": 10}


async def publish(
    server: Server, body: Any, *, roles: tuple[str, ...] = ("service",), key: str | None = None, sub: str = "backend"
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {server.token(sub, roles=roles)}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{server.http}/api/v1/events", data=io.BytesIO(data), headers=headers) as response:
            return response.status, await response.json()


def event(
    id_: str = "inv", owner: str | None = "ana", type_: str = "investigation_update", **data: Any
) -> dict[str, Any]:
    to = {"investigation_id": id_, **({"owner": owner} if owner else {})}
    return {"to": to, "type": type_, "data": {**(UPDATE if type_ == "investigation_update" else {}), **data}}


async def test_an_investigation_begins_with_its_first_event_and_its_owner_sees_it(serve: Serve) -> None:
    server = await serve()
    async with server.connect() as ana, server.connect(user="bia") as bia:
        status, answer = await publish(server, {**event(), "correlation_id": "c"})
        assert status == 202
        seen = await ana.until("investigation_update")
        assert (seen["id"], seen["correlation_id"]) == (answer["ids"][0], "c")
        assert seen["data"] == {"investigation_id": "inv", **UPDATE}
        status, _ = await publish(server, event(owner=None, type_="custom_type", anything=[1]))
        assert (status, (await ana.until("custom_type"))["data"]["anything"]) == (202, [1])
        assert await bia.recv_now() == []


async def test_a_user_and_everyone_can_be_addressed(serve: Serve) -> None:
    server = await serve()
    data = {"level": "info", "title": "t", "message": "m"}
    async with server.connect() as ana, server.connect(user="bia") as bia:
        for to in ({"user_id": "ana"}, {"everyone": True}):
            assert (await publish(server, {"to": to, "type": "notification", "data": data}))[0] == 202
        assert [m["type"] for m in await ana.recv_now()] == ["notification"] * 2
        assert [m["type"] for m in await bia.recv_now()] == ["notification"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (event(owner=None), 422, "to.owner"),
        (event(status="late"), 422, "status"),
        (event(type_="pong"), 422, "type"),
        (event(type_="metrics_update"), 422, "type"),
        (event(type_="ping"), 422, "type"),
        ({"to": {"user_id": "ana"}, "type": "investigation_update", "data": UPDATE}, 422, "to"),
        ({"to": {}, "type": "x", "data": {}}, 422, "to"),
        ({"to": {"user_id": "ana", "everyone": True}, "type": "x", "data": {}}, 422, "to"),
        ({"type": "x", "data": {}}, 422, "to"),
        ({"to": {"everyone": True}, "type": "x"}, 422, "data"),
        ("text", 422, ""),
    ],
)
async def test_what_is_lacking_or_wrong_is_named(serve: Serve, body: Any, status: int, field: str) -> None:
    server = await serve()
    answered, problem = await publish(server, body)
    assert (answered, problem["details"]["field"]) == (status, field)
    assert server.gateway.log.head == 0


async def test_what_breaks_the_order_is_a_conflict(serve: Serve) -> None:
    server = await serve()
    await publish(server, event(progress=50))
    assert (await publish(server, event(owner="bia", progress=60)))[0] == 409
    assert (await publish(server, event(progress=49)))[0] == 409
    await publish(server, event(status="completed", progress=100))
    assert (await publish(server, event(progress=100)))[0] == 409
    assert (await publish(server, event(type_="notification", level="info", title="t", message="m")))[0] == 202
    assert server.gateway.log.head == 3


async def test_each_type_moves_an_investigation_by_its_own_fields_alone(serve: Serve) -> None:
    """A key that belongs to another type passes through and neither holds the state back nor breaks anything."""
    server = await serve()
    stages = dict.fromkeys(("data_collection", "anomaly_detection", "pattern_analysis", "report_generation"), 50)
    assert (await publish(server, event(progress=10, stages="none", overall_progress=90)))[0] == 202
    back = event(type_="progress_update", overall_progress=9, stages=stages, progress=50)
    assert (await publish(server, back))[0] == 409
    assert (await publish(server, event(type_="progress_update", overall_progress=50, stages=stages)))[0] == 202
    found = server.gateway.investigations.get("inv")
    assert found is not None
    assert (found.progress, found.stages) == (50, stages)
    status, problem = await publish(server, event(progress=60, query=["not", "text"]))
    assert (status, problem["details"]["field"]) == (422, "query")


async def test_a_list_is_all_or_nothing(serve: Serve) -> None:
    server = await serve()
    good = [event(progress=10), event(owner=None, progress=20)]
    status, problem = await publish(server, [*good, event(progress=15)])
    assert (status, problem["details"], server.gateway.log.head) == (409, {"progress": 20, "index": 2}, 0)
    status, problem = await publish(server, [*good, event(type_="error")])
    assert (status, problem["details"]["index"], server.gateway.log.head) == (422, 2, 0)
    status, answer = await publish(server, good)
    assert (status, len(answer["ids"]), server.gateway.log.head) == (202, 2, 2)
    assert (await publish(server, []))[0] == 422
    assert (await publish(server, [event(progress=30)] * 1001))[0] == 422


async def test_a_key_publishes_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve()
    first = await publish(server, event(), key="k")
    assert await publish(server, event(), key="k") == first
    assert server.gateway.log.head == 1
    assert (await publish(server, event(progress=11), key="k"))[0] == 409, "the same key for something else"
    assert (await publish(server, event(progress=12), key="k", sub="other"))[0] == 202, "keys are each publisher's own"
    assert (await publish(server, event(progress=12), key="k" * 256))[0] == 422
    monkeypatch.setattr(publishing, "KEY_SECONDS", 0.0)
    assert (await publish(server, event(progress=12), key="k"))[0] == 202


async def test_keys_are_bounded_in_number_and_in_what_is_remembered_with_them(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    monkeypatch.setattr(publishing, "KEY_IDS", 4)
    for key in ("a", "b", "c"):
        assert (await publish(server, [event()] * 2, key=key))[0] == 202
    assert (await publish(server, [event()] * 2, key="b"))[1]["ids"][0].endswith("-3")
    assert (await publish(server, [event()] * 2, key="a"))[1]["ids"][0].endswith("-7"), "published again"
    monkeypatch.setattr(publishing, "KEYS", 1)
    assert (await publish(server, event(), key="d"))[0] == 202
    assert (await publish(server, [event()] * 2, key="a"))[1]["ids"][0].endswith("-10"), "published again"


async def test_only_services_and_admins_publish(serve: Serve) -> None:
    server = await serve()
    assert (await publish(server, event(), roles=("user",)))[0] == 403
    assert (await publish(server, event(), roles=("admin",)))[0] == 202


async def test_sizes_and_rates_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve()
    assert (await publish(server, event(pad="x" * 65_600)))[0] == 413
    assert (await publish(server, b" " * (publishing.REQUEST_BYTES + 1)))[0] == 413
    assert (await publish(server, b"{"))[0] == 422
    monkeypatch.setattr(publishing, "EVENTS_PER_SECOND", 3)
    assert (await publish(server, [event()] * 3))[0] == 202
    status, problem = await publish(server, event())
    assert (status, problem["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert (await publish(server, event(), sub="another"))[0] == 202


async def test_a_gateway_that_drains_takes_nothing_that_would_end_with_it(serve: Serve) -> None:
    server = await serve()
    server.gateway.draining = True
    status, problem = await publish(server, event())
    assert (status, problem["code"], server.gateway.log.head) == (503, "OVERLOADED", 0)
