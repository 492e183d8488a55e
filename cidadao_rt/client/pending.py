"""Commands that wait for their answers, over any number of connections. Pure.

Which may be sent again, and when, is decided here. Sent again is what keeps its meaning: a start with the same
`correlation_id` starts nothing twice, the other commands say the same twice. A chat would be answered twice, so it is
sent again only where its answer can no longer come, or gives no sign of having arrived.
Source: PROTOCOL 3 "Commands and their answers", "The same `correlation_id` …".
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

START_SECONDS = 240.0
"""A start is sent again for so long; the gateway remembers it for 300 s, and some of these may pass on the way."""

GRACE_SECONDS = 5.0
"""After a resume, what may have been carried out already has so long to be answered by a replayed event."""

ANSWERED = 1_000
"""Correlation ids kept of what has been answered, to know a second answer; beyond it the oldest is forgotten."""

MESSAGE_BYTES = 262_144
"""A longer message would cost the connection (1009), so it is not sent."""


@dataclass(slots=True)
class Command:
    """One command. `first_sent` is a time, None before; `due` is when it may be sent, None while its answer is awaited;
    `arrived` tells that the gateway is known to have it. `internal` ones are the client's own, and nobody waits."""

    correlation_id: str
    type: str
    text: str
    due: float | None = float("-inf")
    first_sent: float | None = None
    arrived: bool = False
    internal: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)

    def is_answered_by(self, message: Mapping[str, Any]) -> bool:
        """Whether a message with its correlation id is the answer; a chat's pieces are not."""
        if message["type"] == "error" or self.type != "agent_chat":
            return True
        return bool(message["type"] == "agent_chat")


class Pending:
    """At most `most` commands of the application wait at a time. Times are in seconds of one clock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, Command] = OrderedDict()
        self._answered: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        """How many commands of the application wait."""
        return sum(not command.internal for command in self._waiting.values())

    def add(self, correlation_id: str, type_: str, data: Mapping[str, Any], *, internal: bool = False) -> Command:
        """Keep a command until it is answered.

        Raises `OverflowError` where as many wait as may, `ValueError` for one too long to send, `TypeError` for data
        that is no JSON.
        """
        if not internal and len(self) >= self._most:
            raise OverflowError(f"{self._most} commands wait for their answers already")
        text = json.dumps(
            {"type": type_, "data": data, "correlation_id": correlation_id}, ensure_ascii=False, allow_nan=False
        )
        if len(text.encode()) > MESSAGE_BYTES:
            raise ValueError(f"a message may have at most {MESSAGE_BYTES} bytes")
        command = Command(correlation_id, type_, text, internal=internal, data=data)
        self._waiting[correlation_id] = command
        return command

    def first(self, commands: list[Command]) -> None:
        """Let these go before all others, in this order."""
        for command in reversed(commands):
            self._waiting.move_to_end(command.correlation_id, last=False)

    def find(self, correlation_id: str | None) -> Command | None:
        """The command that waits under this id."""
        return None if correlation_id is None else self._waiting.get(correlation_id)

    def answered_type(self, correlation_id: str | None) -> str | None:
        """The type of a command that has been answered, if this is the id of one."""
        return None if correlation_id is None else self._answered.get(correlation_id)

    def settle(self, command: Command) -> None:
        """It has its answer."""
        self.withdraw(command.correlation_id)
        self._answered[command.correlation_id] = command.type
        if len(self._answered) > ANSWERED:
            self._answered.popitem(last=False)

    def withdraw(self, correlation_id: str) -> None:
        """Nobody waits for it any more; if it has not been sent, it never is."""
        self._waiting.pop(correlation_id, None)

    def next(self, now: float) -> Command | None:
        """The next command to send; it counts as sent."""
        for command in self._waiting.values():
            if command.due is not None and command.due <= now and not self._is_too_late(command, now):
                command.due = None
                if command.first_sent is None:
                    command.first_sent = now
                return command
        return None

    def due(self) -> float | None:
        """When the next command may be sent, or None."""
        return min((command.due for command in self._waiting.values() if command.due is not None), default=None)

    def too_late(self, now: float) -> list[Command]:
        """Commands that may no longer be sent again and whose answer has not come: nobody can know what became of
        them. They wait no longer."""
        late = [c for c in self._waiting.values() if c.due is not None and c.due <= now and self._is_too_late(c, now)]
        for command in late:
            self.withdraw(command.correlation_id)
        return late

    def reconnected(self, now: float, *, resumed: bool) -> None:
        """A new connection has been welcomed: decide what is sent again on it."""
        for command in [c for c in self._waiting.values() if c.internal]:
            self.withdraw(command.correlation_id)
        for command in self._waiting.values():
            if command.first_sent is None:
                continue
            command.due = now
            if command.type == "agent_chat" and resumed:
                # Its answer is an event of the session. If there was a sign of it, it will come.
                command.due = None if command.arrived else now + GRACE_SECONDS
            elif self._is_too_late(command, now):
                command.due = now + GRACE_SECONDS
            if not resumed:
                command.arrived = False

    def suspects(self) -> list[Command]:
        """The commands that were sent and not answered, the oldest first."""
        return [command for command in self._waiting.values() if command.first_sent is not None]

    def clear(self) -> list[Command]:
        """Everything that waits, which waits no longer."""
        found = list(self._waiting.values())
        self._waiting.clear()
        return found

    @staticmethod
    def _is_too_late(command: Command, now: float) -> bool:
        starts = command.type == "start_investigation"
        return starts and command.first_sent is not None and now - command.first_sent > START_SECONDS
