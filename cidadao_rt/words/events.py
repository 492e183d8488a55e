"""The event types, and how an investigation moves: statuses, stages and the weights of its progress.

Source: the API document, "Tipos de Mensagem" and "Progress Update"; PROTOCOL 4 "Events".
"""

import re
from collections.abc import Mapping
from enum import StrEnum

INVESTIGATION_UPDATE = "investigation_update"
PROGRESS_UPDATE = "progress_update"
AGENT_ANALYSIS = "agent_analysis"
NOTIFICATION = "notification"
AGENT_CHAT = "agent_chat"
METRICS_UPDATE = "metrics_update"

STATE_TYPES = frozenset({INVESTIGATION_UPDATE, PROGRESS_UPDATE, AGENT_ANALYSIS})
"""The types that tell an investigation's state; who follows none of them is sent no snapshots."""

SERVER_TYPES = frozenset(
    {
        *STATE_TYPES, NOTIFICATION, AGENT_CHAT, METRICS_UPDATE,
        "agent_chat_chunk", "authenticated", "connection_established", "error", "going_away", "pong",
        "subscribed", "typing", "unsubscribed",
    }
)  # fmt: skip
"""Everything the server sends of its own; custom types are published beside these."""

SUBSCRIBABLE = STATE_TYPES | {NOTIFICATION, AGENT_CHAT, METRICS_UPDATE}
"""The server's types that `subscribe` may name. The others are answers, and answers are not followed."""

_CUSTOM = re.compile(r"[a-z][a-z0-9_]{0,63}")


def is_subscribable(name: str) -> bool:
    """Whether `subscribe` may name this type: one of ours that is an event, or a well-formed custom type."""
    return name in SUBSCRIBABLE or (name not in SERVER_TYPES and _CUSTOM.fullmatch(name) is not None)


class Status(StrEnum):
    """The `status` of an `investigation_update`."""

    STARTED = "started"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
"""After one of these an investigation has no further update."""

STAGE_WEIGHTS: Mapping[str, int] = {
    "data_collection": 25,
    "anomaly_detection": 35,
    "pattern_analysis": 20,
    "report_generation": 20,
}
"""Percent of `overall_progress`; the document's example (100, 80, 60, 0) weighs 65 with these."""


def overall_progress(stages: Mapping[str, int]) -> int:
    """The weighted progress, an integer 0 to 100, of stages that are 0 to 100 each."""
    return sum(weight * stages.get(stage, 0) for stage, weight in STAGE_WEIGHTS.items()) // 100
