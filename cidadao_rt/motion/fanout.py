"""Fan-out: from one event to the sockets of all who follow its topic, with as few writes as possible.

Connections at the head are grouped by topic and filter. An event is packed once per encoding and put on the groups it
matches; the first of a loop turn schedules one flush. The flush joins what each group is owed once, and connections
that the same set of groups touched share the joined bytes, so that a connection gets one write per turn however many
events and topics there were. At a low rate a turn has one event and nothing is delayed; under load turns grow and
batches with them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..memory.log import Event
from ..memory.receipts import Receipts
from ..words import topics
from ..words.encodings import Encoding
from ..words.subscription import NO_TOPICS, Interest
from ..words.topics import Topic
from ..words.typesets import EVERYTHING, TypeSet
from . import crowd
from .connection import Connection
from .crowd import Crowd
from .metrics import Metrics

TURN_BYTES = 65_536
"""Bytes that a turn may owe, over all groups, since one connection may be in any of them; past it the turn is flushed
early, so that whoever cannot take it is behind and reads the rest from the log, instead of holding a copy of it."""

_log = logging.getLogger(__name__)

_OWN = "own:"
"""The channel of "all of one owner's investigations". No topic begins so, and it is never a topic of the log."""


class Owed:
    """What a set of groups is owed this turn: one group's own debt, or that of a set and one group more.

    Walked through in the order of the dirty groups, so each set that some connection is in stands here once, and all
    connections in it share one join, whatever the number of groups.
    """

    __slots__ = ("_before", "_joined", "_onward", "pending")

    def __init__(self, pending: "Sequence[Entry]", before: "Owed | None" = None) -> None:
        self.pending = pending
        self._before = before
        self._onward: dict[Owed, Owed] | None = None
        self._joined: bytes | None = None

    def also(self, more: "Owed") -> "Owed":
        """What those are owed who are in this set and in one group more."""
        if self._onward is None:
            self._onward = {}
        both = self._onward.get(more)
        if both is None:
            both = self._onward[more] = Owed(more.pending, self)
        return both

    def _all(self) -> "Iterator[Entry]":
        one: Owed | None = self
        while one is not None:
            yield from one.pending
            one = one._before

    def joined(self, encoding: Encoding) -> bytes:
        """The bytes of one write."""
        if self._joined is None:
            entries = self.pending
            if self._before is not None:
                entries = sorted(self._all())
            self._joined = encoding.join([part for _, _, part in entries])
        return self._joined


Entry = tuple[int, str, bytes]
"""One message owed: its order within the turn, its type, and its part as the encoding has packed it."""


class Group:
    """The connections at the head that follow one channel through one filter in one encoding."""

    __slots__ = ("channel", "encoding", "members", "pending", "skip", "types")

    def __init__(self, channel: str, types: TypeSet, skip: frozenset[Topic], encoding: Encoding) -> None:
        self.channel = channel
        self.types = types
        self.skip = skip
        self.encoding = encoding
        self.members: Crowd[Connection] = ()
        # What this turn owes the group.
        self.pending: list[Entry] | tuple[()] = ()

    @property
    def filter(self) -> "_Filter":
        """By what it is told from the other groups of its channel."""
        return self.types, self.skip, self.encoding


_Filter = tuple[TypeSet, frozenset[Topic], Encoding]


def _groups(channel: Group | dict[_Filter, Group]) -> Iterable[Group]:
    return (channel,) if isinstance(channel, Group) else channel.values()


class Fanout:
    """The groups and this turn's debts. Used from one event loop only."""

    def __init__(self, metrics: Metrics, part: Callable[[Encoding, Event], bytes], receipts: Receipts) -> None:
        self._metrics = metrics
        self._part = part
        self._receipts = receipts
        # What this turn owes of events that are tracked: offset, and group.
        self._tracked: list[tuple[int, Group]] = []
        # A channel with one group is that group: most are private ones.
        self._channels: dict[str, Group | dict[_Filter, Group]] = {}
        self._dirty: list[Group] = []
        self._scheduled = False
        self._bytes = 0
        self._order = 0
        self._settled = 0

    def settled(self, head: int) -> int:
        """The offset up to which every connection at the head has been written, when the log's head is `head`."""
        return self._settled if self._dirty else head

    def join(self, connection: Connection, interest: Interest) -> None:
        """Put a connection that has been written up to the head into its groups. The turn must be flushed before."""
        assert not self._dirty, "joining in mid-turn would deliver twice"
        for topic, types in interest.topics.items():
            self._join(connection, topic, types, NO_TOPICS)
        if interest.own:
            self._join(connection, _OWN + interest.owner, interest.own, interest.skip)

    def _join(self, connection: Connection, channel: str, types: TypeSet, skip: frozenset[Topic]) -> None:
        wanted = (types, skip, connection.outlet.encoding)
        found = self._channels.get(channel)
        if isinstance(found, dict):
            group = found.get(wanted)
            if group is None:
                group = found[wanted] = Group(channel, *wanted)
        elif found is not None and found.filter == wanted:
            group = found
        else:
            group = Group(channel, *wanted)
            self._channels[channel] = group if found is None else {found.filter: found, wanted: group}
        group.members = crowd.joined(group.members, connection)
        connection.groups += (group,)

    def leave(self, connection: Connection) -> None:
        """Take a connection out of its groups; what this turn owes it must be flushed before, or read from the log."""
        for group in connection.groups:
            group.members = crowd.left(group.members, connection)
            if not group.members:
                found = self._channels[group.channel]
                if isinstance(found, dict):
                    del found[group.filter]
                if found is group or not found:
                    del self._channels[group.channel]
        connection.groups = ()

    def deliver(self, event: Event) -> None:
        """Owe an event, just appended, to every connection at the head that follows it."""
        if event.receipt_for is not None:
            self._receipts.track(event.offset, event.receipt_for)
        parts: dict[Encoding, bytes] = {}
        channel = self._channels.get(event.topic)
        if channel is not None:
            self._deliver_on(channel, event, parts)
        if event.owner and topics.investigation_id(event.topic) is not None:
            channel = self._channels.get(_OWN + event.owner)
            if channel is not None:
                self._deliver_on(channel, event, parts)
        if self._bytes > TURN_BYTES:
            self.flush()

    def _deliver_on(self, channel: Group | dict[_Filter, Group], event: Event, parts: dict[Encoding, bytes]) -> None:
        """Owe it to the groups of one channel; `parts` is what the encodings have made of it so far."""
        for group in _groups(channel):
            # Nearly every filter lets everything pass, which needs no asking.
            if (group.types is EVERYTHING or event.type in group.types) and event.topic not in group.skip:
                encoding = group.encoding
                part = parts.get(encoding)
                if part is None:
                    part = parts[encoding] = self._part(encoding, event)
                self._owe(group, event.offset - 1, event.type, part)
                if event.receipt_for is not None:
                    self._tracked.append((event.offset, group))

    def broadcast(self, topic: Topic, type_: str, body: bytes, head: int) -> None:
        """Owe a transient message to the connections at the head that follow its type on `topic`; others go without."""
        for group in _groups(self._channels.get(topic, {})):
            if type_ in group.types:
                self._owe(group, head, type_, group.encoding.part(body, None))

    def _owe(self, group: Group, settled: int, type_: str, part: bytes) -> None:
        if not group.pending:
            if not self._dirty:
                self._settled = settled
                if not self._scheduled:
                    self._scheduled = True
                    asyncio.get_running_loop().call_soon(self._end_of_turn)
            self._dirty.append(group)
            group.pending = []
        self._order += 1
        group.pending.append((self._order, type_, part))
        self._bytes += len(part)

    def _end_of_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what this turn owes, one write per connection."""
        dirty = self._dirty
        if not dirty:
            return
        # Emptied first: a write may pause a connection, and its position is then the head, since its one write
        # holds all that the turn owes it.
        self._dirty = []
        self._bytes = 0
        if self._tracked:
            self._note_delivery()
        for group in dirty:
            count = len(group.members)
            transport = group.encoding.transport
            for _, type_, _ in group.pending:
                self._metrics.sent(type_, transport, count)
        debts = [(group, group.pending) for group in dirty]
        # Taken out before the writes: a group that kept its debt would never be dirty again, and get nothing more.
        for group in dirty:
            group.pending = ()
        if len(debts) == 1:
            ((group, pending),) = debts
            blob = group.encoding.join([part for _, _, part in pending])
            for connection in list(group.members):
                try:
                    connection.outlet.write(blob)
                except Exception:
                    self._cut_off(connection)
        else:
            self._write_shared(debts)

    def _note_delivery(self) -> None:
        # Before the writes, because who is paused by one is no member afterwards.
        for offset, group in self._tracked:
            self._receipts.deliver(offset, ((one.session.id, one.session.sub) for one in group.members))
        self._tracked.clear()

    def _write_shared(self, debts: Sequence[tuple[Group, Sequence[Entry]]]) -> None:
        touched: list[Connection] = []
        for group, pending in debts:
            owed = Owed(pending)
            for connection in group.members:
                before = connection.owed
                if before is None:
                    touched.append(connection)
                    connection.owed = owed
                else:
                    connection.owed = before.also(owed)
        for connection in touched:
            owed_, connection.owed = connection.owed, None
            assert owed_ is not None
            outlet = connection.outlet
            blob = owed_.joined(outlet.encoding)
            try:
                outlet.write(blob)
            except Exception:
                self._cut_off(connection)

    @staticmethod
    def _cut_off(connection: Connection) -> None:
        """One broken outlet keeps nothing from the others. What it was owed it has lost: its client has to resume."""
        _log.exception("write failed", extra={"connection_id": connection.id})
        connection.outlet.abort()
