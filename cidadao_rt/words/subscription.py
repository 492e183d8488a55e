"""What a connection follows: pairs of (investigations, event types), kept in a normal form.

The normal form: one set of types for all of one's own investigations, and for each investigation named apart a set of
its own which stands *instead*. So what is owed for any investigation is one look-up, an event can never match twice,
and "all of mine but this one" needs no second notion. Source: PROTOCOL 5 "What a connection follows".
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from . import events, topics
from .topics import Topic
from .typesets import EVERYTHING, NOTHING, TypeSet, only

NO_TOPICS: frozenset[Topic] = frozenset()
"""One for all: an empty set is 216 bytes too."""


class ConnectionType(StrEnum):
    """What `connection_established` calls the connection; the last comes from the path alone."""

    GENERAL = "general"
    INVESTIGATION = "investigation"
    ANALYSIS = "analysis"
    NOTIFICATIONS = "notifications"
    CHAT = "chat"


REQUESTABLE = frozenset(
    {ConnectionType.GENERAL, ConnectionType.INVESTIGATION, ConnectionType.ANALYSIS, ConnectionType.NOTIFICATIONS}
)
"""The values of `?connection_type=`."""


class Kind(msgspec.Struct, frozen=True, gc=False):
    """The kind of a connection: its type, and the one investigation that `/ws/investigations/{id}` is bound to."""

    type: ConnectionType
    investigation_id: str | None = None

    @property
    def may_follow(self) -> TypeSet:
        """The types a `subscribe` may ask for on such a connection."""
        return only(events.NOTIFICATION) if self.type is ConnectionType.NOTIFICATIONS else EVERYTHING


class Named(msgspec.Struct, frozen=True, gc=False):
    """One investigation named apart; `mine` says whether "all own" would cover it too."""

    types: TypeSet
    mine: bool


class Interest(msgspec.Struct, frozen=True, gc=False):
    """A subscription resolved to topics: what the log and the hub match events against.

    `own` holds for the investigation topics whose owner is `owner`, except those in `skip`.
    """

    owner: str
    own: TypeSet
    skip: frozenset[Topic]
    topics: Mapping[Topic, TypeSet]

    def follows(self, topic: Topic, owner: str) -> bool:
        """Whether some type of this topic's events is followed; `owner` is its owner, for an investigation."""
        is_own = owner == self.owner and topics.investigation_id(topic) is not None and topic not in self.skip
        return topic in self.topics or (is_own and bool(self.own))

    def wants(self, topic: Topic, owner: str, type_: str) -> bool:
        """Whether one event is among those followed. The definition; the log and the hub are faster ways to it."""
        named = self.topics.get(topic)
        if named is not None and type_ in named:
            return True
        is_own = owner == self.owner and topics.investigation_id(topic) is not None and topic not in self.skip
        return is_own and type_ in self.own


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """What is followed, as a value: every change makes a new one."""

    own: TypeSet = NOTHING
    named: Mapping[str, Named] = msgspec.field(default_factory=dict)

    @property
    def types(self) -> TypeSet:
        """All types followed anywhere: what filters events that belong to no investigation."""
        types = self.own
        for named in self.named.values():
            types |= named.types
        return types

    def of(self, investigation_id: str, mine: bool) -> TypeSet:
        """The types followed of one investigation."""
        named = self.named.get(investigation_id)
        if named is not None:
            return named.types
        return self.own if mine else NOTHING

    def add_own(self, types: TypeSet) -> "Subscription":
        """Follow `types` of all one's own investigations as well."""
        named = {key: Named(n.types | types, True) if n.mine else n for key, n in self.named.items()}
        return Subscription(self.own | types, named)

    def add(self, ids: Iterable[tuple[str, bool]], types: TypeSet) -> "Subscription":
        """Follow `types` of these investigations as well; each is (id, whether it is one's own)."""
        named = dict(self.named)
        for key, mine in ids:
            named[key] = Named(self.of(key, mine) | types, mine)
        return Subscription(self.own, named)

    def subtract_own(self, types: TypeSet) -> "Subscription":
        """Follow `types` no longer, of no investigation."""
        named = {key: Named(n.types - types, n.mine) for key, n in self.named.items()}
        return Subscription(self.own - types, named)._tidy()

    def subtract(self, ids: Iterable[tuple[str, bool]], types: TypeSet) -> "Subscription":
        """Follow `types` of these investigations no longer."""
        named = dict(self.named)
        for key, mine in ids:
            named[key] = Named(self.of(key, mine) - types, mine)
        return Subscription(self.own, named)._tidy()

    def without(self, ids: Iterable[str]) -> "Subscription":
        """Forget these investigations, because their grant is gone."""
        gone = set(ids)
        return Subscription(self.own, {key: n for key, n in self.named.items() if key not in gone})

    def interest(self, sub: str, session_id: str) -> Interest:
        """Resolve to topics for user `sub`. A session's own topic is always followed: it carries answers."""
        outside = self.types
        followed = {topics.investigation(key): named.types for key, named in self.named.items() if named.types}
        followed[topics.session(session_id)] = EVERYTHING
        if outside:
            followed[topics.user(sub)] = outside
            followed[topics.EVERYONE] = outside
        skip = frozenset(topics.investigation(key) for key, named in self.named.items() if named.mine)
        return Interest(sub, self.own, skip or NO_TOPICS, followed)

    def _tidy(self) -> "Subscription":
        """Drop what says nothing: a foreign one with no types, one of mine that equals what holds for all of mine."""
        return Subscription(
            self.own, {k: n for k, n in self.named.items() if (n.types != self.own if n.mine else bool(n.types))}
        )


_BY_DEFAULT = {
    ConnectionType.GENERAL: Subscription(EVERYTHING),
    ConnectionType.INVESTIGATION: Subscription(only(*events.STATE_TYPES, events.NOTIFICATION)),
    ConnectionType.ANALYSIS: Subscription(only(events.AGENT_ANALYSIS)),
    ConnectionType.NOTIFICATIONS: Subscription(only(events.NOTIFICATION)),
    ConnectionType.CHAT: Subscription(only(events.NOTIFICATION)),
}


def default(kind: Kind, mine: bool = False) -> Subscription:
    """What a connection of this kind follows before its first `subscribe`.

    `mine`: whether the investigation that the kind is bound to is the user's own.
    """
    if kind.investigation_id is not None:
        # "Apenas da investigação especificada": every event of it, and none of the node's metrics.
        return Subscription().add([(kind.investigation_id, mine)], EVERYTHING - only(events.METRICS_UPDATE))
    return _BY_DEFAULT[kind.type]
