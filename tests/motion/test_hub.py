"""The hub against a naive model: whatever happens in whatever order, a connection's position tells what it was sent."""

import asyncio
import re
from random import Random

import pytest

from cidadao_rt.memory.effects import Pong, Say
from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Draft, Event, Log, Retention
from cidadao_rt.memory.session import Session, World
from cidadao_rt.memory.starts import Starts
from cidadao_rt.motion import hub as hub_module
from cidadao_rt.motion.connection import Connection
from cidadao_rt.motion.hub import Hub
from cidadao_rt.motion.metrics import Metrics
from cidadao_rt.motion.watch import Watch
from cidadao_rt.words import topics
from cidadao_rt.words.encodings import WEBSOCKET, WEBSOCKET_BATCHED, Encoding
from cidadao_rt.words.errors import CloseCode
from cidadao_rt.words.limits import SlidingWindow
from cidadao_rt.words.subscription import ConnectionType, Interest, Kind, Subscription
from cidadao_rt.words.tokens import Principal
from cidadao_rt.words.typesets import EVERYTHING, NOTHING, TypeSet, only

OWNERS = ("ana", "bia")
TYPES = ("red", "blue")
TOPICS = {topics.investigation(f"{owner}{n}"): owner for owner in OWNERS for n in range(3)}
TOPICS |= {topics.user(owner): owner for owner in OWNERS} | {topics.EVERYONE: ""}
MESSAGE = re.compile(rb'"type":"(\w+)","data":\{[^}]*\},"timestamp":"[^"]*"(?:,"id":"e-(\d+)")?')


class Peer:
    """A client without a socket: counts what it is handed, and is full after `room` bytes."""

    expects_pong = True

    def __init__(self, hub: Hub, encoding: Encoding, room: float = float("inf")) -> None:
        self.hub = hub
        self.encoding = encoding
        self.room = room
        self.waiting = 0
        self.writes: list[bytes] = []
        self.messages: list[tuple[str, int]] = []
        self.closed: tuple[int, str] | None = None
        self.connection: Connection | None = None

    def attach(self, connection: Connection) -> None:
        self.connection = connection

    def write(self, data: bytes) -> None:
        assert self.closed is None, "written after the goodbye"
        self.writes.append(data)
        self.messages += [(found[1].decode(), int(found[2] or 0)) for found in MESSAGE.finditer(data)]
        self.waiting += len(data)
        if self.waiting > self.room and self.connection is not None and not self.connection.paused:
            self.hub.paused(self.connection)

    def drain(self, room: float = float("inf")) -> None:
        assert self.connection is not None
        self.waiting, self.room = 0, room
        if self.connection.paused:
            self.hub.resumed(self.connection)

    def ping(self, cursor: str) -> None:
        pass

    def buffered(self) -> int:
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.closed = (1006, "")

    @property
    def events(self) -> list[int]:
        return [offset for type_, offset in self.messages if type_ in TYPES]


