"""The log: one total order of events, stored by topic, trimmed by topic, and honest about what it trimmed.

Every consumer is a cursor into it. `lost` answers whether something that a consumer follows was trimmed past its
position, which is what makes `recovered: true` a statement and not a hope: being old is no gap, only a trimmed event
is. A worked example: user u's last event has offset 40; others publish up to 90,000 and all of theirs is trimmed.
Offset 40 has still missed nothing, because no topic that u follows remembers a trimmed offset above 40.

Source: PROTOCOL 7; DESIGN "The idea".
"""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import heapify, heappop, heappush, merge
from itertools import islice
from typing import Any, cast

import msgspec

from ..words import envelope, topics
from ..words.subscription import Interest
from ..words.topics import Topic
from ..words.typesets import TypeSet
from . import cursor
from .cursor import Cursor
from .heaviest import Heaviest

EVENT_OVERHEAD = 256
"""Bytes counted for an event beside its body: the objects around it, measured with `tracemalloc`."""

EMPTIED_TOPICS = 100_000
"""Topics without events whose trimmed offsets are remembered; older ones fold into one floor."""

TRIMMED_TYPES = 256
"""Event types whose last trimmed offset is remembered of a topic, and of all of an owner's; types beyond these, of
which anybody may publish as many as there are names, fold into the same floor."""

SCAN_LIMIT = 4096
"""Events looked at for one page, matching or not, so that a filter that matches nothing costs a bounded turn."""


class Draft(msgspec.Struct, frozen=True):
    """An event before it has its place in the log. `owner` is the user whose budget it counts on ("" for everyone).

    `receipt_for` is the user who publishes it and wants to know how far it gets.
    """

    topic: Topic
    owner: str
    type: str
    data: dict[str, Any]
    correlation_id: str | None = None
    receipt_for: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """A published event. `body` is its envelope as JSON, the same bytes for everyone; `at` is seconds since 1970."""

    offset: int
    topic: Topic
    owner: str
    type: str
    body: bytes
    at: float
    receipt_for: str | None = None


class Retention(msgspec.Struct, frozen=True):
    """What the log keeps: per topic a number of events, of bytes and an age in seconds; in all a number of bytes."""

    events_per_topic: int = 2000
    bytes_per_topic: int = 4 << 20
    age_seconds: float = 3600.0
    total_bytes: int = 64 << 20


class Page(msgspec.Struct, frozen=True):
    """A stretch of what a consumer follows. All that it follows up to `position` is in this page or before it."""

    events: list[Event]
    position: int


class _Slice:
    """One topic's events in order, and the newest trimmed offset of each type."""

    __slots__ = ("_start", "bytes", "events", "is_investigation", "last", "offsets", "owner", "topic", "trimmed")

    def __init__(self, topic: Topic, owner: str) -> None:
        self.topic = topic
        self.owner = owner
        self.is_investigation = topics.investigation_id(topic) is not None
        self.offsets: list[int] = []
        self.events: list[Event] = []
        self.bytes = 0
        self.last = 0
        self.trimmed: dict[str, int] = {}
        self._start = 0

    def __len__(self) -> int:
        return len(self.events) - self._start

    def append(self, event: Event, size: int) -> None:
        self.offsets.append(event.offset)
        self.events.append(event)
        self.bytes += size
        self.last = event.offset

    def oldest(self) -> Event:
        return self.events[self._start]

    def drop(self) -> Event:
        """Take the oldest event out. That it is gone is for the caller to remember."""
        event = self.events[self._start]
        self._start += 1
        if self._start * 2 > len(self.events) and (self._start >= 32 or self._start == len(self.events)):
            # Deleting from the front moves the rest, so it is done in strides: amortised constant per event.
            del self.events[: self._start], self.offsets[: self._start]
            self._start = 0
        self.bytes -= len(event.body) + EVENT_OVERHEAD
        return event

    def after(self, offset: int) -> int:
        """The index of the first event past `offset`."""
        return bisect_right(self.offsets, offset, self._start)

    def newest(self, type_: str) -> int:
        # From the end, where it is found soon; the start of the list may hold events that are trimmed already.
        kept = islice(reversed(self.events), len(self))
        return next((event.offset for event in kept if event.type == type_), 0)

    def lost(self, offset: int, types: TypeSet) -> bool:
        return any(trimmed > offset and type_ in types for type_, trimmed in self.trimmed.items())


