"""The loop: open, converse, end, and come back; by which way, and when, is decided elsewhere.

Four tasks share a connection: one reads, one writes, one keeps the token fresh, one waits to be told to cut it.
Whatever they raise ends it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from ..words.errors import CloseCode
from .conversation import Answered, Conversation, Deliver, GoingAway, Outcome, Piece, Pong, Refused, Welcomed
from .errors import CommandError, OutcomeUnknownError, RefusedError
from .pending import Command
from .poll import PollLink
from .returning import ABNORMAL, Ended, Returning, Route, Stop
from .sse import SseLink
from .tokens import Token, expiry
from .transport import Call, Delivery, Envelope, Link
from .values import Event, State, Status
from .websocket import WebSocketLink

HEALTHY_SECONDS = 5.0
"""A connection that has lasted so long, or brought anything new, was of use: the backoff begins anew after it."""

RENEW_SECONDS = 30.0
"""A token is renewed so long before it expires, or in the last quarter of its life where that is shorter."""

TRANSPORTS: Mapping[str, Callable[[Call], Awaitable[Link]]] = {
    "websocket": WebSocketLink.open,
    "sse": SseLink.open,
    "poll": PollLink.open,
}

_log = logging.getLogger(__name__)


class Owner(Protocol):
    """Whom the connection serves."""

    def answered(self, command: Command, answer: Event) -> None:
        """A command has its answer."""

    def failed(self, command: Command, error: Exception) -> None:
        """A command will have none."""

    def piece(self, command: Command, text: str) -> None:
        """A piece of a chat's answer."""

    def deliver(self, event: Event) -> None:
        """An event."""

    def doubt(self) -> None:
        """Something may have been missed; snapshots follow of what is still known."""

    def caught_up(self) -> None:
        """Those snapshots have been delivered."""

    async def room(self) -> None:
        """Wait until more may be delivered."""

    def told(self, status: Status) -> None:
        """The state has changed."""