class Stage:
    """A hub, and what it was given to deliver."""

    def __init__(self, retention: Retention | None = None) -> None:
        self.log = Log("e", retention or Retention())
        self.metrics = Metrics()
        self.hub = Hub(self.log, self.metrics, lambda: 0.0)
        self.published: list[Event] = []
        self.peers: dict[str, Peer] = {}
        self.count = 0

    def interest(self, rng: Random, sub: str, session_id: str) -> Interest:
        sets: list[TypeSet] = [EVERYTHING, EVERYTHING, NOTHING, only("red"), EVERYTHING - only("red")]
        subscription = Subscription(rng.choice(sets))
        for name in rng.sample(sorted(TOPICS), rng.randint(0, 3)):
            key = topics.investigation_id(topics.Topic(name))
            if key is not None:
                mine = TOPICS[topics.Topic(name)] == sub
                subscription = subscription.add([(key, mine)], rng.choice(sets))
        return subscription.interest(sub, session_id)

    def connect(
        self,
        sub: str = "ana",
        *,
        interest: Interest | None = None,
        position: int | None = None,
        room: float = float("inf"),
        encoding: Encoding = WEBSOCKET,
    ) -> tuple[Connection, Peer]:
        self.count += 1
        principal = Principal(sub, 1e9)
        world = World(self.log, Investigations(), lambda _: principal)
        kind = Kind(ConnectionType.GENERAL)
        session = Session(f"s{self.count}", kind, principal, world, SlidingWindow(100, 60), Starts())
        peer = self.peers[session.id] = Peer(self.hub, encoding, room)
        connection = Connection(f"c{self.count}", session, peer, "127.0.0.1", 0.0)
        if interest is not None:
            connection.interest = interest
        self.hub.add(connection, self.log.head if position is None else position, [])
        return connection, peer

    def publish(self, topic: topics.Topic = topics.EVERYONE, type_: str = "red", pad: int = 0) -> Event:
        receipt_for = "backend" if self.log.head % 2 else None
        draft = Draft(topic, TOPICS[topic], type_, {"pad": "x" * pad}, receipt_for=receipt_for)
        event = self.log.append(draft, 0.0)
        self.published.append(event)
        self.hub.deliver(event)
        return event

    def check_receipts(self) -> None:
        """Every event with a receipt was delivered to exactly the sessions whose peers have been handed it."""
        handed: dict[int, set[str]] = {event.offset: set() for event in self.published}
        for session_id, peer in self.peers.items():
            for offset in peer.events:
                handed[offset].add(session_id)
        for event in self.published:
            found = self.hub.receipts.find(event.offset)
            if event.receipt_for is None:
                assert found is None
            else:
                assert found is not None
                assert found.delivered.keys() == handed[event.offset]


class Expected:
    """What one connection must have been sent by now: all that it wants from `start` to its position."""

    def __init__(self, stage: Stage, connection: Connection, peer: Peer, start: int) -> None:
        self.stage, self.connection, self.peer = stage, connection, peer
        self.start = start
        self.seen = 0

    def check(self, position: int | None = None) -> None:
        position = self.stage.hub.position(self.connection) if position is None else position
        wanted = [
            event.offset
            for event in self.stage.published[self.start : position]
            if self.connection.interest.wants(event.topic, event.owner, event.type)
        ]
        assert self.peer.events[self.seen :] == wanted
        assert position <= self.stage.log.head

    def go_on_from(self, start: int) -> None:
        """From here on the check begins anew, because what is wanted, or from where, has changed."""
        self.start, self.seen = start, len(self.peer.events)