class _Owner:
    """One user's share of the log: all topics for the budget, the investigations in order of their last event."""

    __slots__ = ("bytes", "heaviest", "investigations", "topics", "trimmed")

    def __init__(self, size: Any) -> None:
        self.bytes = 0
        self.topics: set[Topic] = set()
        self.heaviest = Heaviest(size)
        self.investigations: dict[Topic, _Slice] = {}
        self.trimmed: dict[str, int] = {}


class Log:
    """Events of one epoch. Nothing here waits, and time is an argument."""

    def __init__(self, epoch: str, retention: Retention = Retention()) -> None:  # noqa: B008 - frozen
        self.epoch = epoch
        self.retention = retention
        self.head = 0
        self.bytes = 0
        self.floor = 0
        self._slices: dict[Topic, _Slice] = {}
        self._owners: dict[str, _Owner] = {}
        self._heaviest = Heaviest(lambda name: self._owners[name].bytes if name in self._owners else 0)
        self._ages: list[tuple[float, Topic]] = []
        self._emptied: dict[Topic, None] = {}

    @property
    def topics(self) -> int:
        """Topics that hold events."""
        return len(self._slices) - len(self._emptied)

    def cursor(self, offset: int) -> Cursor:
        """The cursor of a position in this log."""
        return Cursor(self.epoch, offset)

    def append(self, draft: Draft, now: float) -> Event:
        """Give `draft` the next offset and keep it, at `now` seconds since 1970. Trims what exceeds the retention.

        An event larger than the whole budget is returned like any other and trimmed at once.
        """
        offset = self.head + 1
        body = envelope.encode(
            draft.type, draft.data, now, id_=cursor.text(self.epoch, offset), correlation_id=draft.correlation_id
        )
        event = Event(offset, draft.topic, draft.owner, draft.type, body, now, draft.receipt_for)
        self.head = offset
        self._keep(event)
        return event

    def _keep(self, event: Event) -> None:
        topic = event.topic
        slice_ = self._slices.get(topic)
        if slice_ is not None and slice_.owner != event.owner:
            # A forgotten investigation's id may be used anew, and what it held is nothing to its new owner.
            self._disown(slice_)
            slice_ = None
        if slice_ is None:
            slice_ = self._slices[topic] = _Slice(topic, event.owner)
        owner = self._owners.get(slice_.owner)
        if owner is None:
            owner = self._owners[slice_.owner] = _Owner(self._topic_bytes)
        if not slice_.bytes:
            self._emptied.pop(topic, None)
            owner.topics.add(topic)
            heappush(self._ages, (event.at, topic))
        size = len(event.body) + EVENT_OVERHEAD
        slice_.append(event, size)
        if slice_.is_investigation:
            # Taken out and put back at the end: the newest are found first, without a scan.
            owner.investigations.pop(topic, None)
            owner.investigations[topic] = slice_
        owner.bytes += size
        self.bytes += size
        owner.heaviest.grew(topic, slice_.bytes, len(owner.topics))
        self._heaviest.grew(slice_.owner, owner.bytes, len(self._owners))
        keep = self.retention
        while slice_.bytes > keep.bytes_per_topic or len(slice_) > keep.events_per_topic:
            self._trim(slice_)
        while self.bytes > keep.total_bytes:
            # Whoever holds most holds something as long as anything is held.
            heaviest = self._owners[cast(str, self._heaviest.top())]
            self._trim(self._slices[Topic(cast(str, heaviest.heaviest.top()))])

    def expire(self, now: float, limit: int = 10_000) -> int:
        """Trim up to `limit` events older than the retention's age; returns how many were."""
        horizon = now - self.retention.age_seconds
        count = 0
        while self._ages and self._ages[0][0] <= horizon and count < limit:
            _, topic = heappop(self._ages)
            slice_ = self._slices.get(topic)
            # A topic emptied and filled again has two entries; the later one finds nothing left to do.
            while slice_ and slice_.oldest().at <= horizon and count < limit:
                self._trim(slice_)
                count += 1
            if slice_:
                heappush(self._ages, (slice_.oldest().at, topic))
        if len(self._ages) > 2 * len(self._slices) + 64:
            self._ages = [(slice_.oldest().at, topic) for topic, slice_ in self._slices.items() if slice_]
            heapify(self._ages)
        return count

    def _topic_bytes(self, topic: str) -> int:
        slice_ = self._slices.get(Topic(topic))
        return slice_.bytes if slice_ is not None else 0

    def _trim(self, slice_: _Slice) -> None:
        event = slice_.drop()
        size = len(event.body) + EVENT_OVERHEAD
        owner = self._owners[slice_.owner]
        owner.bytes -= size
        self.bytes -= size
        self._remember(slice_.trimmed, event)
        if slice_.is_investigation:
            self._remember(owner.trimmed, event)
        if not slice_:
            self._emptied[slice_.topic] = None
            if len(self._emptied) > EMPTIED_TOPICS:
                self._fold(next(iter(self._emptied)))

    def _remember(self, trimmed: dict[str, int], event: Event) -> None:
        """Remember the newest offset trimmed of each type."""
        # `max`, because topics are not trimmed in the order of the log.
        trimmed[event.type] = max(event.offset, trimmed.get(event.type, 0))
        if len(trimmed) > TRIMMED_TYPES:
            oldest = min(trimmed, key=trimmed.__getitem__)
            self.floor = max(self.floor, trimmed.pop(oldest))

    def _disown(self, slice_: _Slice) -> None:
        """Trim all of a topic and forget it."""
        while slice_:
            self._trim(slice_)
        if self._slices.get(slice_.topic) is slice_:
            self._fold(slice_.topic)

    def _fold(self, topic: Topic) -> None:
        """Forget an emptied topic's own memory; a cursor before the floor is no longer provable for anyone."""
        slice_ = self._slices.pop(topic)
        del self._emptied[topic]
        self.floor = max(self.floor, *slice_.trimmed.values())
        owner = self._owners[slice_.owner]
        owner.topics.discard(topic)
        owner.investigations.pop(topic, None)
        if not owner.topics:
            del self._owners[slice_.owner]

    def lost(self, offset: int, interest: Interest) -> bool:
        """Whether an event past `offset` that `interest` wants was trimmed. Never falsely no.

        Yes without proof only before the floor, where the memory of emptied topics ends.
        """
        if offset < self.floor:
            return True
        for topic, types in interest.topics.items():
            slice_ = self._slices.get(topic)
            if slice_ is not None and slice_.lost(offset, types):
                return True
        owner = self._owners.get(interest.owner)
        if not interest.own or owner is None:
            return False
        if not any(trimmed > offset and type_ in interest.own for type_, trimmed in owner.trimmed.items()):
            return False
        return not interest.skip or any(
            slice_.lost(offset, interest.own)
            for topic, slice_ in owner.investigations.items()
            if topic not in interest.skip
        )

    def since(self, offset: int, interest: Interest, limit: int, max_bytes: int) -> Page:
        """The next events past `offset` that `interest` wants: at most `limit`, and `max_bytes` of bodies (but one).

        The page's `position` is the head when nothing more is owed; a filter that matches nothing still advances it.
        """
        found: list[Event] = []
        size = 0
        position = offset
        for scanned, (event, types) in enumerate(self._merged(offset, interest), 1):
            if event.type in types:
                size += len(event.body)
                if found and size > max_bytes:
                    return Page(found, position)
                found.append(event)
            position = event.offset
            if len(found) >= limit or scanned >= SCAN_LIMIT:
                return Page(found, position)
        return Page(found, self.head)

    def newest(self, topic: Topic, type_: str) -> int:
        """The offset of the topic's last event of a type, 0 if it holds none."""
        slice_ = self._slices.get(topic)
        return slice_.newest(type_) if slice_ is not None else 0

    def owed(self, offset: int, interest: Interest, most: int) -> int:
        """How many events past `offset` `interest` wants, counted up to `most + 1`."""
        count = 0
        for slice_, types in self._sources(offset, interest):
            start = slice_.after(offset)
            if types.inverted and not types.names:
                count += len(slice_.events) - start
            else:
                count += sum(event.type in types for event in slice_.events[start:])
            if count > most:
                return most + 1
        return count

    def _sources(self, offset: int, interest: Interest) -> Iterator[tuple[_Slice, TypeSet]]:
        for topic, types in interest.topics.items():
            slice_ = self._slices.get(topic)
            if slice_ is not None and slice_.last > offset and slice_:
                yield slice_, types
        owner = self._owners.get(interest.owner)
        if not interest.own or owner is None:
            return
        for topic, slice_ in reversed(owner.investigations.items()):
            if slice_.last <= offset:
                break
            if slice_ and topic not in interest.skip:
                yield slice_, interest.own

    def _merged(self, offset: int, interest: Interest) -> Iterator[tuple[Event, TypeSet]]:
        sources = [_typed(slice_, types, offset) for slice_, types in self._sources(offset, interest)]
        return sources[0] if len(sources) == 1 else merge(*sources, key=lambda pair: pair[0].offset)


def _typed(slice_: _Slice, types: TypeSet, offset: int) -> Iterator[tuple[Event, TypeSet]]:
    start = slice_.after(offset)
    for event in slice_.events[start : start + SCAN_LIMIT]:
        yield event, types
