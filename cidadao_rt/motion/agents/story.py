"""The story of a simulated investigation: what is published after its `started` update, and when.

Time runs from 0 to 1 while the agents work. Each stage fills up over a window of that time, and the windows overlap a
little, as in the API document's example (100, 80, 60, 0 gives 65). Each agent has a slice of its stage's time, says at
its start what it is doing, and gives its analysis at its end. `plot` lays all that out on one line; `tell` walks it, so
every update carries the progress last reported, and ends it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ...words.agents import DEFAULT_TEAM, find
from ...words.events import AGENT_ANALYSIS, INVESTIGATION_UPDATE, NOTIFICATION, PROGRESS_UPDATE, Status
from ...words.scenario import Scenario, span
from .case import Case
from .parts import PARTS
from .plot import Beat, Break, plot
from .portuguese import count
from .seeds import seeded

# In milliseconds: before the first step, and from the last work done to the end.
_LEAD, _CLOSING = (80, 250), (80, 200)

_USUAL = Scenario()


class Step(msgspec.Struct, frozen=True):
    """One event of a story.

    `after` is in seconds at speed 1, since the step before (the first: since the `started` update). `type` is the
    event's type, `data` its data, in which only `investigation_id` is missing. `data` belongs to the caller.
    """

    after: float
    type: str
    data: dict[str, Any]


def tell(
    seed: int, query: str, filters: Mapping[str, Any], agents: Sequence[str], scenario: Scenario = _USUAL
) -> list[Step]:
    """The whole investigation after its `started` update: 3 to 8 seconds, `completed` being the last step.

    The same arguments tell the same story in any process. `agents` are ids or aliases (none: the scenario's, else the
    default team); each of them works once, in an order that makes sense, whatever order they are named in. Of
    `filters`, `min_value` (reais) and `date_range` bound what is found; a `min_value` that no contract reaches leaves
    every analysis without invented findings. A `scenario` may have a seed of its own, and changes times, texts,
    findings and the end: the last step is always an update with a final status. Every event says that it is
    `simulated`. Raises ValueError for an agent that does not exist.
    """
    team = _team(agents or scenario.agents or DEFAULT_TEAM)
    rng = seeded(seed if scenario.seed is None else scenario.seed, query, dict(filters), list(team))
    case = Case(rng, query, filters, team)
    narrator = _Narrator(rng.randint(*_LEAD))
    working = rng.randint(3000, 5400) + 90 * len(team)
    beats, broken = plot(rng, case, scenario)
    for beat in beats:
        narrator.say(round(beat.at * working), beat.type, beat.data)
    closing = rng.randint(*_CLOSING)
    worked = working if broken is None else round(broken.at * working)
    notification, last = _completed(case, beats, scenario) if broken is None else _broken(case, beats, broken)
    narrator.say(worked + closing, NOTIFICATION, notification)
    narrator.say(worked + 2 * closing, INVESTIGATION_UPDATE, last)
    seconds = scenario.timing.seconds
    return list(narrator.steps(None if seconds is None else rng.uniform(*span(seconds))))


class _Narrator:
    """Turns beats in their order into steps, and keeps what one step must know of those before it."""

    def __init__(self, lead: int) -> None:
        self._lead = lead
        self._progress = 0
        self._said: list[tuple[int, str, dict[str, Any]]] = []

    def say(self, at: int, kind: str, data: dict[str, Any]) -> None:
        """Add a step `at` so many milliseconds of the story."""
        if kind == PROGRESS_UPDATE:
            self._progress = data["overall_progress"]
        elif kind == INVESTIGATION_UPDATE:
            data["progress"] = self._progress
        self._said.append((self._lead + at, kind, {**data, "simulated": True}))

    def steps(self, seconds: float | None) -> Iterator[Step]:
        """All that was said, in so many seconds in all (None: in the time that it was said in)."""
        scale = 1.0 if seconds is None else 1000 * seconds / self._said[-1][0]
        before = 0
        for at, kind, data in self._said:
            now = round(at * scale)
            # Differences of whole milliseconds: however many steps there are, they add up to the story's length.
            yield Step((now - before) / 1000, kind, data)
            before = now


def _team(agents: Sequence[str]) -> tuple[str, ...]:
    """Canonical ids, each once, in the order in which they work."""
    ids = set()
    for name in agents:
        agent = find(name)
        if agent is None:
            raise ValueError("no such agent")
        ids.add(agent.id)
    return tuple(agent for agent in PARTS if agent in ids)


def _completed(case: Case, beats: Sequence[Beat], scenario: Scenario) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last notification and the `completed` update, which sums up what was found (a report finds nothing new)."""
    analyses = [beat.data for beat in beats if beat.type == AGENT_ANALYSIS]
    findings = [item for data in analyses if data["agent"] != "tiradentes" for item in data["findings"]]
    by_severity = {
        severity: sum(item["severity"] == severity for item in findings) for severity in ("high", "medium", "low")
    }
    if case.hopeless and not findings:
        told = "Nenhum contrato alcança o valor mínimo pedido."
    else:
        told = (
            f"{count(len(findings), 'achado', 'achados')} em {case.theme.label}, "
            f"{by_severity['high']} de gravidade alta."
        )
    notification = {"level": "success", "title": "Investigação concluída", "message": told}
    completed = {
        "status": Status.COMPLETED,
        "progress": 100,
        "current_agent": case.team[-1],
        "message": scenario.ending.message or f"Investigação concluída. {told}",
        "summary": {
            "findings": len(findings),
            "by_severity": by_severity,
            "contracts_analyzed": 0 if case.hopeless else case.contracts_read,
            "agents": list(case.team),
        },
    }
    return notification, completed


def _broken(case: Case, beats: Sequence[Beat], broken: Break) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last notification and the final update of an investigation that breaks off."""
    cancelled = broken.status == Status.CANCELLED
    usual = "Investigação cancelada." if cancelled else "A investigação falhou antes de terminar."
    message = broken.message or usual
    current = [beat.data["current_agent"] for beat in beats if beat.type == INVESTIGATION_UPDATE]
    notification = {
        "level": "warning" if cancelled else "error",
        "title": "Investigação cancelada" if cancelled else "Investigação interrompida",
        "message": message,
    }
    last = {
        "status": broken.status,
        "progress": 0,
        "current_agent": current[-1] if current else case.team[0],
        "message": message,
    }
    return notification, last
