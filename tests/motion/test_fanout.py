"""Fan-out without sockets: what is written, in which order, in how many writes, and to whom."""

import asyncio
from typing import Any

import pytest

from cidadao_rt.memory.effects import Pong, Say
from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Draft, Log, Retention
from cidadao_rt.memory.session import Session, World
from cidadao_rt.memory.starts import Starts
from cidadao_rt.motion.connection import Connection
from cidadao_rt.motion.hub import Hub
from cidadao_rt.motion.metrics import Metrics
from cidadao_rt.words import topics
from cidadao_rt.words.encodings import WEBSOCKET, Encoding
from cidadao_rt.words.errors import CloseCode
from cidadao_rt.words.limits import SlidingWindow
from cidadao_rt.words.subscription import ConnectionType, Kind, Subscription
from cidadao_rt.words.tokens import Principal
from cidadao_rt.words.typesets import EVERYTHING


class FakeOutlet:
    """Remembers what was written; is full after `room` writes."""

    encoding: Encoding = WEBSOCKET
    expects_pong = True

    def __init__(self, hub: Hub, room: int = 10**9) -> None:
        self.hub = hub
        self.room = room
        self.writes: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.connection: Connection | None = None

    def attach(self, connection: Connection) -> None:
        self.connection = connection

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.room -= 1
        if self.room == 0 and self.connection is not None:
            self.hub.paused(self.connection)

    def drain(self) -> None:
        self.room = 10**9
        assert self.connection is not None
        self.hub.resumed(self.connection)

    def ping(self, cursor: str) -> None:
        self.writes.append(b"ping")

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.closed = (1006, "")


class Stage:
    """A hub with connections over fake outlets."""

    def __init__(self, retention: Retention | None = None) -> None:
        self.log = Log("e", retention or Retention())
        self.metrics = Metrics()
        self.hub = Hub(self.log, self.metrics, lambda: 0.0)
        self.count = 0

    def connect(
        self, sub: str = "ana", named: tuple[str, ...] = (), room: int = 10**9
    ) -> tuple[Connection, FakeOutlet]:
        self.count += 1
        world = World(self.log, Investigations(), lambda _: Principal(sub, 1e9))
        kind, principal = Kind(ConnectionType.GENERAL), Principal(sub, 1e9)
        session = Session(f"s{self.count}", kind, principal, world, SlidingWindow(100, 60), Starts())
        if named:
            session.following.change(Subscription().add([(key, False) for key in named], EVERYTHING))
        outlet = FakeOutlet(self.hub, room)
        connection = Connection(f"c{self.count}", session, outlet, "127.0.0.1", 0.0)
        self.hub.add(connection, self.log.head, [])
        return connection, outlet

    def publish(self, topic: str, type_: str = "tick", owner: str = "owner", **data: Any) -> int:
        event = self.log.append(Draft(topics.Topic(topic), owner, type_, data), 0.0)
        self.hub.deliver(event)
        return event.offset


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def turn() -> None:
    """Let what was scheduled for this turn of the loop happen."""
    for _ in range(3):
        await asyncio.sleep(0)


def offsets(outlet: FakeOutlet) -> list[int]:
    """The offsets of the events written, in order."""
    text = b"".join(outlet.writes).decode(errors="replace")
    return [int(part.split('"')[0]) for part in text.split('"id":"e-')[1:]]


async def test_a_turn_is_one_write_however_many_events_and_topics(stage: Stage) -> None:
    _, outlet = stage.connect(named=("a", "b"))
    for n in range(10):
        stage.publish(f"investigation:{'ab'[n % 2]}")
    assert outlet.writes == []
    await turn()
    assert len(outlet.writes) == 1
    assert offsets(outlet) == list(range(1, 11)), "in the order of the log, over all topics"


