"""The gateway: one process's whole state. Opens and ends conversations, passes messages on, keeps house.

Knows the event loop and the clocks; knows nothing of HTTP or WebSocket.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ..memory.effects import Say, error
from ..memory.investigations import Investigations
from ..memory.log import Log, Retention
from ..memory.session import Rules, Session, Verdict, World
from ..memory.users import Users
from ..memory.verified import Verified
from ..words import envelope, events, faults, tokens, topics
from ..words.config import Config
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.events import Status
from ..words.faults import Faults
from ..words.subscription import ConnectionType, Kind
from ..words.tokens import Keyring, Principal
from .agents.chats import Chats
from .agents.library import Library
from .agents.runs import Runs
from .agents.simulator import Simulator
from .broker import MemoryBroker
from .connection import Connection, Outlet
from .exchange import ConnectionLine, Exchange, ReplyLine, Surroundings
from .faults import Faulting
from .hub import Hub
from .metrics import Metrics
from .publishing import Publishing

NEED_SESSION = frozenset(
    {"subscribe", "subscribe_investigation", "unsubscribe", "unsubscribe_investigation", "ack"}
)  # fmt: skip
"""Commands that mean nothing where no session remembers them."""

MOVED = "Session resumed elsewhere"
"""Why the older connection of a session that is taken up again ends; clients know it by these words."""

_log = logging.getLogger(__name__)


class TurnedAway(Exception):
    """A connection that is not opened: the error to send, and the close that follows it."""

    def __init__(self, refusal: Refusal, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.refusal = refusal
        self.code = code
        self.reason = reason


class Call(msgspec.Struct, frozen=True):
    """What a client wants when it connects.

    Without `kind_is_explicit` the session that it resumes keeps its own kind. `events` and `investigation_ids` are the
    first subscription of a new session; a resumed one has its own. `voice` is the agent that answers where a message
    names none; without it a resumed session keeps its own. `conflate` holds for this connection alone.
    """

    principal: Principal
    kind: Kind
    address: str
    kind_is_explicit: bool = True
    session_id: str | None = None
    last_event_id: str | None = None
    voice: str | None = None
    events: list[str] | None = None
    investigation_ids: list[str] | None = None
    conflate: bool = False
    fault: str | None = None


class Opened(msgspec.Struct, frozen=True):
    """A conversation that has been opened; `denied` is what it asked to follow, or followed, in vain."""

    connection: Connection
    verdict: Verdict
    denied: list[dict[str, str]]


class Gateway:
    """One process's whole state. `clock` is the loop's, in seconds; `wall` is seconds since 1970.

    Raises `ScenarioError` where a scenario that the configuration names cannot be played.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.clock = clock
        self.wall = wall
        self.draining = False
        limits, buffer = config.limits, config.buffer
        self.keyring = Keyring(
            tuple(config.auth.jwt_secrets),
            tuple(config.auth.algorithms),
            config.auth.issuer,
            config.auth.audience,
            config.auth.leeway_seconds,
        )
        retention = Retention(buffer.events_per_topic, buffer.bytes_per_topic, buffer.age_seconds, buffer.total_bytes)
        self.log = Log(secrets.token_hex(6), retention)
        self._verified = Verified()
        self.investigations = Investigations()
        self.users = Users(limits.messages_per_minute, limits.detached_sessions_per_user, limits.session_seconds)
        self.metrics = Metrics()
        self.hub = Hub(self.log, self.metrics, wall)
        self.faulting = Faulting(self.hub)
        self.broker = MemoryBroker(self.log, self.investigations, self.hub.deliver, wall)
        self.library = Library(
            config.agents.scenario, config.agents.scenarios_path, watches=config.server.mode == "development"
        )
        agents = Simulator(config.agents.seed, config.agents.speed, self.library)
        self.runs = Runs(agents, self.broker, self.investigations)
        self.chats = Chats(agents, self.broker, self.investigations)
        self.publishing = Publishing(
            self.broker, self.investigations, lambda offset: str(self.log.cursor(offset)), clock
        )
        rules = Rules(
            limits.message_bytes, limits.named_investigations, buffer.replay_events, limits.refusals_per_minute
        )
        self._exchange = Exchange(
            Surroundings(
                self.hub,
                self.users,
                self.investigations,
                self.runs,
                self.chats,
                limits,
                lambda: self.draining,
                self._prolong,
                clock,
                wall,
            )
        )
        self._world = World(self.log, self.investigations, self.verify, rules)

    def verify(self, token: str | None) -> Principal:
        """Whom a token speaks for now. Raises `BadToken`."""
        now = self.wall()
        principal = self._verified.find(token, now) if token else None
        if principal is None:
            principal = tokens.verify(token, self.keyring, now)
            if token:
                self._verified.remember(token, principal)
        return principal

    # -- opening and ending conversations -------------------------------------------------------------------------

    def open(self, call: Call, outlet: Outlet, *, greets: bool = True) -> Opened:
        """Open a conversation, or take an earlier one up again, and unless told not to, greet the client.

        Raises `TurnedAway`; then nothing is registered and no other connection was touched.
        """
        now = self.clock()
        wrong = self._faults(call)
        session = self._resumable(call, now)
        self._check(call, session, full=wrong.full)
        resumed = session is not None
        if session is None:
            session, denied = self._begin(call)
            verdict = session.begin(call.last_event_id)
        else:
            older = self.hub.of_session(session.id)
            if older is not None:
                if older.outlet.encoding.transport == "sse":
                    # Its end has no reason, and two streams would take the session from each other for ever.
                    self.hub.say(older, [error(Refusal(ErrorCode.CONFLICT, MOVED))])
                self.hub.close(older, CloseCode.NORMAL, MOVED)
            verdict, lost = session.resume(call.principal, call.last_event_id)
            denied = [{"investigation_id": key, "code": ErrorCode.NOT_FOUND} for key in lost]
        if call.voice is not None:
            session.voice = call.voice
        self.users.attach(session)
        outlet = self.faulting.outlet(outlet, wrong, session.sub)
        id_ = f"conn_{secrets.token_hex(16)}"
        connection = Connection(id_, session, outlet, call.address, now, conflates=call.conflate)
        self._prolong(connection, call.principal)
        greeting = [self._welcome(session, verdict, resumed, denied)] if greets else []
        if not verdict.recovered:
            greeting += session.snapshots(finished=True)
        elif not resumed and call.last_event_id is None:
            greeting += session.snapshots(finished=False)
        self.hub.add(connection, verdict.offset, greeting)
        _log.info(
            "connection opened",
            extra={
                "connection_id": connection.id, "session_id": session.id, "transport": outlet.encoding.transport,
                "connection_type": session.kind.type, "resumed": resumed, "recovered": verdict.recovered,
                "replayed": verdict.replayed,
            },
        )  # fmt: skip
        return Opened(connection, verdict, denied)

    def _welcome(self, session: Session, verdict: Verdict, resumed: bool, denied: list[dict[str, str]]) -> Say:
        data = {
            "message": "WebSocket connection established",
            "user_id": session.sub,
            "connection_type": session.kind.type,
            "server_time": envelope.timestamp(self.wall()),
            "session_id": session.id,
            "resumed": resumed,
            "recovered": verdict.recovered,
            "replayed": verdict.replayed,
        }
        if denied:
            data["denied"] = denied
        return Say("connection_established", data, offset=verdict.offset)

    def left(self, connection: Connection) -> None:
        """The connection has ended, whoever ended it; its session waits for the client to come back."""
        self.hub.remove(connection)
        _log.info("connection ended", extra={"connection_id": connection.id})
        session = connection.session
        if session.detached_at is None and self.hub.of_session(session.id) is None:
            dropped = self.users.detach(session, self.clock())
            if dropped is not None:
                _log.info("oldest detached session dropped", extra={"session_id": dropped.id})

    def _resumable(self, call: Call, now: float) -> Session | None:
        if call.session_id is None:
            return None
        session = self.users.session(call.principal.sub, call.session_id, now)
        if session is None or (call.kind_is_explicit and session.kind != call.kind):
            return None
        return session

    def _begin(self, call: Call) -> tuple[Session, list[dict[str, str]]]:
        """A new session, and what it asked to follow in vain. Raises `TurnedAway`."""
        user = self.users.get(call.principal.sub)
        id_ = f"sess_{secrets.token_hex(16)}"
        session = Session(id_, call.kind, call.principal, self._world, user.window, user.starts)
        if call.events is None and call.investigation_ids is None:
            return session, []
        try:
            return session, session.select(call.events, call.investigation_ids)[2]
        except Refusal as refusal:
            raise TurnedAway(refusal, CloseCode.POLICY_VIOLATION, refusal.message) from None

    def _faults(self, call: Call) -> Faults:
        """What shall go wrong on this connection. Raises `TurnedAway`."""
        if call.fault is None:
            return self.faulting.of_all
        try:
            return self.faults(call.fault)
        except Refusal as refusal:
            raise TurnedAway(refusal, CloseCode.POLICY_VIOLATION, refusal.message) from None

    def faults(self, text: str) -> Faults:
        """Read faults on demand. Raises `FORBIDDEN` outside of development, `INVALID_REQUEST` for what is none."""
        if self.config.server.mode != "development":
            raise Refusal(ErrorCode.FORBIDDEN, "Faults are for server.mode development alone")
        return faults.parse(text)

    def _check(self, call: Call, session: Session | None, *, full: bool) -> None:
        """Raise `TurnedAway` where the node, the user or the grants have no room for this call.

        `full`: as if the user had all the connections that a user may have.
        """
        limits = self.config.limits
        older = self.hub.of_session(session.id) if session is not None else None
        if self.draining:
            raise self._overloaded("The server is going away")
        # A takeover closes the older connection before the new one is counted.
        if len(self.hub) - (older is not None) >= limits.max_connections:
            raise self._overloaded("Too many connections")
        same_address = older is not None and older.address == call.address
        if self.hub.of_address(call.address) - same_address >= limits.connections_per_address:
            raise self._overloaded("Too many connections from this address")
        # A session that is taken up on a path without an id is bound all the same.
        bound = (call.kind if session is None else session.kind).investigation_id
        if bound is not None:
            try:
                self.investigations.seen_by(call.principal, bound)
            except Refusal as refusal:
                raise TurnedAway(refusal, CloseCode.POLICY_VIOLATION, refusal.message) from None
        limit = limits.connections_per_user
        if full or self.hub.of_user(call.principal.sub) - (older is not None) >= limit:
            reason = f"More than {limit} connections"
            too_many = Refusal(ErrorCode.CONNECTION_LIMIT, reason, limit=limit)
            raise TurnedAway(too_many, CloseCode.TRY_AGAIN_LATER, reason)

    @staticmethod
    def _overloaded(reason: str) -> TurnedAway:
        return TurnedAway(Refusal(ErrorCode.OVERLOADED, reason), CloseCode.TRY_AGAIN_LATER, reason)

    # -- conversing -----------------------------------------------------------------------------------------------

    def receive(
        self, connection: Connection, frame: bytes, *, binary: bool = False
    ) -> Coroutine[Any, Any, None] | None:
        """Carry out one message of a client.

        Returns what is left where something has to be waited for, or the client leaves too many answers unread; to be
        awaited before its next message.
        """
        began = connection.message_at = connection.heard_at = self.clock()
        session = connection.session
        turn = session.receive(frame, self.hub.position(connection), began, binary=binary)
        self.metrics.received(turn.type, connection.outlet.encoding.transport)
        if _log.isEnabledFor(logging.DEBUG):
            told = {"connection_id": connection.id, "type": turn.type, "correlation_id": turn.correlation_id}
            _log.debug("message received", extra=told)
        line = ConnectionLine(self.hub, connection)
        rest = self._exchange.carry_out(session, turn, line, lambda: self.metrics.answered(self.clock() - began))
        if rest is None and not self.hub.is_full(connection):
            return None
        return self._rest(connection, rest)

    async def _rest(self, connection: Connection, rest: Coroutine[Any, Any, None] | None) -> None:
        if rest is not None:
            await rest
        await self.hub.room(connection)

    async def command(self, principal: Principal, session_id: str | None, body: bytes) -> list[bytes]:
        """Carry out one command that came without a connection; returns the envelopes that answer it.

        With a session its chats answer there; without one, the answer is waited for. Raises `Refusal` (`NOT_FOUND`)
        for a session that is unknown, expired or another's.
        """
        began = self.clock()
        session = None
        if session_id is not None:
            session = self.users.session(principal.sub, session_id, began)
            if session is None:
                raise Refusal(ErrorCode.NOT_FOUND, "Session not found")
        connection = self.hub.of_session(session.id) if session is not None else None
        passing = session or self._passing(principal)
        line = ReplyLine(self.hub, passing, connection, is_last_chance=session is None)
        position = self.hub.position(connection) if connection is not None else 0
        turn = passing.receive(body, position, began, asker=principal)
        self.metrics.received(turn.type, "http")
        if session is None and turn.type in NEED_SESSION:
            raise Refusal(ErrorCode.INVALID_REQUEST, f"A {turn.type} needs a session_id", field="session_id")
        ended = asyncio.Event()

        def done() -> None:
            self.metrics.answered(self.clock() - began)
            ended.set()

        rest = self._exchange.carry_out(passing, turn, line, done)
        if rest is not None:
            await rest
        if session is None:
            await ended.wait()
        return line.replies

    def _passing(self, principal: Principal) -> Session:
        """A session for one command alone, which nobody can resume."""
        user = self.users.get(principal.sub)
        kind = Kind(ConnectionType.GENERAL)
        return Session(f"sess_{secrets.token_hex(16)}", kind, principal, self._world, user.window, user.starts)

    def _prolong(self, connection: Connection, principal: Principal) -> None:
        self.hub.prolong(connection, self.clock() + principal.expires_at - self.wall())

    # -- time -----------------------------------------------------------------------------------------------------

    async def keep_house(self) -> None:
        """Forget what is over, once. Called about once a second."""
        now, wall, limits = self.clock(), self.wall(), self.config.limits
        self.log.expire(wall)
        self.users.expire(now)
        self.investigations.forget(wall - limits.finished_seconds, limits.finished_investigations)
        for found in self.investigations.idle(wall - limits.investigation_idle_seconds):
            await self.runs.end(found, Status.FAILED, "A investigação ficou sem notícias por tempo demais.")

    def tell_metrics(self) -> None:
        """Send one `metrics_update` to all who follow it."""
        data = {
            "active_investigations": self.investigations.running,
            "agents_busy": len(self.runs) + len(self.chats),
            "avg_response_time": round(self.metrics.response_time, 4),
            "queue_size": self.hub.behind,
        }
        body = envelope.encode(events.METRICS_UPDATE, data, self.wall())
        self.hub.broadcast(topics.EVERYONE, events.METRICS_UPDATE, body)
