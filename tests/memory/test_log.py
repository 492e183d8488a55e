"""The log and the cursor: whoever follows sees exactly its events, in order, once, or is told that some are lost."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from cidadao_rt.memory import log as log_module
from cidadao_rt.memory.cursor import Cursor, parse
from cidadao_rt.memory.heaviest import Heaviest
from cidadao_rt.memory.log import EVENT_OVERHEAD, Draft, Event, Log, Retention
from cidadao_rt.words import topics
from cidadao_rt.words.subscription import Interest, Subscription
from cidadao_rt.words.topics import Topic
from cidadao_rt.words.typesets import EVERYTHING, NOTHING, TypeSet, only

OWNERS = ("ana", "bia")
TYPES = ("a", "b", "c")
INVESTIGATIONS = {f"{owner}{n}": owner for owner in OWNERS for n in range(3)}
TOPICS: dict[Topic, str] = {
    **{topics.investigation(key): owner for key, owner in INVESTIGATIONS.items()},
    **{topics.user(owner): owner for owner in OWNERS},
    **{topics.session(f"s-{owner}"): owner for owner in OWNERS},
    topics.EVERYONE: "",
}

type_sets = st.builds(TypeSet, st.frozensets(st.sampled_from(TYPES)), st.booleans())


def everything_of(owner: str) -> Interest:
    return Subscription(EVERYTHING).interest(owner, f"s-{owner}")


def follows(*names: Topic, types: TypeSet = EVERYTHING) -> Interest:
    return Interest("nobody", NOTHING, frozenset(), dict.fromkeys(names, types))


def put(log: Log, topic: Topic, type_: str = "a", now: float = 0.0, size: int = 1) -> Event:
    return log.append(Draft(topic, TOPICS.get(topic, "ana"), type_, {"pad": "x" * size}), now)


def offsets(log: Log, interest: Interest, after: int = 0) -> list[int]:
    return [event.offset for event in log.since(after, interest, 10_000, 1 << 30).events]


@st.composite
def interests(draw: Callable[..., object]) -> Interest:
    owner = draw(st.sampled_from(OWNERS))
    subscription = Subscription().add_own(draw(type_sets))
    named = draw(st.dictionaries(st.sampled_from(sorted(INVESTIGATIONS)), type_sets, max_size=3))
    for key, types in named.items():
        mine = INVESTIGATIONS[key] == owner
        change = subscription.add if draw(st.booleans()) else subscription.subtract
        subscription = change([(key, mine)], types)
    return subscription.interest(owner, f"s-{owner}")


@dataclass(eq=False)
class Consumer:
    """A client: where it is, what it follows, and all that it was ever given since it began."""

    interest: Interest
    began: int
    position: int
    got: list[int] = field(default_factory=list)
    told_of_loss: bool = False


class LogMachine(RuleBasedStateMachine):
    """Random publishing, trimming, disconnecting, resuming and filtering, against a list that forgets nothing."""

    consumers = Bundle("consumers")

    @initialize(
        events=st.integers(1, 6), size=st.integers(300, 3000), total=st.integers(600, 9000), emptied=st.integers(0, 4)
    )
    def begin(self, events: int, size: int, total: int, emptied: int) -> None:
        self.saved = log_module.EMPTIED_TOPICS
        log_module.EMPTIED_TOPICS = emptied
        self.now = 0.0
        self.log = Log("e", Retention(events, size, 50.0, total))
        self.all: list[Event] = []
        self.alive: list[Consumer] = []

    def teardown(self) -> None:
        if hasattr(self, "saved"):
            log_module.EMPTIED_TOPICS = self.saved

    @rule(topic=st.sampled_from(sorted(TOPICS)), type_=st.sampled_from(TYPES), size=st.integers(0, 900))
    def publish(self, topic: Topic, type_: str, size: int) -> None:
        event = put(self.log, topic, type_, self.now, size)
        assert event.offset == len(self.all) + 1
        self.all.append(event)

    @rule(seconds=st.floats(0, 40))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.log.expire(self.now)

    @rule(target=consumers, interest=interests())
    def connect(self, interest: Interest) -> Consumer:
        consumer = Consumer(interest, self.log.head, self.log.head)
        self.alive.append(consumer)
        return consumer

    @rule(consumer=consumers, limit=st.integers(1, 4), size=st.integers(1, 2000))
    def pull(self, consumer: Consumer, limit: int, size: int) -> None:
        """What a connection does that is behind: first ask whether something is lost, then take a page."""
        if consumer.told_of_loss:
            return
        if self.log.lost(consumer.position, consumer.interest):
            consumer.told_of_loss = True
            self.check_loss_is_true(consumer)
            return
        owed = self.log.owed(consumer.position, consumer.interest, 10_000)
        page = self.log.since(consumer.position, consumer.interest, limit, size)
        assert len(page.events) <= limit
        assert consumer.position <= page.position <= self.log.head
        consumer.got += [event.offset for event in page.events]
        consumer.position = page.position
        rest = self.log.owed(consumer.position, consumer.interest, 10_000)
        assert owed == len(page.events) + rest

    @rule(consumer=consumers)
    def resume_from_the_last_received(self, consumer: Consumer) -> None:
        """A client that lost its connection knows the last event it got, not how far the filter has advanced."""
        if consumer.got:
            consumer.position = consumer.got[-1]

    @rule(consumer=consumes(consumers), interest=interests())
    def change_the_filter(self, consumer: Consumer, interest: Interest) -> None:
        self.check(consumer)
        self.alive.remove(consumer)

    @rule(target=consumers, consumer=consumers)
    def rewind(self, consumer: Consumer) -> object:
        if consumer.told_of_loss:
            return multiple()
        again = Consumer(consumer.interest, consumer.began, consumer.began)
        self.alive.append(again)
        return again

    @invariant()
    def the_budget_holds(self) -> None:
        if not hasattr(self, "log"):
            return
        kept = [event for slice_ in self.log._slices.values() for event in slice_.events[slice_._start :]]
        assert self.log.bytes == sum(len(event.body) + EVENT_OVERHEAD for event in kept)
        assert self.log.bytes <= self.log.retention.total_bytes
        assert self.log.topics == len({event.topic for event in kept})

    @invariant()
    def everyone_has_exactly_its_events(self) -> None:
        for consumer in getattr(self, "alive", []):
            self.check(consumer)

    def check(self, consumer: Consumer) -> None:
        expected = [event.offset for event in self.wanted(consumer) if event.offset <= consumer.position]
        assert consumer.got == expected

    def wanted(self, consumer: Consumer) -> list[Event]:
        wants = consumer.interest.wants
        return [e for e in self.all if e.offset > consumer.began and wants(e.topic, e.owner, e.type)]

    def check_loss_is_true(self, consumer: Consumer) -> None:
        """Only the floor, where the memory of emptied topics ends, may claim a loss without one."""
        kept = {event.offset for slice_ in self.log._slices.values() for event in slice_.events[slice_._start :]}
        gone = [e for e in self.wanted(consumer) if e.offset > consumer.position and e.offset not in kept]
        assert gone or consumer.position < self.log.floor


LogMachine.TestCase.settings = settings(
    max_examples=250, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLogMachine = LogMachine.TestCase


def test_events_are_numbered_from_one_and_carry_their_cursor() -> None:
    log = Log("epoch")
    first, second = put(log, topics.EVERYONE), put(log, topics.user("ana"))
    assert (first.offset, second.offset, log.head) == (1, 2, 2)
    assert b'"id":"epoch-2"' in second.body


def test_a_quiet_topic_does_not_spoil_a_cursor() -> None:
    """The worked example of the design: 90,000 events of others, all trimmed, and cursor 1 has missed nothing."""
    log = Log("e", Retention(events_per_topic=10))
    put(log, topics.user("ana"))
    for _ in range(9000):
        put(log, topics.investigation("bia0"))
    assert not log.lost(1, everything_of("ana"))
    assert log.lost(1, everything_of("bia"))
    assert log.since(1, everything_of("ana"), 10, 1000).position == log.head


def test_a_loss_is_known_per_type() -> None:
    """Whoever follows only what was not trimmed has lost nothing."""
    log = Log("e", Retention(events_per_topic=1))
    topic = topics.investigation("ana0")
    put(log, topic, "a")
    put(log, topic, "b")
    assert log.lost(0, follows(topic, types=only("a")))
    assert not log.lost(0, follows(topic, types=only("b")))
    assert not log.lost(1, follows(topic))


def test_a_noisy_investigation_cannot_push_out_a_quiet_ones_past() -> None:
    """Over the budget the owner who holds most loses the oldest event of their largest topic."""
    log = Log("e", Retention(events_per_topic=10_000, total_bytes=100_000))
    put(log, topics.investigation("ana0"))
    small = put(log, topics.investigation("bia1"))
    for _ in range(1000):
        put(log, topics.investigation("bia0"))
    assert not log.lost(0, everything_of("ana"))
    assert offsets(log, follows(small.topic)) == [small.offset]
    assert log.lost(0, follows(topics.investigation("bia0")))
    assert 90_000 < log.bytes <= 100_000


def test_an_event_over_the_whole_budget_is_announced_and_known_as_lost() -> None:
    log = Log("e", Retention(total_bytes=1000))
    event = put(log, topics.user("ana"), size=5000)
    assert event.offset == log.head == 1
    assert log.bytes == 0
    assert log.lost(0, everything_of("ana"))
    assert not log.lost(1, everything_of("ana"))


def test_the_newest_of_a_type_is_found_among_what_is_kept() -> None:
    log = Log("e", Retention(events_per_topic=3))
    assert log.newest(topics.EVERYONE, "a") == 0
    for type_ in "abacc":
        put(log, topics.EVERYONE, type_)
    assert [log.newest(topics.EVERYONE, type_) for type_ in "abcd"] == [3, 0, 5, 0]


def test_age_trims_in_bounded_portions() -> None:
    log = Log("e", Retention(age_seconds=10))
    for n in range(10):
        put(log, topics.user("ana"), now=float(n))
    assert log.expire(14.5, limit=3) == 3
    assert log.expire(14.5) == 2
    assert log.expire(14.5) == 0
    assert offsets(log, everything_of("ana")) == [6, 7, 8, 9, 10]


def test_timers_of_topics_stay_bounded() -> None:
    """A topic that is emptied and filled again and again leaves no growing heap behind."""
    log = Log("e", Retention(events_per_topic=10, bytes_per_topic=300, age_seconds=1e9))
    for _ in range(1000):
        put(log, topics.user("ana"), size=900)
        log.expire(0.0)
    assert len(log._ages) <= 70


def test_forgotten_topics_fold_into_a_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the memory of emptied topics a cursor is answered with pessimism, and only before the floor."""
    monkeypatch.setattr(log_module, "EMPTIED_TOPICS", 2)
    log = Log("e", Retention(age_seconds=1))
    for n in range(4):
        put(log, topics.user(f"u{n}"), now=0.0)
    log.expire(100.0)
    assert log.floor == 2
    interest = everything_of("nobody-at-all")
    assert log.lost(1, interest)
    assert not log.lost(2, interest)
    assert log.topics == 0


