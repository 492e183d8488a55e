"""One client's conversation, without I/O: a message in, effects out.

A session outlives its connections. It remembers what is followed and how far the client is known to have come, so that
whichever connection carries it next, on whichever transport, continues there.
Source: PROTOCOL 3 "Commands and their answers", 5 "What a connection follows", 7 "Acknowledgment, replay, resume".
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import orjson

from ..words import envelope, messages
from ..words.agents import DEFAULT_TEAM, DEFAULT_VOICE
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.events import INVESTIGATION_UPDATE
from ..words.limits import SlidingWindow
from ..words.subscription import ConnectionType, Interest, Kind
from ..words.tokens import TOKEN_EXPIRED, BadToken, Principal
from . import cursor
from .effects import Acknowledge, Cancel, Chat, Close, Effect, Follow, Pong, Renew, Rewind, Say, Snapshot, Start, error
from .following import Following, denials
from .investigations import Investigations
from .log import Log
from .starts import Starts

ECHO_BYTES = 4096
"""A message refused for its rate is read for its `correlation_id` up to this size; refusing must stay cheap."""


class Rules(msgspec.Struct, frozen=True):
    """The numbers a session holds its client to. `refusals` in `refusal_seconds` close the connection."""

    message_bytes: int = 65_536
    named_investigations: int = 128
    replay_events: int = 10_000
    refusals: int = 100
    refusal_seconds: float = 60.0


class World(msgspec.Struct, frozen=True):
    """What all sessions share. `verify` raises `BadToken`; it is given, because this layer has no clock."""

    log: Log
    investigations: Investigations
    verify: Callable[[str], Principal]
    rules: Rules = Rules()


class Verdict(msgspec.Struct, frozen=True):
    """Where to continue, whether nothing that matched is missing, and how many events are owed from there."""

    offset: int
    recovered: bool
    replayed: int


class Turn(msgspec.Struct, frozen=True):
    """What one message came to: its type ("other" if unknown or unreadable) and the effects, in order."""

    type: str
    effects: list[Effect]
    correlation_id: str | None = None


class Session:
    """One conversation. Every `now` is in seconds of one clock that does not go back."""

    __slots__ = (
        "_asker", "_refused", "_resume_from", "_sent", "_starts", "_window", "_world", "detached_at", "following",
        "id", "kind", "principal", "voice",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        kind: Kind,
        principal: Principal,
        world: World,
        window: SlidingWindow,
        starts: Starts,
    ) -> None:
        self.id = session_id
        self.kind = kind
        self.principal = self._asker = principal
        self.voice = DEFAULT_VOICE if kind.type is ConnectionType.CHAT else None
        self.detached_at: float | None = None
        self._world = world
        self._window = window
        self._starts = starts
        # Most are never refused anything.
        self._refused: SlidingWindow | None = None
        rules = world.rules
        self.following = Following(session_id, principal.sub, kind, world.investigations, rules.named_investigations)
        # Offsets: the furthest that was sent, and from where to continue if the client does not say.
        self._sent = self._resume_from = world.log.head

    @property
    def sub(self) -> str:
        """The user."""
        return self.principal.sub

    @property
    def interest(self) -> Interest:
        """What is followed, resolved to topics."""
        return self.following.interest

    # -- connecting -----------------------------------------------------------------------------------------------

    def begin(self, last_event_id: str | None) -> Verdict:
        """The verdict for the first connection: fresh, or continuing where another session's cursor was."""
        if last_event_id is None:
            return Verdict(self._world.log.head, True, 0)
        verdict = self._continue(self._verdict(last_event_id))
        self._resume_from = verdict.offset
        return verdict

    def resume(self, principal: Principal, last_event_id: str | None) -> tuple[Verdict, list[str]]:
        """Take the session up again. Returns the verdict and the named investigations no longer granted."""
        lost = self._renew(principal)
        self.detached_at = None
        # It is a connection that is closed for its refusals, and this is a new one.
        self._refused = None
        start = str(self._world.log.cursor(self._resume_from)) if last_event_id is None else last_event_id
        return self._continue(self._verdict(start)), lost

    def use_up(self, now: float) -> None:
        """Count as many messages of the user as are allowed: the next is refused."""
        self._window.use_up(now)

    @property
    def reached(self) -> int:
        """The offset that the client is known to have come to, by its own word or because it began there."""
        return self._resume_from

    def sent(self, position: int) -> None:
        """All that is followed up to `position` has been written."""
        self._sent = max(self._sent, position)

    def snapshots(self, *, finished: bool) -> list[Say]:
        """Snapshots of what is followed: the unfinished investigations, or with `finished` all, unfinished first."""
        return self.tell(self.following.states(finished=finished), None)

    def tell(self, ids: Iterable[str], correlation_id: str | None) -> list[Say]:
        """A snapshot of the present state of each of these investigations that is still known."""
        found = (self._world.investigations.get(key) for key in ids)
        return [Say(INVESTIGATION_UPDATE, inv.snapshot(), correlation_id) for inv in found if inv is not None]

    def _verdict(self, last_event_id: str) -> Verdict:
        log = self._world.log
        start = cursor.parse(last_event_id)
        if start is None or start.epoch != log.epoch or start.offset > log.head:
            return Verdict(log.head, False, 0)
        if log.lost(start.offset, self.interest):
            return Verdict(log.head, False, 0)
        most = self._world.rules.replay_events
        owed = log.owed(start.offset, self.interest, most)
        if owed > most:
            return Verdict(log.head, False, 0)
        return Verdict(start.offset if owed else log.head, True, owed)

    def _continue(self, verdict: Verdict) -> Verdict:
        # A verdict settles nothing by itself: the client may never see it, and then the same is owed, or lost, still.
        self.sent(verdict.offset)
        return verdict

    def _renew(self, principal: Principal) -> list[str]:
        """Check the grants again under a new token; returns the investigations that are followed no longer."""
        self.principal = self._asker = principal
        return self.following.check(principal)

    # -- conversing -----------------------------------------------------------------------------------------------

    def receive(
        self, frame: bytes, position: int, now: float, *, binary: bool = False, asker: Principal | None = None
    ) -> Turn:
        """One message of the client, while its connection has been written up to `position`. Raises nothing.

        `asker` is whom its token speaks for, where the message came with a token of its own: the same user, though
        maybe with other roles and grants than the connection's token has.
        """
        self._asker = asker if asker is not None else self.principal
        self.sent(position)
        retry_after = self._window.admit(now)
        if retry_after is not None:
            return Turn("other", self._too_many(frame, retry_after, now))
        correlation_id = None
        type_ = "other"
        try:
            if len(frame) > self._world.rules.message_bytes:
                limit = self._world.rules.message_bytes
                raise Refusal(ErrorCode.MESSAGE_TOO_LARGE, f"Message is larger than {limit} bytes", limit=limit)
            if binary:
                raise Refusal(ErrorCode.INVALID_REQUEST, "Binary frames are not supported; send JSON as text")
            message = envelope.decode(frame)
            correlation_id = message.correlation_id
            if message.type in messages.CLIENT_TYPES:
                type_ = message.type
            return Turn(type_, self._obey(messages.command(message), correlation_id, now), correlation_id)
        except Refusal as refusal:
            return Turn(type_, [error(refusal, correlation_id)], correlation_id)

    def _too_many(self, frame: bytes, retry_after: float, now: float) -> list[Effect]:
        correlation_id = None
        if len(frame) <= ECHO_BYTES:
            try:
                correlation_id = envelope.decode(frame).correlation_id
            except Refusal as refusal:
                correlation_id = refusal.correlation_id
        limit = self._window.limit
        too_many = Refusal(
            ErrorCode.RATE_LIMIT_EXCEEDED,
            f"More than {limit} messages in {self._window.period:g} seconds",
            limit=limit,
            # Rounded up: who waits exactly so long must not be refused again.
            retry_after=math.ceil(retry_after * 1000) / 1000,
        )
        effects: list[Effect] = [error(too_many, correlation_id)]
        if self._refused is None:
            self._refused = SlidingWindow(self._world.rules.refusals, self._world.rules.refusal_seconds)
        self._refused.admit(now)
        if self._refused.is_full(now):
            effects.append(Close(CloseCode.POLICY_VIOLATION, "Too many refused messages"))
        return effects

    def _obey(self, command: messages.Command, correlation_id: str | None, now: float) -> list[Effect]:  # noqa: PLR0911
        match command:
            case messages.Ping():
                return [Pong(correlation_id)]
            case messages.Ack():
                return self._ack(command)
            case messages.Subscribe():
                return self._subscribe(command, correlation_id)
            case messages.Unsubscribe():
                return self._unsubscribe(command, correlation_id)
            case messages.StartInvestigation():
                return self._start(command, correlation_id, now)
            case messages.CancelInvestigation():
                return self._cancel(command, correlation_id)
            case messages.AgentChat():
                return self._chat(command, correlation_id)
            case _:
                return self._authenticate(command, correlation_id)

    def _ack(self, command: messages.Ack) -> list[Effect]:
        acked = cursor.parse(command.id)
        if acked is None or acked.epoch != self._world.log.epoch or acked.offset > self._sent:
            raise Refusal.field("id", "Invalid field: id is not a cursor that this session was sent", required=True)
        self._resume_from = max(self._resume_from, acked.offset)
        return [Acknowledge(acked.offset)]

    def _start(self, command: messages.StartInvestigation, correlation_id: str | None, now: float) -> list[Effect]:
        filters, agents = command.filters or {}, command.agents or []
        # Whoever names the default team asks for the same as whoever names nobody.
        asked = orjson.dumps([command.query, filters, agents or DEFAULT_TEAM], option=orjson.OPT_SORT_KEYS)
        digest = hashlib.blake2b(asked, digest_size=16).digest()
        if correlation_id is not None:
            earlier = self._starts.find(correlation_id, now)
            known = self._world.investigations.get(earlier.investigation_id) if earlier is not None else None
            if earlier is not None and known is not None:
                if earlier.digest != digest:
                    raise Refusal.field(
                        "correlation_id", "Invalid field: correlation_id was used to start another investigation"
                    )
                return [Snapshot([known.id], correlation_id)]
        return [Start(command.query, filters, agents, digest, correlation_id)]

    def _cancel(self, command: messages.CancelInvestigation, correlation_id: str | None) -> list[Effect]:
        found = self._world.investigations.seen_by(self._asker, command.investigation_id)
        if not self._asker.may_change(found.owner):
            raise Refusal(ErrorCode.FORBIDDEN, "Only its owner may cancel an investigation")
        if found.finished_at is not None:
            return [Snapshot([found.id], correlation_id)]
        return [Cancel(found.id, correlation_id)]

    def _chat(self, command: messages.AgentChat, correlation_id: str | None) -> list[Effect]:
        name = command.agent if command.agent is not None else self.voice
        if name is None:
            raise Refusal.field("agent", "Missing required field: agent", required=True)
        agent = messages.agent(name)
        about = command.context.investigation_id if command.context is not None else None
        if about is not None:
            self._world.investigations.seen_by(self._asker, about)
        return [Chat(agent, command.message, about, correlation_id)]

    def _authenticate(self, command: messages.Authenticate, correlation_id: str | None) -> list[Effect]:
        try:
            principal = self._world.verify(command.token)
        except BadToken as bad:
            code = ErrorCode.TOKEN_EXPIRED if bad.reason == TOKEN_EXPIRED else ErrorCode.AUTHENTICATION_REQUIRED
            raise Refusal(code, bad.reason) from None
        if principal.sub != self.sub:
            raise Refusal(ErrorCode.FORBIDDEN, "Token belongs to another user")
        lost = self._renew(principal)
        bound = self.kind.investigation_id
        # Asked of the grant and not of what is followed: an `unsubscribe` may have emptied that before.
        if bound is not None and not self.following.is_granted(bound, (principal,)):
            gone = Refusal(ErrorCode.NOT_FOUND, "Investigation not found")
            return [error(gone, correlation_id), Close(CloseCode.POLICY_VIOLATION, "Investigation not found")]
        data = {"expires_at": envelope.timestamp(principal.expires_at), "denied": denials(lost)}
        return [Renew(principal), Follow(self.interest), Say("authenticated", data, correlation_id)]

    # -- following ------------------------------------------------------------------------------------------------

    def cover(self, investigation_id: str) -> Follow | None:
        """See `Following.cover`."""
        return Follow(self.interest) if self.following.cover(investigation_id) else None

    def select(
        self, events: list[str] | None, investigation_ids: list[str] | None
    ) -> tuple[list[str] | None, list[str] | None, list[dict[str, Any]]]:
        """See `Following.select`."""
        # What is followed is sent on the connection, to which the asker's token gives no more than its own does.
        return self.following.select(events, investigation_ids, (self.principal, self._asker))

    def _subscribe(self, command: messages.Subscribe, correlation_id: str | None) -> list[Effect]:
        events, ids, denied = self.select(command.events, command.investigation_ids)
        data: dict[str, Any] = {"events": events, "investigation_ids": ids, "denied": denied}
        effects: list[Effect] = [Follow(self.interest)]
        snapshot = Snapshot(self.following.states(finished=False) if ids is None else ids, correlation_id)
        if command.after is None:
            return [*effects, Say("subscribed", data, correlation_id), snapshot]
        verdict = self._verdict(command.after)
        self._continue(verdict)
        if verdict.recovered:
            self._resume_from = verdict.offset
        id_ = str(self._world.log.cursor(verdict.offset))
        data |= {"id": id_, "recovered": verdict.recovered, "replayed": verdict.replayed}
        effects.append(Say("subscribed", data, correlation_id, verdict.offset))
        if not verdict.recovered:
            return [*effects, snapshot]
        return [*effects, Rewind(verdict.offset)]

    def _unsubscribe(self, command: messages.Unsubscribe, correlation_id: str | None) -> list[Effect]:
        events, ids = self.following.deselect(command.events, command.investigation_ids)
        data = {"events": events, "investigation_ids": ids}
        return [Follow(self.interest), Say("unsubscribed", data, correlation_id)]
