"""What the read side answers, as typed structs for the specs. Source: docs/protocol.md, "Read"."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from .events import Status
from .outgoing import Count, Cursor, FindingDetail, Simulated, Timestamp
from .payloads import Percent, Stages
from .subscription import ConnectionType

Next = Annotated[Cursor | None, Meta(description="The `before` of the next page; null after the last.")]


class InvestigationView(Struct, frozen=True, kw_only=True):
    """How one investigation stands, and whose it is."""

    investigation_id: str
    owner: str
    status: Status
    progress: Percent
    current_agent: str | None
    message: str | None
    query: str | None
    agents: list[str]
    stages: Stages
    started_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None
    simulated: Simulated = UNSET


class InvestigationDetail(InvestigationView, frozen=True, kw_only=True):
    """The same, with the findings that are remembered."""

    findings: list[FindingDetail]


class InvestigationPage(Struct, frozen=True):
    """Investigations, the newest first."""

    investigations: list[InvestigationView]
    next: Next


class ConnectionView(Struct, frozen=True):
    """One open connection."""

    id: str
    session_id: str
    user_id: str
    transport: str
    connection_type: ConnectionType
    address: str
    connected_at: Timestamp
    expires_at: Timestamp
    idle_seconds: Annotated[float, Meta(ge=0, description="Since its last message.")]
    behind: bool
    lag: Annotated[Count, Meta(description="Positions of the log.")]
    owed: Annotated[Count, Meta(description="Events of its own, counted up to 1,000.")]
    buffered_bytes: Count


class ConnectionPage(Struct, frozen=True):
    """Open connections, the newest first."""

    connections: list[ConnectionView]
    next: Next


class Presence(Struct, frozen=True):
    """Who follows a topic now: connections in all, and by user."""

    connections: Count
    users: dict[str, Count]
    truncated: Annotated[bool, Meta(description="Whether there are more users than are listed.")]


class Delivered(Struct, frozen=True):
    """To how many an event was written."""

    connections: Count
    users: Count


class Acknowledgment(Struct, frozen=True):
    """One session that has acknowledged an event."""

    session_id: str
    user_id: str
    at: Timestamp


class Acknowledged(Struct, frozen=True):
    """By whom an event was acknowledged."""

    count: Count
    sessions: list[Acknowledgment]
    truncated: Annotated[bool, Meta(description="Whether there are more sessions than are listed.")]


class Receipt(Struct, frozen=True):
    """How far an event got."""

    id: Cursor
    delivered: Delivered
    acknowledged: Acknowledged


class Disconnected(Struct, frozen=True):
    """How many connections were closed."""

    disconnected: Count


VIEWS: tuple[type[Struct], ...] = (
    InvestigationPage, InvestigationDetail, ConnectionPage, Presence, Receipt, Disconnected,
)  # fmt: skip
"""All of them; what they hold comes with them."""
