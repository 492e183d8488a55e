"""The exchange: carries out what a session asks for, and answers on whatever line the message came in."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import msgspec

from ..memory.effects import (
    Acknowledge,
    Cancel,
    Chat,
    Close,
    Effect,
    Follow,
    Pong,
    Renew,
    Rewind,
    Say,
    Snapshot,
    Start,
    error,
)
from ..memory.investigations import Investigations
from ..memory.session import Session, Turn
from ..memory.users import Users
from ..words import events
from ..words.config import Limits
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.events import Status
from ..words.tokens import Principal
from .agents.chats import Chats
from .agents.runs import Runs, new_investigation_id
from .connection import Connection
from .hub import Hub


class Line(Protocol):
    """The way back to whoever sent a message. What is said on a line whose other end has left goes nowhere."""

    @property
    def connection(self) -> Connection | None:
        """The connection that follows events for this session, if there is one."""

    @property
    def carries_events(self) -> bool:
        """Whether events reach the asker on this same line, so that one can be the answer."""

    @property
    def is_last_chance(self) -> bool:
        """Whether nobody will ever listen on the session, so that everything must be said here."""

    def say(self, messages: Iterable[Say | Pong]) -> None:
        """Send direct answers, in order."""

    def whisper(self, message: Say) -> None:
        """Send what a connection that is behind goes without."""

    async def at_head(self) -> None:
        """Wait until all that is older than now has been sent on this line."""


class Surroundings(msgspec.Struct, frozen=True):
    """What effects act upon. `is_draining` tells whether new work is refused.

    `clock` is the loop's, in seconds; `wall` is seconds since 1970.
    """

    hub: Hub
    users: Users
    investigations: Investigations
    runs: Runs
    chats: Chats
    limits: Limits
    is_draining: Callable[[], bool]
    prolong: Callable[[Connection, Principal], None]
    clock: Callable[[], float]
    wall: Callable[[], float]


_MAY_WAIT = (Snapshot, Follow, Start, Cancel)


class _Work:
    """A turn under way: the effects that are left, and what is said but not sent."""

    __slots__ = ("_turn", "chats", "done", "effects", "line", "said", "session")

    def __init__(self, session: Session, turn: Turn, line: Line, done: Callable[[], None]) -> None:
        self._turn = turn
        self.session = session
        self.effects = iter(turn.effects)
        self.line = line
        self.done = done
        self.said: list[Say | Pong] = []
        # Whether a chat goes on, which will call `done` by itself.
        self.chats = False

    @property
    def rewinds(self) -> bool:
        """Whether all is sent again anyway, so that nothing is owed from before."""
        return any(isinstance(effect, Rewind) for effect in self._turn.effects)

    def tell(self) -> None:
        """Send what is said so far."""
        if self.said:
            said, self.said = self.said, []
            self.line.say(said)


class Exchange:
    """Turns of all sessions are carried out here, each in the order of its effects."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._all = surroundings

    def carry_out(
        self, session: Session, turn: Turn, line: Line, done: Callable[[], None]
    ) -> Coroutine[Any, Any, None] | None:
        """Carry out one turn. `done` is called when its last direct answer has been given: a chat ends later.

        Returns what is left where something has to be waited for, to be awaited before the session's next turn.
        """
        if len(turn.effects) == 1 and isinstance(turn.effects[0], Pong):
            # What clients send most, and there is nothing to keep of it.
            line.say([turn.effects[0]])
            done()
            return None
        work = _Work(session, turn, line, done)
        effect = self._run(work)
        return None if effect is None else self._rest(work, effect)

    def _run(self, work: "_Work") -> Effect | None:
        """Carry out effects up to one that has to be waited for, which is returned; None at the end of the turn."""
        for effect in work.effects:
            if isinstance(effect, Say | Pong):
                work.said.append(effect)
                continue
            work.tell()
            if isinstance(effect, _MAY_WAIT):
                return effect
            try:
                self._act(work, effect)
            except Refusal as refusal:
                work.said.append(error(refusal, getattr(effect, "correlation_id", None)))
        work.tell()
        if not work.chats:
            work.done()
        return None

    async def _rest(self, work: "_Work", effect: Effect | None) -> None:
        while effect is not None:
            try:
                await self._wait(work, effect)
            except Refusal as refusal:
                work.said.append(error(refusal, getattr(effect, "correlation_id", None)))
            effect = self._run(work)

    async def _wait(self, work: "_Work", effect: Effect) -> None:
        """Carry out one effect of those that may wait. Raises `Refusal`."""
        session, line = work.session, work.line
        match effect:
            case Snapshot():
                await line.at_head()
                work.said.extend(session.tell(effect.investigation_ids, effect.correlation_id))
            case Follow():
                # What was owed before a change must have gone out before it.
                if not work.rewinds:
                    await line.at_head()
                if line.connection is not None:
                    self._all.hub.follow(line.connection, effect.interest)
            case Start():
                await self._start(session, effect, line)
            case Cancel():
                await self._cancel(session, effect, line)

    def _act(self, work: "_Work", effect: Effect) -> None:
        """Carry out one effect that waits for nothing. Raises `Refusal`."""
        session, connection = work.session, work.line.connection
        match effect:
            case Chat():
                self._chat(session, effect, work.line, work.done)
                work.chats = True
            case Acknowledge():
                self._all.hub.receipts.acknowledge(session.id, effect.offset, self._all.wall())
            case Rewind() if connection is not None:
                self._all.hub.rewind(connection, effect.offset)
            case Renew() if connection is not None:
                self._all.prolong(connection, effect.principal)
            case Close() if connection is not None:
                self._all.hub.close(connection, CloseCode(effect.code), effect.reason)

    async def _start(self, session: Session, start: Start, line: Line) -> None:
        self._refuse_while_draining()
        usual = self._all.runs.team(start.filters)
        limit = self._all.limits.investigations_per_user
        if len(self._all.investigations.running_of(session.sub)) >= limit:
            raise Refusal(ErrorCode.OVERLOADED, f"More than {limit} running investigations", limit=limit)
        id_ = new_investigation_id()
        if start.correlation_id is not None:
            starts = self._all.users.get(session.sub).starts
            starts.remember(start.correlation_id, start.digest, id_, self._all.clock())
        covered = session.cover(id_)
        if covered is not None and line.connection is not None:
            self._all.hub.follow(line.connection, covered.interest)
        await self._all.runs.start(
            id_, session.sub, start.query, start.filters, start.agents or usual, start.correlation_id
        )
        self._answer_apart(session, line, id_, start.correlation_id)

    async def _cancel(self, session: Session, cancel: Cancel, line: Line) -> None:
        found = self._all.investigations.get(cancel.investigation_id)
        if found is not None:
            await self._all.runs.end(found, Status.CANCELLED, "Investigação cancelada.", cancel.correlation_id)
            self._answer_apart(session, line, found.id, cancel.correlation_id)

    def _answer_apart(self, session: Session, line: Line, investigation_id: str, correlation_id: str | None) -> None:
        """Answer with a snapshot where the event that is the answer does not reach the asker as such."""
        found = self._all.investigations.get(investigation_id)
        if found is None:
            return
        followed = session.following.subscription.of(investigation_id, found.owner == session.sub)
        if not line.carries_events or events.INVESTIGATION_UPDATE not in followed:
            line.say(session.tell([investigation_id], correlation_id))

    def _chat(self, session: Session, chat: Chat, line: Line, done: Callable[[], None]) -> None:
        self._refuse_while_draining()
        user = self._all.users.get(session.sub)
        limit = self._all.limits.chats_per_user
        if user.chats >= limit:
            raise Refusal(ErrorCode.OVERLOADED, f"More than {limit} chats at once", limit=limit)
        user.chats += 1

        def ended() -> None:
            user.chats -= 1
            done()

        self._all.chats.start(session, chat, line, ended)

    def _refuse_while_draining(self) -> None:
        if self._all.is_draining():
            raise Refusal(ErrorCode.OVERLOADED, "The server is going away")


