"""What a connection follows, against the naive meaning: a list of pairs added and subtracted, asked for each event."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cidadao_rt.words import events, topics
from cidadao_rt.words.subscription import REQUESTABLE, ConnectionType, Interest, Kind, Subscription, default
from cidadao_rt.words.typesets import EVERYTHING, NOTHING, TypeSet, only

ME, OTHER = "ana", "bia"
MINE = {"m1": True, "m2": True, "f1": False, "f2": False}
"""Every investigation that operations name, and whether it is mine."""
FUTURE = "not_begun_yet"
"""One of mine that nobody can have named."""
FOREIGN = "never_named"
WORLD = {**MINE, FUTURE: True, FOREIGN: False}

NAMES = ("a", "b", "c")
TYPES = (*NAMES, "never_mentioned")

type_sets = st.builds(TypeSet, st.frozensets(st.sampled_from(NAMES)), st.booleans())
named = st.lists(st.sampled_from(sorted(MINE)), max_size=3)


class Change:
    """One `subscribe` (or with `adds` false, `unsubscribe`) to types of some investigations, or of all own ones."""

    def __init__(self, adds: bool, ids: list[str] | None, types: TypeSet) -> None:
        self.adds = adds
        self.ids = ids
        self.types = types

    def __repr__(self) -> str:
        return f"{'+' if self.adds else '-'}({self.ids or 'own'}, {self.types})"

    def covers(self, investigation: str, type_: str) -> bool:
        if type_ not in self.types:
            return False
        if self.ids is not None:
            return investigation in self.ids
        # "Follow all of mine" is about mine; "follow no longer" without ids is about everything followed.
        return WORLD[investigation] or not self.adds

    def apply(self, subscription: Subscription) -> Subscription:
        if self.ids is None:
            return subscription.add_own(self.types) if self.adds else subscription.subtract_own(self.types)
        pairs = [(key, MINE[key]) for key in self.ids]
        return subscription.add(pairs, self.types) if self.adds else subscription.subtract(pairs, self.types)


changes = st.lists(st.builds(Change, st.booleans(), st.none() | named, type_sets), max_size=8)


def followed(history: list[Change], investigation: str, type_: str) -> bool:
    """The naive meaning: the last change that covers an event decides about it."""
    verdict = False
    for change in history:
        if change.covers(investigation, type_):
            verdict = change.adds
    return verdict


def after(history: list[Change]) -> Subscription:
    subscription = Subscription()
    for change in history:
        subscription = change.apply(subscription)
    return subscription


def types_of(types: TypeSet) -> set[str]:
    return {name for name in TYPES if name in types}


@settings(deadline=None, max_examples=400)
@given(changes)
@example([Change(True, None, EVERYTHING), Change(False, ["m1"], only("a")), Change(True, None, only("a"))])
@example([Change(True, ["m1"], only("a")), Change(True, None, only("b")), Change(False, None, only("a"))])
@example([Change(True, ["f1"], EVERYTHING), Change(False, None, only("a")), Change(True, None, only("a"))])
def test_what_is_followed_is_what_the_changes_say(history: list[Change]) -> None:
    """For every investigation, named or not, begun or not, the types followed are those of the naive list of pairs."""
    subscription = after(history)
    for key, mine in WORLD.items():
        assert types_of(subscription.of(key, mine)) == {t for t in TYPES if followed(history, key, t)}, key


@settings(deadline=None, max_examples=200)
@given(changes)
def test_outside_any_investigation_the_type_alone_decides(history: list[Change]) -> None:
    """A type followed of anything at all passes a notification to the user or to everyone."""
    assert types_of(after(history).types) == {t for t in TYPES if any(followed(history, key, t) for key in WORLD)}


@settings(deadline=None, max_examples=200)
@given(changes)
def test_an_interest_wants_what_its_subscription_follows(history: list[Change]) -> None:
    """Resolved to topics, the subscription says the same of every event, and nothing of other users and sessions."""
    subscription = after(history)
    interest = subscription.interest(ME, "s1")
    for type_ in TYPES:
        for key, mine in WORLD.items():
            owner = ME if mine else OTHER
            assert interest.wants(topics.investigation(key), owner, type_) is (type_ in subscription.of(key, mine))
        assert interest.wants(topics.user(ME), ME, type_) is (type_ in subscription.types)
        assert interest.wants(topics.EVERYONE, "", type_) is (type_ in subscription.types)
        assert interest.wants(topics.session("s1"), ME, type_), "answers always reach the one who asked"
        for topic in (topics.user(OTHER), topics.session("s2")):
            # Even where it says that it belongs to this user, which it cannot.
            assert not interest.wants(topic, ME, type_)
            assert not interest.wants(topic, OTHER, type_)


@settings(deadline=None, max_examples=200)
@given(changes)
def test_changes_leave_the_subscription_they_start_from_alone(history: list[Change]) -> None:
    """A subscription is a value: what the log reads with does not change while it reads."""
    subscription = Subscription()
    for change in history:
        before = repr(subscription)
        changed = change.apply(subscription)
        assert repr(subscription) == before
        subscription = changed


@settings(deadline=None, max_examples=200)
@given(changes, named, type_sets)
def test_what_unsubscribing_leaves_says_something(history: list[Change], ids: list[str], types: TypeSet) -> None:
    """After an `unsubscribe` no name is kept that changes nothing, so names do not pile up towards the limit."""
    subscription = Change(False, ids or None, types).apply(after(history))
    for key in subscription.named:
        without = Subscription(subscription.own, {k: n for k, n in subscription.named.items() if k != key})
        assert without.of(key, MINE[key]) != subscription.of(key, MINE[key])


@settings(deadline=None)
@given(named, type_sets)
def test_subscribing_and_unsubscribing_leaves_no_trace(ids: list[str], types: TypeSet) -> None:
    """A client that comes and goes for ever does not grow its subscription."""
    assert Change(False, ids, types).apply(after([Change(True, ids, types)])) == Subscription()
    assert Change(False, None, types).apply(after([Change(True, None, types)])) == Subscription()


@settings(deadline=None)
@given(changes, st.sets(st.sampled_from(["f1", "f2"])))
def test_a_grant_that_is_gone_is_not_followed(history: list[Change], gone: set[str]) -> None:
    """`without` forgets just the investigations named, and all of them."""
    before = after(history)
    subscription = before.without(gone)
    for key, mine in WORLD.items():
        assert subscription.of(key, mine) == (NOTHING if key in gone else before.of(key, mine))
    assert not gone & set(subscription.named)


def test_all_of_mine_but_one() -> None:
    """After `subscribe` to everything of one's own, `unsubscribe` of one leaves the others, those to come too."""
    subscription = Subscription().add_own(EVERYTHING).subtract([("m1", True)], EVERYTHING)
    interest = subscription.interest(ME, "s1")
    assert not interest.wants(topics.investigation("m1"), ME, "a")
    assert interest.wants(topics.investigation(FUTURE), ME, "a")
    assert not interest.wants(topics.investigation(FOREIGN), OTHER, "a")


