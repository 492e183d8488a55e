"""What the client follows, kept as the gateway keeps it, so that a new session can be brought to the same. Pure.

A resumed session has its subscriptions still; a new one (after 5 minutes away, or a restart of the gateway) has only
those of its URL. Source: PROTOCOL 5 "What a connection follows".
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ..words.events import METRICS_UPDATE
from ..words.subscription import ConnectionType, Kind, Subscription, default
from ..words.typesets import NOTHING, TypeSet, only

Selection = tuple[str, dict[str, Any]]


class Following:
    """`events` and `investigation_ids` are the URL's; None means all."""

    def __init__(self, kind: Kind, events: list[str] | None, investigation_ids: list[str] | None) -> None:
        self._kind = kind
        # Whatever is named is taken for the client's own: then nothing that was taken away is forgotten.
        self._now = default(kind, mine=True)
        self._explicit = False
        if events is not None or investigation_ids is not None:
            self.subscribed({"events": events, "investigation_ids": investigation_ids})
        self._at_first = self._now

    def subscribed(self, granted: Mapping[str, Any]) -> None:
        """The gateway has granted this."""
        events, ids = granted.get("events"), self._ids(granted)
        if granted.get("denied") and (events == [] or ids == []):
            # Asked for in vain altogether, which changes nothing.
            return
        types = self._types(events)
        before = self._now if self._explicit else Subscription()
        self._explicit = True
        self._now = before.add_own(types) if ids is None else before.add([(key, True) for key in ids], types)

    def unsubscribed(self, taken: Mapping[str, Any]) -> None:
        """The gateway has taken this away."""
        types, ids = self._types(taken.get("events")), self._ids(taken)
        if ids is None:
            self._now = self._now.subtract_own(types)
        else:
            self._now = self._now.subtract([(key, True) for key in ids], types)

    def started(self, investigation_id: str) -> None:
        """An investigation was started, which the gateway follows for its client where nothing covers it."""
        if self._kind.investigation_id is None and not self._now.of(investigation_id, mine=True):
            types = self._kind.may_follow - only(METRICS_UPDATE)
            self._now = self._now.add([(investigation_id, True)], types)

    def restoring(self) -> list[Selection]:
        """The commands that bring a new session to what is followed; none where it is as it was at first."""
        if self._now == self._at_first:
            return []
        # A first `subscribe` replaces what is followed by default, even if it asks for nothing.
        found: list[Selection] = [("subscribe", {"events": [], "investigation_ids": []})]
        if self._now.own:
            found += _exactly(self._now.own, {})
        alike: dict[TypeSet, list[str]] = defaultdict(list)
        for key, named in self._now.named.items():
            alike[named.types].append(key)
        for types, ids in alike.items():
            found += _exactly(types, {"investigation_ids": ids})
        return found

    def _types(self, events: list[str] | None) -> TypeSet:
        return self._kind.may_follow if events is None else only(*events)

    def _ids(self, data: Mapping[str, Any]) -> list[str] | None:
        ids: list[str] | None = data.get("investigation_ids")
        bound = self._kind.investigation_id
        return [bound] if ids is None and bound is not None else ids


def _exactly(types: TypeSet, where: dict[str, Any]) -> list[Selection]:
    """The commands after which just these types are followed there, whatever was before."""
    if types.inverted:
        every: list[Selection] = [("subscribe", where)]
        return [*every, ("unsubscribe", where | {"events": sorted(types.names)})] if types.names else every
    first: list[Selection] = [("unsubscribe", where)] if where else []
    return [*first, ("subscribe", where | {"events": sorted(types.names)})] if types != NOTHING else first


def kind(path: str, connection_type: str) -> Kind:
    """The kind of connection that a path of the gateway makes. Raises `ValueError` for one it does not have."""
    if path == "/ws":
        return Kind(ConnectionType(connection_type))
    if path == "/ws/chat":
        return Kind(ConnectionType.CHAT)
    prefix, _, id_ = path.rpartition("/")
    if prefix == "/ws/investigations" and id_:
        return Kind(ConnectionType.INVESTIGATION, id_)
    raise ValueError("path must be /ws, /ws/investigations/{id} or /ws/chat")
