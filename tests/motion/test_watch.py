"""The watch over its wheel, against one that looks at every connection in every round."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Log
from cidadao_rt.memory.session import Session, World
from cidadao_rt.memory.starts import Starts
from cidadao_rt.motion import watch as watch_module
from cidadao_rt.motion.connection import Connection
from cidadao_rt.motion.hub import Hub
from cidadao_rt.motion.metrics import Metrics
from cidadao_rt.motion.watch import Watch
from cidadao_rt.motion.wheel import ROUND_SECONDS, SLOTS, Wheel
from cidadao_rt.words.encodings import WEBSOCKET, Encoding
from cidadao_rt.words.errors import CloseCode
from cidadao_rt.words.limits import SlidingWindow
from cidadao_rt.words.subscription import ConnectionType, Kind
from cidadao_rt.words.tokens import Principal

INACTIVITY, PING, SLOW, BUDGET = 30.0, 7.0, 5.0, 10_000


class Peer:
    """A client that remembers what was done to it, and when."""

    encoding: Encoding = WEBSOCKET

    def __init__(self, scene: "Scene", *, expects_pong: bool = True) -> None:
        self.scene = scene
        self.expects_pong = expects_pong
        self.waiting = 0

    def attach(self, connection: Connection) -> None:
        self.connection = connection

    def write(self, data: bytes) -> None:
        pass

    def ping(self, cursor: str) -> None:
        self.scene.tell(self, "ping")

    def buffered(self) -> int:
        self.scene.measured.append(self.connection.id)
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        self.scene.tell(self, reason)

    def abort(self) -> None:
        self.scene.tell(self, "abort")


class Naive:
    """The definition: every round looks at everybody."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def round(self, now: float) -> bool:
        total = 0
        for one in self.hub:
            if now >= one.expires_at:
                self.hub.close(one, CloseCode.POLICY_VIOLATION, "Token expired")
            elif one.outlet.expects_pong and now - one.message_at >= INACTIVITY:
                self.hub.close(one, CloseCode.GOING_AWAY, "Inactivity timeout")
            elif one.paused:
                total += self.check_reader(one, now)
            else:
                total += one.outlet.buffered()
                self.check_peer(one, now)
        held = sorted(self.hub, key=lambda one: one.outlet.buffered(), reverse=True)
        for one in held:
            if total <= BUDGET:
                break
            total -= one.outlet.buffered()
            self.hub.close(one, CloseCode.TRY_AGAIN_LATER, "The server is out of buffer space")
        return True

    def check_reader(self, one: Connection, now: float) -> int:
        buffered = one.outlet.buffered()
        if buffered < one.buffered:
            one.progress_at = now
        one.buffered = buffered
        if now - one.progress_at >= SLOW:
            self.hub.close(one, CloseCode.TRY_AGAIN_LATER, "Too slow: nothing was read")
            return 0
        return buffered

    def check_peer(self, one: Connection, now: float) -> None:
        if now - one.pinged_at < PING:
            return
        if one.outlet.expects_pong and one.heard_at < one.pinged_at:
            self.hub.remove(one)
            one.outlet.abort()
            return
        one.pinged_at = now
        self.hub.ping(one)


