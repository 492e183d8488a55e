"""The story of a simulated investigation: what is published after its `started` update, and when.

Time runs from 0 to 1 while the agents work. Each stage fills up over a window of that time, and the windows overlap a
little, as in the API document's example (100, 80, 60, 0 gives 65). Each agent has a slice of its stage's time, says at
its start what it is doing, and gives its analysis at its end. `tell` lays all that out on one line and walks it, so
every update carries the progress last reported.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...words.agents import AGENTS, DEFAULT_TEAM, find
from ...words.events import (
    AGENT_ANALYSIS,
    INVESTIGATION_UPDATE,
    NOTIFICATION,
    PROGRESS_UPDATE,
    STAGE_WEIGHTS,
    Status,
    overall_progress,
)
from .case import Case
from .findings import LABELS, investigate
from .parts import PARTS, STAGE_LINES
from .portuguese import count
from .seeds import seeded

# When a stage's agents work: one stage after the other. The last slice ends before time does.
_WORK = ((0.0, 0.22), (0.22, 0.5), (0.5, 0.78), (0.78, 0.97))
# When a stage begins and ends to fill up. Begins and ends ascend, so no stage is ever ahead of the one before it.
_WINDOWS = ((0.0, 0.32), (0.16, 0.62), (0.4, 0.84), (0.74, 1.0))
_JITTER = 0.03
_ALERTS = 3
# In milliseconds: before the first step, and from the last work done to the end.
_LEAD, _CLOSING = (80, 250), (80, 200)


class Step(msgspec.Struct, frozen=True):
    """One event of a story.

    `after` is in seconds at speed 1, since the step before (the first: since the `started` update). `type` is the
    event's type, `data` its data, in which only `investigation_id` is missing. `data` belongs to the caller.
    """

    after: float
    type: str
    data: dict[str, Any]


def tell(seed: int, query: str, filters: Mapping[str, Any], agents: Sequence[str]) -> list[Step]:
    """The whole investigation after its `started` update: 3 to 8 seconds, `completed` being the last step.

    The same arguments tell the same story in any process. `agents` are ids or aliases (none: the default team); each of
    them works once, in an order that makes sense, whatever order they are named in. Of `filters`, `min_value` (reais)
    and `date_range` bound what is found; a `min_value` that no contract reaches leaves every analysis without findings.
    Every event says that it is `simulated`. Raises ValueError for an agent that does not exist.
    """
    team = _team(agents)
    rng = seeded(seed, query, dict(filters), list(team))
    case = Case(rng, query, filters, team)
    narrator = _Narrator(rng.randint(*_LEAD))
    working = rng.randint(3000, 5400) + 90 * len(team)
    beats = sorted(_progress(rng) + _work(rng, case), key=lambda beat: beat.at)
    for beat in beats:
        narrator.say(round(beat.at * working), beat.type, beat.data)
    closing = rng.randint(*_CLOSING)
    notification, completed = _ending(case, [beat.data for beat in beats if beat.type == AGENT_ANALYSIS])
    narrator.say(working + closing, NOTIFICATION, notification)
    narrator.say(working + 2 * closing, INVESTIGATION_UPDATE, completed)
    return narrator.steps


class _Beat(msgspec.Struct, frozen=True):
    """A step before it has its place: `at` is 0 to 1."""

    at: float
    type: str
    data: dict[str, Any]


class _Narrator:
    """Turns beats in their order into steps, and keeps what one step must know of those before it."""

    def __init__(self, lead: int) -> None:
        self.steps: list[Step] = []
        self._lead = lead
        self._now = 0
        self._progress = 0

    def say(self, at: int, kind: str, data: dict[str, Any]) -> None:
        """Add a step `at` so many milliseconds of the story."""
        if kind == PROGRESS_UPDATE:
            self._progress = data["overall_progress"]
        elif kind == INVESTIGATION_UPDATE:
            data["progress"] = self._progress
        at += self._lead
        # Differences of whole milliseconds: however many steps there are, they add up to the story's length.
        self.steps.append(Step((at - self._now) / 1000, kind, {**data, "simulated": True}))
        self._now = at


def _team(agents: Sequence[str]) -> tuple[str, ...]:
    """Canonical ids, each once, in the order in which they work."""
    ids = set()
    for name in agents or DEFAULT_TEAM:
        agent = find(name)
        if agent is None:
            raise ValueError("no such agent")
        ids.add(agent.id)
    return tuple(agent for agent in PARTS if agent in ids)


def _progress(rng: random.Random) -> list[_Beat]:
    windows = []
    for begin, end in _WINDOWS:
        # The first window keeps its begin and the last its end: they are the story's.
        windows.append(
            (
                begin and begin + rng.uniform(-_JITTER, _JITTER),
                end if end == 1 else end + rng.uniform(-_JITTER, _JITTER),
            )
        )
    number = rng.randint(12, 16)
    moments = [(turn - rng.uniform(0, 0.4)) / number for turn in range(1, number)] + [1.0]
    return [_Beat(at, PROGRESS_UPDATE, _filled(windows, at)) for at in moments]


def _filled(windows: Sequence[tuple[float, float]], at: float) -> dict[str, Any]:
    filled = [int(100 * min(1.0, max(0.0, (at - begin) / (end - begin)))) for begin, end in windows]
    stages = dict(zip(STAGE_WEIGHTS, filled, strict=True))
    return {"overall_progress": overall_progress(stages), "stages": stages}


def _work(rng: random.Random, case: Case) -> list[_Beat]:
    """What the agents say and find, in the order in which they work."""
    beats: list[_Beat] = []
    found: list[tuple[str, dict[str, Any]]] = []
    alerts = 0
    current = case.team[0]
    for stage, (begin, end) in enumerate(_WORK):
        members = [agent for agent in case.team if PARTS[agent].stage == stage]
        if not members:
            beats.append(_update(begin, current, STAGE_LINES[stage].format(theme=case.theme.label)))
        for turn, current in enumerate(members):
            part = PARTS[current]
            width = (end - begin) / len(members)
            line = rng.choice(part.lines).format(theme=case.theme.label)
            beats.append(_update(begin + turn * width, current, line))
            done = begin + (turn + 0.96) * width
            findings = investigate(case, current, found)
            analysis = {"agent": current, "analysis_type": part.analysis_type, "findings": findings}
            beats.append(_Beat(done, AGENT_ANALYSIS, {**analysis, "status": "completed"}))
            # A report repeats what others have found, and nobody wants the same alert twice.
            grave = [] if current == "tiradentes" else [item for item in findings if item["severity"] == "high"]
            grave = grave[: _ALERTS - alerts]
            alerts += len(grave)
            beats += [_Beat(done, NOTIFICATION, _alert(current, finding)) for finding in grave]
            found += [(current, finding) for finding in findings]
    return beats


def _update(at: float, agent: str, message: str) -> _Beat:
    # The narrator sets the progress; its place in the document's order is kept here.
    data = {"status": Status.PROCESSING, "progress": 0, "current_agent": agent, "message": message}
    return _Beat(at, INVESTIGATION_UPDATE, data)


def _alert(agent: str, finding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "level": "critical" if finding["confidence"] > 0.85 else "warning",
        "title": f"{AGENTS[agent].name}: {LABELS[finding['pattern']]}",
        "message": finding["description"],
    }


def _ending(case: Case, analyses: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last notification and the `completed` update, which sums up what was found (a report finds nothing new)."""
    findings = [item for data in analyses if data["agent"] != "tiradentes" for item in data["findings"]]
    by_severity = {
        severity: sum(item["severity"] == severity for item in findings) for severity in ("high", "medium", "low")
    }
    if case.hopeless:
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
        "message": f"Investigação concluída. {told}",
        "summary": {
            "findings": len(findings),
            "by_severity": by_severity,
            "contracts_analyzed": 0 if case.hopeless else case.contracts_read,
            "agents": list(case.team),
        },
    }
    return notification, completed
