"""What requests over HTTP must have: a published event, by its type, and which types may be published at all.

What an event of a known type lacks or has wrong is refused like any client message; keys beyond these pass through.
Source: PROTOCOL 4 "Events", 8 "Publish"; the API document, "Tipos de Mensagem".
"""

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from . import events
from .errors import Refusal
from .events import Status
from .messages import CLIENT_TYPES

Percent = Annotated[int, Meta(ge=0, le=100)]
Identifier = Annotated[str, Meta(min_length=1, max_length=128)]

EVENT_BYTES = 65_536
"""Bytes of one published event as JSON."""

_CUSTOM = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OURS = events.SERVER_TYPES | CLIENT_TYPES


class InvestigationUpdate(Struct, frozen=True):
    """`progress` in percent never goes back."""

    status: Status
    progress: Percent
    current_agent: str | None = None
    message: str | None = None
    query: str | None = None
    agents: list[str] | None = None


class Stages(Struct, frozen=True):
    """Percent of each of the document's four stages."""

    data_collection: Percent
    anomaly_detection: Percent
    pattern_analysis: Percent
    report_generation: Percent


class ProgressUpdate(Struct, frozen=True):
    """Percent in all, and of each stage."""

    overall_progress: Percent
    stages: Stages


class Finding(Struct, frozen=True):
    """`confidence` is 0 to 1."""

    pattern: str
    confidence: Annotated[float, Meta(ge=0, le=1)]
    evidence_count: Annotated[int, Meta(ge=0)]


class AgentAnalysis(Struct, frozen=True):
    """What one agent found."""

    agent: str
    analysis_type: str
    findings: list[Finding]
    status: str


class Notification(Struct, frozen=True):
    """Something to tell a person."""

    level: Literal["info", "success", "warning", "error", "critical"]
    title: str
    message: str


PAYLOADS: dict[str, type[Struct]] = {
    events.INVESTIGATION_UPDATE: InvestigationUpdate,
    events.PROGRESS_UPDATE: ProgressUpdate,
    events.AGENT_ANALYSIS: AgentAnalysis,
    events.NOTIFICATION: Notification,
}
"""The server's types that may be published."""


class To(Struct, frozen=True):
    """Whom an event is for: exactly one of the three; `owner` goes with an investigation's first use."""

    investigation_id: Identifier | None = None
    owner: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    user_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    everyone: bool = False


class Publication(Struct, frozen=True):
    """One event to publish. With `receipt` its publisher can ask later how far it got."""

    to: To
    type: str
    data: dict[str, Any]
    correlation_id: Annotated[str, Meta(max_length=128)] | None = None
    receipt: bool = False


class Disconnection(Struct, frozen=True):
    """Why an administrator disconnects a user, for that user to read."""

    reason: Annotated[str, Meta(max_length=100)] | None = None


def check_type(type_: str, *, of_investigation: bool) -> None:
    """Refuse a type that is ours alone, or that tells of an investigation but is sent to somebody. Raises `Refusal`."""
    if type_ not in PAYLOADS and (type_ in _OURS or _CUSTOM.fullmatch(type_) is None):
        raise Refusal.field("type", "Invalid field: type cannot be published", required=True)
    if type_ in events.STATE_TYPES and not of_investigation:
        raise Refusal.field("to", f"Invalid field: to must name an investigation for {type_}", required=True)