class Scene:
    """A hub, a watch of some sort, and what it did."""

    def __init__(self, watch: Callable[[Hub], Any]) -> None:
        self.log = Log("e")
        self.hub = Hub(self.log, Metrics(), lambda: 0.0)
        self.watch = watch(self.hub)
        self.now = 1000.0
        self.done: list[tuple[float, str, str]] = []
        self.measured: list[str] = []
        self.peers: list[Peer] = []

    def tell(self, peer: Peer, what: str) -> None:
        self.done.append((self.now, peer.connection.id, what))

    def open(self, seconds: float, expects_pong: bool = True) -> Peer:
        id_ = f"c{len(self.peers)}"
        principal = Principal("ana", 1e9)
        world = World(self.log, Investigations(), lambda _: principal)
        session = Session(id_, Kind(ConnectionType.GENERAL), principal, world, SlidingWindow(100, 60), Starts())
        peer = Peer(self, expects_pong=expects_pong)
        self.peers.append(peer)
        connection = Connection(id_, session, peer, "127.0.0.1", self.now)
        connection.expires_at = self.now + seconds
        self.hub.add(connection, self.log.head, [])
        return peer

    def later(self, seconds: float) -> None:
        """Let time pass, and have a round."""
        self.now += seconds
        while not self.watch.round(self.now):
            pass

    def play(self, step: tuple[str, int, float]) -> None:
        name, who, number = step
        if name == "open":
            self.open(number * 4, expects_pong=who % 3 > 0)
        elif name == "later":
            self.later(number)
        elif self.peers:
            self.act(name, self.peers[who % len(self.peers)], number)

    def act(self, name: str, peer: Peer, number: float) -> None:
        one = peer.connection
        if one.closing:
            return
        match name:
            case "message":
                one.message_at = one.heard_at = self.now
            case "pong":
                one.heard_at = self.now
            case "prolong":
                self.hub.prolong(one, self.now + number * 4)
            case "buffer" if not one.paused:
                peer.waiting = int(number * 300)
            case "pause" if not one.paused:
                peer.waiting = int(number * 300) + 10
                self.hub.paused(one)
                one.progress_at = self.now
            case "read" if one.paused:
                peer.waiting //= 2
            case "resume" if one.paused:
                peer.waiting = 0
                self.hub.resumed(one)
            case "close":
                self.hub.close(one, CloseCode.NORMAL, "bye")


def wheeled(hub: Hub) -> Watch:
    """The watch, not hurried by how long the test takes."""
    return Watch(hub, inactivity=INACTIVITY, ping=PING, slow_reader=SLOW, buffered_bytes=BUDGET, clock=lambda: 0.0)


names = ["later", "later", "later", "open", "message", "pong", "prolong", "buffer", "pause", "read", "resume", "close"]
steps = st.tuples(st.sampled_from(names), st.integers(0, 20), st.floats(0, 20, width=16))


@settings(deadline=None, max_examples=300)
@given(st.lists(steps, max_size=120))
def test_it_does_what_a_look_at_everybody_does_in_the_same_round(history: list[tuple[str, int, float]]) -> None:
    async def main() -> None:
        ours, naive = Scene(wheeled), Scene(Naive)
        for scene in (ours, naive):
            for step in history:
                scene.play(step)
            # Longer than any deadline, and than the whole wheel.
            for seconds in [ROUND_SECONDS] * 40 + [1.0] * 40 + [ROUND_SECONDS * SLOTS * 2]:
                scene.later(seconds)
        # Within one round the order is no promise.
        assert sorted(ours.done) == sorted(naive.done)
        assert ours.hub.ids() == naive.hub.ids()

    asyncio.run(main())


async def test_a_round_looks_at_those_alone_whose_time_may_have_come() -> None:
    scene = Scene(wheeled)
    for _ in range(40):
        scene.open(600)
        scene.later(ROUND_SECONDS)
    looked: list[int] = []
    take = scene.hub.wheel.take

    def counted(now: float) -> list[Connection]:
        due = take(now)
        looked.append(len(due))
        return due

    scene.hub.wheel.take = counted  # type: ignore[method-assign]
    for _ in range(28):
        for peer in scene.peers:
            peer.connection.heard_at = scene.now
        scene.later(ROUND_SECONDS)
    assert sum(looked) <= 2 * 40, "one ping each; as many looks again may have come a moment early"
    assert max(looked) <= 4


async def test_what_is_due_at_once_gives_others_their_turn() -> None:
    """All tokens end at the same moment; each turn of the loop has a bounded part of it."""
    time = 0.0

    def clock() -> float:
        nonlocal time
        time += watch_module.HOLD_SECONDS / 4
        return time

    def hurried(hub: Hub) -> Watch:
        return Watch(hub, inactivity=1e6, ping=1e6, slow_reader=SLOW, buffered_bytes=BUDGET, clock=clock)

    scene = Scene(hurried)
    for _ in range(50):
        scene.open(10)
    scene.later(1)
    turns = 0
    scene.now += 10
    while not scene.watch.round(scene.now):
        turns += 1
        assert len(scene.done) <= 6 * turns
    assert turns >= 8
    assert len(scene.done) == 50
    assert len(scene.hub) == 0


