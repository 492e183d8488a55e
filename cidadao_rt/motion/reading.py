"""The read side: what there is, told from the log, the investigations and the hub. It keeps no state of its own.

What a caller may not see is as unknown as what does not exist.
"""

import asyncio
from collections.abc import Callable, Iterable
from heapq import merge
from itertools import islice
from typing import Any

from ..memory import cursor
from ..memory.investigations import Investigation, Investigations
from ..memory.log import Log
from ..memory.users import Users
from ..words import envelope, topics
from ..words.errors import ErrorCode, Refusal
from ..words.events import Status
from ..words.limits import Windows
from ..words.subscription import Interest
from ..words.tokens import ADMIN, SEES_ALL, Principal
from ..words.topics import Topic
from ..words.typesets import EVERYTHING, NOTHING, only
from .connection import Connection
from .hub import Hub

READS_PER_SECOND = 100
"""Of one user; more are answered `RATE_LIMIT_EXCEEDED`."""

PAGE_BYTES = 262_144
"""Bytes of bodies in one page of history, unless a single event is longer."""

OWED = 1000
"""Events owed to one connection are counted up to here."""

LISTED = 1000
"""Users of a presence, and sessions of a receipt, that are listed by name; all are counted."""


class Reading:
    """Answers to those who ask. `clock` is the loop's, in seconds; `wall` is seconds since 1970.

    All raise `Refusal`: `FORBIDDEN` without the role, `NOT_FOUND`, `INVALID_REQUEST` for a cursor that is none.
    """

    def __init__(
        self,
        log: Log,
        investigations: Investigations,
        hub: Hub,
        users: Users,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._log = log
        self._investigations = investigations
        self._hub = hub
        self._users = users
        self._clock = clock
        self._wall = wall
        self._windows = Windows(1.0)

    def admit(self, principal: Principal) -> None:
        """Count one request of this user. Raises `RATE_LIMIT_EXCEEDED`."""
        retry_after = self._windows.admit(principal.sub, READS_PER_SECOND, self._clock())
        if retry_after is not None:
            raise Refusal(
                ErrorCode.RATE_LIMIT_EXCEEDED,
                f"More than {READS_PER_SECOND} requests in a second",
                limit=READS_PER_SECOND,
                retry_after=round(retry_after, 3),
            )

    # -- investigations -------------------------------------------------------------------------------------------

    def investigations(
        self,
        principal: Principal,
        limit: int,
        *,
        owner: str | None = None,
        statuses: list[str] | None = None,
        shared: bool = False,
        before: str | None = None,
    ) -> dict[str, Any]:
        """A page of investigations, the newest first: one owner's, and with `shared` those granted to the caller.

        Another's take the role `admin` or `service`. `next` is the `before` of the next page, None after the last.
        """
        owner = principal.sub if owner is None else owner
        if owner != principal.sub:
            require(principal, SEES_ALL)
        for status in statuses or ():
            if status not in list(Status):
                raise Refusal.field("status", f"Invalid field: status must be among {', '.join(Status)}")
        found: Iterable[Investigation] = self._investigations.of(owner)
        if shared:
            found = merge(found, self._granted(principal, owner), key=lambda one: -one.number)
        last = self._number(before)
        wanted = (
            one for one in found if (last is None or one.number < last) and (statuses is None or one.status in statuses)
        )
        page = list(islice(wanted, limit + 1))
        return {
            "investigations": [self._told(one) for one in page[:limit]],
            "next": str(self._log.cursor(page[limit - 1].number)) if len(page) > limit else None,
        }

    def investigation(self, principal: Principal, investigation_id: str) -> dict[str, Any]:
        """One investigation and its findings."""
        found = self._investigations.seen_by(principal, investigation_id)
        return {**self._told(found), "findings": found.findings}

    def _granted(self, principal: Principal, owner: str) -> list[Investigation]:
        found = (self._investigations.get(key) for key in principal.investigations)
        granted = [one for one in found if one is not None and one.owner != owner]
        return sorted(granted, key=lambda one: -one.number)

    @staticmethod
    def _told(found: Investigation) -> dict[str, Any]:
        return {
            **found.snapshot(),
            "owner": found.owner,
            "started_at": envelope.timestamp(found.started_at),
            "updated_at": envelope.timestamp(found.updated_at),
            "finished_at": None if found.finished_at is None else envelope.timestamp(found.finished_at),
        }

    def _number(self, before: str | None) -> int | None:
        """Where the next page begins."""
        if before is None:
            return None
        start = cursor.parse(before)
        if start is None or start.epoch != self._log.epoch:
            raise Refusal.field("before", "Invalid field: before is not the next of a page")
        return start.offset

    # -- history --------------------------------------------------------------------------------------------------

    async def history(
        self, principal: Principal, topic: str, limit: int, *, after: str | None = None, types: list[str] | None = None
    ) -> bytes:
        """A page of a topic's events as JSON: `events`, the `cursor` to go on after, and `recovered`.

        Without `after` from the oldest that is kept. `recovered` is false if something that would have matched was
        trimmed after `after`, or if `after` is of another epoch or past the head; then what is kept is told from its
        beginning.
        """
        interest = Interest(
            "", NOTHING, frozenset(), {self._seen(principal, topic): EVERYTHING if types is None else only(*types)}
        )
        start = cursor.parse(after if after is not None else str(self._log.cursor(0)))
        if start is None:
            raise Refusal.field("after", "Invalid field: after is not a cursor")
        is_ours = start.epoch == self._log.epoch and start.offset <= self._log.head
        offset = start.offset if is_ours else 0
        page = self._log.since(offset, interest, limit, PAGE_BYTES)
        while not page.events and page.position < self._log.head:
            # A filter that matches little: others get their turn between two stretches.
            await asyncio.sleep(0)
            page = self._log.since(page.position, interest, limit, PAGE_BYTES)
        recovered = is_ours and not self._log.lost(offset, interest)
        return b'{"events":[%b],"cursor":"%b","recovered":%b}' % (
            b",".join([event.body for event in page.events]),
            str(self._log.cursor(page.position)).encode(),
            b"true" if recovered else b"false",
        )

    def _seen(self, principal: Principal, text: str) -> Topic:
        """The topic, if the caller may see its events."""
        topic = Topic(text)
        kind, _, name = text.partition(":")
        match kind:
            case "investigation":
                self._investigations.seen_by(principal, name)
                return topic
            case "user" if name and (name == principal.sub or ADMIN in principal.roles):
                return topic
            case "session" if self._users.session(principal.sub, name, self._clock()) is not None:
                return topic
        if topic != topics.EVERYONE:
            raise Refusal(ErrorCode.NOT_FOUND, "Topic not found")
        return topic

    # -- connections ----------------------------------------------------------------------------------------------

    async def connections(
        self, principal: Principal, limit: int, *, user_id: str | None = None, before: str | None = None
    ) -> dict[str, Any]:
        """A page of the open connections, the newest first. For administrators."""
        require(principal, {ADMIN})
        last = self._number(before)
        every = list(self._hub) if user_id is None else self._hub.connections_of(user_id)
        page = list(islice((one for one in reversed(every) if last is None or one.number < last), limit + 1))
        told = []
        for connection in page[:limit]:
            if connection.closing:
                continue
            told.append(self._describe(connection))
            if not connection.live:
                # What it is owed had to be counted: others get their turn.
                await asyncio.sleep(0)
        next_ = str(self._log.cursor(page[limit - 1].number)) if len(page) > limit else None
        return {"connections": told, "next": next_}

    def _describe(self, connection: Connection) -> dict[str, Any]:
        session, now, wall = connection.session, self._clock(), self._wall()
        position = self._hub.position(connection)
        owed = 0 if connection.live else self._log.owed(position, connection.interest, OWED)
        return {
            "id": connection.id,
            "session_id": session.id,
            "user_id": session.sub,
            "transport": connection.outlet.encoding.transport,
            "connection_type": session.kind.type,
            "address": connection.address,
            "connected_at": envelope.timestamp(wall - (now - connection.opened_at)),
            "expires_at": envelope.timestamp(session.principal.expires_at),
            "idle_seconds": round(now - connection.message_at, 3),
            "behind": not connection.live,
            "lag": self._log.head - position,
            "owed": min(owed, OWED),
            "buffered_bytes": connection.outlet.buffered() + connection.answer_bytes,
        }

    def presence(self, principal: Principal, text: str) -> dict[str, Any]:
        """Who follows a topic now, by name or by following all of one's own. For administrators."""
        require(principal, {ADMIN})
        if not topics.is_topic(text):
            raise Refusal(ErrorCode.NOT_FOUND, "Topic not found")
        topic = Topic(text)
        found = self._investigations.get(topics.investigation_id(topic) or "")
        owner = found.owner if found is not None else ""
        users: dict[str, int] = {}
        connections = 0
        for connection in self._hub:
            if connection.interest.follows(topic, owner):
                connections += 1
                users[connection.session.sub] = users.get(connection.session.sub, 0) + 1
        return {
            "connections": connections,
            "users": dict(islice(users.items(), LISTED)),
            "truncated": len(users) > LISTED,
        }

    # -- receipts -------------------------------------------------------------------------------------------------

    def receipt(self, principal: Principal, id_: str) -> dict[str, Any]:
        """How far an event got, for who published it with `receipt`, and for administrators."""
        require(principal, SEES_ALL)
        event = cursor.parse(id_)
        is_ours = event is not None and event.epoch == self._log.epoch
        found = self._hub.receipts.find(event.offset) if event is not None and is_ours else None
        if found is None or not (found.publisher == principal.sub or ADMIN in principal.roles):
            raise Refusal(ErrorCode.NOT_FOUND, "Receipt not found")
        delivered, acknowledged = found.delivered, found.acknowledged
        return {
            "id": id_,
            "delivered": {"connections": len(delivered), "users": len(set(delivered.values()))},
            "acknowledged": {
                "count": len(acknowledged),
                "sessions": [
                    {"session_id": key, "user_id": delivered[key], "at": envelope.timestamp(at)}
                    for key, at in islice(acknowledged.items(), LISTED)
                ],
                "truncated": len(acknowledged) > LISTED,
            },
        }


def require(principal: Principal, roles: Iterable[str]) -> None:
    """Raise `FORBIDDEN` unless the caller has one of these roles."""
    if principal.roles.isdisjoint(roles):
        raise Refusal(ErrorCode.FORBIDDEN, f"This needs the role {' or '.join(sorted(roles))}")
