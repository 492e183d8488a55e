"""The commands of clients as typed values, and their validation.

Every refusal names the field at fault in the document's shape (`details.field`, `details.required`) and never quotes
what was sent. Source: PROTOCOL 3 "Commands and their answers"; the API document, "Fluxo de Comunicação".
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from . import agents
from .envelope import Incoming
from .errors import ErrorCode, Refusal

TEXT_LENGTH = 4000
"""Characters of a query or a chat message."""

DEPTH = 16
"""Levels of nesting in data that passes through; deeper is `INVALID_REQUEST`."""

DATE_RANGE = r"^\d{4}-\d\d-\d\d/\d{4}-\d\d-\d\d$"

_CONTAINERS = frozenset({dict, list})

T = TypeVar("T")
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH)]


class Ping(Struct, frozen=True):
    """Asks for a `pong`."""


class StartInvestigation(Struct, frozen=True):
    """Starts an investigation. `agents` are canonical ids once validated; None: whoever the scenario has work."""

    query: Annotated[Text, Meta(description="What to investigate; not only spaces.")]
    filters: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Others than these pass through, nested at most 16 levels.",
            extra_json_schema={
                "properties": {
                    "date_range": {
                        "type": ["string", "null"],
                        "pattern": DATE_RANGE,
                        "description": "Two ISO dates in order.",
                    },
                    "min_value": {"type": ["number", "null"], "minimum": 0, "description": "In reais."},
                }
            },
        ),
    ] = None
    agents: Annotated[
        list[str] | None,
        Meta(description="Ids or aliases, without regard to case, - and _. Without: zumbi, anita, tiradentes."),
    ] = None


class CancelInvestigation(Struct, frozen=True):
    """Stops a running investigation."""

    investigation_id: str


class Subscribe(Struct, frozen=True):
    """Follows event types of investigations. An absent list means all, an empty one means none."""

    events: list[str] | None = None
    investigation_ids: list[str] | None = None
    after: Annotated[str | None, Meta(description="A cursor; all that is followed past it is sent again.")] = None


class Unsubscribe(Struct, frozen=True):
    """The opposite of `Subscribe`, with the same meaning of absent and empty."""

    events: list[str] | None = None
    investigation_ids: list[str] | None = None


class Context(Struct, frozen=True):
    """What a chat is about; other keys are allowed and not read."""

    investigation_id: str | None = None


class AgentChat(Struct, frozen=True):
    """Says something to an agent."""

    message: Text
    agent: Annotated[str | None, Meta(description="Needed except on /ws/chat, whose URL may name it.")] = None
    context: Context | None = None


class Ack(Struct, frozen=True):
    """Everything up to this cursor has been processed."""

    id: str


class Authenticate(Struct, frozen=True):
    """Prolongs the connection with a fresh token of the same user."""

    token: str


class OneInvestigation(Struct, frozen=True):
    """Names the one investigation that a short form is about."""

    investigation_id: str


Command = (
    Ping | StartInvestigation | CancelInvestigation | Subscribe | Unsubscribe | AgentChat | Ack | Authenticate
)  # fmt: skip


def _start(data: dict[str, Any]) -> StartInvestigation:
    command = convert(data, StartInvestigation)
    if command.query.isspace():
        raise Refusal.field("query", "Invalid field: query must not be only spaces", required=True)
    filters = command.filters or {}
    check_depth(filters, "filters")
    _check_date_range(filters.get("date_range"))
    _check_min_value(filters.get("min_value"))
    return StartInvestigation(command.query, filters, None if command.agents is None else team(command.agents))


def _subscribe_one(data: dict[str, Any]) -> Subscribe:
    return Subscribe(investigation_ids=[convert(data, OneInvestigation).investigation_id])


def _unsubscribe_one(data: dict[str, Any]) -> Unsubscribe:
    return Unsubscribe(investigation_ids=[convert(data, OneInvestigation).investigation_id])


def _plain(struct: type[Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda data: convert(data, struct)


COMMANDS: dict[str, type[Struct]] = {
    "ping": Ping,
    "start_investigation": StartInvestigation,
    "cancel_investigation": CancelInvestigation,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "subscribe_investigation": OneInvestigation,
    "unsubscribe_investigation": OneInvestigation,
    "agent_chat": AgentChat,
    "ack": Ack,
    "authenticate": Authenticate,
}
"""What the `data` of each command is on the wire."""

_DECODERS: dict[str, Callable[[dict[str, Any]], Command]] = {
    **{type_: _plain(struct) for type_, struct in COMMANDS.items()},
    "start_investigation": _start,
    "subscribe_investigation": _subscribe_one,
    "unsubscribe_investigation": _unsubscribe_one,
}

CLIENT_TYPES = frozenset(_DECODERS)
"""Every `type` that a client may send."""


def command(message: Incoming) -> Command:
    """The command that a sound envelope carries.

    Raises `Refusal`: `UNKNOWN_TYPE`, `INVALID_REQUEST` with the field, `AGENT_UNAVAILABLE`.
    """
    decoder = _DECODERS.get(message.type)
    if decoder is None:
        raise Refusal(ErrorCode.UNKNOWN_TYPE, "Unknown message type", known=sorted(CLIENT_TYPES))
    if message.data is None and message.type != "ping":
        raise Refusal.field("data", "Missing required field: data", required=True)
    return decoder(message.data or {})


def agent(name: str) -> str:
    """The canonical id of an agent. Raises `AGENT_UNAVAILABLE`."""
    found = agents.find(name)
    if found is None:
        raise Refusal(ErrorCode.AGENT_UNAVAILABLE, "Unknown agent", available=list(agents.AGENTS))
    return found.id


def team(names: list[str]) -> list[str]:
    """The canonical ids of the agents asked for, each once, in the order asked. Raises `Refusal`."""
    if not names:
        raise Refusal.field("agents", "Invalid field: agents must name at least one agent")
    return list(dict.fromkeys(agent(name) for name in names))


def check_depth(data: dict[str, Any], field: str) -> None:
    """Refuse data nested deeper than `DEPTH` levels. Raises `INVALID_REQUEST`."""
    # What passes through is written out again later, and a writer has a smaller stack than the reader had.
    level: list[Any] = [data]
    for _ in range(DEPTH):
        deeper: list[Any] = []
        for container in level:
            for value in container.values() if type(container) is dict else container:
                # The parser makes no subclasses, and this is asked of every value of every event.
                if type(value) in _CONTAINERS:
                    deeper.append(value)
        if not deeper:
            return
        level = deeper
    raise Refusal.field(field, f"Invalid field: {field} is nested deeper than {DEPTH} levels")


def _check_date_range(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, str) and re.fullmatch(DATE_RANGE, value, re.ASCII):
        try:
            first, last = (date.fromisoformat(part) for part in value.split("/"))
        except ValueError:
            pass
        else:
            if first <= last:
                return
    raise Refusal.field(
        "filters.date_range", "Invalid field: filters.date_range must be two ISO dates in order with / between"
    )


def _check_min_value(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise Refusal.field("filters.min_value", "Invalid field: filters.min_value must be a number, not negative")


_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def convert(data: Any, struct: type[T]) -> T:
    """`msgspec.convert`, with its error text turned into the document's error shape. Raises `INVALID_REQUEST`."""
    try:
        return msgspec.convert(data, struct)
    except msgspec.ValidationError as error:
        text = str(error)
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    missing = _MISSING.match(text)
    if missing:
        field = f"{field}.{missing.group(1)}".lstrip(".")
        raise Refusal.field(field, f"Missing required field: {field}", required=True)
    expected = _PATH.sub("", text)
    raise Refusal.field(field, f"Invalid field: {field}: {expected}", required=_is_required(struct, field))


def _is_required(struct: Any, field: str) -> bool:
    top = re.split(r"[.\[]", field, maxsplit=1)[0]
    return any(f.name == top and f.required for f in msgspec.structs.fields(struct))
