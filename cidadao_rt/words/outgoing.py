"""What the server sends, as typed structs: what the specs are made of, and what real traffic is held against.

The gateway writes its messages as plain dicts, since most of an event's data is somebody else's and passes through; a
test validates what it really sends. Source: PROTOCOL 3 "Commands and their answers", 4 "Events", 10 "Errors and close
codes"; the API document, "Tipos de Mensagem".
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from . import events, payloads
from .errors import ErrorCode
from .payloads import Identifier
from .subscription import ConnectionType

Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
        description="ISO 8601 in UTC.",
        extra_json_schema={"format": "date-time"},
    ),
]
Cursor = Annotated[
    str,
    Meta(min_length=1, description="A place in the one order of all events; opaque, to be given back as it is."),
]
Count = Annotated[int, Meta(ge=0)]
Simulated = Annotated[Literal[True] | UnsetType, Meta(description="Present where a simulated agent did the work.")]


class Denied(Struct, frozen=True):
    """One thing that was asked for and is not followed: an investigation or an event type."""

    code: ErrorCode
    investigation_id: str | UnsetType = UNSET
    event: str | UnsetType = UNSET


class ConnectionEstablished(Struct, frozen=True):
    """The first message. Its envelope's `id` is where the replay starts."""

    message: str
    user_id: str
    connection_type: ConnectionType
    server_time: Timestamp
    session_id: Annotated[str, Meta(description="Come back with it to keep subscriptions and place.")]
    resumed: Annotated[bool, Meta(description="Whether the session existed before.")]
    recovered: Annotated[bool, Meta(description="Whether nothing is missing. If false, snapshots follow instead.")]
    replayed: Annotated[Count, Meta(description="Events owed at this moment.")]
    denied: list[Denied] | UnsetType = UNSET


class Summary(Struct, frozen=True):
    """What a completed investigation came to."""

    findings: Count
    by_severity: dict[str, Count]
    contracts_analyzed: Count
    agents: list[str]


class InvestigationEvent(payloads.InvestigationUpdate, frozen=True, kw_only=True):
    """How an investigation stands. `progress` in percent never goes back. Without an `id` it is a snapshot."""

    investigation_id: Identifier
    filters: dict[str, Any] | UnsetType = UNSET
    stages: payloads.Stages | UnsetType = UNSET
    summary: Summary | UnsetType = UNSET
    simulated: Simulated = UNSET


class ProgressEvent(payloads.ProgressUpdate, frozen=True, kw_only=True):
    """Percent in all, and of each stage."""

    investigation_id: Identifier
    simulated: Simulated = UNSET


class Supplier(Struct, frozen=True):
    """Who sold."""

    name: str
    cnpj: str


class FindingDetail(payloads.Finding, frozen=True, kw_only=True):
    """One finding. `confidence` is 0 to 1; what `evidence` holds depends on the pattern."""

    severity: Literal["low", "medium", "high"] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    evidence: dict[str, Any] | UnsetType = UNSET
    suppliers: list[Supplier] | UnsetType = UNSET
    organ: str | UnsetType = UNSET


class AnalysisEvent(payloads.AgentAnalysis, frozen=True, kw_only=True):
    """What one agent found."""

    findings: list[FindingDetail]  # type: ignore[assignment]
    investigation_id: Identifier
    simulated: Simulated = UNSET


class NotificationEvent(payloads.Notification, frozen=True, kw_only=True):
    """Something to tell a person."""

    investigation_id: Identifier | UnsetType = UNSET
    simulated: Simulated = UNSET


class ChatEvent(Struct, frozen=True):
    """An agent's whole answer."""

    agent: str
    agent_name: str
    role: Literal["assistant"]
    message: str
    suggested_actions: list[str]
    investigation_id: Identifier | UnsetType = UNSET
    simulated: Simulated = UNSET


class ChatChunk(Struct, frozen=True):
    """A piece of an agent's answer; `index` counts from 0."""

    agent: str
    content: str
    index: Count
    simulated: Simulated = UNSET


class Typing(Struct, frozen=True):
    """Whether the agent is about to say more."""

    agent: str
    is_typing: bool


class Pong(Struct, frozen=True):
    """Answers a `ping`; its envelope's `id` is a cursor that this connection is past."""


class Error(Struct, frozen=True):
    """Why something was not done. `details` depends on the code: `field` and `required`, `limit`, `retry_after`…"""

    code: ErrorCode
    message: str
    details: dict[str, Any]


class Subscribed(Struct, frozen=True):
    """What was granted by one `subscribe`; null means all. The last three come with `after`."""

    events: list[str] | None
    investigation_ids: list[str] | None
    denied: list[Denied]
    id: Cursor | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    replayed: Count | UnsetType = UNSET


class Unsubscribed(Struct, frozen=True):
    """What was taken away by one `unsubscribe`; null means all."""

    events: list[str] | None
    investigation_ids: list[str] | None


class Authenticated(Struct, frozen=True):
    """How long the connection may live now, and which investigations are no longer granted."""

    expires_at: Timestamp
    denied: list[Denied]


class GoingAway(Struct, frozen=True):
    """The server is about to close with 1001. Clients are spread over time, so keep to `retry_after_ms`."""

    reason: str
    retry_after_ms: Annotated[int, Meta(ge=0, description="Milliseconds.")]


class MetricsUpdate(Struct, frozen=True):
    """How busy the node is."""

    active_investigations: Count
    agents_busy: Count
    avg_response_time: Annotated[float, Meta(ge=0, description="Seconds.")]
    queue_size: Annotated[Count, Meta(description="Connections that are behind.")]


MESSAGES: dict[str, type[Struct]] = {
    "connection_established": ConnectionEstablished,
    events.INVESTIGATION_UPDATE: InvestigationEvent,
    events.PROGRESS_UPDATE: ProgressEvent,
    events.AGENT_ANALYSIS: AnalysisEvent,
    events.NOTIFICATION: NotificationEvent,
    events.AGENT_CHAT: ChatEvent,
    "agent_chat_chunk": ChatChunk,
    "typing": Typing,
    "pong": Pong,
    "error": Error,
    "subscribed": Subscribed,
    "unsubscribed": Unsubscribed,
    "authenticated": Authenticated,
    "going_away": GoingAway,
    events.METRICS_UPDATE: MetricsUpdate,
}
"""The `data` of everything in `events.SERVER_TYPES`."""

EVENTS = frozenset({*events.STATE_TYPES, events.NOTIFICATION, events.AGENT_CHAT})
"""What is kept and replayed."""

MAY_HAVE_ID = frozenset({events.INVESTIGATION_UPDATE, events.AGENT_CHAT, "subscribed"})
"""Snapshots, a chat answered over HTTP without a session, and a `subscribed` without `after` have none."""

ALWAYS_HAVE_ID = frozenset({*EVENTS, "connection_established", "pong"}) - MAY_HAVE_ID
