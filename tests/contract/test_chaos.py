"""Whatever the network does, every client ends with exactly what was published, in order and once.

`CHAOS_SCHEDULES` is how many seeds are tried in all (300); `CHAOS_SEED` tries that one alone.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from conftest import Server
from contract.drivers import Driver, Reader
from contract.names import NAMES, all_drivers
from contract.proxy import Proxy, Schedule

from cidadao_rt.memory.log import Draft, Event
from cidadao_rt.words import events, topics

Serve = Callable[..., Awaitable[Server]]

SCHEDULES = int(os.environ.get("CHAOS_SCHEDULES", "300"))
AT_ONCE = 6
"""Schedules that run at once in one gateway, each with a user, a proxy and clients of its own."""

LIMITS = {
    "connections_per_user": 1000,
    "messages_per_minute": 10_000,
    "handshakes_per_second": 10_000,
    "connections_per_address": 10_000,
    "detached_sessions_per_user": 1000,
}


def seeds(name: str) -> list[int]:
    """The seeds that this driver is tried with."""
    only = os.environ.get("CHAOS_SEED")
    return [
        seed
        for seed in ([int(only)] if only is not None else range(SCHEDULES))
        if NAMES[seed % len(NAMES)] == name
    ]  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What one client of a schedule follows, and which events that is."""

    options: dict[str, Any]
    wants: Callable[[Event], bool]


def wishes(sub: str) -> list[Wish]:
    """Everything; one type, in batches; one investigation."""
    return [
        Wish({}, lambda event: True),
        Wish({"events": (events.NOTIFICATION,), "batch": True}, lambda event: event.type == events.NOTIFICATION),
        Wish({"investigation_ids": (f"{sub}-1",)}, lambda event: event.topic != topics.investigation(f"{sub}-0")),
    ]


class Publisher:
    """Publishes at random to one user and two investigations of theirs, and remembers what."""

    def __init__(self, server: Server, sub: str, rng: Random) -> None:
        self.published: list[Event] = []
        self._server = server
        self._sub = sub
        self._rng = rng

    async def begin(self) -> None:
        """Create the investigations, so that they can be named."""
        for topic in self._topics()[1:]:
            await self._server.gateway.broker.publish(Draft(topic, self._sub, "begun", {}))

    async def some(self) -> None:
        """A burst of events."""
        for _ in range(self._rng.choice((1, 1, 2, 5))):
            pad = "x" * self._rng.choice((0, 50, 500, 500, 8_000))
            await self._publish(self._rng.choice(self._topics()), self._rng.choice(("numbered", events.NOTIFICATION)), pad)

    async def last(self) -> None:
        """Something for everyone to end with."""
        for topic in self._topics():
            for type_ in ("numbered", events.NOTIFICATION):
                await self._publish(topic, type_, "")

    async def _publish(self, topic: topics.Topic, type_: str, pad: str) -> None:
        data = {"n": len(self.published), "pad": pad}
        self.published.append(await self._server.gateway.broker.publish(Draft(topic, self._sub, type_, data)))

    def _topics(self) -> list[topics.Topic]:
        return [topics.user(self._sub), *[topics.investigation(f"{self._sub}-{n}") for n in range(2)]]


async def one(server: Server, drive: Any, name: str, seed: int) -> None:
    """One schedule from its beginning to what everybody then must have."""
    rng = Random(seed)
    sub = f"user-{seed}"
    publisher = Publisher(server, sub, rng)
    await publisher.begin()
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(server.port, Schedule(Random(rng.random()))).running())
        chosen = [rng.choice(wishes(sub)) for _ in range(2)]
        drivers: list[Driver] = [
            await stack.enter_async_context(
                drive(name, f"http://127.0.0.1:{proxy.port}", server.token(sub), **wish.options)
            )
            for wish in chosen
        ]
        await asyncio.gather(*[driver.open() for driver in drivers])
        readers = [Reader(driver) for driver in drivers]
        for _ in range(rng.randrange(20, 40)):
            await publisher.some()
            proxy.refusing = rng.random() < 0.05
            if rng.random() < 0.05:
                proxy.cut()
            await asyncio.sleep(rng.random() * 0.006)
        proxy.calm()
        await publisher.last()
        expected = [[str(server.gateway.log.cursor(e.offset)) for e in publisher.published if w.wants(e)] for w in chosen]
        for reader, wanted in zip(readers, expected, strict=True):
            assert await reader.upto(wanted[-1]) == wanted
            assert all(reader.driver.verdicts), "nothing was trimmed, and yet `recovered` was false"
            assert reader.driver.wire_faults == []


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", all_drivers())
async def test_every_client_ends_with_what_was_published(serve: Serve, drive: Any, name: str) -> None:
    server = await serve(limits=LIMITS, buffer={"total_bytes": 1 << 30})
    waiting = seeds(name)
    failures: list[str] = []

    async def work() -> None:
        while waiting:
            seed = waiting.pop(0)
            try:
                async with asyncio.timeout(40):
                    await one(server, drive, name, seed)
            except (AssertionError, TimeoutError) as failure:
                failures.append(f"CHAOS_SEED={seed} python -m pytest {__file__} -k {name}\n{failure!r}")

    await asyncio.gather(*[work() for _ in range(AT_ONCE)])
    assert not failures, "\n".join(failures)