async def test_connections_of_the_same_groups_share_the_very_bytes(stage: Stage) -> None:
    outlets = [stage.connect(f"u{n}", named=("a", "b"))[1] for n in range(3)]
    other = stage.connect("x", named=("a",))[1]
    stage.publish("investigation:a")
    stage.publish("investigation:b")
    await turn()
    assert outlets[0].writes[0] is outlets[1].writes[0] is outlets[2].writes[0]
    assert offsets(other) == [1]


async def test_an_event_reaches_a_connection_once(stage: Stage) -> None:
    """Named and covered by "all own" at the same time, it is still one event."""
    connection, outlet = stage.connect("owner")
    stage.connect("stranger")
    connection.session.following.change(connection.session.following.subscription.add([("a", True)], EVERYTHING))
    stage.hub.follow(connection, connection.session.interest)
    stage.publish("investigation:a")
    stage.publish("investigation:z")
    await turn()
    assert offsets(outlet) == [1, 2]


async def test_a_direct_answer_comes_after_what_is_owed_and_stamps_no_more(stage: Stage) -> None:
    connection, outlet = stage.connect(named=("a",))
    stage.publish("investigation:a")
    stage.hub.say(connection, [Pong("c")])
    assert len(outlet.writes) == 2
    assert b'"pong"' in outlet.writes[1]
    assert b'"id":"e-1"' in outlet.writes[1]
    await turn()
    assert len(outlet.writes) == 2, "the turn has been written already"


async def test_the_position_is_what_has_been_written_and_not_the_head(stage: Stage) -> None:
    connection, _ = stage.connect(named=("a",))
    stage.publish("investigation:unfollowed")
    assert stage.hub.position(connection) == 1
    stage.publish("investigation:a")
    assert stage.hub.position(connection) == 1
    await turn()
    assert stage.hub.position(connection) == 2


async def test_a_full_socket_falls_behind_and_pulls_when_it_drains(stage: Stage) -> None:
    connection, outlet = stage.connect(named=("a",), room=1)
    _, other = stage.connect("other", named=("a",))
    stage.publish("investigation:a")
    await turn()
    assert (connection.live, connection.position) == (False, 1)
    for _ in range(5):
        stage.publish("investigation:a")
        await turn()
    assert len(outlet.writes) == 1
    assert offsets(other) == [1, 2, 3, 4, 5, 6]
    outlet.drain()
    await turn()
    assert offsets(outlet) == [1, 2, 3, 4, 5, 6]
    assert connection.live


async def test_pausing_while_the_turn_still_owes_leaves_no_gap(stage: Stage) -> None:
    """A connection paused by an answer, with an event pending, reads that event from the log."""
    connection, outlet = stage.connect(named=("a",))
    stage.publish("investigation:a")
    stage.hub.paused(connection)
    assert connection.position == 0
    await turn()
    assert outlet.writes == []
    outlet.drain()
    await turn()
    assert offsets(outlet) == [1]


async def test_a_flush_that_fills_the_socket_keeps_the_answer_waiting(stage: Stage) -> None:
    connection, outlet = stage.connect(named=("a",), room=1)
    stage.publish("investigation:a")
    stage.hub.say(connection, [Say("subscribed", {})])
    assert len(outlet.writes) == 1
    stage.hub.whisper(connection, Say("typing", {}))
    outlet.drain()
    await turn()
    assert b'"subscribed"' in outlet.writes[1]
    assert len(outlet.writes) == 2, "what may be skipped was skipped"


async def test_a_rewind_sends_everything_again_in_order(stage: Stage) -> None:
    connection, outlet = stage.connect(named=("a",))
    for _ in range(3):
        stage.publish("investigation:a")
    await turn()
    stage.publish("investigation:a")
    stage.hub.rewind(connection, 1)
    await turn()
    assert offsets(outlet) == [1, 2, 3, 4, 2, 3, 4]
    assert connection.live


