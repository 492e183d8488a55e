"""Events as lines that a person reads, in pt-BR. Pure but for the time zone.

What is in an event was written by others. No control character of it may reach a terminal, which would obey it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..client import Event
from ..words import events
from ..words.patterns import LABELS

TEXT_LENGTH = 2_000
"""Characters of one text that are shown; the rest is left out, with its length."""

FINDINGS = 50
"""Findings of one event that are listed; the others are counted."""

_BAR = 10
_RESET = "\x1b[0m"
_COLOURS = {
    events.INVESTIGATION_UPDATE: "\x1b[36m",
    events.PROGRESS_UPDATE: "\x1b[2m",
    events.AGENT_ANALYSIS: "\x1b[35m",
    events.NOTIFICATION: "\x1b[33m",
    events.AGENT_CHAT: "\x1b[34m",
    events.METRICS_UPDATE: "\x1b[2m",
    "error": "\x1b[31m",
    "connection_established": "\x1b[1;31m",
    "completed": "\x1b[32m",
    "failed": "\x1b[31m",
    "cancelled": "\x1b[33m",
}
_TYPES = {
    events.INVESTIGATION_UPDATE: "investigação",
    events.PROGRESS_UPDATE: "progresso",
    events.AGENT_ANALYSIS: "análise",
    events.NOTIFICATION: "aviso",
    events.AGENT_CHAT: "conversa",
    events.METRICS_UPDATE: "métricas",
    "error": "erro",
    "going_away": "saída",
    "connection_established": "reconexão",
}
_STATUSES = {
    "started": "iniciada",
    "processing": "em andamento",
    "completed": "concluída",
    "failed": "falhou",
    "cancelled": "cancelada",
}
_STAGES = {
    "data_collection": "coleta",
    "anomaly_detection": "anomalias",
    "pattern_analysis": "padrões",
    "report_generation": "relatório",
}
_MAY_BE_MISSING = "eventos podem ter se perdido; segue a situação atual"
_NOT_ASCII = re.compile(r"[^ -~]")


def safe(text: object) -> str:
    """On one line, and nothing in it that a terminal would obey: control, bidirectional and unassigned characters are
    shown as Python writes them, spaces of any kind as spaces."""
    whole = str(text)
    shown = "".join(
        character if character.isprintable() else " " if character in "\n\r\t" else ascii(character)[1:-1]
        for character in whole[:TEXT_LENGTH]
    )
    return shown if len(whole) <= TEXT_LENGTH else f"{shown}… (+{len(whole) - TEXT_LENGTH})"


def as_json(event: Event) -> str:
    """One JSON object, without the keys that the event does not have, and as harmless as the other form."""
    fields = {
        "type": event.type,
        "data": event.data,
        "id": event.id,
        "timestamp": event.timestamp,
        "correlation_id": event.correlation_id,
    }
    text = json.dumps({key: value for key, value in fields.items() if value is not None}, ensure_ascii=False)
    return _NOT_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def as_lines(event: Event, *, coloured: bool) -> list[str]:
    """The event's line, and one for each finding."""
    line, *more = (safe_line.rstrip() for safe_line in _lines(event))
    if not coloured:
        return [line, *more]
    colour = _COLOURS.get(str(event.data.get("status"))) if event.type == events.INVESTIGATION_UPDATE else None
    colour = colour or _COLOURS.get(event.type, "")
    return [f"{colour}{line}{_RESET}" if colour else line, *more]


def _lines(event: Event) -> Iterator[str]:
    data = event.data
    parts = [
        _time(event.timestamp),
        f"{_short(data.get('investigation_id')):8}",
        f"{safe(_TYPES.get(event.type, event.type)):12}",
        f"{safe(data.get('current_agent') or data.get('agent') or ''):10}",
        _bar(data.get("overall_progress", data.get("progress"))),
        _text(event),
    ]
    yield " ".join(part for part in parts if part)
    found = data.get("findings")
    if isinstance(found, list):
        yield from (f"{'':9}• {_finding(one)}" for one in found[:FINDINGS] if isinstance(one, dict))
        if len(found) > FINDINGS:
            yield f"{'':9}… e mais {len(found) - FINDINGS}"


def _time(timestamp: str | None) -> str:
    try:
        return datetime.fromisoformat(timestamp or "").astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def _short(investigation_id: object) -> str:
    return safe(investigation_id).removeprefix("inv_")[:8] if investigation_id else ""


def _bar(progress: object) -> str:
    if isinstance(progress, bool) or not isinstance(progress, int | float) or not 0 <= progress <= 100:
        return ""
    full = int(progress * _BAR // 100)
    return f"[{'█' * full}{'░' * (_BAR - full)}] {int(progress):3d}%"


def _text(event: Event) -> str:
    data = event.data
    if event.type == "connection_established":
        return _MAY_BE_MISSING
    if event.type == events.PROGRESS_UPDATE:
        stages = data.get("stages")
        told = stages.items() if isinstance(stages, Mapping) else ()
        return ", ".join(f"{safe(_STAGES.get(name, name))} {safe(done)}%" for name, done in list(told)[:10] if done)
    if event.type == events.METRICS_UPDATE:
        return _compact(data)
    status = data.get("status")
    words = [safe(_STATUSES.get(str(status), status)) if status else "", safe(data.get("title") or "")]
    words.append(safe(data.get("message") or ""))
    text = " · ".join(word for word in words if word)
    if event.type == events.INVESTIGATION_UPDATE and event.id is None:
        text = f"(situação) {text}"
    return text if event.type in _TYPES else text or _compact(data)


def _compact(data: Mapping[str, Any]) -> str:
    return safe(json.dumps(dict(data), ensure_ascii=False))


def _finding(finding: Mapping[str, Any]) -> str:
    pattern = finding.get("pattern")
    parts = [safe(LABELS.get(str(pattern), pattern))]
    confidence = finding.get("confidence")
    if isinstance(confidence, int | float) and 0 <= confidence <= 1:
        parts.append(f"{confidence:.0%}")
    if finding.get("evidence_count") is not None:
        parts.append(f"{safe(finding['evidence_count'])} evidência(s)")
    if finding.get("description"):
        parts.append(safe(finding["description"]))
    return " · ".join(parts)
