"""Fan-out: from one event to the sockets of all who follow its topic, with as few writes as possible.

Connections at the head are grouped by topic and filter. An event is packed once per encoding and put on the groups it
matches; the first of a loop turn schedules one flush. The flush joins what each group is owed once, and connections
that the same set of groups touched share the joined bytes, so that a connection gets one write per turn however many
events and topics there were. At a low rate a turn has one event and nothing is delayed; under load turns grow and
batches with them.
"""

import asyncio
from collections.abc import Callable

from ..memory.log import Event
from ..memory.receipts import Receipts
from ..words import topics
from ..words.encodings import Encoding
from ..words.subscription import Interest
from ..words.topics import Topic
from ..words.typesets import TypeSet
from .connection import Connection
from .metrics import Metrics

TURN_BYTES = 65_536
"""Bytes that a turn may owe, over all groups, since one connection may be in any of them; past it the turn is flushed
early, so that whoever cannot take it is behind and reads the rest from the log, instead of holding a copy of it."""

_OWN = "own:"
"""The channel of "all of one owner's investigations". No topic begins so, and it is never a topic of the log."""


class Group:
    """The connections at the head that follow one channel through one filter in one encoding."""

    __slots__ = ("encoding", "members", "pending", "skip", "types")

    def __init__(self, types: TypeSet, skip: frozenset[Topic], encoding: Encoding) -> None:
        self.types = types
        self.skip = skip
        self.encoding = encoding
        self.members: dict[Connection, None] = {}
        # What this turn owes the group: (order within the turn, type, part).
        self.pending: list[tuple[int, str, bytes]] = []


_Filter = tuple[TypeSet, frozenset[Topic], Encoding]


class Fanout:
    """The groups and this turn's debts. Used from one event loop only."""

    def __init__(self, metrics: Metrics, part: Callable[[Encoding, Event], bytes], receipts: Receipts) -> None:
        self._metrics = metrics
        self._part = part
        self._receipts = receipts
        # What this turn owes of events that are tracked: offset, and group.
        self._tracked: list[tuple[int, Group]] = []
        self._channels: dict[str, dict[_Filter, Group]] = {}
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
            self._join(connection, topic, types, frozenset())
        if interest.own:
            self._join(connection, _OWN + interest.owner, interest.own, interest.skip)

    def _join(self, connection: Connection, channel: str, types: TypeSet, skip: frozenset[Topic]) -> None:
        key = (types, skip, connection.outlet.encoding)
        groups = self._channels.setdefault(channel, {})
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(types, skip, connection.outlet.encoding)
        group.members[connection] = None
        connection.groups.append((channel, key))

    def leave(self, connection: Connection) -> None:
        """Take a connection out of its groups; what this turn owes it must be flushed before, or read from the log."""
        for channel, key in connection.groups:
            groups = self._channels[channel]
            group = groups[key]
            del group.members[connection]
            if not group.members:
                del groups[key]
                if not groups:
                    del self._channels[channel]
        connection.groups.clear()

    def deliver(self, event: Event) -> None:
        """Owe an event, just appended, to every connection at the head that follows it."""
        is_tracked = event.receipt_for is not None
        if event.receipt_for is not None:
            self._receipts.track(event.offset, event.receipt_for)
        parts: dict[Encoding, bytes] = {}
        for channel in self._channels_of(event.topic, event.owner):
            for group in channel.values():
                if event.type in group.types and event.topic not in group.skip:
                    part = parts.get(group.encoding)
                    if part is None:
                        part = parts[group.encoding] = self._part(group.encoding, event)
                    self._owe(group, event.offset - 1, event.type, part)
                    if is_tracked:
                        self._tracked.append((event.offset, group))

        if self._bytes > TURN_BYTES:
            self.flush()

    def broadcast(self, topic: Topic, type_: str, body: bytes, head: int) -> None:
        """Owe a transient message to the connections at the head that follow its type on `topic`; others go without."""
        for group in self._channels.get(topic, {}).values():
            if type_ in group.types:
                self._owe(group, head, type_, group.encoding.part(body, None))

    def _channels_of(self, topic: Topic, owner: str) -> list[dict[_Filter, Group]]:
        found = [self._channels.get(topic)]
        if topics.investigation_id(topic) is not None:
            found.append(self._channels.get(_OWN + owner))
        return [channel for channel in found if channel is not None]

    def _owe(self, group: Group, settled: int, type_: str, part: bytes) -> None:
        if not self._dirty:
            self._settled = settled
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._end_of_turn)
        if not group.pending:
            self._dirty.append(group)
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
            for _, type_, _ in group.pending:
                self._metrics.sent(type_, group.encoding.transport, len(group.members))
        if len(dirty) == 1:
            blob = dirty[0].encoding.join([part for _, _, part in dirty[0].pending])
            for connection in list(dirty[0].members):
                connection.outlet.write(blob)
        else:
            self._write_shared(dirty)
        for group in dirty:
            group.pending.clear()

    def _note_delivery(self) -> None:
        # Before the writes, because who is paused by one is no member afterwards.
        for offset, group in self._tracked:
            self._receipts.deliver(offset, ((one.session.id, one.session.sub) for one in group.members))
        self._tracked.clear()

    @staticmethod
    def _write_shared(dirty: list[Group]) -> None:
        touched: list[Connection] = []
        for index, group in enumerate(dirty):
            bit = 1 << index
            for connection in group.members:
                if not connection.mark:
                    touched.append(connection)
                connection.mark |= bit
        blobs: dict[int, bytes] = {}
        for connection in touched:
            mark, connection.mark = connection.mark, 0
            blob = blobs.get(mark)
            if blob is None:
                owed = [entry for index, group in enumerate(dirty) if mark >> index & 1 for entry in group.pending]
                owed.sort()
                blob = blobs[mark] = connection.outlet.encoding.join([part for _, _, part in owed])
            connection.outlet.write(blob)