async def test_replay_gives_others_their_turn(stage: Stage) -> None:
    """A long replay goes page by page; an event published meanwhile reaches another before the replay has ended."""
    for _ in range(2000):
        stage.publish("investigation:a", pad="x" * 100)
    connection, outlet = stage.connect(named=("a",))
    _, other = stage.connect("other", named=("b",))
    stage.hub.rewind(connection, 0)
    stage.publish("investigation:b")
    await turn()
    assert offsets(other) == [2001]
    for _ in range(1000):
        if connection.live:
            break
        await asyncio.sleep(0)
    assert offsets(outlet) == list(range(1, 2001))
    assert max(map(len, outlet.writes)) < 100_000


async def test_a_position_that_was_trimmed_past_is_closed(stage: Stage) -> None:
    stage = Stage(Retention(events_per_topic=2))
    connection, outlet = stage.connect(named=("a",))
    stage.hub.paused(connection)
    for _ in range(5):
        stage.publish("investigation:a")
    outlet.drain()
    await turn()
    assert outlet.closed == (1013, "Too slow: events were lost")
    assert outlet.writes == []


async def test_whoever_waits_for_a_connection_is_released_when_it_goes(stage: Stage) -> None:
    connection, _ = stage.connect(named=("a",))
    stage.hub.paused(connection)
    connection.answer_bytes = 10**6
    waiting = asyncio.gather(stage.hub.caught_up(connection), stage.hub.room(connection))
    await turn()
    assert not waiting.done()
    stage.hub.remove(connection)
    await asyncio.wait_for(waiting, 5)


async def test_nothing_is_left_of_those_who_left(stage: Stage) -> None:
    """No group, no count, no gauge; and what comes late for them is dropped, not written."""
    connections = [stage.connect(f"u{n}", named=("a", "b")) for n in range(3)]
    stage.publish("investigation:a")
    for connection, _ in connections:
        stage.hub.close(connection, CloseCode.GOING_AWAY, "bye")
        stage.hub.close(connection, CloseCode.GOING_AWAY, "bye")
        stage.hub.remove(connection)
        stage.hub.say(connection, [Say("late", {})])
        stage.hub.rewind(connection, 0)
        stage.hub.resumed(connection)
    await turn()
    for _, outlet in connections:
        assert (offsets(outlet), len(outlet.writes), outlet.closed) == ([1], 1, (1001, "bye"))
    assert len(stage.hub) == 0
    assert stage.hub._fanout._channels == {}
    assert (stage.hub._of_user, stage.hub._of_session, stage.hub._of_address) == ({}, {}, {})
    gauge = stage.metrics.registry.get_sample_value
    assert gauge("cidadao_ai_websocket_connections_active", {"transport": "websocket"}) == 0


async def test_what_is_sent_is_counted_by_known_types(stage: Stage) -> None:
    """A type of somebody's own makes no label of its own."""
    for n in range(3):
        stage.connect(f"u{n}", named=("a",))
    stage.publish("investigation:a", "notification")
    stage.publish("investigation:a", "somebodys_own")
    await turn()
    sample = stage.metrics.registry.get_sample_value
    labels = {"direction": "out", "transport": "websocket"}
    assert sample("cidadao_ai_websocket_messages_total", {**labels, "type": "notification"}) == 3
    assert sample("cidadao_ai_websocket_messages_total", {**labels, "type": "other"}) == 3
    assert sample("cidadao_ai_websocket_messages_total", {**labels, "type": "somebodys_own"}) is None


@pytest.mark.parametrize("named", [("a",), ("a", "b")])
async def test_an_outlet_that_fails_costs_the_others_nothing(
    stage: Stage, named: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    _, broken = stage.connect("u1", named=named)
    _, sound = stage.connect("u2", named=named)

    def fail(_: bytes) -> None:
        raise RuntimeError("Cannot call write() after write_eof()")

    broken.write = fail  # type: ignore[method-assign]
    for _ in range(2):
        for key in named:
            stage.publish(f"investigation:{key}")
        await turn()
    assert offsets(sound) == list(range(1, 2 * len(named) + 1)), "that turn's, and what came later"
    assert broken.closed == (1006, ""), "it has lost what it was owed, and must come back for it"
    assert "write failed" in caplog.text
