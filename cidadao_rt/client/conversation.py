"""One client's conversation, without I/O: a message in, outcomes out. No clock and no randomness of its own.

Source: PROTOCOL 2 "Envelope", 3 "Commands", 7 "Acknowledgment, replay, resume".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..words.errors import ErrorCode
from .following import Following
from .pending import Command, Pending
from .received import Received
from .values import Event

QUIET = frozenset({"typing", "agent_chat_chunk", "agent_chat"})
"""Told to the asker alone, so that they are for the call that waits and not for the stream."""


UNREAD = frozenset({ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RATE_LIMIT_EXCEEDED})
"""Errors that may come without the `correlation_id` of what they answer."""

NOTHING_MORE: Mapping[str, Any] = {"events": [], "investigation_ids": []}
"""A `subscribe` to it changes nothing; with `after` it rewinds."""

ECHO_BYTES = 4096
"""Up to this size the gateway echoes the `correlation_id` of what it refuses for its rate."""


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The connection is open. `resumed`: it continues the session that was asked for."""

    resumed: bool
    recovered: bool
    denied: tuple[str, ...] = ()
    """Ids of investigations that were asked for and are not granted."""
    server_time: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A command of the application has its answer."""

    command: Command
    answer: Event


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer to a chat."""

    command: Command
    text: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """An event for the application's streams."""

    event: Event


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The gateway will close, and asks to come back in so many seconds."""

    retry_in: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The client's own message (an ack, a heartbeat, a renewal, a restored subscription) was refused."""

    type: str
    error: Event


@dataclass(frozen=True, slots=True)
class Pong:
    """The client's own ping is answered: what was written before it has been heard."""


Outcome = Pong | Welcomed | Answered | Piece | Deliver | GoingAway | Refused