def test_the_memory_of_trimmed_types_is_bounded_and_never_falsely_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "TRIMMED_TYPES", 3)
    log = Log("e", Retention(events_per_topic=1))
    topic = topics.investigation("ana0")
    for n in range(10):
        put(log, topic, f"type_{n}")
    # Trimmed are 1 to 9; the last three are remembered by their types, and what is older is below the floor.
    assert log.floor == 6
    for n in range(9):
        for interest in (follows(topic, types=only(f"type_{n}")), Subscription(only(f"type_{n}")).interest("ana", "s")):
            assert log.lost(n, interest)
            assert log.lost(n + 1, interest) is (n + 1 < log.floor)


def test_a_topic_that_changes_hands_shows_nothing_of_one_owner_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (100_000, 0):
        monkeypatch.setattr(log_module, "EMPTIED_TOPICS", most)
        log = Log("e")
        topic = topics.investigation("used twice")
        for owner in ("ana", "ana", "bia"):
            log.append(Draft(topic, owner, "a", {}), 0.0)
        assert (offsets(log, everything_of("ana")), offsets(log, everything_of("bia"))) == ([], [3])
        assert (log.topics, log.lost(1, everything_of("ana")), log.lost(2, everything_of("bia"))) == (1, True, False)


def test_a_filter_that_matches_nothing_costs_a_bounded_page_and_still_advances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "SCAN_LIMIT", 10)
    log = Log("e")
    for _ in range(25):
        put(log, topics.user("ana"), "a")
    interest = follows(topics.user("ana"), types=only("b"))
    positions = [0]
    while positions[-1] < log.head:
        page = log.since(positions[-1], interest, 100, 1000)
        assert page.events == []
        positions.append(page.position)
    assert positions == [0, 10, 20, 25]


