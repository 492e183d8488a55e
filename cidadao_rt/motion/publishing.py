"""Publishing by others: requests checked as a whole, appended as a whole, and not twice.

Source: PROTOCOL 8 "Publish".
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from ..memory.investigations import Investigations
from ..memory.log import Draft
from ..words import messages, topics
from ..words.errors import ErrorCode, Refusal
from ..words.limits import Windows
from ..words.payloads import EVENT_BYTES, PAYLOADS, Publication, To, check_type
from ..words.tokens import SEES_ALL, Principal
from ..words.topics import Topic
from .broker import Broker

EVENTS_PER_REQUEST = 1000
REQUEST_BYTES = 1 << 20
EVENTS_PER_SECOND = 1000
"""Of one publisher, over all its requests."""

KEY_SECONDS = 300.0
KEYS = 10_000
"""Idempotency keys remembered in all; beyond it the oldest is forgotten, and its repetition would publish again."""

KEY_IDS = 1_000_000
"""Cursors remembered with the keys, of which one request may have a thousand; beyond it, too, the oldest key goes."""

KEY_LENGTH = 255

_GROWTH = 6
"""JSON written anew is not longer than this many times what was read: a number such as `1e15` grows most."""


class _Done(msgspec.Struct, frozen=True):
    at: float
    digest: bytes
    ids: list[str]


class Publishing:
    """The publish API without HTTP. `clock` is in seconds and does not go back."""

    def __init__(
        self,
        broker: Broker,
        investigations: Investigations,
        cursor: Callable[[int], str],
        clock: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._investigations = investigations
        self._cursor = cursor
        self._clock = clock
        self._done: dict[tuple[str, str], _Done] = {}
        self._ids = 0
        self._windows = Windows(1.0)

    async def publish(self, principal: Principal, body: bytes, key: str | None = None) -> list[str]:
        """Publish one event or a list, all or nothing; returns their cursors.

        With a `key` used before within `KEY_SECONDS` nothing is published again: the answer is the same.
        Raises `Refusal`: `FORBIDDEN`, `INVALID_JSON`, `INVALID_REQUEST`, `MESSAGE_TOO_LARGE`, `CONFLICT`,
        `RATE_LIMIT_EXCEEDED`.
        """
        if not principal.roles & SEES_ALL:
            raise Refusal(ErrorCode.FORBIDDEN, "Publishing needs the role service or admin")
        if len(body) > REQUEST_BYTES:
            raise Refusal(ErrorCode.MESSAGE_TOO_LARGE, "Request is too large", limit=REQUEST_BYTES)
        if key is not None and not 1 <= len(key) <= KEY_LENGTH:
            raise Refusal.field("Idempotency-Key", f"Idempotency-Key must have 1 to {KEY_LENGTH} characters")
        now = self._clock()
        digest = hashlib.blake2b(body, digest_size=16).digest()
        done = self._done.get((principal.sub, key)) if key is not None else None
        if done is not None and now - done.at < KEY_SECONDS:
            if done.digest != digest:
                raise Refusal(ErrorCode.CONFLICT, "Idempotency-Key was used for another request")
            return done.ids
        drafts = self._drafts(body, principal.sub)
        self._check_rate(principal.sub, len(drafts), now)
        published = await self._broker.publish_all(drafts)
        ids = [self._cursor(event.offset) for event in published]
        if key is not None:
            self._remember((principal.sub, key), _Done(now, digest, ids))
        return ids

    def _drafts(self, body: bytes, publisher: str) -> list[Draft]:
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise Refusal(ErrorCode.INVALID_JSON, "Body is not valid JSON") from None
        asked = asked if isinstance(asked, list) else [asked]
        if not 1 <= len(asked) <= EVENTS_PER_REQUEST:
            limit = EVENTS_PER_REQUEST
            raise Refusal(ErrorCode.INVALID_REQUEST, f"A request has 1 to {limit} events", limit=limit)
        owners: dict[str, str] = {}
        drafts: list[Draft] = []
        may_be_too_large = len(body) * _GROWTH > EVENT_BYTES
        for index, one in enumerate(asked):
            try:
                drafts.append(self._draft(one, owners, publisher, may_be_too_large))
            except Refusal as refusal:
                raise Refusal(refusal.code, refusal.message, **refusal.details, index=index) from None
        return drafts

    def _draft(self, asked: Any, owners: dict[str, str], publisher: str, may_be_too_large: bool) -> Draft:
        """One event; `owners` remembers those of investigations that begin in this very request."""
        publication = messages.convert(asked, Publication)
        check_type(publication.type, of_investigation=publication.to.investigation_id is not None)
        payload = PAYLOADS.get(publication.type)
        if payload is not None:
            messages.convert(publication.data, payload)
        messages.check_depth(publication.data, "data")
        data = publication.data
        topic, owner = self._address(publication.to, owners)
        investigation_id = publication.to.investigation_id
        if investigation_id is not None:
            # Ours wins, whatever the data says: nobody may publish in the name of another investigation.
            data = {**data, "investigation_id": investigation_id}
        if may_be_too_large and len(orjson.dumps(data)) > EVENT_BYTES:
            raise Refusal(ErrorCode.MESSAGE_TOO_LARGE, f"Event is larger than {EVENT_BYTES} bytes", limit=EVENT_BYTES)
        receipt_for = publisher if publication.receipt else None
        return Draft(topic, owner, publication.type, data, publication.correlation_id, receipt_for)

    def _address(self, to: To, owners: dict[str, str]) -> tuple[Topic, str]:
        named = (to.investigation_id is not None, to.user_id is not None, to.everyone)
        if sum(named) != 1:
            raise Refusal.field("to", "Invalid field: to must name exactly one addressee", required=True)
        if to.user_id is not None:
            return topics.user(to.user_id), to.user_id
        if to.investigation_id is None:
            return topics.EVERYONE, ""
        found = self._investigations.get(to.investigation_id)
        owner = to.owner or (found.owner if found is not None else owners.get(to.investigation_id))
        if owner is None:
            raise Refusal.field("to.owner", "Missing required field: to.owner", required=True)
        owners.setdefault(to.investigation_id, owner)
        return topics.investigation(to.investigation_id), owner

    def _check_rate(self, sub: str, count: int, now: float) -> None:
        retry_after = self._windows.admit(sub, EVENTS_PER_SECOND, now, count)
        if retry_after is not None:
            raise Refusal(
                ErrorCode.RATE_LIMIT_EXCEEDED,
                f"More than {EVENTS_PER_SECOND} events in a second",
                limit=EVENTS_PER_SECOND,
                # Rounded up: who waits exactly so long must not be refused again.
                retry_after=math.ceil(retry_after * 1000) / 1000,
            )

    def _remember(self, key: tuple[str, str], done: _Done) -> None:
        # One whose time was over may be used anew; it goes to the end, for the dictionary is in order of age.
        self._forget(key)
        self._done[key] = done
        self._ids += len(done.ids)
        while len(self._done) > 1:
            oldest = next(iter(self._done))
            is_recent = done.at - self._done[oldest].at < KEY_SECONDS
            if is_recent and len(self._done) <= KEYS and self._ids <= KEY_IDS:
                break
            self._forget(oldest)

    def _forget(self, key: tuple[str, str]) -> None:
        done = self._done.pop(key, None)
        if done is not None:
            self._ids -= len(done.ids)