def test_nothing_followed_is_nothing_resolved() -> None:
    """An empty subscription resolves to the session's own topic alone, so that nothing else is even looked at."""
    interest = Subscription().interest(ME, "s1")
    assert interest == Interest(ME, NOTHING, frozenset(), {topics.session("s1"): EVERYTHING})


SAMPLE = (
    events.INVESTIGATION_UPDATE, events.PROGRESS_UPDATE, events.AGENT_ANALYSIS, events.NOTIFICATION,
    events.AGENT_CHAT, events.METRICS_UPDATE, "a_custom_type",
)  # fmt: skip
WITHOUT_METRICS = tuple(name for name in SAMPLE if name != events.METRICS_UPDATE)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("general", SAMPLE),
        ("investigation", SAMPLE[:4]),
        ("analysis", ("agent_analysis",)),
        ("notifications", ("notification",)),
        ("chat", ("notification",)),
    ],
)
def test_what_a_connection_follows_by_default(type_: str, expected: tuple[str, ...]) -> None:
    """The table of PROTOCOL 5: of one's own investigations and outside of any, and nothing of others'."""
    subscription = default(Kind(ConnectionType(type_)))
    assert tuple(name for name in SAMPLE if name in subscription.of(FUTURE, True)) == expected
    assert tuple(name for name in SAMPLE if name in subscription.types) == expected
    assert subscription.of(FOREIGN, False) == NOTHING