async def test_who_ends_between_two_turns_of_a_round_is_left_alone() -> None:
    scene = Scene(lambda hub: Watch(hub, inactivity=1, ping=9, slow_reader=9, buffered_bytes=9, clock=iter_clock()))
    first, second = scene.open(100), scene.open(100)
    scene.later(0)
    scene.now += 10
    assert scene.watch.round(scene.now) is False
    assert [who for _, who, _ in scene.done] == [first.connection.id]
    scene.hub.remove(second.connection)
    assert scene.watch.round(scene.now) is True
    assert len(scene.done) == 1


def iter_clock() -> Callable[[], float]:
    """A clock by which every look takes too long."""
    seconds = iter(range(10**6))
    return lambda: next(seconds)


async def test_a_bug_with_one_connection_stops_no_others_deadline() -> None:
    scene = Scene(wheeled)
    broken, sound = scene.open(10), scene.open(10)
    scene.later(0)

    def fail(code: int, reason: str) -> None:
        raise ZeroDivisionError

    broken.expects_pong = True
    broken.close = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        scene.later(10)
    scene.later(ROUND_SECONDS)
    assert [who for _, who, _ in scene.done] == [sound.connection.id]


async def test_buffers_are_counted_in_bounded_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of N connections each is counted every ceil(N / COUNTED) rounds; a full one in every round while they are few."""
    monkeypatch.setattr(watch_module, "COUNTED", 10)
    scene = Scene(wheeled)
    peers = [scene.open(600) for _ in range(35)]
    for peer in peers[:5]:
        peer.waiting = 100
        scene.hub.paused(peer.connection)
        peer.connection.progress_at = scene.now
    for n in range(8):
        scene.measured.clear()
        scene.later(ROUND_SECONDS)
        paused = {peer.connection.id for peer in peers[:5]}
        assert paused <= set(scene.measured)
        assert len(scene.measured) <= 20, n
    scene.measured.clear()
    for _ in range(4):
        scene.later(ROUND_SECONDS)
    assert set(scene.measured) == {peer.connection.id for peer in peers}
    # Many at once: over the budget within one pass, and nobody goes who has nothing.
    for peer in peers[5:]:
        peer.waiting = 500
    for _ in range(4):
        scene.later(ROUND_SECONDS)
    assert {what for _, _, what in scene.done} == {"The server is out of buffer space"}
    assert scene.hub.held == sum(peer.waiting for peer in peers if not peer.connection.closing) <= BUDGET
    assert not any(peer.connection.closing for peer in peers[:5])


async def test_the_total_forgets_who_has_left() -> None:
    scene = Scene(wheeled)
    peer = scene.open(600)
    peer.waiting = 700
    scene.later(ROUND_SECONDS)
    assert scene.hub.held == 700
    scene.hub.remove(peer.connection)
    scene.later(ROUND_SECONDS)
    assert scene.hub.held == 0


def test_the_wheel_gives_up_what_is_removed() -> None:
    wheel = Wheel()
    peer = Scene(wheeled).open(1)
    one = peer.connection
    peer.scene.hub.wheel.remove(one)
    wheel.remove(one)
    wheel.put(one, 5.0)
    wheel.put(one, 2.0)
    assert wheel.take(1.9) == []
    assert wheel.take(2.0) == [one]
    assert wheel.take(9.0) == []
    wheel.put(one, 1e9)
    assert wheel.take(9.0 + ROUND_SECONDS * SLOTS) == [one], "looked at once on the way"
    wheel.put(one, 0.0)
    wheel.remove(one)
    assert wheel.take(1e6) == []
