"""What a connection costs, and that all of it is free again when it is over."""

import gc
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from conftest import SECRET, configure

from cidadao_rt.motion import collector
from cidadao_rt.motion.collector import Collector
from cidadao_rt.motion.connection import Connection
from cidadao_rt.motion.crowd import Crowd, joined, left
from cidadao_rt.motion.gateway import Call, Gateway
from cidadao_rt.motion.watch import Watch
from cidadao_rt.words.encodings import WEBSOCKET, Encoding
from cidadao_rt.words.subscription import ConnectionType, Kind
from cidadao_rt.words.tokens import mint

MOST_BYTES = 3200
"""Of a connection, its session, its user and their places everywhere; 2,650 when this was written."""


class Socket:
    """A way out that takes everything."""

    __slots__ = ("connection",)

    encoding: Encoding = WEBSOCKET
    expects_pong = True

    def attach(self, connection: Connection) -> None:
        # As the real ones, without the reference that they give up when the socket is gone.
        pass

    def write(self, data: bytes) -> None:
        pass

    def ping(self, cursor: str) -> None:
        pass

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        pass

    def abort(self) -> None:
        pass


class Node:
    """A gateway whose clock stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0
        config = configure(limits={"connections_per_address": 10**6, "max_connections": 10**6})
        self.gateway = Gateway(config, clock=lambda: self.now)
        self.watch = Watch(self.gateway.hub, inactivity=1e6, ping=25, slow_reader=60, buffered_bytes=10**9)
        self.tokens = [
            mint(SECRET, sub=f"user-{n}", issued_at=time.time(), ttl=3600, roles=["user"], investigations=["inv-1"])
            for n in range(2000)
        ]

    def open(self, count: int) -> list[Connection]:
        opened = []
        for token in self.tokens[:count]:
            call = Call(self.gateway.verify(token), Kind(ConnectionType.GENERAL), "127.0.0.1")
            opened.append(self.gateway.open(call, Socket()).connection)
        return opened

    async def come_and_go(self, count: int) -> None:
        for connection in self.open(count):
            assert self.gateway.receive(connection, b'{"type":"ping","data":{}}') is None, "a ping is waited for"
            self.gateway.left(connection)
        self.now += 301.0
        self.watch.round(self.now)
        await self.gateway.keep_house()


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_gc")
async def test_nothing_is_left_of_two_thousand_who_came_and_went() -> None:
    """And nothing of it waits for the garbage collector, below the edges: what aiohttp keeps of a request does."""
    node = Node()
    tracemalloc.start()
    try:
        await node.come_and_go(2000)
        await node.come_and_go(2000)
        before = Counter(type(one).__name__ for one in gc.get_objects())
        at_first = tracemalloc.get_traced_memory()[0]
        await node.come_and_go(2000)
        await node.come_and_go(2000)
        grown = tracemalloc.get_traced_memory()[0] - at_first
    finally:
        tracemalloc.stop()
    after = Counter(type(one).__name__ for one in gc.get_objects())
    assert (len(node.gateway.hub), len(node.gateway.users)) == (0, 0)
    mine = ("Connection", "Session", "Following", "User", "Group", "SlidingWindow", "Starts")
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    # A few tables may keep the size that they had; objects would be hundreds of bytes of each of them.
    assert grown < 2000 * 50


@pytest.mark.usefixtures("without_gc")
async def test_an_idle_connection_costs_no_more_than_its_share() -> None:
    node = Node()
    node.open(100)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        node.open(2000)
        cost = (tracemalloc.get_traced_memory()[0] - before) / 2000
    finally:
        tracemalloc.stop()
    assert cost < MOST_BYTES


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_the_collector_freezes_in_steps_and_looks_again_when_they_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "STEP", 10)
    one = Collector()
    one.start()
    frozen = gc.get_freeze_count()
    assert frozen > 1000

    class Cycle:
        def __init__(self) -> None:
            self.me = self

    crowd = [Cycle() for _ in range(100)]
    one.look(9, 9)
    assert gc.get_freeze_count() < frozen + 100, "too few to be worth it"
    one.look(100, 100)
    assert gc.get_freeze_count() > frozen + 100
    crowd.clear()
    one.look(124, 100)
    assert gc.get_freeze_count() > frozen + 100, "frozen, and garbage"
    one.look(125, 100)
    assert not any(isinstance(left, Cycle) for left in gc.get_objects())
    gc.unfreeze()
    assert not any(isinstance(left, Cycle) for left in gc.get_objects())


def test_a_crowd_keeps_the_order_of_coming() -> None:
    crowd: Crowd[str] = ()
    for name in "abc":
        crowd = joined(crowd, name)
    assert list(crowd) == ["a", "b", "c"]
    for name, rest in (("b", "ac"), ("a", "c"), ("c", "")):
        crowd = left(crowd, name)
        assert "".join(crowd) == rest
    assert crowd == ()
    assert list(joined(crowd, "d")) == ["d"]
