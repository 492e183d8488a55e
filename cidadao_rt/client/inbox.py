"""The application's side: the calls that wait for answers, the streams that are iterated, and who follows the state."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast
from weakref import WeakSet

from .conversation import Conversation
from .errors import CommandError, OutcomeUnknownError
from .pending import Command
from .streams import Stream, room
from .values import Event, Status

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Waiting:
    """One call. `settle` makes of the answer what the call returns, at once, before anything else is delivered."""

    def __init__(self, settle: Callable[[Event], Any], on_piece: Callable[[str], None] | None) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.settle = settle
        self.on_piece = on_piece


class Inbox:
    """See `connection.Owner`. `followers` are streams of single investigations; one that nobody holds is forgotten."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._calls: dict[str, Waiting] = {}
        self._listeners: list[Callable[[Status], None]] = []
        self._changed = asyncio.Event()
        self._end: BaseException | None = None
        self._followers: WeakSet[Follower] = WeakSet()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events = Stream(self._changed.set)

    # -- for the client -------------------------------------------------------------------------------------------

    def listen(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Tell every change of the state; the result ends that."""
        self._listeners.append(listener)
        return lambda: self.unlisten(listener)

    def unlisten(self, listener: Callable[[Status], None]) -> None:
        """Tell it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def check(self) -> None:
        """Raise what ended it, if it has ended: a call would wait for ever."""
        if self._end is not None:
            raise self._end

    async def call(
        self, command: Command, settle: Callable[[Event], T], on_piece: Callable[[str], None] | None = None
    ) -> T:
        """Wait for a command's answer, which may be on another connection. A caller that gives up withdraws it."""
        waiting = self._calls[command.correlation_id] = Waiting(settle, on_piece)
        self._changed.set()
        try:
            return cast(T, await waiting.future)
        finally:
            del self._calls[command.correlation_id]
            self._conversation.pending.withdraw(command.correlation_id)

    def follow(self, follower: "Follower") -> None:
        """Deliver the events of one investigation to it as well."""
        self._followers.add(follower)

    def new_stream(self) -> Stream:
        """A stream that counts for the reading."""
        return Stream(self._changed.set)

    def end(self, error: BaseException, *, quietly: bool) -> None:
        """Nothing more will come. Calls and investigations that are not at their end raise `error`; so does iterating
        all events, unless the end is one that was to be expected (`quietly`)."""
        if self._end is not None:
            return
        self._end = error
        self._conversation.pending.clear()
        for waiting in self._calls.values():
            if not waiting.future.done():
                waiting.future.set_exception(error)
        self.events.end(None if quietly else error)
        for follower in list(self._followers):
            follower.stream.end(error)
        if not self.opened.done():
            self.opened.set_exception(error)
            # Whether anybody waits for it is their affair.
            self.opened.exception()
        self._changed.set()

    # -- for the connection ---------------------------------------------------------------------------------------

    def answered(self, command: Command, answer: Event) -> None:
        """See `Owner`."""
        waiting = self._calls.get(command.correlation_id)
        if waiting is None or waiting.future.done():
            return
        if answer.type == "error":
            data = answer.data
            error = CommandError(str(data.get("code")), str(data.get("message")), data.get("details") or {})
            waiting.future.set_exception(error)
            return
        try:
            waiting.future.set_result(waiting.settle(answer))
        except (KeyError, TypeError, ValueError) as error:
            # An answer of another shape than agreed is the caller's to see, and no reason to lose the connection.
            waiting.future.set_exception(error)

    def failed(self, command: Command, error: Exception) -> None:
        """See `Owner`."""
        waiting = self._calls.get(command.correlation_id)
        if waiting is not None and not waiting.future.done():
            waiting.future.set_exception(error)

    def piece(self, command: Command, text: str) -> None:
        """See `Owner`."""
        waiting = self._calls.get(command.correlation_id)
        if waiting is not None and waiting.on_piece is not None:
            try:
                waiting.on_piece(text)
            except Exception:
                _log.exception("on_chunk failed; the chat goes on")

    def deliver(self, event: Event) -> None:
        """See `Owner`."""
        self._put(self.events, event)
        about = event.data.get("investigation_id")
        for follower in list(self._followers):
            if follower.id == about:
                follower.is_doubtful = False
                if follower.notice(event):
                    self._put(follower.stream, event)

    def _put(self, stream: Stream, event: Event) -> None:
        dropped = stream.put(event)
        if dropped:
            _log.error("%d events were not taken in time and are let go", len(dropped))
            # Whoever asks for them again (`subscribe` with `after`) shall get them.
            self._conversation.received.forget(event.id for event in dropped if event.id is not None)

    def doubt(self) -> None:
        """See `Owner`."""
        for follower in list(self._followers):
            follower.is_doubtful = True

    def caught_up(self) -> None:
        """See `Owner`."""
        for follower in list(self._followers):
            if follower.is_doubtful:
                follower.stream.end(OutcomeUnknownError("the gateway no longer knows this investigation"))

    async def room(self) -> None:
        """See `Owner`."""
        await room(
            lambda: [self.events, *(follower.stream for follower in list(self._followers))],
            lambda: bool(self._calls),
            self._changed,
        )

    def told(self, status: Status) -> None:
        """See `Owner`."""
        if status.state == "open" and not self.opened.done():
            self.opened.set_result(None)
        for listener in list(self._listeners):
            try:
                listener(status)
            except Exception:
                _log.exception("on_status failed; the connection goes on")


class Follower:
    """Something that follows one investigation. `notice` returns whether the event is for its stream."""

    def __init__(self, investigation_id: str, stream: Stream) -> None:
        self.id = investigation_id
        self.stream = stream
        self.is_doubtful = False

    def notice(self, event: Event) -> bool:
        """An event of this investigation."""
        raise NotImplementedError