class Connection:
    """Everything between a client and its gateway. `call` has all that does not change from one attempt to the next."""

    def __init__(
        self,
        call: Call,
        token: Token,
        conversation: Conversation,
        route: Route,
        returning: Returning,
        owner: Owner,
    ) -> None:
        self._call = call
        self._token = token
        self._conversation = conversation
        self._route = route
        self._returning = returning
        self._owner = owner
        self._wake = asyncio.Event()
        self._cut = asyncio.Event()
        self._heartbeat_at = 0.0
        self._retry_in: float | None = None
        self._skew = 0.0
        self._link: Link | None = None
        self.status = Status(State.CONNECTING)

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def cut(self) -> bool:
        """End the open connection as a failing network would. Returns whether there is one."""
        if self._link is None or self.status.state is not State.OPEN:
            return False
        self._link.abort()
        self._cut.set()
        return True

    async def run(self) -> None:
        """Connect, and stay connected. Returns where the end is wanted; raises `RefusedError` where it is for good."""
        while True:
            ended, token = await self._attempt()
            if self._returning.is_own_doing(ended, self._conversation.session_id, self._now()):
                self._conversation.session_id = None
                ended = Ended(ABNORMAL, "an earlier attempt of this client, late, has taken the session")
            step = self._returning.after(ended, token)
            if isinstance(step, Stop):
                _log.warning("closed for good: %d %s", ended.code, ended.reason)
                self._tell(State.CLOSED, reason=ended.reason)
                if step.refused:
                    raise RefusedError(ended.code, ended.reason)
                return
            self._accuse(ended)
            fallback = self._route.failed(ended, self._now())
            reason = f"{ended.code} {ended.reason}".rstrip()
            if fallback is not None:
                _log.warning("%s does not get through (%s); trying %s", self.status.transport, reason, fallback)
                reason = f"{self.status.transport} does not get through ({reason}); trying {fallback}"
            _log.info("connection ended (%s); coming back in %.2f s", reason, step.seconds)
            self._tell(State.WAITING, reason=reason, retry_in=step.seconds)
            await asyncio.sleep(step.seconds)

    async def goodbye(self, ack: bool) -> None:
        """Acknowledge what is due and close, where there is a connection. To be called when `run` has ended."""
        link, self._link = self._link, None
        if link is None:
            return
        cursor = self._conversation.received.ack(self._now()) if ack and self.status.state is State.OPEN else None
        if cursor is not None:
            with contextlib.suppress(Ended, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._send(link, self._conversation.own("ack", {"id": cursor}))
        await link.close()

    def closed(self, reason: str) -> None:
        """The application has closed it."""
        self._tell(State.CLOSED, reason=reason)

    # -- one connection -------------------------------------------------------------------------------------------

    async def _attempt(self) -> tuple[Ended, str | None]:
        """One connection from its token to its end."""
        name = self._route.next(self._now())
        self._tell(State.CONNECTING, transport=name)
        self._retry_in = None
        self._cut.clear()
        token = None
        try:
            token = await self._token.fetch()
            if self._returning.is_refused(token):
                # A fresh one was asked for, and it is the old one.
                raise Ended(CloseCode.POLICY_VIOLATION, self._returning.refusal)
            conversation = self._conversation
            call = replace(
                self._call, token=token, session_id=conversation.session_id, cursor=conversation.rejoin()
            )  # fmt: skip
            await self._connect(call, name)
        except Ended as ended:
            if self._retry_in is not None and ended.code in (CloseCode.GOING_AWAY, ABNORMAL):
                ended = Ended(CloseCode.GOING_AWAY, ended.reason or "going away", retry_in=self._retry_in)
            elif ended.code == ABNORMAL and self.status.state is not State.OPEN:
                self._returning.unanswered(self._conversation.session_id, self._now())
            return ended, token
        finally:
            if self._link is not None and self.status.state is not State.OPEN:
                # Cancelled or failed in the middle of opening.
                link, self._link = self._link, None
                await link.close()
        raise AssertionError("a connection ends by an exception")

    async def _connect(self, call: Call, name: str) -> None:
        try:
            async with asyncio.timeout(call.open_seconds):
                self._link = link = await TRANSPORTS[name](call)
                delivery = await self._until_welcome(link)
        except TimeoutError:
            raise Ended(ABNORMAL, "no welcome in time", blocked=True, buffered=name == "sse") from None
        self._route.opened()
        self._returning.welcomed()
        opened_at = self._heartbeat_at = self._now()
        try:
            # Before anything is sent: a welcome decides what is sent again.
            await self._accept(link, delivery, call.cursor)
            await self._converse(link)
        except Ended:
            if self._now() - opened_at >= HEALTHY_SECONDS:
                self._returning.healthy()
            self._link = None
            await link.close()
            raise

    async def _until_welcome(self, link: Link) -> Delivery:
        """Wait for the first messages with a welcome. Raises the end that an `error` before it announces."""
        error: Envelope | None = None
        while True:
            try:
                delivery = await link.receive(self._conversation.received.cursor)
            except Ended as ended:
                if error is not None and ended.retry_in is None:
                    retry = (error.get("details") or {}).get("retry_after")
                    ended.retry_in = float(retry) if isinstance(retry, int | float) else None
                raise
            for message in delivery.messages:
                if message.get("type") == "connection_established":
                    return delivery
                if message.get("type") == "error" and isinstance(message.get("data"), dict):
                    error = message["data"]

    async def _converse(self, link: Link) -> None:
        tasks = [
            asyncio.create_task(self._read(link)),
            asyncio.create_task(self._write(link)),
            asyncio.create_task(self._renew(link)),
            asyncio.create_task(self._until_cut()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [result for result in results if isinstance(result, Exception)]
        # The reader knows best: it may have found a goodbye.
        raise min(errors, key=lambda error: (isinstance(error, Ended), results.index(error)))

    async def _until_cut(self) -> None:
        await self._cut.wait()
        raise Ended(ABNORMAL, "cut by the application")

    async def _read(self, link: Link) -> None:
        while True:
            await self._owner.room()
            cursor = self._conversation.received.cursor
            await self._accept(link, await link.receive(cursor), cursor)

    async def _accept(self, link: Link, delivery: Delivery, asked: str | None) -> None:
        """Hear what has come for a client that was at the cursor `asked`."""
        received = self._conversation.received
        for message in delivery.messages:
            self._hear(message, in_stream=delivery.ids_move)
            await self._owner.room()
        # A rewind in the meantime knows better.
        if delivery.cursor is not None and (delivery.ids_move or received.cursor == asked):
            received.cursor = delivery.cursor
        if not link.asks_pings and (not delivery.messages or not delivery.ids_move):
            # A page of a poll is whole, and a keep-alive comes after what was written before it.
            self._owner.caught_up()

    def _hear(self, message: Envelope, *, in_stream: bool) -> None:
        try:
            outcomes = self._conversation.receive(message, self._now(), in_stream=in_stream)
        except ValueError as error:
            raise Ended(ABNORMAL, str(error)) from None
        for outcome in outcomes:
            self._obey(outcome)
        # An answer may have made room for a command, or a welcome may have freed some.
        self._wake.set()

    def _obey(self, outcome: Outcome) -> None:
        match outcome:
            case Answered(command, answer):
                self._returning.healthy()
                self._owner.answered(command, answer)
            case Piece(command, text):
                self._owner.piece(command, text)
            case Deliver(event):
                if event.id is not None and event.type != "connection_established":
                    self._returning.healthy()
                self._owner.deliver(event)
            case GoingAway(retry_in):
                self._retry_in = retry_in
            case Pong():
                self._owner.caught_up()
            case Welcomed():
                self._welcomed(outcome)
            case Refused(type_, error):
                _log.warning("the gateway refused this client's own %s: %s", type_, error.data.get("message"))

    def _welcomed(self, welcomed: Welcomed) -> None:
        bound = self._call.path.rpartition("/")[2] if self._call.path.startswith("/ws/investigations/") else None
        if bound is not None and bound in welcomed.denied:
            raise Ended(CloseCode.POLICY_VIOLATION, "Investigation not found")
        if welcomed.denied:
            _log.warning("not granted: %s", ", ".join(welcomed.denied))
        if not welcomed.recovered:
            self._owner.doubt()
            # A ping at once, whose answer comes after the snapshots.
            self._heartbeat_at = float("-inf")
        if welcomed.server_time is not None:
            with contextlib.suppress(ValueError):
                self._skew = datetime.fromisoformat(welcomed.server_time).timestamp() - time.time()
        if self.status.state is not State.OPEN or self.status.recovered != welcomed.recovered:
            _log.info("connected by %s, recovered: %s", self.status.transport, welcomed.recovered)
            self._tell(State.OPEN)

    # -- out ------------------------------------------------------------------------------------------------------

    async def _write(self, link: Link) -> None:
        conversation = self._conversation
        while True:
            self._wake.clear()
            now = self._now()
            for command in conversation.pending.too_late(now):
                self._owner.failed(
                    command, OutcomeUnknownError("nobody can tell whether the investigation was started")
                )
            while (command_ := conversation.pending.next(now)) is not None:
                await self._send(link, command_)
            ack_at = conversation.received.due(now)
            if ack_at is not None and ack_at <= now:
                cursor = conversation.received.ack(now)
                await self._send(link, conversation.own("ack", {"id": cursor}))
            if link.asks_pings and now - self._heartbeat_at >= self._call.heartbeat_seconds:
                self._heartbeat_at = now
                await self._send(link, conversation.own("ping", {}))
            await self._until_due(link)

    async def _until_due(self, link: Link) -> None:
        now = self._now()
        times = [self._conversation.pending.due(), self._conversation.received.due(now)]
        if link.asks_pings:
            times.append(self._heartbeat_at + self._call.heartbeat_seconds)
        next_at = min((at for at in times if at is not None), default=None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if next_at is None else max(0.0, next_at - now)):
                await self._wake.wait()

    async def _send(self, link: Link, command: Command) -> None:
        replies = await link.send(command.text, self._conversation.session_id)
        if not link.asks_pings:
            # An answer by HTTP, even an empty one, is a sign that the command has arrived.
            command.arrived = True
        for reply in replies:
            self._hear(reply, in_stream=False)

    def _accuse(self, ended: Ended) -> None:
        """Where a command of ours ended the connection, it must not do so again and again."""
        suspects = self._conversation.pending.suspects()
        if ended.code == CloseCode.MESSAGE_TOO_BIG:
            suspects.sort(key=lambda command: -len(command.text))
        elif ended.code != CloseCode.INTERNAL_ERROR:
            return
        for command in suspects[:1]:
            self._conversation.pending.withdraw(command.correlation_id)
            code = "MESSAGE_TOO_LARGE" if ended.code == CloseCode.MESSAGE_TOO_BIG else "INTERNAL_ERROR"
            self._owner.failed(command, CommandError(code, ended.reason, {}))

    # -- tokens ---------------------------------------------------------------------------------------------------

    async def _renew(self, link: Link) -> None:
        """Fetch a fresh token in time, for as long as the connection lasts."""
        while self._token.is_renewable and (expires_at := expiry(link.token)) is not None:
            left = expires_at - time.time() - self._skew
            await asyncio.sleep(max(0.0, left - min(RENEW_SECONDS, left / 4)))
            try:
                token = await self._token.fetch()
            except Ended:
                token = link.token
            if token == link.token:
                await asyncio.sleep(max(1.0, left / 8))
                continue
            link.token = token
            if link.renews:
                await self._send(link, self._conversation.own("authenticate", {"token": token}))

    def _tell(
        self, state: State, *, transport: str | None = None, reason: str = "", retry_in: float | None = None
    ) -> None:
        name = transport or self.status.transport
        self.status = Status(state, name, self._conversation.recovered, reason, retry_in)
        self._owner.told(self.status)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