@pytest.mark.parametrize("mine", [True, False])
def test_what_a_connection_to_one_investigation_follows(mine: bool) -> None:
    """`/ws/investigations/{id}` follows every event of that one, of a shared one too, and none of any other."""
    kind = Kind(ConnectionType.INVESTIGATION, "x1")
    subscription = default(kind, mine)
    assert tuple(name for name in SAMPLE if name in subscription.of("x1", mine)) == WITHOUT_METRICS
    assert subscription.of("x2", True) == NOTHING
    assert subscription.of("x2", False) == NOTHING
    interest = subscription.interest(ME, "s1")
    assert interest.wants(topics.investigation("x1"), ME if mine else OTHER, "investigation_update")
    assert not interest.wants(topics.investigation("x2"), ME, "investigation_update")
    assert not interest.wants(topics.EVERYONE, "", "metrics_update")


@pytest.mark.parametrize("type_", list(ConnectionType))
def test_only_notifications_may_follow_nothing_else(type_: ConnectionType) -> None:
    """The document's "apenas notificações" holds against a `subscribe`; every other connection may follow all."""
    expected = only("notification") if type_ == "notifications" else EVERYTHING
    assert Kind(type_).may_follow == expected


def test_the_connection_types_a_client_may_ask_for() -> None:
    """The document's four; `chat` comes from the path and cannot be asked for."""
    assert {str(type_) for type_ in REQUESTABLE} == {"general", "investigation", "analysis", "notifications"}
    assert [str(type_) for type_ in ConnectionType if type_ not in REQUESTABLE] == ["chat"]


@pytest.mark.parametrize("change", [Subscription.add, Subscription.subtract])
def test_ids_may_come_from_an_iterator(change: Callable[..., Subscription]) -> None:
    """The session hands a generator over, and every id of it is obeyed."""
    start = Subscription().add([("f1", False), ("f2", False)], only("a"))
    changed = change(start, ((key, False) for key in ("f1", "f2")), EVERYTHING)
    assert changed.of("f1", False) == changed.of("f2", False) != start.of("f1", False)


def test_naming_none_changes_nothing() -> None:
    """An empty list of investigations is none of them, which is not the same as not giving the list."""
    start = Subscription().add_own(only("a"))
    assert start.add([], EVERYTHING) == start
    assert start.subtract([], EVERYTHING) == start
    assert start.without([]) == start


def test_a_topic_is_followed_by_its_name_or_among_all_own() -> None:
    """Whoever asks who follows a topic means any type of it."""
    mine, left, foreign = (topics.investigation(name) for name in ("m1", "m2", "f1"))
    interest = (
        Subscription()
        .add_own(only("a"))
        .subtract([("m2", True)], EVERYTHING)
        .add([("f1", False)], only("b"))
        .interest(ME, "s")
    )
    assert interest.follows(mine, ME)
    assert not interest.follows(left, ME)
    assert interest.follows(foreign, OTHER)
    assert not interest.follows(mine, OTHER)
    assert [interest.follows(topics.user(sub), "") for sub in (ME, OTHER)] == [True, False]
    assert interest.follows(topics.EVERYONE, "")
    assert not Subscription().interest(ME, "s").follows(mine, ME)
