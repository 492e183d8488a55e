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
from contract.names import NAMES
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
            await self._publish(
                self._rng.choice(self._topics()), self._rng.choice(("numbered", events.NOTIFICATION)), pad
            )

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


async def one(server: Server, drive: Any, name: str, seed: int, *, forgets: bool = False) -> None:
    """One schedule from its beginning to what everybody then must have.

    Where the gateway `forgets`, being short of buffer, a client may miss events, if it was told so.
    """
    rng = Random(seed)
    sub = f"user-{seed}"
    publisher = Publisher(server, sub, rng)
    await publisher.begin()
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(server.port, Schedule(Random(rng.random()))).running())
        # In every tenth the clients take in little at a time.
        proxy.narrow = seed % 10 == 9
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
        for reader, wish in zip(readers, chosen, strict=True):
            await check(server, publisher, reader, wish, forgets)


async def check(server: Server, publisher: Publisher, reader: Reader, wish: Wish, forgets: bool) -> None:
    """This client has what it wanted: everything, unless it knows that it has not."""
    # What is forgotten before the client is back from its last cut cannot be what it ends with.
    for patience in (1.0,) * 10 if forgets else (20.0,):
        await publisher.last()
        wanted = [str(server.gateway.log.cursor(e.offset)) for e in publisher.published if wish.wants(e)]
        with contextlib.suppress(TimeoutError):
            await reader.upto(wanted[-1], patience)
            break
    else:
        missing = [id_ for id_ in wanted if id_ not in reader.ids]
        raise AssertionError(f"{len(missing)} of {len(wanted)} never came, first {missing[:3]}")
    assert reader.driver.wire_faults == []
    if forgets and not all(reader.driver.verdicts):
        received = set(reader.ids)
        assert reader.ids == [id_ for id_ in wanted if id_ in received]
        return
    assert reader.ids == wanted
    assert all(reader.driver.verdicts), "nothing was trimmed, and yet `recovered` was false"


async def failures_of(server: Server, drive: Any, name: str, tried: list[int], *, forgets: bool = False) -> list[str]:
    """Try these seeds, `AT_ONCE` at a time; for each that failed how to try it alone, and why."""
    waiting = list(tried)
    failures: list[str] = []

    async def work() -> None:
        while waiting:
            seed = waiting.pop(0)
            try:
                async with asyncio.timeout(40):
                    await one(server, drive, name, seed, forgets=forgets)
            except (AssertionError, TimeoutError, EOFError) as failure:
                failures.append(
                    f"CHAOS_SEED={seed} python -m pytest tests/contract/test_chaos.py -k {name}: {failure!r}"
                )

    await asyncio.gather(*[work() for _ in range(AT_ONCE)])
    return failures


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", NAMES)
async def test_every_client_ends_with_what_was_published(serve: Serve, drive: Any, name: str) -> None:
    server = await serve(limits=LIMITS, buffer={"total_bytes": 1 << 30})
    failures = await failures_of(server, drive, name, seeds(name))
    assert not failures, "\n".join(failures)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", NAMES)
async def test_who_misses_something_knows(serve: Serve, drive: Any, name: str) -> None:
    """A gateway that keeps too little: never a gap where `recovered` was true, and always the order."""
    server = await serve(limits=LIMITS, buffer={"bytes_per_topic": 30_000})
    failures = await failures_of(server, drive, name, seeds(name)[:12], forgets=True)
    assert not failures, "\n".join(failures)