def test_a_page_is_bounded_in_bytes_but_holds_at_least_one_event() -> None:
    log = Log("e")
    for _ in range(3):
        put(log, topics.user("ana"), size=1000)
    page = log.since(0, everything_of("ana"), 100, 10)
    assert [event.offset for event in page.events] == [1]
    assert page.position == 1
    assert len(log.since(0, everything_of("ana"), 100, 2500).events) == 2


def test_what_is_owed_is_counted_up_to_the_limit() -> None:
    log = Log("e")
    for n in range(100):
        put(log, topics.user("ana"), TYPES[n % 2])
    assert log.owed(0, everything_of("ana"), 1000) == 100
    assert log.owed(90, everything_of("ana"), 1000) == 10
    assert log.owed(0, everything_of("ana"), 30) == 31
    assert log.owed(0, follows(topics.user("ana"), types=only("b")), 1000) == 50


def test_own_investigations_that_began_later_are_replayed_too() -> None:
    """ "All own" is a selector over present and future topics, not a list made when it was asked for."""
    log = Log("e")
    interest = everything_of("ana")
    put(log, topics.investigation("ana0"))
    put(log, topics.investigation("ana1"))
    put(log, topics.investigation("bia0"))
    assert offsets(log, interest) == [1, 2]
    assert offsets(log, interest, after=1) == [2]


