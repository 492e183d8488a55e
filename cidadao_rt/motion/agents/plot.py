"""What happens while the agents work: progress, what they say, find and fail at, each at its moment of 0 to 1."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...words.agents import AGENTS
from ...words.events import (
    AGENT_ANALYSIS,
    INVESTIGATION_UPDATE,
    NOTIFICATION,
    PROGRESS_UPDATE,
    STAGE_WEIGHTS,
    Status,
    overall_progress,
)
from ...words.patterns import LABELS
from ...words.scenario import Failure, Scenario
from .case import Case
from .findings import investigate
from .parts import PARTS, STAGE_LINES
from .turns import Line, Turn, failing, turns

# When a stage begins and ends to fill up. Begins and ends ascend, so no stage is ever ahead of the one before it.
_WINDOWS = ((0.0, 0.32), (0.16, 0.62), (0.4, 0.84), (0.74, 1.0))
_JITTER = 0.03
_ALERTS = 3


class Beat(msgspec.Struct, frozen=True):
    """A step before it has its place: `at` is 0 to 1."""

    at: float
    type: str
    data: dict[str, Any]


class Break(msgspec.Struct, frozen=True):
    """Where an investigation breaks off, `at` 0 to 1, and with which status and message (None: the usual one)."""

    at: float
    status: Status
    message: str | None


def plot(rng: random.Random, case: Case, scenario: Scenario) -> tuple[list[Beat], Break | None]:
    """All beats in their order, on the scenario's own line of time; and where they break off, if they do."""
    line = Line(scenario.stages)
    laid = turns(case.team)
    failures = failing(scenario.failure, laid, line)
    beats = _progress(rng) + _work(rng, case, scenario, laid, failures)
    for notice in scenario.notification:
        data = {"level": notice.level, "title": notice.title, "message": notice.message}
        beats.append(Beat(line.place(notice.at), NOTIFICATION, data))
    beats.sort(key=lambda beat: beat.at)
    broken = _broken(scenario, failures, line)
    if broken is not None:
        beats = [beat for beat in beats if beat.at <= broken.at]
        broken = msgspec.structs.replace(broken, at=line.bend(broken.at))
    return [msgspec.structs.replace(beat, at=line.bend(beat.at)) for beat in beats], broken


def _broken(scenario: Scenario, failures: Mapping[str, tuple[float, Failure]], line: Line) -> Break | None:
    """The first of all that would end the investigation."""
    breaks = [
        Break(at, Status.FAILED, failure.message) for at, failure in failures.values() if failure.effect == "fail"
    ]
    ending = scenario.ending
    if ending.status != "completed":
        at = line.place(1.0 if ending.at is None else ending.at)
        breaks.append(Break(at, Status(ending.status), ending.message))
    return min(breaks, key=lambda one: one.at, default=None)


def _progress(rng: random.Random) -> list[Beat]:
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
    return [Beat(at, PROGRESS_UPDATE, _filled(windows, at)) for at in moments]


def _filled(windows: Sequence[tuple[float, float]], at: float) -> dict[str, Any]:
    filled = [int(100 * min(1.0, max(0.0, (at - begin) / (end - begin)))) for begin, end in windows]
    stages = dict(zip(STAGE_WEIGHTS, filled, strict=True))
    return {"overall_progress": overall_progress(stages), "stages": stages}


def _work(
    rng: random.Random,
    case: Case,
    scenario: Scenario,
    laid: Sequence[Turn],
    failures: Mapping[str, tuple[float, Failure]],
) -> list[Beat]:
    """What the agents say and find, in the order in which they work."""
    beats: list[Beat] = []
    found: list[tuple[str, dict[str, Any]]] = []
    alerts = 0
    for turn in laid:
        failed = failures.get(turn.agent) if turn.is_own else None
        said = _said(rng, case, scenario, laid, turn)
        beats += [beat for beat in said if failed is None or beat.at <= failed[0]]
        if not turn.is_own:
            continue
        analysis = {"agent": turn.agent, "analysis_type": PARTS[turn.agent].analysis_type}
        if failed is not None:
            at, failure = failed
            beats.append(Beat(at, AGENT_ANALYSIS, {**analysis, "findings": [], "status": "failed"}))
            beats.append(Beat(at, NOTIFICATION, _trouble(turn.agent, failure)))
            continue
        findings = investigate(case, turn.agent, found, scenario)
        beats.append(Beat(turn.done, AGENT_ANALYSIS, {**analysis, "findings": findings, "status": "completed"}))
        # A report repeats what others have found, and nobody wants the same alert twice.
        grave = [] if turn.agent == "tiradentes" else [item for item in findings if item["severity"] == "high"]
        grave = grave[: _ALERTS - alerts]
        alerts += len(grave)
        beats += [Beat(turn.done, NOTIFICATION, _alert(turn.agent, finding)) for finding in grave]
        found += [(turn.agent, finding) for finding in findings]
    return beats


def _said(rng: random.Random, case: Case, scenario: Scenario, laid: Sequence[Turn], turn: Turn) -> list[Beat]:
    """What is said in a turn: the scenario's messages for the stage, dealt out over its turns, or a line of its own."""
    theme = case.theme.label
    messages = getattr(scenario.stages, list(STAGE_WEIGHTS)[turn.stage]).messages
    if messages is not None:
        same = [other for other in laid if other.stage == turn.stage]
        place = same.index(turn)
        mine = messages[place * len(messages) // len(same) : (place + 1) * len(messages) // len(same)]
        mine = mine or (messages[place * len(messages) // len(same)],)
        width = (turn.done - turn.begin) / len(mine)
        # Not `format`: what a file says may hold any braces.
        return [
            _update(turn.begin + number * width, turn.agent, message.replace("{theme}", theme))
            for number, message in enumerate(mine)
        ]
    line = rng.choice(PARTS[turn.agent].lines) if turn.is_own else STAGE_LINES[turn.stage]
    return [_update(turn.begin, turn.agent, line.format(theme=theme))]


def _update(at: float, agent: str, message: str) -> Beat:
    # The story sets the progress; its place in the document's order is kept here.
    data = {"status": Status.PROCESSING, "progress": 0, "current_agent": agent, "message": message}
    return Beat(at, INVESTIGATION_UPDATE, data)


def _alert(agent: str, finding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "level": "critical" if finding["confidence"] > 0.85 else "warning",
        "title": f"{AGENTS[agent].name}: {LABELS[finding['pattern']]}",
        "message": finding["description"],
    }


def _trouble(agent: str, failure: Failure) -> dict[str, Any]:
    name = AGENTS[agent].name
    goes_on = failure.effect == "skip"
    usual = f"{name} não conseguiu terminar a análise." + " A investigação segue sem ela." * goes_on
    return {
        "level": "warning" if goes_on else "error",
        "title": f"{name}: falha do agente",
        "message": failure.message or usual,
    }
