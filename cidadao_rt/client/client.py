"""The client: its lifetime, its state, its events and its calls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from .connection import Connection
from .conversation import Conversation
from .errors import ClosedError, RealtimeError
from .inbox import Inbox
from .investigation import Investigation
from .returning import Returning, Route
from .tokens import Token
from .transport import Call
from .values import ChatAnswer, Event, State, Status

T = TypeVar("T")


class Plan:
    """The parts of a client that do not need an event loop. See `connect` for the numbers."""

    def __init__(
        self, conversation: Conversation, route: Route, returning: Returning, http: aiohttp.ClientSession | None
    ) -> None:
        self.conversation = conversation
        self.route = route
        self.returning = returning
        self.http = http


class Client:
    """A client of the gateway; made by `connect`. Iterate it for all events that are no answer to a call alone.

    Every call may be made while there is no connection: it waits for the next. Calls raise `CommandError` for an
    `error` in answer, `OverflowError` where `max_pending` calls wait already, `ClosedError` and `RefusedError` where
    the client has come to its end. A call that is cancelled is withdrawn; what was sent is not unsent.
    """

    def __init__(self, call: Callable[[aiohttp.ClientSession], Call], token: Token, plan: Plan) -> None:
        self._make_call = call
        self._token = token
        self._plan = plan
        self._http: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._inbox: Inbox | None = None
        self._connection: Connection | None = None
        self._listeners: list[Callable[[Status], None]] = []
        self._conversation = plan.conversation
        self._closed = False

    # -- lifetime -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, and wait for the first welcome, for as long as it takes. Raises `RefusedError`."""
        if self._task is not None:
            raise RuntimeError("a client connects once")
        self._http = self._plan.http or aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        self._inbox = Inbox(self._conversation)
        for listener in self._listeners:
            self._inbox.listen(listener)
        self._connection = Connection(
            self._make_call(self._http),
            self._token,
            self._conversation,
            self._plan.route,
            self._plan.returning,
            self._inbox,
        )
        self._task = asyncio.create_task(self._run(self._connection, self._inbox))
        try:
            await self._inbox.opened
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind_: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close. What was taken last counts as processed, unless an exception is why it ends here."""
        if error is None:
            self._processed()
        await self.close()

    async def close(self) -> None:
        """Acknowledge what has been processed, close with 1000, end every call and stream. Raises nothing."""
        if self._closed or self._task is None or self._inbox is None or self._connection is None:
            self._closed = True
            return
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._connection.goodbye(ack=True)
        self._inbox.end(ClosedError("the client has been closed"), quietly=True)
        if self._connection.status.state is not State.CLOSED:
            self._connection.closed("closed by the application")
        if self._plan.http is None and self._http is not None:
            await self._http.close()

    @staticmethod
    async def _run(connection: Connection, inbox: Inbox) -> None:
        try:
            await connection.run()
        except asyncio.CancelledError:
            raise
        except RealtimeError as error:
            inbox.end(error, quietly=False)
        except BaseException as error:
            # A bug of ours: whoever waits must not wait for ever.
            inbox.end(error, quietly=False)
            raise
        else:
            inbox.end(ClosedError(connection.status.reason or "closed by the gateway"), quietly=True)

    def cut(self) -> bool:
        """Cut the connection as a failing network would, without a goodbye, to see that nothing is lost. The client
        comes back by itself. Returns whether there was one to cut."""
        return self._connection is not None and self._connection.cut()

    # -- state ----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Where the client stands."""
        return self._connection.status if self._connection is not None else Status(State.CONNECTING)

    @property
    def transport(self) -> str | None:
        """`websocket`, `sse` or `poll`."""
        return self.status.transport

    @property
    def recovered(self) -> bool | None:
        """Whether the last connection missed nothing; None before the first."""
        return self._conversation.recovered

    @property
    def session_id(self) -> str | None:
        """The session, by which another client may continue (`connect(…, session_id=…)`)."""
        return self._conversation.session_id

    @property
    def cursor(self) -> str | None:
        """The place in the log up to which events have been received."""
        return self._conversation.received.cursor

    def on_status(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call `listener` at each change of the state; may be called before connecting. The result ends that."""
        if self._inbox is not None:
            return self._inbox.listen(listener)
        self._listeners.append(listener)

        def stop() -> None:
            if self._inbox is not None:
                self._inbox.unlisten(listener)
            elif listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    # -- events ---------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event; asking for it says that the one before has been processed.

        Raises `RefusedError` where the gateway has refused for good, and `OverflowError` (see `streams`).
        """
        self._processed()
        return await self._open_inbox().events.take()

    def _processed(self) -> None:
        inbox = self._inbox
        if inbox is not None and inbox.events.in_hand is not None:
            event, inbox.events.in_hand = inbox.events.in_hand, None
            if event.id is not None:
                self._conversation.received.processed(event.id)
                if self._connection is not None:
                    self._connection.wake()

    # -- calls ----------------------------------------------------------------------------------------------------

    async def send(self, type_: str, data: Mapping[str, Any] | None = None) -> Event:
        """Send any command, and return its answer: what first echoes its `correlation_id`, of a chat the last.

        Raises `ValueError` for an `ack`, which is never answered and which the client sends by itself.
        """
        return await self._call(type_, data or {}, lambda answer: answer)

    async def start_investigation(
        self, query: str, filters: Mapping[str, Any] | None = None, agents: Sequence[str] | None = None
    ) -> Investigation:
        """Start an investigation; however often this is sent, one is started."""
        data: dict[str, Any] = {"query": query}
        if filters is not None:
            data["filters"] = dict(filters)
        if agents is not None:
            data["agents"] = list(agents)
        inbox = self._open_inbox()

        def settle(answer: Event) -> Investigation:
            investigation = Investigation(self, answer, inbox.new_stream())
            inbox.follow(investigation)
            return investigation

        return await self._call("start_investigation", data, settle)

    async def cancel_investigation(self, investigation_id: str) -> Event:
        """Stop an investigation. Returns its last `investigation_update`."""
        return await self.send("cancel_investigation", {"investigation_id": investigation_id})

    async def chat(
        self,
        agent: str,
        message: str,
        context: Mapping[str, Any] | None = None,
        on_chunk: Callable[[str], None] | None = None,
    ) -> ChatAnswer:
        """Say something to an agent, and wait for its whole answer. `on_chunk` is given the pieces as they come; after
        a reconnect there may be none, or those of a second attempt."""
        data: dict[str, Any] = {"agent": agent, "message": message}
        if context is not None:
            data["context"] = dict(context)
        return await self._call("agent_chat", data, lambda answer: ChatAnswer.read(answer.data), on_chunk)

    async def subscribe(
        self,
        events: Sequence[str] | None = None,
        investigation_ids: Sequence[str] | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """Follow these types of these investigations; None means all. Returns what was granted and `denied`.

        With `after` all that the connection follows past that cursor is sent again; what this client has received
        already is not delivered twice.
        """
        data = _selection(events, investigation_ids)
        if after is not None:
            data["after"] = after
        return dict((await self.send("subscribe", data)).data)

    async def unsubscribe(
        self, events: Sequence[str] | None = None, investigation_ids: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Follow these types of these investigations no longer; None means all."""
        return dict((await self.send("unsubscribe", _selection(events, investigation_ids))).data)

    async def ping(self) -> float:
        """The seconds from now to the gateway's answer, including the wait for a connection if there is none."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await self.send("ping")
        return clock() - began

    async def _call(
        self,
        type_: str,
        data: Mapping[str, Any],
        settle: Callable[[Event], T],
        on_piece: Callable[[str], None] | None = None,
    ) -> T:
        if type_ == "ack":
            raise ValueError("acks are sent by the client itself")
        inbox = self._open_inbox()
        inbox.check()
        command = self._conversation.command(type_, data)
        if self._connection is not None:
            self._connection.wake()
        return await inbox.call(command, settle, on_piece)

    def _open_inbox(self) -> Inbox:
        if self._inbox is None:
            raise RuntimeError("not connected: use `async with connect(…)`")
        return self._inbox


def _selection(events: Sequence[str] | None, investigation_ids: Sequence[str] | None) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if events is not None:
        data["events"] = list(events)
    if investigation_ids is not None:
        data["investigation_ids"] = list(investigation_ids)
    return data