class Conversation:
    """`prefix` makes this client's correlation ids its own. Every `now` is in seconds of a clock that does not go back.

    An answer goes to the call that waits for it. What is addressed to the caller alone goes nowhere else; an event of
    an investigation that is also an answer is delivered like any other, because it is the state that all see.
    """

    def __init__(
        self, prefix: str, received: Received, pending: Pending, following: Following, session_id: str | None
    ) -> None:
        self.received = received
        self.pending = pending
        self.following = following
        self.session_id = session_id
        self.recovered: bool | None = None
        self._prefix = prefix
        self._count = 0
        # While the subscriptions of a lost session are not back: the last command that brings them, and the place from
        # which everything is then sent again. Until then what comes is only a part, and left to that.
        self._restoring: Command | None = None
        self._floor: str | None = None
        self._greeting: Event | None = None

    # -- out ------------------------------------------------------------------------------------------------------

    def command(self, type_: str, data: Mapping[str, Any], *, internal: bool = False) -> Command:
        """Keep a command until it is answered. Raises what `Pending.add` raises."""
        return self.pending.add(self._next_id(), type_, data, internal=internal)

    def own(self, type_: str, data: Mapping[str, Any]) -> Command:
        """A message of the client itself, which is not kept."""
        command = self.pending.add(f"{self._prefix}.{type_}", type_, data, internal=True)
        self.pending.withdraw(command.correlation_id)
        return command

    def rejoin(self) -> str | None:
        """The cursor from which another connection is to continue."""
        if self._restoring is not None:
            self.received.cursor = self._floor
        return self.received.cursor

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"

    # -- in -------------------------------------------------------------------------------------------------------

    def receive(self, envelope: Mapping[str, Any], now: float, *, in_stream: bool = True) -> list[Outcome]:
        """One message. One that came beside the stream, as the reply to a POST, moves no cursor forward.

        Raises `ValueError` for what is no envelope.
        """
        event = Event.read(envelope)
        if event.type == "connection_established":
            return self._welcome(event, now)
        if event.id is not None and (in_stream or event.type == "subscribed"):
            # A `subscribed` with an id has set the whole connection back to it.
            self.received.cursor = event.id
        is_event = event.id is not None and event.type not in ("pong", "subscribed")
        if is_event and event.id is not None and not self._is_its_turn(event.id):
            return self._repeated(event)
        own = self._own_type(event.correlation_id)
        if own is not None:
            return self._hear_own(own, event)
        command = self.pending.find(event.correlation_id) or self._culprit(event)
        if command is not None:
            return self._answer(command, event, envelope, is_event, now)
        if self._is_second_answer(event):
            return []
        return [*self._news(event), Deliver(event)]

    @staticmethod
    def _hear_own(type_: str, event: Event) -> list[Outcome]:
        if event.type == "error":
            return [Refused(type_, event)]
        return [Pong()] if event.type == "pong" else []

    def _culprit(self, event: Event) -> Command | None:
        """The command that an error without a `correlation_id` answers: what is refused for its size is not read, nor
        is what is refused for its rate and long. Answers come in order, so it is the oldest of that size."""
        code = event.data.get("code")
        if event.type != "error" or event.correlation_id is not None or code not in UNREAD:
            return None
        details = event.data.get("details") or {}
        limit = details.get("limit", 0) if code == ErrorCode.MESSAGE_TOO_LARGE else ECHO_BYTES
        return next((c for c in self.pending.suspects() if len(c.text.encode()) > limit), None)

    def _is_its_turn(self, id_: str) -> bool:
        return self._restoring is None and self.received.is_new(id_)

    def _repeated(self, event: Event) -> list[Outcome]:
        """A duplicate is an answer still, if the call was made anew; what will be sent again is nothing yet."""
        command = self.pending.find(event.correlation_id)
        if command is None or self._restoring is not None or event.type in ("typing", "agent_chat_chunk"):
            return []
        self.pending.settle(command)
        return [Answered(command, event)]

    def _welcome(self, event: Event, now: float) -> list[Outcome]:
        data = event.data
        resumed = bool(data.get("resumed"))
        recovered = bool(data.get("recovered", True))
        self.session_id = data.get("session_id", self.session_id)
        self.recovered, self._greeting = recovered, event
        floor = self.received.cursor if recovered else event.id
        if event.id is not None:
            self.received.cursor = event.id
        if recovered:
            self.received.resumed()
        else:
            self.received.restarted()
        self.pending.reconnected(now, resumed=resumed)
        if not resumed or self._restoring is not None:
            self._restore(floor, caught_up=recovered)
        denied = tuple(
            found["investigation_id"] for found in data.get("denied") or () if found.get("investigation_id") is not None
        )
        welcomed = Welcomed(resumed, recovered, denied, data.get("server_time"))
        # Who iterates learns here that something may be missing; the snapshots that follow say where things stand.
        return [welcomed] if recovered else [welcomed, Deliver(event)]

    def _restore(self, floor: str | None, *, caught_up: bool) -> None:
        """Subscribe to everything again. What came in the meantime is sent again from `floor`, or else snapshots."""
        wanted = self.following.restoring()
        self._restoring, self._floor = None, floor
        if wanted and floor is not None:
            if caught_up:
                wanted = [
                    (type_, asked | {"after": floor} if type_ == "subscribe" and asked != NOTHING_MORE else asked)
                    for type_, asked in wanted
                ]
            wanted.append(("subscribe", {**NOTHING_MORE, "after": floor}))
        commands = [self.command(type_, asked, internal=True) for type_, asked in wanted]
        self.pending.first(commands)
        if commands and floor is not None:
            self._restoring = commands[-1]

    def _doubt(self) -> list[Outcome]:
        """The welcome had promised more than the restored subscriptions can keep."""
        assert self._greeting is not None
        self.recovered = False
        self.received.restarted()
        told = replace(self._greeting, data={**self._greeting.data, "recovered": False, "replayed": 0})
        return [Welcomed(resumed=False, recovered=False), Deliver(told)]

    def _answer(
        self, command: Command, event: Event, envelope: Mapping[str, Any], is_event: bool, now: float
    ) -> list[Outcome]:
        command.arrived = True
        if command.internal and event.type == "error" and event.data.get("code") == ErrorCode.RATE_LIMIT_EXCEEDED:
            # A subscription to be restored comes again when there is room for it.
            retry = (event.data.get("details") or {}).get("retry_after")
            command.due = now + (retry if isinstance(retry, int | float) else 1.0)
            return []
        if not command.is_answered_by(envelope):
            if event.type == "agent_chat_chunk":
                return [Piece(command, str(event.data.get("content", "")))]
            return [] if event.type in QUIET else [Deliver(event)]
        self.pending.settle(command)
        if event.type == "subscribed":
            self.following.subscribed(event.data)
        elif event.type == "unsubscribed":
            self.following.unsubscribed(event.data)
        elif command.type == "start_investigation" and "investigation_id" in event.data:
            self.following.started(event.data["investigation_id"])
        outcomes: list[Outcome] = []
        is_last, is_error = command is self._restoring, event.type == "error"
        if is_last:
            self._restoring = None
        if command.internal and self.recovered and (event.data.get("recovered") is False or (is_last and is_error)):
            outcomes += self._doubt()
        if not command.internal:
            outcomes.append(Answered(command, event))
        elif event.type == "error":
            outcomes.append(Refused(command.type, event))
        if is_event and event.type not in QUIET:
            outcomes.append(Deliver(event))
        return outcomes

    def _is_second_answer(self, event: Event) -> bool:
        """Whether this was said before: to a command that was sent twice, or of a start over POST and in the stream."""
        type_ = self.pending.answered_type(event.correlation_id)
        if type_ is None:
            return False
        if type_ == "agent_chat":
            return event.type in QUIET or event.type == "error"
        # The snapshots after a `subscribed` have its correlation id, and are news.
        return event.id is None and type_ not in ("subscribe", "subscribe_investigation")

    def _own_type(self, correlation_id: str | None) -> str | None:
        own = f"{self._prefix}."
        return (
            correlation_id.removeprefix(own) if correlation_id is not None and correlation_id.startswith(own) else None
        )

    @staticmethod
    def _news(event: Event) -> list[Outcome]:
        if event.type != "going_away":
            return []
        milliseconds = event.data.get("retry_after_ms")
        is_number = isinstance(milliseconds, int | float) and milliseconds >= 0
        return [GoingAway(milliseconds / 1000 if is_number and milliseconds is not None else None)]