async def turn() -> None:
    """Let happen what this turn of the loop has been asked to do."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def until_live(*connections: Connection) -> None:
    async with asyncio.timeout(10):
        while not all(connection.live for connection in connections):
            await asyncio.sleep(0)


class Play:
    """Random steps, one after the other."""

    steps = ["publish"] * 12 + ["drain"] * 4 + ["say"] * 3
    steps += ["join", "leave", "follow", "rewind", "whisper", "broadcast", "pause"]

    def __init__(self, stage: Stage, rng: Random) -> None:
        self.stage, self.hub, self.rng = stage, stage.hub, rng
        self.crowd: list[Expected] = []
        for _ in range(4):
            self.join(None)

    def step(self) -> None:
        one = self.rng.choice(self.crowd)
        getattr(self, self.rng.choice(self.steps))(one)

    def join(self, _: Expected | None) -> None:
        if len(self.crowd) == 12:
            return
        rng, stage = self.rng, self.stage
        sub = rng.choice(OWNERS)
        start = rng.choice((stage.log.head, rng.randint(0, stage.log.head)))
        interest = stage.interest(rng, sub, "s")
        room = rng.choice((float("inf"), 1000, 10_000))
        encoding = rng.choice((WEBSOCKET, WEBSOCKET_BATCHED))
        connection, peer = stage.connect(sub, interest=interest, position=start, room=room, encoding=encoding)
        self.crowd.append(Expected(stage, connection, peer, start))

    def leave(self, one: Expected) -> None:
        if len(self.crowd) == 3:
            return
        position = self.stage.log.head if one.connection.live else one.connection.position
        self.hub.close(one.connection, CloseCode.NORMAL, "")
        one.check(position)
        self.crowd.remove(one)

    def publish(self, _: Expected) -> None:
        rng = self.rng
        self.stage.publish(rng.choice(sorted(TOPICS)), rng.choice(TYPES), rng.choice((0, 10, 500)))

    def drain(self, one: Expected) -> None:
        one.peer.drain(self.rng.choice((float("inf"), 1000)))

    def pause(self, one: Expected) -> None:
        if not one.connection.paused:
            self.hub.paused(one.connection)

    def say(self, one: Expected) -> None:
        before = len(one.peer.messages)
        self.hub.say(one.connection, [Pong(None)])
        stamps = {id_ for type_, id_ in one.peer.messages[before:] if type_ == "pong"}
        assert stamps <= {self.hub.position(one.connection)}
        assert stamps or one.connection.paused

    def whisper(self, one: Expected) -> None:
        before = len(one.peer.messages)
        was_live = one.connection.live
        self.hub.whisper(one.connection, Say("typing", {}))
        assert was_live or len(one.peer.messages) == before

    def broadcast(self, _: Expected) -> None:
        self.hub.broadcast(topics.EVERYONE, "metrics_update", b'{"type":"metrics_update"}')

    def follow(self, one: Expected) -> None:
        """What was owed by the old interest goes out before; to one behind, the new one holds from its position."""
        old, new = one.connection.interest, self.stage.interest(self.rng, one.connection.session.sub, "s")
        self.hub.follow(one.connection, new)
        one.connection.interest = old
        one.check()
        one.connection.interest = new
        one.go_on_from(self.hub.position(one.connection))

    def rewind(self, one: Expected) -> None:
        to = self.rng.randint(0, self.stage.log.head)
        self.hub.rewind(one.connection, to)
        one.go_on_from(to)


@pytest.mark.parametrize("seed", range(12))
async def test_the_position_tells_what_was_sent_at_every_moment(seed: int) -> None:
    rng = Random(seed)
    stage = Stage()
    play = Play(stage, rng)
    crowd = play.crowd
    for _ in range(600):
        play.step()
        for one in crowd:
            one.check()
        if rng.random() < 0.3:
            await turn()
            for one in crowd:
                one.check()
        if rng.random() < 0.1:
            stage.check_receipts()
    stage.check_receipts()
    # In the end all are at the head.
    for _ in range(100):
        for one in crowd:
            one.peer.drain()
        await turn()
    for one in crowd:
        one.check()
        assert one.connection.live
        assert stage.hub.position(one.connection) == stage.log.head
        assert not one.connection.answers
    assert stage.hub.behind == 0
    stage.check_receipts()


@pytest.mark.parametrize("seed", range(6))
async def test_with_a_log_that_trims_one_is_sent_a_prefix_without_gaps_or_away(seed: int) -> None:
    rng = Random(seed)
    stage = Stage(Retention(events_per_topic=10))
    crowd = []
    for n in range(6):
        connection, peer = stage.connect(OWNERS[n % 2], room=(1000, 3000, float("inf"))[n // 2])
        crowd.append(Expected(stage, connection, peer, 0))
    for _ in range(400):
        stage.publish(rng.choice(sorted(TOPICS)), rng.choice(TYPES), 100)
        if rng.random() < 0.5:
            await turn()
        one = rng.choice(crowd)
        if rng.random() < 0.2 and one.peer.closed is None:
            one.peer.drain(1000)
        for one in crowd:
            if one.peer.closed is None:
                one.check()
    for one in crowd:
        wanted = [e.offset for e in stage.published if one.connection.interest.wants(e.topic, e.owner, e.type)]
        assert one.peer.events == wanted[: len(one.peer.events)]
        if one.peer.closed is not None:
            assert one.peer.closed == (1013, "Too slow: events were lost")
            assert one.connection not in list(stage.hub)
    stage.check_receipts()
    assert any(one.peer.closed for one in crowd)
    assert not all(one.peer.closed for one in crowd)


async def test_one_who_asks_is_sent_what_is_owed_first_and_so_are_all() -> None:
    stage = Stage()
    asking, peer = stage.connect()
    _, other = stage.connect()
    stage.publish()
    stage.publish(type_="blue")
    stage.hub.say(asking, [Say("subscribed", {}), Pong(None)])
    assert [type_ for type_, _ in peer.messages] == ["red", "blue", "subscribed", "pong"]
    assert peer.messages[-1] == ("pong", 2)
    assert other.events == [1, 2]
    assert len(peer.writes) == 2
    await turn()
    assert (len(peer.writes), len(other.writes)) == (2, 1)


async def test_only_those_behind_pay_for_being_behind() -> None:
    stage = Stage()
    slow, peer = stage.connect(room=0)
    fast, fast_peer = stage.connect()
    for _ in range(50):
        stage.publish()
        await turn()
    assert (slow.live, slow.position, len(peer.writes)) == (False, 1, 1)
    assert not slow.groups
    assert fast.live
    assert fast_peer.events == list(range(1, 51))
    peer.drain()
    await until_live(slow)
    assert peer.events == list(range(1, 51))


async def test_a_page_is_bounded_in_events_and_in_bytes() -> None:
    stage = Stage(Retention(events_per_topic=10_000))
    for _ in range(1000):
        stage.publish()
    small, peer = stage.connect(position=0)
    await until_live(small)
    assert max(len(MESSAGE.findall(write)) for write in peer.writes) == WEBSOCKET.page_events
    for _ in range(100):
        stage.publish(pad=10_000)
    large, peer = stage.connect(position=1000)
    await until_live(large)
    assert max(map(len, peer.writes)) < WEBSOCKET.page_bytes + 2000
    assert peer.events == list(range(1001, 1101))


async def test_those_behind_take_turns() -> None:
    """Nobody's replay waits for the end of another's."""
    stage = Stage(Retention(events_per_topic=10_000))
    for _ in range(3000):
        stage.publish(pad=100)
    crowd = [stage.connect(position=0) for _ in range(5)]
    async with asyncio.timeout(10):
        while not any(connection.live for connection, _ in crowd):
            await asyncio.sleep(0)
            pages = [len(peer.writes) for _, peer in crowd]
            assert max(pages) - min(pages) <= 1
    await until_live(*[connection for connection, _ in crowd])
    assert all(peer.events == list(range(1, 3001)) for _, peer in crowd)


async def test_a_long_replay_leaves_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "PUMP_SECONDS", 0.0)
    stage = Stage(Retention(events_per_topic=10_000))
    for _ in range(2560):
        stage.publish()
    behind, _ = stage.connect(position=0)
    turns = 0
    async with asyncio.timeout(10):
        while not behind.live:
            await asyncio.sleep(0)
            turns += 1
    assert turns >= 10


async def test_a_filter_that_matches_nothing_comes_to_the_head() -> None:
    stage = Stage(Retention(events_per_topic=10_000))
    for _ in range(5000):
        stage.publish()
    interest = Subscription(only("blue")).interest("ana", "s")
    connection, peer = stage.connect(interest=interest, position=0)
    await until_live(connection)
    assert (peer.writes, stage.hub.position(connection)) == ([], 5000)


async def test_answers_to_a_full_socket_wait_and_come_in_order() -> None:
    stage = Stage()
    connection, peer = stage.connect(room=0)
    stage.publish()
    await turn()
    assert connection.paused
    for n in range(5):
        stage.hub.say(connection, [Say(f"answer_{n}", {})])
        stage.publish()
    stage.hub.say(connection, [Pong("last")])
    assert len(peer.messages) == 1
    peer.drain()
    await until_live(connection)
    answers = [f"answer_{n}" for n in range(5)]
    assert [type_ for type_, _ in peer.messages if type_ not in TYPES] == [*answers, "pong"]
    assert peer.events == [1, 2, 3, 4, 5, 6]
    # Stamped when it was written, with what had been written by then.
    place = [type_ for type_, _ in peer.messages].index("pong")
    assert peer.messages[place][1] == max(offset for type_, offset in peer.messages[:place] if type_ in TYPES)


async def test_who_leaves_64_kib_unread_is_waited_for() -> None:
    stage = Stage()
    connection, peer = stage.connect(room=0)
    stage.publish()
    await turn()
    said = 0
    while connection.answer_bytes <= hub_module.ANSWER_BYTES:
        await asyncio.wait_for(stage.hub.room(connection), 1)
        stage.hub.say(connection, [Say("subscribed", {"pad": "x" * 1000})])
        said += 1
    waiting = asyncio.ensure_future(stage.hub.room(connection))
    await turn()
    assert not waiting.done()
    peer.drain()
    await asyncio.wait_for(waiting, 1)
    assert sum(type_ == "subscribed" for type_, _ in peer.messages) == said


async def test_closing_says_what_is_owed_and_then_nothing_more() -> None:
    stage = Stage()
    connection, peer = stage.connect(room=0)
    stage.publish()
    await turn()
    stage.hub.say(connection, [Say("error", {"code": "TOKEN_EXPIRED"})])
    stage.hub.close(connection, CloseCode.POLICY_VIOLATION, "Token expired")
    assert [type_ for type_, _ in peer.messages] == ["red", "error"]
    assert peer.closed == (1008, "Token expired")
    peer.drain()
    stage.publish()
    await turn()
    assert peer.events == [1]
    assert stage.hub.of_session(connection.session.id) is None


async def test_the_registry_counts_by_user_address_and_session() -> None:
    stage = Stage()
    first, _ = stage.connect("ana")
    second, _ = stage.connect("ana")
    stage.connect("bia")
    hub = stage.hub
    assert (len(hub), hub.of_user("ana"), hub.of_user("bia"), hub.of_user("caio")) == (3, 2, 1, 0)
    assert (hub.of_address("127.0.0.1"), hub.of_address("::1")) == (3, 0)
    assert hub.of_session(first.session.id) is first
    hub.remove(second)
    hub.remove(second)
    assert (len(hub), hub.of_user("ana"), hub.of_address("127.0.0.1")) == (2, 1, 2)
    # One that leaves does not take along the connection that carries its session by now.
    newer = Connection("c99", first.session, Peer(hub, WEBSOCKET), "127.0.0.1", 0.0)
    hub.add(newer, stage.log.head, [])
    hub.remove(first)
    assert hub.of_session(first.session.id) is newer


async def test_the_bytes_of_one_turn_are_not_handed_over_all_at_once_to_a_full_socket() -> None:
    """A turn may publish a mebibyte; who cannot take it holds a position in the log and not a copy of its own."""
    stage = Stage()
    slow, peer = stage.connect(room=65_536)
    _, fast = stage.connect()
    for _ in range(1000):
        stage.publish(pad=1000)
    await turn()
    assert fast.events == list(range(1, 1001))
    assert slow.paused
    assert peer.waiting <= 65_536 + WEBSOCKET.page_bytes + 2000


async def test_nor_where_they_belong_to_many_topics() -> None:
    """No topic alone is large; what counts is what one connection is handed."""
    stage = Stage()
    named = [(key, False) for topic in TOPICS if (key := topics.investigation_id(topic)) is not None]
    interest = Subscription().add(named, EVERYTHING).interest("ana", "s")
    slow, peer = stage.connect(room=65_536, interest=interest)
    for topic in sorted(interest.topics.keys() & TOPICS.keys()):
        for _ in range(60):
            stage.publish(topic, pad=1000)
    await turn()
    assert slow.paused
    assert peer.waiting <= 65_536 + WEBSOCKET.page_bytes + 2000
    for _ in range(100):
        peer.drain(65_536)
        await turn()
    assert peer.events == [event.offset for event in stage.published]


async def test_the_node_s_budget_counts_every_buffer_also_those_that_are_not_full() -> None:
    stage = Stage()
    watch = Watch(stage.hub, inactivity=300, ping=25, slow_reader=60, buffered_bytes=10_000)
    peers = [stage.connect()[1] for _ in range(4)]
    stage.publish(pad=2000)
    await turn()
    watch.round(1.0)
    assert [peer.closed for peer in peers] == [None] * 4
    stage.publish(pad=1000)
    await turn()
    peers[2].drain()
    stage.connect()[1].write(b"x" * 3000)
    watch.round(1.0)
    # The fullest go, until the rest is within the budget.
    assert [peer.closed and peer.closed[0] for peer in peers] == [1013, None, None, None]
