"""The values that applications see."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One message of the gateway. `id` is its cursor, None on transient messages; `timestamp` is ISO 8601 in UTC."""

    type: str
    data: Mapping[str, Any]
    id: str | None = None
    timestamp: str | None = None
    correlation_id: str | None = None

    @classmethod
    def read(cls, envelope: Mapping[str, Any]) -> "Event":
        """The event that an envelope holds. Raises `ValueError` for what is no envelope."""
        type_, data = envelope.get("type"), envelope.get("data")
        if not isinstance(type_, str) or not isinstance(data, dict | None):
            raise ValueError("not an envelope")
        return cls(
            type_, data or {}, envelope.get("id"), envelope.get("timestamp"), envelope.get("correlation_id")
        )  # fmt: skip


class State(StrEnum):
    """Where a client stands."""

    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Status:
    """A client's state. `recovered` is the last welcome's verdict, None before the first; `retry_in` is in seconds and
    stands where `state` is `waiting`; `reason` says why it waits, fell back or is closed."""

    state: State
    transport: str | None = None
    recovered: bool | None = None
    reason: str = ""
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """An agent's whole answer."""

    agent: str
    agent_name: str
    message: str
    suggested_actions: tuple[Any, ...] = ()
    investigation_id: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "ChatAnswer":
        """The answer that the data of an `agent_chat` holds."""
        return cls(
            data.get("agent", ""),
            data.get("agent_name", ""),
            data.get("message", ""),
            tuple(data.get("suggested_actions") or ()),
            data.get("investigation_id"),
        )