def test_an_exception_from_all_own_is_exact_about_loss() -> None:
    """Whoever follows all but one investigation has lost nothing when only that one was trimmed."""
    log = Log("e", Retention(events_per_topic=1))
    for _ in range(3):
        put(log, topics.investigation("ana0"))
    put(log, topics.investigation("ana1"))
    but_ana0 = Subscription(EVERYTHING).subtract([("ana0", True)], EVERYTHING).interest("ana", "s-ana")
    but_ana1 = Subscription(EVERYTHING).subtract([("ana1", True)], EVERYTHING).interest("ana", "s-ana")
    assert not log.lost(0, but_ana0)
    assert log.lost(0, but_ana1)


@given(st.text(max_size=40))
def test_only_the_exact_form_is_a_cursor(text: str) -> None:
    cursor = parse(text)
    assert cursor is None or str(cursor) == text


@given(st.from_regex(r"[0-9a-z]{1,32}", fullmatch=True), st.integers(0, 10**18 - 1))
def test_a_cursor_survives_the_wire(epoch: str, offset: int) -> None:
    assert parse(str(Cursor(epoch, offset))) == Cursor(epoch, offset)


@pytest.mark.parametrize(
    "text", ["", "e", "e-", "-1", "e--1", "e-01", "e-+1", "e-1 ", "E-1", "e-1-1", "e-١", "e-" + "9" * 19]
)
def test_what_looks_like_a_cursor_is_none(text: str) -> None:
    assert parse(text) is None


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 100)), max_size=300))
def test_the_heaviest_is_always_known(changes: list[tuple[str, int]]) -> None:
    """Whatever grows and shrinks, `top` is one of those that hold most now, and the heap stays bounded."""
    sizes: dict[str, int] = {}
    heaviest = Heaviest(lambda name: sizes.get(name, 0))
    for name, size in changes:
        grew = size > sizes.get(name, 0)
        sizes[name] = size
        if grew:
            heaviest.grew(name, sizes[name], len(sizes))
        top = heaviest.top()
        most = max(sizes.values())
        assert (sizes[top] if top is not None else 0) == most
        assert len(heaviest._heap) <= 2 * len(sizes) + 64
