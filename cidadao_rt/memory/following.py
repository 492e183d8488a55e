"""What one conversation follows: how `subscribe` and `unsubscribe` change it, and what is granted and denied.

Source: PROTOCOL 3 "Commands and their answers", 5 "What a connection follows".
"""

from collections.abc import Iterable
from typing import Any

from ..words.errors import ErrorCode, Refusal
from ..words.events import METRICS_UPDATE, STATE_TYPES, is_subscribable
from ..words.subscription import Interest, Kind, Subscription, default
from ..words.tokens import Principal
from ..words.typesets import EVERYTHING, TypeSet, only
from .investigations import Investigation, Investigations

SNAPSHOTS = 128
"""Snapshots sent in a row at the most (PROTOCOL 7): the newest, unfinished first."""


class Following:
    """What a session of user `sub` follows; at most `most` investigations by name."""

    __slots__ = (
        "_explicit", "_interest", "_investigations", "_kind", "_most", "_session_id", "_sub", "subscription",
    )  # fmt: skip

    def __init__(self, session_id: str, sub: str, kind: Kind, investigations: Investigations, most: int) -> None:
        self._session_id = session_id
        self._sub = sub
        self._kind = kind
        self._investigations = investigations
        self._most = most
        self._explicit = False
        self._interest: Interest | None = None
        bound = kind.investigation_id
        self.subscription = default(kind, bound is not None and self._is_mine(bound))

    @property
    def interest(self) -> Interest:
        """What is followed, resolved to topics."""
        if self._interest is None:
            self._interest = self.subscription.interest(self._sub, self._session_id)
        return self._interest

    def states(self, *, finished: bool) -> list[str]:
        """The newest `SNAPSHOTS` investigations whose state is followed, unfinished first."""
        found: list[Investigation] = []
        if self.subscription.own.touches(STATE_TYPES):
            every = self._investigations
            own = every.of(self._sub) if finished else every.running_of(self._sub)
            found.extend(inv for inv in own if inv.id not in self.subscription.named)
        for key, named in self.subscription.named.items():
            inv = self._investigations.get(key)
            if inv is not None and named.types.touches(STATE_TYPES) and (finished or inv.finished_at is None):
                found.append(inv)
        found.sort(key=lambda inv: (inv.finished_at is not None, -inv.started_at))
        return [inv.id for inv in found[:SNAPSHOTS]]

    def cover(self, investigation_id: str) -> bool:
        """Follow an investigation that this client starts; False if something it follows covers it already."""
        bound = self._kind.investigation_id is not None
        if bound or self.subscription.of(investigation_id, mine=True):
            return False
        if len(self.subscription.named) >= self._most:
            return False
        # Its events; the node's metrics are none of them.
        types = self._kind.may_follow - only(METRICS_UPDATE)
        self.change(self.subscription.add([(investigation_id, True)], types))
        return True

    def select(
        self, events: list[str] | None, investigation_ids: list[str] | None, principals: Iterable[Principal]
    ) -> tuple[list[str] | None, list[str] | None, list[dict[str, Any]]]:
        """Follow these types of these investigations, which all of `principals` must be allowed to; None means all.

        Returns the types and the investigations granted, and what was denied. Raises `Refusal` for too many names;
        then nothing has changed.
        """
        types, events, denied = self._types(events)
        ids, refused = self._granted(self._distinct(investigation_ids, "investigation_ids"), principals)
        denied += refused
        before = self.subscription if self._explicit else Subscription()
        after = before.add_own(types) if ids is None else before.add(((key, self._is_mine(key)) for key in ids), types)
        self._check_named(after)
        asked_in_vain = bool(denied) and (not types or ids == [])
        if not asked_in_vain:
            self._explicit = True
            self.change(after)
        return events, ids, denied

    def deselect(
        self, events: list[str] | None, investigation_ids: list[str] | None
    ) -> tuple[list[str] | None, list[str] | None]:
        """Follow these types of these investigations no longer; None means all. Returns and raises as `select`."""
        types, events, _ = self._types(events)
        ids = self._distinct(investigation_ids, "investigation_ids")
        if ids is None:
            after = self.subscription.subtract_own(types)
        else:
            after = self.subscription.subtract(((key, self._is_mine(key)) for key in ids), types)
        self._check_named(after)
        self.change(after)
        return events, ids

    def check(self, principal: Principal) -> list[str]:
        """Let go of what this principal is not allowed to follow; returns the investigations."""
        lost = [key for key in self.subscription.named if not self.is_granted(key, (principal,))]
        if lost:
            self.change(self.subscription.without(lost))
        return lost

    def is_granted(self, investigation_id: str, principals: Iterable[Principal]) -> bool:
        """Whether all of these may see an investigation."""
        try:
            for principal in principals:
                self._investigations.seen_by(principal, investigation_id)
        except Refusal:
            return False
        return True

    def _types(self, names: list[str] | None) -> tuple[TypeSet, list[str] | None, list[dict[str, Any]]]:
        """The types asked for, as a set and as a list (None: all of them), and those denied."""
        names = self._distinct(names, "events")
        allowed = self._kind.may_follow
        if names is None:
            return allowed, None if allowed == EVERYTHING else sorted(allowed.names), []
        granted = [name for name in names if is_subscribable(name) and name in allowed]
        denied = [
            {"event": name, "code": ErrorCode.FORBIDDEN if is_subscribable(name) else ErrorCode.INVALID_REQUEST}
            for name in names
            if name not in granted
        ]
        return only(*granted), granted, denied

    def _granted(
        self, ids: list[str] | None, principals: Iterable[Principal]
    ) -> tuple[list[str] | None, list[dict[str, Any]]]:
        bound = self._kind.investigation_id
        if bound is not None:
            asked = [bound] if ids is None else ids
            return [key for key in asked if key == bound], denials(
                (key for key in asked if key != bound), ErrorCode.FORBIDDEN
            )
        if ids is None:
            return None, []
        granted = [key for key in ids if self.is_granted(key, principals)]
        return granted, denials(key for key in ids if key not in granted)

    def _distinct(self, names: list[str] | None, field: str) -> list[str] | None:
        if names is None:
            return None
        distinct = list(dict.fromkeys(names))
        limit = self._most
        if len(distinct) > limit:
            told = {"field": field, "required": False, "limit": limit}
            raise Refusal(ErrorCode.INVALID_REQUEST, f"More than {limit} {field} named", **told)
        return distinct

    def _check_named(self, subscription: Subscription) -> None:
        self._distinct(list(subscription.named), "investigation_ids")

    def change(self, subscription: Subscription) -> None:
        """Follow this from now on."""
        self.subscription = subscription
        self._interest = None

    def _is_mine(self, investigation_id: str) -> bool:
        found = self._investigations.get(investigation_id)
        return found is not None and found.owner == self._sub


def denials(ids: Iterable[str], code: ErrorCode = ErrorCode.NOT_FOUND) -> list[dict[str, Any]]:
    """What `denied` says of these investigations."""
    return [{"investigation_id": key, "code": code} for key in ids]