class ReplyLine:
    """The line of a command over HTTP: answers are collected, and events go to the session's connection, if any.

    Without a session to listen on, the final answer of a chat is among the replies. What was written to the session's
    connection may arrive later than a reply, so the cursor of a `pong` is the one that the client has named itself.
    """

    carries_events = False

    def __init__(self, hub: Hub, session: Session, connection: Connection | None, *, is_last_chance: bool) -> None:
        self._hub = hub
        self._session = session
        self.connection = connection
        self.is_last_chance = is_last_chance
        self.replies: list[bytes] = []

    def say(self, messages: Iterable[Say | Pong]) -> None:
        """See `Line.say`."""
        self.replies += [self._hub.encode(message, "http", self._session.reached) for message in messages]

    def whisper(self, message: Say) -> None:
        """See `Line.whisper`. Goes to the connection that listens for the session."""
        if self.connection is not None:
            self._hub.whisper(self.connection, message)

    async def at_head(self) -> None:
        """See `Line.at_head`. Replies and events are different streams, so there is no order to keep."""


class ConnectionLine:
    """The line of a connection that both asks and receives."""

    carries_events = True
    is_last_chance = False

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self.connection = connection

    def say(self, messages: Iterable[Say | Pong]) -> None:
        """See `Line.say`."""
        self._hub.say(self.connection, messages)

    def whisper(self, message: Say) -> None:
        """See `Line.whisper`."""
        self._hub.whisper(self.connection, message)

    async def at_head(self) -> None:
        """See `Line.at_head`."""
        await self._hub.caught_up(self.connection)
